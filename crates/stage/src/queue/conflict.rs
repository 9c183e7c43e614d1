//! Who was it? A write that failed its precondition may have met its own earlier try, nobody, or
//! someone else.

use std::sync::Arc;

use cloudmount_store::{
    ErrorKind, GetOptions, Key, ObjectMeta, PartTag, Payload, Result, StoreExt, UploadId, Version,
};
use cloudmount_vfs::Timestamp;

use super::worker::{Done, Job, Refused, Settled};
use crate::desired::Desired;
use crate::file::Standing;
use crate::fingerprint::{Fingerprint, Match, Source};
use crate::journal::record::Change;
use crate::recent::Content;
use crate::stage::Inner;
use crate::{Base, RemoteBelief, StagedFile};

/// Largest object that is read to compare it: 8 MiB, the largest single body.
const COMPARE_BYTES_MAX: u64 = 8 << 20;

/// Longest name of a file, in bytes, as everywhere on Linux and macOS.
const NAME_BYTES_MAX: usize = 255;

/// Room that is left in a name for what tells two conflicts of the same second apart.
const NUMBER_BYTES: usize = 6;

impl Job<'_> {
    /// After a failed precondition of a write of `ours`.
    pub(super) async fn investigate(&mut self, ours: &Fingerprint) -> Refused {
        let there = match self.there().await {
            Ok(there) => there,
            Err(error) => return Refused::Done(Done::Failed(error.into())),
        };
        let Some(there) = there else {
            // Someone removed it: there is nothing to keep, and ours may take the name.
            return Refused::Done(Done::Believe(RemoteBelief::Absent));
        };
        match self.is_same(ours, &there).await {
            Ok(true) => Refused::Ours(there.version),
            Ok(false) if self.remote == RemoteBelief::Present(there.version.clone()) => {
                // The store contradicts itself; it may have made up its mind by the next try.
                Refused::Done(Done::Believe(self.remote.clone()))
            }
            Ok(false) => Refused::Done(Done::Conflict {
                theirs: there.version,
            }),
            Err(error) => Refused::Done(Done::Failed(error.into())),
        }
    }

    /// Finds out what became of the bodies whose answers were lost. `Some`: what is wanted is there.
    pub(super) async fn settle_doubts(&mut self, desired: &Desired) -> Result<Option<Done>> {
        if self.key.is_marker() {
            self.doubts_settled = Settled::Yes;
            return Ok(None);
        }
        let there = self.there().await?;
        let mut ours = None;
        if let Some(there) = &there
            && self.remote != RemoteBelief::Present(there.version.clone())
        {
            for sent in &self.sent {
                if self.is_same(sent, there).await? {
                    ours = Some(sent.clone());
                    break;
                }
            }
        }
        // Only now: a question that failed is asked again.
        self.doubts_settled = Settled::Yes;
        self.sent.clear();
        let Some(there) = there else {
            self.remote = RemoteBelief::Absent;
            return Ok(None);
        };
        let Some(ours) = ours else {
            return Ok(None);
        };
        self.remote = RemoteBelief::Present(there.version.clone());
        let Some(source) = ours.source else {
            if ours.is_of_metadata() {
                self.inner.metadata_landed(self.key, &there.version);
            }
            return Ok(None);
        };
        if let Desired::Content(file) = desired
            && source.file == file.id()
        {
            if file.lock().content.upload_has(source.generation) {
                return Ok(Some(Done::Content {
                    source,
                    version: there.version,
                    size: there.size,
                }));
            }
            if let Some(upload) = ours.upload {
                self.inner.joined(file, &upload, base_of(self.key, &there));
            }
        }
        self.inner
            .landed(self.key, source, there.version, there.size);
        Ok(None)
    }

    /// What went out last, as far as is known by now: parts have a tag of their own once all are there.
    pub(super) fn as_sent(&self, sent: Fingerprint) -> Fingerprint {
        let table = self.inner.lock();
        let sending = table.get(self.key).and_then(|state| state.sending.clone());
        sending.unwrap_or(sent)
    }

    /// What is under the key.
    pub(super) async fn there(&self) -> Result<Option<ObjectMeta>> {
        match self.inner.store.head(self.key).await {
            Ok(there) => Ok(Some(there)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn is_same(&self, ours: &Fingerprint, there: &ObjectMeta) -> Result<bool> {
        match ours.compare(there) {
            Match::Yes => Ok(true),
            Match::No => Ok(false),
            Match::AskContent => self.is_content_of(ours, self.key, there).await,
        }
    }

    /// Whether the object under `key` has the content of `ours`, which only its bytes can tell. Of a large
    /// one, the mark in its metadata tells it.
    pub(super) async fn is_content_of(
        &self,
        ours: &Fingerprint,
        key: &Key,
        there: &ObjectMeta,
    ) -> Result<bool> {
        if there.size > COMPARE_BYTES_MAX {
            return Ok(ours.is_marked_alike(there));
        }
        let options = GetOptions {
            range: None,
            if_match: Some(there.version.clone()),
        };
        let body = self.inner.store.get_bytes(key, options).await?;
        let theirs = Fingerprint::default().with_body(&Payload::from(body));
        Ok(theirs.tag == ours.tag)
    }
}

impl Inner {
    /// The body that goes out to `key` is joined of these parts: it is recognised by the tag that they
    /// make, also after a crash.
    pub(super) fn joining(&self, key: &Key, parts: &[PartTag]) {
        let mut table = self.lock();
        let Some(sending) = table.get_mut(key).and_then(|state| state.sending.as_mut()) else {
            return;
        };
        *sending = sending.clone().with_parts(parts);
        self.note(&[Change::Sending {
            key: key.as_str().to_owned(),
            sent: sending.record(),
        }]);
    }
}

fn base_of(key: &Key, there: &ObjectMeta) -> Base {
    Base {
        key: key.clone(),
        version: there.version.clone(),
        size: there.size,
    }
}

impl Inner {
    /// What is away of a file is in an upload that a former process joined: it is in `object` now. What
    /// is here goes out again, for nobody knows whether it was written before that.
    fn joined(&self, file: &Arc<StagedFile>, upload: &UploadId, object: Base) {
        let mut table = self.lock();
        let mut inside = file.lock();
        if !inside.is_away_in(upload) {
            return;
        }
        table.note_base(&object.key, file);
        inside.content.away_is_in(object);
        inside.joined();
        if let Some(session) = table.sessions.remove(&file.id()) {
            table.abandoned.push(session.names());
        }
        self.note(&[Change::File(inside.record(file.id()))]);
    }

    /// Other metadata, whose answer was lost, have given the object under `key` that version.
    fn metadata_landed(&self, key: &Key, version: &Version) {
        let mut table = self.lock();
        let Some(before) = table.get(key).map(|state| state.remote.clone()) else {
            return;
        };
        self.base_moved(&mut table, key, version);
        let step = (before, RemoteBelief::Present(version.clone()));
        table.recent.note(key, step, Content::Kept, self.now());
    }

    /// An upload of a file, whose answer was lost, replaced the object under `key`; the file changed
    /// or moved since. What it still needs of the object that was there is the same in this one: it
    /// would hold those bytes itself if they had changed. One that needs nothing of that object any
    /// more goes its own way, and may be on it: then its upload to its new name has the same state of it.
    fn landed(&self, key: &Key, source: Source, version: Version, size: u64) {
        let mut table = self.lock();
        let files = table.based_on(key);
        let Some(file) = files.into_iter().find(|file| file.id() == source.file) else {
            return;
        };
        if file.base().is_none_or(|base| base.key != *key) {
            return;
        }
        if file.lock().content.upload_has(source.generation) {
            self.content_committed(&mut table, &file, key, &version, size, source);
            return;
        }
        let mut inside = file.lock();
        inside.content.base_moved(Base {
            key: key.clone(),
            version,
            size,
        });
        if inside.standing == Standing::Pending {
            self.note(&[Change::File(inside.record(file.id()))]);
        }
    }
}

/// Whether an object may be one of the bodies whose answers were lost: enough to remove it, when
/// that is what is wanted.
pub(super) fn is_one_of(sent: &[Fingerprint], there: &ObjectMeta) -> bool {
    sent.iter().any(|sent| match sent.compare(there) {
        Match::Yes => true,
        Match::AskContent => sent.user.is_some(),
        Match::No => false,
    })
}

impl Done {
    /// What the conflict was with, if it was one.
    pub(super) fn theirs(&self) -> Option<Version> {
        match self {
            Self::Conflict { theirs } => Some(theirs.clone()),
            _ => None,
        }
    }
}

/// The key that ours gets when theirs keeps `key`: `stem (conflict from HOST at TIME).ext`, with a
/// number if `is_taken`. A name that has this mark already, as of a conflict over the name of a copy within the same second,
/// gets the next number. `None` if no key of legal length is left.
pub(super) fn conflict_key(
    key: &Key,
    host: &str,
    at: Timestamp,
    is_taken: impl Fn(&Key) -> bool,
) -> Option<Key> {
    let (folder, name) = match key.as_str().rsplit_once('/') {
        Some((folder, name)) => (&key.as_str()[..=folder.len()], name),
        None => ("", key.as_str()),
    };
    // A leading dot hides a file, it does not begin an extension.
    let (stem, extension) = match name.rfind('.') {
        Some(dot) if dot > 0 => name.split_at(dot),
        _ => (name, ""),
    };
    let host: String = host
        .chars()
        .map(|c| if c == '/' || c.is_control() { '-' } else { c })
        .collect();
    let mark = format!(" (conflict from {host} at {})", utc(at));
    let (stem, first) = match marked(stem, &mark) {
        Some((unmarked, number)) => (unmarked, number + 1),
        None => (stem, 1),
    };
    let room = NAME_BYTES_MAX
        .min(Key::MAX_BYTES.saturating_sub(folder.len()))
        .checked_sub(mark.len() + extension.len() + NUMBER_BYTES)?;
    let fits = (0..=room.min(stem.len()))
        .rev()
        .find(|end| stem.is_char_boundary(*end))?;
    let stem = &stem[..fits];
    (first..100_000).find_map(|number| {
        let number = if number == 1 {
            String::new()
        } else {
            format!(" {number}")
        };
        let key = Key::new(format!("{folder}{stem}{mark}{number}{extension}")).ok()?;
        (!is_taken(&key)).then_some(key)
    })
}

/// What `stem` is without `mark`, and the number behind that.
fn marked<'s>(stem: &'s str, mark: &str) -> Option<(&'s str, u32)> {
    if let Some(unmarked) = stem.strip_suffix(mark) {
        return Some((unmarked, 1));
    }
    let (before, number) = stem.rsplit_once(' ')?;
    Some((before.strip_suffix(mark)?, number.parse().ok()?))
}

/// `2026-11-21T01-18-03Z`: ISO 8601 without colons, which some systems cannot have in names.
fn utc(at: Timestamp) -> String {
    let days = at.secs().div_euclid(86_400);
    let second = at.secs().rem_euclid(86_400);
    let (year, month, day) = civil(days);
    let (hour, minute) = (second / 3600, second % 3600 / 60);
    format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}-{minute:02}-{:02}Z",
        second % 60
    )
}

