//! pjdfstest: exactly the cases that are expected to fail may fail, each for a reason.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::Extent;
use super::backend::Backend;
use super::daemon::Daemon;
use crate::run::Run;
use crate::say::say;
use crate::{place, tools};

/// Cases that fail, by reason.
const EXPECTED: &str = include_str!("../../suites/pjdfstest.expected");

const CONFIG: &str = r#"
[features]
posix_fallocate = {}
utime_now = {}
utimensat = {}
[settings]
naptime = 0.01
allow_remount = false
[dummy_auth]
entries = [["nobody", "nogroup"], ["tests", "tests"]]
"#;

/// Runs all cases.
pub(super) fn run(backend: &Backend, _: Extent) -> Result<String> {
    if !place::is_root() {
        return Ok("SKIPPED: it needs root".to_owned());
    }
    let program = tools::cargo_tools()?.join("pjdfstest");
    let has_user = Run::new("id").arg("tests").end()?.success();
    if !has_user {
        Run::new("useradd").args("-M -U tests").ok()?;
    }
    let config = backend.dir.path().join("pjdfstest.toml");
    std::fs::write(&config, CONFIG)?;
    let daemon = Daemon::start(backend, "pjdfstest", "pjdfstest", &["--allow-other"])?;
    let folder = daemon.folder().join("pj");
    std::fs::create_dir(&folder)?;
    std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o777))?;
    let cases = |pattern: &[&str]| -> Result<BTreeMap<String, String>> {
        let mut run = Run::new(&program)
            .arg("-c")
            .arg(&config)
            .arg("-p")
            .arg(&folder);
        for word in pattern {
            run = run.arg(word);
        }
        let ended = run.dir(&folder).within(Duration::from_secs(1200)).end()?;
        Ok(results(&ended.out))
    };
    let mut results = cases(&[])?;
    // Its cases run in parallel, and one that forks keeps another's file open for writing until it
    // executes: what fails out of turn is tried once more, alone.
    for name in unexpected(&results) {
        let again = cases(&[&name])?;
        if let Some(verdict) = again.get(&name) {
            say!("pjdfstest: {name} failed among others, and alone: {verdict}");
            results.insert(name, verdict.clone());
        }
    }
    drop(std::fs::remove_dir_all(&folder));
    daemon.end()?;
    judge(&results).with_context(|| format!("of {} cases", results.len()))
}

/// Every case with its verdict.
fn results(output: &str) -> BTreeMap<String, String> {
    output
        .lines()
        .filter_map(|line| {
            let (name, verdict) = line.split_once(char::is_whitespace)?;
            let verdict = verdict.trim();
            let known = ["ok", "FAILED", "skipped"].contains(&verdict) && name.contains("::");
            known.then(|| (name.to_owned(), verdict.to_owned()))
        })
        .collect()
}

fn expected() -> BTreeSet<&'static str> {
    let lines = EXPECTED.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect()
}

/// Failures that are not on the list.
fn unexpected(results: &BTreeMap<String, String>) -> Vec<String> {
    let expected = expected();
    let failed = results.iter().filter(|(_, verdict)| *verdict == "FAILED");
    failed
        .map(|(name, _)| name.clone())
        .filter(|name| !expected.contains(&**name))
        .collect()
}

fn judge(results: &BTreeMap<String, String>) -> Result<String> {
    let count = |verdict: &str| results.values().filter(|one| *one == verdict).count();
    let failed: BTreeSet<_> = (results.iter())
        .filter(|(_, verdict)| *verdict == "FAILED")
        .map(|(name, _)| &**name)
        .collect();
    let expected = expected();
    let unexpected = unexpected(results);
    let cured: Vec<_> = (expected.difference(&failed).copied())
        .filter(|name| results.get(*name).is_some_and(|verdict| verdict == "ok"))
        .collect();
    if results.is_empty() {
        bail!("pjdfstest ran no case");
    }
    if !unexpected.is_empty() || !cured.is_empty() {
        bail!(
            "failed: {}\nexpected to fail, but passed (take it off the list): {}",
            unexpected.join(" "),
            cured.join(" ")
        );
    }
    Ok(format!(
        "{} passed, {} failed as expected, {} skipped",
        count("ok"),
        failed.len(),
        count("skipped")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_expected_may_fail() {
        let first = expected().into_iter().next().unwrap();
        let output = format!("a::b   ok\n{first} FAILED\nnoise\nc::d::e skipped\n");
        let judged = judge(&results(&output)).unwrap();
        assert_eq!(judged, "1 passed, 1 failed as expected, 1 skipped");
        assert!(judge(&results("x::y FAILED\n")).is_err());
        let cured = judge(&results(&format!("{first} ok\n"))).unwrap_err();
        assert!(cured.to_string().contains(first), "{cured}");
        assert!(judge(&results("")).is_err());
    }
}
