//! The rules of S3 that the backends which hold objects themselves enforce alike, so that what
//! works on them works on S3.

use std::ops::Range;

use crate::{
    Capabilities, Error, ErrorKind, Metadata, PartTag, Precondition, Removal, Result, Tags, Version,
};

/// Names and values of user metadata together, in bytes (Amazon S3 user guide, "Working with object
/// metadata": 2 KB).
pub(crate) const USER_METADATA_BYTES_MAX: usize = 2048;

/// Checks `precondition` against the version that is there now.
pub(crate) fn check_precondition(
    precondition: &Precondition,
    current: Option<&Version>,
) -> Result<()> {
    let failed = match (precondition, current) {
        (Precondition::None, _) | (Precondition::Absent, None) => return Ok(()),
        (Precondition::Absent, Some(there)) => format!("wanted nothing, found version {there}"),
        (Precondition::Matches(wanted), Some(there)) if wanted == there => return Ok(()),
        (Precondition::Matches(wanted), Some(there)) => {
            format!("wanted version {wanted}, found version {there}")
        }
        (Precondition::Matches(wanted), None) => format!("wanted version {wanted}, found nothing"),
    };
    Err(Error::new(ErrorKind::Precondition, failed))
}

/// Checks that what is there may be removed: that version, or nothing.
pub(crate) fn check_removal(removal: &Removal, current: Option<&Version>) -> Result<()> {
    match current {
        Some(there) if *there != removal.version => {
            let Removal { key, version } = removal;
            let context =
                format!("remove {key:?}: wanted version {version}, found version {there}");
            Err(Error::new(ErrorKind::Precondition, context))
        }
        _ => Ok(()),
    }
}

/// Checks the `if_match` of a read.
pub(crate) fn check_if_match(if_match: Option<&Version>, there: &Version) -> Result<()> {
    match if_match {
        Some(wanted) if wanted != there => Err(Error::new(
            ErrorKind::Precondition,
            format!("wanted version {wanted}, found version {there}"),
        )),
        _ => Ok(()),
    }
}

/// The bytes that a read of `range` gives of an object of `size` bytes.
pub(crate) fn resolve_range(range: Option<&Range<u64>>, size: u64) -> Result<Range<u64>> {
    let Some(range) = range else {
        return Ok(0..size);
    };
    if range.start >= range.end {
        let context = format!("the range {}..{} is empty", range.start, range.end);
        return Err(Error::new(ErrorKind::InvalidRequest, context));
    }
    if range.start >= size {
        let context = format!("the range starts at {} of {size} bytes", range.start);
        return Err(Error::new(ErrorKind::Range, context));
    }
    Ok(range.start..range.end.min(size))
}

/// The bytes of a part copy: unlike a read, a range over the end is an error
/// ("`UploadPartCopy`", `x-amz-copy-source-range`).
pub(crate) fn copy_range(range: &Range<u64>, size: u64) -> Result<Range<u64>> {
    if range.start < range.end && range.end <= size {
        return Ok(range.clone());
    }
    let context = format!("copy of bytes {}..{} of {size}", range.start, range.end);
    Err(Error::new(ErrorKind::InvalidRequest, context))
}

/// Refuses user metadata that S3 would refuse.
pub(crate) fn check_metadata(metadata: &Metadata) -> Result<()> {
    let bytes: usize = (metadata.user.iter())
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if bytes <= USER_METADATA_BYTES_MAX {
        return Ok(());
    }
    let context = format!("{bytes} bytes of user metadata, at most {USER_METADATA_BYTES_MAX}");
    Err(Error::new(ErrorKind::TooLarge, context))
}

/// Refuses tags that would be lost without a word.
pub(crate) fn check_tags(capabilities: &Capabilities, metadata: &Metadata) -> Result<()> {
    match &metadata.tags {
        Tags::None => Ok(()),
        Tags::These(_) if capabilities.tags => Ok(()),
        Tags::These(_) => {
            let context = "tags, which this store does not have";
            Err(Error::new(ErrorKind::Unsupported, context))
        }
        Tags::Unread(count) => {
            let context = format!("{count} tags that were not read");
            Err(Error::new(ErrorKind::InvalidRequest, context))
        }
    }
}

/// Refuses a part number out of 1 to [`Capabilities::parts_max`].
pub(crate) fn check_part_number(capabilities: &Capabilities, number: u16) -> Result<()> {
    if (1..=capabilities.parts_max).contains(&number) {
        return Ok(());
    }
    let context = format!("part number {number}, of 1 to {}", capabilities.parts_max);
    Err(Error::new(ErrorKind::InvalidRequest, context))
}

