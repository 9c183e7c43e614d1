//! An S3 server of moto on this machine, for as long as it is held.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Pid;

use crate::run::Run;
use crate::time::wait_until;
use crate::undo::{Act, Undo};
use crate::{place, tools};

/// How long a server may take to answer.
const STARTING: Duration = Duration::from_secs(60);

/// What this server lacks, in the words of the store's tests.
const GAPS: &str = "line-keys,put-if-match,complete-if,copy-source-if,unknown-upload,\
law:start_after_inside_a_folder,law:random_operations_give_what_a_map_gives,\
law:an_aborted_upload_is_gone,law:a_completed_upload_is_gone,law:an_upload_belongs_to_its_key,\
law:a_wrong_list_of_parts_is_refused,law:a_part_can_be_copied,law:a_copy_can_insist_on_its_source";

/// A running server with one bucket.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) endpoint: String,
    pub(crate) bucket: &'static str,
    python: PathBuf,
    _child: Child,
    _end: Undo,
}

impl Server {
    /// Starts it on a free port and makes the bucket.
    ///
    /// # Errors
    /// It cannot be installed or started.
    pub(crate) fn start() -> Result<Self> {
        let python = tools::python()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let log = std::fs::File::create(place::cache("log")?.join("moto.log"))?;
        let program = python.with_file_name("moto_server");
        let child = std::os::unix::process::CommandExt::process_group(
            Command::new(&program)
                .args(["-H", "127.0.0.1", "-p", &port.to_string()])
                .stdin(Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log),
            0,
        )
        .spawn()
        .with_context(|| format!("starting {}", program.display()))?;
        let end = Undo::new(Act::KillGroup(Pid::from_child(&child)));
        let server = Self {
            endpoint: format!("http://127.0.0.1:{port}"),
            bucket: "pail",
            python,
            _child: child,
            _end: end,
        };
        wait_until("the S3 server", STARTING, || {
            Ok(std::net::TcpStream::connect(("127.0.0.1", port)).ok())
        })?;
        server.client("make", "").ok()?;
        Ok(server)
    }

    /// The environment of a program that is to use it.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        [
            ("AWS_ENDPOINT_URL", &*self.endpoint),
            ("AWS_ACCESS_KEY_ID", "key"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_REGION", "us-east-1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    /// What the store's own tests read.
    pub(crate) fn for_store_tests(&self) -> String {
        format!("{}|{}|key|secret|{GAPS}", self.endpoint, self.bucket)
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
