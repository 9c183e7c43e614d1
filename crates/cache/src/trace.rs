//! What was read of which file, in numbers: written small, read back, and played to strategies.
//!
//! Laws: a trace names nothing, neither files nor machines: files are numbers in the order of their
//! first read. What is malformed is refused, whatever it is, without a panic and without taking more
//! memory than a few times its own size.
//!
//! # The format
//!
//! The four bytes `CMRT`, the version as a byte, then for each read: a byte of flags, and what the
//! flags do not say as numbers of seven bits a byte, the lowest first (LEB128):
//!
//! 1. the file, unless it is the one of the last read or a new one, which has the next number;
//! 2. the file's size, if it is new;
//! 3. the distance from the end of the file's last read to the beginning of this one, unless it is
//!    zero; its sign is the lowest bit;
//! 4. the length, unless it is that of the last read;
//! 5. milliseconds since the last read, unless it is zero.
//!
//! A sequential reader takes one byte for each read.

use std::fmt;

const MAGIC: &[u8] = b"CMRT";
const VERSION: u8 = 1;

const NEW_FILE: u8 = 1;
const SAME_FILE: u8 = 1 << 1;
const IN_ORDER: u8 = 1 << 2;
const SAME_LEN: u8 = 1 << 3;
const SAME_TIME: u8 = 1 << 4;
const ALL_FLAGS: u8 = NEW_FILE | SAME_FILE | IN_ORDER | SAME_LEN | SAME_TIME;

/// One read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Read {
    /// Which version of which file: numbers from 0, in the order of first reads.
    pub file: u32,
    /// Its size in bytes.
    pub size: u64,
    /// The first byte that is read.
    pub offset: u64,
    /// How many are.
    pub len: u32,
    /// When, in milliseconds since the trace began.
    pub at_ms: u64,
}

/// What is known of a file while a trace is written or read.
#[derive(Clone, Copy, Debug)]
struct Known {
    size: u64,
    /// Where its last read ended.
    end: u64,
}

/// What the next read is told against.
#[derive(Debug, Default)]
struct Last {
    files: Vec<Known>,
    file: u32,
    len: u32,
    at_ms: u64,
}

/// Writes a trace.
#[derive(Debug)]
pub struct Writer {
    bytes: Vec<u8>,
    last: Last,
}

impl Default for Writer {
    fn default() -> Self {
        let mut bytes = MAGIC.to_vec();
        bytes.push(VERSION);
        Self {
            bytes,
            last: Last::default(),
        }
    }
}

impl Writer {
    /// Adds a read. A file that was not read yet must have the next number, and every file one
    /// size; a read lies within its file, and none is earlier than the one before.
    ///
    /// # Errors
    /// The read is none of a trace; nothing was added.
    pub fn push(&mut self, read: &Read) -> Result<(), Malformed> {
        let last = &mut self.last;
        let known = last.known(read.file);
        let is_new = known.is_none();
        let known = known.unwrap_or(Known {
            size: read.size,
            end: 0,
        });
        if (is_new && last.next_file() != Some(read.file)) || known.size != read.size {
            return Err(Malformed("a file has no such number, or another size"));
        }
        let end = checked_end(read)?;
        let waited = (read.at_ms.checked_sub(last.at_ms)).ok_or(Malformed("time goes back"))?;
        let mut flags = 0;
        let mut flag = |flag: u8, is_set: bool| flags |= if is_set { flag } else { 0 };
        let is_same = !is_new && last.file == read.file;
        flag(NEW_FILE, is_new);
        flag(SAME_FILE, is_same);
        flag(IN_ORDER, known.end == read.offset);
        flag(SAME_LEN, last.len == read.len);
        flag(SAME_TIME, waited == 0);
        self.bytes.push(flags);
        if is_new {
            put(&mut self.bytes, read.size);
            last.files.push(known);
        } else if !is_same {
            put(&mut self.bytes, read.file.into());
        }
        if known.end != read.offset {
            put(&mut self.bytes, zigzag(known.end, read.offset));
        }
        if last.len != read.len {
            put(&mut self.bytes, read.len.into());
        }
        if waited != 0 {
            put(&mut self.bytes, waited);
        }
        last.step(read, end);
        Ok(())
    }

