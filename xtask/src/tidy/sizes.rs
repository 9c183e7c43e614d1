//! Files of at most [`MOST_LINES`] lines of code: a ratchet that only tightens.
//!
//! Comments, blank lines and tests do not count. A file that is longer stands in [`RATCHET`] with
//! its size; it may not grow, and when it shrinks the line there must shrink with it. clippy's
//! `too_many_lines` keeps functions at 70.

use super::{Finding, rust::code_of, tree::Tree};

/// More than this is more than one concept.
const MOST_LINES: usize = 400;
/// The exceptions, as lines `SIZE PATH`.
const RATCHET: &str = "xtask/sizes.txt";

/// Finds files that are too long, and exceptions that are out of date.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let exceptions = exceptions(tree);
    let mut findings = Vec::new();
    for (path, text) in tree.with_extension("rs").filter(|(path, _)| !is_test(path)) {
        let size = code_of(text).shipped().count();
        let allowed = exceptions.iter().find(|(_, _, file)| file == path);
        let text = match allowed {
            None if size > MOST_LINES => {
                format!("{size} lines of code, {MOST_LINES} at most: split it by concept")
            }
            Some((_, limit, _)) if size > *limit => {
                format!("grew to {size} lines of code, {RATCHET} allows {limit}")
            }
            _ => continue,
        };
        findings.push(Finding::new(path, 0, text));
    }
    for (line, limit, path) in &exceptions {
        let size = tree
            .get(path)
            .map_or(0, |text| code_of(text).shipped().count());
        let text = match size {
            0 => format!("{path} is gone: remove this line"),
            _ if size <= MOST_LINES => format!("{path} has {size} lines now: remove this line"),
            _ if size < *limit => format!("{path} has {size} lines now: write that instead"),
            _ => continue,
        };
        findings.push(Finding::new(RATCHET, *line, text));
    }
    findings
}

/// Line in the ratchet, lines allowed, path.
fn exceptions(tree: &Tree) -> Vec<(usize, usize, String)> {
    let ratchet = tree.get(RATCHET).unwrap_or_default();
    let lines = ratchet
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.starts_with('#'));
    lines
        .filter_map(|(at, line)| {
            let (size, path) = line.split_once(' ')?;
            Some((at + 1, size.parse().ok()?, path.trim().to_owned()))
        })
        .collect()
}

fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(lines: usize, ratchet: &str) -> Vec<String> {
        let source = "fn a() {}\n// why\n\n".repeat(lines);
        let tree = Tree::of(&[
            ("a.rs", &source),
            ("x/tests.rs", &source),
            (RATCHET, ratchet),
        ]);
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_file_over_the_limit_is_found() {
        assert!(found(400, "").is_empty());
        let too_long = found(401, "");
        assert!(too_long[0].starts_with("a.rs:0: 401 lines"), "{too_long:?}");
        assert_eq!(too_long.len(), 1);
    }

    #[test]
    fn an_exception_may_only_shrink() {
        assert!(found(450, "450 a.rs").is_empty());
        assert!(found(451, "450 a.rs")[0].contains("grew to 451"));
        assert!(found(449, "450 a.rs")[0].contains("write that instead"));
        assert!(found(399, "450 a.rs")[0].contains("remove this line"));
        assert!(found(1, "450 gone.rs")[0].contains("gone.rs is gone"));
    }
}
