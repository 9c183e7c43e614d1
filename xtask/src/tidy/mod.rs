//! `cargo xtask tidy`: what the project demands of its own text, checked by machine.
//!
//! Laws: a check is a pure function of the [`Tree`], so that its tests feed it a tree that breaks
//! its rule; a finding names file, line and what to do; findings are never only warnings.

mod headers;
mod links;
mod promises;
mod reached;
mod rust;
mod sizes;
mod snippets;
mod tree;
mod walls;
mod words;

use std::fmt;

use anyhow::{Result, bail};

use crate::place;
use crate::say::say;
use tree::Tree;

/// One breach of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    /// Counted from 1; 0 for the file as a whole.
    line: usize,
    text: String,
}

impl Finding {
    fn new(path: &str, line: usize, text: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            text: text.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.text)
    }
}

type Check = (&'static str, fn(&Tree) -> Vec<Finding>);

const CHECKS: &[Check] = &[
    ("headers", headers::check),
    ("sizes", sizes::check),
    ("words", words::check),
    ("links", links::check),
    ("reached", reached::check),
    ("promises", promises::check),
    ("snippets", snippets::check),
];

/// Runs every check on the repository.
///
/// # Errors
/// Something is not tidy, or the repository cannot be read.
pub(crate) fn run() -> Result<()> {
    let tree = Tree::of_repository(place::root())?;
    let mut findings = walls::check(&walls::packages(place::root())?);
    for (_, check) in CHECKS {
        findings.extend(check(&tree));
    }
    findings.sort();
    for finding in &findings {
        say!("{finding}");
    }
    if !findings.is_empty() {
        bail!("tidy: {} findings", findings.len());
    }
    let names: Vec<_> = CHECKS.iter().map(|(name, _)| *name).collect();
    say!(
        "tidy: {} files pass walls, {}",
        tree.len(),
        names.join(", ")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    /// The repository itself passes; the checks' own tests show that each one can fail.
    #[test]
    fn the_repository_is_tidy() {
        super::run().unwrap();
    }
}