    /// Bytes so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was added yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.last.files.is_empty()
    }

    /// The trace so far.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Last {
    fn known(&self, file: u32) -> Option<Known> {
        self.files.get(usize::try_from(file).ok()?).copied()
    }

    fn next_file(&self) -> Option<u32> {
        u32::try_from(self.files.len()).ok()
    }

    fn step(&mut self, read: &Read, end: u64) {
        if let Ok(at) = usize::try_from(read.file)
            && let Some(file) = self.files.get_mut(at)
        {
            file.end = end;
        }
        (self.file, self.len, self.at_ms) = (read.file, read.len, read.at_ms);
    }
}

/// Reads a trace.
///
/// # Errors
/// It is none, is of another version, or is cut off.
pub fn read(bytes: &[u8]) -> Result<Vec<Read>, Malformed> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(Malformed("not a trace"))?;
    let Some((&VERSION, mut rest)) = rest.split_first() else {
        return Err(Malformed("a trace of another version"));
    };
    let mut last = Last::default();
    let mut reads = Vec::new();
    while let Some((&flags, after)) = rest.split_first() {
        rest = after;
        reads.push(next(flags, &mut rest, &mut last)?);
    }
    Ok(reads)
}

fn next(flags: u8, rest: &mut &[u8], last: &mut Last) -> Result<Read, Malformed> {
    let has = |flag: u8| flags & flag != 0;
    if flags & !ALL_FLAGS != 0 || has(NEW_FILE) && has(SAME_FILE) {
        return Err(Malformed("unknown flags"));
    }
    let file = if has(NEW_FILE) {
        let number = last.next_file().ok_or(Malformed("too many files"))?;
        let size = take(rest)?;
        last.files.push(Known { size, end: 0 });
        number
    } else if has(SAME_FILE) {
        last.file
    } else {
        u32::try_from(take(rest)?).map_err(|_| Malformed("no such file"))?
    };
    let known = last.known(file).ok_or(Malformed("no such file"))?;
    let offset = match has(IN_ORDER) {
        true => known.end,
        false => unzigzag(known.end, take(rest)?).ok_or(Malformed("a read of nowhere"))?,
    };
    let len = match has(SAME_LEN) {
        true => last.len,
        false => u32::try_from(take(rest)?).map_err(|_| Malformed("too long a read"))?,
    };
    let waited = if has(SAME_TIME) { 0 } else { take(rest)? };
    let read = Read {
        file,
        size: known.size,
        offset,
        len,
        at_ms: (last.at_ms.checked_add(waited)).ok_or(Malformed("time without end"))?,
    };
    let end = checked_end(&read)?;
    last.step(&read, end);
    Ok(read)
}

fn checked_end(read: &Read) -> Result<u64, Malformed> {
    let end = read.offset.checked_add(read.len.into());
    end.filter(|end| *end <= read.size && read.size < 1 << 62)
        .ok_or(Malformed("a read beyond the end of its file"))
}

/// The way from one place to another, its sign in the lowest bit. Both are below 2⁶².
fn zigzag(from: u64, to: u64) -> u64 {
    match to.checked_sub(from) {
        Some(forward) => forward << 1,
        None => (from - to) << 1 | 1,
    }
}

fn unzigzag(from: u64, way: u64) -> Option<u64> {
    match way & 1 {
        0 => from.checked_add(way >> 1),
        _ => from.checked_sub(way >> 1),
    }
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number > 0x7F {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

fn take(rest: &mut &[u8]) -> Result<u64, Malformed> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, after) = rest.split_first().ok_or(Malformed("cut off"))?;
        *rest = after;
        let bits = u64::from(byte & 0x7F);
        if bits << shift >> shift != bits {
            break;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Malformed("too large a number"))
}

/// What is no trace, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed(&'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "malformed trace: {}", self.0)
    }
}

