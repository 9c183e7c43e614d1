//! Every dialect, as its own program writes it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use proptest::prelude::*;

use super::*;
use crate::upload_state::UPLOAD;

fn metadata(user: &[(&str, &str)]) -> Metadata {
    let pair = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
    Metadata {
        user: user.iter().map(pair).collect(),
        ..Metadata::default()
    }
}

fn xattrs(pairs: &[(&str, &str)]) -> Xattrs {
    let pair =
        |&(name, value): &(&str, &str)| (name.to_owned(), Bytes::copy_from_slice(value.as_bytes()));
    pairs.iter().map(pair).collect()
}

const NO_XATTRS: &Xattrs = &BTreeMap::new();

fn file(mode: u32, mtime: Timestamp) -> ToStore<'static> {
    ToStore {
        kind: NodeKind::File,
        permissions: Permissions::from_mode(mode),
        uid: 1000,
        gid: 1001,
        mtime,
        atime: None,
        xattrs: NO_XATTRS,
    }
}

/// What s3fs 1.90 has written for `chmod 751`, `chown 1000:1001`, `touch` and `setfattr`.
const BY_S3FS: &[(&str, &str)] = &[
    ("atime", "981173106.000000007"),
    ("ctime", "1795269197"),
    ("gid", "1001"),
    ("mode", "33257"),
    ("mtime", "981173106.000000007"),
    ("uid", "1000"),
    ("xattr", "%7B%22user.a%22%3A%22eHl6%22%7D"),
];

/// What `rclone copyto --metadata` has written for the same.
const BY_RCLONE: &[(&str, &str)] = &[
    ("a", "xyz"),
    ("atime", "2001-02-03T04:05:06.000000007Z"),
    ("btime", "2026-11-21T13:53:04.342788697Z"),
    ("gid", "1001"),
    ("mode", "100751"),
    ("mtime", "981173106.000000007"),
    ("uid", "1000"),
];

const BY_AWS: &[(&str, &str)] = &[
    ("file-permissions", "0100751"),
    ("file-owner", "1000"),
    ("file-group", "1001"),
    ("file-mtime", "981173106000000007ns"),
    ("file-atime", "981173106000000007ns"),
];

#[test]
fn each_program_is_understood() {
    let time = Some(Timestamp::new(981_173_106, 7));
    let expected = Stored {
        kind: Some(NodeKind::File),
        permissions: Some(Permissions::from_mode(0o751)),
        uid: Some(1000),
        gid: Some(1001),
        mtime: time,
        atime: time,
        xattrs: Xattrs::new(),
    };
    assert_eq!(read(&metadata(BY_AWS)), expected);
    assert_eq!(read(&metadata(BY_RCLONE)), expected);
    let with_xattr = Stored {
        xattrs: xattrs(&[("user.a", "xyz")]),
        ..expected
    };
    assert_eq!(read(&metadata(BY_S3FS)), with_xattr);

    let of_google = read(&metadata(&[
        ("goog-reserved-posix-mode", "751"),
        ("goog-reserved-posix-uid", "1000"),
        ("goog-reserved-file-mtime", "981173106"),
        ("gcsfuse_mtime", "2001-02-03T04:05:06.5Z"),
    ]));
    let said = (
        of_google.kind,
        of_google.permissions,
        of_google.uid,
        of_google.mtime,
    );
    let half = Timestamp::new(981_173_106, 0);
    assert_eq!(said, (None, expected_permissions(), Some(1000), Some(half)));
    let of_s3sync = read(&metadata(&[
        ("permissions", "489"),
        ("owner", "3"),
        ("group", "4"),
    ]));
    let said = (of_s3sync.permissions, of_s3sync.uid, of_s3sync.gid);
    assert_eq!(said, (expected_permissions(), Some(3), Some(4)));
}

