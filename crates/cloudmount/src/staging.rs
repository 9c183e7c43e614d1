//! Where the journal lies, and what waits to be uploaded.
//!
//! Law: what waits in a folder goes to the one bucket that it was written for, and to no other.

use std::ffi::OsStr;
use std::io::{ErrorKind as IoErrorKind, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use cloudmount_store::Location;
use cloudmount_vfs::ErrorKind;
use rustix::fs::{Mode, OFlags};
use sha2::{Digest, Sha256};

use crate::{Environment, Error, Result, Settings};

/// The file that names the bucket, in its staging folder.
const MARK: &str = "bucket";

/// What stands between a location and an endpoint. No endpoint has it in it.
const AT: &str = " at ";

/// Longer than any mark: a key has at most 1,024 bytes, a path 4,096, and an endpoint less.
const MARK_BYTES_MAX: u64 = 16 << 10;

/// How much of the hash of a bucket stands in its folder's name.
const HASH_BYTES: usize = 8;

/// Longest readable part of a folder's name.
const READABLE_MAX: usize = 40;

/// Temporary folders of one process, at most.
const TEMPORARY_MAX: u32 = 1000;

/// A staging folder.
#[derive(Debug)]
pub(crate) enum Staging {
    /// It outlives the process.
    Kept(PathBuf),
    /// Of a bucket that ends with the process.
    Temporary(Temporary),
}

/// A folder that is removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::debug!(%error, folder = %self.0.display(), "a temporary folder is left");
        }
    }
}

impl Staging {
    /// That folder. It stays the same if the process goes to another one.
    pub(crate) fn at(folder: PathBuf) -> Self {
        Self::Kept(std::path::absolute(&folder).unwrap_or(folder))
    }

    /// The folder of a bucket, by the settings.
    pub(crate) fn find(
        location: &Location,
        bucket: &Bucket,
        settings: &Settings,
        environment: &Environment,
    ) -> Result<Self> {
        let base = settings.cache_dir.as_ref().or(settings.state_dir.as_ref());
        if base.is_none() && *location == Location::Memory {
            return Ok(Self::Temporary(temporary(environment)?));
        }
        let base = base_of(settings, environment)?;
        Ok(Self::at(base.join("staging").join(bucket.folder_name())))
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Kept(path) | Self::Temporary(Temporary(path)) => path,
        }
    }
}

/// The folder below which things of all buckets lie.
pub(crate) fn base_of(settings: &Settings, environment: &Environment) -> Result<PathBuf> {
    match settings.cache_dir.as_ref().or(settings.state_dir.as_ref()) {
        Some(folder) => Ok(folder.clone()),
        None => environment.state_dir(),
    }
}

fn temporary(environment: &Environment) -> Result<Temporary> {
    let base = environment.get("TMPDIR").unwrap_or("/tmp");
    for number in 0..TEMPORARY_MAX {
        let name = format!("cloudmount-{}-{number}", std::process::id());
        let folder = Path::new(base).join(name);
        match std::fs::DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => return Ok(Temporary(folder)),
            Err(error) if error.kind() == IoErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(Error::new(format!("cannot make {}", folder.display()))
                    .because(error)
                    .or("set TMPDIR to a folder that may be written"));
            }
        }
    }
    Err(Error::new(format!("cannot make a new folder in {base}")).or("remove old ones"))
}

/// What tells buckets apart: where they are, and the part that is shown.
#[derive(Debug)]
pub(crate) struct Bucket(String);

impl Bucket {
    /// `endpoint` if it is not the usual one.
    pub(crate) fn new(location: &Location, endpoint: Option<&str>) -> Self {
        Self(match endpoint {
            Some(endpoint) => format!("{location}{AT}{}", endpoint.trim_end_matches('/')),
            None => location.to_string(),
        })
    }

    /// The one that a mark names.
    pub(crate) fn of_mark(mark: &str) -> Self {
        Self(mark.to_owned())
    }

