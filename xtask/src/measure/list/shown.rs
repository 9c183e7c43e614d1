//! `ls -l`, and whether it shows what was put: names and sizes, to the last entry.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::Filled;
use crate::filesystem::Filesystem;
use crate::run::Run;
use crate::time::now;

/// How long one listing may take: others ask for each object.
const LIMIT: Duration = Duration::from_secs(1200);
/// A filesystem that has no disk (`tmpfs`).
const MEMORY: &str = "/dev/shm";
/// Sizes of what the plain client puts: see its `fill`.
const SIZES: usize = 97;
/// Where the size and the name are in a line of `ls -ln` whose time is one number.
const SIZE_AT: usize = 4;
const NAME_AT: usize = 6;

/// The name of an object by its number.
pub(super) fn name(number: usize) -> String {
    format!("file{number:07}")
}

/// The size of an object by its number, or what it has more than all have.
pub(super) fn size(number: usize) -> usize {
    number % SIZES
}

/// Seconds of `ls -l` of a folder.
///
/// # Errors
/// It shows anything but what was put.
pub(super) fn listed(mount: &Filesystem, filled: &Filled) -> Result<f64> {
    ls(&mount.folder().join(filled.name), filled)
}

/// The same of as many files of the same names and sizes in the memory of this machine: what `ls` itself takes, with the
/// kernel.
pub(super) fn in_memory(filled: &Filled) -> Result<f64> {
    let folder = tempfile::Builder::new()
        .prefix("cloudmount-")
        .tempdir_in(MEMORY)?;
    for number in 0..filled.count {
        let file = File::create(folder.path().join(name(number)))?;
        file.set_len((filled.bytes + size(number)) as u64)?;
    }
    ls(folder.path(), filled)
}

fn ls(folder: &Path, filled: &Filled) -> Result<f64> {
    let start = now();
    // Sorted by bytes, and with numbers for names of users, so that nobody else is asked. Where the zone is not said,
    // that way of showing times looks at `/etc/localtime` for each name, which a plain `ls -l` does not.
    let said = Run::new("ls")
        .args("-ln --time-style=+%s")
        .arg(folder)
        .envs(
            &[("LC_ALL", "C"), ("TZ", "UTC0")]
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
        )
        .within(LIMIT)
        .ok()?;
    let seconds = start.elapsed().as_secs_f64();
    check(&said, filled)?;
    Ok(seconds)
}

/// Whether these are all lines, each with its name and size.
fn check(said: &str, filled: &Filled) -> Result<()> {
    let count = filled.count;
    let mut lines = said.lines().filter(|line| !line.starts_with("total "));
    for number in 0..count {
        let line = lines
            .next()
            .with_context(|| format!("{number} of {count} entries are shown"))?;
        let words: Vec<_> = line.split_whitespace().collect();
        let expected = [(filled.bytes + size(number)).to_string(), name(number)];
        let is_right = words.get(SIZE_AT).copied() == Some(&*expected[0])
            && words.get(NAME_AT).copied() == Some(&*expected[1]);
        if !is_right {
            bail!("entry {number} is {line:?}, not {expected:?}");
        }
    }
    match lines.next() {
        Some(line) => bail!("more than {count} entries are shown: {line:?}"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_held_against_what_was_put() {
        let line = |number, size| format!("-rw-r--r-- 1 0 0 {size} 17 file{number:07}\n");
        let good = format!("total 4\n{}{}", line(0, 0), line(1, 1));
        let check = |said: &str, count| {
            let (name, bytes) = ("near", 0);
            check(said, &Filled { name, count, bytes })
        };
        check(&good, 2).unwrap();
        let wrong = |said: &str, count| check(said, count).unwrap_err().to_string();
        assert_eq!(wrong(&good, 3), "2 of 3 entries are shown");
        assert!(wrong(&good, 1).starts_with("more than 1"));
        let other = format!("{}{}", line(0, 0), line(1, 2));
        assert!(wrong(&other, 2).starts_with("entry 1 is"));
        let twice = format!("{}{}", line(0, 0), line(0, 0));
        assert!(wrong(&twice, 2).starts_with("entry 1 is"));
    }
}
