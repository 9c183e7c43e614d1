//! The program `cloudmount` on real kernel mounts: as a person meets it, by its output and its exit
//! codes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![cfg(target_os = "linux")]

mod commands;
mod copies;
mod daemon;
mod descriptors;
mod disk_cache;
mod doctor;
mod ends;
mod expiry;
mod flags;
#[cfg(feature = "keyring")]
mod keychain;
mod life;
mod mistakes;
mod network;
mod passthrough;
mod room;
mod secrets;
mod server;
mod service;
mod uploads;
mod world;
