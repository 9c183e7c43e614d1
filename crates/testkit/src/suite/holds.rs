//! Short words for laws: what must succeed, what must fail and how.

use std::fmt::Debug;

use cloudmount_vfs::{ErrorKind, Result};

/// What a law says of a result. Both panic with the place of the law that is broken.
pub(super) trait Holds<T> {
    /// It succeeds.
    #[track_caller]
    fn holds(self) -> T;

    /// It fails, in that way.
    #[track_caller]
    fn fails(self, kind: ErrorKind)
    where
        T: Debug;
}

impl<T> Holds<T> for Result<T> {
    fn holds(self) -> T {
        match self {
            Ok(value) => value,
            Err(error) => broken(&format!("must succeed, but: {error:?}")),
        }
    }

    fn fails(self, kind: ErrorKind)
    where
        T: Debug,
    {
        match self {
            Err(error) if error.kind() == kind => {}
            Err(error) => broken(&format!("must fail as {kind:?}, but: {error:?}")),
            Ok(value) => broken(&format!("must fail as {kind:?}, but gave {value:?}")),
        }
    }
}

#[track_caller]
#[expect(clippy::panic, reason = "a broken law fails the test that tries it")]
fn broken(what: &str) -> ! {
    panic!("law: {what}")
}

/// Bytes that differ from place to place, so that moved or repeated pieces are found out.
pub(crate) fn pattern(length: usize, seed: u8) -> Vec<u8> {
    let mixed = |at: usize| (at as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56;
    (0..length)
        .map(|at| mixed(at).to_le_bytes()[0] ^ seed)
        .collect()
}

/// Compares long contents without printing them.
#[track_caller]
pub(super) fn same_bytes(seen: &[u8], wanted: &[u8]) {
    let differs = seen.iter().zip(wanted).position(|(a, b)| a != b);
    assert!(
        seen.len() == wanted.len() && differs.is_none(),
        "law: {} bytes, as written; there are {}, the first difference is at {differs:?}",
        wanted.len(),
        seen.len()
    );
}
