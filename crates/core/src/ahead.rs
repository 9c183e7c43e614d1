//! Asking ahead: who goes through a folder finds the next files there.
//!
//! What to ask for is decided by [`walk`](crate::walk), a pure function; here it is carried out. A small file
//! takes one request for its attributes and its bytes together: an answer with bytes tells both.
//!
//! # Laws
//!
//! - Nobody waits for room here: what does not fit is not asked for ahead.
//! - What is learnt goes the way of every other answer: it counts only if nothing was changed here since it was
//!   asked for, and is believed no longer. Where nothing is believed (a time to live of 0), nothing is asked ahead.
//! - Requests under way, guesses that wait, folders that are remembered and bytes that nobody has read yet are
//!   bounded. What waits for a walk that ended is never sent; what is under way ends by itself, for to cut it off
//!   would cost its connection.
//! - Bytes that the kernel most likely has are not fetched again.

mod asking;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering};

use cloudmount_vfs::InodeId;
use futures::FutureExt as _;
use futures::future::Shared;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::core::Inner;
use crate::know::Inode;
use crate::walk::{self, History, Look, Plan};

/// Folders whose walks are remembered: more than the threads that walk at once.
const FOLDERS_MAX: usize = 32;

/// From how many folders before a new one takes over what to expect: the last one, and one that was only
/// passed through on the way up.
const LENDERS: usize = 2;

/// Which part of the cache's share for what nobody has read yet is for whole files: the rest is for readers of
/// large ones.
const BYTES_PART: u64 = 4;

/// How asking ahead went, since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AheadStats {
    /// Entries whose attributes or bytes were asked for before anybody wanted them.
    pub asked: u64,
    /// Of these, the ones that were wanted then.
    pub used: u64,
}

/// Asking ahead.
pub(crate) struct Ahead {
    inner: Weak<Inner>,
    runtime: Handle,
    /// Requests at once, at most.
    requests_max: usize,
    /// Bytes asked for and not wanted yet, at most.
    bytes_max: u64,
    state: Mutex<State>,
    asked: AtomicU64,
    used: AtomicU64,
}

#[derive(Default)]
struct State {
    /// What was looked at, the newest last.
    folders: Vec<(InodeId, Folder)>,
    /// What waits to be asked for.
    queue: VecDeque<Guess>,
    /// Tasks that ask.
    running: usize,
    /// Attributes that are being asked for, with when that ends.
    under_way: HashMap<InodeId, Ended>,
    /// What was asked for, or waits, and was not wanted yet.
    expected: HashMap<InodeId, Expected>,
    /// The bytes of it.
    expected_bytes: u64,
}

/// A folder that is gone through.
#[derive(Default)]
struct Folder {
    history: History,
    /// What is expected of it, by position.
    expected: VecDeque<(u64, InodeId)>,
}

/// Ready once a question has ended, whatever came of it.
type Ended = Shared<oneshot::Receiver<()>>;

struct Guess {
    dir: InodeId,
    inode: Inode,
    what: Look,
    position: u64,
    bytes: u64,
}

struct Expected {
    dir: InodeId,
    what: Look,
    bytes: u64,
    is_asked: bool,
}

/// A question that is being asked: attributes are no longer under way when this goes.
struct Job<'a> {
    ahead: &'a Ahead,
    ino: InodeId,
    /// `None`: somebody else asks for the same, too.
    end: Option<oneshot::Sender<()>>,
}

impl Drop for Job<'_> {
    fn drop(&mut self) {
        if self.end.is_some() {
            self.ahead.state.lock().under_way.remove(&self.ino);
        }
    }
}

/// Who wants attributes that are not known.
enum Join<'a> {
    /// Somebody else asks for them.
    Others(Ended),
    /// Nobody does: whoever comes until this goes will find it under way.
    Own(Job<'a>),
}

