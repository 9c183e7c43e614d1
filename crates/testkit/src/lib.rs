//! To come.
pub mod store_suite;
