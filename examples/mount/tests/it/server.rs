//! An S3 server with moods: it lists what it holds, and takes or refuses what comes. One thread a
//! connection; it checks no signatures.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

/// How it answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mood {
    /// As asked.
    Kind,
    /// Not at all, until that changes.
    Silent,
    /// It breaks every connection off instead of answering.
    Gone,
    /// Uploads are told to come later.
    Busy,
    /// Uploads are not allowed.
    Forbidding,
    /// There is no such bucket.
    Empty,
    /// The key is not known.
    Unknown,
    /// The secret is wrong.
    Wrong,
    /// The bucket is in another region.
    Elsewhere,
    /// The token has expired.
    Expired,
    /// Nobody may list.
    Unlisted,
    /// Nobody may read.
    Unreadable,
    /// What is there must be restored first.
    Archived,
    /// Nobody may remove.
    Keeping,
    /// The quota is used up.
    Full,
    /// What is read is not what was written.
    Losing,
    /// Ranges are passed over.
    Rangeless,
    /// It fails at everything.
    Broken,
    /// It never answers what is asked of the bucket.
    Thinking,
}

#[derive(Debug)]
struct Inside {
    mood: Mood,
    /// What its clock shows, as the header says it.
    date: Option<String>,
    /// The session token of the last request that had one.
    token: Option<String>,
    /// The session token of the keys that it gives to who takes a role.
    granted: String,
    objects: BTreeMap<String, Vec<u8>>,
    /// Requests that wait for an answer.
    asked: usize,
}

pub(crate) struct Server {
    inside: Arc<(Mutex<Inside>, Condvar)>,
    pub(crate) address: String,
}

impl Server {
    pub(crate) fn start(mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let objects = BTreeMap::new();
        let inside = Inside {
            mood,
            date: None,
            token: None,
            granted: String::new(),
            objects,
            asked: 0,
        };
        let inside = Arc::new((Mutex::new(inside), Condvar::new()));
        let shared = Arc::clone(&inside);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let inside = Arc::clone(&shared);
                // A connection that breaks is the client's affair.
                std::thread::spawn(move || drop(serve(&stream, &inside)));
            }
        });
        Self { inside, address }
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.inside.0.lock().unwrap().mood = mood;
        self.inside.1.notify_all();
    }

    /// The session token of the last request that had one.
    pub(crate) fn asked_with(&self) -> Option<String> {
        self.inside.0.lock().unwrap().token.clone()
    }

    /// Gives keys with this session token to who takes a role, as STS does.
    pub(crate) fn grant(&self, token: &str) {
        self.inside.0.lock().unwrap().granted = token.to_owned();
    }

    /// Dates its answers so, as `Thu, 01 Jan 2026 00:00:00 GMT`.
    pub(crate) fn date(&self, date: &str) {
        self.inside.0.lock().unwrap().date = Some(date.to_owned());
    }

    /// How many objects it has.
    pub(crate) fn count(&self) -> usize {
        self.inside.0.lock().unwrap().objects.len()
    }

    pub(crate) fn put(&self, key: &str, body: Vec<u8>) {
        let mut inside = self.inside.0.lock().unwrap();
        inside.objects.insert(key.to_owned(), body);
    }

    /// Requests that wait for an answer because it is silent.
    pub(crate) fn asked(&self) -> usize {
        self.inside.0.lock().unwrap().asked
    }

    pub(crate) fn object(&self, key: &str) -> Option<Vec<u8>> {
        self.inside.0.lock().unwrap().objects.get(key).cloned()
    }
}

fn serve(stream: &TcpStream, (inside, told): &(Mutex<Inside>, Condvar)) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut parts = line.split(' ');
        let (method, target) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
        let (method, target) = (method.to_owned(), target.to_owned());
        let mut length = 0;
        let mut token = None;
        let mut range = None;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let value = header.split_once(": ").map(|(_, value)| value.trim());
            let value = value.unwrap_or_default().to_owned();
            let header = header.trim().to_ascii_lowercase();
            if header.starts_with("range:") {
                range = range_of(&value);
            }
            if header.starts_with("x-amz-security-token:") {
                token = Some(value);
            }
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if header == "expect: 100-continue" {
                (&*stream).write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let mut inside = inside.lock().unwrap();
        inside.asked += 1;
        inside.token = token.or_else(|| inside.token.take());
        let is_kept_waiting = |inside: &mut Inside| match inside.mood {
            Mood::Silent => true,
            Mood::Thinking => target.contains("/pail"),
            _ => false,
        };
        inside = told.wait_while(inside, is_kept_waiting).unwrap();
        inside.asked -= 1;
        if inside.mood == Mood::Gone {
            return Ok(());
        }
        let mut answer = match (&*method, &*target) {
            ("POST", "/") if body.starts_with(b"Action=AssumeRole&") => granted(&inside),
            _ => answer(&method, &target, body, &mut inside),
        };
        if let Some(range) = range.filter(|_| inside.mood != Mood::Rangeless) {
            answer = part_of(answer, range);
        }
        if let Some(date) = &inside.date {
            let line = format!("\r\nDate: {date}");
            let end = answer.windows(2).position(|two| two == b"\r\n").unwrap();
            answer.splice(end..end, line.into_bytes());
        }
        drop(inside);
        (&*stream).write_all(&answer)?;
    }
}

