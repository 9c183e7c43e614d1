//! The cache as its users see it, over a source whose pace and faults the test decides.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, where a panic is the report"
)]

mod disk;
mod disk_attacks;
mod disk_model;
mod failures;
mod flights;
mod hedged;
mod hits;
mod local;
mod memory;
mod model;
mod sequential;
mod source;
mod strategies;
mod whole;
