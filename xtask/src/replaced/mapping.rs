//! A file mapped for reading. Pages are looked at by the kernel, which says `EFAULT` where a look of our own
//! would end the process with `SIGBUS`.

use std::fs::File;
use std::io::{Error, Result};
use std::os::unix::fs::FileExt as _;
use std::ptr::NonNull;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::content::BLOCK;

/// A mapping of a whole file.
pub(super) struct Mapping {
    start: NonNull<u8>,
    length: usize,
    /// Where the kernel copies pages to.
    copy: File,
}

impl Mapping {
    /// Maps the first `size` bytes of `file`; at least one.
    ///
    /// # Errors
    /// It cannot be mapped.
    pub(super) fn of(file: &File, size: u64) -> Result<Self> {
        let length = usize::try_from(size).map_err(Error::other)?;
        let name = "page";
        let copy = rustix::fs::memfd_create(name, rustix::fs::MemfdFlags::CLOEXEC)?;
        // SAFETY: the kernel chooses a free place, so that nothing of this process is mapped over.
        #[expect(unsafe_code, reason = "a page fault on a mount is what is tested")]
        let start = unsafe {
            let anywhere = std::ptr::null_mut();
            mmap(anywhere, length, ProtFlags::READ, MapFlags::SHARED, file, 0)?
        };
        let start = NonNull::new(start.cast()).ok_or_else(|| Error::other("mapped at zero"))?;
        Ok(Self {
            start,
            length,
            copy: copy.into(),
        })
    }

    /// The page at `place`, a multiple of its size within the file.
    ///
    /// # Errors
    /// `EFAULT`: the filesystem did not give it.
    pub(super) fn page(&self, place: u64) -> Result<Vec<u8>> {
        let place = usize::try_from(place).map_err(Error::other)?;
        if place >= self.length {
            return Err(Error::other("no such page"));
        }
        // SAFETY: the page begins within the mapping, whose last page is mapped whole (`mmap(2)`), and
        // nobody here looks at it: only `write(2)` does, which answers EFAULT where there is nothing.
        #[expect(unsafe_code, reason = "the address is given to a system call only")]
        let written = unsafe {
            let page = self.start.as_ptr().add(place);
            libc::pwrite(
                std::os::fd::AsRawFd::as_raw_fd(&self.copy),
                page.cast(),
                BLOCK,
                0,
            )
        };
        match usize::try_from(written) {
            Ok(BLOCK) => {}
            Ok(_) => return Err(rustix::io::Errno::FAULT.into()),
            Err(_) => return Err(Error::last_os_error()),
        }
        let mut page = vec![0; BLOCK];
        self.copy.read_exact_at(&mut page, 0)?;
        Ok(page)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length by `of`, and nothing borrows from it.
        #[expect(unsafe_code, reason = "what was mapped is unmapped")]
        let unmapped = unsafe { munmap(self.start.as_ptr().cast(), self.length) };
        debug_assert!(unmapped.is_ok(), "it was mapped");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_read_and_what_is_gone_is_an_error() {
        let file = tempfile::tempfile().unwrap();
        let content: Vec<u8> = (0..5000_u32)
            .map(|at| (at % 251).to_le_bytes()[0])
            .collect();
        file.write_all_at(&content, 0).unwrap();
        let mapping = Mapping::of(&file, 5000).unwrap();
        assert_eq!(mapping.page(0).unwrap(), content[..BLOCK]);
        let last = mapping.page(BLOCK as u64).unwrap();
        assert_eq!(last[..5000 - BLOCK], content[BLOCK..]);
        mapping.page(2 * BLOCK as u64).unwrap_err();
        file.set_len(0).unwrap();
        let error = mapping.page(0).unwrap_err();
        assert_eq!(
            error.raw_os_error(),
            Some(rustix::io::Errno::FAULT.raw_os_error())
        );
    }
}
