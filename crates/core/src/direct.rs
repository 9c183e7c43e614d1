//! [`DirectIo`]: which files are read past the kernel's page cache. Pure.
//!
//! Law: what lies in a `.git` folder never is: git maps its packs and reads them again and again.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cloudmount_vfs::Timestamp;

/// Most patterns: each is compared at each open.
const GLOBS_MAX: usize = 64;

/// Longest pattern, in characters; a key has 1,024 bytes.
const GLOB_CHARS_MAX: usize = 1024;

/// Which files are opened past the page cache by who only reads.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DirectIo {
    globs: Arc<[Glob]>,
    /// Files that someone else has changed within this time, too; zero: none of them.
    changed_within: Duration,
}

impl DirectIo {
    /// Those whose paths match one of `globs`, and those that someone else has changed within
    /// `changed_within`.
    #[must_use]
    pub fn new(globs: Globs, changed_within: Duration) -> Self {
        Self {
            globs: globs.0,
            changed_within,
        }
    }

    /// Whether any file can be meant.
    pub(crate) fn is_off(&self) -> bool {
        self.globs.is_empty() && self.changed_within.is_zero()
    }

    /// Whether the file `path` is meant at `now`, which someone else changed at `changed`.
    pub(crate) fn means(&self, path: &str, changed: Option<Timestamp>, now: Timestamp) -> bool {
        if path.split('/').any(|part| part == ".git") {
            return false;
        }
        // By the store's clock: one that is ahead says "just now".
        let is_new = |changed: Timestamp| now.saturating_since(changed) < self.changed_within;
        changed.is_some_and(is_new) || self.globs.iter().any(|glob| glob.matches(path))
    }
}

/// Patterns of paths, written with commas between them: `*.log,data/**`.
///
/// `*` stands for any characters but the slash, `?` for one, `**` for any, `**/` also for nothing. A pattern
/// without a slash is compared with the file's name, others with its path in the mount.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Globs(Arc<[Glob]>);

impl Globs {
    /// Reads them.
    ///
    /// # Errors
    /// What is wrong with them, as a fragment of a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let globs: Vec<_> = (text.split(','))
            .map(str::trim)
            .filter(|pattern| !pattern.is_empty())
            .map(Glob::parse)
            .collect::<Result<_, _>>()?;
        if globs.len() > GLOBS_MAX {
            return Err(format!("more than {GLOBS_MAX} patterns"));
        }
        Ok(Self(globs.into()))
    }

    /// Whether one of them means the path.
    pub(crate) fn match_path(&self, path: &str) -> bool {
        self.0.iter().any(|glob| glob.matches(path))
    }

    /// Whether all of them are compared with names, not with paths.
    #[must_use]
    pub fn are_of_names(&self) -> bool {
        self.0.iter().all(|glob| !glob.of_path)
    }
}

/// A pattern.
#[derive(Clone, PartialEq, Eq)]
struct Glob {
    tokens: Box<[Token]>,
    /// Whether it is compared with the whole path.
    of_path: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Token {
    One(char),
    /// Any but the slash.
    AnyOne,
    /// Any number of these.
    Any,
    /// Any number of any.
    Everything,
    /// Nothing, or any that end with a slash.
    Folders,
}

impl Glob {
    fn parse(pattern: &str) -> Result<Self, String> {
        if pattern.chars().count() > GLOB_CHARS_MAX {
            return Err(format!(
                "a pattern of more than {GLOB_CHARS_MAX} characters"
            ));
        }
        let mut rest = pattern.strip_prefix('/').unwrap_or(pattern);
        let mut tokens = Vec::new();
        while let Some(first) = rest.chars().next() {
            let at_start = matches!(tokens.last(), None | Some(Token::One('/') | Token::Folders));
            let (token, length) = match first {
                '*' if at_start && rest.starts_with("**/") => (Token::Folders, 3),
                '*' if rest.starts_with("**") => (Token::Everything, 2),
                '*' => (Token::Any, 1),
                '?' => (Token::AnyOne, 1),
                one => (Token::One(one), one.len_utf8()),
            };
            tokens.push(token);
            rest = &rest[length..];
        }
        Ok(Self {
            tokens: tokens.into(),
            of_path: pattern.contains('/'),
        })
    }

    fn matches(&self, path: &str) -> bool {
        let text = match (self.of_path, path.rsplit_once('/')) {
            (false, Some((_, name))) => name,
            _ => path,
        };
        // All places of the pattern where it may be at once, so that no pattern takes long.
        let end = self.tokens.len();
        let mut places = vec![false; end + 1];
        self.enter(&mut places, 0);
        for one in text.chars() {
            let mut next = vec![false; end + 1];
            for (place, token) in self.tokens.iter().enumerate() {
                if !places[place] {
                    continue;
                }
                match token {
                    Token::One(wanted) if *wanted == one => self.enter(&mut next, place + 1),
                    Token::AnyOne if one != '/' => self.enter(&mut next, place + 1),
                    Token::Any if one != '/' => self.enter(&mut next, place),
                    Token::Everything => self.enter(&mut next, place),
                    Token::Folders => {
                        next[place] = true;
                        if one == '/' {
                            self.enter(&mut next, place + 1);
                        }
                    }
                    Token::One(_) | Token::AnyOne | Token::Any => {}
                }
            }
            places = next;
        }
        places[end]
    }

