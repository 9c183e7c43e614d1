//! Stores whose keys are paths: where an object is, none may lie below it, and the other way round. So a file
//! that takes the place of a folder, or a folder that of a file, waits until what was there is gone.
//!
//! Law: nothing waits beforehand, for nobody knows of a store that it is one of these until it refuses.

use cloudmount_store::{Error, ErrorKind, Key};

use crate::desired::Desired;
use crate::key_state::KeyState;
use crate::table::Table;

/// Tries of a write while something gives way to it: with the waits in between, half a minute.
const TRIES_MAX: u32 = 6;

/// Whether `error`, after so many attempts to write `key`, may only say that something is in the way which the stage is
/// about to remove, or has just removed.
pub(super) fn gives_way(table: &Table, key: &Key, attempts: u32, error: &Error) -> bool {
    error.kind() == ErrorKind::InvalidRequest
        && attempts <= TRIES_MAX
        && (something_goes(table, key) || table.recent.removed().any(|gone| conflicts(gone, key)))
}

fn something_goes(table: &Table, key: &Key) -> bool {
    let goes = |state: &KeyState| matches!(state.desired, Desired::Absent);
    let below = format!("{key}/");
    let above = key.as_str().match_indices('/');
    let mut above = above.filter_map(|(at, _)| Key::new(&key.as_str()[..at]).ok());
    table.under(&below).any(|(_, state)| goes(state))
        || above.any(|key| table.get(&key).is_some_and(goes))
}

/// Whether one of the keys is a path to the other.
fn conflicts(one: &Key, other: &Key) -> bool {
    let leads = |from: &str, to: &str| {
        to.strip_prefix(from)
            .is_some_and(|rest| rest.starts_with('/'))
    };
    leads(one.as_str(), other.as_str()) || leads(other.as_str(), one.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_what_is_below_them() {
        let key = |text| Key::new(text).unwrap();
        for (one, other, expected) in [
            ("a", "a/b", true),
            ("a/b/c", "a", true),
            ("a", "ab", false),
            ("a", "a", false),
            ("a/b", "a/c", false),
        ] {
            assert_eq!(conflicts(&key(one), &key(other)), expected, "{one} {other}");
        }
    }
}
