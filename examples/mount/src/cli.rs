//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::flags::{Flags, MOUNT};

const EXAMPLES: &str = "\
Examples:
  A folder of this machine as the bucket, to try it out:
    cloudmount mount file:///srv/bucket /mnt/bucket
  A bucket at Amazon, with the keys of your AWS profile:
    cloudmount mount s3://my-bucket /mnt/bucket
  Part of a bucket at another provider, in the background:
    AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=… \\
      cloudmount mount --daemon --endpoint https://s3.example.com s3://my-bucket/photos /mnt/photos
  What is being uploaded, what is written now in the bucket before going on, and the end:
    cloudmount status /mnt/photos
    cloudmount flush --wait /mnt/photos/2026
    cloudmount umount /mnt/photos";

const MORE: &str = "\
Credentials are found as Amazon's own tools find them: AWS_ACCESS_KEY_ID and
AWS_SECRET_ACCESS_KEY (with AWS_SESSION_TOKEN, if they are temporary), else the profile
(--profile or AWS_PROFILE) in ~/.aws/credentials and ~/.aws/config, else the role of the
machine. AWS_ENDPOINT_URL and AWS_REGION count, too.

Every setting can also stand in the file, as uploads = 16, or in the environment, as
CLOUDMOUNT_UPLOADS=16. Flags win over the environment, and that over the file.

Files are in the bucket some moments after they are closed; until then they are kept on this
machine, also through a crash. The end of a mount (umount, Ctrl-C) waits until all is
uploaded. A second Ctrl-C does not: the next mount goes on.

Examples:
  cloudmount mount s3://my-bucket /mnt/bucket
  cloudmount mount --endpoint http://127.0.0.1:9000 s3://my-bucket /mnt/minio
  cloudmount mount --daemon --read-only --anonymous s3://public-bucket/data /mnt/data";

/// Use object storage as a folder.
#[derive(Parser, Debug)]
#[command(name = "cloudmount", version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Show a bucket at a folder, until `umount`, Ctrl-C or SIGTERM
    #[command(after_help = MORE)]
    Mount(Box<Mount>),
    /// End a mount: upload what waits, and say what could not be uploaded
    Umount {
        /// Where it is mounted
        folder: PathBuf,
        /// Also while it is in use: out of sight at once, ended when the last file is closed
        #[arg(long, short = 'z')]
        lazy: bool,
    },
    /// Say how a mount stands: uploads, errors, caches, requests; or how a file in it does
    Status {
        /// Where it is mounted, or a file or folder in it
        path: PathBuf,
        /// As JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// Look at all that a mount needs, and say what is wrong and what to do
    #[command(after_help = DOCTOR)]
    Doctor(Box<Doctor>),
    /// Look after the folder of a disk cache, also while mounts use it
    Cache {
        /// What to do
        #[command(subcommand)]
        command: Cache,
    },
    /// The names of the moments at which a crash test may kill a mount
    #[cfg(feature = "failpoints")]
    #[command(hide = true)]
    Failpoints,
    /// Keep keys in the keychain of the desktop, for --keychain
    #[cfg(feature = "keyring")]
    Credentials {
        /// What to do
        #[command(subcommand)]
        command: Credentials,
    },
    /// Upload now what waits: of a mount, or of a file or folder in it
    #[command(after_help = FLUSH)]
    Flush {
        /// A mount point, or a file or folder in the mount
        path: PathBuf,
        /// Return when it is in the bucket; with exit code 1 if something is not
        #[arg(long)]
        wait: bool,
        /// How long to wait, as 30s or 5m [default: without end]
        #[arg(long, value_name = "TIME", requires = "wait", value_parser = time)]
        timeout: Option<Duration>,
    },
    /// Start no new uploads; what is written waits on this machine
    Pause {
        /// Where it is mounted
        folder: PathBuf,
    },
    /// Go on after `pause`
    Resume {
        /// Where it is mounted
        folder: PathBuf,
    },
    /// Show what the bucket has now, when someone else has just changed it
    Invalidate {
        /// A file or folder in the mount, with all below it; or the mount itself
        path: PathBuf,
    },
    /// Begin anew with the network: new connections, names resolved again, and no waiting for the next try
    Reconnect {
        /// Where it is mounted
        folder: PathBuf,
    },
    /// Try now what failed, instead of when its time comes
    Retry {
        /// Where it is mounted
        folder: PathBuf,
        /// Files and folders in it [default: all that failed]
        paths: Vec<PathBuf>,
    },
    /// Give up uploads, removals and renames that wait: then the mount shows what the bucket has
    #[command(after_help = DROP)]
    Drop {
        /// Where it is mounted
        folder: PathBuf,
        /// Files and folders in it; folders with all below them
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        /// Delete what was written, instead of setting it aside
        #[arg(long)]
        discard: bool,
    },
}

/// What is done with keys in the keychain.
#[cfg(feature = "keyring")]
#[derive(Subcommand, Debug)]
pub(crate) enum Credentials {
    /// Keep a key: it asks for it, or reads it from its standard input, as two or three lines
    Store {
        /// The name of the entry
        name: String,
    },
    /// Take a key out of it
    Remove {
        /// The name of the entry
        name: String,
    },
}

