//! Keys that the keychain of the desktop keeps: the Secret Service on Linux (GNOME Keyring, KWallet), Keychain Services on macOS.
//!
//! Laws: the keychain is asked only for names that somebody gave; what is in an entry is shown nowhere, also where it makes no
//! sense; one that asks a person first has a minute, and keeps nobody from ending.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cloudmount_vfs::Clock;
use keyring::Entry;
use tokio::sync::oneshot;

use super::lease::{Fetch, Lease};
use super::printed;
use crate::s3::settings::Secret;
use crate::{Error, ErrorKind, Result};

/// How long a keychain may take: it may ask a person to unlock it.
const LIMIT: Duration = Duration::from_secs(60);

/// Under which name of a service all entries are kept.
const SERVICE: &str = "cloudmount";

/// An entry of the keychain.
#[derive(Debug)]
pub(super) struct Keychain {
    pub(super) name: String,
    pub(super) clock: Arc<dyn Clock>,
}

#[async_trait]
impl Fetch for Keychain {
    fn limit(&self) -> Duration {
        LIMIT
    }

    async fn fetch(&self) -> Result<Lease> {
        let name = self.name.clone();
        let kept = beside(move || {
            entry(&name)?
                .get_secret()
                .map_err(|error| refused(&name, &error))
        });
        let kept = kept.await?;
        let now = self.clock.wall().secs();
        printed::parse(&kept, now).map_err(|_| {
            let name = &self.name;
            let context = format!(
                "the entry {name} of the keychain holds no key: run cloudmount credentials store {name}"
            );
            Error::new(ErrorKind::Unauthorized, context)
        })
    }
}

/// What a thread of its own gives: it may wait for a person for ever, and neither a task nor the end of the program waits for it.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let (give, take) = oneshot::channel();
    let thread = std::thread::Builder::new().name("keychain".to_owned());
    let started = thread.spawn(move || {
        // Whoever asked may have given up.
        drop(give.send(work()));
    });
    let failed = |context: &str| Error::new(ErrorKind::Unauthorized, context);
    started.map_err(|error| failed("the keychain cannot be asked").with_source(error))?;
    let given = take.await;
    given.map_err(|_| failed("the keychain broke while it was asked"))?
}

/// Keeps a key in the keychain of whoever runs this, in place of what was there under `name`. It waits for a person where the
/// keychain is locked.
///
/// # Errors
/// There is no keychain, it is locked, or it takes nothing.
pub fn store(
    name: &str,
    access_key: &str,
    secret_key: &Secret,
    token: Option<&Secret>,
) -> Result<()> {
    let document = serde_json::json!({
        "Version": 1,
        "AccessKeyId": access_key,
        "SecretAccessKey": secret_key.expose(),
        "SessionToken": token.map(Secret::expose),
    });
    let document = document.to_string();
    let kept = entry(name)?.set_secret(document.as_bytes());
    kept.map_err(|error| refused(name, &error))
}

/// Takes a key out of the keychain.
///
/// # Errors
/// There is no keychain, it is locked, or has no such entry.
pub fn remove(name: &str) -> Result<()> {
    let removed = entry(name)?.delete_credential();
    removed.map_err(|error| refused(name, &error))
}

fn entry(name: &str) -> Result<Entry> {
    Entry::new(SERVICE, name).map_err(|error| refused(name, &error))
}

/// What a refusal means, and what to do. Of the error itself nothing is taken over: it may hold what is in the entry.
fn refused(name: &str, error: &keyring::Error) -> Error {
    let why = match error {
        keyring::Error::NoEntry => {
            format!("the keychain has no entry {name}: run cloudmount credentials store {name}")
        }
        keyring::Error::NoDefaultStore => {
            "no keychain can be reached: on Linux, start a Secret Service (gnome-keyring-daemon, \
             KWallet) in the session of this user, and set DBUS_SESSION_BUS_ADDRESS"
                .to_owned()
        }
        keyring::Error::NoStorageAccess(_) => {
            "the keychain is locked, or does not answer: unlock it, and try again".to_owned()
        }
        keyring::Error::Ambiguous(_) => format!(
            "the keychain has several entries {name}: remove all but one with the keychain's own program"
        ),
        keyring::Error::TooLong(..) => format!("the keychain takes no name as long as {name}"),
        _ => format!(
            "the keychain fails with its entry {name}: look at it with the keychain's own program"
        ),
    };
    Error::new(ErrorKind::Unauthorized, why)
}
