//! `cloudmount`: a bucket as a folder.
//!
//! This is the assembly, and an example of one: it reads the command line and the environment,
//! opens the library with what they say, mounts, and answers what other processes ask of the mount.
//!
//! Laws: what goes wrong is said in one or two lines with what to do, with an exit code that is not
//! 0, and leaves no mount; a clean end drains the uploads and says what remains.

mod board;
mod bytes;
mod care;
mod cli;
mod client;
mod control;
#[cfg(feature = "keyring")]
mod credentials;
mod daemon;
mod desk;
mod doctor;
#[cfg(feature = "failpoints")]
mod failpoints;
mod flags;
mod helper;
mod hidden;
mod notify;
mod place;
mod rate;
mod record;
mod say;
mod serve;
mod show;
mod signals;
mod supervise;
mod uploads;
mod users;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command, Way};
use crate::say::{complain, say};

fn main() -> ExitCode {
    hidden::hide_memory();
    let mut line: Vec<OsString> = std::env::args_os().collect();
    let is_helper = line.first().is_some_and(|name| helper::is_called(name));
    if is_helper {
        match helper::translate(line.split_off(1)) {
            Ok(helper::Asked::Mount(asked)) => line = asked,
            Ok(helper::Asked::Nothing) => return ExitCode::SUCCESS,
            Err(error) => return misused(&error),
        }
    }
    let command = match Cli::try_parse_from(&line) {
        Ok(cli) => cli.command,
        Err(error) if is_helper => return misused(&error),
        Err(error) => error.exit(),
    };
    let code = run(&command, line.get(1..).unwrap_or_default()).unwrap_or_else(|error| {
        tell(&command, &error);
        ExitCode::FAILURE
    });
    match is_helper && code != ExitCode::SUCCESS {
        true => ExitCode::from(helper::MOUNT_FAILED),
        false => code,
    }
}

fn misused(error: &dyn std::fmt::Display) -> ExitCode {
    complain(format_args!("mount.cloudmount: {error}"));
    ExitCode::from(helper::MISUSED)
}

/// Says what went wrong.
fn tell(command: &Command, error: &anyhow::Error) {
    // Our own errors tell their causes themselves.
    let text = match error.downcast_ref::<cloudmount::Error>() {
        Some(error) => format!("cloudmount: {error}"),
        None => format!("cloudmount: {error:#}"),
    };
    complain(format_args!("{text}"));
    if matches!(command, Command::Mount(mount) if mount.way().has_parent()) {
        // To whoever started it, and tells it on. There may be nobody any more.
        drop(say(format_args!("{text}")));
    }
}

/// `arguments` are those of this process, without its name.
fn run(command: &Command, arguments: &[OsString]) -> anyhow::Result<ExitCode> {
    match command {
        Command::Mount(mount) => match mount.way() {
            Way::Daemon => daemon::start(mount, arguments),
            Way::Foreground | Way::Detached if mount.is_supervisor() => {
                supervise::run(mount, arguments)
            }
            Way::Foreground | Way::Detached | Way::Supervised => serve::run(mount),
        },
        Command::Umount { folder, lazy } => {
            let way = if *lazy {
                control::Way::Lazy
            } else {
                control::Way::Plain
            };
            client::umount(folder, way)
        }
        #[cfg(feature = "failpoints")]
        Command::Failpoints => failpoints::list(),
        #[cfg(feature = "keyring")]
        Command::Credentials { command } => credentials::run(command),
        Command::Status { path, json } => client::status(path, *json),
        Command::Flush {
            path,
            wait,
            timeout,
        } => uploads::flush(path, uploads::wait(*wait, *timeout)),
        Command::Doctor(doctor) => doctor::run(doctor),
        Command::Cache { command } => care::run(command),
        Command::Pause { folder } => uploads::pause(folder),
        Command::Resume { folder } => uploads::resume(folder),
        Command::Invalidate { path } => uploads::invalidate(path),
        Command::Reconnect { folder } => uploads::reconnect(folder),
        Command::Retry { folder, paths } => uploads::retry(folder, paths),
        Command::Drop {
            folder,
            paths,
            discard,
        } => {
            let bytes = if *discard {
                control::Bytes::Delete
            } else {
                control::Bytes::SetAside
            };
            uploads::give_up(folder, paths, bytes)
        }
    }
}