/// `owner`, `group` and `permissions` are words that anybody may use for anything.
#[test]
fn common_words_count_only_together_and_where_nobody_else_speaks() {
    let all = [("permissions", "489"), ("owner", "3"), ("group", "4")];
    let said = |extra: &[(&str, &str)], left_out: &str| {
        let rest = all.iter().filter(|(name, _)| *name != left_out);
        let said: Vec<_> = rest.chain(extra).copied().collect();
        let read = read(&metadata(&said));
        (read.permissions, read.uid, read.gid)
    };
    for (name, _) in all {
        assert_eq!(said(&[], name), (None, None, None), "without {name}");
        assert_eq!(
            said(&[(name, "rw")], name),
            (None, None, None),
            "{name}: rw"
        );
    }
    let another = said(&[("file-owner", "7"), ("mtime", "5")], "");
    assert_eq!(another, (expected_permissions(), Some(7), Some(4)));

    // What is not meant so stays; what is says what is set here.
    for (theirs, expected) in [("alice", "alice"), ("3", "1000")] {
        let mut both = metadata(&[("permissions", "489"), ("owner", theirs), ("group", "4")]);
        write(&mut both, &file(0o604, Timestamp::new(1, 2)), Dialect::Aws).unwrap();
        assert_eq!(both.user["owner"], expected);
        assert_eq!(both.user["group"] == "4", theirs == "alice");
    }
}

const fn expected_permissions() -> Option<Permissions> {
    Some(Permissions::from_mode(0o751))
}

#[test]
fn modes_in_decimal_and_in_octal_are_told_apart() {
    for kind in [0o100_000, 0o040_000, 0o120_000] {
        for permissions in 0..0o1000 {
            let mode: u32 = kind | permissions;
            for text in [mode.to_string(), format!("{mode:o}"), format!("{mode:07o}")] {
                let read = read(&metadata(&[("mode", &text)]));
                assert_eq!(read.kind, ways::kind_of_mode(mode), "{text}");
                assert_eq!(
                    read.permissions,
                    Some(Permissions::from_mode(permissions)),
                    "{text}"
                );
            }
        }
    }
    for text in ["", "x", "-1", "99999999999"] {
        assert_eq!(
            read(&metadata(&[("mode", text)])).permissions,
            None,
            "{text}"
        );
    }
}

#[test]
fn who_wrote_last_in_his_way_only_is_believed() {
    let time = Timestamp::new(1_000, 500);
    let mut both = metadata(BY_S3FS);
    write(&mut both, &file(0o604, time), Dialect::Aws).unwrap();
    let ours = read(&both);
    assert_eq!(ours.permissions, Some(Permissions::from_mode(0o604)));
    assert_eq!(ours.mtime, Some(time));
    // What `chmod` and `touch` through s3fs do to such an object.
    both.user.insert("mode".to_owned(), "33152".to_owned());
    both.user
        .insert("mtime".to_owned(), "1044245106.700000000".to_owned());
    let theirs = read(&both);
    assert_eq!(theirs.permissions, Some(Permissions::from_mode(0o600)));
    assert_eq!(
        theirs.mtime,
        Some(Timestamp::new(1_044_245_106, 700_000_000))
    );
    assert_eq!((theirs.uid, theirs.gid), (Some(1000), Some(1001)));
}

#[test]
fn what_is_written_is_said_in_every_way_that_was_there_and_in_its_form() {
    let before = Timestamp::new(-1, 750_000_000);
    for others in [BY_S3FS, BY_RCLONE] {
        let mut all = metadata(others);
        let mut attributes = file(0o640, before);
        attributes.atime = Some(Timestamp::new(7, 0));
        write(&mut all, &attributes, Dialect::Aws).unwrap();
        let of_others = |user: &BTreeMap<String, String>| {
            let names = others.iter().map(|(name, _)| *name);
            let pairs = names.filter_map(|name| Some((name.to_owned(), user.get(name)?.clone())));
            pairs.collect()
        };
        let alone = Metadata {
            user: of_others(&all.user),
            ..Metadata::default()
        };
        for metadata in [&all, &alone] {
            let read = read(metadata);
            assert_eq!(read.permissions, Some(Permissions::from_mode(0o640)));
            assert_eq!(read.mtime, Some(before));
            assert_eq!(read.atime, Some(Timestamp::new(7, 0)));
            assert_eq!(read.xattrs, Xattrs::new());
        }
        assert_eq!(all.user["mtime"], "-0.250000000");
        let forms = (all.user["mode"].as_str(), all.user["atime"].as_str());
        let expected = [("33184", "7"), ("100640", "1970-01-01T00:00:07Z")];
        assert!(expected.contains(&forms), "{forms:?}");
        for kept in ["a", "btime", "ctime"] {
            let was = others.iter().find(|(name, _)| *name == kept);
            assert_eq!(
                all.user.get(kept).map(String::as_str),
                was.map(|(_, value)| *value)
            );
        }
    }
}

