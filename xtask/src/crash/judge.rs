//! Whether the bucket and the tree are what the calls promised.

use std::collections::BTreeSet;

use anyhow::Result;

use super::calls::Calls;
use super::file::File;
use super::load::Writer;
use super::tree::Wrong;
use crate::conformance::backend::Objects;

/// What the daemon tries out a server with has such keys. A probe that was killed leaves them for the next mount.
const PROBE: &str = ".cloudmount-probe-";

/// The writer whose folder `path` lies in.
fn writer_of<'a>(writers: &'a [Writer], path: &str) -> Option<&'a Writer> {
    let folder = path.split('/').next()?;
    writers.iter().find(|writer| writer.folder() == folder)
}

/// The bucket just after a kill: every object is its file as a call left it, or as it was at a moment between;
/// and what calls acknowledged that waited for the bucket is there.
///
/// # Errors
/// An object cannot be read.
pub(super) fn after_kill(writers: &[Writer], objects: &Objects) -> Result<Vec<Wrong>> {
    let mut wrong = Vec::new();
    // The newest version of each file that is in the bucket.
    let mut there = std::collections::HashMap::new();
    for (key, place) in objects {
        if key.starts_with(PROBE) {
            continue;
        }
        let found = || "an object".to_owned();
        let writer = writer_of(writers, key);
        if let Some(folder) = key.strip_suffix('/') {
            let had = writer.is_some_and(|writer| writer.tree.had_folder(folder));
            if !had {
                wrong.push(surplus(key, found()));
            }
            continue;
        }
        let bytes = std::fs::read(place)?;
        let had: Vec<&File> = writer
            .into_iter()
            .flat_map(|writer| writer.tree.had(key))
            .collect();
        let fits: Vec<_> = (had.iter())
            .filter_map(|file| Some((file.id, file.version_of(&bytes).ok()?)))
            .collect();
        for (id, version) in &fits {
            let newest = there.entry(*id).or_insert(*version);
            *newest = (*newest).max(*version);
        }
        match (fits.is_empty(), had.is_empty()) {
            (false, _) => {}
            (true, true) => wrong.push(surplus(key, found())),
            (true, false) => wrong.push(Wrong {
                path: key.clone(),
                expected: format!("one of the versions: {}", differences(&had, &bytes)),
                found: format!("an object of {} bytes that is none", bytes.len()),
            }),
        }
    }
    for (path, file, writer) in named(writers) {
        let Some(promised) = file.last_awaited() else {
            continue;
        };
        let version = there.get(&file.id);
        if writer.tree.doomed() != Some(path) && version.is_none_or(|version| *version < promised) {
            wrong.push(Wrong {
                path: path.to_owned(),
                expected: format!("version {promised} in the bucket, which was waited for"),
                found: format!("version {version:?} ({})", file.story()),
            });
        }
    }
    Ok(wrong)
}

fn named(writers: &[Writer]) -> impl Iterator<Item = (&str, &File, &Writer)> {
    writers.iter().flat_map(|writer| {
        let named = writer.tree.named();
        named.map(move |(path, file)| (path, file, writer))
    })
}

fn surplus(key: &str, found: String) -> Wrong {
    Wrong {
        path: key.to_owned(),
        expected: "nothing: nobody made it".to_owned(),
        found,
    }
}

/// How an object differs from the last version of each file that had its key.
fn differences(had: &[&File], bytes: &[u8]) -> String {
    let all: Vec<_> = (had.iter())
        .map(|file| match file.version_of(bytes) {
            Err(Some(mismatch)) => {
                format!(
                    "{} at {} (file {})",
                    mismatch.expected, mismatch.at, file.id
                )
            }
            _ => format!("no version of file {}", file.id),
        })
        .collect();
    all.join("; ")
}

/// The bucket after a clean end: the last version of each file under its own key, and nothing else.
///
/// # Errors
/// An object cannot be read.
pub(super) fn after_end(writers: &[Writer], objects: &Objects) -> Result<Vec<Wrong>> {
    let mut wrong = Vec::new();
    for (path, file, _) in named(writers) {
        let Some(place) = objects.get(path) else {
            wrong.push(Wrong {
                path: path.to_owned(),
                expected: format!("file {}", file.id),
                found: "no object".to_owned(),
            });
            continue;
        };
        let bytes = std::fs::read(place)?;
        if let Some(mismatch) = file.now().mismatch(file.id, &bytes) {
            wrong.push(Wrong {
                path: path.to_owned(),
                expected: format!("{} at {}", mismatch.expected, mismatch.at),
                found: format!(
                    "an object of {} other bytes (file {})",
                    bytes.len(),
                    file.id
                ),
            });
        }
    }
    for key in objects.keys() {
        let writer = writer_of(writers, key);
        let is_known = writer.is_some_and(|writer| {
            let names = writer.tree.names();
            match key.strip_suffix('/') {
                Some(folder) => names.get(folder) == Some(&super::tree::Node::Folder),
                None => writer.tree.named().any(|(path, _)| path == key),
            }
        });
        if !is_known {
            wrong.push(surplus(key, "an object".to_owned()));
        }
    }
    Ok(wrong)
}

/// Uploads in parts that are left in the bucket though all is uploaded.
pub(super) fn uploads(left: Vec<String>) -> Vec<Wrong> {
    let wrong = left.into_iter().map(|upload| Wrong {
        path: upload,
        expected: "no upload in parts: all is in the bucket".to_owned(),
        found: "one that nobody ends".to_owned(),
    });
    wrong.collect()
}

/// Files of which the status must say that they were set aside: the paths that each had.
pub(super) fn to_be_set_aside(writers: &[Writer]) -> Vec<Vec<String>> {
    named(writers)
        .filter(|(_, file, _)| file.is_to_be_set_aside())
        .map(|(_, file, writer)| {
            let paths = writer.tree.paths_of(file.id);
            paths.into_iter().map(str::to_owned).collect()
        })
        .collect()
}

/// Whether `status` names one of the paths of each.
pub(super) fn set_aside(status: &serde_json::Value, wanted: &[Vec<String>]) -> Vec<Wrong> {
    let list = status.pointer("/uploads/set_aside");
    let keys: BTreeSet<&str> = (list.and_then(|list| list.as_array()).into_iter().flatten())
        .filter_map(|one| one.get("key")?.as_str())
        .collect();
    let missing = wanted
        .iter()
        .filter(|paths| !paths.iter().any(|path| keys.contains(&**path)));
    missing
        .map(|paths| Wrong {
            path: paths.join(" or "),
            expected: "to be named as set aside: it was never closed".to_owned(),
            found: format!("{} others in the status", keys.len()),
        })
        .collect()
}

/// Takes over what the mount shows.
///
/// # Errors
/// It cannot be listed or read.
pub(super) fn settle(writers: &mut [Writer], calls: &Calls<'_>) -> Result<Vec<Wrong>> {
    let mut wrong = Vec::new();
    for writer in writers {
        let shown = calls.names(writer.folder())?;
        let read = &mut |path: &str| calls.read(path);
        wrong.extend(writer.tree.settle(&shown, read)?);
    }
    Ok(wrong)
}
