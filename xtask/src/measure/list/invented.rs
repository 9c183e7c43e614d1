//! A bucket that nobody had to fill: a server on loopback that makes up the pages of two folders as they are asked
//! for, as S3 gives them ("ListObjectsV2"). It knows no signatures, and takes nothing.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::Result;

use super::{PAGE, shown};

/// What all its objects are dated.
const DATE: &str = "2026-01-02T03:04:05.000Z";
/// The same as a header has it.
const HTTP_DATE: &str = "Fri, 02 Jan 2026 03:04:05 GMT";
/// How long a name is.
const NAME_BYTES: usize = "file0000000".len();

/// The running server.
pub(super) struct Invented {
    address: SocketAddr,
    endpoint: String,
    shared: Arc<Shared>,
    accept: Option<JoinHandle<()>>,
}

struct Shared {
    large: usize,
    is_stopping: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

/// What is answered: the status, and the body.
struct Answer {
    status: &'static str,
    headers: String,
    body: String,
}

impl Invented {
    /// Objects in the folder `small`: one page.
    pub(super) const SMALL: usize = 100;

    /// Starts it, with `large` objects in the folder `large`.
    ///
    /// # Errors
    /// Nothing can be bound.
    pub(super) fn start(large: usize) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            large,
            is_stopping: AtomicBool::new(false),
            open: Mutex::default(),
        });
        let for_threads = Arc::clone(&shared);
        let accept = std::thread::Builder::new()
            .name("invented".into())
            .spawn(move || accept(&listener, &for_threads))?;
        Ok(Self {
            address,
            endpoint: format!("http://{address}"),
            shared,
            accept: Some(accept),
        })
    }

    /// Where clients reach it.
    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

