//! Lines to steps.

use std::fmt;
use std::str::FromStr;

use super::{Data, How, Step};

/// Why a line is no step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParseError {
    line: String,
    why: &'static str,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.why)
    }
}

impl std::error::Error for ParseError {}

type Parsed<T> = Result<T, &'static str>;

impl FromStr for Step {
    type Err = ParseError;

    fn from_str(line: &str) -> Result<Self, ParseError> {
        let parsed = words(line).and_then(|words| {
            let mut words = Words(words.into_iter());
            let step = words.step()?;
            match words.0.next() {
                None => Ok(step),
                Some(_) => Err("too many words"),
            }
        });
        parsed.map_err(|why| ParseError {
            line: line.to_owned(),
            why,
        })
    }
}

/// A word, and whether it was quoted.
struct Token {
    text: String,
    quoted: bool,
}

struct Words(std::vec::IntoIter<Token>);

impl Words {
    fn token(&mut self) -> Parsed<Token> {
        self.0.next().ok_or("a word is missing")
    }

    fn text(&mut self) -> Parsed<String> {
        Ok(self.token()?.text)
    }

    fn number<T: FromStr>(&mut self) -> Parsed<T> {
        self.text()?.parse().map_err(|_| "a number was expected")
    }

    fn mode(&mut self) -> Parsed<u32> {
        u32::from_str_radix(&self.text()?, 8).map_err(|_| "an octal mode was expected")
    }

    fn how(&mut self) -> Parsed<How> {
        match &*self.text()? {
            "r" => Ok(How::Read),
            "w" => Ok(How::Write),
            "rw" => Ok(How::ReadWrite),
            "a" => Ok(How::Append),
            "t" => Ok(How::Truncate),
            _ => Err("r, w, rw, a or t was expected"),
        }
    }

    fn data(&mut self) -> Parsed<Data> {
        let token = self.token()?;
        if token.quoted {
            return Ok(Data::Text(token.text));
        }
        let (length, seed) = token
            .text
            .split_once('*')
            .ok_or("\"text\" or LENGTH*SEED was expected")?;
        match (length.parse(), seed.parse()) {
            (Ok(length), Ok(seed)) => Ok(Data::Pattern { length, seed }),
            _ => Err("LENGTH*SEED was expected"),
        }
    }

    fn step(&mut self) -> Parsed<Step> {
        let word = self.text()?;
        if let Some(step) = self.step_on_path(&word) {
            return step;
        }
        Ok(match &*word {
            "mv" => Step::Mv {
                from: self.text()?,
                to: self.text()?,
            },
            "mv-new" => Step::MvNew {
                from: self.text()?,
                to: self.text()?,
            },
            "ln" => Step::Ln {
                target: self.text()?,
                path: self.text()?,
            },
            "open" => Step::Open {
                slot: self.number()?,
                path: self.text()?,
                how: self.how()?,
            },
            "create" => Step::Create {
                slot: self.number()?,
                path: self.text()?,
                how: self.how()?,
            },
            "pread" => Step::Pread {
                slot: self.number()?,
                offset: self.number()?,
                size: self.number()?,
            },
            "pwrite" => Step::Pwrite {
                slot: self.number()?,
                offset: self.number()?,
                data: self.data()?,
            },
            "resize" => Step::Resize {
                slot: self.number()?,
                size: self.number()?,
            },
            "sync" => Step::Sync {
                slot: self.number()?,
            },
            "close" => Step::Close {
                slot: self.number()?,
            },
            "settle" => Step::Settle,
            "forget" => Step::Forget,
            "wait" => Step::Wait {
                millis: self.number()?,
            },
            "remount" => Step::Remount,
            _ => return Err("no such step"),
        })
    }

    /// The steps whose first word is followed by one path.
    fn step_on_path(&mut self, word: &str) -> Option<Parsed<Step>> {
        let known = [
            "mkdir",
            "rmdir",
            "touch",
            "write",
            "patch",
            "append",
            "cat",
            "ls",
            "stat",
            "truncate",
            "chmod",
            "rm",
            "readlink",
            "setxattr",
            "getxattr",
            "listxattr",
            "rmxattr",
            "put",
            "delete",
        ];
        known.contains(&word).then(|| self.rest_after_path(word))
    }

