//! Bytes of messages from one connection: heads whole, bodies in pieces as they come.
//!
//! Law: nothing is read beyond what was asked for that the next message would miss.

use std::io::{self, Error, ErrorKind, Read};

use super::head::{Body, Head};

/// No S3 client sends a longer head; servers refuse at 8 to 64 KiB.
const LONGEST_HEAD: usize = 64 << 10;
/// Lines between chunks: a size in hexadecimal, perhaps with a signature.
const LONGEST_LINE: usize = 8 << 10;
/// What is read at once.
const BUFFER: usize = 256 << 10;

/// Reads messages from `R`.
#[derive(Debug)]
pub(super) struct Pipe<R> {
    from: R,
    buffer: Vec<u8>,
    /// What was read and not handed out.
    ready: std::ops::Range<usize>,
}

/// Why a body did not pass whole.
#[derive(Debug)]
pub(super) enum Broken {
    /// It could not be read.
    Reading(Error),
    /// The one who takes it refused.
    Writing(Error),
}

impl<R: Read> Pipe<R> {
    pub(super) fn new(from: R) -> Self {
        Self {
            from,
            buffer: vec![0; BUFFER],
            ready: 0..0,
        }
    }

    /// Whether nothing was read that was not handed out.
    pub(super) fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// The next head; `None` if the connection ended before its first byte.
    ///
    /// # Errors
    /// Reading failed, the connection ended in the middle, or it is no head.
    pub(super) fn head(&mut self) -> io::Result<Option<Head>> {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            if bytes.len() > LONGEST_HEAD {
                return Err(Error::new(ErrorKind::InvalidData, "head is too long"));
            }
            match self.line(LONGEST_HEAD)? {
                // Empty lines before a request are allowed (RFC 9112, 2.2).
                line if bytes.is_empty() && line == b"\r\n" => {}
                line if line.is_empty() && bytes.is_empty() => return Ok(None),
                line if line.is_empty() => return Err(ErrorKind::UnexpectedEof.into()),
                line => bytes.extend_from_slice(&line),
            }
        }
        Head::parse(bytes).map(Some)
    }

    /// Hands a body to `take`, byte for byte, in pieces of at most `piece` bytes.
    ///
    /// # Errors
    /// [`Broken`] at the first that fails.
    pub(super) fn body(
        &mut self,
        body: Body,
        piece: usize,
        take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), Broken> {
        match body {
            Body::None => Ok(()),
            Body::Length(length) => self.exactly(length, piece, take),
            Body::Rest => loop {
                match self.some(piece).map_err(Broken::Reading)? {
                    [] => return Ok(()),
                    some => take(some).map_err(Broken::Writing)?,
                }
            },
            Body::Chunked => self.chunks(piece, take),
        }
    }

    fn chunks(
        &mut self,
        piece: usize,
        take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), Broken> {
        loop {
            let line = self.line(LONGEST_LINE).map_err(Broken::Reading)?;
            let size = size_of(&line).map_err(Broken::Reading)?;
            take(&line).map_err(Broken::Writing)?;
            if size == 0 {
                break;
            }
            // With the line's end that follows it.
            self.exactly(size + 2, piece, take)?;
        }
        loop {
            let line = self.line(LONGEST_LINE).map_err(Broken::Reading)?;
            if line.is_empty() {
                return Err(Broken::Reading(ErrorKind::UnexpectedEof.into()));
            }
            take(&line).map_err(Broken::Writing)?;
            if line == b"\r\n" {
                return Ok(());
            }
        }
    }

    fn exactly(
        &mut self,
        length: u64,
        piece: usize,
        take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), Broken> {
        let mut left = length;
        while left > 0 {
            let most = piece.min(usize::try_from(left).unwrap_or(piece));
            let some = self.some(most).map_err(Broken::Reading)?;
            if some.is_empty() {
                return Err(Broken::Reading(ErrorKind::UnexpectedEof.into()));
            }
            left -= some.len() as u64;
            take(some).map_err(Broken::Writing)?;
        }
        Ok(())
    }

    /// At most `most` bytes, at least one; none at the end.
    fn some(&mut self, most: usize) -> io::Result<&[u8]> {
        if self.ready.is_empty() {
            let count = self.fill()?;
            self.ready = 0..count;
        }
        let start = self.ready.start;
        let end = self.ready.end.min(start.saturating_add(most));
        self.ready.start = end;
        Ok(&self.buffer[start..end])
    }

    fn fill(&mut self) -> io::Result<usize> {
        loop {
            match self.from.read(&mut self.buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    /// A line with its end; empty if nothing comes any more.
    fn line(&mut self, longest: usize) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            if line.len() >= longest {
                return Err(Error::new(ErrorKind::InvalidData, "line is too long"));
            }
            let some = self.some(usize::MAX)?;
            if some.is_empty() {
                return if line.is_empty() {
                    Ok(line)
                } else {
                    Err(ErrorKind::UnexpectedEof.into())
                };
            }
            let count = some
                .iter()
                .position(|byte| *byte == b'\n')
                .map_or(some.len(), |at| at + 1);
            line.extend_from_slice(&some[..count]);
            let unused = some.len() - count;
            self.ready.start -= unused;
        }
        Ok(line)
    }
}

