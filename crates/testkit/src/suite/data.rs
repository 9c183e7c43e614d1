//! Data: what is written is read, wherever it was written.

use cloudmount_vfs::{Access, ErrorKind, OpenFlags, WriteMode};

use super::Mounted;
use super::holds::{Holds, pattern, same_bytes};
use crate::World;

/// Opens to append.
const APPEND: OpenFlags = OpenFlags {
    access: Access::ReadWrite,
    write_mode: WriteMode::Append,
    ..OpenFlags::READ
};

/// Larger than a part of an upload and than any block, and a multiple of neither.
const LARGE_BYTES: usize = (8 << 20) + 12_345;

/// What was written is read: at once, after closing, and with cold caches.
pub async fn what_was_written_is_read<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    let data = pattern(10_000, 1);
    let fd = k.create("/f", 0o644, OpenFlags::READ_WRITE).await.holds();
    assert_eq!(k.write(fd, 0, &data).await.holds(), data.len());
    same_bytes(&k.read(fd, 0, data.len()).await.holds(), &data);
    k.close(fd).await.holds();
    same_bytes(&k.read_file("/f").await.holds(), &data);
    k.drop_caches();
    same_bytes(&k.read_file("/f").await.holds(), &data);
}

/// A file that nothing was written to is empty.
pub async fn a_new_file_is_empty<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.mknod("/made", 0o644).await.holds();
    k.write_file("/written", b"").await.holds();
    for path in ["/made", "/written"] {
        assert_eq!(k.stat(path).await.holds().size, 0);
        assert_eq!(k.read_file(path).await.holds(), "");
    }
}

/// A read at or after the end gives nothing; one across the end gives what is there.
pub async fn a_read_past_the_end_gives_what_is_there<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"0123456789").await.holds();
    let fd = k.open("/f", OpenFlags::READ).await.holds();
    for (offset, size, wanted) in [
        (0, 100, "0123456789"),
        (7, 100, "789"),
        (10, 1, ""),
        (1 << 40, 10, ""),
        (3, 0, ""),
    ] {
        assert_eq!(k.read(fd, offset, size).await.holds(), wanted);
    }
    k.close(fd).await.holds();
}

/// A read at any offset and of any size gives just those bytes.
pub async fn a_read_gives_just_the_range<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    let data = pattern(300_000, 2);
    k.write_file("/f", &data).await.holds();
    m.world().settle().await;
    k.drop_caches();
    let fd = k.open("/f", OpenFlags::READ).await.holds();
    for (offset, size) in [
        (0, 1),
        (4095, 2),
        (65_535, 3),
        (131_071, 70_000),
        (299_999, 1),
        (1, 299_999),
    ] {
        let seen = k.read(fd, offset as u64, size).await.holds();
        same_bytes(&seen, &data[offset..offset + size]);
    }
    k.close(fd).await.holds();
}

/// An overwrite changes its range and nothing else.
pub async fn an_overwrite_changes_only_its_range<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    let mut data = pattern(100_000, 3);
    k.write_file("/f", &data).await.holds();
    m.world().settle().await;
    let fd = k.open("/f", OpenFlags::READ_WRITE).await.holds();
    for (offset, length) in [(0, 10), (50_000, 20_000), (99_990, 10), (4096, 4096)] {
        let piece = pattern(length, 0xF0);
        k.write(fd, offset as u64, &piece).await.holds();
        data[offset..offset + length].copy_from_slice(&piece);
        same_bytes(&k.read_all(fd).await.holds(), &data);
    }
    k.close(fd).await.holds();
    m.world().settle().await;
    k.drop_caches();
    same_bytes(&k.read_file("/f").await.holds(), &data);
}

/// A write past the end leaves zeros between.
pub async fn a_write_past_the_end_leaves_zeros_between<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"start").await.holds();
    let fd = k.open("/f", OpenFlags::READ_WRITE).await.holds();
    k.write(fd, 20_000, b"end").await.holds();
    let mut wanted = b"start".to_vec();
    wanted.resize(20_000, 0);
    wanted.extend_from_slice(b"end");
    same_bytes(&k.read_all(fd).await.holds(), &wanted);
    k.close(fd).await.holds();
    same_bytes(&k.read_file("/f").await.holds(), &wanted);
}

