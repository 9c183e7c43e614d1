//! What a crash left behind is removed when the store is opened, once it is old enough that no other
//! store on the same folder can still be at it.

use std::time::Duration;

use rustix::fs::{AtFlags, statat};

use super::folder::entries;
use super::inner::{Inner, Part};
use super::stamp::Stamp;
use super::upload::remove_tree;

/// Age of a temporary file that nobody writes any more.
const TEMP_AGE: Duration = Duration::from_secs(24 * 3600);

/// Age, since its last part, of an upload that nobody completes any more: the time that buckets are
/// commonly told to keep them.
const UPLOAD_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

impl Inner {
    /// Removes what is left over. What cannot be removed stays for the next time: it harms nothing.
    pub(super) fn clean(&self) {
        self.prune_noted();
        for (part, age) in [(Part::Temp, TEMP_AGE), (Part::Uploads, UPLOAD_AGE)] {
            self.clean_part(part, age);
        }
    }

    fn clean_part(&self, part: Part, age: Duration) {
        let Ok(Some(folder)) = self.part_if_there(part) else {
            return;
        };
        let Ok(found) = entries(&folder) else { return };
        let now = self.clock.wall();
        for (name, _) in found.flatten() {
            let Ok(stat) = statat(&folder, &name, AtFlags::SYMLINK_NOFOLLOW) else {
                continue;
            };
            if now.saturating_since(Stamp::of(&stat).modified()) > age {
                let _ = remove_tree(&folder, &name);
            }
        }
    }
}