#[test]
fn extended_attributes_of_s3fs_are_kept_and_changed_with_ours() {
    let hidden = "%7B%22security.x%22%3A%22AA%3D%3D%22%2C%22user.a%22%3A%22eHl6%22%7D";
    let mut metadata = metadata(&[("xattr", hidden)]);
    assert_eq!(read(&metadata).xattrs, xattrs(&[("user.a", "xyz")]));
    let new = xattrs(&[("user.b", "ü")]);
    let attributes = ToStore {
        xattrs: &new,
        ..file(0o600, Timestamp::EPOCH)
    };
    write(&mut metadata, &attributes, Dialect::S3fs).unwrap();
    assert_eq!(read(&metadata).xattrs, new);
    assert!(!metadata.user.contains_key("cloudmount-xattr"));
    assert!(
        metadata.user["xattr"].contains("security%2Ex"),
        "{:?}",
        metadata.user
    );

    // Another program's word of that name is not ours to overwrite.
    metadata.user.insert("xattr".to_owned(), "yes".to_owned());
    write(&mut metadata, &attributes, Dialect::S3fs).unwrap();
    assert_eq!(metadata.user["xattr"], "yes");
    assert_eq!(read(&metadata).xattrs, new);
}

#[test]
fn a_checksum_of_a_former_content_goes() {
    let mut metadata = metadata(&[("md5chksum", "kAFQmDzST7DWlj99KOF/cg=="), ("x", "y")]);
    forget_content(&mut metadata);
    assert_eq!(metadata.user.into_keys().collect::<Vec<_>>(), ["x"]);
}

proptest! {
    #[test]
    fn attributes_survive(
        mode in 0u32..0o10000, uid: u32, gid: u32, secs in -5_000_000_000i64..50_000_000_000,
        nanos in 0u32..1_000_000_000, value in prop::collection::vec(any::<u8>(), 0..40),
        (dialect, others) in (0..3usize, 0..4usize)
    ) {
        let others = [&[] as &[_], BY_AWS, BY_S3FS, BY_RCLONE][others];
        let mut metadata = metadata(others);
        metadata.user.insert("foreign".to_owned(), "kept".to_owned());
        let xattrs = Xattrs::from([("user.a,b=c".to_owned(), Bytes::from(value))]);
        let mtime = Timestamp::new(secs, nanos);
        let permissions = Permissions::from_mode(mode);
        let kind = NodeKind::Symlink;
        let to_store =
            ToStore { kind, permissions, uid, gid, mtime, atime: Some(mtime), xattrs: &xattrs };
        let dialect = [Dialect::Aws, Dialect::S3fs, Dialect::Rclone][dialect];
        write(&mut metadata, &to_store, dialect).unwrap();
        let expected = Stored {
            kind: Some(kind),
            permissions: Some(permissions),
            uid: Some(uid),
            gid: Some(gid),
            mtime: Some(mtime),
            atime: Some(mtime),
            xattrs,
        };
        prop_assert_eq!(read(&metadata), expected);
        prop_assert_eq!(metadata.user.get("foreign").map(String::as_str), Some("kept"));
    }
}

#[test]
fn seconds_are_understood_too() {
    let read = |text| time::read(text);
    assert_eq!(
        read("1603909020.5"),
        Some(Timestamp::new(1_603_909_020, 500_000_000))
    );
    assert_eq!(read("7"), Some(Timestamp::new(7, 0)));
    assert_eq!(read("-0.25"), Some(Timestamp::new(-1, 750_000_000)));
    for wrong in ["x", "", "-", "1.x", "--1", "2001-02-03T"] {
        assert_eq!(read(wrong), None, "{wrong}");
    }
}

#[test]
fn an_upload_state_of_others_is_ignored() {
    let pair = |name: &str| format!("{}={}", BASE64.encode(name), BASE64.encode("failed"));
    let text = format!("{},{}", pair(UPLOAD), pair("user.kept"));
    let names: Vec<_> = read(&metadata(&[("cloudmount-xattr", &text)]))
        .xattrs
        .into_keys()
        .collect();
    assert_eq!(names, ["user.kept"]);
}

#[test]
fn too_much_is_refused() {
    let xattrs = Xattrs::from([("user.big".to_owned(), Bytes::from(vec![0; 2000]))]);
    let to_store = ToStore {
        xattrs: &xattrs,
        ..file(0o644, Timestamp::EPOCH)
    };
    let error = write(&mut Metadata::default(), &to_store, Dialect::Aws).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace);
}
