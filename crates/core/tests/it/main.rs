//! The core over a bucket in memory: all laws of the conformance suite, random operations against
//! the reference model, and what each operation costs in requests.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod attributes;
mod beside;
mod bucket;
mod copies;
mod costs;
mod costs_table;
#[cfg(test)]
mod dialects;
mod doubts;
mod feeds;
mod found;
mod fuzzed;
mod gone;
mod late;
mod laws;
mod list_ahead;
mod litter;
mod looked;
mod manifests;
mod markers;
mod model;
mod never_index;
mod overtaken;
mod page_cache;
mod pages;
mod recovered;
mod remembered;
mod stalls;
mod syncs;
mod ttl;
mod upload_state;
mod uploads;
mod walks;
mod whole;
mod world;
