//! Every Rust file starts with `//!`: its purpose, then its laws.

use super::{Finding, tree::Tree};

/// Finds Rust files that do not say what they are for.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.with_extension("rs")
        .filter(|(_, text)| {
            // Only `#!` lines of cargo-fuzz (`#![no_main]`) may stand before it.
            let first = text.lines().find(|line| !line.starts_with("#!["));
            let purpose = first.and_then(|line| line.strip_prefix("//! "));
            purpose.is_none_or(|text| text.len() <= 3)
        })
        .map(|(path, _)| Finding::new(path, 1, "start the file with `//!` and its purpose"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_purpose_is_found() {
        let tree = Tree::of(&[
            ("a.rs", "//! Reads names.\n"),
            ("b.rs", "use x;\n"),
            ("c.rs", "//!\n"),
            ("d.rs", "#![no_main]\n//! Fuzzes names.\n"),
            ("e.md", "text"),
            ("f.rs", ""),
        ]);
        let found: Vec<_> = check(&tree).into_iter().map(|f| f.path).collect();
        assert_eq!(found, ["b.rs", "c.rs", "f.rs"]);
    }
}