/// Many small writes, in any order, make one content.
pub async fn writes_in_any_order_make_one_content<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    let data = pattern(37 * 211, 4);
    let fd = k.create("/f", 0o644, OpenFlags::READ_WRITE).await.holds();
    for step in 0..37 {
        // 11 and 37 have no common divisor: each piece comes once.
        let at = step * 11 % 37 * 211;
        k.write(fd, at as u64, &data[at..at + 211]).await.holds();
    }
    k.close(fd).await.holds();
    same_bytes(&k.read_file("/f").await.holds(), &data);
}

/// A file larger than 8 MiB, written in uneven pieces, is what was written.
pub async fn large_writes_cross_every_boundary<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    let data = pattern(LARGE_BYTES, 5);
    let fd = k.create("/f", 0o644, OpenFlags::WRITE).await.holds();
    let mut at = 0;
    for piece in data.chunks(700_001) {
        k.write(fd, at, piece).await.holds();
        at += piece.len() as u64;
    }
    k.close(fd).await.holds();
    assert_eq!(k.stat("/f").await.holds().size, LARGE_BYTES as u64);
    same_bytes(&k.read_file("/f").await.holds(), &data);
}

/// A small change in the middle of a large file that is in the bucket already changes just that.
pub async fn a_small_change_of_a_large_file_changes_only_its_range<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    let mut data = pattern(LARGE_BYTES, 6);
    k.write_file("/f", &data).await.holds();
    m.world().settle().await;
    let fd = k.open("/f", OpenFlags::WRITE).await.holds();
    k.write(fd, 5_000_000, b"changed").await.holds();
    k.close(fd).await.holds();
    data[5_000_000..5_000_007].copy_from_slice(b"changed");
    m.world().settle().await;
    k.drop_caches();
    same_bytes(&k.read_file("/f").await.holds(), &data);
}

/// A handle opened to append writes at the end, whatever offset the call names.
pub async fn appending_writes_go_to_the_end<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"one ").await.holds();
    let fd = k.open("/f", APPEND).await.holds();
    k.write(fd, 0, b"two ").await.holds();
    k.write(fd, 1, b"three").await.holds();
    k.close(fd).await.holds();
    assert_eq!(k.read_file("/f").await.holds(), "one two three");
}

/// Two handles that append never overwrite each other.
pub async fn two_appenders_never_overwrite_each_other<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.mknod("/log", 0o644).await.holds();
    let one = k.open("/log", APPEND).await.holds();
    let two = k.open("/log", APPEND).await.holds();
    for (fd, line) in [
        (one, "a1 "),
        (two, "b1 "),
        (two, "b2 "),
        (one, "a2 "),
        (two, "b3 "),
    ] {
        k.write(fd, 0, line.as_bytes()).await.holds();
    }
    k.close(one).await.holds();
    k.close(two).await.holds();
    assert_eq!(k.read_file("/log").await.holds(), "a1 b1 b2 a2 b3 ");
}

/// Opening to truncate drops the content, and the size is 0 at once.
pub async fn open_with_truncate_drops_the_content<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"old content").await.holds();
    let flags = OpenFlags {
        truncate: true,
        ..OpenFlags::READ_WRITE
    };
    let fd = k.open("/f", flags).await.holds();
    assert_eq!(k.fstat(fd).await.holds().size, 0);
    assert_eq!(k.stat("/f").await.holds().size, 0);
    k.write(fd, 0, b"new").await.holds();
    k.close(fd).await.holds();
    assert_eq!(k.read_file("/f").await.holds(), "new");
}

