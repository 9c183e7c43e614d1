//! [`Scratch`]: the objects and uploads of one probe.

use std::time::Duration;

use bytes::Bytes;
use cloudmount_vfs::Timestamp;
use parking_lot::Mutex;

use super::SCRATCH;
use crate::{
    CopyMetadata, CopyOptions, CopySource, Key, ListRequest, Metadata, Payload, Precondition,
    PutOptions, Result, Store, UploadId, Version,
};

/// Scratch objects that are older than the newest by this were left by a probe that was interrupted:
/// none takes a minute.
const LEFT_AFTER: Duration = Duration::from_secs(3600);

/// The name of the user metadata that tells one write from the next.
pub(super) const LABEL: &str = "cloudmount-probe";

/// The objects that a probe uses, by what they are for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Use {
    Put,
    Join,
    Source,
    Copy,
    CopyIf,
    CopySourceIf,
    Range,
    Part,
    Remove,
    RemoveOne,
    RemoveOther,
    RaceOne,
    RaceTwo,
    RaceThree,
    RaceFour,
    RaceFive,
    RaceSix,
    RaceSeven,
    RaceEight,
}

impl Use {
    const ALL: [(Self, &str); 19] = [
        (Self::Put, "put"),
        (Self::Join, "join"),
        (Self::Source, "source"),
        (Self::Copy, "copy"),
        (Self::CopyIf, "copy-if"),
        (Self::CopySourceIf, "copy-source-if"),
        (Self::Range, "range"),
        (Self::Part, "part"),
        (Self::Remove, "remove"),
        (Self::RemoveOne, "remove-one"),
        (Self::RemoveOther, "remove-other"),
        (Self::RaceOne, "race-one"),
        (Self::RaceTwo, "race-two"),
        (Self::RaceThree, "race-three"),
        (Self::RaceFour, "race-four"),
        (Self::RaceFive, "race-five"),
        (Self::RaceSix, "race-six"),
        (Self::RaceSeven, "race-seven"),
        (Self::RaceEight, "race-eight"),
    ];
}

/// An upload in parts, with its one part.
#[derive(Clone, Debug)]
pub(super) struct Begun {
    key: Key,
    upload: UploadId,
}

/// Where a probe works.
pub(super) struct Scratch<'a> {
    pub(super) store: &'a dyn Store,
    keys: [Key; Use::ALL.len()],
    /// What its keys begin with, and those of probes that were interrupted.
    ours: Vec<String>,
    begun: Mutex<Vec<Begun>>,
}

impl<'a> Scratch<'a> {
    pub(super) fn new(store: &'a dyn Store, nonce: u64, interrupted: &[u64]) -> Self {
        let all = std::iter::once(&nonce).chain(interrupted);
        Self {
            store,
            ours: all.map(|nonce| format!("{SCRATCH}{nonce:016x}-")).collect(),
            keys: Use::ALL.map(|(_, name)| {
                Key::new(format!("{SCRATCH}{nonce:016x}-{name}"))
                    .expect("a name of at most 64 bytes is a key")
            }),
            begun: Mutex::default(),
        }
    }

    pub(super) fn key(&self, which: Use) -> &Key {
        // `ALL` is in the order of declaration, which a test checks.
        &self.keys[which as usize]
    }

    /// Writes `content`, labelled with itself.
    pub(super) async fn put(
        &self,
        which: Use,
        content: impl Into<Bytes>,
        precondition: Precondition,
    ) -> Result<Version> {
        let options = PutOptions {
            precondition,
            metadata: labelled("put"),
        };
        let payload = Payload::from(content.into());
        self.store.put(self.key(which), payload, options).await
    }

    /// Copies, with `label` in place of the source's.
    pub(super) async fn copy(
        &self,
        from: (Use, Option<Version>),
        to: Use,
        label: &str,
        precondition: Precondition,
    ) -> Result<Version> {
        let source = CopySource {
            key: self.key(from.0).clone(),
            if_match: from.1,
        };
        let options = CopyOptions {
            metadata: CopyMetadata::Replace(labelled(label)),
            precondition,
            source_bytes: None,
        };
        self.store.copy(source, self.key(to), options).await
    }

