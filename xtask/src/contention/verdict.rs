//! The check, as a function of what was done and what was found: see the [module](super).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::history::{Event, Kind, Outcome};
use super::version::Id;

/// How long a version may be on its way: one that was acknowledged so long before may have come to the
/// bucket between a look and what followed it.
const ON_ITS_WAY: f64 = 5.0;

/// How long before or after a version was acknowledged, or moved, it may have met what was done elsewhere with its
/// name: both wait for their turn, and uploads are tried again.
const MET: f64 = 15.0;

/// What marks the key of a conflict copy.
const MARK: &str = " (conflict from ";

/// An object that was found in the end.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) key: String,
    /// Its records, the last one last.
    pub(super) versions: Vec<Id>,
}

/// What is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Violation {
    /// An acknowledged version is nowhere, and nobody who had read it replaced it.
    Lost(Id),
    /// A version is under its name and also beside it as a conflict copy.
    Doubled(Id),
    /// A version was removed by who had read it, and is still under the name.
    Stayed(Id, String),
    /// A version that nobody wrote.
    Unknown(Id),
}

impl Violation {
    /// The version that it is about.
    pub(super) fn id(&self) -> Id {
        match self {
            Self::Lost(id) | Self::Doubled(id) | Self::Stayed(id, _) | Self::Unknown(id) => *id,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(id) => write!(f, "{id} is lost"),
            Self::Doubled(id) => write!(f, "{id} is there twice"),
            Self::Stayed(id, name) => write!(f, "{id} was removed, and is still under {name}"),
            Self::Unknown(id) => write!(f, "{id} was written by nobody"),
        }
    }
}

/// What became of all versions.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) violations: Vec<Violation>,
    /// Versions that were acknowledged.
    pub(super) acknowledged: usize,
    /// Of these, those that are an object or a part of one.
    pub(super) present: usize,
    /// Objects that are conflict copies.
    pub(super) conflicts: usize,
}

/// What the status of a mount says that the store does not check in one step: what was written by others just then
/// may be lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Windows {
    pub(super) writes: bool,
    pub(super) removals: bool,
}

/// Those of `violations` that no window excuses. Lost versions alone are excused: by a window for writes of the other
/// mount, if that wrote under one of the version's names while it may have arrived, or by one for removals, if it took
/// such a name away. `windows` are those of the mounts, by number from 1 on.
pub(super) fn without_excuse(
    violations: &[Violation],
    events: &[Event],
    windows: &[Windows],
) -> Vec<Violation> {
    let is_excused = |violation: &&Violation| {
        let Violation::Lost(id) = violation else {
            return false;
        };
        let made = events.iter().find(|event| event.makes == Some(*id));
        made.is_some_and(|made| is_excused(*id, made, events, windows))
    };
    (violations.iter())
        .filter(|violation| !is_excused(violation))
        .cloned()
        .collect()
}

fn is_excused(id: Id, made: &Event, events: &[Event], windows: &[Windows]) -> bool {
    placements(id, made, events).any(|(placed, name)| {
        events.iter().any(|event| {
            if event.mount == placed.mount || (event.ended - placed.ended).abs() > MET {
                return false;
            }
            let of_mount = windows.get(usize::from(event.mount).wrapping_sub(1));
            let window = of_mount.copied().unwrap_or_default();
            window.writes && event.written() == Some(name)
                || window.removals && event.taken_away() == Some(name)
        })
    })
}

/// What gave a version another name.
fn moves(id: Id, events: &[Event]) -> impl Iterator<Item = &Event> {
    (events.iter()).filter(move |event| {
        matches!(event.kind, Kind::Move | Kind::Replace) && event.read == Some(id)
    })
}

