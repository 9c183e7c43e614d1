//! [`Told`]: what answers to reads tell of their objects besides the bytes.
//!
//! An answer with bytes names the object's attributes, too, so that who wants both need not ask twice.
//! While nobody waits for any, a read looks at one number here.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cloudmount_cache::ObjectRef;
use cloudmount_store::ObjectMeta;
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Who waits for attributes of which version of which object.
#[derive(Debug, Default)]
pub(crate) struct Told {
    count: AtomicUsize,
    waiting: Mutex<HashMap<ObjectRef, oneshot::Sender<ObjectMeta>>>,
}

/// One who waits.
pub(crate) struct Expected {
    told: Arc<Told>,
    object: ObjectRef,
    answer: oneshot::Receiver<ObjectMeta>,
}

impl Told {
    /// Waits, from now on, for what the next answer about `object` tells. `None` if somebody else does.
    pub(crate) fn expect(self: &Arc<Self>, object: &ObjectRef) -> Option<Expected> {
        let (sender, answer) = oneshot::channel();
        match self.waiting.lock().entry(object.clone()) {
            Entry::Occupied(_) => return None,
            Entry::Vacant(place) => place.insert(sender),
        };
        self.count.fetch_add(1, Ordering::Release);
        Some(Expected {
            told: Arc::clone(self),
            object: object.clone(),
            answer,
        })
    }

    /// An answer has come.
    pub(crate) fn tell(&self, object: &ObjectRef, meta: &ObjectMeta) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let waiting = self.waiting.lock().remove(object);
        if let Some(sender) = waiting {
            self.count.fetch_sub(1, Ordering::Release);
            // Who waited may have left.
            drop(sender.send(meta.clone()));
        }
    }
}

impl Expected {
    /// What is told. Never ready if no answer comes.
    pub(crate) async fn heard(&mut self) -> ObjectMeta {
        match (&mut self.answer).await {
            Ok(meta) => meta,
            // Its sender is in the table for as long as this is.
            Err(_) => std::future::pending().await,
        }
    }

    /// What was told so far.
    pub(crate) fn already(&mut self) -> Option<ObjectMeta> {
        self.answer.try_recv().ok()
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        // Whatever was told for it: nobody else can have taken the place since, unless it was freed by an
        // answer, and then this has nothing there any more.
        self.answer.close();
        let mut waiting = self.told.waiting.lock();
        if waiting
            .get(&self.object)
            .is_some_and(oneshot::Sender::is_closed)
        {
            waiting.remove(&self.object);
            self.told.count.fetch_sub(1, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use cloudmount_store::{Metadata, Version};
    use cloudmount_vfs::Timestamp;

    use super::*;

    fn meta() -> ObjectMeta {
        ObjectMeta {
            size: 5,
            version: Version::new("1"),
            modified: Timestamp::EPOCH,
            metadata: Metadata::default(),
        }
    }

    #[test]
    fn one_hears_of_its_own_version_only_and_leaves_nothing_behind() {
        let told = Arc::new(Told::default());
        let object = ObjectRef::new("a", "1", 5);
        let mut expected = told.expect(&object).unwrap();
        assert!(told.expect(&object).is_none(), "one waits at a time");
        told.tell(&ObjectRef::new("a", "2", 5), &meta());
        told.tell(&ObjectRef::new("b", "1", 5), &meta());
        assert_eq!(expected.already(), None);
        told.tell(&object, &meta());
        let second = told.expect(&object).unwrap();
        assert_eq!(expected.already(), Some(meta()));
        drop(expected);
        assert!(told.expect(&object).is_none(), "the second waits still");
        drop(second);
        assert_eq!(told.count.load(Ordering::Acquire), 0);
        assert!(told.waiting.lock().is_empty());
    }
}
