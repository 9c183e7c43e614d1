//! Object stores: the trait [`Store`], its backends, and layers that are a `Store` over a `Store`.
//!
//! Laws: keys are raw UTF-8 and never normalised; a listing shows every key; a precondition that
//! the backend cannot check is refused as [`ErrorKind::Unsupported`], never ignored silently.
//!
//! *Invariant:* this crate knows no inode, no path component, no file handle. It is the only crate
//! that sees the crate `object_store`.

mod capabilities;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod key;
pub mod layer;
mod list_all;
#[cfg(unix)]
pub mod local;
mod memory;
mod meta;
mod open;
mod options;
mod position;
pub mod probe;
pub mod reach;
mod remote;
mod rules;
mod s3;
mod store;
mod url;
mod wire;

pub use capabilities::{Capabilities, Trust};
pub use error::{Error, ErrorKind, Result};
pub use key::{Key, KeyError};
pub use list_all::{Ask, Batch, Extent, ListPages};
#[cfg(unix)]
pub use local::{Durability, LocalSettings, LocalStore, MetadataPlace};
pub use memory::MemoryStore;
pub use meta::{Metadata, ObjectMeta, Tags, Version};
pub use open::{OpenSettings, open};
pub use options::{
    CopyMetadata, CopyOptions, CopySource, GetOptions, ListPage, ListRequest, ListedObject,
    ListedUpload, PartTag, Payload, Precondition, PutOptions, Removal, UploadId, UploadsPage,
};
pub use remote::{
    AzureCredentials, AzureSettings, Conditions, GcsCredentials, GcsSettings, MetadataNames, Remote,
};
#[cfg(feature = "keyring")]
pub use s3::keychain;
pub use s3::{PathStyle, Provider, Role, S3Credentials, S3Settings, S3Store, Secret, SignedIn};
pub use store::{ByteStream, GetResult, Store, StoreExt};
pub use url::Location;

/// The crate whose stores [`Remote`] adapts, in the version that it takes.
pub use object_store;
