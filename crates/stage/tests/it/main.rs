//! The stage over a bucket in memory, with time and faults in the test's hands.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod away;
mod beside;
mod conflicts;
mod dialects;
mod disk;
mod groups;
mod holds;
mod honesty;
mod kept;
mod large;
mod life;
mod lost;
mod metadata;
mod model;
mod person;
mod racing;
mod recovery;
mod refused;
mod removes;
mod renames;
mod room;
mod streams;
mod superseded;
mod tagged;
mod tags;
mod uploads;
mod waiting;
mod world;
