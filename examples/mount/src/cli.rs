//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

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

/// What can be done with a disk cache.
#[derive(Subcommand, Debug)]
pub(crate) enum Cache {
    /// Say what is in it, bucket by bucket
    Info {
        /// The folder that mounts have as --disk-cache
        folder: PathBuf,
        /// As JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// Read all of it and drop what is damaged; with exit code 1 if something was
    Verify {
        /// The folder that mounts have as --disk-cache
        folder: PathBuf,
    },
    /// Remove all that is in it; mounts go on
    Clear {
        /// The folder that mounts have as --disk-cache
        folder: PathBuf,
    },
}

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

const MOUNT: &str = "The mount";
const BUCKET: &str = "The bucket";
const TRAFFIC: &str = "Uploads and caches";

/// How a mount runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// At the terminal.
    Foreground,
    /// In the background: this process starts the one that does.
    Daemon,
    /// This is the one in the background.
    Detached,
}

#[derive(Args, Debug)]
pub(crate) struct Mount {
    /// The bucket: s3://BUCKET/PREFIX, file:///FOLDER or memory:
    pub(crate) url: String,
    /// Where to show it: an empty folder
    pub(crate) folder: PathBuf,
    #[arg(long, hide = true)]
    detached: bool,
    /// Where mounts keep their state and logs [default: ~/.local/state/cloudmount]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) state_dir: Option<PathBuf>,
    /// More settings, as TOML [default: ~/.config/cloudmount/config.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// What to log, as error, warn, info, debug, or by crate: warn,cloudmount_stage=debug
    #[arg(long, default_value = "warn,cloudmount=info", value_name = "FILTER")]
    pub(crate) log: String,
    /// Write what is read as a trace of numbers, when it ends; the kernel keeps nothing meanwhile
    #[arg(long, hide = true, value_name = "FILE")]
    pub(crate) record_reads: Option<PathBuf>,
    /// Go to the background once it is mounted
    #[arg(long, help_heading = MOUNT)]
    daemon: bool,
    /// Let other users in, too
    #[arg(long, help_heading = MOUNT)]
    allow_other: bool,
    /// Mount over a folder that is not empty
    #[arg(long, help_heading = MOUNT)]
    pub(crate) nonempty: bool,
    /// Allow no changes
    #[arg(long, help_heading = MOUNT)]
    read_only: bool,
    /// How long names and attributes are believed [default: 1s]
    #[arg(long, help_heading = MOUNT, value_name = "TIME")]
    ttl: Option<String>,
    /// Owner of files that name none [default: you]
    #[arg(long, help_heading = MOUNT)]
    uid: Option<u32>,
    /// Group of files that name none [default: yours]
    #[arg(long, help_heading = MOUNT)]
    gid: Option<u32>,
    /// Permissions of files that name none [default: 0644]
    #[arg(long, help_heading = MOUNT, value_name = "OCTAL")]
    file_mode: Option<String>,
    /// Permissions of folders that name none [default: 0755]
    #[arg(long, help_heading = MOUNT, value_name = "OCTAL")]
    dir_mode: Option<String>,
    /// The address of the S3 service, as https://s3.example.com [default: Amazon's]
    #[arg(long, help_heading = BUCKET, value_name = "URL")]
    endpoint: Option<String>,
    /// The region [default: us-east-1]
    #[arg(long, help_heading = BUCKET)]
    region: Option<String>,
    /// The profile of ~/.aws/credentials [default: AWS_PROFILE, else default]
    #[arg(long, help_heading = BUCKET)]
    profile: Option<String>,
    /// Sign no requests: for public buckets
    #[arg(long, help_heading = BUCKET)]
    anonymous: bool,
    /// Whether the bucket's name is in the path of requests, or in the host name: auto, always, never
    #[arg(long, help_heading = BUCKET, value_name = "WHEN")]
    path_style: Option<String>,
    /// What the S3 service can do: full, or minimal for simple servers
    #[arg(long, help_heading = BUCKET, value_name = "DIALECT")]
    s3_dialect: Option<String>,
    /// Take an http:// address that is not this machine: others can read along
    #[arg(long, help_heading = BUCKET)]
    allow_http: bool,
    /// Where files wait for upload, on a disk with room [default: below --state-dir]
    #[arg(long, help_heading = TRAFFIC, value_name = "FOLDER")]
    cache_dir: Option<PathBuf>,
    /// What close waits for: local or remote [default: local]
    #[arg(long, help_heading = TRAFFIC, value_name = "WHERE")]
    close: Option<String>,
    /// What fsync waits for: local or remote [default: local]
    #[arg(long, help_heading = TRAFFIC, value_name = "WHERE")]
    fsync: Option<String>,
    /// How attributes are written to objects: aws, s3fs, rclone; all are read [default: aws]
    #[arg(long, help_heading = TRAFFIC, value_name = "DIALECT")]
    attribute_dialect: Option<String>,
    /// What the page cache keeps of files that are written whole: nothing, bypass, or all, keep
    /// [default: bypass]
    #[arg(long, help_heading = TRAFFIC, value_name = "HOW")]
    write_cache: Option<String>,
    /// When someone else changed the object, too: keep-both, fail, overwrite [default: keep-both]
    #[arg(long, help_heading = TRAFFIC, value_name = "POLICY")]
    conflict: Option<String>,
    /// Memory for what was read [default: 256MiB, at most an eighth of what there is]
    #[arg(long, help_heading = TRAFFIC, value_name = "BYTES")]
    cache_memory: Option<String>,
    /// Which of it makes room: clock-pro, lru, fifo, sieve, s3-fifo, tiny-lfu [default: clock-pro]
    #[arg(long, help_heading = TRAFFIC, value_name = "STRATEGY")]
    cache_strategy: Option<String>,
    /// How much may wait for upload on the disk: who writes more waits [default: 3/4 of what is free]
    #[arg(long, help_heading = TRAFFIC, value_name = "BYTES")]
    staging_limit: Option<String>,
    /// How much of that copies of what was uploaded may take, to be read again [default: 1/4]
    #[arg(long, help_heading = TRAFFIC, value_name = "BYTES")]
    kept_limit: Option<String>,
    /// Keep on disk what was read, to be there after a restart [default: nowhere]
    #[arg(long, help_heading = TRAFFIC, value_name = "FOLDER")]
    disk_cache: Option<PathBuf>,
    /// Disk for all in that folder [default: 10GiB]
    #[arg(long, help_heading = TRAFFIC, value_name = "BYTES")]
    disk_cache_size: Option<String>,
    /// Uploading requests at once [default: 32]
    #[arg(long, help_heading = TRAFFIC, value_name = "NUMBER")]
    uploads: Option<String>,
    /// Reading requests at once [default: 64]
    #[arg(long, help_heading = TRAFFIC, value_name = "NUMBER")]
    downloads: Option<String>,
    /// Small files of a folder that is gone through, fetched ahead [default: 64; 0: none]
    #[arg(long, help_heading = TRAFFIC, value_name = "NUMBER")]
    files_ahead: Option<String>,
    /// How long the end waits for uploads [default: 1h]
    #[arg(long, help_heading = TRAFFIC, value_name = "TIME")]
    drain: Option<String>,
}

