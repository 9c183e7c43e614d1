//! S3 servers on this machine, for as long as they are held: moto, which honours most conditions;
//! rclone, which is as poor as some real ones (no conditions, no copies of parts, no markers); and
//! on demand, Ceph's RGW, a real cluster of one.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use rustix::process::Pid;

use crate::network::Side;
use crate::rival::Rival;
use crate::run::Run;
use crate::time::wait_until;
use crate::undo::{Act, Undo};
use crate::{place, tools};

const BUCKET: &str = "pail";
const KEY: &str = "testing";
const SECRET: &str = "nothing-secret";
/// The plain client's program.
const CLIENT: &str = include_str!("client.py");

/// How long a server may take to answer; Ceph takes a quarter of a minute.
const STARTING: Duration = Duration::from_secs(120);
/// How many last lines of its log are shown when it does not start.
const SHOWN_LINES: usize = 10;

/// What moto lacks, in the words of the store's tests. Concurrent writers of one key make it answer
/// 500 now and then.
const MOTO_GAPS: &str = "line-keys,put-if-match,complete-if,copy-source-if,delete-many-if,unknown-upload,\
law:many_removals_insist_each_on_its_own,\
law:start_after_inside_a_folder,law:random_operations_give_what_a_map_gives,\
law:an_aborted_upload_is_gone,law:a_completed_upload_is_gone,law:an_upload_belongs_to_its_key,\
law:a_wrong_list_of_parts_is_refused,law:a_part_can_be_copied,law:a_copy_can_insist_on_its_source,\
law:concurrent_writers_leave_one_whole_object";

/// What rclone lacks. When it reads a folder of its disk again, it shows control characters in names as pictures
/// of them (rclone.org/overview, "Encoding").
const RCLONE_GAPS: &str = "path-keys,control-keys,line-keys,long-keys,nul-keys,put-if-match,put-if-absent,complete-if,\
copy-source-if,delete-if,delete-many-if,copy-replace,expires,steady-versions,part-copy,laws";

/// What RGW lacks.
const RGW_GAPS: &str = "nul-keys,unknown-upload,law:start_after_inside_a_folder,\
law:random_operations_give_what_a_map_gives,law:an_aborted_upload_is_gone,\
law:a_copy_has_the_tags_of_its_source,law:a_removal_and_a_write_do_not_both_win";

/// A kind of server.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Kind {
    /// From Python's moto: honours most conditions, checks no signatures
    Moto,
    /// From rclone: no conditions, no copies of parts, no markers
    Rclone,
    /// Ceph's gateway with a cluster of one, in a chroot; needs root, and 1.2 GB once
    Rgw,
}

/// A running server with one bucket.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) kind: Kind,
    pub(crate) endpoint: String,
    pub(crate) bucket: &'static str,
    /// Where it runs; `None`: in this machine's own network.
    side: Option<Side>,
    python: PathBuf,
    log: PathBuf,
    child: Child,
    // The process goes before its data.
    _end: Undo,
    _data: Undo,
}

impl Kind {
    /// What it is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Moto => "moto",
            Self::Rclone => "rclone",
            Self::Rgw => "rgw",
        }
    }

    /// What it lacks, in the words of the store's tests.
    fn gaps(self) -> &'static str {
        match self {
            Self::Moto => MOTO_GAPS,
            Self::Rclone => RCLONE_GAPS,
            Self::Rgw => RGW_GAPS,
        }
    }

    /// Whether it refuses who has other keys than its own.
    pub(crate) fn checks_signatures(self) -> bool {
        self != Self::Moto
    }

    /// Whether it keeps metadata and markers.
    pub(crate) fn keeps_attributes(self) -> bool {
        self != Self::Rclone
    }

    /// The server on `port`, with its data in a folder of its own.
    fn command(self, python: &Path, data: &Path, port: u16) -> Result<Command> {
        let mut command;
        match self {
            Self::Moto => {
                command = Command::new(python.with_file_name("moto_server"));
                command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
                // Or it takes the first part of any host's name for the bucket.
                command.env("S3_IGNORE_SUBDOMAIN_BUCKETNAME", "true");
            }
            Self::Rclone => {
                command = Command::new(python.with_file_name("rclone"));
                command
                    .args(["serve", "s3", "--addr", &format!("127.0.0.1:{port}")])
                    .args(["--auth-key", &format!("{KEY},{SECRET}")])
                    .arg(data);
            }
            Self::Rgw => {
                let chroot = tools::ceph()?;
                command = Command::new("unshare");
                // What is unmounted outside must be unmounted in there, too, or who ends a mount waits for this server.
                command
                    .args(["-m", "--propagation", "slave", "bash"])
                    .arg(place::root().join("xtask/servers/rgw.sh"))
                    .arg(chroot)
                    .arg(data)
                    .args([free_port()?.to_string(), port.to_string()])
                    .args([KEY, SECRET]);
            }
        }
        Ok(command)
    }
}

