//! The README's Rust is true: each of its lines stands in the documentation of the library, which the
//! doc tests run.

use super::{Finding, tree::Tree};

const README: &str = "README.md";
const LIBRARY: &str = "crates/cloudmount/src/lib.rs";

/// Finds lines of Rust in the README that nobody compiles.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let (Some(readme), Some(library)) = (tree.get(README), tree.get(LIBRARY)) else {
        return vec![Finding::new(
            README,
            0,
            "the README or the library is missing",
        )];
    };
    let compiled: Vec<_> = library
        .lines()
        .filter_map(|line| line.strip_prefix("//! "))
        .map(str::trim)
        .collect();
    let mut findings = Vec::new();
    let mut is_rust = false;
    for (at, line) in readme.lines().enumerate() {
        if line.starts_with("```") {
            is_rust = line == "```rust";
        } else if is_rust && !line.trim().is_empty() && !compiled.contains(&line.trim()) {
            let text = format!("not in the documentation of {LIBRARY}: nobody compiles it");
            findings.push(Finding::new(README, at + 1, text));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_nobody_compiles_is_found() {
        let readme = "# A\n```sh\nls\n```\n```rust\nlet a = 1;\nlet b = 2;\n```\nlet c = 3;\n";
        let library = "//! ```\n//! let a = 1;\n//! ```\nlet b = 2;\n";
        let tree = Tree::of(&[(README, readme), (LIBRARY, library)]);
        let found = check(&tree);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].line, &*found[0].path), (7, README));
    }
}