impl std::error::Error for Malformed {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads of a few files, each of one size, as a trace may hold them.
    fn reads() -> impl Strategy<Value = Vec<Read>> {
        let sizes = prop::collection::vec(prop_oneof![0..200_u64, 0..1_u64 << 40], 1..6);
        let steps = prop::collection::vec(
            (
                any::<prop::sample::Index>(),
                any::<(u64, u32, bool)>(),
                prop_oneof![Just(0), 0..100_000_u64],
            ),
            0..60,
        );
        (sizes, steps).prop_map(|(sizes, steps)| {
            let mut reads: Vec<Read> = Vec::new();
            let mut numbers = std::collections::HashMap::new();
            let mut at_ms = 0;
            for (which, (offset, len, follows), waited) in steps {
                let which = which.index(sizes.len());
                let size = sizes[which];
                let count = u32::try_from(numbers.len()).unwrap();
                let file = *numbers.entry(which).or_insert(count);
                let before = reads.iter().rev().find(|read| read.file == file);
                let end = before.map_or(0, |read| read.offset + u64::from(read.len));
                let offset = if follows { end } else { offset % (size + 1) };
                let most = u32::try_from(size - offset).unwrap_or(u32::MAX);
                let len = before.filter(|_| follows).map_or(len, |read| read.len);
                at_ms += waited;
                let len = len.min(most);
                reads.push(Read {
                    file,
                    size,
                    offset,
                    len,
                    at_ms,
                });
            }
            reads
        })
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(reads in reads()) {
            let mut writer = Writer::default();
            for read in &reads {
                writer.push(read).unwrap();
            }
            prop_assert_eq!(read(writer.bytes()).unwrap(), reads);
        }

        #[test]
        fn no_bytes_break_it(reads in reads(), at in any::<prop::sample::Index>(), byte: u8, cut: prop::sample::Index) {
            let mut writer = Writer::default();
            for read in &reads {
                writer.push(read).unwrap();
            }
            let mut bytes = writer.bytes().to_vec();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let cut = cut.index(bytes.len() + 1);
            // What is read after all is a trace: it can be written again.
            if let Ok(reads) = read(&bytes[..cut]) {
                let mut again = Writer::default();
                for read in &reads {
                    again.push(read).unwrap();
                }
            }
        }
    }

    #[test]
    fn a_sequential_reader_takes_a_byte_a_read() {
        let mut writer = Writer::default();
        for n in 0..1000 {
            let read = Read {
                file: 0,
                size: 1 << 30,
                offset: n * 4096,
                len: 4096,
                at_ms: 7,
            };
            writer.push(&read).unwrap();
        }
        assert!(writer.len() < 1020, "{}", writer.len());
    }

    #[test]
    fn other_files_are_refused() {
        for (bytes, why) in [
            (&b""[..], "not a trace"),
            (b"PNG and more", "not a trace"),
            (b"CMRT", "another version"),
            (b"CMRT\x02", "another version"),
            (b"CMRT\x01\xFF", "unknown flags"),
            (b"CMRT\x01\x03", "unknown flags"),
            (b"CMRT\x01\x02", "no such file"),
            (b"CMRT\x01\x01", "cut off"),
            (b"CMRT\x01\x15\x05\x06", "beyond the end"),
            (
                b"CMRT\x01\x01\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF",
                "too large",
            ),
        ] {
            let error = read(bytes).unwrap_err().to_string();
            assert!(error.contains(why), "{bytes:?}: {error}");
        }
    }

    #[test]
    fn what_is_no_read_of_a_trace_is_not_written() {
        let read = Read {
            file: 0,
            size: 10,
            offset: 0,
            len: 10,
            at_ms: 5,
        };
        let mut writer = Writer::default();
        writer.push(&read).unwrap();
        let before = writer.bytes().to_vec();
        for wrong in [
            Read { file: 2, ..read },
            Read { size: 11, ..read },
            Read { len: 11, ..read },
            Read {
                offset: u64::MAX,
                ..read
            },
            Read { at_ms: 4, ..read },
        ] {
            writer.push(&wrong).unwrap_err();
            assert_eq!(writer.bytes(), before, "{wrong:?}");
        }
    }
}
