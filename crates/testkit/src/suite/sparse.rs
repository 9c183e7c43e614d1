//! Sparse files: holes read as zeros, and can be found.

use cloudmount_vfs::{ErrorKind, OpenFlags, SeekWhence, Vfs};

use super::Mounted;
use super::holds::{Holds, same_bytes};
use crate::kernel::Fd;
use crate::{FakeKernel, World};

/// The distance between data in these tests: larger than any grain of holes.
const FAR: u64 = 1 << 20;

/// A hole reads as zeros, before and after it is in the bucket.
pub async fn a_hole_reads_as_zeros<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    let fd = k.create("/f", 0o644, OpenFlags::READ_WRITE).await.holds();
    k.write(fd, FAR, b"data").await.holds();
    k.ftruncate(fd, 2 * FAR).await.holds();
    assert_eq!(k.read(fd, 0, 10).await.holds(), &[0; 10][..]);
    assert_eq!(k.read(fd, FAR - 2, 8).await.holds(), &b"\0\0data\0\0"[..]);
    k.close(fd).await.holds();
    m.world().settle().await;
    k.drop_caches();
    let data = k.read_file("/f").await.holds();
    let mut wanted = vec![0; 2 << 20];
    wanted[1 << 20..][..4].copy_from_slice(b"data");
    same_bytes(&data, &wanted);
}

/// Data is found where it is, and nothing but zeros outside of what is told as data.
pub async fn seeking_finds_all_data<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    let fd = k.create("/f", 0o644, OpenFlags::READ_WRITE).await.holds();
    k.ftruncate(fd, 6 * FAR).await.holds();
    for at in [FAR, 3 * FAR + 100] {
        k.write(fd, at, b"data").await.holds();
    }
    check_ranges(k, fd, 6 * FAR).await;
    k.close(fd).await.holds();
    m.world().settle().await;
    k.drop_caches();
    let fd = k.open("/f", OpenFlags::READ).await.holds();
    check_ranges(k, fd, 6 * FAR).await;
    k.close(fd).await.holds();
}

/// Walks through data and holes in turn; all that is not told as data must be zeros.
async fn check_ranges<V: Vfs>(k: &FakeKernel<V>, fd: Fd, size: u64) {
    let content = k.read_all(fd).await.holds();
    let narrow = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let mut at = 0;
    while at < size {
        let (data, hole) = match k.lseek(fd, at, SeekWhence::Data).await {
            Ok(data) => (data, k.lseek(fd, data, SeekWhence::Hole).await.holds()),
            refused => {
                refused.fails(ErrorKind::NoSuchRange);
                (size, size)
            }
        };
        assert!(
            data >= at && hole <= size,
            "law: seeking goes forwards, up to the end"
        );
        assert!(
            hole > data || data == size,
            "law: what was found as data is some"
        );
        let skipped = &content[narrow(at)..narrow(data)];
        assert!(
            skipped.iter().all(|byte| *byte == 0),
            "law: no data outside of what is told"
        );
        at = hole;
    }
}

/// The end of a file counts as a hole; there is nothing after it.
pub async fn the_end_counts_as_a_hole<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    k.write_file("/f", b"0123456789").await.holds();
    let fd = k.open("/f", OpenFlags::READ).await.holds();
    assert_eq!(k.lseek(fd, 0, SeekWhence::Data).await.holds(), 0);
    assert_eq!(k.lseek(fd, 5, SeekWhence::Data).await.holds(), 5);
    assert_eq!(k.lseek(fd, 5, SeekWhence::Hole).await.holds(), 10);
    for whence in [SeekWhence::Data, SeekWhence::Hole] {
        k.lseek(fd, 10, whence).await.fails(ErrorKind::NoSuchRange);
        k.lseek(fd, 1 << 40, whence)
            .await
            .fails(ErrorKind::NoSuchRange);
    }
    k.close(fd).await.holds();
}

/// A hole can be filled from both sides.
pub async fn a_hole_can_be_filled<W: World>(m: &mut Mounted<W>) {
    let k = m.kernel();
    let fd = k.create("/f", 0o644, OpenFlags::READ_WRITE).await.holds();
    k.write(fd, 0, b"aaaa").await.holds();
    k.write(fd, 12_000, b"bbbb").await.holds();
    k.write(fd, 3, b"cc").await.holds();
    k.write(fd, 11_998, b"dddd").await.holds();
    k.close(fd).await.holds();
    let mut wanted = b"aaacc".to_vec();
    wanted.resize(11_998, 0);
    wanted.extend_from_slice(b"ddddbb");
    same_bytes(&k.read_file("/f").await.holds(), &wanted);
}
