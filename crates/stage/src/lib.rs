//! Bytes going out: staged files on the local disk, a journal, and a queue that drives the bucket to
//! the desired state in the background.
//!
//! # How it thinks
//!
//! For each key with something pending the stage keeps a *desired state* ([`Desired`]: the content
//! of a staged file, a body given as bytes, metadata only, or nothing) and a *belief* about what is
//! in the bucket ([`RemoteBelief`]). At most one remote operation runs per key; when it ends, the
//! belief is updated, and if the desired state changed meanwhile the next one starts from there. So
//! what is queued or on its way may be renamed, removed, cut or written again, and the bucket ends
//! as the last call says.
//!
//! # Laws
//!
//! - A call that changes the desired state has told the journal when it returns: it survives
//!   `kill -9`; after [`Stage::sync`] or [`Stage::sync_journal`] it survives a power cut.
//! - Nothing waits for the network but [`Stage::wait`], [`Stage::drain`] and, when the disk may hold
//!   no more, [`Stage::room`].
//! - An object is never torn: what is committed is the file as it was at one moment.
//! - Every commit is conditional; what someone else wrote is never replaced silently.
//! - What was never uploaded costs no request when it is removed.
//! - What fails stays, named in the [`StageStatus`], and is tried again for ever.
//! - What is kept of what the bucket has is a copy and nothing else: it gives way to what is staged.
//! - Everything is bounded: bytes on the disk, bodies in memory, requests, open files, events.
//!
//! *Invariant:* this crate knows no inode, no handle, no path; no clock, environment or runtime of
//! its own: they are passed in.

mod belief;
mod desired;
mod disk;
mod disk_work;
mod edit;
mod endpoint;
mod events;
mod failpoint;
mod file;
mod fingerprint;
mod freed;
mod groups;
mod hold;
mod journal;
mod kept;
mod key_state;
mod left;
mod local_files;
mod plan;
mod platform;
mod queue;
mod ranges;
mod recent;
mod recovery;
mod room;
mod scope;
mod set_aside;
mod settings;
mod stage;
mod status;
mod table;

pub use belief::{Base, RemoteBelief};
pub use desired::{Desired, PendingView, Phase};
pub use events::{Change, Event, Events, Lasting};
#[cfg(feature = "failpoints")]
pub use failpoint::{NAMES as FAILPOINTS, arm as arm_failpoint};
pub use file::{FileId, Fit, Segment, StagedFile};
pub use groups::GroupStatus;
pub use hold::Hold;
pub use kept::{Copied, Copies};
pub use left::{is_used, left_in};
pub use recent::{Lately, LeftKey, Next};
pub use recovery::Recovery;
pub use room::Reserved;
pub use scope::Scope;
pub use set_aside::{Reason, SetAside};
pub use settings::{ConflictPolicy, StageSettings};
pub use stage::{
    DrainReport, DropPlan, Dropped, Leftover, Mark, PendingChild, PendingFolder, Remaining,
    RenameItem, Stage, Submit,
};
pub use status::{Budget, KeyStatus, StageStatus, Totals};
