//! [`probe`]: what an endpoint really honours, found out on scratch objects.
//!
//! Some servers answer 200 and pass over a condition, some answer "not implemented", some copy
//! nothing and say that they did. What is found is worth what the server does today: ask again now
//! and then.
//!
//! Laws: only keys that begin with [`SCRATCH`] are touched; they are removed at the end, also after
//! failures, and what an interrupted probe left is removed by the next: by one that knows its nonce at once, else
//! after an hour. What could not be found out
//! is [`Finding::Unknown`], never guessed. It ends within [`TIME_MAX`], twice that with the cleaning.

mod checks;
mod race;
mod scratch;

use std::time::Duration;

use cloudmount_vfs::Clock;
use futures::future::{Either, select};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use self::scratch::Scratch;
use crate::{Capabilities, Store, Trust};

/// What the keys of scratch objects begin with. Nobody else calls a file so.
pub const SCRATCH: &str = ".cloudmount-probe-";

/// How long the questions may take, and the cleaning once more: 20 s. The longest row of questions
/// has sixteen, so that even a round trip of a second leaves room; a person may be waiting.
pub const TIME_MAX: Duration = Duration::from_secs(20);

/// What became of one question.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// It does what it says.
    Kept,
    /// It could not be found out: no permission, no connection, no time.
    #[default]
    Unknown,
    /// It says that it does not offer it.
    Refused,
    /// It answers with success, and does not do it.
    Ignored,
}

impl Finding {
    /// Whether it can be relied on.
    #[must_use]
    pub const fn is_kept(self) -> bool {
        matches!(self, Self::Kept)
    }

    /// Of something that takes both.
    fn and(self, other: Self) -> Self {
        self.max(other)
    }
}

/// What an endpoint honours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Honoured {
    /// `put` with [`Precondition::Absent`](crate::Precondition).
    pub put_if_absent: Finding,
    /// `put` with [`Precondition::Matches`](crate::Precondition).
    pub put_if_match: Finding,
    /// `multipart_complete` with [`Precondition::Absent`](crate::Precondition).
    pub complete_if_absent: Finding,
    /// `multipart_complete` with [`Precondition::Matches`](crate::Precondition).
    pub complete_if_match: Finding,
    /// A copy to another key has the bytes of its source.
    pub copy: Finding,
    /// A copy onto itself changes the metadata and keeps the bytes.
    pub copy_onto_itself: Finding,
    /// A copy checks which version its source is.
    pub copy_source_if_match: Finding,
    /// A copy checks that its target is absent.
    pub copy_if_absent: Finding,
    /// A copy checks which version its target is.
    pub copy_if_match: Finding,
    /// A part copied from a range has the bytes of that range.
    pub part_copy: Finding,
    /// `delete_if` of one object removes only the version that it is given.
    pub delete_if_match: Finding,
    /// The same of several in one request.
    pub delete_many_if_match: Finding,
    /// The check of a removal's version is one step with the removal: no race was seen in which a removal and a write
    /// that insisted on the same version both succeeded. That none was seen proves nothing.
    pub delete_if_match_atomic: Finding,
}

impl Honoured {
    /// What a store honours that does what its capabilities say.
    #[must_use]
    pub const fn as_said(capabilities: &Capabilities) -> Self {
        const fn said(offered: Offered) -> Finding {
            match offered {
                Offered(true) => Finding::Kept,
                Offered(false) => Finding::Refused,
            }
        }
        Self {
            put_if_absent: said(Offered(capabilities.put_if_absent)),
            put_if_match: said(Offered(capabilities.put_if_match)),
            complete_if_absent: said(Offered(capabilities.put_if_absent)),
            complete_if_match: said(Offered(capabilities.put_if_match)),
            copy: Finding::Kept,
            copy_onto_itself: Finding::Kept,
            copy_source_if_match: Finding::Kept,
            copy_if_absent: said(Offered(capabilities.copy_if)),
            copy_if_match: said(Offered(capabilities.copy_if)),
            part_copy: said(Offered(capabilities.part_copy)),
            delete_if_match: said(Offered(capabilities.delete_if)),
            delete_many_if_match: said(Offered(
                capabilities.delete_if && capabilities.delete_keys_max > 1,
            )),
            delete_if_match_atomic: said(Offered(capabilities.delete_if)),
        }
    }

    /// Each finding with its name.
    #[must_use]
    pub const fn findings(&self) -> [(&'static str, Finding); 13] {
        [
            ("put-if-absent", self.put_if_absent),
            ("put-if-match", self.put_if_match),
            ("complete-if-absent", self.complete_if_absent),
            ("complete-if-match", self.complete_if_match),
            ("copy", self.copy),
            ("copy-onto-itself", self.copy_onto_itself),
            ("copy-source-if-match", self.copy_source_if_match),
            ("copy-if-absent", self.copy_if_absent),
            ("copy-if-match", self.copy_if_match),
            ("part-copy", self.part_copy),
            ("delete-if-match", self.delete_if_match),
            ("delete-many-if-match", self.delete_many_if_match),
            ("delete-if-match-atomic", self.delete_if_match_atomic),
        ]
    }

    /// What is known where `before` was found earlier, and this now: a race that was seen once is not forgotten
    /// because it was not seen again.
    #[must_use]
    pub fn after(self, before: &Self) -> Self {
        let atomic = match (before.delete_if_match_atomic, self.delete_if_match_atomic) {
            (Finding::Ignored, Finding::Kept | Finding::Unknown) => Finding::Ignored,
            (_, now) => now,
        };
        Self {
            delete_if_match_atomic: atomic,
            ..self
        }
    }

    /// Whether something could not be found out.
    #[must_use]
    pub fn has_unknown(&self) -> bool {
        (self.findings().iter()).any(|(_, finding)| *finding == Finding::Unknown)
    }
}

/// Whether something is offered at all.
#[derive(Clone, Copy)]
struct Offered(bool);

/// Asks `store` what it honours of what it says that it offers, by up to 145 small requests, some
/// of them at a time. `nonce` tells this probe from any other: draw a new one for each.
///
/// A store that is [`Trust::Exact`] is believed without a request.
pub async fn probe(store: &dyn Store, clock: &dyn Clock, nonce: u64) -> Honoured {
    probe_after(store, clock, nonce, &[]).await.0
}

/// What is left of a probe in the bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leaves {
    /// Nothing, also of those that were interrupted.
    Nothing,
    /// Something may be: hand its nonce to the next.
    Something,
}

/// As [`probe`], after some of `interrupted` nonces, of which nobody is at work any more: what they left is
/// removed whatever its age.
pub async fn probe_after(
    store: &dyn Store,
    clock: &dyn Clock,
    nonce: u64,
    interrupted: &[u64],
) -> (Honoured, Leaves) {
    let offered = store.capabilities();
    if offered.trust == Trust::Exact {
        return (Honoured::as_said(&offered), Leaves::Nothing);
    }
    let scratch = Scratch::new(store, nonce, interrupted);
    let found = Mutex::new(Honoured::default());
    let questions = Box::pin(checks::ask(&scratch, &found));
    within(clock, questions).await;
    let cleaned = within(clock, Box::pin(scratch.clean())).await;
    let leaves = match cleaned {
        Some(Ok(())) => Leaves::Nothing,
        Some(Err(_)) | None => Leaves::Something,
    };
    (found.into_inner(), leaves)
}

/// `None`: it took too long.
async fn within<T>(clock: &dyn Clock, work: impl Future<Output = T> + Unpin) -> Option<T> {
    match select(work, clock.sleep(TIME_MAX)).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(_) => None,
    }
}
