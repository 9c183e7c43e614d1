//! What settings may be, beside their form.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{ALL, Settings, Span};
use crate::{Error, Result};

/// Requests at once, at most: more than any server gives one client its full speed for.
const REQUESTS_MAX: u16 = 1024;

/// More are read before they are needed by a walk that a thousand requests cannot keep up with.
const FILES_AHEAD_MAX: u16 = 1024;

/// Two blocks of the largest kind for a reader and its read-ahead: less would fetch blocks twice.
pub(crate) const CACHE_MEMORY_MIN: u64 = 8 << 20;

/// A typing error, not a machine.
const CACHE_MEMORY_MAX: u64 = 1 << 40;

/// Two parts of a few files that are written at once: less would keep them from going out.
const STAGING_MIN: u64 = 64 << 20;

/// A typing error, not a disk.
const STAGING_MAX: u64 = 1 << 50;

/// Room for some batches of blocks, each of which must fit beside what is kept.
const DISK_CACHE_MIN: u64 = 4 << 20;

/// A typing error, not a disk.
const DISK_CACHE_MAX: u64 = 1 << 50;

/// Room for the notes of some folders of a usual size.
const ATTRIBUTE_INDEX_MIN: u64 = 1 << 20;

/// What is older than an hour is stale, not cached.
const TTL_MAX: Duration = Duration::from_secs(3600);

/// More often costs more than a time to live that is short; more seldom than a day finds nothing that matters.
const WATCH: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);

impl Settings {
    /// What the types do not say.
    ///
    /// # Errors
    /// The name of the setting that is out of range, and what to write.
    pub(crate) fn check(&self) -> Result<()> {
        let requests = 1..=REQUESTS_MAX;
        let is_address = |text: &str| text.starts_with("https://") || text.starts_with("http://");
        let is_fresh = |ttl: Option<Span>| ttl.is_none_or(|ttl| ttl.0 <= TTL_MAX);
        let checks = [
            ("uploads", requests.contains(&self.uploads)),
            ("downloads", requests.contains(&self.downloads)),
            ("files-ahead", self.files_ahead <= FILES_AHEAD_MAX),
            (
                "cache-memory",
                (self.cache_memory)
                    .is_none_or(|size| (CACHE_MEMORY_MIN..=CACHE_MEMORY_MAX).contains(&size.0)),
            ),
            (
                "staging-limit",
                (self.staging_limit)
                    .is_none_or(|limit| (STAGING_MIN..=STAGING_MAX).contains(&limit.0)),
            ),
            (
                "kept-limit",
                (self.kept_limit).is_none_or(|limit| limit.0 <= STAGING_MAX),
            ),
            (
                "disk-cache-size",
                (DISK_CACHE_MIN..=DISK_CACHE_MAX).contains(&self.disk_cache_size.0),
            ),
            (
                "attribute-index-size",
                self.attribute_index_size.0 == 0
                    || (ATTRIBUTE_INDEX_MIN..=DISK_CACHE_MAX)
                        .contains(&self.attribute_index_size.0),
            ),
            ("ttl", is_fresh(Some(self.ttl))),
            ("attr-ttl", is_fresh(self.attr_ttl)),
            ("entry-ttl", is_fresh(self.entry_ttl)),
            ("negative-ttl", is_fresh(self.negative_ttl)),
            ("listing-ttl", is_fresh(self.listing_ttl)),
            (
                "watch-interval",
                self.watch_interval.0.is_zero() || WATCH.contains(&self.watch_interval.0),
            ),
            ("endpoint", self.endpoint.as_deref().is_none_or(is_address)),
        ];
        for (name, is_right) in checks {
            if !is_right {
                let form = ALL.iter().find(|(known, ..)| *known == name);
                let form = form.map_or("", |(_, _, form)| form);
                return Err(Error::new(format!("setting {name} is out of range"))
                    .or(format!("write {form}")));
            }
        }
        Ok(())
    }

    /// Refuses settings that contradict each other.
    ///
    /// # Errors
    /// What contradicts, and what to write.
    pub(crate) fn agree(&self) -> Result<()> {
        if self.passthrough && !(self.read_only && self.disk_cache.is_some()) {
            let what = "passthrough is for files of a disk cache that nobody here can write";
            let remedy = "give --disk-cache and --read-only with it, or leave it out";
            return Err(Error::new(what).or(remedy));
        }
        Ok(())
    }
}
