//! Words that may not stand in a tracked file: unfinished work, silenced lints, ignored tests,
//! places of one machine.

use super::{Finding, rust::code_of, tree::Tree};

/// In any text file, as whole words. Written in halves, so that this file passes its own check.
const UNFINISHED: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
];

/// In any text file: what is true on one machine only.
const ONE_MACHINE: &[(&str, &str)] = &[
    (concat!("/ho", "me/"), "a path of one machine"),
    (concat!("/Us", "ers/"), "a path of one machine"),
    (concat!("/ro", "ot/"), "a path of one machine"),
    (concat!("/wo", "rk/"), "a path of one machine"),
    (concat!("../sh", "ared"), "a path outside the repository"),
    (
        concat!("index", "-url"),
        "a package registry: its choice is the machine's",
    ),
    (
        concat!("find", "-links"),
        "a package registry: its choice is the machine's",
    ),
    (
        concat!("replace", "-with ="),
        "a package registry: its choice is the machine's",
    ),
    (
        concat!("sparse", "+http"),
        "a package registry: its choice is the machine's",
    ),
    (
        concat!("art", "ifactory"),
        "a package registry: its choice is the machine's",
    ),
];

/// In Rust code (not in its comments and literals).
const BANNED_CODE: &[(&str, &str)] = &[
    ("todo!", "finish it"),
    ("unimplemented!", "finish it"),
    ("#[allow(", "use #[expect(lint, reason = \"…\")]"),
    ("#![allow(", "use #![expect(lint, reason = \"…\")]"),
    ("#[ignore]", "say why: #[ignore = \"…\"]"),
    ("#[path", "keep modules where their name says"),
];

/// The one registry whose name a lock file carries for everybody.
const PUBLIC_SOURCE: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Finds banned words.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.files() {
        if path.ends_with("Cargo.lock") {
            findings.extend(foreign_sources(path, text));
            continue;
        }
        if path.starts_with("fuzz/corpus/") {
            continue;
        }
        for (at, line) in text.lines().enumerate() {
            for reason in breaches(line) {
                findings.push(Finding::new(path, at + 1, reason));
            }
        }
        if path.ends_with(".rs") {
            findings.extend(banned_code(path, text));
        }
    }
    findings
}

fn breaches(line: &str) -> impl Iterator<Item = String> {
    let unfinished = UNFINISHED.iter().filter(|word| has_word(line, word));
    let machine = ONE_MACHINE.iter().filter(|(word, _)| line.contains(word));
    unfinished
        .map(|word| format!("{word}: finish it, or write it where work is planned"))
        .chain(machine.map(|(word, why)| format!("{word}: {why}")))
}

fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        !is_part(line[..at].chars().next_back()) && !is_part(line[at + word.len()..].chars().next())
    })
}

fn banned_code(path: &str, text: &str) -> Vec<Finding> {
    let code = code_of(text);
    let lines = code.lines.iter().enumerate();
    lines
        .flat_map(|(at, line)| {
            let found = BANNED_CODE.iter().filter(|(word, _)| line.contains(word));
            found.map(move |(word, why)| Finding::new(path, at + 1, format!("{word}: {why}")))
        })
        .collect()
}

fn foreign_sources(path: &str, text: &str) -> Vec<Finding> {
    let lines = text.lines().enumerate();
    lines
        .filter(|(_, line)| {
            line.strip_prefix("source = ")
                .is_some_and(|s| s.trim_matches('"') != PUBLIC_SOURCE)
        })
        .map(|(at, line)| Finding::new(path, at + 1, format!("{line}: not the public registry")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        check(&Tree::of(&[(path, text)])).len()
    }

    #[test]
    fn unfinished_work_is_found_anywhere() {
        for word in UNFINISHED {
            assert_eq!(found("a.md", &format!("see {word}: later")), 1);
            assert_eq!(
                found("a.md", &format!("{word}S and X{word} and {word}_A")),
                0
            );
        }
    }

    #[test]
    fn places_of_one_machine_are_found() {
        for (word, _) in ONE_MACHINE {
            assert_eq!(found("a.toml", &format!("x = \"{word}y\"")), 1, "{word}");
        }
    }

    #[test]
    fn banned_code_is_found_in_code_only() {
        for (word, _) in BANNED_CODE {
            assert_eq!(found("a.rs", &format!("{word}(x)")), 1, "{word}");
            assert_eq!(found("a.rs", &format!("// {word}")), 0, "{word}");
        }
    }

    #[test]
    fn a_lock_file_names_the_public_registry_only() {
        assert_eq!(
            found("Cargo.lock", &format!("source = \"{PUBLIC_SOURCE}\"\n")),
            0
        );
        assert_eq!(
            found(
                "fuzz/Cargo.lock",
                "source = \"git+https://example.com/x\"\n"
            ),
            1
        );
    }
}
