//! Shared mappings of files.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::ops::{Deref, DerefMut};
use std::os::fd::AsRawFd;

use cloudmount_vfs::CachePolicy;

use crate::mounted::{Mounted, on, scenario};
use crate::probe::Readiness;

/// The first `len` bytes of a file, mapped shared.
pub(crate) struct Mapping {
    start: *mut u8,
    len: usize,
}

impl Mapping {
    fn of(file: &File, len: usize) -> Self {
        Self::with(file, len, libc::PROT_READ | libc::PROT_WRITE)
    }

    /// For reading only: of a file that was opened for reading.
    pub(crate) fn to_read(file: &File, len: usize) -> Self {
        Self::with(file, len, libc::PROT_READ)
    }

    fn with(file: &File, len: usize, access: i32) -> Self {
        #[expect(unsafe_code, reason = "mapping files is what is tested")]
        // SAFETY: a new mapping, at an address of the kernel's choice.
        let start = unsafe {
            let fd = file.as_raw_fd();
            libc::mmap(std::ptr::null_mut(), len, access, libc::MAP_SHARED, fd, 0)
        };
        assert_ne!(
            start,
            libc::MAP_FAILED,
            "{}",
            std::io::Error::last_os_error()
        );
        let start = start.cast();
        Self { start, len }
    }

    fn sync(&self) {
        #[expect(unsafe_code, reason = "mapping files is what is tested")]
        // SAFETY: the range is the mapping.
        let result = unsafe { libc::msync(self.start.cast(), self.len, libc::MS_SYNC) };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    }
}

impl Deref for Mapping {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        #[expect(unsafe_code, reason = "mapping files is what is tested")]
        // SAFETY: mapped readable, this long, until drop; the tests change the file only through it.
        unsafe {
            std::slice::from_raw_parts(self.start, self.len)
        }
    }
}

impl DerefMut for Mapping {
    fn deref_mut(&mut self) -> &mut [u8] {
        #[expect(unsafe_code, reason = "mapping files is what is tested")]
        // SAFETY: as above, and mapped writable.
        unsafe {
            std::slice::from_raw_parts_mut(self.start, self.len)
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "mapping files is what is tested")]
        // SAFETY: nothing refers to the mapping any more.
        unsafe {
            libc::munmap(self.start.cast(), self.len);
        }
    }
}

fn map_and_write(mounted: &Mounted) {
    let path = mounted.path("file");
    fs::write(&path, vec![b'.'; 10_000]).unwrap();
    let file = File::options().read(true).write(true).open(&path).unwrap();
    let mut map = Mapping::of(&file, 10_000);
    assert!(map.iter().all(|byte| *byte == b'.'));
    map[5_000..5_004].copy_from_slice(b"here");
    map.sync();
    drop(map);
    assert_eq!(&fs::read(&path).unwrap()[4_999..5_005], b".here.");
}

#[test]
fn writes_through_a_mapping_arrive() {
    scenario(map_and_write);
}

#[test]
fn files_without_page_cache_can_be_mapped() {
    on(Readiness::Immediate, CachePolicy::Direct, map_and_write);
}

#[test]
fn a_mapping_of_a_file_that_appends_does_not_append() {
    scenario(|mounted| {
        let path = mounted.path("file");
        fs::write(&path, vec![b'.'; 8192]).unwrap();
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .open(&path)
            .unwrap();
        let mut map = Mapping::of(&file, 8192);
        map[100] = b'x';
        map.sync();
        drop(map);
        file.write_all(b"end").unwrap();
        drop(file);
        let bytes = fs::read(&path).unwrap();
        assert_eq!((bytes.len(), bytes[100]), (8195, b'x'));
        assert_eq!(&bytes[8190..], b"..end");
    });
}
