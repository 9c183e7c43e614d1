//! [`StageSettings`]: what of the stage may be tuned. Plain data, each default with its reason.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What to do when someone else changed the object that is to be replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConflictPolicy {
    /// Theirs keeps the name; ours becomes `name (conflict from HOST at TIME)`.
    #[default]
    KeepBoth,
    /// Ours is not uploaded: it stays, named in the status, until a person decides.
    Fail,
    /// Ours replaces theirs.
    Overwrite,
}

/// What of the stage may be tuned.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StageSettings {
    /// Bytes that staged files may have on the disk: who would write more waits until uploads have
    /// made room. By default, what they have already and three quarters of what is free when the
    /// folder is opened, so that others who use the disk find room, too.
    pub staging_bytes_max: Option<u64>,
    /// Bytes that copies of what was uploaded may have on the disk, within the limit of staged bytes, so
    /// that they are read again without a request. By default a quarter of that limit, and of what is
    /// free when the folder is opened; 0 keeps none.
    pub kept_bytes_max: Option<u64>,
    /// How long a writer waits for room while nothing that is under way can make any: 10 s, in which
    /// other programs close what they write.
    pub room_patience: Duration,
    /// How long a writer waits for room while no upload goes on, because the bucket cannot be reached:
    /// 10 min. Then it is told that the disk is full.
    pub room_wait: Duration,
    /// What names this machine in the name of a conflict copy.
    pub host: String,
    /// What to do when someone else was faster.
    pub conflict: ConflictPolicy,
    /// From close (and remove) to the first request: 100 ms, so that a temporary file that is
    /// renamed or removed at once costs no request.
    pub close_delay: Duration,
    /// From an fsync of a file that stays open to its upload, counted from the last change: 5 s,
    /// so that a database is not uploaded at each of its commits.
    pub synced_delay: Duration,
    /// How long an upload may wait for a hold of another staged file before the missing bytes are
    /// fetched to end the wait: 5 s, far over the time that a server-side copy takes.
    pub fill_delay: Duration,
    /// First wait after a failure; it doubles with each attempt: 500 ms.
    pub retry_delay: Duration,
    /// Longest wait after a failure that may pass: 60 s, so that a network that came back is
    /// noticed within a minute.
    pub retry_delay_max: Duration,
    /// Wait after the bucket as a whole refused something, being full, or away, or not knowing who asks: 30 s. One key finds out
    /// for all, so it costs little, and a person who mended it sees soon that things go on.
    pub refused_delay: Duration,
    /// Wait after any other failure that needs a person: 5 min, cheap enough to go on for ever.
    pub failed_delay: Duration,
    /// Files from this size on are uploaded in parts: 8 MiB. At 80 MB/s per connection that is
    /// 100 ms, some round trips, so parts cost little and a failure repeats little.
    pub multipart_bytes_min: u64,
    /// Size of a part, until 10,000 of them do not suffice: 8 MiB.
    pub part_bytes: u64,
    /// Size of a part when all parts are copies within the store: 512 MiB. They cost one request
    /// each and no bytes.
    pub copy_part_bytes: u64,
    /// Largest object that is read and written again where the store cannot copy: 64 MiB, held in
    /// memory. Only a change of metadata needs it.
    pub rewrite_bytes_max: u64,
    /// Bodies in memory at once, in bytes: 176 MiB. Sixteen parts take their share of it, three quarters.
    pub body_bytes_max: u64,
    /// Requests of small operations at once, at most: 64. The queue begins with 32, which hides 20 ms
    /// of round trip behind 1,600 puts per second, and follows what gets through.
    pub requests_max: u16,
    /// Parts of all files on their way at once, at most: 16. The queue begins with 8, and follows what
    /// gets through.
    pub part_requests_max: u16,
    /// Files uploaded in parts at once: 4. More would only make each of them later.
    pub large_files_max: u16,
    /// Parts of one file at once: 16, all that may be on their way.
    pub parts_max: u16,
    /// Staged files kept open at once: 256, a quarter of the usual limit of 1024.
    pub open_files_max: u16,
    /// Journal bytes below which it is never compacted: 4 MiB, replayed in well under a second.
    pub journal_bytes_min: u64,
}

impl Default for StageSettings {
    fn default() -> Self {
        Self {
            staging_bytes_max: None,
            kept_bytes_max: None,
            room_patience: Duration::from_secs(10),
            room_wait: Duration::from_secs(600),
            host: "localhost".to_owned(),
            conflict: ConflictPolicy::default(),
            close_delay: Duration::from_millis(100),
            synced_delay: Duration::from_secs(5),
            fill_delay: Duration::from_secs(5),
            retry_delay: Duration::from_millis(500),
            retry_delay_max: Duration::from_secs(60),
            refused_delay: Duration::from_secs(30),
            failed_delay: Duration::from_secs(300),
            multipart_bytes_min: 8 << 20,
            part_bytes: 8 << 20,
            copy_part_bytes: 512 << 20,
            rewrite_bytes_max: 64 << 20,
            body_bytes_max: 176 << 20,
            requests_max: 64,
            part_requests_max: 16,
            large_files_max: 4,
            parts_max: 16,
            open_files_max: 256,
            journal_bytes_min: 4 << 20,
        }
    }
}
