//! `doctor`: looks at all that a mount needs, and says what is wrong.

use std::process::ExitCode;

use anyhow::Result;
use cloudmount::doctor::{Doctor, Finding, Report, Verdict, Writing};

use crate::cli;
use crate::say::say;
use crate::{place, serve};

/// Looks, and says what it found.
///
/// # Errors
/// The settings make no sense: there is nothing to look at then.
pub(crate) fn run(arguments: &cli::Doctor) -> Result<ExitCode> {
    let environment = place::environment();
    let settings = serve::settings(&arguments.flags, &environment)?;
    let mut doctor = Doctor::new(settings, environment);
    if let Some(url) = &arguments.url {
        doctor = doctor.location(url);
    }
    if let Some(folder) = &arguments.folder {
        doctor = doctor.folder(folder);
    }
    if arguments.write {
        doctor = doctor.write(Writing::Allowed);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(doctor.examine());
    // What the kernel does not answer does not keep the answer back.
    runtime.shutdown_background();
    if arguments.json {
        say(format_args!("{}", serde_json::to_string(&report)?))?;
    } else {
        for line in as_text(&report) {
            say(format_args!("{line}"))?;
        }
    }
    Ok(match report.worst() {
        Verdict::Fail => ExitCode::FAILURE,
        Verdict::Skipped | Verdict::Ok | Verdict::Warn => ExitCode::SUCCESS,
    })
}

fn as_text(report: &Report) -> Vec<String> {
    let mut lines: Vec<String> = report.findings.iter().flat_map(lines).collect();
    let count = |verdict| {
        let those = report.findings.iter().filter(|one| one.verdict == verdict);
        those.count()
    };
    lines.push(match (count(Verdict::Fail), count(Verdict::Warn)) {
        (0, 0) => "all is well".to_owned(),
        (0, warnings) => format!("it works; to be known: {warnings}"),
        (failures, _) => format!("to be mended: {failures}"),
    });
    lines
}

fn lines(finding: &Finding) -> Vec<String> {
    let mark = match finding.verdict {
        Verdict::Ok => "ok  ",
        Verdict::Skipped => "-   ",
        Verdict::Warn => "warn",
        Verdict::Fail => "FAIL",
    };
    let mut lines = vec![format!("{mark}  {}: {}", finding.check, finding.found)];
    lines.extend((finding.remedy.iter()).map(|remedy| format!("      {remedy}")));
    lines
}
