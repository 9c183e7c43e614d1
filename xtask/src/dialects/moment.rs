//! A bad moment on a real mount: calls before, during and after it, what was lost, and the table of it.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use super::calls::{Call, Ended, LONGEST, Told, repeat};
use super::tree::{Wanted as Content, prepare};
use crate::filesystem::{Bucket, Filesystem, Program, Wanted};
use crate::say::say;
use crate::server::Server;
use crate::time::pause;

/// Before it.
const CALM: Duration = Duration::from_secs(1);

/// What is mounted, and with which flags.
#[derive(Clone, Debug)]
pub(super) struct Place {
    bucket: Bucket,
    more: &'static [&'static str],
}

impl Place {
    pub(super) fn of(bucket: Bucket) -> Self {
        Self { bucket, more: &[] }
    }

    pub(super) fn with(mut self, more: &'static [&'static str]) -> Self {
        self.more = more;
        self
    }

    /// What `work` gives on a mount of it, which has ended in good order afterwards.
    ///
    /// # Errors
    /// Those of `work`, with what the mount said last; or it does not mount, or end.
    pub(super) fn mounted<T>(
        &self,
        scratch: &Path,
        work: impl FnOnce(&Filesystem) -> Result<T>,
    ) -> Result<T> {
        std::fs::create_dir(scratch)?;
        let folder = tempfile::Builder::new().prefix("cloudmount-").tempdir()?;
        let wanted = Wanted {
            program: Program::Cloudmount,
            bucket: Some(&self.bucket),
            folder: folder.path(),
            scratch,
            more: self.more,
        };
        let mount = wanted.mount()?;
        let done = work(&mount).with_context(|| format!("the mount said: {}", mount.said()))?;
        mount.end()?;
        Ok(done)
    }

    /// What calls need, in the folder `part` of the bucket.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn prepared(&self, part: &str, scratch: &Path) -> Result<Mutex<Content>> {
        self.mounted(scratch, |mount| {
            let folder = mount.folder().join(part);
            std::fs::create_dir(&folder)?;
            prepare(&folder).map(Mutex::new)
        })
    }
}

/// Calls of each kind before, during and after what `suffer` does, and what that gives.
///
/// # Errors
/// A kind of call does not recover, or `suffer` fails.
pub(super) fn during<T>(
    folder: &Path,
    content: &Mutex<Content>,
    suffer: impl FnOnce() -> Result<T>,
) -> Result<(Vec<Told>, T)> {
    let ended = Ended::default();
    std::thread::scope(|scope| {
        let callers: Vec<_> = Call::ALL
            .into_iter()
            .map(|call| {
                let ended = &ended;
                scope.spawn(move || repeat(call, folder, content, ended))
            })
            .collect();
        pause(CALM);
        let suffered = suffer();
        // Also where that failed: the callers wait for it.
        ended.now();
        let told = callers.into_iter().map(|caller| {
            let told = caller.join().map_err(|_| anyhow!("a caller broke"));
            told.and_then(|told| told)
        });
        let told = told.collect::<Result<Vec<_>>>();
        // What went wrong first is told.
        let suffered = suffered?;
        Ok((told?, suffered))
    })
}

/// What was accepted and is not in the bucket, below `prefix`.
///
/// # Errors
/// Nobody can look.
pub(super) fn lost(content: Mutex<Content>, server: &Server, prefix: &str) -> Result<Vec<String>> {
    let content = content.into_inner().unwrap_or_else(PoisonError::into_inner);
    let lost = content.lost(server, prefix)?;
    say!("<!-- {} objects compared -->", content.len());
    Ok(lost)
}

/// What may be in a moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Allowed {
    /// The calls that may end in an error.
    pub(super) errors: &'static [Call],
    /// For how long there is no way to the bucket, where that is longer than a request is tried: a call is several questions of
    /// the kernel, one after the other, and what is asked in one folder waits for what was asked before.
    pub(super) away: Duration,
}

/// Moments, and what became of each kind of call.
#[derive(Debug, Default)]
pub(super) struct Table {
    wrong: Vec<String>,
}

impl Table {
    /// Prints its head.
    pub(super) fn begin(first: &str) -> Self {
        say!("| {first} | call | calls | longest | data lost | errors | works again after |");
        say!("|---|---|---|---|---|---|---|");
        Self::default()
    }

    /// Prints what became of one moment, and holds it against what may be: nothing lost, no call that hangs, and no error
    /// but those that are allowed, of which the first is shown.
    pub(super) fn rows(&mut self, name: &str, all: &[Told], lost: &[String], allowed: Allowed) {
        for told in all {
            let (errors, error) = &told.errors;
            say!(
                "| {name} | {} | {} | {:.1} s | {} | {errors} | {:.1} s |",
                told.call.name(),
                told.calls,
                told.longest.as_secs_f64(),
                lost.len(),
                told.recovered.as_secs_f64(),
            );
            let what = format!("{name}, {}", told.call.name());
            match *errors > 0 {
                true if allowed.errors.contains(&told.call) => say!("<!-- {what}: {error} -->"),
                true => self.wrong.push(format!("{what}: {error}")),
                false => {}
            }
            if told.longest > LONGEST + allowed.away {
                let took = told.longest.as_secs_f64();
                self.wrong.push(format!("{what}: {took:.1} s"));
            }
        }
        if !lost.is_empty() {
            self.wrong.push(format!("{name}: lost {lost:?}"));
        }
    }

    /// Takes in what another judge said.
    pub(super) fn told(&mut self, verdict: Result<()>) {
        if let Err(error) = verdict {
            self.wrong.push(format!("{error:#}"));
        }
    }

    /// # Errors
    /// Something was not as it must be.
    pub(super) fn verdict(self) -> Result<()> {
        match self.wrong.is_empty() {
            true => Ok(()),
            false => bail!("{}", self.wrong.join("\n")),
        }
    }
}
