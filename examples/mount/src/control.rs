//! The control socket: one line asks, one line of JSON answers.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::serve::Event;

/// What can be asked.
pub(crate) const STATUS: &str = "status";
pub(crate) const UMOUNT: &str = "umount";

/// How long the other side may take to write its line, and to take ours.
const PATIENCE: Duration = Duration::from_secs(10);

/// Longest question.
const LINE_MAX: u64 = 64;

/// How an end went.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Ended {
    /// What is not in the bucket: the first ones.
    pub(crate) remaining: Vec<String>,
    /// How many are not.
    pub(crate) remaining_count: usize,
    /// Where they wait.
    pub(crate) staging: String,
    /// Why the mount could not be ended, if so.
    pub(crate) error: Option<String>,
}

/// The listening end. The socket goes with it.
#[derive(Debug)]
pub(crate) struct Socket(PathBuf);

impl Drop for Socket {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

/// Listens at `path`: a thread answers `status` with what it says, and hands `umount` on.
pub(crate) fn listen(
    path: PathBuf,
    status: impl Fn() -> serde_json::Value + Send + 'static,
    events: Sender<Event>,
) -> Result<Socket> {
    // The mount point is ours: whoever had this socket before is gone.
    drop(std::fs::remove_file(&path));
    let listener = UnixListener::bind(&path)
        .with_context(|| format!("cannot listen at {}", path.display()))?;
    std::thread::Builder::new()
        .name("control".into())
        .spawn(move || {
            for stream in listener.incoming().flatten() {
                // A caller who goes away is no concern of ours.
                drop(answer(stream, &status, &events));
            }
        })?;
    Ok(Socket(path))
}

fn answer(
    stream: UnixStream,
    status: &impl Fn() -> serde_json::Value,
    events: &Sender<Event>,
) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    let limited = std::io::Read::take(&stream, LINE_MAX);
    BufReader::new(limited).read_line(&mut line)?;
    match line.trim() {
        STATUS => writeln!(&stream, "{}", status())?,
        // The answer comes when all is done.
        UMOUNT => events.send(Event::Umount(Some(stream)))?,
        _ => writeln!(&stream, "{{\"error\":\"unknown question\"}}")?,
    }
    Ok(())
}

/// Asks the mount behind `socket`; `None` if nobody listens there.
pub(crate) fn ask(socket: &Path, question: &str) -> Result<Option<String>> {
    let mut stream = match UnixStream::connect(socket) {
        Ok(stream) => stream,
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error).context("cannot ask the mount"),
    };
    writeln!(stream, "{question}")?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    if line.is_empty() {
        bail!("the mount ended before it answered; mount again, and it goes on with what waits");
    }
    Ok(Some(line))
}
