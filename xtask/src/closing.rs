//! Closing a file and hearing what `close` says: the standard library does not tell.

use std::fs::File;
use std::os::fd::IntoRawFd as _;

/// Closes `file`.
///
/// # Errors
/// What `close(2)` answers: for a file of a FUSE mount, what its flush did. It is closed all the same.
#[expect(unsafe_code, reason = "only this call tells what closing answered")]
pub(crate) fn close(file: File) -> std::io::Result<()> {
    // SAFETY: the descriptor was owned by `file`, which gave it up just now; nobody else has it.
    match unsafe { libc::close(file.into_raw_fd()) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_file_is_closed() {
        use std::io::Read as _;
        let (mut reader, writer) = std::io::pipe().unwrap();
        close(File::from(std::os::fd::OwnedFd::from(writer))).unwrap();
        // Without the last writer a pipe ends; with one this would wait.
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    }
}
