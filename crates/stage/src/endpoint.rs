//! [`Endpoint`]: what is remembered of an endpoint between mounts, in a file of the staging folder.
//!
//! It only saves questions: a file that is missing, damaged or of another format is as none.

use std::fs;
use std::path::Path;

use cloudmount_store::probe::Honoured;
use cloudmount_vfs::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::disk::disk_error;

/// The name of the file.
const NAME: &str = "endpoint.json";

/// The format that is written. Readers take this one only.
const FORMAT: u32 = 3;

/// Longest file that is read: some twenty times what is written.
const BYTES_MAX: u64 = 16 << 10;

/// What is known of the endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    /// When it was asked, in seconds of the wall clock.
    pub(crate) asked: i64,
    /// When to ask again.
    pub(crate) ask_again: i64,
    /// What it honours.
    pub(crate) honoured: Honoured,
}

#[derive(Serialize, Deserialize)]
struct Record {
    format: u32,
    #[serde(flatten)]
    endpoint: Endpoint,
}

/// What `folder` remembers.
pub(crate) fn load(folder: &Path) -> Option<Endpoint> {
    let path = folder.join(NAME);
    if fs::metadata(&path).ok()?.len() > BYTES_MAX {
        return None;
    }
    let record: Record = serde_json::from_slice(&fs::read(&path).ok()?).ok()?;
    (record.format == FORMAT).then_some(record.endpoint)
}

/// Has `folder` remember `endpoint`: at once or not at all.
///
/// # Errors
/// `NoSpace`, `Io`.
pub(crate) fn save(folder: &Path, endpoint: &Endpoint) -> Result<()> {
    let record = Record {
        format: FORMAT,
        endpoint: *endpoint,
    };
    let text = serde_json::to_vec_pretty(&record)
        .map_err(|error| Error::new(ErrorKind::Io, "encode an endpoint").with_source(error))?;
    let path = folder.join(NAME);
    let draft = folder.join(format!("{NAME}.new"));
    fs::write(&draft, text)
        .and_then(|()| fs::rename(&draft, &path))
        .map_err(|error| disk_error(error, || format!("write {}", path.display())))
}

/// The name of the file with the nonces of probes that have not been cleaned up after.
const PROBING: &str = "probing.json";

/// So many of them are remembered: each was interrupted, by a kill or a dead line.
const PROBES_MAX: usize = 64;

/// A probe that has begun, and has not been cleaned up after for good.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Probing {
    nonce: u64,
    /// Whether it was cleaned up after once. What it had under way when it was interrupted may have
    /// reached the bucket since: a server goes on with what it has received.
    cleaned: bool,
}

fn probing(folder: &Path) -> Vec<Probing> {
    let text = fs::read(folder.join(PROBING)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

fn save_probing(folder: &Path, all: &[Probing]) -> Result<()> {
    let path = folder.join(PROBING);
    let draft = folder.join(format!("{PROBING}.new"));
    let text = serde_json::to_vec(all)
        .map_err(|error| Error::new(ErrorKind::Io, "note a probe").with_source(error))?;
    fs::write(&draft, text)
        .and_then(|()| fs::rename(&draft, &path))
        .map_err(|error| disk_error(error, || format!("write {}", path.display())))
}

/// The nonces of probes that were interrupted.
pub(crate) fn interrupted(folder: &Path) -> Vec<u64> {
    probing(folder).iter().map(|probe| probe.nonce).collect()
}

/// Notes that a probe of that nonce is about to begin: at once or not at all. Gives those that were interrupted.
///
/// # Errors
/// `NoSpace`, `Io`.
pub(crate) fn begin_probe(folder: &Path, nonce: u64) -> Result<Vec<u64>> {
    let mut all = probing(folder);
    all.drain(..all.len().saturating_sub(PROBES_MAX));
    let before = all.iter().map(|probe| probe.nonce).collect();
    all.push(Probing {
        nonce,
        cleaned: false,
    });
    save_probing(folder, &all)?;
    Ok(before)
}

/// The probe of that nonce has ended, and the bucket was cleaned of it and of those before it. Those that
/// were interrupted are cleaned up after once more by the next mount.
///
/// # Errors
/// `NoSpace`, `Io`: it is done again.
pub(crate) fn end_probe(folder: &Path, nonce: u64) -> Result<()> {
    let mut all = probing(folder);
    all.retain(|probe| probe.nonce != nonce && !probe.cleaned);
    if all.is_empty() {
        let path = folder.join(PROBING);
        return fs::remove_file(&path)
            .map_err(|error| disk_error(error, || format!("remove {}", path.display())));
    }
    for probe in &mut all {
        probe.cleaned = true;
    }
    save_probing(folder, &all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_is_loaded_and_all_else_is_as_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(load(dir.path()), None);
        let endpoint = Endpoint {
            asked: 5,
            ask_again: 7,
            honoured: Honoured::default(),
        };
        save(dir.path(), &endpoint).unwrap();
        assert_eq!(load(dir.path()), Some(endpoint));
        let path = dir.path().join(NAME);
        let good = fs::read_to_string(&path).unwrap();
        let newer = good.replace("\"format\": 3", "\"format\": 4");
        let torn = good[..good.len() / 2].to_owned();
        for bad in [newer, torn, String::new(), " ".repeat(20_000)] {
            fs::write(&path, bad).unwrap();
            assert_eq!(load(dir.path()), None);
        }
    }

    #[test]
    fn an_interrupted_probe_is_cleaned_up_after_twice() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path();
        assert!(begin_probe(folder, 1).unwrap().is_empty());
        end_probe(folder, 1).unwrap();
        assert!(interrupted(folder).is_empty());
        assert!(begin_probe(folder, 2).unwrap().is_empty());
        // It was killed.
        for next in [3, 4] {
            assert_eq!(begin_probe(folder, next).unwrap(), [2]);
            end_probe(folder, next).unwrap();
        }
        assert!(interrupted(folder).is_empty());
        fs::write(folder.join(PROBING), "[1, 2]").unwrap();
        assert!(interrupted(folder).is_empty(), "another format is as none");
    }
}
