//! Every promise of the semantics document has a test: each bullet ends with the
//! names of its tests in backticks, and each name is a function of the repository. What is not
//! promised stands below the heading of the limits.

use std::collections::BTreeSet;

use super::{Finding, rust::code_of, tree::Tree};

const DOCUMENT: &str = "docs/semantics.md";

/// From here on, the document says what is not so.
const LIMITS: &str = "## Known limits";

/// Finds promises without a test.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(document) = tree.get(DOCUMENT) else {
        return vec![Finding::new(DOCUMENT, 0, "the promises are missing")];
    };
    let functions = functions(tree);
    let mut findings = Vec::new();
    for (line, bullet) in bullets(document) {
        let names = tests_of(&bullet);
        if names.is_empty() {
            findings.push(Finding::new(
                DOCUMENT,
                line,
                "end the promise with the names of its tests, in backticks",
            ));
        }
        for name in names.iter().filter(|name| !functions.contains(*name)) {
            findings.push(Finding::new(
                DOCUMENT,
                line,
                format!("no test is called {name}"),
            ));
        }
    }
    findings
}

/// Each `- …` with its following lines joined, and the line where it starts.
fn bullets(document: &str) -> Vec<(usize, String)> {
    let mut bullets: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (at, line) in document.lines().enumerate() {
        if line == LIMITS {
            break;
        }
        if let Some(text) = line.strip_prefix("- ") {
            bullets.push((at + 1, text.to_owned()));
            open = true;
        } else if open && line.starts_with(' ') {
            if let Some((_, text)) = bullets.last_mut() {
                text.push(' ');
                text.push_str(line.trim());
            }
        } else {
            open = false;
        }
    }
    bullets
}

/// The names in backticks that the bullet ends with.
fn tests_of(bullet: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = bullet.trim_end();
    while let Some(inner) = rest.strip_suffix('`') {
        let Some((before, name)) = inner.rsplit_once('`') else {
            break;
        };
        names.push(name.to_owned());
        rest = before.trim_end_matches([' ', ',']);
    }
    names
}

/// The names of all functions in the repository's Rust files.
fn functions(tree: &Tree) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (_, text) in tree.with_extension("rs") {
        for line in code_of(text).lines {
            if let Some((_, rest)) = line.split_once("fn ") {
                let is_part = |c: &char| c.is_alphanumeric() || *c == '_';
                names.insert(rest.chars().take_while(is_part).collect());
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(document: &str) -> Vec<String> {
        let code =
            "//! T.\nfn folders_stay() {}\nasync fn names_survive<V>() {}\n// fn gone() {}\n";
        let tree = Tree::of(&[(DOCUMENT, document), ("a.rs", code)]);
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn promises_with_tests_pass() {
        let document = "# S\n- A folder `d` stays\n  for ever. `folders_stay`\n\nProse.\n\
                        - Names. `names_survive`, `folders_stay`\n\n\
                        ## Known limits\n- No hard links.\n";
        assert_eq!(found(document), [""; 0]);
    }

    #[test]
    fn a_promise_without_a_test_is_found() {
        assert_eq!(found("- A promise.\n").len(), 1);
        assert_eq!(found("- A promise (really).\n").len(), 1);
        let unknown = found("# S\n\n- A promise. `gone`\n");
        assert_eq!(unknown, ["docs/semantics.md:3: no test is called gone"]);
    }

    #[test]
    fn a_missing_document_is_found() {
        assert_eq!(check(&Tree::of(&[])).len(), 1);
    }
}
