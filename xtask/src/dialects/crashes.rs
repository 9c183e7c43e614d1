//! Kills of a real mount at each dialect: `cargo xtask crash`, at a server that speaks it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::place;
use crate::run::Run;
use crate::say::say;

/// The dialects: conditions passed over, not known, with bare tags only; no copies of parts; parts of one length; no object that is
/// a folder, too; listings without order; removals of many with their checksum; throttling as a refusal.
const DIALECTS: [&str; 9] = [
    "passes_over",
    "no_conditions",
    "bare_tags",
    "no_part_copies",
    "equal_parts",
    "no_prefix_objects",
    "unordered",
    "needs_md5",
    "throttles_403",
];

/// The failpoints at which the ways of the servers differ: the bucket has done something that nobody here knows of yet.
const FAILPOINTS: [&str; 6] = [
    "put-answered",
    "part-sent",
    "parts-joined",
    "copy-answered",
    "metadata-answered",
    "remove-answered",
];

/// At which failpoints it is killed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Failpoints {
    /// Where the servers differ.
    Chosen,
    /// Each.
    All,
}

/// How long the kills at one may take, with the build.
const LIMIT: Duration = Duration::from_secs(1800);

/// A server of one dialect. It ends when its input does.
struct Server {
    child: Child,
    endpoint: String,
    bucket: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}

impl Server {
    fn start(dialect: &str) -> Result<Self> {
        let mut child = Command::new(place::target().join("debug/examples/dialect_server"))
            .arg(dialect)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("the server of dialects cannot be started")?;
        let mut said = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut said)?;
        }
        let (endpoint, bucket) = (said.trim().split_once(' ')).unwrap_or_default();
        let server = Self {
            endpoint: endpoint.to_owned(),
            bucket: bucket.to_owned(),
            child,
        };
        if server.endpoint.is_empty() {
            bail!("the server of dialects does not know {dialect}");
        }
        Ok(server)
    }
}

/// Kills the mount so many times at each, and at failpoints, and prints the table.
///
/// # Errors
/// A promise is broken at one of them.
pub(super) fn run(kills: u64, failpoints: Failpoints) -> Result<()> {
    Run::cargo()
        .args("build --quiet --package cloudmount-testkit --example dialect_server")
        .dir(place::root())
        .within(LIMIT)
        .ok()?;
    let ourselves = std::env::current_exe()?.display().to_string();
    say!("| dialect | rounds | kills | kills at failpoints | files | promises broken |");
    say!("|---|---|---|---|---|---|");
    let chosen: &[&str] = match failpoints {
        Failpoints::Chosen => &FAILPOINTS,
        Failpoints::All => &[],
    };
    let chosen: Vec<_> = chosen.iter().map(|name| format!("--at {name}")).collect();
    let chosen = chosen.join(" ");
    let mut failed = Vec::new();
    for dialect in DIALECTS {
        let server = Server::start(dialect)?;
        let ended = Run::new(&ourselves)
            .args("crash --on given --kills")
            .arg(kills.to_string())
            .args(&chosen)
            .env("AWS_ENDPOINT_URL", &server.endpoint)
            .env("AWS_ACCESS_KEY_ID", "testing")
            .env("AWS_SECRET_ACCESS_KEY", "nothing-secret")
            .env("AWS_REGION", "us-east-1")
            // The plain client sends checksums of the newer kind else, which these servers do not speak.
            .env("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
            .env("XTASK_BUCKET", &server.bucket)
            .dir(place::root())
            .within(LIMIT)
            .end()?;
        let told = ended.out.lines().find_map(told);
        match told.filter(|_| ended.success()) {
            Some(cells) => say!("| `{dialect}` | {} |", cells.join(" | ")),
            None => failed.push(format!("{dialect}:\n{}", ended.tail())),
        }
    }
    if !failed.is_empty() {
        bail!("red: {}", failed.join("\n"));
    }
    Ok(())
}

/// Rounds, kills, files and violations of a run, as its last lines tell them.
fn told(line: &str) -> Option<Vec<String>> {
    let rest = line.strip_prefix("crash on given")?;
    let number = |unit: &str| {
        let (before, _) = rest.split_once(unit)?;
        Some(before.rsplit([' ', ',']).next()?.to_owned())
    };
    let (before, _) = rest.split_once(" failpoints")?;
    let (_, hits) = before.rsplit_once(" at ")?;
    Some(vec![
        number(" rounds")?,
        number(" kills at random")?,
        hits.to_owned(),
        number(" files")?,
        number(" violations")?,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_run_says_is_read() {
        let line = "crash on given, close both, fsync both, seed 1: 11 rounds, 10 kills at random, 0 at 0 of 40 failpoints, 86 \
                    files, 0 violations; 31 s";
        assert_eq!(told(line).unwrap(), ["11", "10", "0 of 40", "86", "0"]);
        assert_eq!(told("crash on moto: 1 rounds"), None);
    }
}
