//! What all benches share.
//!
//! Run one with `cargo bench -p cloudmount-benches --bench block_cache`, and all as a smoke test with
//! `cargo bench -p cloudmount-benches -- --test`. A figure means something only beside another one of
//! the same run: each group holds its floor, named `floor: …`, which does the part of the work that
//! no implementation can leave out.

pub mod strategies;

use std::time::Duration;

use criterion::Criterion;

/// Settings under which a bench file takes well under a minute on two slow cores.
#[must_use]
pub fn quick() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
        .without_plots()
        .configure_from_args()
}