/// Refuses more than `limit` bytes.
pub(crate) fn check_size(what: &str, bytes: u64, limit: u64) -> Result<()> {
    if bytes <= limit {
        return Ok(());
    }
    let context = format!("{what} of {bytes} bytes, at most {limit}");
    Err(Error::new(ErrorKind::TooLarge, context))
}

/// Refuses more keys than one delete takes.
pub(crate) fn check_delete(capabilities: &Capabilities, keys: usize) -> Result<()> {
    if keys <= usize::from(capabilities.delete_keys_max) {
        return Ok(());
    }
    let limit = capabilities.delete_keys_max;
    let context = format!("delete of {keys} keys, at most {limit}");
    Err(Error::new(ErrorKind::InvalidRequest, context))
}

/// Checks the list of parts that completes an upload; `there` tells the tag and the size of a part
/// that was uploaded.
pub(crate) fn check_parts(
    capabilities: &Capabilities,
    parts: &[PartTag],
    mut there: impl FnMut(u16) -> Option<(String, u64)>,
) -> Result<()> {
    let invalid = |context: String| Err(Error::new(ErrorKind::InvalidRequest, context));
    if parts.is_empty() {
        return invalid("completing an upload takes one part at least".to_owned());
    }
    let mut before = 0;
    let mut total = 0_u64;
    for (index, part) in parts.iter().enumerate() {
        let number = part.number;
        if number <= before {
            return invalid(format!("part {number} follows part {before}"));
        }
        before = number;
        let (tag, size) = match there(number) {
            Some((tag, size)) if tag == part.tag => (tag, size),
            _ => return invalid(format!("no part {number} with tag {}", part.tag)),
        };
        if index + 1 < parts.len() && size < capabilities.part_bytes_min {
            let least = capabilities.part_bytes_min;
            return invalid(format!(
                "part {number} ({tag}) has {size} bytes, not {least}"
            ));
        }
        total = total.saturating_add(size);
    }
    check_size("an object", total, capabilities.object_bytes_max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let check = |range: Option<Range<u64>>, size, expected: std::result::Result<_, _>| {
            let found = resolve_range(range.as_ref(), size).map_err(|error| error.kind());
            assert_eq!(found, expected, "{range:?} of {size}");
        };
        check(None, 0, Ok(0..0));
        check(None, 9, Ok(0..9));
        check(Some(2..4), 9, Ok(2..4));
        check(Some(2..99), 9, Ok(2..9));
        check(Some(8..9), 9, Ok(8..9));
        check(Some(9..10), 9, Err(ErrorKind::Range));
        check(Some(0..1), 0, Err(ErrorKind::Range));
        check(Some(3..3), 9, Err(ErrorKind::InvalidRequest));
    }

    #[test]
    fn preconditions() {
        let a = Version::new("\"a\"");
        let b = Version::new("\"b\"");
        let check = |precondition: Precondition, current: Option<&Version>, holds: bool| {
            let found = check_precondition(&precondition, current);
            assert_eq!(found.is_ok(), holds, "{precondition:?} on {current:?}");
        };
        check(Precondition::None, None, true);
        check(Precondition::None, Some(&a), true);
        check(Precondition::Absent, None, true);
        check(Precondition::Absent, Some(&a), false);
        check(Precondition::Matches(a.clone()), Some(&a), true);
        check(Precondition::Matches(a.clone()), Some(&b), false);
        check(Precondition::Matches(a), None, false);
    }

    #[test]
    fn parts() {
        let there = |number: u16| match number {
            1 => Some(("\"one\"".to_owned(), 5 << 20)),
            2 => Some(("\"two\"".to_owned(), 1)),
            3 => Some(("\"three\"".to_owned(), 1)),
            _ => None,
        };
        let tag = |number: u16, tag: &str| PartTag {
            number,
            tag: tag.to_owned(),
        };
        let (one, two, three) = (tag(1, "\"one\""), tag(2, "\"two\""), tag(3, "\"three\""));
        let check = |parts: &[PartTag], holds: bool| {
            let found = check_parts(&Capabilities::S3, parts, there);
            assert_eq!(found.is_ok(), holds, "{parts:?}");
        };
        check(&[one.clone(), two.clone()], true);
        check(std::slice::from_ref(&two), true);
        check(&[one.clone(), three.clone()], true);
        check(&[], false);
        check(&[two.clone(), one.clone()], false);
        check(&[one.clone(), one.clone()], false);
        check(&[one, two, three], false);
        check(&[tag(1, "\"other\"")], false);
        check(&[tag(4, "\"four\"")], false);
    }
}
