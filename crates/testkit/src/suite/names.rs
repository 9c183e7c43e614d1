//! Names: which there are, which are refused, and that each stays what it is.

use cloudmount_store::Key;
use cloudmount_vfs::{ErrorKind, OpenFlags};

use super::Mounted;
use super::holds::Holds;
use crate::World;

/// Names that are easily mangled on the way to a key and back.
const HARD_NAMES: [&str; 24] = [
    " ",
    " a ",
    "a.",
    ".a",
    "...",
    "-",
    "~",
    "a b",
    "a+b",
    "a%20b",
    "%",
    "%2F",
    "a%00b",
    "100%",
    "a&b=c?d#e",
    "a\\b",
    "a'b\"c",
    "a:b|c<d>e*",
    "a\tb",
    "a\nb",
    "\u{1}",
    "日本語",
    "😀",
    "é",
];

/// A name may have 255 bytes, Linux's `NAME_MAX`.
pub async fn a_name_may_have_255_bytes<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    for name in ["x".repeat(255), "é".repeat(127) + "x"] {
        let path = format!("/{name}");
        k.write_file(&path, b"long").await.holds();
        assert_eq!(k.read_file(&path).await.holds(), "long");
        assert!(
            k.names("/").await.holds().contains(&name),
            "law: it is listed"
        );
        k.unlink(&path).await.holds();
        k.mkdir(&path, 0o755).await.holds();
        k.rmdir(&path).await.holds();
    }
}

/// A name of 256 bytes is too long, for every call that takes one.
pub async fn a_name_of_256_bytes_is_too_long<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    let path = format!("/{}", "x".repeat(256));
    k.stat(&path).await.fails(ErrorKind::NameTooLong);
    k.create(&path, 0o644, OpenFlags::WRITE)
        .await
        .fails(ErrorKind::NameTooLong);
    k.mkdir(&path, 0o755).await.fails(ErrorKind::NameTooLong);
    k.symlink("x", &path).await.fails(ErrorKind::NameTooLong);
    k.write_file("/a", b"").await.holds();
    k.rename("/a", &path).await.fails(ErrorKind::NameTooLong);
}

/// A name may hold every character but the slash and NUL.
pub async fn a_name_may_hold_any_character_but_slash_and_nul<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    for name in HARD_NAMES {
        k.write_file(&format!("/{name}"), name.as_bytes())
            .await
            .holds();
    }
    let mut wanted = HARD_NAMES.map(str::to_owned).to_vec();
    wanted.sort();
    assert_eq!(k.names("/").await.holds(), wanted);
    k.drop_caches();
    for name in HARD_NAMES {
        assert_eq!(k.read_file(&format!("/{name}")).await.holds(), name);
        k.unlink(&format!("/{name}")).await.holds();
    }
    assert_eq!(k.names("/").await.holds(), [""; 0]);
}

/// Directories may have all these names too.
pub async fn a_directory_may_have_any_name<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    for name in HARD_NAMES {
        k.mkdir(&format!("/{name}"), 0o755).await.holds();
        k.write_file(&format!("/{name}/{name}"), b"x").await.holds();
    }
    k.drop_caches();
    for name in HARD_NAMES {
        assert_eq!(k.names(&format!("/{name}")).await.holds(), [name]);
    }
}

/// Upper and lower case are different names.
pub async fn names_differ_by_case<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/Readme", b"upper").await.holds();
    k.stat("/readme").await.fails(ErrorKind::NotFound);
    k.write_file("/readme", b"lower").await.holds();
    assert_eq!(k.names("/").await.holds(), ["Readme", "readme"]);
    assert_eq!(k.read_file("/Readme").await.holds(), "upper");
}

/// The composed and the decomposed form of a letter are different names, and stay as they are.
pub async fn names_are_not_normalised<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/\u{e9}", b"composed").await.holds();
    k.write_file("/e\u{301}", b"decomposed").await.holds();
    assert_eq!(k.names("/").await.holds(), ["e\u{301}", "\u{e9}"]);
    assert_eq!(k.read_file("/\u{e9}").await.holds(), "composed");
}

