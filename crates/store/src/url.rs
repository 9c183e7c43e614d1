//! [`Location`]: which store, as one line of text.
//!
//! | text | store |
//! |---|---|
//! | `s3://BUCKET/PREFIX` | a bucket of Amazon S3, or of the endpoint in the settings |
//! | `gs://BUCKET/PREFIX` | a bucket of Google Cloud Storage |
//! | `az://CONTAINER/PREFIX` | a container of Azure Blob Storage; the account is in the settings |
//! | `file:///FOLDER` | a folder of this machine, as a bucket |
//! | `memory:` | nothing but memory, empty at each start |
//!
//! The prefix is all that follows the first `/`, as it is: nothing is decoded, normalised or cut
//! (`%41`, `a//b`, `?` and `#` mean themselves), for keys may hold all of it. It names a folder: a
//! `/` is added if it does not end in one.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::{Error, ErrorKind, Key, Result};

/// Which store, and which part of it. Prefixes are empty or end in `/`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Location {
    /// A bucket of S3.
    S3 {
        /// The bucket.
        bucket: String,
        /// What all keys begin with.
        prefix: String,
    },
    /// A bucket of Google Cloud Storage.
    Gcs {
        /// The bucket.
        bucket: String,
        /// What all keys begin with.
        prefix: String,
    },
    /// A container of Azure Blob Storage.
    Azure {
        /// The container.
        container: String,
        /// What all keys begin with.
        prefix: String,
    },
    /// A folder of this machine.
    Folder {
        /// Its absolute path.
        path: PathBuf,
    },
    /// Memory.
    Memory,
}

/// What to write, for messages.
const FORMS: &str = "s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX, \
                     file:///FOLDER or memory:";

impl FromStr for Location {
    type Err = Error;

    /// # Errors
    /// `InvalidRequest` says what is wrong and what to write instead.
    fn from_str(text: &str) -> Result<Self> {
        let Some((scheme, rest)) = text.split_once(':') else {
            return Err(wrong(text, &format!("no scheme in front; write {FORMS}")));
        };
        match scheme {
            "s3" => named(text, rest).map(|(bucket, prefix)| Self::S3 { bucket, prefix }),
            "gs" => named(text, rest).map(|(bucket, prefix)| Self::Gcs { bucket, prefix }),
            "az" => named(text, rest).map(|(container, prefix)| Self::Azure { container, prefix }),
            "file" => folder(text, rest),
            "memory" if matches!(rest, "" | "//" | "///") => Ok(Self::Memory),
            "memory" => Err(wrong(text, "nothing may follow memory:")),
            "http" | "https" => Err(wrong(
                text,
                "an endpoint belongs into the settings; the location is s3://BUCKET/PREFIX",
            )),
            _ => Err(wrong(text, &format!("unknown scheme; write {FORMS}"))),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
            Self::Gcs { bucket, prefix } => write!(f, "gs://{bucket}/{prefix}"),
            Self::Azure { container, prefix } => write!(f, "az://{container}/{prefix}"),
            Self::Folder { path } => write!(f, "file://{}", path.display()),
            Self::Memory => f.write_str("memory:"),
        }
    }
}

/// The bucket and the prefix of `//BUCKET/PREFIX`.
fn named(text: &str, rest: &str) -> Result<(String, String)> {
    let rest = rest.strip_prefix("//").ok_or_else(|| {
        wrong(
            text,
            "two slashes follow the scheme, as in s3://BUCKET/PREFIX",
        )
    })?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() {
        return Err(wrong(
            text,
            "the bucket is missing, as in s3://BUCKET/PREFIX",
        ));
    }
    if bucket.contains('@') {
        return Err(wrong(text, "keys and passwords belong into the settings"));
    }
    let name = |c: char| c.is_ascii_alphanumeric() || "-_.:$".contains(c);
    if let Some(odd) = bucket.chars().find(|c| !name(*c)) {
        return Err(wrong(text, &format!("no bucket has {odd:?} in its name")));
    }
    let mut prefix = prefix.to_owned();
    if !prefix.is_empty() && !prefix.ends_with('/') {
        prefix.push('/');
    }
    if prefix.len() >= Key::MAX_BYTES {
        return Err(wrong(text, "the prefix is as long as a key may be"));
    }
    Ok((bucket.to_owned(), prefix))
}

