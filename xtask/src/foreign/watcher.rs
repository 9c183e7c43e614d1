//! Who looks at what others change: whatever is shown is of one version, and what was seen once stays.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, anyhow, bail, ensure};
use rustix::io::Errno;

use super::names::{Known, Names, State};
use crate::dice::Dice;
use crate::replaced::content::{size, version};
use crate::time::pause;

/// The mode of files that say nothing of it.
const DEFAULT_MODE: u32 = 0o644;
/// Longest rest between two looks, in milliseconds.
const REST_MS_MAX: u64 = 30;
/// What is wrong is kept up to so many times.
const WRONG_MAX: usize = 20;

/// What a mount shows under a name.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) state: State,
    pub(super) number: Option<u64>,
}

/// Looks at a name, and reads all of it.
///
/// # Errors
/// It could not be read, as while it is replaced; or it is of no one version.
pub(super) fn look(path: &Path) -> Result<Shown> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let (state, number) = (State::Absent, None);
            return Ok(Shown { state, number });
        }
        Err(error) => return Err(error.into()),
    };
    let about = file.metadata()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let version = version(&bytes, 0).map_err(|error| anyhow!(Mixed(format!("{error:#}"))))?;
    let Some(version) = version else {
        bail!(Mixed("it is empty".to_owned()));
    };
    ensure!(
        bytes.len() as u64 == size(version),
        Mixed(format!("{} bytes of version {version}", bytes.len()))
    );
    let mode = about.mode() & 0o777;
    let mode = (mode != DEFAULT_MODE).then_some(mode);
    Ok(Shown {
        state: State::There { version, mode },
        number: Some(about.ino()),
    })
}

/// Bytes that are of no one version.
#[derive(Debug)]
struct Mixed(String);

impl std::fmt::Display for Mixed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no version: {}", self.0)
    }
}

impl std::error::Error for Mixed {}

/// One who looks.
pub(super) struct Watcher<'a> {
    folder: PathBuf,
    names: &'a Names,
    dice: Dice,
    pub(super) looks: u64,
    pub(super) wrong: Vec<String>,
}

impl<'a> Watcher<'a> {
    pub(super) fn new(number: u64, folder: &Path, names: &'a Names, seed: u64) -> Self {
        Self {
            folder: folder.to_owned(),
            names,
            dice: Dice::new(&[seed, 1000 + number]),
            looks: 0,
            wrong: Vec::new(),
        }
    }

    /// Looks until it is over.
    pub(super) fn work(&mut self, is_over: &AtomicBool) {
        while !is_over.load(Ordering::Relaxed) {
            if let Some(name) = self.dice.one(&self.names.all()).cloned() {
                let before = self.names.get(&name);
                let shown = look(&self.folder.join(&name));
                let after = self.names.get(&name);
                self.looks += 1;
                if let Err(what) = judge(&before, &shown, &after)
                    && self.wrong.len() < WRONG_MAX
                {
                    self.wrong.push(format!("{name}: {what:#}"));
                }
            }
            pause(Duration::from_millis(self.dice.of(0..=REST_MS_MAX)));
        }
    }
}

/// What was shown, between two looks at what is known.
fn judge(before: &Known, shown: &Result<Shown>, after: &Known) -> Result<()> {
    let is_calm = before.is_seen && before.changes == after.changes;
    match shown {
        Err(error) if error.is::<Mixed>() => bail!("{error:#}"),
        Err(error) => {
            let errno = error.downcast_ref::<std::io::Error>();
            let is_stale = errno.and_then(Errno::from_io_error) == Some(Errno::STALE);
            ensure!(is_stale && !is_calm, "{error:#}, and nobody changed it");
        }
        Ok(shown) if is_calm => {
            ensure!(
                shown.state == before.state && shown.number == before.number,
                "was {before:?}, and is shown as {shown:?}"
            );
        }
        Ok(shown) => {
            if let State::There { version, .. } = shown.state {
                let is_its = after.versions.contains(&version);
                ensure!(is_its, "has version {version} of another name");
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replaced::content::whole;

    fn there(version: u64) -> State {
        State::There {
            version,
            mode: None,
        }
    }

    fn known(version: u64, changes: u64) -> Known {
        Known {
            state: there(version),
            is_seen: true,
            changes,
            number: Some(5),
            versions: [1, 2].into(),
        }
    }

    fn shown(version: u64, number: u64) -> Result<Shown> {
        Ok(Shown {
            state: there(version),
            number: Some(number),
        })
    }

    #[test]
    fn what_was_seen_stays_until_it_is_changed() {
        judge(&known(2, 4), &shown(2, 5), &known(2, 4)).unwrap();
        judge(&known(2, 4), &shown(1, 5), &known(2, 4)).unwrap_err();
        judge(&known(2, 4), &shown(2, 6), &known(2, 4)).unwrap_err();
        let stale = || Err(std::io::Error::from(Errno::STALE).into());
        judge(&known(2, 4), &stale(), &known(2, 4)).unwrap_err();
        // While it is changed, either may be shown, and no third.
        judge(&known(1, 4), &shown(1, 5), &known(2, 5)).unwrap();
        judge(&known(1, 4), &stale(), &known(2, 5)).unwrap();
        judge(&known(1, 4), &shown(3, 5), &known(2, 5)).unwrap_err();
    }

    #[test]
    fn what_is_mixed_is_no_version() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        assert_eq!(look(&path).unwrap().state, State::Absent);
        std::fs::write(&path, whole(2)).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644))
            .unwrap();
        assert_eq!(look(&path).unwrap().state, there(2));
        let mixed = [&whole(2)[..4096], &whole(3)[4096..]].concat();
        std::fs::write(&path, mixed).unwrap();
        assert!(look(&path).unwrap_err().is::<Mixed>());
        std::fs::write(&path, &whole(2)[..5000]).unwrap();
        assert!(look(&path).unwrap_err().is::<Mixed>());
    }
}
