//! What an endpoint can do. Presets and probes fill it in; nothing trusts a default blindly.

/// How far the word of a store can be trusted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trust {
    /// It does what it says: it was written for that, or is documented to.
    Exact,
    /// It is what such stores should do. This one may answer with success and do something else:
    /// [`probe`](crate::probe::probe) finds that out.
    Claimed,
}

/// What a store supports and how large things may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capabilities {
    /// How far the rest of this can be trusted.
    pub trust: Trust,
    /// `put` and `multipart_complete` check [`Precondition::Absent`](crate::Precondition).
    pub put_if_absent: bool,
    /// `put` and `multipart_complete` check [`Precondition::Matches`](crate::Precondition).
    pub put_if_match: bool,
    /// `copy` checks a precondition on its target.
    pub copy_if: bool,
    /// `delete_if` works.
    pub delete_if: bool,
    /// `multipart_copy_part` works.
    pub part_copy: bool,
    /// Objects whose key ends in `/` can be stored, with metadata.
    pub folder_markers: bool,
    /// User metadata are kept.
    pub user_metadata: bool,
    /// Objects may have tags: `tags` reads them, `put` and `multipart_start` take them.
    pub tags: bool,
    /// Smallest part but the last, in bytes.
    pub part_bytes_min: u64,
    /// Largest part and largest single put, in bytes.
    pub part_bytes_max: u64,
    /// All parts of an upload but the last must be equally long.
    pub parts_equal: bool,
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
    /// "`DeleteObjects`", "Conditional requests", "How to perform conditional deletes"; read 2026-11).
    pub const S3: Self = Self {
        trust: Trust::Claimed,
        put_if_absent: true,
        put_if_match: true,
        copy_if: false,
        delete_if: true,
        part_copy: true,
        folder_markers: true,
        user_metadata: true,
        tags: true,
        part_bytes_min: 5 << 20,
        part_bytes_max: 5 << 30,
        parts_equal: false,
        parts_max: 10_000,
        copy_bytes_max: 5 << 30,
        object_bytes_max: 5 << 40,
        delete_keys_max: 1000,
    };
}