/// Truncating drops what is after the new end, by path and by handle.
pub async fn truncate_cuts<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    let data = pattern(50_000, 7);
    k.write_file("/f", &data).await.holds();
    k.truncate("/f", 40_001).await.holds();
    assert_eq!(k.stat("/f").await.holds().size, 40_001);
    same_bytes(&k.read_file("/f").await.holds(), &data[..40_001]);
    m.world().settle().await;
    let fd = k.open("/f", OpenFlags::READ_WRITE).await.holds();
    k.ftruncate(fd, 12).await.holds();
    same_bytes(&k.read_all(fd).await.holds(), &data[..12]);
    k.close(fd).await.holds();
    same_bytes(&k.read_file("/f").await.holds(), &data[..12]);
}

/// Truncating to a larger size extends the file with zeros.
pub async fn truncate_extends_with_zeros<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"abc").await.holds();
    k.truncate("/f", 10_000).await.holds();
    let mut wanted = b"abc".to_vec();
    wanted.resize(10_000, 0);
    same_bytes(&k.read_file("/f").await.holds(), &wanted);
    m.world().settle().await;
    k.drop_caches();
    same_bytes(&k.read_file("/f").await.holds(), &wanted);
}

/// Bytes that were cut off never come back when the file grows again.
pub async fn bytes_cut_off_never_come_back<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    for settles in [false, true] {
        k.write_file("/f", &[b'x'; 30_000]).await.holds();
        if settles {
            m.world().settle().await;
        }
        k.truncate("/f", 10).await.holds();
        k.truncate("/f", 20_000).await.holds();
        let fd = k.open("/f", OpenFlags::WRITE).await.holds();
        k.write(fd, 29_999, b"!").await.holds();
        k.close(fd).await.holds();
        let mut wanted = vec![b'x'; 10];
        wanted.resize(29_999, 0);
        wanted.push(b'!');
        same_bytes(&k.read_file("/f").await.holds(), &wanted);
    }
}

/// What one handle wrote another sees at once, before any close; so does `stat`.
pub async fn a_writers_bytes_are_visible_at_once<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"----------").await.holds();
    m.world().settle().await;
    let reader = k.open("/f", OpenFlags::READ).await.holds();
    assert_eq!(k.read(reader, 0, 100).await.holds(), "----------");
    let writer = k.open("/f", OpenFlags::WRITE).await.holds();
    k.write(writer, 3, b"new").await.holds();
    assert_eq!(k.read(reader, 0, 100).await.holds(), "---new----");
    k.write(writer, 12, b"!").await.holds();
    assert_eq!(k.stat("/f").await.holds().size, 13);
    assert_eq!(k.fstat(reader).await.holds().size, 13);
    assert_eq!(k.read(reader, 0, 100).await.holds(), "---new----\0\0!");
    k.ftruncate(writer, 4).await.holds();
    assert_eq!(k.read(reader, 0, 100).await.holds(), "---n");
    k.close(writer).await.holds();
    assert_eq!(k.read(reader, 0, 100).await.holds(), "---n");
    k.close(reader).await.holds();
}

/// Two writers of one file at different ranges both get their bytes in.
pub async fn two_writers_of_one_file_both_get_in<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"..........").await.holds();
    let one = k.open("/f", OpenFlags::WRITE).await.holds();
    let two = k.open("/f", OpenFlags::WRITE).await.holds();
    k.write(one, 0, b"11").await.holds();
    k.write(two, 5, b"22").await.holds();
    k.close(one).await.holds();
    k.write(two, 8, b"22").await.holds();
    k.close(two).await.holds();
    m.world().settle().await;
    assert_eq!(k.read_file("/f").await.holds(), "11...22.22");
}

/// Creating exclusively fails if the name exists, whatever it leads to.
pub async fn exclusive_create_fails_if_the_name_exists<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    let flags = OpenFlags {
        exclusive: true,
        ..OpenFlags::WRITE
    };
    let fd = k.create("/f", 0o644, flags).await.holds();
    k.write(fd, 0, b"first").await.holds();
    k.close(fd).await.holds();
    k.mkdir("/d", 0o755).await.holds();
    k.symlink("nowhere", "/s").await.holds();
    for path in ["/f", "/d", "/s"] {
        k.create(path, 0o644, flags).await.fails(ErrorKind::Exists);
    }
    k.mknod("/f", 0o644).await.fails(ErrorKind::Exists);
    assert_eq!(k.read_file("/f").await.holds(), "first");
}