    /// Begins an upload in parts; it is given up at the end unless it is completed.
    pub(super) async fn begin(&self, which: Use) -> Result<Begun> {
        let key = self.key(which);
        let options = PutOptions::default();
        let upload = self.store.multipart_start(key, &options).await?;
        let begun = Begun {
            key: key.clone(),
            upload,
        };
        self.begun.lock().push(begun.clone());
        Ok(begun)
    }

    /// Completes it with one part.
    pub(super) async fn complete(
        &self,
        begun: &Begun,
        part: &crate::PartTag,
        precondition: Precondition,
    ) -> Result<Version> {
        let parts = std::slice::from_ref(part);
        let version = (self.store)
            .multipart_complete(&begun.key, &begun.upload, parts, precondition)
            .await?;
        (self.begun.lock()).retain(|other| other.upload != begun.upload);
        Ok(version)
    }

    pub(super) async fn part(&self, begun: &Begun, content: Bytes) -> Result<crate::PartTag> {
        (self.store)
            .multipart_put(&begun.key, &begun.upload, 1, content.into())
            .await
    }

    pub(super) async fn copy_part(
        &self,
        begun: &Begun,
        from: Use,
        range: std::ops::Range<u64>,
    ) -> Result<crate::PartTag> {
        let source = CopySource {
            key: self.key(from).clone(),
            if_match: None,
        };
        (self.store)
            .multipart_copy(&begun.key, &begun.upload, 1, source, range)
            .await
    }

    fn is_ours(&self, key: &Key) -> bool {
        self.ours.iter().any(|ours| key.as_str().starts_with(ours))
    }

    /// Removes all of it, and what interrupted probes left.
    ///
    /// # Errors
    /// The first failure; what could be removed is.
    pub(super) async fn clean(&self) -> Result<()> {
        let begun = std::mem::take(&mut *self.begun.lock());
        let aborts =
            (begun.iter()).map(|begun| self.store.multipart_abort(&begun.key, &begun.upload));
        let mut done = futures::future::join_all(aborts).await;
        let mut keys = self.keys.to_vec();
        let mut newest = Timestamp::default();
        let listed = self.store.list(ListRequest {
            prefix: SCRATCH.to_owned(),
            ..ListRequest::default()
        });
        let listed = listed.await.map(|page| {
            // Written by this probe, or by another one just now: so the clock of this machine does
            // not matter.
            let times = page.objects.iter().map(|object| object.modified);
            newest = times.max().unwrap_or_default();
            let objects = page.objects.into_iter();
            keys.extend(
                objects
                    .filter(|object| self.is_ours(&object.key) || is_left(object.modified, newest))
                    .map(|object| object.key),
            );
        });
        done.push(listed);
        let most = usize::from(self.store.capabilities().delete_keys_max.max(1));
        for some in keys.chunks(most) {
            let deleted = self.store.delete(some).await;
            done.push(deleted.and_then(|results| results.into_iter().collect()));
        }
        let uploads = match self.store.multipart_list(SCRATCH, None).await {
            Ok(page) => page.uploads,
            Err(error) => {
                if error.kind().is_transient() {
                    done.push(Err(error));
                }
                Vec::new()
            }
        };
        for listed in uploads {
            if self.is_ours(&listed.key) || is_left(listed.started, newest) {
                done.push(
                    self.store
                        .multipart_abort(&listed.key, &listed.upload)
                        .await,
                );
            }
        }
        done.into_iter().collect()
    }
}

/// Whether something is much older than the newest scratch object.
fn is_left(at: Timestamp, newest: Timestamp) -> bool {
    newest.saturating_since(at) > LEFT_AFTER
}

fn labelled(label: &str) -> Metadata {
    Metadata {
        content_type: Some(format!("text/x-{label}")),
        user: [(LABEL.to_owned(), label.to_owned())].into(),
        ..Metadata::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_use_has_its_own_key() {
        for (index, (which, name)) in Use::ALL.into_iter().enumerate() {
            assert_eq!(which as usize, index, "{name}");
        }
    }
}
