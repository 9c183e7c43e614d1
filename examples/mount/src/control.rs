//! The control socket: one line of JSON asks, lines of JSON answer.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::board::Progress;
use crate::desk::Desk;
use crate::serve::Event;

/// How long a caller may take to say its line, and to take one of ours.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a mount may be silent before a caller gives it up. It tells its progress every two
/// seconds; what takes longer is a system call that does not return.
const SILENCE: Duration = Duration::from_secs(60);

/// Longest question: as many paths as a command line holds (2 MiB, `execve(2)`), written as JSON.
const LINE_MAX: u64 = 8 << 20;

/// What is asked. Paths are below the mount, with `/` between names; an empty one is all of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub(crate) enum Ask {
    /// How it stands.
    Status {
        /// What of it.
        #[serde(default)]
        path: String,
    },
    /// To upload now what waits.
    Flush {
        /// What of it.
        path: String,
        /// Whether to wait for it.
        wait: Wait,
    },
    /// To start no new uploads.
    Pause,
    /// To go on.
    Resume,
    /// To try now what failed.
    Retry {
        /// Where; all of it if there are none.
        paths: Vec<String>,
    },
    /// To ask the store again.
    Invalidate {
        /// About what.
        path: String,
    },
    /// To begin anew with the network.
    Reconnect,
    /// To give up what waits.
    Drop {
        /// Where.
        paths: Vec<String>,
        /// What becomes of what was written.
        bytes: Bytes,
    },
    /// To end.
    Umount {
        /// What if it is in use.
        way: Way,
    },
}

/// How to unmount.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Way {
    /// Not while it is in use.
    Plain,
    /// Out of sight at once, and ended when the last file is closed.
    Lazy,
}

/// Whether a flush is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Wait {
    /// It is not.
    No,
    /// It is, so many milliseconds at most.
    Within(u64),
    /// It is, without end.
    Yes,
}

/// What becomes of what was written and is given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Bytes {
    /// It is set aside.
    SetAside,
    /// It is deleted.
    Delete,
}

/// What is answered. `umount`, `flush` and `drop` are answered by any number of `Progress` and `Note`, and
/// one of the others.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub(crate) enum Answer {
    /// How it stands.
    Status {
        /// As `cloudmount::Status`, with the state, the folder and the process.
        status: serde_json::Value,
    },
    /// It goes on.
    Progress(Progress),
    /// Something to know.
    Note {
        /// What.
        text: String,
    },
    /// It was flushed, as far as it could be.
    Flushed {
        /// Files that were being written then.
        open: Vec<String>,
        /// What is not in the bucket, and why: the first ones.
        remaining: Vec<String>,
        /// How much is not.
        remaining_count: usize,
    },
    /// It is done: so much waits now, or is tried now.
    Done {
        /// Keys.
        keys: usize,
    },
    /// It asks the store again.
    Invalidated,
    /// It began anew.
    Connected {
        /// As `cloudmount::Connection`.
        connection: serde_json::Value,
    },
    /// It was given up.
    Dropped {
        /// What: keys, what was wanted, and where their bytes are now.
        dropped: Vec<(String, String, Option<PathBuf>)>,
    },
    /// It is in use, and stays.
    Busy {
        /// By these processes, as far as they can be seen.
        users: Vec<String>,
    },
    /// It has ended.
    Ended(Ended),
    /// It cannot be done, or was not understood.
    Refused {
        /// Why.
        why: String,
    },
}

/// How an end went.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Ended {
    /// What is not in the bucket: the first ones.
    pub(crate) remaining: Vec<String>,
    /// How many are not.
    pub(crate) remaining_count: usize,
    /// Where they wait.
    pub(crate) staging: String,
    /// Why the mount ended badly, if so.
    pub(crate) error: Option<String>,
}

/// The listening end. The socket goes with it.
#[derive(Debug)]
pub(crate) struct Socket {
    path: PathBuf,
    inode: u64,
}

impl Drop for Socket {
    fn drop(&mut self) {
        // The next mount at the same place may have put its own there.
        let is_ours = std::fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| metadata.ino() == self.inode);
        if is_ours {
            drop(std::fs::remove_file(&self.path));
        }
    }
}

/// Listens at `path`: a thread hands `umount` on as an event, and everything else to the desk.
pub(crate) fn listen(path: PathBuf, desk: Arc<Desk>, events: Sender<Event>) -> Result<Socket> {
    // The mount point is ours: whoever had this socket before has ended, or drains.
    drop(std::fs::remove_file(&path));
    let listener = UnixListener::bind(&path)
        .with_context(|| format!("cannot listen at {}", path.display()))?;
    let inode = std::fs::symlink_metadata(&path)?.ino();
    std::thread::Builder::new()
        .name("control".into())
        .spawn(move || {
            for stream in listener.incoming().flatten() {
                // A caller who goes away is no concern of ours.
                drop(hear(stream, &desk, &events));
            }
        })?;
    Ok(Socket { path, inode })
}