    /// What it is, in full.
    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    /// A name that a person recognises, and that no other bucket has.
    pub(crate) fn folder_name(&self) -> String {
        let digest = Sha256::digest(&self.0);
        let hash: String = (digest[..HASH_BYTES].iter())
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let readable: String = (self.0.chars())
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .take(READABLE_MAX)
            .collect();
        format!("{}-{hash}", readable.trim_matches('-'))
    }

    /// The location that `mark` names, if it is at the same endpoint.
    pub(crate) fn location_at_same_endpoint(&self, mark: &str) -> Option<Location> {
        let location = match self.0.rsplit_once(AT) {
            Some((_, endpoint)) => mark.strip_suffix(endpoint)?.strip_suffix(AT)?,
            // At the usual endpoint none is named.
            None if mark.contains(&format!("{AT}http")) => return None,
            None => mark,
        };
        location.parse().ok()
    }

    /// Refuses a folder with the journal of another bucket: what waits there would go to this one.
    pub(crate) fn check(&self, folder: &Path) -> Result<()> {
        match std::fs::read_to_string(folder.join(MARK)) {
            Ok(found) if found.trim_end() == self.0 => Ok(()),
            Ok(found) => Err(Error::new(format!(
                "the staging folder {} is that of {}",
                folder.display(),
                found.trim_end()
            ))
            .or("give this bucket one of its own")),
            Err(error) if error.kind() == IoErrorKind::NotFound => Ok(()),
            Err(error) => Err(unusable(
                folder,
                cloudmount_vfs::Error::new(ErrorKind::Io, MARK).with_source(error),
            )),
        }
    }

    /// Says whose the folder is. It is locked by now.
    pub(crate) fn mark(&self, folder: &Path) -> Result<()> {
        let path = folder.join(MARK);
        if path.exists() {
            return Ok(());
        }
        // At once or not at all, so that no crash leaves half a name.
        let draft = folder.join(format!("{MARK}.new"));
        std::fs::write(&draft, format!("{}\n", self.0))
            .and_then(|()| std::fs::rename(&draft, &path))
            .map_err(|error| {
                let context = format!("write {}", path.display());
                let error = cloudmount_vfs::Error::new(ErrorKind::Io, context).with_source(error);
                unusable(folder, error)
            })
    }
}

/// Whether `name` is like those of [`Bucket::folder_name`]: it ends in a hash.
pub(crate) fn is_folder_name(name: &OsStr) -> bool {
    let Some((_, hash)) = name.to_str().and_then(|name| name.rsplit_once('-')) else {
        return false;
    };
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    hash.len() == 2 * HASH_BYTES && hash.bytes().all(is_digit)
}

/// What the mark of a staging folder says; `None` if there is none. Where something else has that name, as a pipe, nobody
/// waits for it.
pub(crate) fn mark_of(folder: &Path) -> Option<String> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(folder.join(MARK), flags, Mode::empty()).ok()?;
    let file = std::fs::File::from(file);
    let found = file.metadata().ok()?;
    if !found.is_file() || found.len() > MARK_BYTES_MAX {
        return None;
    }
    let mut mark = String::new();
    file.take(MARK_BYTES_MAX).read_to_string(&mut mark).ok()?;
    Some(mark.trim_end().to_owned())
}

