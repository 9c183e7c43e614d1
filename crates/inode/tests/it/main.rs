//! The table as its callers see it: each rule by example, and all of them against a model.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking, also in the functions that it calls"
)]

mod change;
mod kit;
mod listing;
mod lookup;
mod model;
mod random;
mod refs;
mod rename;
