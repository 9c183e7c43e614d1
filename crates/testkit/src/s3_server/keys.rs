//! [`Keys`]: access keys that live for a while.

use std::collections::HashMap;

use cloudmount_vfs::{Clock, Instant};
use parking_lot::Mutex;

use super::Refusal;
use crate::loopback::Request;

/// Which access keys are taken, with which session token, and how long.
#[derive(Debug, Default)]
pub struct Keys {
    known: Mutex<HashMap<String, Given>>,
}

#[derive(Clone, Debug)]
struct Given {
    token: String,
    until: Instant,
}

impl Keys {
    /// Takes `access_key` with `token` until then.
    pub fn give(&self, access_key: &str, token: &str, until: Instant) {
        let token = token.to_owned();
        self.known
            .lock()
            .insert(access_key.to_owned(), Given { token, until });
    }

    /// No key that was given before is taken any more.
    pub fn revoke_all(&self) {
        for given in self.known.lock().values_mut() {
            given.until = Instant::default();
        }
    }

    /// How many were given.
    #[must_use]
    pub fn given(&self) -> usize {
        self.known.lock().len()
    }

    /// Whether the key that signed is taken now.
    pub(super) fn check(&self, request: &Request, clock: &dyn Clock) -> Result<(), Refusal> {
        let signed = request.header("authorization").unwrap_or_default();
        let key = signed
            .split_once("Credential=")
            .and_then(|(_, rest)| rest.split('/').next())
            .unwrap_or_default();
        let known = self.known.lock();
        let Some(given) = known.get(key) else {
            let why = "There is no such access key";
            return Err(Refusal::new(403, "InvalidAccessKeyId", why));
        };
        if request.header("x-amz-security-token") != Some(given.token.as_str()) {
            let why = "The token is not that of the key";
            return Err(Refusal::new(400, "InvalidToken", why));
        }
        if clock.now() >= given.until {
            let why = "The provided token has expired";
            return Err(Refusal::new(400, "ExpiredToken", why));
        }
        Ok(())
    }
}
