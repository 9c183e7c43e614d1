//! Keys as a document: what a `credential_process` prints, and what a keychain keeps for us.
//!
//! Source: "Process credential provider", AWS SDKs and Tools Reference Guide.
//!
//! Law: nothing of it is shown, also where it makes no sense: what the parser says of a mistake may quote it.

use object_store::aws::AwsCredential;
use serde::Deserialize;

use super::lease::{Lease, life};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Printed {
    version: u32,
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
    expiration: Option<String>,
}

/// The keys in `document`, which are read at `now`, in seconds since 1970.
///
/// # Errors
/// Why there are none, for a person.
pub(super) fn parse(document: &[u8], now: i64) -> Result<Lease, &'static str> {
    let printed: Printed = serde_json::from_slice(document)
        .map_err(|_| "it did not print Version, AccessKeyId and SecretAccessKey as JSON")?;
    if printed.version != 1 {
        return Err("its answer is of another version than 1");
    }
    let life = match &printed.expiration {
        Some(end) => Some(life(end, now).ok_or("its Expiration is no time")?),
        None => None,
    };
    Ok(Lease {
        credential: AwsCredential {
            key_id: printed.access_key_id,
            secret_key: printed.secret_access_key,
            token: printed.session_token,
        },
        life,
    })
}
