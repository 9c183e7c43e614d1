//! Transcripts: steps with their results and the store calls that each made.
//!
//! A transcript is text. A line at the margin is a step (see [`Step`] for all of them), ` => `, and
//! its result; the indented lines below are the calls that reached the store during the step, as
//! [`LogStore`] writes them:
//!
//! ```text
//! mkdir /d 755 => ok
//! settle => ok
//!     put d/ 0 bytes if-absent -> v1
//! cat /d/missing => ! not found
//!     head d/missing ! not found
//! ```
//!
//! To write one, write the steps only and let [`check`] fail: it prints the whole, to be read and
//! pasted.
//!
//! The kernel of a transcript should be quiet: [`quiet`].
//!
#![doc = include_str!("script/steps.md")]

use crate::clock::turns;
use crate::kernel::{Interrupt, Options, PageCheck};
use crate::script::Session;
use crate::suite::Mounted;
use crate::{LogStore, World};

pub use crate::script::{Data, How, ParseError, Step};

/// Options of a kernel that makes no calls but those of the steps: nothing is interrupted, no page
/// is read again, and directories are read in one piece.
#[must_use]
pub fn quiet() -> Options {
    Options {
        interrupt: Interrupt::Never,
        page_check: PageCheck::Trust,
        scan_room: usize::MAX,
        ..Options::default()
    }
}

/// Runs the steps of a transcript and gives it with the results and calls that there were.
///
/// # Errors
/// The line that is no step.
pub async fn record<W: World>(
    mounted: &mut Mounted<W>,
    log: &LogStore,
    transcript: &str,
) -> Result<String, ParseError> {
    let mut session = Session::default();
    let mut seen = String::new();
    turns().await;
    drop(log.take());
    for line in transcript.lines() {
        let at_margin = !line.is_empty() && !line.starts_with(char::is_whitespace);
        if !at_margin {
            continue;
        }
        let step = line.split(" => ").next().unwrap_or(line);
        let step: Step = step.parse()?;
        let answer = session.run(mounted, &step).await;
        // What the step set going in the background belongs to it as far as it gets now.
        turns().await;
        seen = seen + &step.to_string() + " => " + &answer + "\n";
        for call in log.take() {
            seen = seen + "    " + &call + "\n";
        }
    }
    Ok(seen)
}

/// Runs the steps of a transcript and compares.
///
/// # Panics
/// If a result or a call differs, with the transcript as it really was; or if a line is no step.
pub async fn check<W: World>(mounted: &mut Mounted<W>, log: &LogStore, transcript: &str) {
    let transcript = unindented(transcript);
    let seen = record(mounted, log, &transcript).await;
    let seen = seen.unwrap_or_else(|error| format!("{error}\n"));
    assert!(
        seen == transcript,
        "the transcript differs; it really was:\n\n{seen}\nfirst difference: {}",
        difference(&seen, &transcript)
    );
}

/// Takes away what all lines are indented by, and the empty lines around: so that a transcript can
/// stand in the middle of a test.
fn unindented(text: &str) -> String {
    let lines: Vec<_> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let indent = |line: &&str| line.len() - line.trim_start().len();
    let common = lines.iter().map(indent).min().unwrap_or_default();
    lines
        .iter()
        .map(|line| line[common..].trim_end().to_owned() + "\n")
        .collect()
}

fn difference(seen: &str, wanted: &str) -> String {
    let mut seen = seen.lines();
    let mut wanted = wanted.lines();
    loop {
        match (seen.next(), wanted.next()) {
            (Some(a), Some(b)) if a == b => {}
            (a, b) => {
                let (a, b) = (a.unwrap_or("the end"), b.unwrap_or("the end"));
                return format!("`{a}` instead of `{b}`");
            }
        }
    }
}
