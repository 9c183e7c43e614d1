//! One client's connection: request after request, each with the server's answer or a fault instead.
//!
//! Laws: a request that is refused, hangs, or is cut off in its body is never seen by the server; one whose
//! answer is lost was answered by the server before; nothing waits longer than the constants here.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use super::head::{Body, Head};
use super::kind::{Kind, Source};
use super::link::{Lane, Way};
use super::pipe::{Broken, Pipe};
use super::plan::Fault;
use super::skew;
use super::{Shared, Watched};
use crate::time::{now, pause};

/// A connection on which nothing comes for so long is ended; clients keep theirs for a minute or two.
const IDLE: Duration = Duration::from_secs(300);
/// A side that takes no bytes for so long is stuck.
const STUCK: Duration = Duration::from_secs(60);
const CONNECTING: Duration = Duration::from_secs(5);
/// The longest that a request hangs: more than any client's patience here.
const LONGEST_HANG: Duration = Duration::from_secs(180);
/// How often a wait looks whether it is over.
const LOOK: Duration = Duration::from_millis(50);
/// When a late request reaches the server: most clients have sent it again by then.
const LATE: Duration = Duration::from_millis(1500);
/// The longest body that is kept to be late with; a longer one gets lost on its way back instead.
const LATE_BYTES: u64 = 16 << 20;
/// What is passed on at once where nothing is limited.
const PIECE: usize = 256 << 10;
/// Where an answer without a length is cut.
const CUT: u64 = 64;

/// A stream that a thread reads while others can end it.
#[derive(Clone, Debug)]
struct Wire(Arc<TcpStream>);

impl Read for Wire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(into)
    }
}

impl Wire {
    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        (&*self.0).write_all(bytes)
    }
}

/// An answer in the server's place.
struct Instead {
    status: &'static str,
    /// In S3's words.
    code: &'static str,
    /// With its line end; or nothing.
    header: String,
}

impl Instead {
    fn new(status: &'static str, code: &'static str, retry_after: Option<u64>) -> Self {
        Self {
            status,
            code,
            header: retry_after
                .map_or_else(String::new, |seconds| format!("Retry-After: {seconds}\r\n")),
        }
    }
}

/// What comes after an exchange.
enum Next {
    Again,
    Close,
    Reset,
    /// The client gets a reset, and the server this request, later.
    ResetAndDeliver(Vec<u8>, Head, Kind),
}

/// How much of the answer the client gets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Whole,
    /// All of it, with the time of a clock that goes so many seconds ahead.
    Ahead(i64),
    Half,
    Nothing,
}

struct Upstream {
    pipe: Pipe<Wire>,
    wire: Wire,
    _watched: Watched,
}

struct Connection {
    shared: Arc<Shared>,
    pipe: Pipe<Wire>,
    client: Wire,
    lane: Lane,
    upstream: Option<Upstream>,
}

/// Serves `client` until one side ends.
pub(super) fn serve(client: Watched) {
    let shared = Arc::clone(&client.shared);
    if prepare(&client.stream).is_err() {
        return;
    }
    // A new connection costs a round trip of its own.
    shared.shaper.round_trip();
    let wire = Wire(Arc::clone(&client.stream));
    let mut connection = Connection {
        lane: shared.shaper.lane(),
        pipe: Pipe::new(wire.clone()),
        client: wire,
        upstream: None,
        shared,
    };
    loop {
        match connection.exchange() {
            Ok(Next::Again) => {}
            // An error is the end of a connection, and both sides see it as such.
            Ok(Next::Close) | Err(_) => return,
            Ok(Next::Reset) => {
                drop(connection);
                client.reset();
                return;
            }
            Ok(Next::ResetAndDeliver(bytes, request, kind)) => {
                let shared = Arc::clone(&connection.shared);
                drop(connection);
                client.reset();
                rest(&shared, LATE);
                drop(deliver(&shared, &bytes, &request, kind));
                return;
            }
        }
    }
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(IDLE))?;
    stream.set_write_timeout(Some(STUCK))
}

/// Lets `duration` pass, unless the proxy stops.
fn rest(shared: &Shared, duration: Duration) {
    let start = now();
    while let Some(left) = duration.checked_sub(start.elapsed()) {
        if left.is_zero() || shared.is_stopping() {
            return;
        }
        pause(left.min(LOOK));
    }
}

/// Connects to the server.
fn connect(shared: &Arc<Shared>) -> io::Result<Upstream> {
    let stream = TcpStream::connect_timeout(&shared.upstream, CONNECTING)?;
    prepare(&stream)?;
    let watched = shared.watch(stream);
    let wire = Wire(Arc::clone(&watched.stream));
    Ok(Upstream {
        pipe: Pipe::new(wire.clone()),
        wire,
        _watched: watched,
    })
}

/// Sends a request whose client is gone, and lets the server finish it.
fn deliver(shared: &Arc<Shared>, bytes: &[u8], request: &Head, kind: Kind) -> io::Result<()> {
    let mut upstream = connect(shared)?;
    upstream.wire.send(bytes)?;
    let answer = upstream.answer()?;
    shared.counters.answered(kind, answer.status());
    let body = answer.answer_body(request.method())?;
    drop(upstream.pipe.body(body, PIECE, &mut |_| Ok(())));
    Ok(())
}

