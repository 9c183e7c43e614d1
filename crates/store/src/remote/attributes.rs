//! Metadata as `object_store` has it.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use cloudmount_vfs::Timestamp;
use object_store::{Attribute, Attributes};

use super::MetadataNames;
use crate::wire::{metadata_from_wire, metadata_to_wire, version};
use crate::{Error, ErrorKind, Metadata, ObjectMeta, Result, Tags};

/// The attributes that carry `metadata`.
pub(super) fn attributes(metadata: &Metadata, names: MetadataNames) -> Attributes {
    let standard = [
        (Attribute::ContentType, &metadata.content_type),
        (Attribute::CacheControl, &metadata.cache_control),
        (Attribute::ContentDisposition, &metadata.content_disposition),
        (Attribute::ContentEncoding, &metadata.content_encoding),
        (Attribute::ContentLanguage, &metadata.content_language),
    ];
    let standard = standard
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.clone()?)));
    let user = metadata.user.iter().map(|(name, value)| {
        let name = Attribute::Metadata(Cow::Owned(spell(name, names)));
        (name, metadata_to_wire(value))
    });
    standard.chain(user).collect()
}

/// What a look at an object tells. Without an `ETag` nobody could tell one content from the next.
pub(super) fn object_meta(
    meta: &object_store::ObjectMeta,
    attributes: &Attributes,
    names: MetadataNames,
) -> Result<ObjectMeta> {
    let tag = meta.e_tag.as_deref().ok_or_else(|| {
        let context = format!(
            "look at {:?}: this store tells no ETag",
            meta.location.as_ref()
        );
        Error::new(ErrorKind::Io, context)
    })?;
    let text = |name| attributes.get(&name).map(|value| value.as_ref().to_owned());
    let user = attributes.iter().filter_map(|(name, value)| match name {
        Attribute::Metadata(name) => Some((read(name, names), metadata_from_wire(value))),
        _ => None,
    });
    Ok(ObjectMeta {
        size: meta.size,
        version: version(tag),
        modified: timestamp(meta.last_modified),
        metadata: Metadata {
            content_type: text(Attribute::ContentType),
            cache_control: text(Attribute::CacheControl),
            content_disposition: text(Attribute::ContentDisposition),
            content_encoding: text(Attribute::ContentEncoding),
            content_language: text(Attribute::ContentLanguage),
            expires: None,
            tags: Tags::None,
            user: user.collect(),
        },
    })
}

pub(super) fn timestamp(time: DateTime<Utc>) -> Timestamp {
    Timestamp::new(time.timestamp(), time.timestamp_subsec_nanos())
}

fn spell(name: &str, names: MetadataNames) -> String {
    match names {
        MetadataNames::Plain => name.to_owned(),
        MetadataNames::Identifiers => {
            let escaped = name.replace('_', "__");
            escaped.replace('-', "_m").replace('.', "_d")
        }
    }
}

/// Undoes [`spell`]; a name that it cannot have written is left alone.
fn read(name: &str, names: MetadataNames) -> String {
    if names == MetadataNames::Plain {
        return name.to_owned();
    }
    let mut out = String::with_capacity(name.len());
    let mut rest = name.chars();
    while let Some(c) = rest.next() {
        match (c, if c == '_' { rest.next() } else { None }) {
            ('_', Some('_')) => out.push('_'),
            ('_', Some('m')) => out.push('-'),
            ('_', Some('d')) => out.push('.'),
            ('_', _) => return name.to_owned(),
            (other, _) => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn identifiers() {
        for (name, wire) in [
            ("mtime", "mtime"),
            ("file-mtime", "file_mmtime"),
            ("a_b.c", "a__b_dc"),
        ] {
            assert_eq!(spell(name, MetadataNames::Identifiers), wire);
            assert_eq!(read(wire, MetadataNames::Identifiers), name);
        }
        for foreign in ["a_b", "a_"] {
            assert_eq!(read(foreign, MetadataNames::Identifiers), foreign);
        }
    }

    proptest! {
        #[test]
        fn names_round_trip(name in "[a-z_.-]{0,12}") {
            for names in [MetadataNames::Plain, MetadataNames::Identifiers] {
                prop_assert_eq!(read(&spell(&name, names), names), name.clone());
            }
        }
    }
}
