//! The harness on itself: the model keeps every law, and every flaw of it is found.

mod model;
