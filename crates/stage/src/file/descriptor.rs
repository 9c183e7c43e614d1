//! [`Descriptor`]: a file of the staging folder that is open only while it is used.
//!
//! Thousands of files may be queued; [`OpenFiles`] keeps at most so many of them open, and closes
//! those that were not used for the longest time (a clock hand, so that a use costs one flag).

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

/// What to do about a file that does not exist.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Missing {
    /// Make it.
    Create,
    /// It is an error.
    Fail,
}

/// The descriptors that are open.
#[derive(Debug)]
pub(crate) struct OpenFiles {
    limit: usize,
    /// In the order of opening. An entry may be closed already.
    hand: Mutex<VecDeque<Weak<Descriptor>>>,
}

/// A file of the staging folder, which need not exist yet.
#[derive(Debug)]
pub(crate) struct Descriptor {
    path: PathBuf,
    open: Mutex<Option<Arc<File>>>,
    used: AtomicBool,
}

impl OpenFiles {
    /// Keeps at most `limit` files open (at least 1), and those in use at the moment.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit: limit.max(1),
            hand: Mutex::default(),
        }
    }

    fn opened(&self, file: &Arc<Descriptor>) {
        let mut hand = self.hand.lock();
        hand.push_back(Arc::downgrade(file));
        // Each entry is spared once at most, so the second round finds one; one that is being
        // opened at this moment may still escape.
        let mut steps = hand.len() * 2;
        while hand.len() > self.limit && steps > 0 {
            steps -= 1;
            let Some(oldest) = hand.pop_front() else {
                break;
            };
            let Some(oldest) = oldest.upgrade() else {
                continue;
            };
            if oldest.used.swap(false, Ordering::Relaxed) || !oldest.try_close() {
                hand.push_back(Arc::downgrade(&oldest));
            }
        }
    }

    /// How many entries there are; some may be closed already.
    pub(crate) fn len(&self) -> usize {
        self.hand.lock().len()
    }
}

impl Descriptor {
    pub(crate) fn new(path: PathBuf) -> Arc<Self> {
        Arc::new(Self {
            path,
            open: Mutex::default(),
            used: AtomicBool::new(false),
        })
    }

    /// The open file.
    pub(crate) fn get(
        self: &Arc<Self>,
        files: &OpenFiles,
        missing: Missing,
    ) -> io::Result<Arc<File>> {
        self.used.store(true, Ordering::Relaxed);
        let file = {
            let mut open = self.open.lock();
            if let Some(file) = &*open {
                return Ok(Arc::clone(file));
            }
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(missing == Missing::Create)
                .truncate(false)
                .open(&self.path)?;
            Arc::clone(open.insert(Arc::new(file)))
        };
        files.opened(self);
        Ok(file)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Closes the descriptor; the next use opens it again.
    pub(crate) fn close(&self) {
        self.open.lock().take();
    }

    /// Closes it unless it is being opened at this moment.
    fn try_close(&self) -> bool {
        self.open.try_lock().is_some_and(|mut open| {
            open.take();
            true
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_stay_open() {
        let dir = tempfile::tempdir().unwrap();
        let pool = OpenFiles::new(3);
        let files: Vec<_> = (0..20)
            .map(|n| Descriptor::new(dir.path().join(n.to_string())))
            .collect();
        for file in &files {
            file.get(&pool, Missing::Create).unwrap();
            files[0].get(&pool, Missing::Create).unwrap();
            let open = files
                .iter()
                .filter(|file| file.open.lock().is_some())
                .count();
            assert!(open <= 3, "{open} are open");
        }
        assert!(pool.len() <= 3);
        assert!(files[0].open.lock().is_some(), "the one in use stays open");
    }
}
