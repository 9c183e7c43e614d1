//! Tests of the module `plan`.

use cloudmount_store::Version;
use proptest::prelude::*;

use super::*;
use crate::Base;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn base(text: &str, size: u64) -> Base {
    Base {
        key: key(text),
        version: Version::new("v"),
        size,
    }
}

fn planned(
    content: &Content,
    metadata: MetadataState,
    base: BaseUse,
    capabilities: &Capabilities,
) -> Result<UploadPlan, TooLarge> {
    plan(&PlanInput {
        key: &key("k"),
        content,
        metadata,
        base,
        capabilities,
        settings: &StageSettings::default(),
    })
}

fn new_file(size: u64) -> Content {
    let mut content = Content::new(None);
    if size > 0 {
        content.wrote(0..size);
    }
    content
}

#[test]
fn sizes_of_new_files() {
    let check = |size, expected| {
        let content = new_file(size);
        let found = planned(
            &content,
            MetadataState::Changed,
            BaseUse::Copy,
            &Capabilities::S3,
        );
        assert_eq!(found, expected, "{size} bytes");
    };
    let parts = |part_bytes, parts| Ok(UploadPlan::Multipart { part_bytes, parts });
    check(0, Ok(UploadPlan::Put));
    check(8 * MIB - 1, Ok(UploadPlan::Put));
    check(8 * MIB, parts(8 * MIB, 1));
    check(GIB, parts(8 * MIB, 128));
    check(80_000 * MIB, parts(8 * MIB, 10_000));
    check(80_000 * MIB + 1, parts(9 * MIB, 8889));
    check(5 << 40, parts(525 * MIB, 9987));
    check((5 << 40) + 1, Err(TooLarge));
}

#[test]
fn unchanged_content_is_not_sent() {
    let whole = |at: &str, size| Content::new(Some(base(at, size)));
    let check = |content: &Content, metadata, use_, capabilities: &Capabilities, expected| {
        assert_eq!(planned(content, metadata, use_, capabilities), Ok(expected));
    };
    let s3 = Capabilities::S3;
    let (changed, committed) = (MetadataState::Changed, MetadataState::Committed);
    check(
        &whole("k", GIB),
        committed,
        BaseUse::Copy,
        &s3,
        UploadPlan::Nothing,
    );
    check(
        &whole("k", GIB),
        changed,
        BaseUse::Copy,
        &s3,
        UploadPlan::Metadata,
    );
    check(
        &whole("old", GIB),
        changed,
        BaseUse::Copy,
        &s3,
        UploadPlan::ServerCopy,
    );
    check(
        &whole("old", MIB),
        changed,
        BaseUse::Read,
        &s3,
        UploadPlan::Put,
    );
    let copied = UploadPlan::Multipart {
        part_bytes: 512 * MIB,
        parts: 20,
    };
    check(&whole("old", 10 * GIB), changed, BaseUse::Copy, &s3, copied);
    let read = UploadPlan::Multipart {
        part_bytes: 8 * MIB,
        parts: 1280,
    };
    check(
        &whole("old", 10 * GIB),
        changed,
        BaseUse::Read,
        &s3,
        read.clone(),
    );
    let no_copy = Capabilities {
        part_copy: false,
        ..s3
    };
    check(
        &whole("old", 10 * GIB),
        changed,
        BaseUse::Copy,
        &no_copy,
        read,
    );
}

#[test]
fn a_small_change_of_a_large_object_sends_one_part() {
    let mut content = Content::new(Some(base("k", GIB)));
    content.wrote(100 * MIB..100 * MIB + 4096);
    let Ok(UploadPlan::Multipart { part_bytes, parts }) = planned(
        &content,
        MetadataState::Changed,
        BaseUse::Copy,
        &Capabilities::S3,
    ) else {
        panic!("not in parts");
    };
    let sources: Vec<_> = (0..parts)
        .map(|index| {
            let range = Layout::equal(part_bytes).range(index, GIB);
            part_source(&content, &range, BaseUse::Copy, &Capabilities::S3)
        })
        .collect();
    let sent = sources
        .iter()
        .filter(|source| **source != PartSource::BaseCopy)
        .count();
    assert_eq!((sources.len(), sent), (128, 1));
    assert_eq!(sources[12], PartSource::Mixed);
}

