//! Files that are open and have no name any more.

use cloudmount_vfs::{Access, ErrorKind, OpenFlags, SyncScope, WriteMode};

use super::Mounted;
use super::holds::{Holds, pattern, same_bytes};
use crate::World;

/// Reads and writes go on after the last name is gone, in the bucket or not yet.
pub async fn an_open_file_works_without_a_name<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    for settles in [false, true] {
        let data = pattern(100_000, 9);
        k.write_file("/f", &data).await.holds();
        if settles {
            m.world().settle().await;
            k.drop_caches();
        }
        let fd = k.open("/f", OpenFlags::READ_WRITE).await.holds();
        k.unlink("/f").await.holds();
        k.stat("/f").await.fails(ErrorKind::NotFound);
        same_bytes(&k.read_all(fd).await.holds(), &data);
        k.write(fd, 99_999, b"more").await.holds();
        assert_eq!(k.read(fd, 99_990, 100).await.holds()[9..], *b"more");
        m.world().settle().await;
        same_bytes(&k.read(fd, 0, 99_999).await.holds(), &data[..99_999]);
        k.fsync(fd, SyncScope::Data).await.holds();
        k.close(fd).await.holds();
        assert_eq!(k.names("/").await.holds(), [""; 0]);
    }
}

/// An open file without a name has no links, and its size and mode can still be changed.
pub async fn an_open_file_without_a_name_has_no_links<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"content").await.holds();
    assert_eq!(k.stat("/f").await.holds().links, 1);
    let fd = k.open("/f", OpenFlags::READ_WRITE).await.holds();
    k.unlink("/f").await.holds();
    assert_eq!(k.fstat(fd).await.holds().links, 0);
    k.ftruncate(fd, 3).await.holds();
    assert_eq!(k.fstat(fd).await.holds().size, 3);
    assert_eq!(k.read_all(fd).await.holds(), "con");
    k.close(fd).await.holds();
}

/// The name is free at once: a new file there is another one.
pub async fn the_name_of_an_unlinked_file_is_free<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"old").await.holds();
    m.world().settle().await;
    let old = k.open("/f", OpenFlags::READ_WRITE).await.holds();
    k.unlink("/f").await.holds();
    k.write_file("/f", b"new one").await.holds();
    assert_ne!(k.stat("/f").await.holds().ino, k.ino_of(old).holds());
    k.write(old, 0, b"OLD").await.holds();
    assert_eq!(k.read_all(old).await.holds(), "OLD");
    assert_eq!(k.read_file("/f").await.holds(), "new one");
    k.close(old).await.holds();
    m.world().settle().await;
    k.drop_caches();
    assert_eq!(k.read_file("/f").await.holds(), "new one");
}

/// All handles of an unlinked file go on seeing one content.
pub async fn all_handles_of_an_unlinked_file_agree<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"start").await.holds();
    let reader = k.open("/f", OpenFlags::READ).await.holds();
    let append = OpenFlags {
        access: Access::Write,
        write_mode: WriteMode::Append,
        ..OpenFlags::READ
    };
    let writer = k.open("/f", append).await.holds();
    k.unlink("/f").await.holds();
    k.write(writer, 0, b" and end").await.holds();
    assert_eq!(k.read_all(reader).await.holds(), "start and end");
    k.close(writer).await.holds();
    assert_eq!(k.read_all(reader).await.holds(), "start and end");
    k.close(reader).await.holds();
}

/// A file made and unlinked before anything was written, as `tmpfile` does, works.
pub async fn a_temporary_file_works<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    let flags = OpenFlags {
        exclusive: true,
        ..OpenFlags::READ_WRITE
    };
    let fd = k.create("/tmp", 0o600, flags).await.holds();
    k.unlink("/tmp").await.holds();
    let data = pattern(70_000, 10);
    k.write(fd, 0, &data).await.holds();
    m.world().settle().await;
    same_bytes(&k.read_all(fd).await.holds(), &data);
    k.close(fd).await.holds();
    assert_eq!(k.names("/").await.holds(), [""; 0]);
}

/// A directory can be removed while files that were in it are open.
pub async fn a_directory_goes_while_its_unlinked_files_are_open<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.mkdir("/d", 0o755).await.holds();
    k.write_file("/d/f", b"content").await.holds();
    let fd = k.open("/d/f", OpenFlags::READ).await.holds();
    k.unlink("/d/f").await.holds();
    k.rmdir("/d").await.holds();
    m.world().settle().await;
    assert_eq!(k.read_all(fd).await.holds(), "content");
    k.close(fd).await.holds();
}
