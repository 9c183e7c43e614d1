//! Waiting for room on the staging disk.
//!
//! Laws:
//! - Nobody waits here who holds a lock, or whom an upload needs: uploads, flushes and closes go on.
//! - Who waits is told `NoSpace` only if nothing can make room: see [`Prospect`].

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cloudmount_vfs::{Error, ErrorKind, Result};

use super::{Inner, Stage};
use crate::desired::Desired;
use crate::key_state::KeyState;
use crate::room::Reserved;
use crate::table::Flow;
use crate::{Lasting, StagedFile};

/// How often those who wait look whether it makes sense: often beside a person's patience, and seldom
/// beside the work of looking through all that is pending.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Whether anything can make room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Prospect {
    /// Uploads can: now, or when the bucket can be reached again.
    Uploads,
    /// They could; a person keeps them from it, and lets them go on.
    Paused,
    /// Only those who write, by closing what they have open, or a person.
    Nothing,
}

impl Stage {
    /// Waits until so many more bytes may be staged, behind those who wait already. What is reserved
    /// is for [`StagedFile::write_within`](crate::StagedFile::write_within) and
    /// [`allocate_within`](crate::StagedFile::allocate_within); the rest is given back when it is
    /// dropped. A future that is dropped leaves the line.
    ///
    /// # Errors
    /// `NoSpace`: it is more than the limit; or nothing that is staged can be uploaded, for
    /// [`room_patience`](crate::StageSettings::room_patience); or no upload got any further, for
    /// [`room_wait`](crate::StageSettings::room_wait). Not while uploads are paused.
    /// `Interrupted` after the shutdown.
    pub async fn room(&self, bytes: u64) -> Result<Reserved> {
        self.inner.wait_for_room(bytes).await
    }

    /// After the disk itself said that it is full: deletes what is kept there of what the bucket has. Says
    /// whether anything was deleted, so that it makes sense to try again.
    pub async fn free_full_disk(&self) -> bool {
        self.inner.free_full_disk().await
    }
}

impl Inner {
    async fn wait_for_room(&self, bytes: u64) -> Result<Reserved> {
        let room = &self.files.room;
        let limit = room.limit();
        if bytes > room.largest() {
            let context = format!("{bytes} bytes at once, with a limit of {limit} staged bytes");
            return Err(Error::new(ErrorKind::NoSpace, context));
        }
        let mut waiting = room.wait(bytes);
        // What is kept gives way, what is to be deleted need not be gathered any longer, and parts that
        // are sent can go.
        self.files.make_room();
        self.freed.wake();
        for (_, state) in self.lock().iter() {
            state.poke();
        }
        let (mut progress, mut since) = (room.progress(), self.now());
        let mut in_vain_since = None;
        loop {
            tokio::select! {
                biased;
                reserved = &mut waiting => return Ok(reserved),
                () = self.clock.sleep(LOOK_AGAIN) => {}
            }
            if self.is_stopped() {
                return Err(Error::new(
                    ErrorKind::Interrupted,
                    "the stage was shut down",
                ));
            }
            let (prospect, now) = (self.prospect(), self.now());
            let patience = match prospect {
                Prospect::Uploads => self.settings.room_wait,
                Prospect::Nothing => self.settings.room_patience,
                Prospect::Paused => Duration::MAX,
            };
            if prospect == Prospect::Paused || room.progress() != progress {
                (progress, since) = (room.progress(), now);
                in_vain_since = None;
            }
            let began = match prospect {
                Prospect::Nothing => *in_vain_since.get_or_insert(now),
                Prospect::Uploads | Prospect::Paused => {
                    in_vain_since = None;
                    since
                }
            };
            // Of those who wait in vain one is told at a time: what it gives up may suffice.
            if now.saturating_since(began) >= patience && waiting.is_first() {
                let why = match prospect {
                    Prospect::Nothing => "nothing that is staged can be uploaded",
                    _ => "no upload gets any further",
                };
                let context = format!("{why}, and the limit of {limit} staged bytes is reached");
                return Err(Error::new(ErrorKind::NoSpace, context));
            }
        }
    }

    fn prospect(&self) -> Prospect {
        if self.freed.has_files() {
            return Prospect::Uploads;
        }
        let table = self.lock();
        if table.flow == Flow::Paused {
            return Prospect::Paused;
        }
        match table.iter().any(|(_, state)| may_make_room(state)) {
            true => Prospect::Uploads,
            false => Prospect::Nothing,
        }
    }
}

/// Whether the upload of a file may get further without a person, and without its writer.
fn may_make_room(state: &KeyState) -> bool {
    let failure = state.failure.as_ref().map(|failure| failure.lasting);
    if failure == Some(Lasting::Permanent) {
        return false;
    }
    let is_sending = |file: &Arc<StagedFile>| file.sending.load(Ordering::Relaxed) > 0;
    match (state.aim(), &state.desired) {
        (Some((Desired::Content(_), _)), _) => true,
        (None, Desired::Content(file)) => is_sending(file) || failure.is_some(),
        _ => false,
    }
}
