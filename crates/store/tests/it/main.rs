//! Integration tests of the stores.

// The attribute, always true here, tells clippy that what helps the tests is test code.
#[cfg(test)]
mod dialects;
#[cfg(test)]
mod expiry;
#[cfg(test)]
mod fuzzed;
#[cfg(test)]
mod layers;
#[cfg(test)]
#[cfg(unix)]
mod local;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod network;
#[cfg(test)]
mod probe;
#[cfg(test)]
mod reach;
#[cfg(test)]
mod remote;
#[cfg(test)]
mod renewed;
#[cfg(test)]
mod s3;
#[cfg(test)]
mod sources;
#[cfg(test)]
mod storms;