impl Upstream {
    /// The head of the answer; those that only say that there will be one are left out.
    fn answer(&mut self) -> io::Result<Head> {
        loop {
            match self.pipe.head()? {
                None => return Err(ErrorKind::UnexpectedEof.into()),
                Some(head) if (100..200).contains(&head.status()) => {}
                Some(head) => return Ok(head),
            }
        }
    }

    /// Whether the server still waits for requests here, as far as can be known.
    fn is_usable(&self) -> bool {
        let stream = &self.wire.0;
        if !self.pipe.is_empty() || stream.set_nonblocking(true).is_err() {
            return false;
        }
        let idle = stream
            .peek(&mut [0])
            .is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        stream.set_nonblocking(false).is_ok() && idle
    }
}

impl Connection {
    fn exchange(&mut self) -> io::Result<Next> {
        let Some(request) = self.pipe.head()? else {
            return Ok(Next::Close);
        };
        let source = match request.header("x-amz-copy-source") {
            Some(_) => Source::Named,
            None => Source::None,
        };
        let kind = Kind::of(request.method(), request.target(), source);
        let number = self.shared.counters.begin(kind);
        let fault = self.shared.fault(kind, number);
        if fault.is_some() {
            self.shared.counters.fault(kind);
        }
        match fault {
            None => self.forward(&request, kind, Answer::Whole),
            Some(Fault::Delay(duration)) => {
                rest(&self.shared, duration);
                self.forward(&request, kind, Answer::Whole)
            }
            Some(Fault::ResetReply) => self.forward(&request, kind, Answer::Half),
            Some(Fault::Lost) => self.forward(&request, kind, Answer::Nothing),
            Some(Fault::Late) => self.late(request, kind),
            Some(Fault::Ahead(secs)) if skew::is_refused(&request, secs) => {
                let refusal = Instead {
                    status: "403 Forbidden",
                    code: "RequestTimeTooSkewed",
                    header: format!("Date: {}\r\n", skew::date_ahead(secs)),
                };
                self.refuse(&request, kind, &refusal)
            }
            Some(Fault::Ahead(secs)) => self.forward(&request, kind, Answer::Ahead(secs)),
            Some(Fault::Error) => {
                let status = "500 Internal Server Error";
                self.refuse(&request, kind, &Instead::new(status, "InternalError", None))
            }
            Some(Fault::SlowDown(after)) => {
                let status = "503 Service Unavailable";
                self.refuse(&request, kind, &Instead::new(status, "SlowDown", after))
            }
            Some(Fault::Throttle(after)) => {
                let refusal = Instead::new("403 Forbidden", "RequestThrottled", Some(after));
                self.refuse(&request, kind, &refusal)
            }
            Some(Fault::Refused(refusal)) => {
                let (status, code) = refusal.words();
                self.refuse(&request, kind, &Instead::new(status, code, None))
            }
            Some(Fault::Stall) => {
                self.forward(&request, kind, Answer::Half)?;
                self.hang();
                Ok(Next::Reset)
            }
            Some(Fault::Hang) => {
                self.swallow(&request, kind, u64::MAX)?;
                self.hang();
                Ok(Next::Reset)
            }
            Some(Fault::ResetRequest) => {
                let most = match request.request_body()? {
                    Body::Length(length) => length / 2,
                    Body::None | Body::Chunked | Body::Rest => 0,
                };
                self.swallow(&request, kind, most)?;
                Ok(Next::Reset)
            }
        }
    }

    /// The server's turn.
    fn forward(&mut self, request: &Head, kind: Kind, wanted: Answer) -> io::Result<Next> {
        let mut upstream = match self.upstream.take() {
            Some(upstream) if upstream.is_usable() => upstream,
            _ => connect(&self.shared)?,
        };
        self.invite(request)?;
        upstream.wire.send(&request.without_expect())?;
        let body = request.request_body()?;
        let sent = self.read_body(body, kind, &mut |bytes| upstream.wire.send(bytes));
        let sent_all = match sent {
            Ok(()) => true,
            Err(Broken::Reading(error)) => return Err(error),
            // It may have answered before it closed.
            Err(Broken::Writing(_)) => false,
        };
        let answer = upstream.answer()?;
        self.shared.counters.answered(kind, answer.status());
        self.shared.shaper.round_trip();
        let body = answer.answer_body(request.method())?;
        let most = match (wanted, body) {
            (Answer::Whole | Answer::Ahead(_), _) => u64::MAX,
            (Answer::Half, Body::Length(length)) => length / 2,
            (Answer::Half, Body::Chunked | Body::Rest) => CUT,
            (Answer::Half, Body::None) | (Answer::Nothing, _) => 0,
        };
        let stays =
            self.shared.keeps_open() && wanted == Answer::Whole && answer.closes_needlessly();
        match wanted {
            _ if most == 0 => {}
            Answer::Ahead(secs) => self.client.send(&answer.dated(&skew::date_ahead(secs)))?,
            _ if stays && body != Body::Rest => self.client.send(&answer.staying())?,
            _ => self.client.send(&answer.bytes)?,
        }
        self.answer_body(&mut upstream, body, kind, most)?;
        if matches!(wanted, Answer::Half | Answer::Nothing) {
            return Ok(Next::Reset);
        }
        let ends = body == Body::Rest || request.closes() || (answer.closes() && !stays);
        if !sent_all || ends {
            return Ok(Next::Close);
        }
        self.upstream = (!answer.closes()).then_some(upstream);
        Ok(Next::Again)
    }