/// What can be done with a disk cache, and with the folder in which attributes are kept.
#[derive(Subcommand, Debug)]
pub(crate) enum Cache {
    /// Say what is in it, bucket by bucket
    Info {
        /// The folder that mounts have as --disk-cache, or attributes/ below --cache-dir or --state-dir
        folder: PathBuf,
        /// As JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// Read all of it and drop what is damaged; with exit code 1 if something was
    Verify {
        /// The folder that mounts have as --disk-cache, or attributes/ below --cache-dir or --state-dir
        folder: PathBuf,
    },
    /// Remove all that is in it; mounts go on
    Clear {
        /// The folder that mounts have as --disk-cache, or attributes/ below --cache-dir or --state-dir
        folder: PathBuf,
    },
}

const DOCTOR: &str = "\
The exit code is 1 if something is found that keeps a mount from working. Nothing is changed, but
for a file on each disk that is removed at once. With --write, scratch objects of some bytes are
written to the bucket and removed: their names begin with .cloudmount-probe-.";

const FLUSH: &str = "\
Files that are being written are uploaded as they are now, as with fsync, and again when they are
closed.";

const DROP: &str = "\
What was written is set aside: `cloudmount status` says where. A rename is given up together with
the removal of its old name. Files that are open for writing are not given up.";

fn time(text: &str) -> Result<Duration, String> {
    let time = serde_json::from_value::<cloudmount::Span>(text.into());
    time.map(|time| time.0)
        .map_err(|_| "write it as 500ms, 30s, 5m or 1h".to_owned())
}

/// How a mount runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// At the terminal.
    Foreground,
    /// In the background: this process starts the one that does.
    Daemon,
    /// This is the one in the background.
    Detached,
    /// This is the one that a supervisor started, and starts again when it crashes.
    Supervised,
}

/// Which start of a mount it is, for a supervisor.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Start {
    /// The first one.
    First,
    /// One after a crash.
    Again,
}

impl Way {
    /// Whether somebody waits to hear on standard output how it begins, and Ctrl-C is theirs.
    pub(crate) const fn has_parent(self) -> bool {
        matches!(self, Self::Detached | Self::Supervised)
    }
}

#[derive(Args, Debug)]
pub(crate) struct Doctor {
    /// The bucket, as for a mount
    pub(crate) url: Option<String>,
    /// Where it would be mounted
    pub(crate) folder: Option<PathBuf>,
    /// As JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,
    /// Also write to the bucket, and find out what it honours
    #[arg(long)]
    pub(crate) write: bool,
    #[command(flatten)]
    pub(crate) flags: Flags,
}

#[derive(Args, Debug)]
pub(crate) struct Mount {
    /// The bucket: s3://BUCKET/PREFIX, file:///FOLDER or memory:
    pub(crate) url: String,
    /// Where to show it: an empty folder
    pub(crate) folder: PathBuf,
    #[arg(long, hide = true)]
    detached: bool,
    #[arg(long, hide = true)]
    supervised: Option<Start>,
    /// What to log, as error, warn, info, debug, or by crate: warn,cloudmount_stage=debug
    #[arg(long, default_value = "warn,cloudmount=info", value_name = "FILTER")]
    pub(crate) log: String,
    /// Write what is read as a trace of numbers, when it ends; the kernel keeps nothing meanwhile
    #[arg(long, hide = true, value_name = "FILE")]
    pub(crate) record_reads: Option<PathBuf>,
    /// Go to the background once it is mounted
    #[arg(long, help_heading = MOUNT)]
    daemon: bool,
    /// Start it again when it crashes: what was accepted is all there again
    #[arg(long, help_heading = MOUNT)]
    supervise: bool,
    /// Mount over a folder that is not empty
    #[arg(long, help_heading = MOUNT)]
    nonempty: bool,
    #[command(flatten)]
    pub(crate) flags: Flags,
}

impl Mount {
    pub(crate) const fn way(&self) -> Way {
        match (self.supervised.is_some(), self.detached, self.daemon) {
            (true, ..) => Way::Supervised,
            (false, true, _) => Way::Detached,
            (false, false, true) => Way::Daemon,
            (false, false, false) => Way::Foreground,
        }
    }

    /// Whether this process only watches over another one, which serves.
    pub(crate) const fn is_supervisor(&self) -> bool {
        self.supervise && self.supervised.is_none()
    }

    /// Whether what is in the folder is of no concern: it was looked at when this was mounted first.
    pub(crate) fn may_cover(&self) -> bool {
        self.nonempty || self.supervised == Some(Start::Again)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    /// The line of the unit for systemd is one of ours.
    #[test]
    fn the_unit_is_sound() {
        let unit = include_str!("../systemd/cloudmount@.service");
        let line = unit
            .lines()
            .find_map(|line| line.strip_prefix("ExecStart="));
        let line = line
            .unwrap()
            .replace("${URL}", "memory:")
            .replace("${FOLDER}", "/mnt");
        let Command::Mount(mount) = Cli::parse_from(line.split(' ')).command else {
            unreachable!("it says mount");
        };
        assert!(mount.is_supervisor() && mount.way() == Way::Foreground);
        for line in ["Type=notify", "KillMode=mixed", "TimeoutStopSec=infinity"] {
            assert!(unit.lines().any(|one| one == line), "{line}");
        }
    }

    #[test]
    fn flags_become_settings() {
        let times = "--ttl 5s --attr-ttl 1s --entry-ttl 2s --negative-ttl 3s --listing-ttl 4s";
        let line = format!("cloudmount mount --read-only {times} --uid 7 memory: /mnt");
        let Command::Mount(mount) = Cli::parse_from(line.split(' ')).command else {
            unreachable!("it says mount");
        };
        let settings = mount.flags.settings();
        for pair in [
            ("ttl", "5s"),
            ("attr-ttl", "1s"),
            ("entry-ttl", "2s"),
            ("negative-ttl", "3s"),
            ("listing-ttl", "4s"),
            ("uid", "7"),
            ("read-only", "true"),
        ] {
            assert!(settings.contains(&(pair.0, pair.1.to_owned())), "{pair:?}");
        }
        assert_eq!(settings.len(), 7);
        assert_eq!(mount.way(), Way::Foreground);
    }
}