/// What to do about a staging folder that cannot be used.
pub(crate) fn unusable(folder: &Path, error: cloudmount_vfs::Error) -> Error {
    let remedy = match error.kind() {
        ErrorKind::Busy => {
            "another mount of this bucket uses it, or still uploads: end that one (cloudmount umount), or give this one a --cache-dir"
        }
        ErrorKind::Unsupported => "a newer version wrote it: use that one",
        ErrorKind::Corrupt => "keep a copy of it, and give this mount another --cache-dir",
        ErrorKind::NoSpace => "make room on its disk, or give a --cache-dir on another one",
        _ => "make it writable, or give another one with --cache-dir or --state-dir",
    };
    Error::new(format!(
        "cannot use the staging folder {}",
        folder.display()
    ))
    .because(error)
    .or(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(location: &str, endpoint: Option<&str>) -> Bucket {
        Bucket::new(&location.parse().unwrap(), endpoint)
    }

    #[test]
    fn each_bucket_at_each_endpoint_has_its_folder() {
        let all = [
            bucket("s3://pail/a", None),
            bucket("s3://pail/b", None),
            bucket("s3://pail/a", Some("https://x")),
            bucket("s3://pail/a", Some("https://y")),
            bucket("file:///pail/a", None),
        ];
        let names: std::collections::HashSet<_> = all.iter().map(Bucket::folder_name).collect();
        assert_eq!(names.len(), all.len());
        assert!(names.iter().any(|name| name.starts_with("s3---pail-a-")));
        assert!(names.iter().all(|name| is_folder_name(name.as_ref())));
        for other in ["", "s3---pail", "x-0123456789abcde", "x-0123456789abcdeF"] {
            assert!(!is_folder_name(other.as_ref()), "{other}");
        }
        let slash = bucket("s3://pail/a", Some("https://x/"));
        assert_eq!(slash.folder_name(), all[2].folder_name());
    }

    #[test]
    fn marks_tell_what_is_at_the_same_endpoint() {
        let check = |own: Option<&str>, mark: &str, expected: Option<&str>| {
            let own = bucket("s3://pail", own);
            let found = own.location_at_same_endpoint(mark);
            let expected = expected.map(|text| text.parse().unwrap());
            assert_eq!(found, expected, "{own:?}: {mark}");
        };
        check(None, "s3://pail/a", Some("s3://pail/a"));
        check(None, "s3://pail/a at https://x", None);
        check(
            Some("https://x/"),
            "s3://pail/a at https://x",
            Some("s3://pail/a"),
        );
        check(
            Some("https://x"),
            "s3://pail/a b at https://x",
            Some("s3://pail/a b"),
        );
        check(Some("https://x"), "s3://pail/a", None);
        check(Some("https://x"), "s3://pail/a at https://yx", None);
    }

    #[test]
    fn where_it_lies() {
        let memory: Location = "memory:".parse().unwrap();
        let folder: Location = "file:///pail".parse().unwrap();
        let environment = Environment::of([("XDG_STATE_HOME", "/state"), ("HOME", "/h")]);
        let find = |location: &Location, state: Option<&str>, cache: Option<&str>| {
            let settings = Settings {
                state_dir: state.map(PathBuf::from),
                cache_dir: cache.map(PathBuf::from),
                ..Settings::default()
            };
            let bucket = Bucket::new(location, None);
            let staging = Staging::find(location, &bucket, &settings, &environment).unwrap();
            let is_kept = matches!(staging, Staging::Kept(_));
            (staging.path().parent().unwrap().to_owned(), is_kept)
        };
        let kept = |path: &str| (PathBuf::from(path), true);
        assert_eq!(find(&folder, None, None), kept("/state/cloudmount/staging"));
        assert_eq!(find(&folder, Some("/s"), None), kept("/s/staging"));
        assert_eq!(find(&folder, Some("/s"), Some("/c")), kept("/c/staging"));
        let here = std::path::absolute("c/staging").unwrap();
        assert_eq!(find(&folder, None, Some("c")), (here, true));
        assert!(!find(&memory, None, None).1);
        assert_eq!(find(&memory, Some("/s"), None), kept("/s/staging"));
        let nowhere = Staging::find(
            &folder,
            &Bucket::new(&folder, None),
            &Settings::default(),
            &Environment::default(),
        );
        assert!(nowhere.unwrap_err().to_string().contains("set HOME"));
    }

    #[test]
    fn a_folder_keeps_to_its_bucket() {
        let dir = tempfile::tempdir().unwrap();
        let one = bucket("s3://pail/a", None);
        one.check(dir.path()).unwrap();
        one.mark(dir.path()).unwrap();
        one.mark(dir.path()).unwrap();
        one.check(dir.path()).unwrap();
        let other = bucket("s3://pail/a", Some("https://x")).check(dir.path());
        let said = other.unwrap_err().to_string();
        assert!(said.contains("is that of s3://pail/a"), "{said}");
    }
}