impl Drop for Invented {
    fn drop(&mut self) {
        self.shared.is_stopping.store(true, Ordering::SeqCst);
        // It sleeps in `accept` until somebody comes.
        drop(TcpStream::connect(self.address));
        if let Some(accept) = self.accept.take() {
            drop(accept.join());
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut threads = Vec::new();
    while let Ok((stream, _)) = listener.accept() {
        if shared.is_stopping.load(Ordering::SeqCst) {
            break;
        }
        let Ok(other) = stream.try_clone() else {
            continue;
        };
        let lock = || shared.open.lock().unwrap_or_else(PoisonError::into_inner);
        lock().push(other);
        let shared = Arc::clone(shared);
        // An end that comes early is the client's matter: it sees that its answer is missing.
        threads.push(std::thread::spawn(move || drop(shared.serve(&stream))));
    }
    let open = shared.open.lock().unwrap_or_else(PoisonError::into_inner);
    for stream in open.iter() {
        drop(stream.shutdown(Shutdown::Both));
    }
    drop(open);
    for thread in threads {
        drop(thread.join());
    }
}

impl Shared {
    fn serve(&self, stream: &TcpStream) -> Result<()> {
        stream.set_nodelay(true)?;
        let mut lines = BufReader::new(stream);
        let mut writer = stream;
        loop {
            let mut first = String::new();
            if lines.read_line(&mut first)? == 0 {
                return Ok(());
            }
            loop {
                let mut header = String::new();
                lines.read_line(&mut header)?;
                if header.trim().is_empty() {
                    break;
                }
            }
            let mut words = first.split(' ');
            let (method, target) = (words.next(), words.next().unwrap_or_default());
            // A body would follow: what writes is refused, and the connection ends.
            let takes = matches!(method, Some("GET" | "HEAD"));
            let answer = match method {
                Some("GET") => self.get(target),
                Some("HEAD") => self.head(target),
                _ => Answer::nothing("405 Method Not Allowed"),
            };
            let Answer {
                status,
                headers,
                body,
            } = answer;
            let length = body.len();
            let length = match method {
                // It tells its own.
                Some("HEAD") => String::new(),
                _ => format!("content-length: {length}\r\n"),
            };
            let end = if takes { "" } else { "connection: close\r\n" };
            let answer = format!("HTTP/1.1 {status}\r\n{headers}{length}{end}\r\n{body}");
            writer.write_all(answer.as_bytes())?;
            if !takes {
                return Ok(());
            }
        }
    }

    /// How many objects a folder has.
    fn count(&self, folder: &str) -> Option<usize> {
        match folder {
            "small/" => Some(Invented::SMALL),
            "large/" => Some(self.large),
            _ => None,
        }
    }

    fn head(&self, target: &str) -> Answer {
        let path = decoded(target.split('?').next().unwrap_or_default());
        let mut parts = path.trim_start_matches('/').splitn(3, '/').skip(1);
        let (folder, name) = (parts.next(), parts.next());
        let found = folder.zip(name).and_then(|(folder, name)| {
            let count = self.count(&format!("{folder}/"))?;
            let number: usize = name.strip_prefix("file")?.parse().ok()?;
            (number < count && name.len() == NAME_BYTES).then_some(number)
        });
        let Some(number) = found else {
            return Answer::nothing("404 Not Found");
        };
        let headers = format!(
            "etag: \"{}\"\r\nlast-modified: {HTTP_DATE}\r\ncontent-length: {}\r\n",
            etag(number),
            shown::size(number),
        );
        Answer {
            status: "200 OK",
            headers,
            body: String::new(),
        }
    }

    fn get(&self, target: &str) -> Answer {
        let query = target.split_once('?').map_or("", |(_, query)| query);
        let asked = |name: &str| {
            let mut all = query.split('&').filter_map(|one| one.split_once('='));
            let value = all.find(|(other, _)| *other == name)?.1;
            Some(decoded(value))
        };
        if asked("list-type").is_none() {
            return Answer::nothing("404 Not Found");
        }
        let prefix = asked("prefix").unwrap_or_default();
        let most = asked("max-keys").and_then(|most| most.parse().ok());
        let after = asked("continuation-token").or_else(|| asked("start-after"));
        let keys = (most.unwrap_or(PAGE).min(PAGE), after.unwrap_or_default());
        Answer {
            status: "200 OK",
            headers: "content-type: application/xml\r\n".to_owned(),
            body: self.page(&prefix, keys, asked("delimiter").is_some()),
        }
    }

    /// One page; the token is the last key.
    fn page(&self, prefix: &str, (most, after): (usize, String), by_folder: bool) -> String {
        let mut body = String::from("<ListBucketResult>");
        let names = ["large/", "small/"];
        if prefix.is_empty() && by_folder {
            for folder in names {
                let shown = format!("<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>");
                body.push_str(if folder > &*after { &shown } else { "" });
            }
        }
        let folder = names.into_iter().find(|folder| prefix == *folder);
        if let Some((folder, count)) = folder.and_then(|folder| Some((folder, self.count(folder)?)))
        {
            let first = first_after(after.strip_prefix(folder).unwrap_or_default());
            let end = count.min(first.saturating_add(most));
            for number in first..end {
                let (name, etag, size) = (shown::name(number), etag(number), shown::size(number));
                body.push_str(&format!(
                    "<Contents><Key>{folder}{name}</Key><LastModified>{DATE}</LastModified>\
                     <ETag>&quot;{etag}&quot;</ETag><Size>{size}</Size></Contents>"
                ));
            }
            if end < count {
                let last = format!("{folder}{}", shown::name(end.saturating_sub(1)));
                body.push_str("<IsTruncated>true</IsTruncated>");
                body.push_str(&format!(
                    "<NextContinuationToken>{last}</NextContinuationToken>"
                ));
            }
        }
        body.push_str("</ListBucketResult>");
        body
    }
}

impl Answer {
    fn nothing(status: &'static str) -> Self {
        Self {
            status,
            headers: String::new(),
            body: String::new(),
        }
    }
}

/// The number of the first name behind `after`, which may be any text.
fn first_after(after: &str) -> usize {
    // Names are in order as their numbers are: the first that is greater is found by halving.
    let (mut low, mut high) = (0, 10_usize.pow(7));
    while low < high {
        let middle = low.midpoint(high);
        if &*shown::name(middle) > after {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// As an MD5 in hexadecimal digits: 32 of them.
fn etag(number: usize) -> String {
    // An odd factor keeps different ones different.
    let mixed = (number as u128 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    format!("{mixed:032x}")
}

/// Without the `%41` of URLs.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digits = after
            .get(..2)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let value = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (first, value) {
            (b'%', Some(value)) => {
                bytes.push(value);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(page: &str) -> Vec<&str> {
        let keys = page.split("<Key>").skip(1);
        keys.filter_map(|rest| rest.split_once("</Key>"))
            .map(|(key, _)| key)
            .collect()
    }

    #[test]
    fn pages_follow_each_other_and_begin_where_they_are_told() {
        let server = Invented::start(2500).unwrap();
        let shared = &server.shared;
        let page = |after: &str| shared.page("large/", (PAGE, after.to_owned()), true);
        let (mut after, mut all) = (String::new(), 0);
        loop {
            let page = page(&after);
            let keys = keys(&page);
            assert_eq!(keys[0], format!("large/{}", shown::name(all)));
            all += keys.len();
            after = keys[keys.len() - 1].to_owned();
            if !page.contains("<IsTruncated>") {
                break;
            }
        }
        assert_eq!(all, 2500);
        assert_eq!(keys(&page("large/file00005"))[0], "large/file0000500");
        assert_eq!(keys(&page("large/fi"))[0], "large/file0000000");
        assert_eq!(keys(&page("large/g")).len(), 0);
        assert_eq!(decoded("a%2Fb%"), "a/b%");
    }

    #[test]
    fn objects_are_told_as_they_are_listed() {
        let server = Invented::start(10).unwrap();
        let head = |path: &str| server.shared.head(path).status;
        assert_eq!(head("/pail/large/file0000009"), "200 OK");
        assert_eq!(head("/pail/large/file0000010"), "404 Not Found");
        assert_eq!(head("/pail/small/"), "404 Not Found");
    }
}
