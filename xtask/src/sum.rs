//! [`sum`]: what tells contents apart, as the plain client prints it.

use sha2::{Digest as _, Sha256};

/// The SHA-256 in hexadecimal.
pub(crate) fn sum(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
