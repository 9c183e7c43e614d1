//! `/dev/fuse`, mount(2) and umount2(2), and `fusermount3` for users who may not call those.

use std::ffi::CString;
use std::fs::OpenOptions;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use rustix::process::{getgid, getuid};

use super::UnmountMode;
use super::error::{MountError, MountErrorKind};
use super::options::MountOptions;

pub(super) const PATH: &str = "/dev/fuse";

/// The part of the type after `fuse.`, by which remains of dead mounts are known as ours.
pub(super) const SUBTYPE: &str = "cloudmount";

const HELPER: &str = "fusermount3";

pub(super) fn open() -> io::Result<OwnedFd> {
    let device = OpenOptions::new().read(true).write(true).open(PATH)?;
    Ok(device.into())
}

/// Whether the kernel still has a filesystem behind the connection (`fuse_dev_poll`).
pub(super) fn is_connected(connection: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(connection, PollFlags::empty())];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let result = rustix::io::retry_on_intr(|| rustix::event::poll(&mut polled, Some(&now)));
    result.is_ok() && !polled[0].revents().contains(PollFlags::ERR)
}

/// Mounts at `target` and gives the connection to the kernel: by mount(2) where that is allowed,
/// otherwise by the set-uid helper.
pub(super) fn mount(target: &Path, options: &MountOptions) -> Result<OwnedFd, MountError> {
    let failed = |kind, error| MountError::new(kind, target).with_source(error);
    let forbidden = match open() {
        Ok(device) => match mount_directly(&device, target, options) {
            Ok(()) => return Ok(device),
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
                (MountErrorKind::NoHelper, error)
            }
            Err(error) => return Err(failed(MountErrorKind::Refused, error)),
        },
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            (MountErrorKind::DeviceForbidden, error)
        }
        // The node is there, but no driver behind it.
        Err(error) => return Err(failed(MountErrorKind::NoDevice, error)),
    };
    match mount_by_helper(target, options) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(failed(forbidden.0, forbidden.1))
        }
        // It opens the device as its caller.
        Err(error) if error.to_string().contains(PATH) => {
            Err(failed(MountErrorKind::DeviceForbidden, error))
        }
        // The helper's own words, see `util/fusermount.c` of libfuse.
        Err(error) if error.to_string().contains("user_allow_other") => {
            Err(failed(MountErrorKind::AllowOtherForbidden, error))
        }
        other => other.map_err(|error| failed(MountErrorKind::NotAllowed, error)),
    }
}

/// Options that the kernel itself knows.
fn kernel_options(options: &MountOptions) -> String {
    let mut list = format!("default_permissions,subtype={SUBTYPE}");
    if options.allow_other {
        list.push_str(",allow_other");
    }
    list
}

fn mount_directly(device: &OwnedFd, target: &Path, options: &MountOptions) -> io::Result<()> {
    let mut flags = MountFlags::NOSUID | MountFlags::NODEV;
    if options.read_only {
        flags |= MountFlags::RDONLY;
    }
    let data = format!(
        "fd={},rootmode={:o},user_id={},group_id={},{}",
        device.as_raw_fd(),
        libc::S_IFDIR,
        getuid().as_raw(),
        getgid().as_raw(),
        kernel_options(options),
    );
    let data = CString::new(data)?;
    let name = options.shown_name();
    Ok(rustix::mount::mount(
        name.as_str(),
        target,
        "fuse",
        flags,
        data.as_c_str(),
    )?)
}

fn mount_by_helper(target: &Path, options: &MountOptions) -> io::Result<OwnedFd> {
    let (ours, theirs) = UnixStream::pair()?;
    let access = if options.read_only { "ro" } else { "rw" };
    let list = format!(
        "{},fsname={},{access},nosuid,nodev",
        kernel_options(options),
        options.shown_name()
    );
    // The helper sends the connection over the socket that this variable names: its standard input.
    let child = Command::new(HELPER)
        .args(["-o", &list, "--"])
        .arg(target)
        .env("_FUSE_COMMFD", "0")
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let received = receive_descriptor(&ours);
    let output = child.wait_with_output()?;
    match received {
        Ok(Some(device)) if output.status.success() => Ok(device),
        Err(error) if output.status.success() => Err(error),
        _ => Err(complaint(&output)),
    }
}

fn complaint(output: &Output) -> io::Error {
    let text = String::from_utf8_lossy(&output.stderr);
    io::Error::other(format!("{HELPER}: {} ({})", text.trim(), output.status))
}

/// The descriptor in the one message that the helper sends; none if it gave up.
fn receive_descriptor(socket: &UnixStream) -> io::Result<Option<OwnedFd>> {
    let mut byte = [0_u8];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut buffers = [IoSliceMut::new(&mut byte)];
    let flags = RecvFlags::CMSG_CLOEXEC;
    rustix::io::retry_on_intr(|| rustix::net::recvmsg(socket, &mut buffers, &mut control, flags))?;
    let descriptor = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    Ok(descriptor)
}

/// Unmounts what is at `target`: the caller has made sure that it is the right one.
pub(super) fn unmount(target: &Path, mode: UnmountMode) -> Result<(), MountError> {
    let flags = match mode {
        UnmountMode::Plain => UnmountFlags::NOFOLLOW,
        UnmountMode::Lazy => UnmountFlags::NOFOLLOW | UnmountFlags::DETACH,
    };
    let failed = |kind, error| Err(MountError::new(kind, target).with_source(error));
    match rustix::mount::unmount(target, flags) {
        Ok(()) => Ok(()),
        Err(Errno::BUSY) => failed(MountErrorKind::Busy, Errno::BUSY.into()),
        Err(Errno::PERM) => match unmount_by_helper(target, mode) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                failed(MountErrorKind::NoHelper, error)
            }
            Err(error) if error.to_string().contains("busy") => failed(MountErrorKind::Busy, error),
            Err(error) => failed(MountErrorKind::NotAllowed, error),
        },
        Err(error) => failed(MountErrorKind::Io, error.into()),
    }
}

fn unmount_by_helper(target: &Path, mode: UnmountMode) -> io::Result<()> {
    let flags = match mode {
        UnmountMode::Plain => "-u",
        UnmountMode::Lazy => "-uz",
    };
    let output = Command::new(HELPER)
        .args([flags, "--"])
        .arg(target)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()?;
    if output.status.success() {
        Ok(())
    } else {
        Err(complaint(&output))
    }
}
