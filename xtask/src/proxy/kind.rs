//! What a request asks of an S3 server, by its method, its target and whether it names a source.
//!
//! Source: the S3 API reference, one page an operation. Addresses are in the path's style, as at every server
//! on loopback: `/BUCKET/KEY`.

use clap::ValueEnum;

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Kind {
    /// PutObject
    Put,
    /// GetObject
    Get,
    /// HeadObject, HeadBucket
    Head,
    /// ListObjectsV2, and the other lists
    List,
    /// DeleteObject
    Delete,
    /// DeleteObjects
    MultiDelete,
    /// CopyObject
    Copy,
    /// CreateMultipartUpload
    Create,
    /// UploadPart
    Part,
    /// UploadPartCopy
    PartCopy,
    /// CompleteMultipartUpload
    Complete,
    /// AbortMultipartUpload
    Abort,
    /// Anything else
    Other,
}

impl Kind {
    /// All of them, as they are numbered.
    pub(crate) const ALL: [Self; 13] = [
        Self::Put,
        Self::Get,
        Self::Head,
        Self::List,
        Self::Delete,
        Self::MultiDelete,
        Self::Copy,
        Self::Create,
        Self::Part,
        Self::PartCopy,
        Self::Complete,
        Self::Abort,
        Self::Other,
    ];

    /// What it is called in plans and figures.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Get => "get",
            Self::Head => "head",
            Self::List => "list",
            Self::Delete => "delete",
            Self::MultiDelete => "multi-delete",
            Self::Copy => "copy",
            Self::Create => "create",
            Self::Part => "part",
            Self::PartCopy => "part-copy",
            Self::Complete => "complete",
            Self::Abort => "abort",
            Self::Other => "other",
        }
    }

    /// The kind of a request. `target` is as it stands in the request line.
    pub(super) fn of(method: &str, target: &str, has_source: Source) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let names = |name: &str| {
            query
                .split('&')
                .any(|pair| pair.split('=').next() == Some(name))
        };
        let key = path
            .trim_start_matches('/')
            .split_once('/')
            .map_or("", |(_, key)| key);
        match (method, key.is_empty()) {
            ("HEAD", _) => Self::Head,
            ("GET", true) => Self::List,
            ("GET", false) if !names("uploadId") => Self::Get,
            ("POST", true) if names("delete") => Self::MultiDelete,
            ("POST", false) if names("uploads") => Self::Create,
            ("POST", false) if names("uploadId") => Self::Complete,
            ("DELETE", false) if names("uploadId") => Self::Abort,
            ("DELETE", false) => Self::Delete,
            ("PUT", false) => match (names("uploadId"), has_source) {
                (true, Source::Named) => Self::PartCopy,
                (true, Source::None) => Self::Part,
                (false, Source::Named) => Self::Copy,
                (false, Source::None) => Self::Put,
            },
            _ => Self::Other,
        }
    }
}

/// Whether a request has the header `x-amz-copy-source`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Named,
    None,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart() {
        let plain = [
            ("PUT", "/pail/a", Kind::Put),
            ("PUT", "/pail/a/", Kind::Put),
            ("PUT", "/pail", Kind::Other),
            ("PUT", "/pail/", Kind::Other),
            ("GET", "/pail/a/b?versionId=3", Kind::Get),
            ("GET", "/pail?list-type=2&prefix=a%2Fb", Kind::List),
            ("GET", "/pail/?list-type=2", Kind::List),
            ("HEAD", "/pail/a", Kind::Head),
            ("HEAD", "/pail", Kind::Head),
            ("DELETE", "/pail/a", Kind::Delete),
            ("DELETE", "/pail/a?uploadId=7", Kind::Abort),
            ("DELETE", "/pail", Kind::Other),
            ("POST", "/pail?delete", Kind::MultiDelete),
            ("POST", "/pail/?delete=", Kind::MultiDelete),
            ("POST", "/pail/a?uploads", Kind::Create),
            ("POST", "/pail/a?uploadId=7", Kind::Complete),
            ("PUT", "/pail/a?partNumber=1&uploadId=7", Kind::Part),
            ("GET", "/pail/a?uploadId=7", Kind::Other),
            // A key may look like a query's name.
            ("PUT", "/pail/uploadId", Kind::Put),
        ];
        for (method, target, kind) in plain {
            assert_eq!(Kind::of(method, target, Source::None), kind, "{target}");
        }
        assert_eq!(Kind::of("PUT", "/pail/a", Source::Named), Kind::Copy);
        let part = "/pail/a?uploadId=7&partNumber=1";
        assert_eq!(Kind::of("PUT", part, Source::Named), Kind::PartCopy);
    }

    #[test]
    fn kinds_are_numbered_as_they_stand_in_the_list() {
        for (at, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, at);
            let word = kind.to_possible_value().unwrap();
            assert_eq!(word.get_name(), kind.name());
        }
    }
}