/// The size in the line before a chunk, which may be followed by extensions.
fn size_of(line: &[u8]) -> io::Result<u64> {
    let digits: &[u8] = line
        .split(|byte| matches!(byte, b';' | b'\r' | b'\n' | b' '))
        .next()
        .unwrap_or_default();
    std::str::from_utf8(digits)
        .ok()
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .filter(|size| *size < u64::MAX - 2)
        .ok_or_else(|| Error::new(ErrorKind::InvalidData, "chunk has no size"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its bytes in pieces of `1`, so that every boundary is met.
    struct Slowly<'a>(&'a [u8]);

    impl Read for Slowly<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let Some((first, rest)) = self.0.split_first() else {
                return Ok(0);
            };
            into[0] = *first;
            self.0 = rest;
            Ok(1)
        }
    }

    #[test]
    fn messages_follow_each_other_whole() {
        let first = "5;ext=1\r\nhello\r\n0\r\nTrailer: x\r\n\r\n";
        let text = format!(
            "PUT /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{first}\
             PUT /b HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
        );
        let mut quick = Pipe::new(text.as_bytes());
        let mut slow = Pipe::new(Slowly(text.as_bytes()));
        let check = |head: Head, body: Vec<u8>, target: &str, wanted: &str| {
            assert_eq!(head.target(), target);
            assert_eq!(String::from_utf8(body).unwrap(), wanted);
        };
        for (target, wanted) in [("/a", first), ("/b", "abc")] {
            let (head, body) = message(&mut quick);
            check(head, body, target, wanted);
            let (head, body) = message(&mut slow);
            check(head, body, target, wanted);
        }
        assert!(quick.head().unwrap().is_none() && slow.head().unwrap().is_none());
    }

    fn message<R: Read>(pipe: &mut Pipe<R>) -> (Head, Vec<u8>) {
        let head = pipe.head().unwrap().unwrap();
        let mut body = Vec::new();
        pipe.body(head.request_body().unwrap(), 2, &mut |bytes| {
            assert!(bytes.len() <= 12, "a piece or a line");
            body.extend_from_slice(bytes);
            Ok(())
        })
        .unwrap();
        (head, body)
    }

    #[test]
    fn what_is_cut_off_is_an_error() {
        for text in [
            "PUT /a HTTP/1.1\r\nConte",
            "PUT /a HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc",
            "PUT /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc",
            "PUT /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
            "PUT /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nabcz\r\n",
        ] {
            let mut pipe = Pipe::new(text.as_bytes());
            let whole = pipe.head().map_err(Broken::Reading).and_then(|head| {
                let body = head.unwrap().request_body().map_err(Broken::Reading)?;
                pipe.body(body, BUFFER, &mut |_| Ok(()))
            });
            assert!(whole.is_err(), "{text}");
        }
    }
}
