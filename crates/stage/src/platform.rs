//! What systems call by different names: room on the disk, holes, pages, and which start this is.
//!
//! Laws: nothing here makes a file shorter; what a system cannot do is told as `NOSYS` or `OPNOTSUPP`, never
//! passed over. That a file survives a power cut is asked of `File::sync_all` and `sync_data`, which the
//! standard library carries out as `F_FULLFSYNC` on macOS.

pub(crate) use self::system::{allocate, boot_id, drop_pages, punch, sync_filesystem};

#[cfg(not(target_vendor = "apple"))]
mod system {
    use std::fs::File;
    use std::num::NonZeroU64;

    use rustix::fs::{Advice, FallocateFlags, fadvise, fallocate, syncfs};
    use rustix::io::Errno;

    /// Makes the file at least `offset + length` bytes long, with room on the disk for the range.
    pub(crate) fn allocate(file: &File, offset: u64, length: u64) -> Result<(), Errno> {
        fallocate(file, FallocateFlags::empty(), offset, length)
    }

    /// Gives the room of a range back; it reads as zeros then.
    pub(crate) fn punch(file: &File, offset: u64, length: u64) -> Result<(), Errno> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(file, flags, offset, length)
    }

    /// Tells that a range need not stay in memory.
    pub(crate) fn drop_pages(file: &File, offset: u64, length: u64) -> Result<(), Errno> {
        fadvise(file, offset, NonZeroU64::new(length), Advice::DontNeed)
    }

    /// Makes all of the filesystem that `folder` is on survive a power cut.
    pub(crate) fn sync_filesystem(folder: &File) -> Result<(), Errno> {
        syncfs(folder)
    }

    /// What changes with each start of the machine; empty where the system does not tell.
    pub(crate) fn boot_id() -> String {
        std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .map(|text| text.trim().to_owned())
            .unwrap_or_default()
    }
}

#[cfg(target_vendor = "apple")]
mod system {
    use std::fs::File;
    use std::os::fd::AsRawFd;

    use rustix::fs::FallocateFlags;
    use rustix::io::Errno;

    /// What APFS gives back at a time, in bytes ("man 2 fcntl", `F_PUNCHHOLE`: offset and length must be
    /// multiples of the block size of the filesystem).
    const BLOCK_BYTES: u64 = 4096;

    /// Makes the file at least `offset + length` bytes long, with room on the disk.
    pub(crate) fn allocate(file: &File, offset: u64, length: u64) -> Result<(), Errno> {
        let end = offset.checked_add(length).ok_or(Errno::FBIG)?;
        let size = file.metadata().map_err(|_| Errno::IO)?.len();
        if end <= size {
            // `F_PREALLOCATE` counts from the end only, and what rustix does after it cuts the file.
            return Ok(());
        }
        rustix::fs::fallocate(file, FallocateFlags::empty(), offset, length)
    }

    /// Gives the room of a range back; it reads as zeros then. `OPNOTSUPP` if it is not made of whole
    /// blocks.
    pub(crate) fn punch(file: &File, offset: u64, length: u64) -> Result<(), Errno> {
        let is_whole = |at: u64| at.is_multiple_of(BLOCK_BYTES);
        if !is_whole(offset) || !is_whole(length) {
            return Err(Errno::OPNOTSUPP);
        }
        let number = |at: u64| libc::off_t::try_from(at).map_err(|_| Errno::FBIG);
        let hole = libc::fpunchhole_t {
            fp_flags: 0,
            reserved: 0,
            fp_offset: number(offset)?,
            fp_length: number(length)?,
        };
        #[expect(unsafe_code, reason = "no crate has a safe call for F_PUNCHHOLE")]
        // SAFETY: the descriptor is open while `file` is borrowed, and the call reads one `fpunchhole_t`,
        // which outlives it.
        let done = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_PUNCHHOLE, &raw const hole) };
        if done == 0 { Ok(()) } else { Err(last()) }
    }

    /// What is read or written through this descriptor from here on does not stay in memory: the system
    /// has no call for a range, and `file` is asked only once its bytes were sent.
    pub(crate) fn drop_pages(file: &File, _: u64, _: u64) -> Result<(), Errno> {
        rustix::fs::fcntl_nocache(file, true)
    }

    /// There is no call that waits for a whole filesystem.
    pub(crate) const fn sync_filesystem(_: &File) -> Result<(), Errno> {
        Err(Errno::NOSYS)
    }

    /// What changes with each start of the machine (`sysctl kern.bootsessionuuid`, a text of 36 bytes);
    /// empty where the system does not tell.
    pub(crate) fn boot_id() -> String {
        let mut text = [0_u8; 64];
        let mut length = text.len();
        #[expect(unsafe_code, reason = "no crate has a safe call for sysctlbyname")]
        // SAFETY: the name ends with NUL, and the call writes at most `length` bytes to `text`, which has
        // as many, and then their number to `length`; both outlive it.
        let done = unsafe {
            libc::sysctlbyname(
                c"kern.bootsessionuuid".as_ptr(),
                text.as_mut_ptr().cast(),
                &raw mut length,
                std::ptr::null_mut(),
                0,
            )
        };
        if done != 0 {
            return String::new();
        }
        let told = text.get(..length).unwrap_or_default();
        let told = String::from_utf8_lossy(told);
        told.trim_end_matches('\0').to_owned()
    }

    fn last() -> Errno {
        let error = std::io::Error::last_os_error();
        Errno::from_io_error(&error).unwrap_or(Errno::IO)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn room_is_made_and_given_back_and_nothing_gets_shorter() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[1; 20_000], 0).unwrap();
        // Within the file, up to its end, and beyond.
        for (offset, length, size) in [
            (0, 10_000, 20_000),
            (4096, 15_904, 20_000),
            (0, 30_000, 30_000),
        ] {
            allocate(&file, offset, length).unwrap();
            assert_eq!(file.metadata().unwrap().len(), size);
        }
        punch(&file, 4096, 8192).unwrap();
        drop_pages(&file, 0, 20_000).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 30_000);
        let mut bytes = vec![9; 30_000];
        file.read_exact_at(&mut bytes, 0).unwrap();
        let of = |at: usize| bytes[at];
        assert_eq!(
            [0, 4095, 4096, 12_287, 12_288, 19_999, 20_000].map(of),
            [1, 1, 0, 0, 1, 1, 0]
        );
    }

    #[test]
    fn a_start_of_the_machine_has_one_name() {
        assert_eq!(boot_id(), boot_id());
        assert!(!boot_id().is_empty());
    }
}