impl Server {
    /// Starts one, and makes the bucket.
    ///
    /// # Errors
    /// It cannot be installed or started.
    pub(crate) fn start(kind: Kind) -> Result<Self> {
        Self::start_on(kind, None)
    }

    /// The same on a side of a network. Its endpoint is as it is reached from there.
    ///
    /// # Errors
    /// As above.
    pub(crate) fn start_on(kind: Kind, side: Option<&Side>) -> Result<Self> {
        let python = tools::python()?;
        let port = free_port()?;
        let folder = tempfile::Builder::new().prefix("cloudmount-").tempdir()?;
        let folder = folder.keep();
        let data = Undo::new(Act::Remove(folder.clone()));
        let log = place::cache("log")?.join(format!("{}-{port}.log", kind.name()));
        let output = std::fs::File::create(&log)?;
        let mut command = kind.command(&python, &folder, port)?;
        if let Some(side) = side {
            command = side.command(&command);
        }
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let child = std::os::unix::process::CommandExt::process_group(&mut command, 0)
            .spawn()
            .with_context(|| format!("starting {}", kind.name()))?;
        let end = Undo::new(Act::KillGroup(Pid::from_child(&child)));
        let mut server = Self {
            kind,
            endpoint: format!("http://127.0.0.1:{port}"),
            bucket: BUCKET,
            side: side.cloned(),
            python,
            log,
            child,
            _end: end,
            _data: data,
        };
        wait_until(kind.name(), STARTING, || {
            server.alive()?;
            let connect = || Ok(TcpStream::connect(("127.0.0.1", port)).ok());
            side.map_or_else(connect, |side| side.inside(connect))
        })?;
        server.client("make", "").ok()?;
        Ok(server)
    }

    /// Looks whether it is still there.
    ///
    /// # Errors
    /// It ended, with what it said last.
    pub(crate) fn alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{}", self.last_words(status)),
        }
    }

    fn last_words(&self, status: ExitStatus) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let last = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
        format!("{} ended: {status}\n{}", self.kind.name(), last.join("\n"))
    }

    /// The environment of a program that is to use it.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        self.environment_at(&self.endpoint)
    }

    /// The same, where the program is to come by way of `endpoint`: a proxy's.
    pub(crate) fn environment_at(&self, endpoint: &str) -> Vec<(String, String)> {
        [
            ("AWS_ENDPOINT_URL", endpoint),
            ("AWS_ACCESS_KEY_ID", KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_REGION", "us-east-1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    /// What the store's own tests read, to come by way of `endpoint`.
    pub(crate) fn for_store_tests(&self, endpoint: &str) -> String {
        let gaps = self.kind.gaps();
        format!("{endpoint}|{}|{KEY}|{SECRET}|{gaps}", self.bucket)
    }

    /// The plain client: `make` makes the bucket, `drop` removes it with all that is in it, `put` writes the file that follows to the key `prefix`, `uploads`
    /// prints the time, the name and the key of each upload in parts that is not ended, `sums` prints the SHA-256 and the key of each object
    /// that starts with `prefix`, `fetch` writes each into the folder that follows, and prints the name of the
    /// file and the key; `save` copies all objects into the folder `prefix`, and prints the file and the key of
    /// each.
    pub(crate) fn client(&self, what: &str, prefix: &str) -> Run {
        let python = match &self.side {
            Some(side) => side.run(&self.python),
            None => Run::new(&self.python),
        };
        python
            .arg("-c")
            .arg(CLIENT)
            .arg(what)
            .arg(self.bucket)
            .arg(prefix)
            .envs(&self.environment())
    }

    /// The same client as one that stays.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn rival(&self) -> Result<Rival> {
        let mut command = Command::new(&self.python);
        let all = self.environment();
        command
            .args(["-c", CLIENT, "change", self.bucket, ""])
            .envs(all.iter().map(|(name, value)| (name, value)));
        if let Some(side) = &self.side {
            command = side.command(&command);
        }
        Rival::start(command)
    }
}

/// A port that nobody listens on now.
///
/// # Errors
/// There is none.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_ends_is_told_with_its_last_words() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        std::fs::write(&log, "first\nlast\n").unwrap();
        let child = Command::new("false").spawn().unwrap();
        let mut server = Server {
            kind: Kind::Moto,
            endpoint: String::new(),
            bucket: BUCKET,
            side: None,
            python: PathBuf::new(),
            log,
            child,
            _end: Undo::new(Act::Remove(dir.path().join("none"))),
            _data: Undo::new(Act::Remove(dir.path().join("nothing"))),
        };
        server.child.wait().unwrap();
        let said = server.alive().unwrap_err().to_string();
        assert_eq!(said, "moto ended: exit status: 1\nfirst\nlast");
    }
}
