//! What an endpoint can do. Presets and probes fill it in; nothing trusts a default blindly.

/// What a store supports and how large things may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capabilities {
    /// `put` and `multipart_complete` check [`Precondition::Absent`](crate::Precondition).
    pub put_if_absent: bool,
    /// `put` and `multipart_complete` check [`Precondition::Matches`](crate::Precondition).
    pub put_if_match: bool,
    /// `copy` checks a precondition on its target.
    pub copy_if: bool,
    /// `multipart_copy_part` works.
    pub part_copy: bool,
    /// Objects whose key ends in `/` can be stored, with metadata.
    pub folder_markers: bool,
    /// User metadata are kept.
    pub user_metadata: bool,
    /// Smallest part but the last, in bytes.
    pub part_bytes_min: u64,
    /// Largest part and largest single put, in bytes.
    pub part_bytes_max: u64,
    /// Most parts of one upload.
    pub parts_max: u16,
    /// Largest object that one `copy` takes, in bytes.
    pub copy_bytes_max: u64,
    /// Largest object, in bytes.
    pub object_bytes_max: u64,
    /// Most keys of one `delete` request.
    pub delete_keys_max: u16,
}

impl Capabilities {
    /// What Amazon documents for S3 ("Amazon S3 multipart upload limits", "`CopyObject`",
    /// "`DeleteObjects`", "Conditional requests"; read 2026-11).
    pub const S3: Self = Self {
        put_if_absent: true,
        put_if_match: true,
        copy_if: false,
        part_copy: true,
        folder_markers: true,
        user_metadata: true,
        part_bytes_min: 5 << 20,
        part_bytes_max: 5 << 30,
        parts_max: 10_000,
        copy_bytes_max: 5 << 30,
        object_bytes_max: 5 << 40,
        delete_keys_max: 1000,
    };
}
