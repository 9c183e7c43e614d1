//! Handles: many at a time, and calls that come after the release.

use cloudmount_vfs::{ErrorKind, FileHandle, OpenFlags, SyncScope, Vfs};

use super::Mounted;
use super::holds::Holds;
use crate::World;

/// Handles of one file are independent of each other.
pub async fn handles_of_one_file_are_independent<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"content").await.holds();
    let one = k.open("/f", OpenFlags::READ).await.holds();
    let two = k.open("/f", OpenFlags::READ).await.holds();
    k.close(one).await.holds();
    assert_eq!(k.read(two, 0, 100).await.holds(), "content");
    k.close(two).await.holds();
}

/// A file stays open until its last descriptor is closed, and each close may flush.
pub async fn a_duplicated_descriptor_keeps_the_file_open<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    let fd = k.create("/f", 0o644, OpenFlags::READ_WRITE).await.holds();
    let copy = k.dup(fd).holds();
    k.write(fd, 0, b"one").await.holds();
    k.close(fd).await.holds();
    k.write(copy, 3, b" two").await.holds();
    assert_eq!(k.read(copy, 0, 100).await.holds(), "one two");
    k.close(copy).await.holds();
    assert_eq!(k.read_file("/f").await.holds(), "one two");
}

/// Hundreds of files can be open at a time.
pub async fn many_files_can_be_open<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    let mut open = Vec::new();
    for number in 0..300 {
        let path = format!("/{number}");
        let fd = k.create(&path, 0o644, OpenFlags::READ_WRITE).await.holds();
        k.write(fd, 0, path.as_bytes()).await.holds();
        open.push((fd, path));
    }
    for (fd, path) in &open {
        assert_eq!(k.read(*fd, 0, 100).await.holds(), *path);
    }
    for (fd, _) in open {
        k.close(fd).await.holds();
    }
}

/// A read after the release is honoured by inode.
pub async fn a_read_after_the_release_is_honoured<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"content").await.holds();
    let (ino, handle) = released(m, OpenFlags::READ).await;
    let data = k.vfs().read(k.context(), ino, handle, 0, 100).await.holds();
    assert_eq!(data, "content");
}

/// A write after the release is honoured by inode.
pub async fn a_write_after_the_release_is_honoured<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"content").await.holds();
    let (ino, handle) = released(m, OpenFlags::WRITE).await;
    k.vfs()
        .write(k.context(), ino, handle, 0, b"CON")
        .await
        .holds();
    m.world().settle().await;
    k.drop_caches();
    assert_eq!(k.read_file("/f").await.holds(), "CONtent");
}

/// Flush and fsync after the release are honoured by inode.
pub async fn flush_and_fsync_after_the_release_are_honoured<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"content").await.holds();
    let (ino, handle) = released(m, OpenFlags::WRITE).await;
    k.vfs().flush(k.context(), ino, handle).await.holds();
    for scope in [SyncScope::Data, SyncScope::DataAndAttributes] {
        k.vfs().fsync(k.context(), ino, handle, scope).await.holds();
    }
    assert_eq!(k.read_file("/f").await.holds(), "content");
}

/// Opens `/f`, closes it, and gives what its inode and handle were. The kernel still knows the
/// inode by its name.
async fn released<W: World>(
    m: &Mounted<W>,
    flags: OpenFlags,
) -> (cloudmount_vfs::InodeId, FileHandle) {
    let k = m.kernel();
    let fd = k.open("/f", flags).await.holds();
    let was = (k.ino_of(fd).holds(), k.handle_of(fd).holds());
    k.close(fd).await.holds();
    was
}

/// A handle that was never given is refused.
pub async fn a_handle_that_was_never_given_is_refused<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"content").await.holds();
    let ino = k.stat("/f").await.holds().ino;
    let Some(invented) = FileHandle::new(u64::MAX - 7) else {
        return;
    };
    k.vfs()
        .read(k.context(), ino, invented, 0, 1)
        .await
        .fails(ErrorKind::BadHandle);
    k.vfs()
        .write(k.context(), ino, invented, 0, b"x")
        .await
        .fails(ErrorKind::BadHandle);
    assert_eq!(k.read_file("/f").await.holds(), "content");
}

/// A handle serves only what it was opened for.
pub async fn a_handle_serves_only_what_it_was_opened_for<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"content").await.holds();
    let reader = k.open("/f", OpenFlags::READ).await.holds();
    let writer = k.open("/f", OpenFlags::WRITE).await.holds();
    let ino = k.ino_of(reader).holds();
    let (vfs, cx) = (k.vfs(), k.context());
    let read = vfs.read(cx, ino, k.handle_of(writer).holds(), 0, 1).await;
    read.fails(ErrorKind::BadHandle);
    let written = vfs
        .write(cx, ino, k.handle_of(reader).holds(), 0, b"x")
        .await;
    written.fails(ErrorKind::BadHandle);
    k.close(reader).await.holds();
    k.close(writer).await.holds();
    assert_eq!(k.read_file("/f").await.holds(), "content");
}

/// A file can be flushed and synced as often as one likes, changed or not.
pub async fn flush_and_fsync_can_be_repeated<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    let fd = k.create("/f", 0o644, OpenFlags::READ_WRITE).await.holds();
    for round in 0..5_u8 {
        k.write(fd, u64::from(round), &[b'0' + round]).await.holds();
        for _ in 0..2 {
            k.flush(fd).await.holds();
            k.fsync(fd, SyncScope::DataAndAttributes).await.holds();
            k.fsync(fd, SyncScope::Data).await.holds();
        }
    }
    k.close(fd).await.holds();
    assert_eq!(k.read_file("/f").await.holds(), "01234");
}

/// A directory is not opened as a file, nor a file as a directory.
pub async fn a_directory_is_not_opened_as_a_file<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.mkdir("/d", 0o755).await.holds();
    k.write_file("/f", b"").await.holds();
    k.open("/d", OpenFlags::READ)
        .await
        .fails(ErrorKind::IsDirectory);
    k.open("/d", OpenFlags::WRITE)
        .await
        .fails(ErrorKind::IsDirectory);
    k.readdir("/f").await.fails(ErrorKind::NotDirectory);
}

/// A file that was opened, closed and opened again shows what the last writer left.
pub async fn opening_again_shows_the_last_write<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    for round in 0..10_u8 {
        let data = vec![b'a' + round; 100 + usize::from(round)];
        k.write_file("/f", &data).await.holds();
        if round % 3 == 0 {
            m.world().settle().await;
        }
        assert_eq!(k.read_file("/f").await.holds(), data);
    }
}