fn capabilities() -> impl Strategy<Value = Capabilities> {
    (0..3_u64, 5..9_u64, 1..2000_u16, any::<bool>()).prop_map(|(min, max, parts_max, part_copy)| {
        Capabilities {
            part_bytes_min: min * 3 * MIB,
            part_bytes_max: max * 64 * MIB,
            parts_max,
            part_copy,
            ..Capabilities::S3
        }
    })
}

proptest! {
    #[test]
    fn parts_tile_the_file(
        size in prop_oneof![0..64 * MIB, 0..(6_u64 << 40)],
        base_size in 0..(64 * MIB),
        writes in prop::collection::vec((0..64 * MIB, 1..9 * MIB), 0..5),
        capabilities in capabilities(),
        copy in any::<bool>(),
    ) {
        let mut content = Content::new(Some(base("old", base_size)));
        content.resized(size);
        for (start, length) in writes {
            if start < size {
                content.wrote(start..(start + length).min(size));
            }
        }
        let base_use = if copy { BaseUse::Copy } else { BaseUse::Read };
        match planned(&content, MetadataState::Changed, base_use, &capabilities) {
            Ok(UploadPlan::Multipart { part_bytes, parts }) => {
                prop_assert!(parts <= capabilities.parts_max && parts > 0);
                prop_assert!(part_bytes <= capabilities.part_bytes_max);
                prop_assert!(parts == 1 || part_bytes >= capabilities.part_bytes_min);
                let mut reached = 0;
                for index in 0..parts {
                    let range = Layout::equal(part_bytes).range(index, size);
                    prop_assert_eq!(range.start, reached);
                    prop_assert!(!range.is_empty());
                    reached = range.end;
                    match part_source(&content, &range, base_use, &capabilities) {
                        PartSource::BaseCopy => {
                            prop_assert!(capabilities.part_copy && copy);
                            prop_assert!(content.is_base(&range));
                        }
                        PartSource::Local => {
                            prop_assert!(content.missing_in(range).next().is_none());
                        }
                        PartSource::Mixed => {
                            prop_assert!(content.missing_in(range).next().is_some());
                        }
                    }
                }
                prop_assert_eq!(reached, size);
            }
            Ok(UploadPlan::Put) => prop_assert!(size <= capabilities.part_bytes_max),
            Ok(UploadPlan::ServerCopy) => prop_assert!(copy && content.is_whole_base()),
            Ok(other) => prop_assert!(false, "{other:?}"),
            Err(TooLarge) => {
                let parts = u64::from(capabilities.parts_max);
                // Part sizes go in whole MiB, so the last MiB of each part may be out of reach.
                let reach = parts * (capabilities.part_bytes_max - MIB);
                prop_assert!(size > reach || size > capabilities.object_bytes_max);
            }
        }
    }
}

#[test]
fn a_file_that_grows_has_equal_parts_where_it_must() {
    let settings = StageSettings::default();
    let mut capabilities = Capabilities::S3;
    let length = |layout: Layout, index| {
        let range = layout.whole(index);
        range.end - range.start
    };
    let growing = growing_layout(&settings, &capabilities);
    assert!(length(growing, 1000) > length(growing, 0));
    capabilities.parts_equal = true;
    let equal = growing_layout(&settings, &capabilities);
    for index in [0, 999, 1000, 9_999] {
        assert_eq!(length(equal, index), EQUAL_PART_BYTES, "{index}");
    }
    assert!(equal.whole(9_999).end > 300 << 30);
}
