//! `cloudmount`: a bucket as a folder.
//!
//! This is the assembly, and an example of one: it reads the command line and the environment,
//! opens the library with what they say, mounts, and answers `status` and `umount`.
//!
//! Laws: what goes wrong is said in one or two lines with what to do, with an exit code that is not
//! 0, and leaves no mount; a clean end drains the uploads and says what remains.

mod bytes;
mod cli;
mod client;
mod control;
mod daemon;
mod place;
mod say;
mod serve;
mod show;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Mount(arguments) => match arguments.way() {
            cli::Way::Daemon => daemon::start(&arguments),
            cli::Way::Foreground | cli::Way::Detached => serve::run(&arguments),
        },
        Command::Umount { folder } => client::umount(&folder),
        Command::Status { folder, json } => client::status(&folder, json),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            match error.downcast_ref::<cloudmount::Error>() {
                // It tells its causes itself.
                Some(error) => say::complain(format_args!("cloudmount: {error}")),
                None => say::complain(format_args!("cloudmount: {error:#}")),
            }
            ExitCode::FAILURE
        }
    }
}
