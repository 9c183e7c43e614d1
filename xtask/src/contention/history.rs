//! What was done, in the words of who did it.

use std::fmt;

use serde::{Serialize, Serializer};

use super::version::Id;

/// What is done with a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    /// Made where nothing was (`O_EXCL`).
    Create,
    /// Read and then written anew through the same handle.
    Rewrite,
    /// Read and then added to through the same handle.
    Append,
    /// Read, and then opened again with `O_TRUNC` and written.
    Truncate,
    /// Read, and then replaced by a rename of a file made beside it.
    Save,
    /// Read, and then given another name that nobody has (`RENAME_NOREPLACE`).
    Move,
    /// Read, and then given a name that something else has.
    Replace,
    /// Read, and then removed.
    Remove,
}

/// How it ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Outcome {
    /// Every call returned well, the last close too.
    Acknowledged,
    /// A call failed after something was changed: it may have happened.
    Doubtful,
}

/// One thing that was done. What failed before it changed anything is none.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Event {
    pub(super) mount: u8,
    pub(super) kind: Kind,
    pub(super) name: String,
    /// The new name, of a move or a replacement.
    pub(super) to: Option<String>,
    /// What was under `name`, as it was read just before.
    #[serde(serialize_with = "shown")]
    pub(super) read: Option<Id>,
    /// What was under `to`.
    #[serde(serialize_with = "shown")]
    pub(super) read_to: Option<Id>,
    /// What it wrote.
    #[serde(serialize_with = "shown")]
    pub(super) makes: Option<Id>,
    /// When it had been read, in seconds from the start.
    pub(super) read_at: f64,
    /// When it had returned.
    pub(super) ended: f64,
    pub(super) outcome: Outcome,
    /// Whether what was read was surely what was replaced or removed: the handle it was read through still
    /// showed it afterwards, and its file had no name left.
    pub(super) is_exact: bool,
}

#[expect(clippy::ref_option, reason = "serde hands over references")]
fn shown<S: Serializer>(id: &Option<Id>, to: S) -> Result<S::Ok, S::Error> {
    match id {
        Some(id) => to.collect_str(id),
        None => to.serialize_none(),
    }
}

/// As `61.006 mount 1 append file14.txt: read 2:772, wrote 1:749`.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = format!("{:?}", self.kind).to_lowercase();
        write!(
            f,
            "{:.3} mount {} {kind} {}",
            self.ended, self.mount, self.name
        )?;
        if let Some(to) = &self.to {
            write!(f, " → {to}")?;
        }
        let parts = [
            ("read", self.read),
            ("there", self.read_to),
            ("wrote", self.makes),
        ];
        for (what, id) in parts {
            if let Some(id) = id {
                write!(f, ", {what} {id}")?;
            }
        }
        if !self.is_exact {
            write!(f, ", not exact")?;
        }
        if self.outcome == Outcome::Doubtful {
            write!(f, ", doubtful")?;
        }
        Ok(())
    }
}

impl Event {
    /// The name that it writes under.
    pub(super) fn written(&self) -> Option<&str> {
        match self.kind {
            Kind::Remove => None,
            Kind::Move | Kind::Replace => self.to.as_deref(),
            Kind::Create | Kind::Rewrite | Kind::Append | Kind::Truncate | Kind::Save => {
                Some(&self.name)
            }
        }
    }

    /// The name that it takes away.
    pub(super) fn taken_away(&self) -> Option<&str> {
        match self.kind {
            Kind::Remove | Kind::Move | Kind::Replace => Some(&self.name),
            Kind::Create | Kind::Rewrite | Kind::Append | Kind::Truncate | Kind::Save => None,
        }
    }

    /// The name under which something was replaced or removed, and what was read there. None: nothing was.
    pub(super) fn replaced(&self) -> Option<(&str, Option<Id>)> {
        match self.kind {
            Kind::Create | Kind::Move => None,
            Kind::Replace => Some((self.to.as_deref()?, self.read_to)),
            Kind::Rewrite | Kind::Append | Kind::Truncate | Kind::Save | Kind::Remove => {
                Some((&self.name, self.read))
            }
        }
    }
}
