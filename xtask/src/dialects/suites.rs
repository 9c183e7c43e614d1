//! Each dialect with each suite: runs the tests, and reads what they say of themselves.
//!
//! A suite says `dialect NAME SUITE: 88 held, 1 not offered, 0 by nature` when all is as it should be. *Not offered*
//! are laws about what the dialect has not; *by nature* those that it breaks because of what it is, each of them named in the
//! test, and checked to be broken.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::place;
use crate::run::Run;
use crate::say::say;

/// The suites: the package that has them, and what they are called.
const SUITES: [(&str, &[&str]); 3] = [
    ("cloudmount-store", &["laws of stores"]),
    (
        "cloudmount-core",
        &["laws of filesystems", "rows beside the model"],
    ),
    ("cloudmount-stage", &["crashes"]),
];

/// How long one may take, built from nothing.
const LIMIT: Duration = Duration::from_secs(2400);

/// What a suite said of a dialect.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Cases {
    dialect: String,
    suite: String,
    /// `88 held, 1 not offered, 0 by nature`.
    told: String,
}

/// Runs them, and prints the table.
///
/// # Errors
/// One fails.
pub(super) fn run() -> Result<()> {
    let mut table: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let mut failed = Vec::new();
    for (package, suites) in SUITES {
        let ended = Run::cargo()
            .args("test --quiet --test it --package")
            .arg(package)
            .args("dialects:: -- --nocapture --test-threads 2")
            .env("RUST_BACKTRACE", "0")
            .dir(place::root())
            .within(LIMIT)
            .end()?;
        let all: Vec<Cases> = ended.out.lines().filter_map(cases).collect();
        let is_there = |suite: &&str| all.iter().any(|cases| cases.suite == **suite);
        if !ended.success() || !suites.iter().all(is_there) {
            failed.push(format!("{}:\n{}", suites.join(", "), ended.tail()));
        }
        for cases in all {
            table
                .entry(cases.dialect)
                .or_default()
                .insert(cases.suite, cases.told);
        }
    }
    let names: Vec<&str> = SUITES
        .iter()
        .flat_map(|(_, suites)| *suites)
        .copied()
        .collect();
    say!("| dialect | {} |", names.join(" | "));
    say!("|---|{}", "---|".repeat(names.len()));
    for (dialect, told) in &table {
        let cell = |suite: &&str| told.get(*suite).map_or("-", String::as_str).to_owned();
        let cells: Vec<String> = names.iter().map(cell).collect();
        say!("| `{dialect}` | {} |", cells.join(" | "));
    }
    if !failed.is_empty() {
        bail!("red: {}", failed.join("\n"));
    }
    Ok(())
}

/// Reads one line. A runner may have written before it on the same line.
fn cases(line: &str) -> Option<Cases> {
    let (_, rest) = line.split_once("dialect ")?;
    let (name, told) = rest.split_once(": ")?;
    let (dialect, suite) = name.split_once(' ')?;
    told.contains(" held, ").then(|| Cases {
        dialect: dialect.to_owned(),
        suite: suite.to_owned(),
        told: told.trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_suites_say_is_read() {
        let told = "88 held, 1 not offered, 0 by nature";
        let line = format!("..dialect lags laws of stores: {told}");
        let found = cases(&line).unwrap();
        assert_eq!(
            (found.dialect.as_str(), found.suite.as_str()),
            ("lags", "laws of stores")
        );
        assert_eq!(found.told, told);
        for other in [
            "",
            "dialect",
            "test dialects::lags::x ... ok",
            "dialect a b: red",
        ] {
            assert_eq!(cases(other), None, "{other}");
        }
    }
}
