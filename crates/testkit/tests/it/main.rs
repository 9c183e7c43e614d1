//! The harness on itself: the model keeps every law, every flaw of it is found, and what is found
//! is told so that it can be used.

mod flaws;
mod list;
mod model;
mod ops;
mod transcript;