impl Mount {
    pub(crate) const fn way(&self) -> Way {
        match (self.detached, self.daemon) {
            (true, _) => Way::Detached,
            (false, true) => Way::Daemon,
            (false, false) => Way::Foreground,
        }
    }

    /// The settings that were given, by name.
    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let number = |number: Option<u32>| number.map(|number| number.to_string());
        let texts = [
            ("endpoint", self.endpoint.clone()),
            ("region", self.region.clone()),
            ("profile", self.profile.clone()),
            ("path-style", self.path_style.clone()),
            ("s3-dialect", self.s3_dialect.clone()),
            ("cache-dir", path(&self.cache_dir)),
            ("state-dir", path(&self.state_dir)),
            ("ttl", self.ttl.clone()),
            ("close", self.close.clone()),
            ("fsync", self.fsync.clone()),
            ("attribute-dialect", self.attribute_dialect.clone()),
            ("write-cache", self.write_cache.clone()),
            ("conflict", self.conflict.clone()),
            ("cache-memory", self.cache_memory.clone()),
            ("cache-strategy", self.cache_strategy.clone()),
            ("staging-limit", self.staging_limit.clone()),
            ("kept-limit", self.kept_limit.clone()),
            ("disk-cache", path(&self.disk_cache)),
            ("disk-cache-size", self.disk_cache_size.clone()),
            ("uploads", self.uploads.clone()),
            ("downloads", self.downloads.clone()),
            ("files-ahead", self.files_ahead.clone()),
            ("drain", self.drain.clone()),
            ("uid", number(self.uid)),
            ("gid", number(self.gid)),
            ("file-mode", self.file_mode.clone()),
            ("dir-mode", self.dir_mode.clone()),
        ];
        let switches = [
            ("read-only", self.read_only),
            ("allow-http", self.allow_http),
            ("allow-other", self.allow_other),
            ("anonymous", self.anonymous),
        ];
        let texts = texts
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        let switches = (switches.into_iter())
            .filter(|(_, is_on)| *is_on)
            .map(|(name, _)| (name, "true".to_owned()));
        texts.chain(switches).collect()
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

    #[test]
    fn flags_become_settings() {
        let line = "cloudmount mount --read-only --ttl 5s --uid 7 memory: /mnt";
        let Command::Mount(mount) = Cli::parse_from(line.split(' ')).command else {
            unreachable!("it says mount");
        };
        let settings = mount.settings();
        for pair in [("ttl", "5s"), ("uid", "7"), ("read-only", "true")] {
            assert!(settings.contains(&(pair.0, pair.1.to_owned())), "{pair:?}");
        }
        assert_eq!(settings.len(), 3);
        assert_eq!(mount.way(), Way::Foreground);
    }
}