/// Creating without `exclusive` opens a file that exists and keeps its content and mode.
pub async fn create_opens_a_file_that_exists<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"kept").await.holds();
    k.chmod("/f", 0o600).await.holds();
    let fd = k.create("/f", 0o644, OpenFlags::READ_WRITE).await.holds();
    assert_eq!(k.read(fd, 0, 10).await.holds(), "kept");
    k.close(fd).await.holds();
    assert_eq!(k.stat("/f").await.holds().permissions.bits(), 0o600);
}

/// A copy between files copies the range, and less at the end of the source.
pub async fn copy_file_range_copies<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    let data = pattern(20_000, 8);
    k.write_file("/from", &data).await.holds();
    k.write_file("/to", b"0123456789").await.holds();
    let from = k.open("/from", OpenFlags::READ).await.holds();
    let to = k.open("/to", OpenFlags::READ_WRITE).await.holds();
    let mut copied = 0;
    while copied < 5000 {
        let step = k
            .copy_file_range((from, 100 + copied), (to, 5 + copied), 5000 - copied)
            .await;
        let step = step.holds();
        assert!(step > 0, "law: a copy goes on until the end of the source");
        copied += step;
    }
    let mut wanted = b"01234".to_vec();
    wanted.extend_from_slice(&data[100..5100]);
    same_bytes(&k.read_all(to).await.holds(), &wanted);
    let end = k
        .copy_file_range((from, 19_990), (to, 0), 100)
        .await
        .holds();
    assert!(
        end <= 10,
        "law: there is nothing to copy after the end; {end} were copied"
    );
    assert_eq!(
        k.copy_file_range((from, 20_000), (to, 0), 100)
            .await
            .holds(),
        0
    );
    k.close(from).await.holds();
    k.close(to).await.holds();
}

/// A copy within one file works where the ranges do not overlap.
pub async fn copy_file_range_copies_within_a_file<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"abcdef").await.holds();
    let fd = k.open("/f", OpenFlags::READ_WRITE).await.holds();
    assert_eq!(k.copy_file_range((fd, 0), (fd, 6), 3).await.holds(), 3);
    assert_eq!(k.copy_file_range((fd, 3), (fd, 0), 3).await.holds(), 3);
    k.copy_file_range((fd, 0), (fd, 1), 3)
        .await
        .fails(ErrorKind::InvalidArgument);
    assert_eq!(k.read_all(fd).await.holds(), "defdefabc");
    k.close(fd).await.holds();
}

/// Allocating makes a file longer with zeros, and never shorter.
pub async fn fallocate_extends_and_never_cuts<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"abc").await.holds();
    let fd = k.open("/f", OpenFlags::READ_WRITE).await.holds();
    k.fallocate(fd, 1000, 24).await.holds();
    assert_eq!(k.fstat(fd).await.holds().size, 1024);
    k.fallocate(fd, 0, 10).await.holds();
    assert_eq!(k.fstat(fd).await.holds().size, 1024);
    let mut wanted = b"abc".to_vec();
    wanted.resize(1024, 0);
    same_bytes(&k.read_all(fd).await.holds(), &wanted);
    k.close(fd).await.holds();
}

/// A file that would be larger than any object is refused, and nothing changes.
pub async fn a_file_larger_than_any_object_is_refused<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"abc").await.holds();
    let fd = k.open("/f", OpenFlags::WRITE).await.holds();
    k.write(fd, i64::MAX.unsigned_abs() - 10, b"x")
        .await
        .fails(ErrorKind::FileTooLarge);
    k.ftruncate(fd, i64::MAX.unsigned_abs())
        .await
        .fails(ErrorKind::FileTooLarge);
    k.fallocate(fd, i64::MAX.unsigned_abs() - 10, 10)
        .await
        .fails(ErrorKind::FileTooLarge);
    k.close(fd).await.holds();
    assert_eq!(k.read_file("/f").await.holds(), "abc");
}
