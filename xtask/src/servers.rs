//! `cargo xtask servers`: S3 servers to try things on by hand, until they are interrupted.

use std::time::Duration;

use anyhow::Result;
use clap::Args;

use crate::say::say;
use crate::server::{Kind, Server};
use crate::time::pause;

/// How often it is looked whether all are alive.
const LOOK: Duration = Duration::from_millis(300);

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Which ones
    #[arg(value_enum, default_values = ["moto", "rclone"])]
    kinds: Vec<Kind>,
}

/// Starts them, prints what programs must be told to use them, and stays.
///
/// # Errors
/// One cannot be installed or started, or ends by itself.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut servers = Vec::new();
    for kind in &arguments.kinds {
        let server = Server::start(*kind)?;
        say!("{}", introduction(&server));
        servers.push(server);
    }
    say!("# they stay until Ctrl-C");
    loop {
        for server in &mut servers {
            server.alive()?;
        }
        pause(LOOK);
    }
}

/// Lines for a shell.
fn introduction(server: &Server) -> String {
    let mut lines = vec![format!("# {}", server.kind.name())];
    let mut export = |name: &str, value: &str| lines.push(format!("export {name}='{value}'"));
    for (name, value) in server.environment() {
        export(&name, &value);
    }
    export("XTASK_BUCKET", server.bucket);
    export("CLOUDMOUNT_TEST_S3", &server.for_store_tests());
    lines.join("\n")
}
