//! `cloudmount credentials`: keys in the keychain of the desktop.
//!
//! Law: keys are read from the terminal, which does not show the secret ones, or from the standard input; never from the
//! command line, where others can read them.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use cloudmount::{Secret, keychain};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::cli::Credentials;
use crate::say::say;

/// What Ctrl-C sends to a terminal that makes no signal of it.
const CTRL_C: char = '\u{3}';

/// Does what is asked.
///
/// # Errors
/// No key is given, or the keychain does not take or know it.
pub(crate) fn run(command: &Credentials) -> Result<ExitCode> {
    match command {
        Credentials::Store { name } => {
            let key = Key::read()?;
            keychain::store(name, &key.id, &key.secret, key.token.as_ref())?;
            say(format_args!(
                "the keychain has {} as {name}: mount with --keychain {name}",
                key.id
            ))?;
        }
        Credentials::Remove { name } => {
            keychain::remove(name)?;
            say(format_args!("the keychain has no {name} any more"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

struct Key {
    id: String,
    secret: Secret,
    token: Option<Secret>,
}

impl Key {
    fn read() -> Result<Self> {
        let id = line("Access key id: ", Shown::Yes)?.expose().to_owned();
        let secret = line("Secret access key: ", Shown::No)?;
        if id.is_empty() || secret.expose().is_empty() {
            bail!(
                "give the access key id and the secret access key, each on a line of its own, and after them the session token, if there is one"
            );
        }
        let token = line("Session token, if there is one: ", Shown::No)?;
        Ok(Self {
            id,
            secret,
            token: (!token.expose().is_empty()).then_some(token),
        })
    }
}

/// Whether a terminal shows what is typed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Yes,
    No,
}

/// The next line of the standard input; a person is asked for it.
fn line(question: &str, shown: Shown) -> Result<Secret> {
    let mut input = std::io::stdin().lock();
    let _hidden = if input.is_terminal() {
        let mut out = std::io::stderr().lock();
        out.write_all(question.as_bytes())?;
        out.flush()?;
        (shown == Shown::No).then(Hidden::new).transpose()?
    } else {
        None
    };
    let mut text = String::new();
    input.read_line(&mut text).context("reading the key")?;
    if text.contains(CTRL_C) {
        bail!("nothing was stored");
    }
    Ok(Secret::new(text.trim()))
}

/// The terminal shows nothing, until this goes.
struct Hidden(Termios);

impl Hidden {
    fn new() -> Result<Self> {
        let before = tcgetattr(std::io::stdin()).context("the terminal")?;
        let mut silent = before.clone();
        // A signal would leave it as it is.
        silent
            .local_modes
            .remove(LocalModes::ECHO | LocalModes::ISIG);
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &silent).context("the terminal")?;
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // There is nobody to tell.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
        drop(std::io::stderr().write_all(b"\n"));
    }
}