/// The folder of `///FOLDER`, `//localhost/FOLDER` or `/FOLDER`.
fn folder(text: &str, rest: &str) -> Result<Location> {
    let path = match rest.strip_prefix("//") {
        Some(rest) => rest.strip_prefix("localhost").unwrap_or(rest),
        None => rest,
    };
    if !path.starts_with('/') {
        return Err(wrong(
            text,
            "the path must be absolute, as in file:///srv/folder",
        ));
    }
    if path.contains('\0') {
        return Err(wrong(text, "a path holds no NUL"));
    }
    let path = PathBuf::from(path);
    Ok(Location::Folder { path })
}

fn wrong(text: &str, why: &str) -> Error {
    // Whoever writes a key into a location must not find it in a log.
    let shown = match (text.find(':'), text.rfind('@')) {
        (Some(start), Some(end)) if start < end => {
            format!("{}:[hidden]{}", &text[..start], &text[end..])
        }
        _ => text.to_owned(),
    };
    Error::new(
        ErrorKind::InvalidRequest,
        format!("location {shown:?}: {why}"),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn s3(bucket: &str, prefix: &str) -> Location {
        Location::S3 {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
        }
    }

    #[test]
    fn what_texts_mean() {
        let folder = |path: &str| Location::Folder { path: path.into() };
        for (text, expected) in [
            ("s3://pail", s3("pail", "")),
            ("s3://pail/", s3("pail", "")),
            ("s3://pail/a/b", s3("pail", "a/b/")),
            ("s3://pail/a/b/", s3("pail", "a/b/")),
            ("s3://pail//a//", s3("pail", "/a//")),
            ("s3://pail/../%41?x#y z@é", s3("pail", "../%41?x#y z@é/")),
            ("file:///a b/%41", folder("/a b/%41")),
            ("file:/a", folder("/a")),
            ("file://localhost/a", folder("/a")),
            ("memory:", Location::Memory),
            ("memory://", Location::Memory),
        ] {
            assert_eq!(text.parse::<Location>().unwrap(), expected, "{text}");
        }
        let gcs = Location::Gcs {
            bucket: "b".to_owned(),
            prefix: "p/".to_owned(),
        };
        assert_eq!("gs://b/p".parse::<Location>().unwrap(), gcs);
        let azure = Location::Azure {
            container: "$root".to_owned(),
            prefix: String::new(),
        };
        assert_eq!("az://$root".parse::<Location>().unwrap(), azure);
    }

    #[test]
    fn mistakes_are_named() {
        let long = format!("s3://pail/{}", "x".repeat(1023));
        for (text, hint) in [
            ("", "no scheme"),
            ("pail", "no scheme"),
            ("/srv/me", "no scheme"),
            ("s3:pail", "two slashes"),
            ("s3://", "bucket is missing"),
            ("s3:///a", "bucket is missing"),
            ("s3://pail?region=x", "'?'"),
            ("s3://key:hunter2@pail/a", "belong into the settings"),
            (
                "https://key:hunter2@host/pail",
                "endpoint belongs into the settings",
            ),
            ("ftp://x", "unknown scheme"),
            ("file://host/a", "absolute"),
            ("file:a", "absolute"),
            ("memory:a", "nothing may follow"),
            (long.as_str(), "as long as a key"),
        ] {
            let error = text.parse::<Location>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidRequest);
            assert!(error.to_string().contains(hint), "{error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn shown_locations_are_read_back(bucket in "[a-z0-9.-]{1,20}", prefix in any::<String>()) {
            if let Ok(location) = format!("s3://{bucket}/{prefix}").parse::<Location>() {
                prop_assert_eq!(location.to_string().parse::<Location>().unwrap(), location);
            }
        }
    }
}