/// Year, month and day of a day since 1970-01-01, in the Gregorian calendar (Howard Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`).
const fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + (month <= 2) as i64;
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let check = |secs, expected: &str| assert_eq!(utc(Timestamp::new(secs, 0)), expected);
        check(0, "1970-01-01T00-00-00Z");
        check(951_827_696, "2000-02-29T12-34-56Z");
        check(1_795_310_283, "2026-11-22T01-18-03Z");
        check(-1, "1969-12-31T23-59-59Z");
    }

    #[test]
    fn names() {
        let check = |key: &str, expected: &str| {
            let key = Key::new(key).unwrap();
            let found = conflict_key(&key, "ho/st", Timestamp::EPOCH, |_| false).unwrap();
            assert_eq!(found.as_str(), expected);
        };
        check("a", "a (conflict from ho-st at 1970-01-01T00-00-00Z)");
        check(
            "d.x/a.tar.gz",
            "d.x/a.tar (conflict from ho-st at 1970-01-01T00-00-00Z).gz",
        );
        check(
            "d/.rc",
            "d/.rc (conflict from ho-st at 1970-01-01T00-00-00Z)",
        );
    }

    #[test]
    fn a_conflict_over_a_copy_of_the_same_second_is_the_next_copy() {
        let mut key = Key::new("d/a.txt").unwrap();
        for end in [")", ") 2", ") 3"] {
            key = conflict_key(&key, "h", Timestamp::EPOCH, |_| false).unwrap();
            let expected = format!("d/a (conflict from h at 1970-01-01T00-00-00Z{end}.txt");
            assert_eq!(key.as_str(), expected);
        }
        // One of another second is a name as any other.
        let later = conflict_key(&key, "h", Timestamp::new(1, 0), |_| false).unwrap();
        let expected = "d/a (conflict from h at 1970-01-01T00-00-00Z) 3 (conflict from h at 1970-01-01T00-00-01Z).txt";
        assert_eq!(later.as_str(), expected);
    }

    #[test]
    fn long_names_are_cut_and_taken_ones_numbered() {
        let long = Key::new(format!("d/{}.txt", "é".repeat(125))).unwrap();
        let first = conflict_key(&long, "h", Timestamp::EPOCH, |_| false).unwrap();
        let second = conflict_key(&long, "h", Timestamp::EPOCH, |key| *key == first).unwrap();
        for key in [&first, &second] {
            let name = key.as_str().strip_prefix("d/").unwrap();
            assert!(name.len() <= 255, "{name}");
            assert!(name.ends_with(".txt"), "{name}");
        }
        assert!(second.as_str().ends_with(") 2.txt"), "{second}");
        let full = Key::new(format!("{}/a", "d/".repeat(510))).unwrap();
        assert_eq!(conflict_key(&full, "h", Timestamp::EPOCH, |_| false), None);
    }
}
