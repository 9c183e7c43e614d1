//! Layers: each is a [`Store`](crate::Store) over a `Store`, for one concern.
//!
//! Law: a layer adds its concern and changes nothing else. Every layer passes the same conformance
//! suite as the store below it, [`Fault`] too while it has no fault to inject.
//!
//! From the outside in: [`Prefix`], [`Retry`], [`Limit`], [`Link`], [`Meter`], the backend. So a wait before
//! the next try holds no place in flight, and each try is counted.

mod fault;
mod limit;
mod link;
mod meter;
mod operation;
mod prefix;
mod retry;
mod rng;

pub use fault::{Effect, Fault, FaultPlan, FaultRates, FaultRule};
pub use limit::{Limit, LimitSettings};
pub use link::{Link, LinkState, LinkStatus};
pub use meter::{Latency, Meter, MeterSnapshot, OperationSnapshot};
pub use operation::{Operation, PriceClass};
pub use prefix::{Prefix, PrefixError};
pub use retry::{OutcomeUnknown, Retry, RetrySettings};
