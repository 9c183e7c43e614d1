//! `mount.cloudmount`: the program as `mount(8)` calls it, for `/etc/fstab`.
//!
//! `mount(8)`, "External helpers": `/sbin/mount.TYPE spec dir [-sfnv] [-N namespace] [-o options]
//! [-t type.subtype]`. It is this program under that name. What is in `-o` are the flags of
//! `cloudmount mount`, with or without a value, `_` standing for `-`.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use anyhow::{Context, Result, bail};

/// What the program is called then.
const NAME: &str = "mount.cloudmount";

/// "mount failed", among the exit codes of `mount(8)`.
pub(crate) const MOUNT_FAILED: u8 = 32;

/// "incorrect invocation or permissions", among the exit codes of `mount(8)`.
pub(crate) const MISUSED: u8 = 1;

/// What `mount(8)`, `fstab(5)` and `systemd.mount(5)` mean for themselves, and what is always so here.
const THEIRS: [&str; 27] = [
    "rw",
    "defaults",
    "auto",
    "noauto",
    "user",
    "users",
    "nouser",
    "owner",
    "group",
    "nofail",
    "_netdev",
    "exec",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "async",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "norelatime",
    "strictatime",
    "lazytime",
    "nolazytime",
    "silent",
];

/// What was asked of the helper.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Asked {
    /// The program's own command line, to be gone on with.
    Mount(Vec<OsString>),
    /// To do as if (`-f`).
    Nothing,
}

/// Whether the program is called as the helper.
pub(crate) fn is_called(name: &OsStr) -> bool {
    Path::new(name).file_name() == Some(OsStr::new(NAME))
}

/// The command line that `arguments`, without the program's name, stand for.
///
/// # Errors
/// They are not those of a helper.
pub(crate) fn translate(arguments: impl IntoIterator<Item = OsString>) -> Result<Asked> {
    let mut arguments = arguments.into_iter();
    let mut places = Vec::new();
    let mut options = Vec::new();
    let mut is_fake = false;
    while let Some(argument) = arguments.next() {
        let text = argument.to_str().unwrap_or_default();
        match text {
            "-o" => {
                let list = arguments.next().context("-o: no options follow")?;
                let list = list.to_str().context("-o: the options are no UTF-8")?;
                options.extend(split(list));
            }
            "-t" | "-N" => drop(arguments.next()),
            _ if text.len() > 1 && text.starts_with('-') => {
                is_fake |= text.contains('f');
                if let Some(odd) = text.chars().skip(1).find(|c| !"sfnvw".contains(*c)) {
                    bail!("-{odd}: no such flag\n  write: mount.cloudmount URL FOLDER -o OPTIONS");
                }
            }
            _ => places.push(argument),
        }
    }
    let [url, folder] = &places[..] else {
        bail!("a bucket and a folder are needed\n  write: mount.cloudmount URL FOLDER -o OPTIONS");
    };
    if is_fake {
        return Ok(Asked::Nothing);
    }
    let mut line: Vec<OsString> = ["cloudmount", "mount", "--daemon"].map(Into::into).into();
    line.extend(
        options
            .iter()
            .filter_map(|option| flag(option))
            .map(Into::into),
    );
    line.extend(["--".into(), url.clone(), folder.clone()]);
    Ok(Asked::Mount(line))
}

/// The flag that an option is; `None` for one that is not ours.
fn flag(option: &str) -> Option<String> {
    let (name, value) = match option.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (option, None),
    };
    if THEIRS.contains(&name) || name.starts_with("x-") || name == "comment" || name.is_empty() {
        return None;
    }
    let name = match name {
        "ro" => "read-only".to_owned(),
        name => name.replace('_', "-"),
    };
    Some(match value {
        Some(value) => format!("--{name}={value}"),
        None => format!("--{name}"),
    })
}

/// Cuts at commas, but for those between double quotes, which go.
fn split(list: &str) -> Vec<String> {
    let mut options = vec![String::new()];
    let mut is_quoted = false;
    for c in list.chars() {
        match (c, options.last_mut()) {
            ('"', _) => is_quoted = !is_quoted,
            (',', _) if !is_quoted => options.push(String::new()),
            (_, Some(last)) => last.push(c),
            (_, None) => {}
        }
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &[&str]) -> String {
        match translate(text.iter().map(OsString::from)) {
            Ok(Asked::Mount(line)) => {
                let line: Vec<_> = line.iter().map(|one| one.to_string_lossy()).collect();
                line.join(" ")
            }
            Ok(Asked::Nothing) => "nothing".to_owned(),
            Err(error) => format!("{error}"),
        }
    }

    #[test]
    fn it_is_known_by_its_name() {
        assert!(is_called(OsStr::new("/sbin/mount.cloudmount")));
        assert!(!is_called(OsStr::new("/usr/bin/cloudmount")));
    }

    #[test]
    fn options_become_flags() {
        let begin = "cloudmount mount --daemon";
        for (text, expected) in [
            (&["s3://b", "/mnt"][..], format!("{begin} -- s3://b /mnt")),
            (
                &[
                    "s3://b",
                    "/mnt",
                    "-o",
                    "rw,noauto,_netdev,x-systemd.automount,ttl=5s,negative_ttl=0,allow_other,ro",
                ],
                format!(
                    "{begin} --ttl=5s --negative-ttl=0 --allow-other --read-only -- s3://b /mnt"
                ),
            ),
            (
                &[
                    "-n",
                    "-o",
                    "direct_io=\"*.log,a/**\",uid=7",
                    "s3://b",
                    "/m n",
                    "-t",
                    "cloudmount",
                ],
                format!("{begin} --direct-io=*.log,a/** --uid=7 -- s3://b /m n"),
            ),
            (&["s3://b", "/mnt", "-f"], "nothing".to_owned()),
        ] {
            assert_eq!(line(text), expected);
        }
        for (text, words) in [
            (&["s3://b"][..], "a bucket and a folder"),
            (&["s3://b", "/mnt", "/more"], "a bucket and a folder"),
            (&["s3://b", "/mnt", "-o"], "no options follow"),
            (&["s3://b", "/mnt", "-x"], "-x: no such flag"),
        ] {
            assert!(line(text).contains(words), "{}", line(text));
        }
    }
}