impl Ahead {
    /// Nothing asked yet. `ahead_bytes` is what the cache keeps of what nobody has read yet.
    pub(crate) fn new(
        inner: Weak<Inner>,
        runtime: Handle,
        requests_max: usize,
        ahead_bytes: u64,
    ) -> Self {
        Self {
            inner,
            runtime,
            requests_max: requests_max.max(1),
            bytes_max: ahead_bytes / BYTES_PART,
            state: Mutex::default(),
            asked: AtomicU64::new(0),
            used: AtomicU64::new(0),
        }
    }

    pub(crate) fn stats(&self) -> AheadStats {
        AheadStats {
            asked: self.asked.load(Ordering::Relaxed),
            used: self.used.load(Ordering::Relaxed),
        }
    }

    /// Adds a look to the history of its folder.
    fn note(&self, place: (InodeId, u64), ino: InodeId, look: Look, max: u64) -> Option<Plan> {
        let (dir, position) = place;
        let mut state = self.state.lock();
        if state.wanted(ino, look) {
            self.used.fetch_add(1, Ordering::Relaxed);
        }
        let mut folder = state.take_folder(dir);
        let before = folder.history;
        let (after, plan) = walk::step(before, position, look, max);
        folder.history = after;
        if after.runs() != before.runs() {
            state.give_up(dir);
            folder.expected.clear();
        }
        state.pass(dir, &mut folder);
        state.folders.push((dir, folder));
        if state.folders.len() > FOLDERS_MAX {
            let (oldest, _) = state.folders.remove(0);
            state.give_up(oldest);
        }
        plan
    }

    /// Queues what there is room for, and sees that it is asked for.
    fn begin(&self, guesses: Vec<Guess>) {
        let mut state = self.state.lock();
        for guess in guesses {
            if state.expected.contains_key(&guess.inode.ino) {
                continue;
            }
            if !state.has_room(&guess, self.bytes_max) {
                state.not_begun(&guess);
                break;
            }
            state.expected_bytes += guess.bytes;
            let expected = Expected {
                dir: guess.dir,
                what: guess.what,
                bytes: guess.bytes,
                is_asked: false,
            };
            let ino = guess.inode.ino;
            state.expected.insert(ino, expected);
            let mut folders = state.folders.iter_mut();
            if let Some((_, folder)) = folders.find(|(dir, _)| *dir == guess.dir) {
                folder.expected.push_back((guess.position, ino));
            }
            state.queue.push_back(guess);
        }
        let free = self.requests_max.saturating_sub(state.running);
        let tasks = free.min(state.queue.len());
        state.running += tasks;
        drop(state);
        for _ in 0..tasks {
            self.runtime.spawn(work(self.inner.clone()));
        }
    }

    /// The next guess; `None` ends the task that asks for it.
    fn next(&self) -> Option<(Guess, Job<'_>)> {
        let mut state = self.state.lock();
        let guess = loop {
            let Some(guess) = state.queue.pop_front() else {
                state.running -= 1;
                return None;
            };
            let is_asked = state.under_way.contains_key(&guess.inode.ino);
            if guess.what == Look::Content || !is_asked {
                break guess;
            }
        };
        let ino = guess.inode.ino;
        if let Some(expected) = state.expected.get_mut(&ino) {
            expected.is_asked = true;
        }
        let job = self.begin_job(&mut state, ino);
        drop(state);
        self.asked.fetch_add(1, Ordering::Relaxed);
        Some((guess, job))
    }

