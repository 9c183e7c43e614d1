//! The bytes of a manifest: lines of JSON, the first of which says what the others are.
//!
//! ```text
//! {"cloudmount-manifest":1,"entries":2,"sha256":"…"}
//! {"n":"a.txt","v":"\"5d41…\"","s":5,"t":[1750000000,0],"u":{"file-mtime":"…"}}
//! {"n":"link","v":"\"9b1f…\"","s":3,"t":[1750000000,0],"u":{"file-permissions":"0120777"},"l":"Li4v"}
//! ```
//!
//! The checksum is over all after the first line. Lines come in the order of their names, each name once.
//! Fields that are not known are passed over: a program that adds some keeps the number. One that changes what
//! a field means counts it up.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cloudmount_store::{Metadata, Tags, Version};
use cloudmount_vfs::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{BYTES_MAX, Binding, ENTRIES_MAX, Known, Manifest};

/// The number of this format.
const FORMAT: u32 = 1;

/// The longest first line.
const HEAD_BYTES_MAX: usize = 512;

/// Why bytes are no manifest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unreadable {
    /// A newer program wrote them.
    Newer,
    /// Nothing of ours.
    Foreign,
    /// A manifest, but not all of it, or not as it was.
    Damaged,
    /// More than [`BYTES_MAX`], or more than [`ENTRIES_MAX`] entries.
    TooLarge,
}

#[derive(Serialize, Deserialize)]
struct Head {
    #[serde(rename = "cloudmount-manifest")]
    format: u32,
    entries: usize,
    sha256: String,
}

/// What every head of any format says.
#[derive(Deserialize)]
struct AnyHead {
    #[serde(rename = "cloudmount-manifest")]
    format: u32,
}

/// One entry.
#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct Line {
    /// Name.
    n: String,
    /// Version.
    v: String,
    /// Bytes of content.
    s: u64,
    /// When the store took it, in seconds and nanoseconds.
    t: (i64, u32),
    /// User metadata.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    u: BTreeMap<String, String>,
    /// Target of a symlink, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    l: Option<String>,
    /// How many tags there are.
    #[serde(skip_serializing_if = "is_zero")]
    g: u16,
    #[serde(rename = "content-type", skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(rename = "cache-control", skip_serializing_if = "Option::is_none")]
    cache_control: Option<String>,
    #[serde(
        rename = "content-disposition",
        skip_serializing_if = "Option::is_none"
    )]
    content_disposition: Option<String>,
    #[serde(rename = "content-encoding", skip_serializing_if = "Option::is_none")]
    content_encoding: Option<String>,
    #[serde(rename = "content-language", skip_serializing_if = "Option::is_none")]
    content_language: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks with a reference"
)]
const fn is_zero(number: &u16) -> bool {
    *number == 0
}

/// The bytes of `manifest`: at most `bytes_max`, and [`BYTES_MAX`]. Entries for which there is no room are left
/// out, the last names first.
#[must_use]
pub fn encode(manifest: &Manifest, bytes_max: usize) -> Vec<u8> {
    let room = bytes_max.min(BYTES_MAX).saturating_sub(HEAD_BYTES_MAX);
    let mut body = Vec::new();
    let mut entries = 0;
    for (part, known) in manifest.entries.iter().take(ENTRIES_MAX) {
        let Ok(mut line) = serde_json::to_vec(&Line::of(part, known)) else {
            continue;
        };
        line.push(b'\n');
        if body.len() + line.len() > room {
            break;
        }
        body.append(&mut line);
        entries += 1;
    }
    framed(body, entries)
}

/// Lines under a head that fits them.
pub(crate) fn framed(mut lines: Vec<u8>, entries: usize) -> Vec<u8> {
    let head = Head {
        format: FORMAT,
        entries,
        sha256: hash(&lines),
    };
    let mut bytes = serde_json::to_vec(&head).unwrap_or_default();
    bytes.push(b'\n');
    bytes.append(&mut lines);
    bytes
}

/// What `bytes` say.
///
/// # Errors
/// Why they say nothing.
pub fn decode(bytes: &[u8]) -> Result<Manifest, Unreadable> {
    if bytes.len() > BYTES_MAX {
        return Err(Unreadable::TooLarge);
    }
    let end = (bytes.iter().take(HEAD_BYTES_MAX)).position(|byte| *byte == b'\n');
    let (head, body) = bytes.split_at(end.ok_or(Unreadable::Foreign)?);
    let any: AnyHead = serde_json::from_slice(head).map_err(|_| Unreadable::Foreign)?;
    if any.format > FORMAT {
        return Err(Unreadable::Newer);
    }
    let head: Head = serde_json::from_slice(head).map_err(|_| Unreadable::Damaged)?;
    let body = &body[1..];
    if head.entries > ENTRIES_MAX {
        return Err(Unreadable::TooLarge);
    }
    if head.format != FORMAT || head.sha256 != hash(body) {
        return Err(Unreadable::Damaged);
    }
    let mut manifest = Manifest::default();
    let body = body.strip_suffix(b"\n").unwrap_or(body);
    let lines = body.split(|byte| *byte == b'\n');
    for line in lines.filter(|_| !body.is_empty()) {
        let line: Line = serde_json::from_slice(line).map_err(|_| Unreadable::Damaged)?;
        let (part, known) = line.known().ok_or(Unreadable::Damaged)?;
        let last = manifest.entries.last_key_value();
        if last.is_some_and(|(last, _)| *last >= part) {
            return Err(Unreadable::Damaged);
        }
        manifest.entries.insert(part, known);
    }
    if manifest.entries.len() != head.entries {
        return Err(Unreadable::Damaged);
    }
    Ok(manifest)
}

/// In hexadecimal.
fn hash(body: &[u8]) -> String {
    let digest = Sha256::digest(body);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Line {
    fn of(part: &str, known: &Known) -> Self {
        let Metadata {
            content_type,
            cache_control,
            content_disposition,
            content_encoding,
            content_language,
            expires,
            tags,
            user,
        } = known.metadata.clone();
        let Binding {
            version,
            size,
            modified,
        } = &known.binding;
        Self {
            n: part.to_owned(),
            v: version.as_str().to_owned(),
            s: *size,
            t: (modified.secs(), modified.nanos()),
            u: user,
            l: known.target.as_ref().map(|target| BASE64.encode(target)),
            g: match tags {
                Tags::None => 0,
                Tags::Unread(count) => count,
                Tags::These(tags) => u16::try_from(tags.len()).unwrap_or(u16::MAX),
            },
            content_type,
            cache_control,
            content_disposition,
            content_encoding,
            content_language,
            expires,
        }
    }

    fn known(self) -> Option<(String, Known)> {
        let (secs, nanos) = self.t;
        if self.n.is_empty() || self.n.contains('/') || nanos > 999_999_999 {
            return None;
        }
        let target = match self.l {
            Some(text) => Some(BASE64.decode(text).ok()?.into()),
            None => None,
        };
        let known = Known {
            binding: Binding {
                version: Version::new(self.v),
                size: self.s,
                modified: Timestamp::new(secs, nanos),
            },
            metadata: Metadata {
                content_type: self.content_type,
                cache_control: self.cache_control,
                content_disposition: self.content_disposition,
                content_encoding: self.content_encoding,
                content_language: self.content_language,
                expires: self.expires,
                tags: match self.g {
                    0 => Tags::None,
                    count => Tags::Unread(count),
                },
                user: self.u,
            },
            target,
        };
        Some((self.n, known))
    }
}
