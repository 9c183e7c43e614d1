//! The table as its callers see it: each rule by example, and all of them against a model.

mod change;
mod kit;
mod listing;
mod lookup;
mod model;
mod random;
mod refs;
mod rename;