    /// Comes to a place, and past what may stand for nothing there.
    fn enter(&self, places: &mut [bool], place: usize) {
        let mut place = place;
        places[place] = true;
        while let Some(Token::Any | Token::Everything | Token::Folders) = self.tokens.get(place) {
            place += 1;
            places[place] = true;
        }
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for token in &self.tokens {
            match token {
                Token::One(one) => write!(f, "{one}")?,
                Token::AnyOne => f.write_str("?")?,
                Token::Any => f.write_str("*")?,
                Token::Everything => f.write_str("**")?,
                Token::Folders => f.write_str("**/")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(globs: &str, path: &str) -> bool {
        let direct = DirectIo::new(Globs::parse(globs).unwrap(), Duration::ZERO);
        direct.means(path, None, Timestamp::EPOCH)
    }

    #[test]
    fn patterns_and_paths() {
        for (globs, yes, no) in [
            (
                "*.log",
                &["a.log", "b/c/.log", "x/a.log"][..],
                &["a.logs", "a.log/b", "log"][..],
            ),
            (
                "data/**",
                &["data/a", "data/b/c"],
                &["data", "x/data/a", "database/a"],
            ),
            ("/data/*", &["data/a"], &["data/a/b", "a"]),
            (
                "a/**/b",
                &["a/b", "a/x/b", "a/x/y/b"],
                &["a/xb", "ab", "a/x/yb"],
            ),
            ("**/b", &["b", "a/b", "x/a/b"], &["ab", "a/xb"]),
            ("a**b", &["ab", "a-b", "axb"], &["ba"]),
            ("x/a**b", &["x/a/c/b"], &["x/a/c"]),
            (
                "?.bin, *.tmp",
                &["a.bin", "\u{e4}.bin", "ab.tmp"],
                &[".bin", "ab.bin"],
            ),
            ("*", &["a", "b/c"], &[]),
            ("", &[], &["a"]),
            ("*", &[], &[".git/index", "a/.git/b/c"]),
        ] {
            for path in yes {
                assert!(matches(globs, path), "{globs}: {path}");
            }
            for path in no {
                assert!(!matches(globs, path), "{globs}: {path}");
            }
        }
        assert!(Globs::parse(&"a,".repeat(65)).is_err());
        assert!(Globs::parse(&"a".repeat(1025)).is_err());
    }

    #[test]
    fn what_others_changed_a_moment_ago() {
        let direct = DirectIo::new(Globs::default(), Duration::from_secs(60));
        let at = |secs| Timestamp::new(secs, 0);
        assert!(direct.means("a", Some(at(41)), at(100)));
        assert!(!direct.means("a", Some(at(40)), at(100)));
        assert!(
            direct.means("a", Some(at(200)), at(100)),
            "its clock is ahead"
        );
        assert!(!direct.means("a", None, at(100)));
        assert!(!direct.means("a/.git/b", Some(at(99)), at(100)));
        let off = DirectIo::default();
        assert!(off.is_off() && !off.means("a", Some(at(100)), at(100)));
    }

    /// The same, as slow and as plain as can be.
    fn plain(tokens: &[Token], text: &[char]) -> bool {
        let Some((token, rest)) = tokens.split_first() else {
            return text.is_empty();
        };
        let one = |is_right: &dyn Fn(char) -> bool| {
            text.first().is_some_and(|one| is_right(*one)) && plain(rest, &text[1..])
        };
        let upto = |length: usize| plain(rest, &text[length..]);
        match token {
            Token::One(wanted) => one(&|found| found == *wanted),
            Token::AnyOne => one(&|found| found != '/'),
            Token::Any => (0..=text.len())
                .take_while(|length| *length == 0 || text[length - 1] != '/')
                .any(upto),
            Token::Everything => (0..=text.len()).any(upto),
            Token::Folders => (0..=text.len())
                .filter(|length| *length == 0 || text[length - 1] == '/')
                .any(upto),
        }
    }

    proptest! {
        #[test]
        fn as_the_plain_way(pattern in "[ab/*?]{0,8}", path in "[ab]{1,3}(/[ab]{1,3}){0,3}") {
            let glob = Glob::parse(&format!("/{pattern}")).unwrap();
            let text: Vec<_> = path.chars().collect();
            prop_assert_eq!(glob.matches(&path), plain(&glob.tokens, &text), "{:?}", glob);
        }
    }
}
