//! Heads of messages, as far as a proxy must understand them (RFC 9112): where the head ends, how long the
//! body is, whether the connection stays.

use std::io::{self, Error, ErrorKind};

/// The first line and the headers.
#[derive(Debug)]
pub(super) struct Head {
    /// The bytes as they came, with the empty line.
    pub(super) bytes: Vec<u8>,
    /// The words of the first line.
    line: [String; 3],
    headers: Vec<(String, String)>,
}

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// There is none.
    None,
    /// After so many bytes.
    Length(u64),
    /// After the chunk of size 0 and the trailers.
    Chunked,
    /// When the connection ends.
    Rest,
}

impl Head {
    /// Takes a head apart.
    ///
    /// # Errors
    /// `InvalidData` if it is none.
    pub(super) fn parse(bytes: Vec<u8>) -> io::Result<Self> {
        let wrong = |what| Error::new(ErrorKind::InvalidData, what);
        let text = std::str::from_utf8(&bytes).map_err(|_| wrong("head is no text"))?;
        let mut lines = text.split("\r\n");
        let mut words = lines.next().unwrap_or_default().splitn(3, ' ');
        let mut word = || words.next().map(str::to_owned);
        let (Some(first), Some(second)) = (word(), word()) else {
            return Err(wrong("first line has no two words"));
        };
        let line = [first, second, word().unwrap_or_default()];
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Ok(Self {
            bytes,
            line,
            headers,
        })
    }

