//! The desk: answers everybody who asks a mount for something else than its end.
//!
//! Laws: whoever waits long has a thread of its own, and there are only so many; at the end of the
//! mount everybody is answered, and nobody keeps it from ending.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use cloudmount::stage::Remaining;
use cloudmount::{CloudMount, Flushed, Leftover};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::board::{Board, Progress};
use crate::control::{self, Answer, Ask, Bytes, Wait};

/// Callers that are served at once. People and scripts ask one at a time; a runaway loop is refused.
const CALLERS_MAX: usize = 64;

/// How often who waits is told how it goes.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// How long the end of the mount waits for callers to be answered.
const LEAVING: Duration = Duration::from_secs(1);

/// What is told when the mount ends under a caller.
const ENDED: &str = "the mount has ended; what is not uploaded waits: mount again to go on";

/// Who answers.
#[derive(Debug)]
pub(crate) struct Desk {
    board: Arc<Board>,
    runtime: Handle,
    /// Whether it is closed. Whoever is being served has a receiver.
    closed: watch::Sender<bool>,
}

impl Desk {
    pub(crate) fn new(board: Arc<Board>, runtime: Handle) -> Self {
        Self {
            board,
            runtime,
            closed: watch::Sender::new(false),
        }
    }

    /// Serves one caller, on a thread of its own if that can take long.
    pub(crate) fn serve(self: &Arc<Self>, caller: UnixStream, ask: Ask) -> Result<()> {
        let refused = |why: &str| Answer::Refused { why: why.into() };
        if let Ask::Status { path } = &ask {
            let answer = match self.board.status(path) {
                Ok(status) => Answer::Status { status },
                Err(error) => refused(&error.to_string()),
            };
            return control::tell(&caller, &answer);
        }
        let closed = self.closed.subscribe();
        if self.closed.receiver_count() > CALLERS_MAX {
            return control::tell(&caller, &refused("too many ask at once"));
        }
        let Some(files) = self.board.files() else {
            return control::tell(&caller, &refused(ENDED));
        };
        let runtime = self.runtime.clone();
        std::thread::Builder::new()
            .name("caller".into())
            .spawn(move || serve(&runtime, files, &caller, ask, closed))?;
        Ok(())
    }

    /// Answers everybody, and waits until they have gone, but not for long.
    pub(crate) async fn close(&self) {
        self.closed.send_replace(true);
        // Whoever stays longer does not listen.
        drop(tokio::time::timeout(LEAVING, self.closed.closed()).await);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a thread of its own, that serves one caller and nobody else"
)]
fn serve(
    runtime: &Handle,
    files: CloudMount,
    caller: &UnixStream,
    ask: Ask,
    mut closed: watch::Receiver<bool>,
) {
    let answer = runtime.block_on(async {
        tokio::select! {
            answer = answer(&files, caller, ask) => answer,
            _ = closed.wait_for(|closed| *closed) => Some(Answer::Refused { why: ENDED.into() }),
        }
    });
    if let Some(answer) = answer {
        // A caller who went away is no concern of ours.
        drop(control::tell(caller, &answer));
    }
    // Before the desk hears that nobody is left: this may be the last one.
    drop(files);
    drop(closed);
}

/// What is answered; `None` if the caller went away.
async fn answer(files: &CloudMount, caller: &UnixStream, ask: Ask) -> Option<Answer> {
    let answer = match ask {
        Ask::Flush { path, wait } => return flush(files, caller, &path, wait).await,
        Ask::Pause => {
            files.pause();
            Ok(waiting(files))
        }
        Ask::Resume => {
            files.resume();
            Ok(waiting(files))
        }
        Ask::Retry { paths } => retry(files, &paths).map(|keys| Answer::Done { keys }),
        Ask::Invalidate { path } => files.invalidate(&path).map(|()| Answer::Invalidated),
        Ask::Reconnect => {
            let connection = files.reconnect().await;
            Ok(Answer::Connected {
                connection: serde_json::to_value(connection).unwrap_or_default(),
            })
        }
        Ask::Drop { paths, bytes } => return drop_uploads(files, caller, &paths, bytes).await,
        // These are answered elsewhere.
        Ask::Status { .. } | Ask::Umount { .. } => return None,
    };
    Some(answer.unwrap_or_else(|error| refused(&error)))
}

fn refused(error: &cloudmount::Error) -> Answer {
    Answer::Refused {
        why: error.to_string(),
    }
}

fn waiting(files: &CloudMount) -> Answer {
    Answer::Done {
        keys: files.vfs().stage().status().totals.keys,
    }
}

fn retry(files: &CloudMount, paths: &[String]) -> cloudmount::Result<usize> {
    if paths.is_empty() {
        return files.retry("");
    }
    let mut keys = 0;
    for path in paths {
        keys += files.retry(path)?;
    }
    Ok(keys)
}

async fn flush(files: &CloudMount, caller: &UnixStream, path: &str, wait: Wait) -> Option<Answer> {
    let limit = match wait {
        Wait::No => return Some(files.flush(path).map_or_else(|error| refused(&error), said)),
        Wait::Within(millis) => Some(Duration::from_millis(millis)),
        Wait::Yes => None,
    };
    tokio::select! {
        flushed = files.flush_and_wait(path, limit) => {
            Some(flushed.map_or_else(|error| refused(&error), said))
        }
        () = tell(files, caller, path) => None,
    }
}

/// Gives up what waits. It may take a while: what is under way must end, and what was written is
/// flushed to the disk.
async fn drop_uploads(
    files: &CloudMount,
    caller: &UnixStream,
    paths: &[String],
    bytes: Bytes,
) -> Option<Answer> {
    let leftover = match bytes {
        Bytes::SetAside => Leftover::SetAside,
        Bytes::Delete => Leftover::Delete,
    };
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let one = |one: cloudmount::Dropped| (one.key, one.kind.to_owned(), one.aside);
    tokio::select! {
        dropped = files.drop_uploads(&paths, leftover) => Some(match dropped {
            Ok(dropped) => Answer::Dropped {
                dropped: dropped.into_iter().map(one).collect(),
            },
            Err(error) => refused(&error),
        }),
        () = tell(files, caller, "") => None,
    }
}

/// Tells how it goes at a path, until the caller goes away.
async fn tell(files: &CloudMount, caller: &UnixStream, path: &str) {
    let mut every = tokio::time::interval(TELL_EVERY);
    every.tick().await;
    loop {
        every.tick().await;
        let Ok(uploads) = files.status_of(path) else {
            return;
        };
        let progress = Answer::Progress(Progress::from(uploads));
        if control::tell(caller, &progress).is_err() {
            return;
        }
    }
}

fn said(flushed: Flushed) -> Answer {
    let line = |left: Remaining| match left.error {
        Some(error) => format!("{}: {error}", left.key),
        None => left.key,
    };
    Answer::Flushed {
        open: flushed.open,
        remaining_count: flushed.remaining_count,
        remaining: flushed.remaining.into_iter().map(line).collect(),
    }
}
