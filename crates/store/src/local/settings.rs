//! Settings of the store in a local folder.

/// What survives once a write is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Durability {
    /// The end of this process, however sudden: the bytes are with the kernel. What a power cut may
    /// lose is what any program that does not call `fsync` loses. This is the default because the
    /// caller above keeps its own journal, and because a flush may take a hundred times as long.
    #[default]
    Process,
    /// A power cut: content, metadata and folders are flushed before the answer.
    Machine,
}

/// Where metadata lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum MetadataPlace {
    /// In the extended attribute `user.cloudmount.meta` of each file and folder if the filesystem
    /// has such attributes, else as with [`Self::Sidecar`].
    #[default]
    Auto,
    /// In files of their own under `.cloudmount/meta/`: for folders that are copied by tools that
    /// lose attributes.
    Sidecar,
}

/// How a [`LocalStore`](super::LocalStore) works.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LocalSettings {
    /// What survives once a write is answered.
    pub durability: Durability,
    /// Where metadata lie.
    pub metadata: MetadataPlace,
}