    /// The first header of this name, which is in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(other, _)| other == name)
            .map(|(_, value)| &**value)
    }

    /// Whether a header, a list with commas, has this word.
    fn says(&self, name: &str, word: &str) -> bool {
        self.header(name).is_some_and(|value| {
            value
                .split(',')
                .any(|one| one.trim().eq_ignore_ascii_case(word))
        })
    }

    /// Of a request: `GET`.
    pub(super) fn method(&self) -> &str {
        &self.line[0]
    }

    /// Of a request: `/pail/key?query`.
    pub(super) fn target(&self) -> &str {
        &self.line[1]
    }

    /// Whether a request waits for `100 Continue` before it sends its body.
    pub(super) fn expects_continue(&self) -> bool {
        self.says("expect", "100-continue")
    }

    /// Of an answer: 200; 0 if it is no number.
    pub(super) fn status(&self) -> u16 {
        self.line[1].parse().unwrap_or(0)
    }

    /// Whether who sent this ends the connection after it.
    pub(super) fn closes(&self) -> bool {
        let version = match &*self.line[0] {
            answer if answer.starts_with("HTTP/") => answer,
            _ => &self.line[2],
        };
        if version == "HTTP/1.0" {
            !self.says("connection", "keep-alive")
        } else {
            self.says("connection", "close")
        }
    }

    /// Whether this answer ends a connection that could stay: of HTTP/1.0 it is not known whether the client can.
    pub(super) fn closes_needlessly(&self) -> bool {
        self.line[0] == "HTTP/1.1" && self.closes()
    }

    /// The body of this request.
    ///
    /// # Errors
    /// `InvalidData` if its length is no number.
    pub(super) fn request_body(&self) -> io::Result<Body> {
        Ok(self.framing()?.unwrap_or(Body::None))
    }

    /// The body of this answer to a request of `method`.
    ///
    /// # Errors
    /// `InvalidData` if its length is no number.
    pub(super) fn answer_body(&self, method: &str) -> io::Result<Body> {
        let status = self.status();
        if method == "HEAD" || status == 204 || status == 304 || (100..200).contains(&status) {
            return Ok(Body::None);
        }
        Ok(self.framing()?.unwrap_or(Body::Rest))
    }

    fn framing(&self) -> io::Result<Option<Body>> {
        if self.says("transfer-encoding", "chunked") {
            return Ok(Some(Body::Chunked));
        }
        let Some(length) = self.header("content-length") else {
            return Ok(None);
        };
        let length = length
            .parse()
            .map_err(|_| Error::new(ErrorKind::InvalidData, "content-length is no number"))?;
        Ok(Some(match length {
            0 => Body::None,
            some => Body::Length(some),
        }))
    }

    /// The bytes without the header `Expect`, which the proxy has answered itself.
    pub(super) fn without_expect(&self) -> Vec<u8> {
        self.without(b"expect:")
    }

    /// The bytes of an answer of HTTP/1.1 without the header `Connection`: so the connection stays.
    pub(super) fn staying(&self) -> Vec<u8> {
        self.without(b"connection:")
    }

    fn without(&self, header: &[u8]) -> Vec<u8> {
        let mut kept = Vec::with_capacity(self.bytes.len());
        for line in self.bytes.split_inclusive(|byte| *byte == b'\n') {
            let is_it = line
                .get(..header.len())
                .is_some_and(|name| name.eq_ignore_ascii_case(header));
            if !is_it {
                kept.extend_from_slice(line);
            }
        }
        kept
    }

    /// The bytes with that `Date` instead of any other.
    pub(super) fn dated(&self, date: &str) -> Vec<u8> {
        let mut dated = Vec::with_capacity(self.bytes.len() + 40);
        for (number, line) in self
            .bytes
            .split_inclusive(|byte| *byte == b'\n')
            .enumerate()
        {
            let is_date = line
                .get(..5)
                .is_some_and(|name| name.eq_ignore_ascii_case(b"date:"));
            if !is_date {
                dated.extend_from_slice(line);
            }
            if number == 0 {
                dated.extend_from_slice(format!("Date: {date}\r\n").as_bytes());
            }
        }
        dated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Head {
        Head::parse(text.replace('\n', "\r\n").into_bytes()).unwrap()
    }

    #[test]
    fn an_answer_can_get_another_date() {
        let answer = head("HTTP/1.1 200 OK\ndate: then\nETag: a\n\n");
        let dated = String::from_utf8(answer.dated("now")).unwrap();
        assert_eq!(dated, "HTTP/1.1 200 OK\r\nDate: now\r\nETag: a\r\n\r\n");
    }

    #[test]
    fn bodies_are_framed_as_the_standard_says() {
        let put = head("PUT /a HTTP/1.1\nContent-Length: 12\n\n");
        assert_eq!(put.request_body().unwrap(), Body::Length(12));
        let get = head("GET /a HTTP/1.1\nHost: x\n\n");
        assert_eq!(get.request_body().unwrap(), Body::None);
        let both = head("PUT /a HTTP/1.1\ntransfer-encoding: Chunked\ncontent-length: 3\n\n");
        assert_eq!(both.request_body().unwrap(), Body::Chunked);
        let found = head("HTTP/1.1 200 OK\nContent-Length: 5\n\n");
        assert_eq!(found.answer_body("GET").unwrap(), Body::Length(5));
        assert_eq!(found.answer_body("HEAD").unwrap(), Body::None);
        let none = head("HTTP/1.1 204 No Content\n\n");
        assert_eq!(none.answer_body("DELETE").unwrap(), Body::None);
        let open = head("HTTP/1.0 200 OK\n\n");
        assert_eq!(open.answer_body("GET").unwrap(), Body::Rest);
        assert!(
            head("PUT /a HTTP/1.1\nContent-Length: x\n\n")
                .request_body()
                .is_err()
        );
    }

    #[test]
    fn connections_stay_as_the_version_says() {
        assert!(!head("GET / HTTP/1.1\n\n").closes());
        assert!(head("GET / HTTP/1.1\nConnection: Close\n\n").closes());
        assert!(head("HTTP/1.0 200 OK\n\n").closes());
        assert!(!head("HTTP/1.0 200 OK\nConnection: keep-alive\n\n").closes());
    }

    #[test]
    fn only_expect_is_left_out() {
        let put = head("PUT /a HTTP/1.1\nExpect: 100-continue\nX: y\n\n");
        assert!(put.expects_continue());
        assert_eq!(put.without_expect(), b"PUT /a HTTP/1.1\r\nX: y\r\n\r\n");
        let answer = head("HTTP/1.1 200 OK\nConnection: close\nX: y\n\n");
        assert_eq!(answer.staying(), b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n");
    }
}