    /// Hands the first `most` bytes of the answer's body to the client, and reads the rest.
    fn answer_body(
        &self,
        upstream: &mut Upstream,
        body: Body,
        kind: Kind,
        most: u64,
    ) -> io::Result<()> {
        let shared = &self.shared;
        let mut passed = 0_u64;
        let mut pass = |bytes: &[u8]| {
            let left = usize::try_from(most - passed).unwrap_or(usize::MAX);
            let bytes = &bytes[..bytes.len().min(left)];
            if bytes.is_empty() {
                return Ok(());
            }
            passed += bytes.len() as u64;
            shared.shaper.pass(&self.lane, Way::Down, bytes.len());
            shared.counters.passed(kind, Way::Down, bytes.len());
            self.client.send(bytes)
        };
        let piece = shared.shaper.piece(PIECE);
        match upstream.pipe.body(body, piece, &mut pass) {
            Ok(()) => Ok(()),
            Err(Broken::Reading(error) | Broken::Writing(error)) => Err(error),
        }
    }

    /// Lets a client that waits for it send its body.
    fn invite(&self, request: &Head) -> io::Result<()> {
        if request.expects_continue() {
            self.client.send(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        Ok(())
    }

    /// Reads the request's body as fast as the link lets it.
    fn read_body(
        &mut self,
        body: Body,
        kind: Kind,
        take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), Broken> {
        let (shared, lane) = (&self.shared, &self.lane);
        let piece = shared.shaper.piece(PIECE);
        self.pipe.body(body, piece, &mut |bytes| {
            shared.shaper.pass(lane, Way::Up, bytes.len());
            shared.counters.passed(kind, Way::Up, bytes.len());
            take(bytes)
        })
    }

    /// Reads the request's body for nobody, up to about `most` bytes.
    fn swallow(&mut self, request: &Head, kind: Kind, most: u64) -> io::Result<()> {
        self.invite(request)?;
        let mut seen = 0;
        let read = self.read_body(request.request_body()?, kind, &mut |bytes| {
            seen += bytes.len() as u64;
            if seen > most {
                return Err(ErrorKind::Other.into());
            }
            Ok(())
        });
        match read {
            Ok(()) | Err(Broken::Writing(_)) => Ok(()),
            Err(Broken::Reading(error)) => Err(error),
        }
    }

    /// Answers in the server's place, in S3's words for errors.
    fn refuse(&mut self, request: &Head, kind: Kind, refusal: &Instead) -> io::Result<Next> {
        let Instead {
            status,
            code,
            header,
        } = refusal;
        // Who waits to be invited has sent nothing yet, and never will.
        let invited = !request.expects_continue();
        if invited {
            self.swallow(request, kind, u64::MAX)?;
        }
        self.shared.shaper.round_trip();
        let body = match request.method() {
            "HEAD" => String::new(),
            _ => format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code>\
                 <Message>made to fail</Message></Error>"
            ),
        };
        let closes = !invited || request.closes();
        let connection = if closes { "close" } else { "keep-alive" };
        self.client.send(
            format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n\
                 {header}Connection: {connection}\r\n\r\n{body}",
                body.len()
            )
            .as_bytes(),
        )?;
        Ok(if closes { Next::Close } else { Next::Again })
    }

    /// Waits until the client is gone, or too long has passed.
    fn hang(&self) {
        let start = now();
        drop(self.client.0.set_read_timeout(Some(LOOK)));
        while start.elapsed() < LONGEST_HANG && !self.shared.is_stopping() {
            match self.client.0.peek(&mut [0]) {
                Ok(0) => return,
                // The next request, which has to wait, too.
                Ok(_) => pause(LOOK),
                Err(error) if is_timeout(&error) => {}
                Err(_) => return,
            }
        }
    }

    /// Keeps the request for later.
    fn late(&mut self, request: Head, kind: Kind) -> io::Result<Next> {
        let body = request.request_body()?;
        if !matches!(body, Body::None | Body::Length(0..=LATE_BYTES)) {
            return self.forward(&request, kind, Answer::Nothing);
        }
        self.invite(&request)?;
        let mut bytes = request.without_expect();
        let read = self.read_body(body, kind, &mut |some| {
            bytes.extend_from_slice(some);
            Ok(())
        });
        match read {
            Ok(()) => Ok(Next::ResetAndDeliver(bytes, request, kind)),
            Err(Broken::Reading(error) | Broken::Writing(error)) => Err(error),
        }
    }
}

/// What a read timeout of a socket gives (socket(7), `SO_RCVTIMEO`).
fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}
