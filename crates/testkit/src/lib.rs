//! The harness: test a filesystem that implements [`Vfs`](cloudmount_vfs::Vfs) without mounting it.
//!
//! | part | what it is |
//! |---|---|
//! | [`ManualClock`] | time that moves when a test says so |
//! | [`FakeKernel`] | plays the Linux kernel: paths, caches, lookup counts; asserts the protocol's laws |
//! | [`Model`] | the reference filesystem, obviously right; can be told to make one mistake |
//! | [`suite`], [`vfs_tests!`] | conformance: what a filesystem promises, one law a test |
//! | [`ops`] | random operations on two filesystems at once, whole trees compared after each |
//! | [`transcript`] | a script of steps, compared with its results and the store calls they made |
//! | [`LogStore`] | a store that writes down each call |
//! | [`LyingStore`] | a store that promises what it does not do |
//! | [`Dialect`], [`DialectStore`] | the ways of servers that somebody has met, in a store |
//! | [`S3Server`] | the same over HTTP on loopback, for the real client |
//! | [`store_suite`] | conformance of object stores |
//!
//! Faults of stores are in `cloudmount_store::layer`.
//!
//! # Testing a filesystem of one's own
//!
//! Say how to make it, and all laws become tests:
//!
//! ```
//! use std::sync::Arc;
//! use cloudmount_testkit::{ManualClock, World};
//! # use cloudmount_testkit::model::{Model as MyFs, Settings};
//!
//! struct MyWorld { vfs: Arc<MyFs>, clock: ManualClock }
//!
//! impl World for MyWorld {
//!     type Fs = MyFs;
//!     fn vfs(&self) -> Arc<MyFs> { Arc::clone(&self.vfs) }
//!     fn clock(&self) -> ManualClock { self.clock.clone() }
//! }
//!
//! async fn my_world() -> MyWorld {
//!     let clock = ManualClock::new();
//! #   let settings = Settings::default();
//!     MyWorld { vfs: Arc::new(MyFs::new(Arc::new(clock.clone()), settings)), clock }
//! }
//!
//! cloudmount_testkit::vfs_tests!(my_world, without: bucket, remount);
//! # cloudmount_testkit::suite::run(my_world, "a law", |m| {
//! #     Box::pin(cloudmount_testkit::suite::data::what_was_written_is_read(m))
//! # });
//! ```
//!
//! Or step by step:
//!
//! ```
//! # use std::sync::Arc;
//! # use cloudmount_testkit::{FakeKernel, ManualClock, Model};
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let clock = Arc::new(ManualClock::new());
//! let vfs = Arc::new(Model::new(clock.clone(), Default::default()));
//! let kernel = FakeKernel::new(vfs, clock).await?;
//! kernel.mkdir("/docs", 0o755).await?;
//! kernel.write_file("/docs/a", b"hello").await?;
//! kernel.rename("/docs/a", "/docs/b").await?;
//! assert_eq!(kernel.names("/docs").await?, ["b"]);
//! kernel.unmount().await?;
//! # Ok::<(), cloudmount_vfs::Error>(()) }).unwrap();
//! ```
//!
//! *Invariant:* this crate knows the contracts of filesystems and of stores, and no implementation
//! but its own model. It reads no clock of the machine and no environment.
pub mod store_suite;

mod clock;
pub mod dialect;
pub mod kernel;
mod linux;
mod log_store;
pub mod loopback;
mod lying_store;
pub mod model;
pub mod ops;
pub mod s3_server;
mod script;
pub mod suite;
pub mod transcript;
mod world;

pub use clock::ManualClock;
pub use dialect::{Dialect, DialectStore};
pub use kernel::FakeKernel;
pub use linux::linux_version;
pub use log_store::LogStore;
pub use lying_store::{Lie, LyingStore};
pub use model::Model;
pub use s3_server::S3Server;
pub use world::World;
