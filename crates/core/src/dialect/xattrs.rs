//! Extended attributes in metadata.
//!
//! Ours are `NAME=VALUE` pairs in base64 without padding, joined by commas. Those of s3fs are a JSON
//! object of names and values in base64, percent-encoded. rclone puts each under its bare name, where
//! nothing tells it from metadata of other kinds: those stay metadata.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::ways::User;
use super::{Dialect, Xattrs};
use crate::upload_state::UPLOAD;

const OURS: &str = "cloudmount-xattr";
const S3FS: &str = "xattr";

/// The namespace that users may see; s3fs keeps others too.
const NAMESPACE: &str = "user.";

/// What lies under our name.
pub(super) fn ours(user: &User) -> Option<Xattrs> {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        let name = String::from_utf8(URL_SAFE_NO_PAD.decode(name).ok()?).ok()?;
        Some((name, Bytes::from(URL_SAFE_NO_PAD.decode(value).ok()?)))
    };
    let all = user.get(OURS)?.split(',').filter_map(pair);
    Some(all.filter(|(name, _)| is_shown(name)).collect())
}

/// What s3fs wrote.
pub(super) fn of_s3fs(user: &User) -> Option<Xattrs> {
    let all = s3fs_pairs(user.get(S3FS)?)?.into_iter();
    let shown = all.filter(|(name, _)| is_shown(name));
    Some(
        shown
            .filter_map(|(name, value)| Some((name, STANDARD.decode(value).ok()?.into())))
            .collect(),
    )
}

/// Whoever wrote the state of an upload, it is not what this mount knows of its uploads.
fn is_shown(name: &str) -> bool {
    name.starts_with(NAMESPACE) && name != UPLOAD
}

/// Names, and values in base64; `None` if it is something else.
fn s3fs_pairs(text: &str) -> Option<BTreeMap<String, String>> {
    let json = percent_decode_str(text).decode_utf8().ok()?;
    serde_json::from_str(&json).ok()
}

/// Writes them where `dialect` has them, and wherever there are some already.
pub(super) fn write(user: &mut User, xattrs: &Xattrs, dialect: Dialect) {
    let is_told_to_s3fs =
        (dialect == Dialect::S3fs || user.contains_key(S3FS)) && write_s3fs(user, xattrs);
    let is_said = dialect == Dialect::S3fs && is_told_to_s3fs;
    if is_said || xattrs.is_empty() {
        user.remove(OURS);
        return;
    }
    let pairs: Vec<String> = xattrs
        .iter()
        .map(|(name, value)| {
            let (name, value) = (URL_SAFE_NO_PAD.encode(name), URL_SAFE_NO_PAD.encode(value));
            format!("{name}={value}")
        })
        .collect();
    user.insert(OURS.to_owned(), pairs.join(","));
}

/// Those of namespaces that are not shown stay. Nothing is written if something else has the name.
fn write_s3fs(user: &mut User, xattrs: &Xattrs) -> bool {
    let mut all = match user.get(S3FS).map(|text| s3fs_pairs(text)) {
        Some(None) => return false,
        Some(Some(old)) => old,
        None => BTreeMap::new(),
    };
    all.retain(|name, _| !is_shown(name));
    let shown = xattrs.iter();
    all.extend(shown.map(|(name, value)| (name.clone(), STANDARD.encode(value))));
    if all.is_empty() {
        user.remove(S3FS);
        return true;
    }
    let json = serde_json::Value::from_iter(all).to_string();
    let text = utf8_percent_encode(&json, NON_ALPHANUMERIC).to_string();
    user.insert(S3FS.to_owned(), text);
    true
}
