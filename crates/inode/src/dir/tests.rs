//! Tests of the module `dir`.

use std::time::Duration;

use cloudmount_vfs::NodeKind;

use super::*;
use crate::dentry::Source;

fn name(raw: usize) -> Name {
    Name::new(&format!("n{raw}")).unwrap()
}

fn at(secs: u64) -> Instant {
    Instant::from_start(Duration::from_secs(secs))
}

fn known(raw: usize) -> Known {
    Known {
        ino: InodeId::new(raw as u64 + 1).unwrap(),
        until: Deadline::PASSED,
        epoch: Epoch::NONE,
        kind: NodeKind::File,
        source: Source::Store,
    }
}

fn negative(until: u64, epoch: Epoch) -> Ghost {
    Ghost {
        epoch,
        until: at(until).into(),
        kind: GhostKind::Negative,
    }
}

#[test]
fn cookies_survive_squeezing() {
    let mut dir = Dir::new(Epoch::NONE);
    let cookies: Vec<Cookie> = (0..1000)
        .map(|raw| dir.insert(&name(raw), known(raw)))
        .collect();
    for (raw, cookie) in cookies.iter().enumerate() {
        if raw % 10 != 3 {
            assert_eq!(dir.take(*cookie), Some(known(raw).ino));
        }
    }
    assert!(dir.slots.len() < 2 * dir.len() + MIN_HOLES);
    let left: Vec<(Cookie, Name)> = dir.iter().map(|(c, d)| (c, dir.name_of(d))).collect();
    let expected: Vec<(Cookie, Name)> = (3..1000)
        .step_by(10)
        .map(|raw| (cookies[raw], name(raw)))
        .collect();
    assert_eq!(left, expected);
    for (cookie, name) in left {
        assert_eq!(dir.find(&name).unwrap().0, cookie);
    }
    assert!(dir.insert(&name(3000), known(3000)) > cookies[999]);
}

#[test]
fn an_emptied_directory_takes_little_room() {
    for is_first_out in [false, true] {
        let mut dir = Dir::new(Epoch::NONE);
        let mut cookies: Vec<Cookie> = (0..10_000)
            .map(|raw| dir.insert(&name(raw), known(raw)))
            .collect();
        if !is_first_out {
            cookies.reverse();
        }
        for cookie in &cookies[..9_990] {
            dir.take(*cookie);
        }
        assert_eq!(dir.len(), 10);
        assert!(dir.dentry_bytes() < 20_000, "{}", dir.dentry_bytes());
    }
}

#[test]
fn a_name_that_comes_and_goes_takes_no_room() {
    let mut dir = Dir::new(Epoch::NONE);
    dir.insert(&name(0), known(0));
    for _ in 0..10_000 {
        let cookie = dir.insert(&name(1), known(1));
        assert!(dir.take(cookie).is_some());
        assert!(dir.take(cookie).is_none());
    }
    assert_eq!(dir.slots.len(), 1);
    assert!(dir.dentry_bytes() < 20_000, "{}", dir.dentry_bytes());
}

#[test]
fn negatives_are_bounded_and_the_expired_go_first() {
    let mut dir = Dir::new(Epoch::NONE);
    for raw in 0..MAX_NEGATIVES {
        // Every fourth has expired when the limit is met.
        let until = if raw % 4 == 0 { 5 } else { 100 + raw as u64 };
        dir.haunt(&name(raw), negative(until, Epoch::NONE.next()), at(0));
    }
    assert_eq!(dir.ghost_count().negatives, MAX_NEGATIVES);
    dir.haunt(&name(MAX_NEGATIVES), negative(9, Epoch::NONE.next()), at(5));
    let left = dir.ghost_count().negatives;
    assert_eq!(left, MAX_NEGATIVES / 2 + 1);
    assert!(
        dir.ghost(&name(MAX_NEGATIVES)).is_some(),
        "the new one stays"
    );
    assert!(dir.ghost(&name(4)).is_none(), "expired");
    assert!(dir.ghost(&name(5)).is_none(), "expires first");
    assert!(
        dir.ghost(&name(MAX_NEGATIVES - 1)).is_some(),
        "expires last"
    );
}

#[test]
fn evicted_negatives_leave_a_floor_where_names_were_changed_here() {
    let mut dir = Dir::new(Epoch::NONE);
    let (one, two, three) = (
        Epoch::NONE.next(),
        Epoch::NONE.next().next(),
        Epoch::NONE.next().next().next(),
    );
    let fill = |dir: &mut Dir, epoch| {
        for raw in 0..=MAX_NEGATIVES {
            dir.haunt(&name(raw), negative(9, epoch), at(0));
        }
    };
    fill(&mut dir, two);
    assert_eq!(dir.floor, Epoch::NONE, "nothing was changed here");
    dir.changed = one;
    fill(&mut dir, two);
    assert_eq!(dir.floor, one);
    dir.changed = three;
    fill(&mut dir, two);
    assert_eq!(dir.floor, two);
}

#[test]
fn an_evicted_doubt_takes_the_listing_along() {
    for (kind, is_listed) in [(GhostKind::Doubt, false), (GhostKind::Negative, true)] {
        let mut dir = Dir::new(Epoch::NONE);
        (dir.listing.until, dir.listing.absent) = (at(50).into(), at(50).into());
        let doubt = Ghost {
            kind,
            ..Ghost::doubt(Epoch::NONE.next())
        };
        dir.haunt(&name(9999), doubt, at(0));
        for raw in 0..MAX_NEGATIVES {
            dir.haunt(&name(raw), negative(90, Epoch::NONE.next()), at(0));
        }
        assert!(dir.ghost(&name(9999)).is_none());
        assert_eq!(dir.is_listed(at(49)), is_listed);
    }
}

#[test]
fn a_dentry_is_small() {
    assert_eq!(size_of::<Slot>(), 48);
}
