//! What one version of a file holds: who wrote it, which one it is, and what its writer had read.
//!
//! A file is a row of records. A rewrite leaves one, an append adds one. The filler of a record follows from
//! its name, so that a byte out of place shows.

use std::fmt;

use anyhow::{Context, Result, bail};

use crate::dice::Dice;

/// Which version: the mount that wrote it, and its number there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Id {
    pub(super) mount: u8,
    pub(super) number: u32,
}

/// One record of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Record {
    pub(super) id: Id,
    /// The version that the writer had read in this file.
    pub(super) base: Option<Id>,
}

/// As `2:17`.
impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.mount, self.number)
    }
}

/// The bytes of a record with a filler of `length` bytes.
pub(super) fn bytes(record: Record, length: usize) -> Vec<u8> {
    let base = record
        .base
        .map_or_else(|| "-".to_owned(), |base| base.to_string());
    let mut bytes = format!("version {} base {base} length {length}\n", record.id).into_bytes();
    let from = bytes.len();
    bytes.resize(from + length, 0);
    fill(record.id, &mut bytes[from..]);
    bytes.push(b'\n');
    bytes
}

/// The records of a file, the last one last.
///
/// # Errors
/// It is no row of whole records: it was torn or mixed.
pub(super) fn parse(mut bytes: &[u8]) -> Result<Vec<Record>> {
    let mut records: Vec<Record> = Vec::new();
    while !bytes.is_empty() {
        let end = bytes.iter().take(100).position(|byte| *byte == b'\n');
        let line = &bytes[..end.context("no line where a record begins")?];
        let (record, length) = head(line)
            .with_context(|| format!("{:?} begins no record", String::from_utf8_lossy(line)))?;
        bytes = &bytes[line.len() + 1..];
        if bytes.len() <= length {
            bail!("{}: {} bytes are left of {length}", record.id, bytes.len());
        }
        let mut filler = vec![0; length];
        fill(record.id, &mut filler);
        if let Some(at) = (0..length).find(|at| bytes[*at] != filler[*at]) {
            bail!("{}: byte {at} of {length} is another one's", record.id);
        }
        if let Some(before) = records.last()
            && record.base != Some(before.id)
        {
            bail!(
                "{} follows {}, which its writer had not read",
                record.id,
                before.id
            );
        }
        records.push(record);
        bytes = &bytes[length + 1..];
    }
    if records.is_empty() {
        bail!("it is empty");
    }
    Ok(records)
}

fn head(line: &[u8]) -> Option<(Record, usize)> {
    let words: Vec<_> = std::str::from_utf8(line).ok()?.split(' ').collect();
    let ["version", id_text, "base", base, "length", length] = *words else {
        return None;
    };
    let base = match base {
        "-" => None,
        text => Some(id(text)?),
    };
    let id = id(id_text)?;
    Some((Record { id, base }, length.parse().ok()?))
}

fn id(text: &str) -> Option<Id> {
    let (mount, number) = text.split_once(':')?;
    Some(Id {
        mount: mount.parse().ok()?,
        number: number.parse().ok()?,
    })
}

/// Bytes that follow from the name alone.
fn fill(id: Id, into: &mut [u8]) {
    let mut dice = Dice::new(&[u64::from(id.mount), u64::from(id.number)]);
    for piece in into.chunks_mut(8) {
        piece.copy_from_slice(&dice.next().to_le_bytes()[..piece.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: u32, base: Option<u32>) -> Record {
        let id = |number| Id { mount: 1, number };
        let (id, base) = (id(number), base.map(id));
        Record { id, base }
    }

    #[test]
    fn records_are_read_as_they_were_written() {
        let rows = [record(7, None), record(8, Some(7)), record(9, Some(8))];
        let all: Vec<u8> = (rows.iter().zip([0, 1, 1000]))
            .flat_map(|(row, length)| bytes(*row, length))
            .collect();
        assert_eq!(parse(&all).unwrap(), rows);
    }

    #[test]
    fn what_is_torn_or_mixed_is_found() {
        let whole = bytes(record(7, None), 300);
        for end in 0..whole.len() {
            assert!(parse(&whole[..end]).is_err(), "cut at {end}");
        }
        let mut mixed = whole.clone();
        mixed[200] ^= 1;
        assert!(parse(&mixed).is_err());
        let mut strange = whole;
        strange.extend(bytes(record(9, Some(8)), 10));
        let error = parse(&strange).unwrap_err().to_string();
        assert!(error.contains("1:9 follows 1:7"), "{error}");
    }
}