fn hear(stream: UnixStream, desk: &Arc<Desk>, events: &Sender<Event>) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    let limited = std::io::Read::take(&stream, LINE_MAX);
    BufReader::new(limited).read_line(&mut line)?;
    match serde_json::from_str(&line) {
        // The answers come as it goes on.
        Ok(Ask::Umount { way }) => Ok(events.send(Event::Umount(stream, way))?),
        Ok(ask) => desk.serve(stream, ask),
        Err(error) => {
            let why = format!("not understood: {error}");
            tell(&stream, &Answer::Refused { why })
        }
    }
}

/// Says one line.
pub(crate) fn tell(mut stream: &UnixStream, answer: &Answer) -> Result<()> {
    let mut line = serde_json::to_string(answer)?;
    line.push('\n');
    stream.write_all(line.as_bytes())?;
    Ok(())
}

/// A mount that was asked.
#[derive(Debug)]
pub(crate) struct Asked(BufReader<UnixStream>);

/// Asks the mount behind the first of `sockets` where somebody listens; `None` if nobody does.
pub(crate) fn ask(sockets: &[PathBuf], ask: &Ask) -> Result<Option<Asked>> {
    for socket in sockets {
        if let Some(mut stream) = connect(socket)? {
            stream.set_read_timeout(Some(SILENCE))?;
            writeln!(stream, "{}", serde_json::to_string(ask)?)?;
            return Ok(Some(Asked(BufReader::new(stream))));
        }
    }
    Ok(None)
}

fn connect(socket: &Path) -> Result<Option<UnixStream>> {
    use std::io::ErrorKind::{ConnectionRefused, NotFound};
    match UnixStream::connect(socket) {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if matches!(error.kind(), NotFound | ConnectionRefused) => Ok(None),
        Err(error) => {
            Err(error).with_context(|| format!("cannot ask the mount at {}", socket.display()))
        }
    }
}

impl Asked {
    /// The next answer; `None` when there will be none.
    pub(crate) fn next(&mut self) -> Result<Option<Answer>> {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(
                serde_json::from_str(&line).context("an answer that makes no sense")?,
            )),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => bail!(
                "its process does not answer\n  end it with kill -9, then run this again: what it accepted is kept"
            ),
            Err(error) => Err(error).context("the answer broke off"),
        }
    }

    /// Waits until the process has gone, too.
    pub(crate) fn end(mut self) {
        while let Ok(Some(_)) = self.next() {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn questions_are_one_line_and_answered_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let (sender, events) = channel();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let desk = || Arc::new(Desk::new(Arc::default(), runtime.handle().clone()));
        let socket = listen(path.clone(), desk(), sender).unwrap();
        let none = dir.path().join("none");
        let sockets = [none.clone(), path.clone()];
        let all = Ask::Status {
            path: String::new(),
        };
        let mut status = ask(&sockets, &all).unwrap().unwrap();
        assert!(matches!(
            status.next().unwrap(),
            Some(Answer::Status { .. })
        ));
        assert!(status.next().unwrap().is_none());
        // Nothing is mounted: what needs files is refused.
        let mut paused = ask(&sockets, &Ask::Pause).unwrap().unwrap();
        assert!(matches!(
            paused.next().unwrap(),
            Some(Answer::Refused { .. })
        ));
        let mut stream = UnixStream::connect(&path).unwrap();
        writeln!(stream, "what?").unwrap();
        let refused = Asked(BufReader::new(stream)).next().unwrap();
        assert!(matches!(refused, Some(Answer::Refused { .. })));
        let mut umount = ask(&sockets, &Ask::Umount { way: Way::Lazy })
            .unwrap()
            .unwrap();
        let Ok(Event::Umount(stream, Way::Lazy)) = events.recv() else {
            unreachable!("it was asked to unmount lazily");
        };
        let ended = Answer::Ended(Ended::default());
        tell(&stream, &ended).unwrap();
        drop(stream);
        assert_eq!(umount.next().unwrap(), Some(ended));
        umount.end();
        assert!(ask(&[none], &all).unwrap().is_none());
        drop(socket);
        assert!(!path.exists());
    }

    /// A mount that drains does not take away the socket of the one that came after it.
    #[test]
    fn a_socket_that_was_replaced_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listen = || {
            let (sender, _events) = channel();
            let desk = Desk::new(Arc::default(), runtime.handle().clone());
            listen(path.clone(), Arc::new(desk), sender).unwrap()
        };
        let first = listen();
        let second = listen();
        drop(first);
        assert!(path.exists());
        drop(second);
        assert!(!path.exists());
    }
}
