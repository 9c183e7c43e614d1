//! Rust source seen as code: comments and the contents of literals are blanked, lines are kept.
//!
//! A full parser is not needed: the checks ask which lines hold code, which words are code, and
//! which lines belong to tests.

/// A source file as code only.
#[derive(Debug)]
pub(super) struct Code {
    /// One entry for each line of the source, with comments and literals blanked.
    pub(super) lines: Vec<String>,
    /// Whether the line belongs to an item under `#[cfg(test)]`.
    pub(super) in_test: Vec<bool>,
}

/// Reads `source`.
pub(super) fn code_of(source: &str) -> Code {
    let blanked = blank(source);
    let lines: Vec<_> = blanked.split('\n').map(str::to_owned).collect();
    let in_test = test_lines(&lines);
    Code { lines, in_test }
}

impl Code {
    /// The lines of code that ship: not blank, not tests. Counted from 1.
    pub(super) fn shipped(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines
            .iter()
            .zip(&self.in_test)
            .enumerate()
            .filter(|(_, (line, in_test))| !**in_test && !line.trim().is_empty())
            .map(|(at, (line, _))| (at + 1, line.as_str()))
    }
}

/// The names of the modules that this file declares in files of their own.
pub(super) fn declared_modules(code: &Code) -> Vec<String> {
    let declared = code.lines.iter().filter_map(|line| {
        let line = line.trim().strip_suffix(';')?;
        let at = line.rfind("mod ").filter(|at| {
            let before = line[..*at].trim_end();
            before.is_empty() || before.ends_with("pub") || before.ends_with([')', ']'])
        })?;
        Some(line[at + 4..].trim().trim_start_matches("r#").to_owned())
    });
    declared.collect()
}

/// Replaces comments and the contents of literals by blanks, newlines kept.
fn blank(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    while at < chars.len() {
        let end = skip(&chars, at, out.chars().next_back());
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            // A literal leaves a token behind, so that its line still counts as code.
            if chars[at] != '/' {
                out.push('"');
            }
            out.extend(
                chars[at..end]
                    .iter()
                    .map(|c| if *c == '\n' { '\n' } else { ' ' }),
            );
            at = end;
        }
    }
    out
}

/// Where the comment or literal that starts `at` ends; `at` itself if none does.
fn skip(chars: &[char], at: usize, before: Option<char>) -> usize {
    let next = chars.get(at + 1).copied();
    match (chars[at], next) {
        ('/', Some('/')) => find(chars, at, |c, _| c == '\n').unwrap_or(chars.len()),
        ('/', Some('*')) => skip_block_comment(chars, at),
        ('"', _) => skip_string(chars, at + 1),
        ('r', Some('"' | '#')) if !is_word(before) || matches!(before, Some('b' | 'c')) => {
            skip_raw_string(chars, at)
        }
        ('\'', Some('\\')) => {
            find(chars, at + 3, |c, _| c == '\'').map_or(chars.len(), |end| end + 1)
        }
        // `'x'` is a character, `'x` a lifetime.
        ('\'', Some(_)) if chars.get(at + 2) == Some(&'\'') => at + 3,
        _ => at,
    }
}

fn is_word(c: Option<char>) -> bool {
    c.is_some_and(|c| c.is_alphanumeric() || c == '_')
}

fn find(chars: &[char], from: usize, found: impl Fn(char, usize) -> bool) -> Option<usize> {
    (from..chars.len()).find(|at| found(chars[*at], *at))
}

fn skip_block_comment(chars: &[char], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0_usize);
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (at, depth) = (at + 2, depth + 1),
            ('*', Some('/')) => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn skip_string(chars: &[char], start: usize) -> usize {
    let mut at = start;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// `r"…"`, `r#"…"#`; `r#name` is no string.
fn skip_raw_string(chars: &[char], start: usize) -> usize {
    let hashes = chars[start + 1..].iter().take_while(|c| **c == '#').count();
    let open = start + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return start;
    }
    let closes = |c: char, at: usize| {
        c == '"' && chars[at + 1..].iter().take_while(|c| **c == '#').count() >= hashes
    };
    find(chars, open + 1, closes).map_or(chars.len(), |end| end + 1 + hashes)
}

/// Marks the lines of each item that stands under `#[cfg(test)]`.
fn test_lines(lines: &[String]) -> Vec<bool> {
    let mut marks = vec![false; lines.len()];
    let mut at = 0;
    while at < lines.len() {
        if lines[at].trim_start().starts_with("#[cfg(test)]") {
            let end = item_end(lines, at);
            marks[at..=end].fill(true);
            at = end;
        }
        at += 1;
    }
    marks
}

/// The last line of the item that starts at `start`: its `;` or closing brace at depth zero.
fn item_end(lines: &[String], start: usize) -> usize {
    let mut depth = 0_i32;
    for (at, line) in lines.iter().enumerate().skip(start) {
        // Attributes before the item end nothing.
        let code = line.trim().strip_prefix("#[cfg(test)]").unwrap_or(line);
        for c in code.chars() {
            match c {
                '{' | '(' | '[' => depth += 1,
                '}' | ')' | ']' => depth -= 1,
                _ => {}
            }
            if depth == 0 && matches!(c, ';' | '}') {
                return at;
            }
        }
    }
    lines.len() - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped(source: &str) -> Vec<(usize, String)> {
        code_of(source)
            .shipped()
            .map(|(at, line)| (at, line.trim().to_owned()))
            .collect()
    }

    #[test]
    fn comments_and_blank_lines_are_no_code() {
        let source = "//! Doc\n\n/* a /* nested */\n b */ fn a() {} // c\n/// d\nfn b() {}\n";
        let expected = vec![(4, "fn a() {}".to_owned()), (6, "fn b() {}".to_owned())];
        assert_eq!(shipped(source), expected);
    }

    #[test]
    fn literals_are_blanked_but_count() {
        for literal in [
            r#""// }""#,
            r##"r#"// " }"#"##,
            r#"b"\" }""#,
            "'}'",
            r"'\''",
            r"'\u{7d}'",
            r#"br"}""#,
        ] {
            let source =
                format!("const A: &str = {literal};\n#[cfg(test)]\nmod t {{\n}}\nfn b() {{}}");
            let lines = shipped(&source);
            assert_eq!(lines.len(), 2, "{literal}: {lines:?}");
            assert!(
                !lines[0].1.contains('}') && !lines[0].1.contains("//"),
                "{lines:?}"
            );
            assert_eq!(lines[1], (5, "fn b() {}".to_owned()), "{literal}");
        }
    }

    #[test]
    fn lifetimes_open_no_literal() {
        assert_eq!(shipped("fn a<'a>(x: &'a str, r#in: u8) {} // x").len(), 1);
        assert!(
            shipped("fn a<'a>(x: &'a str) -> &'a str { x }")[0]
                .1
                .contains("{ x }")
        );
    }

    #[test]
    fn what_is_under_cfg_test_is_no_code() {
        let source = "#[cfg(test)]\nmod tests;\nfn a() {}\n#[cfg(test)]\n#[derive(Debug)]\n\
                      struct T {\n x: [u8; 3],\n}\nfn b() {}";
        assert_eq!(
            shipped(source)
                .iter()
                .map(|(at, _)| *at)
                .collect::<Vec<_>>(),
            [3, 9]
        );
    }

    #[test]
    fn modules_in_files_are_found() {
        let code = code_of(
            "mod a;\npub mod b;\npub(crate) mod c;\nmod d {}\n// mod e;\n#[cfg(test)] mod f;",
        );
        assert_eq!(declared_modules(&code), ["a", "b", "c", "f"]);
    }
}
