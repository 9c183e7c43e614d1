//! Object storage as a folder.
//!
//! [`CloudMount`] is a bucket (S3 and what speaks it, a local folder, memory) that is open as a
//! filesystem: use its files by path, hand its [`Vfs`](cloudmount_vfs::Vfs) to an adapter of your
//! own, or mount it.
//!
//! ```
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let files = cloudmount::CloudMount::builder("memory:").open().await?;
//! files.write("notes/today.txt", b"hello").await?;
//! assert_eq!(files.read("notes/today.txt").await?, "hello");
//! assert!(files.close().await.is_complete());
//! # Ok::<(), cloudmount::Error>(()) }).unwrap();
//! ```
//!
//! Laws: nothing here reads the environment by itself ([`Environment`] is handed in by the program);
//! settings are resolved once, and what is wrong with them is said with the name of the setting and
//! what to write instead; no secret is ever shown.

mod address;
mod attribute_index;
mod attributes;
mod builder;
mod clouds;
mod connection;
mod cost;
pub mod disk_cache;
pub mod doctor;
mod elsewhere;
mod environment;
mod error;
mod feeds;
mod files;
mod litter;
mod machine_memory;
#[cfg(all(feature = "fuse", target_os = "linux"))]
mod mounted;
mod profile;
mod recording;
mod session;
mod settings;
mod sign_in;
mod stack;
mod staging;
mod status;
mod units;
mod uploads;
mod webhook;

pub use attributes::{Attributes, ManifestUse};
pub use builder::Builder;
pub use connection::{Connection, ConnectionChanges, ConnectionState};
pub use cost::{Cost, Prices};
pub use elsewhere::Elsewhere;
pub use environment::Environment;
pub use error::{Error, Result};
pub use feeds::Feed;
pub use files::{Entry, File, Metadata};
pub use litter::{LitterNames, LitterPolicy};
#[cfg(all(feature = "fuse", target_os = "linux"))]
pub use mounted::{MountSettings, Mounted};
pub use recording::Recording;
pub use session::{Closed, CloudMount, Volume};
pub use settings::{
    AttributeDialect, CacheStrategy, ConflictPolicy, DirectGlobs, Durable, S3Dialect, Settings,
    UrlStyle, WriteCache,
};
pub use status::Status;
pub use units::{ByteSize, Octal, Span};
pub use uploads::{Dropped, Flushed};
pub use webhook::{Webhook, WebhookSettings};

pub use cloudmount_core::Core;
pub use cloudmount_core::feed::{ChangeFeed, ListPoller, News, Notices};
#[cfg(all(feature = "fuse", target_os = "linux"))]
pub use cloudmount_fuse as fuse;
pub use cloudmount_stage::Leftover;
#[cfg(feature = "failpoints")]
pub use cloudmount_stage::{FAILPOINTS, arm_failpoint};
pub use cloudmount_store::{Location, Provider};
#[cfg(feature = "keyring")]
pub use cloudmount_store::{Secret, keychain};
pub use {
    cloudmount_cache as cache, cloudmount_core as core, cloudmount_stage as stage,
    cloudmount_store as store, cloudmount_vfs as vfs,
};
