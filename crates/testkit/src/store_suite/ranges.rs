//! Laws of reading a part of an object.

use std::ops::Range;

use cloudmount_store::{ErrorKind, GetOptions, StoreExt, Version};

use super::verdict::{fails, same, same_bytes};
use super::{Area, Broken, Outcome, Verdict, pattern};

fn part(range: Range<u64>) -> GetOptions {
    GetOptions {
        range: Some(range),
        ..GetOptions::default()
    }
}

/// Reads `range` of `name` and checks it against the whole.
async fn gives(area: &Area<'_>, name: &str, range: Range<u64>, whole: &[u8]) -> Result<(), Broken> {
    let key = area.key(name)?;
    let end = range.end.min(whole.len() as u64);
    let what = format!("bytes {}..{} of {}", range.start, range.end, whole.len());
    let result = area.store().get(&key, part(range.clone())).await?;
    same(&what, &result.range, &(range.start..end))?;
    same(&what, &result.meta.size, &(whole.len() as u64))?;
    // A body that is held may hold a place in a queue.
    drop(result);
    let found = area.store().get_bytes(&key, part(range.clone())).await?;
    let index = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
    same_bytes(&what, &found, &whole[index(range.start)..index(end)])
}

/// Law: every range of an object gives exactly its bytes.
pub async fn every_range_of_a_small_object(area: &Area<'_>) -> Verdict {
    let whole = b"0123456";
    area.put("a", &whole[..]).await?;
    for start in 0..whole.len() as u64 {
        for end in start + 1..=whole.len() as u64 {
            gives(area, "a", start..end, whole).await?;
        }
    }
    Ok(Outcome::Held)
}

/// Law: ranges do not care how the content is cut into pieces.
pub async fn ranges_across_large_pieces(area: &Area<'_>) -> Verdict {
    let whole = pattern((1 << 20) + 3, 5);
    area.put("a", whole.clone()).await?;
    let size = whole.len() as u64;
    for range in [
        0..size,
        0..1,
        size - 1..size,
        65_535..65_537,
        262_143..262_145,
        262_144..524_288,
        1..size - 1,
        700_000..700_001,
    ] {
        gives(area, "a", range, &whole).await?;
    }
    Ok(Outcome::Held)
}

/// Law: a range that ends after the object is cut at its end.
pub async fn a_range_over_the_end_is_cut(area: &Area<'_>) -> Verdict {
    area.put("a", "0123456").await?;
    for range in [0..8, 6..8, 3..1000, 0..1 << 40] {
        gives(area, "a", range, b"0123456").await?;
    }
    Ok(Outcome::Held)
}

/// Law: a range that starts at or after the end is an error, also of an empty object.
pub async fn a_range_after_the_end_is_an_error(area: &Area<'_>) -> Verdict {
    area.put("a", "0123456").await?;
    area.put("empty", "").await?;
    for (name, range) in [
        ("a", 7..8),
        ("a", 8..9),
        ("a", 1 << 40..1 << 41),
        ("empty", 0..1),
    ] {
        let what = format!("range {range:?} of {name}");
        let result = area.store().get(&area.key(name)?, part(range)).await;
        fails(&what, result, ErrorKind::Range)?;
    }
    Ok(Outcome::Held)
}

/// Law: a range for a version that is gone fails for the version, wherever the range lies, so that
/// nobody takes the end of another object for the end of his own.
pub async fn the_version_is_checked_before_the_range(area: &Area<'_>) -> Verdict {
    let old = area.put("a", "0123456").await?;
    area.put("a", "01").await?;
    let wanted = |version: &Version, range| GetOptions {
        range: Some(range),
        if_match: Some(version.clone()),
    };
    let key = area.key("a")?;
    for range in [0..1, 5..6] {
        let result = area.store().get(&key, wanted(&old, range)).await;
        fails(
            "a range of the old version",
            result,
            ErrorKind::Precondition,
        )?;
    }
    let now = area.store().head(&key).await?.version;
    let found = area.store().get_bytes(&key, wanted(&now, 1..2)).await?;
    same_bytes("a range of this version", &found, b"1")?;
    Ok(Outcome::Held)
}