/// Judges. The order of `events` does not matter.
pub(super) fn judge(events: &[Event], found: &[Found]) -> Verdict {
    let present: BTreeSet<Id> = found.iter().flat_map(|one| one.versions.clone()).collect();
    let known: BTreeMap<Id, &Event> = (events.iter())
        .filter_map(|event| Some((event.makes?, event)))
        .collect();
    let mut verdict = Verdict {
        conflicts: found.iter().filter(|one| one.key.contains(MARK)).count(),
        ..Verdict::default()
    };
    let unknown = present.iter().filter(|id| !known.contains_key(id));
    verdict
        .violations
        .extend(unknown.map(|id| Violation::Unknown(*id)));
    let side = beside(found, &known);
    for (id, made) in &known {
        if made.outcome != Outcome::Acknowledged {
            continue;
        }
        verdict.acknowledged += 1;
        if present.contains(id) {
            verdict.present += 1;
        } else if !is_replaced(*id, made, events, &side) {
            verdict.violations.push(Violation::Lost(*id));
        }
        if side.contains(id) && is_last_of(found, *id, &made.name) {
            verdict.violations.push(Violation::Doubled(*id));
        }
    }
    verdict.violations.extend(stayed(events, found));
    verdict
}

/// Versions that are the last record of a conflict copy of the name they were written to: they never had
/// that name in the bucket.
fn beside(found: &[Found], known: &BTreeMap<Id, &Event>) -> BTreeSet<Id> {
    let copies = found.iter().filter_map(|one| {
        let (stem, _) = one.key.split_once(MARK)?;
        let id = *one.versions.last()?;
        (known.get(&id)?.name == stem).then_some(id)
    });
    copies.collect()
}

fn is_last_of(found: &[Found], id: Id, name: &str) -> bool {
    let mut found = found.iter();
    found.any(|one| one.key == name && one.versions.last() == Some(&id))
}

/// How a version came to the names that it may have had: it was written there, or moved there.
fn placements<'a>(
    id: Id,
    made: &'a Event,
    events: &'a [Event],
) -> impl Iterator<Item = (&'a Event, &'a str)> {
    let moved = moves(id, events).filter_map(|event| Some((event, event.to.as_deref()?)));
    moved.chain([(made, &*made.name)])
}

/// Whether somebody who had seen the version replaced or removed it.
fn is_replaced(id: Id, made: &Event, events: &[Event], side: &BTreeSet<Id>) -> bool {
    let placements: Vec<_> = placements(id, made, events).collect();
    events.iter().any(|event| {
        let Some((name, read)) = event.replaced() else {
            return false;
        };
        // Who ended beside the name replaced nothing under it, except what had not gone out of the same
        // mount.
        if event.mount != id.mount && event.makes.is_some_and(|makes| side.contains(&makes)) {
            return false;
        }
        if read == Some(id) {
            return true;
        }
        let came = |(placed, there): &(&Event, &str)| {
            placed.mount != event.mount
                && *there == name
                && placed.ended > event.read_at - ON_ITS_WAY
                && placed.ended < event.ended
        };
        !event.is_exact && placements.iter().any(came)
    })
}

