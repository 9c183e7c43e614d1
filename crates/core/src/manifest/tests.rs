//! The form of manifests: what is written is read again, and nothing else is.

use proptest::prelude::*;

use super::*;
use cloudmount_store::Tags;

fn known() -> impl Strategy<Value = Known> {
    let metadata = (
        prop::option::of(".{0,8}"),
        prop::collection::btree_map("[a-z-]{1,12}", ".{0,12}", 0..4),
        0_u16..3,
    );
    let binding = (".{1,12}", 0_u64..9, -3_i64..9, 0_u32..2);
    let target = prop::option::of(prop::collection::vec(any::<u8>(), 1..9));
    (metadata, binding, target).prop_map(|(metadata, binding, target)| {
        let (content_type, user, tags) = metadata;
        let (version, size, secs, nanos) = binding;
        Known {
            binding: Binding {
                version: Version::new(version),
                size,
                modified: Timestamp::new(secs, nanos),
            },
            metadata: Metadata {
                expires: content_type.clone(),
                content_type,
                tags: if tags == 0 {
                    Tags::None
                } else {
                    Tags::Unread(tags)
                },
                user,
                ..Metadata::default()
            },
            target: target.map(Bytes::from),
        }
    })
}

fn manifest() -> impl Strategy<Value = Manifest> {
    let entries = prop::collection::btree_map("[^/]{1,8}", known(), 0..8);
    entries.prop_map(|entries| Manifest { entries })
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(manifest in manifest()) {
        let bytes = encode(&manifest, BYTES_MAX);
        prop_assert_eq!(decode(&bytes), Ok(manifest));
    }

    #[test]
    fn what_is_added_is_what_was_missing(
        ours in manifest(), before in manifest(), wanted in prop::collection::btree_set("[^/]{1,8}", 0..8),
    ) {
        let is_wanted = |part: &str| wanted.contains(part) || part.len().is_multiple_of(2);
        let mut all = ours.clone();
        let outcome = all.add_missing(before.clone(), is_wanted);
        prop_assert_eq!(outcome == Outcome::Same, all == before);
        let mut expected = before.entries;
        expected.retain(|part, _| is_wanted(part));
        expected.extend(ours.entries);
        prop_assert_eq!(all.entries, expected);
    }

    #[test]
    fn what_has_room_is_kept_and_no_more_is_written(manifest in manifest(), bytes_max in 0_usize..2000) {
        let bytes = encode(&manifest, bytes_max);
        prop_assert!(bytes.len() <= bytes_max.max(200), "{} bytes", bytes.len());
        let kept = decode(&bytes).unwrap();
        let count = kept.entries.len();
        let first = manifest.entries.into_iter().take(count);
        prop_assert_eq!(kept.entries, first.collect::<BTreeMap<_, _>>());
    }

    #[test]
    fn no_damage_is_missed(manifest in manifest(), at: prop::sample::Index, bit in 0..8, cut: prop::sample::Index) {
        let bytes = encode(&manifest, BYTES_MAX);
        let mut damaged = bytes.clone();
        damaged[at.index(bytes.len())] ^= 1_u8 << bit;
        // A digit of the head may become one of a newer format, and a letter of a name of a field another one.
        prop_assert!(decode(&damaged).is_err());
        prop_assert!(decode(&bytes[..cut.index(bytes.len())]).is_err());
    }

    #[test]
    fn any_bytes_are_borne(head in "\\PC{0,40}", bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut all = head.into_bytes();
        all.extend(bytes);
        prop_assert!(decode(&all).is_err());
    }
}

#[test]
fn what_is_wrong_within_a_right_frame_is_found() {
    let line = |name: &str| format!("{{\"n\":\"{name}\",\"v\":\"1\",\"s\":1,\"t\":[1,0]}}\n");
    let check =
        |lines: String, entries: usize| decode(&format::framed(lines.into_bytes(), entries)).err();
    let damaged = Some(Unreadable::Damaged);
    assert_eq!(check(line("a") + &line("b"), 2), None);
    assert_eq!(check(String::new(), 0), None);
    assert_eq!(check(line("b") + &line("a"), 2), damaged, "out of order");
    assert_eq!(check(line("a") + &line("a"), 2), damaged, "twice");
    assert_eq!(check(line("a"), 2), damaged, "too few");
    assert_eq!(check(line("a") + &line("b"), 1), damaged, "too many");
    assert_eq!(check(line(""), 1), damaged, "no name");
    assert_eq!(check(line("a/b"), 1), damaged, "a path");
    assert_eq!(check("\n".repeat(3), 1), damaged);
    let nanos = "{\"n\":\"a\",\"v\":\"1\",\"s\":1,\"t\":[1,1000000000]}\n";
    assert_eq!(check(nanos.to_owned(), 1), damaged);
    let deep = format!("{{\"n\":\"a\",\"x\":{}\n", "[".repeat(100_000));
    assert_eq!(check(deep, 1), damaged);
    assert_eq!(
        check(line("a"), ENTRIES_MAX + 1),
        Some(Unreadable::TooLarge)
    );
    let more = "{\"n\":\"a\",\"v\":\"1\",\"s\":1,\"t\":[1,0],\"new\":[1]}\n";
    assert_eq!(check(more.to_owned(), 1), None, "a field that is new");
}

#[test]
fn newer_ones_and_others_are_told_apart() {
    let newer = b"{\"cloudmount-manifest\":2,\"anything\":true}\nanything".as_slice();
    assert_eq!(decode(newer), Err(Unreadable::Newer));
    for foreign in [&b""[..], b"\n", b"hello\n", b"{}\n", b"{\"entries\":1}\n"] {
        assert_eq!(decode(foreign), Err(Unreadable::Foreign));
    }
    let long = vec![b' '; BYTES_MAX + 1];
    assert_eq!(decode(&long), Err(Unreadable::TooLarge));
}

#[test]
fn what_is_bound_to_another_object_does_not_count() {
    let binding = |version: &str, size, secs, nanos| Binding {
        version: Version::new(version),
        size,
        modified: Timestamp::new(secs, nanos),
    };
    let check = |other: Binding, expected: bool| {
        let one = binding("v", 5, 100, 7);
        assert_eq!(one.is_same(&other), expected, "{other:?}");
        assert_eq!(other.is_same(&one), expected, "{other:?}");
    };
    check(binding("v", 5, 100, 7), true);
    check(binding("v", 5, 100, 0), true);
    check(binding("v", 5, 100, 8), false);
    check(binding("v", 5, 101, 0), false);
    check(binding("w", 5, 100, 7), false);
    check(binding("v", 6, 100, 7), false);
    let nothing = binding("", 5, 100, 7);
    assert!(!nothing.is_same(&nothing), "no version says nothing");
}