    fn begin_job(&self, state: &mut State, ino: InodeId) -> Job<'_> {
        let end = match state.under_way.entry(ino) {
            Entry::Occupied(_) => None,
            Entry::Vacant(place) => {
                let (end, ended) = oneshot::channel();
                place.insert(ended.shared());
                Some(end)
            }
        };
        let ahead = self;
        Job { ahead, ino, end }
    }

    /// Somebody wants the attributes of `ino`. What waits to be asked ahead is left to him.
    fn join(&self, ino: InodeId) -> Join<'_> {
        let mut state = self.state.lock();
        if let Some(ended) = state.under_way.get(&ino) {
            return Join::Others(ended.clone());
        }
        let is_it = |guess: &Guess| guess.inode.ino == ino && guess.what == Look::Attributes;
        state.queue.retain(|guess| !is_it(guess));
        Join::Own(self.begin_job(&mut state, ino))
    }

    /// Whether somebody who reads `dir` and has come to `position` looks at the attributes of each entry.
    pub(crate) fn looks_on(&self, dir: InodeId, position: u64) -> bool {
        let state = self.state.lock();
        let mut folders = state.folders.iter();
        let known = folders.find(|(known, _)| *known == dir);
        known.is_some_and(|(_, folder)| folder.history.looks_on(position))
    }

    /// Attributes of entries of `dir` were asked for because somebody reads it, and are told up to `position`.
    pub(crate) fn told_up_to(&self, dir: InodeId, position: u64, told: &[InodeId]) {
        let mut state = self.state.lock();
        let used = told
            .iter()
            .filter(|ino| state.wanted(**ino, Look::Attributes));
        let used = used.count() as u64;
        self.used.fetch_add(used, Ordering::Relaxed);
        let mut folders = state.folders.iter_mut();
        if let Some((_, folder)) = folders.find(|(known, _)| *known == dir) {
            folder.history = folder.history.told_up_to(position);
        }
    }
}

impl State {
    /// Somebody wants this one; says whether it was asked for ahead.
    fn wanted(&mut self, ino: InodeId, look: Look) -> bool {
        let is_it = |expected: &Expected| expected.what == look || look == Look::Content;
        if !self.expected.get(&ino).is_some_and(is_it) {
            return false;
        }
        (self.take_expected(ino)).is_some_and(|expected| expected.is_asked)
    }

    /// The history of that folder, or what one of the last ones lends it.
    fn take_folder(&mut self, dir: InodeId) -> Folder {
        if let Some(at) = self.folders.iter().rposition(|(known, _)| *known == dir) {
            return self.folders.remove(at).1;
        }
        let lenders = self.folders.iter().rev().take(LENDERS);
        let mut lent = lenders.map(|(_, folder)| folder.history.lend());
        let lent = lent.find(|lent| *lent != History::default());
        Folder {
            history: lent.unwrap_or_default(),
            expected: VecDeque::new(),
        }
    }

    /// What the walk has left out is not expected any more.
    fn pass(&mut self, dir: InodeId, folder: &mut Folder) {
        let history = folder.history;
        while let Some(&(position, ino)) = folder.expected.front() {
            if !history.is_past(position) {
                break;
            }
            folder.expected.pop_front();
            let known = self.expected.get(&ino);
            if known.is_some_and(|expected| expected.dir == dir) {
                self.take_expected(ino);
            }
        }
    }

    fn take_expected(&mut self, ino: InodeId) -> Option<Expected> {
        let expected = self.expected.remove(&ino)?;
        self.expected_bytes -= expected.bytes;
        Some(expected)
    }

    /// What was planned for that folder is not expected any more.
    fn give_up(&mut self, dir: InodeId) {
        self.queue.retain(|guess| guess.dir != dir);
        let freed = &mut self.expected_bytes;
        self.expected.retain(|_, expected| {
            let stays = expected.dir != dir;
            if !stays {
                *freed -= expected.bytes;
            }
            stays
        });
    }

    /// Whether there is room for it, after folders that nobody walks any more made some.
    fn has_room(&mut self, guess: &Guess, bytes_max: u64) -> bool {
        let fits = |state: &Self| state.expected_bytes + guess.bytes <= bytes_max;
        while !fits(self) && self.folders.len() > 1 && self.folders[0].0 != guess.dir {
            let (oldest, _) = self.folders.remove(0);
            self.give_up(oldest);
        }
        fits(self)
    }

    fn not_begun(&mut self, guess: &Guess) {
        let mut folders = self.folders.iter_mut();
        if let Some((_, folder)) = folders.find(|(dir, _)| *dir == guess.dir) {
            folder.history = folder.history.without(guess.position);
        }
    }
}

/// Asks for what waits, one after the other.
async fn work(inner: Weak<Inner>) {
    while let Some(inner) = inner.upgrade() {
        let Some((guess, job)) = inner.ahead.next() else {
            return;
        };
        inner.ask_ahead(guess, job).await;
    }
}