/// Versions that were removed by who had read them, and that nobody ever moved, under their name.
fn stayed(events: &[Event], found: &[Found]) -> Vec<Violation> {
    let mut stayed = Vec::new();
    for event in events {
        let (Kind::Remove, Outcome::Acknowledged, true) =
            (event.kind, event.outcome, event.is_exact)
        else {
            continue;
        };
        let Some(id) = event.read else { continue };
        let was_moved = events.iter().any(|other| {
            matches!(other.kind, Kind::Move | Kind::Replace) && other.read == Some(id)
        });
        if !was_moved && is_last_of(found, id, &event.name) {
            stayed.push(Violation::Stayed(id, event.name.clone()));
        }
    }
    stayed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(mount: u8, number: u32) -> Id {
        Id { mount, number }
    }

    /// An event that ends at `ended` and read just before; it writes `makes` as the mount's.
    fn event(kind: Kind, mount: u8, ended: f64, read: Option<Id>, makes: Option<u32>) -> Event {
        Event {
            mount,
            kind,
            name: "a".into(),
            to: None,
            read,
            read_to: None,
            makes: makes.map(|number| id(mount, number)),
            read_at: ended - 0.001,
            ended,
            outcome: Outcome::Acknowledged,
            is_exact: true,
        }
    }

    fn found(key: &str, versions: &[Id]) -> Found {
        Found {
            key: key.into(),
            versions: versions.to_vec(),
        }
    }

    fn violations(events: &[Event], found: &[Found]) -> Vec<Violation> {
        judge(events, found).violations
    }

    /// The first mount makes 1:1; the second reads it or not, and writes 2:1.
    fn two_writers(read: Option<Id>) -> Vec<Event> {
        vec![
            event(Kind::Create, 1, 1.0, None, Some(1)),
            event(Kind::Rewrite, 2, 20.0, read, Some(1)),
        ]
    }

    #[test]
    fn a_version_that_was_read_may_be_replaced() {
        let events = two_writers(Some(id(1, 1)));
        assert_eq!(violations(&events, &[found("a", &[id(2, 1)])]), []);
    }

    #[test]
    fn a_version_that_was_not_read_is_lost() {
        let lost = [Violation::Lost(id(1, 1))];
        for read in [None, Some(id(1, 9))] {
            let events = two_writers(read);
            assert_eq!(violations(&events, &[found("a", &[id(2, 1)])]), lost);
        }
        let both = [
            found("a", &[id(1, 1)]),
            found("a (conflict from h at x)", &[id(2, 1)]),
        ];
        assert_eq!(violations(&two_writers(None), &both), []);
    }

    #[test]
    fn who_ended_beside_the_name_replaced_nothing() {
        let events = two_writers(Some(id(1, 1)));
        let beside = [found("a (conflict from h at x)", &[id(2, 1)])];
        assert_eq!(violations(&events, &beside), [Violation::Lost(id(1, 1))]);
    }

    #[test]
    fn what_never_left_its_mount_may_be_replaced_there() {
        let events = [
            event(Kind::Create, 1, 1.0, None, Some(1)),
            event(Kind::Rewrite, 1, 1.01, Some(id(1, 1)), Some(2)),
        ];
        let beside = [found("a (conflict from h at x)", &[id(1, 2)])];
        assert_eq!(violations(&events, &beside), []);
    }

    #[test]
    fn a_removal_takes_what_was_read_and_nothing_else() {
        let create = event(Kind::Create, 1, 1.0, None, Some(1));
        let remove = |read| event(Kind::Remove, 2, 20.0, Some(read), None);
        assert_eq!(violations(&[create.clone(), remove(id(1, 1))], &[]), []);
        let other = [create.clone(), remove(id(1, 9))];
        assert_eq!(violations(&other, &[]), [Violation::Lost(id(1, 1))]);
        let there = [found("a", &[id(1, 1)])];
        assert_eq!(
            violations(&[create, remove(id(1, 1))], &there),
            [Violation::Stayed(id(1, 1), "a".into())]
        );
    }

    #[test]
    fn what_was_surely_not_there_yet_is_not_excused() {
        let create = event(Kind::Create, 1, 10.0, None, Some(1));
        let unread = |ended, is_exact| Event {
            is_exact,
            ..event(Kind::Remove, 2, ended, Some(id(1, 9)), None)
        };
        // Acknowledged just before a removal that may have seen it.
        assert_eq!(violations(&[create.clone(), unread(10.5, false)], &[]), []);
        let lost = [Violation::Lost(id(1, 1))];
        for (ended, is_exact) in [(10.5, true), (9.9, false), (30.0, false)] {
            let events = [create.clone(), unread(ended, is_exact)];
            assert_eq!(violations(&events, &[]), lost, "{ended} {is_exact}");
        }
    }

    #[test]
    fn what_the_other_mount_just_moved_there_is_excused_as_what_it_wrote() {
        let create = event(Kind::Create, 1, 1.0, None, Some(1));
        let moved = Event {
            to: Some("b".into()),
            ..event(Kind::Replace, 2, 20.0, Some(id(1, 1)), None)
        };
        // Saved by the mount that wrote it first, which had read what was there before.
        let check = |mount, ended, is_exact, excused| {
            let save = Event {
                name: "b".into(),
                is_exact,
                ..event(Kind::Save, mount, ended, Some(id(1, 9)), Some(2))
            };
            let events = [create.clone(), moved.clone(), save];
            let there = [found("b", &[id(mount, 2)])];
            let is_excused = violations(&events, &there).is_empty();
            assert_eq!(is_excused, excused, "{mount} {ended} {is_exact}");
        };
        check(1, 20.3, false, true);
        check(1, 20.3, true, false);
        check(1, 40.0, false, false);
        check(2, 20.3, false, false);
    }

    #[test]
    fn what_was_moved_is_looked_for_where_it_is() {
        let create = event(Kind::Create, 1, 1.0, None, Some(1));
        let moved = Event {
            to: Some("b".into()),
            ..event(Kind::Move, 2, 20.0, Some(id(1, 1)), None)
        };
        let events = [create.clone(), moved];
        assert_eq!(violations(&events, &[found("b", &[id(1, 1)])]), []);
        // A move replaces nothing.
        assert_eq!(violations(&events, &[]), [Violation::Lost(id(1, 1))]);
        let replace = Event {
            kind: Kind::Replace,
            read: Some(id(2, 5)),
            read_to: Some(id(1, 1)),
            name: "b".into(),
            to: Some("a".into()),
            ..event(Kind::Replace, 2, 20.0, None, None)
        };
        assert_eq!(violations(&[create, replace], &[]), []);
    }

    #[test]
    fn doubled_and_unknown_versions_are_found() {
        let create = event(Kind::Create, 1, 1.0, None, Some(1));
        let both = [
            found("a", &[id(1, 1)]),
            found("a (conflict from h at x)", &[id(1, 1)]),
        ];
        let doubled = [Violation::Doubled(id(1, 1))];
        assert_eq!(violations(&[create], &both), doubled);
        let strange = [found("a", &[id(2, 7)])];
        assert_eq!(violations(&[], &strange), [Violation::Unknown(id(2, 7))]);
    }

    #[test]
    fn a_loss_is_excused_by_a_window_of_who_met_it() {
        let create = event(Kind::Create, 1, 10.0, None, Some(1));
        let remove = |mount, ended| event(Kind::Remove, mount, ended, Some(id(1, 9)), None);
        let check = |other: Event, windows: [&str; 2], excused| {
            let windows = windows.map(|names| Windows {
                writes: names.contains('w'),
                removals: names.contains('r'),
            });
            let events = [create.clone(), other.clone()];
            let lost = [Violation::Lost(id(1, 1))];
            let left = without_excuse(&lost, &events, &windows);
            assert_eq!(left.is_empty(), excused, "{other} {windows:?}");
        };
        check(remove(2, 10.1), ["", ""], false);
        check(remove(2, 10.1), ["", "r"], true);
        // The window must be that of who removed it, and then.
        check(remove(2, 10.1), ["r", "w"], false);
        check(remove(1, 10.1), ["r", "r"], false);
        check(remove(2, 40.0), ["r", "r"], false);
        let elsewhere = Event {
            name: "b".into(),
            ..remove(2, 10.1)
        };
        check(elsewhere, ["r", "r"], false);
        let write = event(Kind::Rewrite, 2, 10.1, Some(id(1, 9)), Some(1));
        check(write.clone(), ["", "r"], false);
        check(write, ["", "w"], true);
        let moved = |name: &str, to: &str| Event {
            name: name.into(),
            to: Some(to.into()),
            ..event(Kind::Move, 2, 10.1, Some(id(2, 5)), None)
        };
        check(moved("a", "b"), ["", "r"], true);
        check(moved("b", "a"), ["", "r"], false);
        check(moved("b", "a"), ["", "w"], true);
        // Nothing else is excused.
        let doubled = [Violation::Doubled(id(1, 1))];
        let all = [Windows {
            writes: true,
            removals: true,
        }; 2];
        let events = [create.clone(), remove(2, 10.1)];
        assert_eq!(without_excuse(&doubled, &events, &all), doubled);
    }

    #[test]
    fn what_was_never_acknowledged_is_not_demanded() {
        let doubtful = Event {
            outcome: Outcome::Doubtful,
            ..event(Kind::Create, 1, 1.0, None, Some(1))
        };
        assert_eq!(violations(&[doubtful], &[]), []);
    }
}
