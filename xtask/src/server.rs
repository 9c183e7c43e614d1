//! S3 servers on this machine, for as long as they are held: moto, which honours conditions,
//! rclone, which is as poor as some real ones (no conditions, no copies of parts, no markers), and, on
//! demand, a cluster of Ceph.

use std::ffi::OsStr;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Pid;
use tempfile::TempDir;

use crate::run::Run;
use crate::time::wait_until;
use crate::undo::{Act, Undo};
use crate::{place, tools};

const BUCKET: &str = "pail";
const KEY: &str = "testing";
const SECRET: &str = "nothing-secret";

/// How long a server may take to answer.
const STARTING: Duration = Duration::from_secs(60);

/// What moto lacks, in the words of the store's tests. Concurrent writers of one key make it answer
/// 500 now and then.
const MOTO_GAPS: &str = "line-keys,put-if-match,complete-if,copy-source-if,unknown-upload,\
law:start_after_inside_a_folder,law:random_operations_give_what_a_map_gives,\
law:an_aborted_upload_is_gone,law:a_completed_upload_is_gone,law:an_upload_belongs_to_its_key,\
law:a_wrong_list_of_parts_is_refused,law:a_part_can_be_copied,law:a_copy_can_insist_on_its_source,\
law:concurrent_writers_leave_one_whole_object";

/// What Ceph's gateway lacks.
const RGW_GAPS: &str = "nul-keys,unknown-upload,law:start_after_inside_a_folder,\
law:random_operations_give_what_a_map_gives,law:an_aborted_upload_is_gone";

/// Where Ceph's gateway listens, and its monitor at the next two.
const RGW_PORT: u16 = 19_480;

/// What rclone lacks.
const RCLONE_GAPS: &str = "path-keys,long-keys,nul-keys,put-if-match,put-if-absent,complete-if,\
copy-source-if,copy-replace,steady-versions,part-copy,laws";

/// A running server with one bucket.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) endpoint: String,
    pub(crate) bucket: &'static str,
    gaps: &'static str,
    python: PathBuf,
    _data: Option<TempDir>,
    _child: Option<Child>,
    _end: Undo,
}

impl Server {
    /// Starts moto, and makes the bucket.
    ///
    /// # Errors
    /// It cannot be installed or started.
    pub(crate) fn moto() -> Result<Self> {
        let python = tools::python()?;
        let server = Self::start(python, MOTO_GAPS, None, |program, port| {
            let mut command = Command::new(program.with_file_name("moto_server"));
            command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
            command
        })?;
        server.client("make", "").ok()?;
        Ok(server)
    }

    /// Starts rclone over a folder of its own, whose folder is the bucket.
    ///
    /// # Errors
    /// It cannot be installed or started.
    pub(crate) fn rclone() -> Result<Self> {
        let python = tools::python()?;
        let data = tempfile::Builder::new().prefix("cloudmount-").tempdir()?;
        std::fs::create_dir(data.path().join(BUCKET))?;
        let folder = data.path().to_owned();
        Self::start(python, RCLONE_GAPS, Some(data), |program, port| {
            let mut command = Command::new(program.with_file_name("rclone"));
            command
                .args(["serve", "s3", "--addr", &format!("127.0.0.1:{port}")])
                .args(["--auth-key", &format!("{KEY},{SECRET}")])
                .arg(&folder);
            command
        })
    }

    /// Starts a cluster of Ceph with its gateway, and makes the bucket. It stays installed.
    ///
    /// # Errors
    /// It needs root; it cannot be installed or started.
    pub(crate) fn rgw() -> Result<Self> {
        if !place::is_root() {
            bail!("a cluster of Ceph needs root");
        }
        let python = tools::python()?;
        let root = match place::variable("XTASK_RGW_ROOT") {
            Some(root) => PathBuf::from(root),
            None => place::cache("rgw")?,
        };
        let script = place::root().join("xtask/suites/rgw.sh");
        let words = |word: &str| {
            let words = [OsStr::new("bash"), script.as_os_str(), root.as_os_str()];
            let words = words.into_iter().chain([OsStr::new(word)]);
            words.map(OsStr::to_owned).collect()
        };
        let end = Undo::new(Act::Call(words("down")));
        Run::new("bash")
            .arg(&script)
            .arg(&root)
            .arg("up")
            .arg(RGW_PORT.to_string())
            .within(Duration::from_secs(1800))
            .ok()?;
        let server = Self {
            endpoint: format!("http://127.0.0.1:{RGW_PORT}"),
            bucket: BUCKET,
            gaps: RGW_GAPS,
            python,
            _data: None,
            _child: None,
            _end: end,
        };
        server.client("make", "").ok()?;
        Ok(server)
    }

    fn start(
        python: PathBuf,
        gaps: &'static str,
        data: Option<TempDir>,
        command: impl FnOnce(&Path, u16) -> Command,
    ) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let log = std::fs::File::create(place::cache("log")?.join(format!("s3-{port}.log")))?;
        let mut command = command(&python, port);
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let child = std::os::unix::process::CommandExt::process_group(&mut command, 0)
            .spawn()
            .context("starting the S3 server")?;
        let end = Undo::new(Act::KillGroup(Pid::from_child(&child)));
        wait_until("the S3 server", STARTING, || {
            Ok(std::net::TcpStream::connect(("127.0.0.1", port)).ok())
        })?;
        Ok(Self {
            endpoint: format!("http://127.0.0.1:{port}"),
            bucket: BUCKET,
            gaps,
            python,
            _data: data,
            _child: Some(child),
            _end: end,
        })
    }

    /// The environment of a program that is to use it.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        [
            ("AWS_ENDPOINT_URL", &*self.endpoint),
            ("AWS_ACCESS_KEY_ID", KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_REGION", "us-east-1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    /// What the store's own tests read.
    pub(crate) fn for_store_tests(&self) -> String {
        format!(
            "{}|{}|{KEY}|{SECRET}|{}",
            self.endpoint, self.bucket, self.gaps
        )
    }

    /// The plain client: `make` makes the bucket, `sums` prints the SHA-256 and the key of each object
    /// that starts with `prefix`.
    pub(crate) fn client(&self, what: &str, prefix: &str) -> Run {
        Run::new(&self.python)
            .arg("-c")
            .arg(include_str!("client.py"))
            .arg(what)
            .arg(self.bucket)
            .arg(prefix)
            .envs(&self.environment())
    }
}