/// A path whose key would have more than 1024 bytes is too long; up to there it works.
pub async fn a_key_of_more_than_1024_bytes_is_too_long<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    let room = Key::MAX_BYTES - m.world().prefix().len();
    let mut path = String::new();
    // Directories of 100 bytes with their slash, as long as one more byte fits after them.
    while path.len() + 101 < room {
        path = format!("{path}/{}", "d".repeat(99));
        k.mkdir(&path, 0o755).await.holds();
    }
    let left = room - path.len();
    assert!(left <= 201, "the last name fits 255 bytes");
    let longest = format!("{path}/{}", "f".repeat(left));
    let too_long = format!("{longest}f");
    k.write_file(&longest, b"just fits").await.holds();
    assert_eq!(k.read_file(&longest).await.holds(), "just fits");
    k.create(&too_long, 0o644, OpenFlags::WRITE)
        .await
        .fails(ErrorKind::NameTooLong);
    // A directory needs one byte more, for the slash of its marker.
    k.mkdir(&too_long[..longest.len()].replace("/f", "/g"), 0o755)
        .await
        .fails(ErrorKind::NameTooLong);
    k.rename(&longest, &too_long)
        .await
        .fails(ErrorKind::NameTooLong);
    assert_eq!(k.read_file(&longest).await.holds(), "just fits");
}

/// A directory cannot move to where a key below it would be too long.
pub async fn a_rename_that_makes_keys_too_long_is_refused<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    let deep = format!("/from/{0}/{0}/{0}", "a".repeat(200));
    let far = format!("/to/{0}/{0}", "b".repeat(250));
    for path in ["/from", "/to"] {
        k.mkdir(path, 0o755).await.holds();
    }
    for path in [&deep, &far] {
        let mut at = 1;
        while let Some(slash) = path[at..].find('/') {
            at += slash + 1;
            let above = &path[..at - 1];
            if !k.exists(above).await.holds() {
                k.mkdir(above, 0o755).await.holds();
            }
        }
        k.mkdir(path, 0o755).await.holds();
    }
    k.rename("/from", &format!("{far}/{}", "x".repeat(50)))
        .await
        .fails(ErrorKind::NameTooLong);
    assert!(
        k.exists(&deep).await.holds(),
        "law: a refused rename moves nothing"
    );
}

/// A name that does not exist is not found, by whatever call.
pub async fn a_missing_name_is_not_found<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.stat("/no").await.fails(ErrorKind::NotFound);
    k.open("/no", OpenFlags::READ)
        .await
        .fails(ErrorKind::NotFound);
    k.unlink("/no").await.fails(ErrorKind::NotFound);
    k.rmdir("/no").await.fails(ErrorKind::NotFound);
    k.readdir("/no").await.fails(ErrorKind::NotFound);
    k.truncate("/no", 0).await.fails(ErrorKind::NotFound);
    k.mkdir("/no/further", 0o755)
        .await
        .fails(ErrorKind::NotFound);
    k.create("/no/further", 0o644, OpenFlags::WRITE)
        .await
        .fails(ErrorKind::NotFound);
}

/// A file is no directory to walk through.
pub async fn a_path_through_a_file_is_not_a_directory<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/file", b"").await.holds();
    k.stat("/file/below").await.fails(ErrorKind::NotDirectory);
    k.mkdir("/file/below", 0o755)
        .await
        .fails(ErrorKind::NotDirectory);
    k.create("/file/below", 0o644, OpenFlags::WRITE)
        .await
        .fails(ErrorKind::NotDirectory);
    k.readdir("/file").await.fails(ErrorKind::NotDirectory);
}

/// `..` leads to the directory above, and from the root to the root.
pub async fn dot_dot_leads_up<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.mkdir("/a", 0o755).await.holds();
    k.mkdir("/a/b", 0o755).await.holds();
    k.write_file("/x", b"x").await.holds();
    let ino = |path: &'static str| async move { k.stat(path).await.holds().ino };
    assert_eq!(ino("/a/b/..").await, ino("/a").await);
    assert_eq!(ino("/a/b/../../x").await, ino("/x").await);
    assert_eq!(ino("/..").await, ino("/").await);
    assert_eq!(ino("/a/./b/.").await, ino("/a/b").await);
}

/// What was there is there when the kernel has dropped all that it knew, with the same number.
pub async fn numbers_are_the_same_after_the_kernel_forgot_them<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.mkdir("/d", 0o755).await.holds();
    k.write_file("/d/f", b"f").await.holds();
    let numbers = |path: &'static str| async move { k.stat(path).await.holds().ino };
    let before = (numbers("/d").await, numbers("/d/f").await);
    k.drop_caches();
    assert_eq!((numbers("/d").await, numbers("/d/f").await), before);
    m.wait_for_foreign_changes().await;
    assert_eq!((numbers("/d").await, numbers("/d/f").await), before);
}