    fn rest_after_path(&mut self, word: &str) -> Parsed<Step> {
        let path = self.text()?;
        Ok(match word {
            "mkdir" => Step::Mkdir {
                path,
                mode: self.mode()?,
            },
            "rmdir" => Step::Rmdir { path },
            "touch" => Step::Touch {
                path,
                mode: self.mode()?,
            },
            "write" => Step::Write {
                path,
                data: self.data()?,
            },
            "patch" => Step::Patch {
                path,
                offset: self.number()?,
                data: self.data()?,
            },
            "append" => Step::Append {
                path,
                data: self.data()?,
            },
            "cat" => Step::Cat { path },
            "ls" => Step::Ls { path },
            "stat" => Step::Stat { path },
            "truncate" => Step::Truncate {
                path,
                size: self.number()?,
            },
            "chmod" => Step::Chmod {
                path,
                mode: self.mode()?,
            },
            "rm" => Step::Rm { path },
            "readlink" => Step::Readlink { path },
            "setxattr" => Step::Setxattr {
                path,
                name: self.text()?,
                data: self.data()?,
            },
            "getxattr" => Step::Getxattr {
                path,
                name: self.text()?,
            },
            "listxattr" => Step::Listxattr { path },
            "rmxattr" => Step::Rmxattr {
                path,
                name: self.text()?,
            },
            "put" => Step::Put {
                path,
                data: self.data()?,
            },
            "delete" => Step::Delete { path },
            _ => return Err("no such step"),
        })
    }
}

/// Cuts a line at spaces; quoted words are strings of Rust.
fn words(line: &str) -> Parsed<Vec<Token>> {
    let mut words = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() {
        let (token, after) = match rest.strip_prefix('"') {
            Some(inside) => {
                let (text, after) = unquote(inside)?;
                (Token { text, quoted: true }, after)
            }
            None => {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                (
                    Token {
                        text: rest[..end].to_owned(),
                        quoted: false,
                    },
                    &rest[end..],
                )
            }
        };
        words.push(token);
        rest = after.trim_start();
    }
    Ok(words)
}

/// The string up to its closing quote, and what comes after.
fn unquote(inside: &str) -> Parsed<(String, &str)> {
    let mut text = String::new();
    let mut chars = inside.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((text, &inside[at + 1..])),
            '\\' => text.push(escaped(&mut chars)?),
            _ => text.push(c),
        }
    }
    Err("a quote is missing")
}

fn escaped(chars: &mut std::str::CharIndices<'_>) -> Parsed<char> {
    match chars.next().map(|(_, c)| c) {
        Some('n') => Ok('\n'),
        Some('r') => Ok('\r'),
        Some('t') => Ok('\t'),
        Some('0') => Ok('\0'),
        Some(c @ ('"' | '\\' | '\'')) => Ok(c),
        Some('u') => {
            let code: String = chars
                .skip(1)
                .map(|(_, c)| c)
                .take_while(|c| *c != '}')
                .collect();
            let code = u32::from_str_radix(&code, 16).ok().and_then(char::from_u32);
            code.ok_or("no such character")
        }
        _ => Err("no such escape"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_comes_back_as_it_was() {
        for line in [
            "mkdir /d 755",
            "rmdir \"/a b\"",
            "touch /f 644",
            "write /f \"a\\n\\\"\\u{1}é\"",
            "write /f 4096*7",
            "patch /f 10 \"text\"",
            "append /f \"\"",
            "cat /f",
            "ls /",
            "stat /f",
            "truncate /f 10",
            "chmod /f 7777",
            "rm /f",
            "mv /a /b",
            "mv-new /a /b",
            "ln \"\" /s",
            "readlink /s",
            "setxattr /f user.a \"v\"",
            "getxattr /f user.a",
            "listxattr /f",
            "rmxattr /f user.a",
            "open 1 /f rw",
            "create 2 /f t",
            "pread 1 0 100",
            "pwrite 1 5 3*1",
            "resize 1 10",
            "sync 1",
            "close 1",
            "put /key \"text\"",
            "delete /key",
            "settle",
            "forget",
            "wait 3000",
            "remount",
        ] {
            let step: Step = line.parse().unwrap();
            assert_eq!(step.to_string(), line);
        }
    }

    #[test]
    fn other_lines_are_refused() {
        for line in [
            "",
            "dance",
            "mkdir /d",
            "mkdir /d 9",
            "cat /a /b",
            "write /f x",
            "ln \"a /b",
        ] {
            assert!(line.parse::<Step>().is_err(), "{line}");
        }
    }
}