fn answer(method: &str, target: &str, body: Vec<u8>, inside: &mut Inside) -> Vec<u8> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let key = path
        .trim_start_matches("/pail")
        .trim_start_matches('/')
        .to_owned();
    if let Some((status, code)) = refusal(inside.mood, method, query) {
        // As Amazon does, it tells what was signed, and so the token.
        let token = inside.token.as_deref().unwrap_or_default();
        let region = match inside.mood {
            Mood::Elsewhere => "<Region>eu-2</Region>",
            _ => "",
        };
        let body = format!(
            "<Error><Code>{code}</Code><Message>as it says</Message>{region}\
             <CanonicalRequest>PUT\nx-amz-security-token:{token}</CanonicalRequest></Error>"
        );
        return response(
            status,
            &[],
            if method == "HEAD" {
                b""
            } else {
                body.as_bytes()
            },
        );
    }
    match (method, inside.objects.get(&key)) {
        ("GET", _) if query.contains("list-type=2") => {
            let keys: String = (inside.objects.iter())
                .map(|(key, body)| {
                    format!(
                        "<Contents><Key>{key}</Key><Size>{}</Size><ETag>&quot;{}&quot;</ETag><LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>",
                        body.len(),
                        tag(body),
                    )
                })
                .collect();
            let list = format!(
                "<ListBucketResult><IsTruncated>false</IsTruncated>{keys}</ListBucketResult>"
            );
            response(200, &[], list.as_bytes())
        }
        ("PUT", _) => {
            let tag = format!("ETag: \"{}\"", tag(&body));
            inside.objects.insert(key, body);
            response(200, &[&tag], b"")
        }
        ("GET" | "HEAD", Some(found)) => {
            let tag = format!("ETag: \"{}\"", tag(found));
            let time = "Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT";
            if method == "GET" {
                let shown = match inside.mood {
                    Mood::Losing => b"something else",
                    _ => found.as_slice(),
                };
                return response(200, &[&tag, time], shown);
            }
            let length = format!("Content-Length: {}", found.len());
            head(200, &[&tag, time, &length]).into_bytes()
        }
        ("HEAD", None) => response(404, &[], b""),
        ("GET", None) => response(404, &[], b"<Error><Code>NoSuchKey</Code></Error>"),
        ("DELETE", _) => {
            inside.objects.remove(&key);
            response(204, &[], b"")
        }
        _ => response(501, &[], b"<Error><Code>NotImplemented</Code></Error>"),
    }
}

/// Of `bytes=5-9`, the first and the last.
fn range_of(text: &str) -> Option<(usize, usize)> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

/// That part of what a good answer has, if it has it.
fn part_of(answer: Vec<u8>, (first, last): (usize, usize)) -> Vec<u8> {
    let text = String::from_utf8_lossy(&answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return answer;
    };
    let last = last.min(body.len().saturating_sub(1));
    let Some(part) = body
        .get(first..=last)
        .filter(|_| head.starts_with("HTTP/1.1 200"))
    else {
        return answer;
    };
    let others = head
        .lines()
        .skip(1)
        .filter(|line| !line.starts_with("Content-Length"));
    let content = format!("Content-Range: bytes {first}-{last}/{}", body.len());
    let headers: Vec<&str> = others.chain([content.as_str()]).collect();
    response(206, &headers, part.as_bytes())
}

/// How that mood refuses such a request, if it does.
fn refusal(mood: Mood, method: &str, query: &str) -> Option<(u16, &'static str)> {
    let is_list = query.contains("list-type=2");
    let is_read = method == "GET" && !is_list;
    let is_removal = method == "DELETE" || query.starts_with("delete");
    match mood {
        Mood::Busy if method == "PUT" => Some((503, "SlowDown")),
        Mood::Forbidding if method == "PUT" => Some((403, "AccessDenied")),
        Mood::Full if method == "PUT" => Some((403, "QuotaExceeded")),
        Mood::Unlisted if is_list => Some((403, "AccessDenied")),
        Mood::Unreadable if is_read => Some((403, "AccessDenied")),
        Mood::Archived if is_read => Some((403, "InvalidObjectState")),
        Mood::Keeping if is_removal => Some((403, "AccessDenied")),
        Mood::Empty => Some((404, "NoSuchBucket")),
        Mood::Unknown => Some((403, "InvalidAccessKeyId")),
        Mood::Wrong => Some((403, "SignatureDoesNotMatch")),
        Mood::Elsewhere => Some((400, "AuthorizationHeaderMalformed")),
        Mood::Expired => Some((400, "ExpiredToken")),
        Mood::Broken => Some((500, "InternalError")),
        _ => None,
    }
}

/// Keys of a role, as STS gives them.
fn granted(inside: &Inside) -> Vec<u8> {
    let token = &inside.granted;
    let keys = format!(
        "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>role</AccessKeyId>\
         <SecretAccessKey>{token}</SecretAccessKey><SessionToken>{token}</SessionToken>\
         <Expiration>2999-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
    );
    response(200, &[], keys.as_bytes())
}

fn tag(body: &[u8]) -> String {
    let sum = (body.iter()).fold(5381_u64, |sum, byte| {
        sum.wrapping_mul(33) ^ u64::from(*byte)
    });
    format!("{sum:016x}")
}

fn head(status: u16, headers: &[&str]) -> String {
    let headers: String = headers
        .iter()
        .map(|header| format!("{header}\r\n"))
        .collect();
    format!("HTTP/1.1 {status} As It Is\r\n{headers}\r\n")
}

fn response(status: u16, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let length = format!("Content-Length: {}", body.len());
    let mut all = vec![length.as_str()];
    all.extend(headers);
    let mut response = head(status, &all).into_bytes();
    response.extend_from_slice(body);
    response
}
