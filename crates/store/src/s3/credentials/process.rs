//! Credentials of a program of the user's (`credential_process`).
//!
//! Source: "Process credential provider", AWS SDKs and Tools Reference Guide.
//!
//! Laws: no shell sees the command; what the program prints, to either side, is shown nowhere; one that takes too long is
//! killed.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cloudmount_vfs::Clock;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use super::lease::{Fetch, Lease};
use super::printed;
use crate::{Error, ErrorKind, Result, Secret};

/// How long the program may take: it may ask a person, or a service that is slow.
const LIMIT: Duration = Duration::from_secs(60);

/// Bytes of its answer that are read: some times what session tokens come to.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// A program that prints credentials.
#[derive(Debug)]
pub(super) struct Process {
    /// The program, and what it is told.
    pub(super) command: Vec<Secret>,
    pub(super) clock: Arc<dyn Clock>,
}

#[async_trait]
impl Fetch for Process {
    fn limit(&self) -> Duration {
        LIMIT
    }

    async fn fetch(&self) -> Result<Lease> {
        let failed = |why: &str| {
            let context = format!("credential_process: {why}");
            Error::new(ErrorKind::Unauthorized, context)
        };
        let (program, arguments) =
            (self.command.split_first()).ok_or_else(|| failed("it is empty"))?;
        let mut child = Command::new(program.expose())
            .args(arguments.iter().map(Secret::expose))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // It may hold what is secret.
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| failed("the program cannot be started").with_source(error))?;
        let mut answer = Vec::new();
        if let Some(out) = child.stdout.take() {
            let read = out.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await;
            read.map_err(|error| failed("what it prints cannot be read").with_source(error))?;
        }
        let status = child.wait().await;
        let status = status.map_err(|error| failed("its end is not known").with_source(error))?;
        if !status.success() {
            let why = format!("it ended with {status}; run it by hand to see what it says");
            return Err(failed(&why));
        }
        printed::parse(&answer, self.clock.wall().secs()).map_err(failed)
    }
}
