//! [`Hold`]: while it lives, no remote operation overwrites or removes its key.

use std::collections::HashMap;
use std::sync::Arc;

use cloudmount_store::Key;
use parking_lot::Mutex;

use crate::freed::Freed;

/// Who holds which key.
#[derive(Debug)]
pub(crate) struct Holds {
    counts: Mutex<HashMap<Key, usize>>,
    freed: Arc<Freed>,
}

/// Keeps the object under a key as it is: someone still reads it, though its name may be gone.
#[derive(Debug)]
pub struct Hold {
    key: Key,
    holds: Arc<Holds>,
}

impl Holds {
    pub(crate) fn new(freed: Arc<Freed>) -> Self {
        Self {
            counts: Mutex::default(),
            freed,
        }
    }

    pub(crate) fn take(self: &Arc<Self>, key: &Key) -> Hold {
        *self.counts.lock().entry(key.clone()).or_default() += 1;
        Hold {
            key: key.clone(),
            holds: Arc::clone(self),
        }
    }

    pub(crate) fn is_held(&self, key: &Key) -> bool {
        self.counts.lock().contains_key(key)
    }
}

impl Hold {
    /// The key.
    #[must_use]
    pub const fn key(&self) -> &Key {
        &self.key
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        {
            let mut counts = self.holds.counts.lock();
            let Some(count) = counts.get_mut(&self.key) else {
                return;
            };
            *count -= 1;
            if *count > 0 {
                return;
            }
            counts.remove(&self.key);
        }
        self.holds.freed.key(self.key.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_frees() {
        let freed = Arc::new(Freed::default());
        let holds = Arc::new(Holds::new(Arc::clone(&freed)));
        let key = Key::new("a").unwrap();
        let (one, two) = (holds.take(&key), holds.take(&key));
        drop(one);
        assert!(holds.is_held(&key));
        assert!(freed.take_keys().is_empty());
        drop(two);
        assert!(!holds.is_held(&key));
        assert_eq!(freed.take_keys(), [key]);
    }
}
