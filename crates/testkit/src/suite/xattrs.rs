//! Extended attributes, in the namespace `user.`

use cloudmount_vfs::{ErrorKind, XattrMode};

use super::Mounted;
use super::holds::{Holds, pattern};
use crate::World;

/// Attributes can be set, read, listed, replaced and removed, on files and directories.
pub async fn xattrs_can_be_set_listed_and_removed<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"x").await.holds();
    k.mkdir("/d", 0o755).await.holds();
    for path in ["/f", "/d"] {
        assert_eq!(k.listxattr(path).await.holds(), [""; 0]);
        k.setxattr(path, "user.b", b"1", XattrMode::Set)
            .await
            .holds();
        k.setxattr(path, "user.a", b"2", XattrMode::Set)
            .await
            .holds();
        k.setxattr(path, "user.b", b"3", XattrMode::Set)
            .await
            .holds();
        assert_eq!(k.listxattr(path).await.holds(), ["user.a", "user.b"]);
        assert_eq!(k.getxattr(path, "user.a").await.holds(), "2");
        assert_eq!(k.getxattr(path, "user.b").await.holds(), "3");
        k.removexattr(path, "user.a").await.holds();
        assert_eq!(k.listxattr(path).await.holds(), ["user.b"]);
    }
}

/// `Create` and `Replace` say whether the attribute may or must exist.
pub async fn the_mode_of_setting_is_honoured<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"x").await.holds();
    k.setxattr("/f", "user.a", b"1", XattrMode::Replace)
        .await
        .fails(ErrorKind::NoAttribute);
    k.setxattr("/f", "user.a", b"2", XattrMode::Create)
        .await
        .holds();
    k.setxattr("/f", "user.a", b"3", XattrMode::Create)
        .await
        .fails(ErrorKind::Exists);
    assert_eq!(k.getxattr("/f", "user.a").await.holds(), "2");
    k.setxattr("/f", "user.a", b"4", XattrMode::Replace)
        .await
        .holds();
    assert_eq!(k.getxattr("/f", "user.a").await.holds(), "4");
}

/// An attribute that does not exist is told as such.
pub async fn a_missing_xattr_is_no_attribute<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"x").await.holds();
    k.getxattr("/f", "user.no")
        .await
        .fails(ErrorKind::NoAttribute);
    k.removexattr("/f", "user.no")
        .await
        .fails(ErrorKind::NoAttribute);
}

/// Programs that look for labels and access lists hear that there are none in the whole filesystem, so that they need
/// not ask for each file.
pub async fn other_namespaces_are_told_not_to_be_there<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"x").await.holds();
    for name in [
        "security.capability",
        "security.selinux",
        "system.posix_acl_access",
    ] {
        k.getxattr("/f", name).await.fails(ErrorKind::Unsupported);
    }
}

/// A value may hold any bytes, or none.
pub async fn a_value_may_hold_any_bytes<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"x").await.holds();
    let values: [&[u8]; 4] = [b"", b"\0\xff\n\r ", &pattern(256, 0), "é=;%".as_bytes()];
    for (number, value) in values.iter().enumerate() {
        k.setxattr("/f", &format!("user.{number}"), value, XattrMode::Set)
            .await
            .holds();
    }
    m.world().settle().await;
    m.wait_for_foreign_changes().await;
    k.drop_caches();
    for (number, value) in values.iter().enumerate() {
        assert_eq!(
            k.getxattr("/f", &format!("user.{number}")).await.holds(),
            *value
        );
    }
}

/// A name may hold any text, and case counts: metadata headers know neither.
pub async fn a_name_may_hold_any_text<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"x").await.holds();
    let mut names = [
        "user.A",
        "user.a",
        "user.with space",
        "user.é",
        "user.a.b-c_d",
        "user.a:b=c",
        "user.%41",
    ]
    .map(str::to_owned);
    names.sort();
    for name in &names {
        k.setxattr("/f", name, name.as_bytes(), XattrMode::Create)
            .await
            .holds();
    }
    m.world().settle().await;
    m.wait_for_foreign_changes().await;
    k.drop_caches();
    assert_eq!(k.listxattr("/f").await.holds(), names);
    for name in &names {
        assert_eq!(k.getxattr("/f", name).await.holds(), *name);
    }
}

/// Other namespaces are not offered.
pub async fn other_namespaces_are_not_offered<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"x").await.holds();
    for name in ["trusted.x", "security.x", "x", "userx"] {
        k.setxattr("/f", name, b"v", XattrMode::Set)
            .await
            .fails(ErrorKind::Unsupported);
    }
    assert_eq!(k.listxattr("/f").await.holds(), [""; 0]);
}

/// A value that does not fit is refused, and what was set before stays.
pub async fn what_does_not_fit_is_refused<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"x").await.holds();
    k.setxattr("/f", "user.small", b"kept", XattrMode::Set)
        .await
        .holds();
    let large = vec![b'x'; 60_000];
    match k.setxattr("/f", "user.large", &large, XattrMode::Set).await {
        Ok(()) => assert_eq!(k.getxattr("/f", "user.large").await.holds(), large),
        refused => {
            refused.fails(ErrorKind::NoSpace);
            k.getxattr("/f", "user.large")
                .await
                .fails(ErrorKind::NoAttribute);
        }
    }
    assert_eq!(k.getxattr("/f", "user.small").await.holds(), "kept");
}

/// Attributes stay when the content is rewritten.
pub async fn xattrs_survive_a_rewrite<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"one").await.holds();
    k.setxattr("/f", "user.tag", b"kept", XattrMode::Set)
        .await
        .holds();
    m.world().settle().await;
    k.write_file("/f", b"two").await.holds();
    m.world().settle().await;
    m.wait_for_foreign_changes().await;
    k.drop_caches();
    assert_eq!(k.getxattr("/f", "user.tag").await.holds(), "kept");
}

/// Attributes are the same after mounting again.
pub async fn xattrs_survive_mounting_again<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"x").await.holds();
    k.mkdir("/d", 0o755).await.holds();
    for path in ["/f", "/d"] {
        k.setxattr(path, "user.Tag", b"a\0b", XattrMode::Set)
            .await
            .holds();
    }
    m.world().settle().await;
    m.remount().await;
    for path in ["/f", "/d"] {
        assert_eq!(m.kernel().listxattr(path).await.holds(), ["user.Tag"]);
        assert_eq!(
            m.kernel().getxattr(path, "user.Tag").await.holds(),
            &b"a\0b"[..]
        );
    }
}
