//! Sizes for people.

/// As `12 B`, `3.4 KiB`, `120 MiB`.
pub(crate) fn human(bytes: u64) -> String {
    cloudmount::ByteSize(bytes).to_string()
}
