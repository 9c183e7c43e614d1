//! Walks, played: what is planned for whom, and what that costs.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const MAX: u64 = 64;

/// Somebody who looks, and what was asked for ahead of him.
#[derive(Default)]
struct Player {
    history: History,
    known: BTreeSet<u64>,
    read: BTreeSet<u64>,
    /// Contents wanted that had been asked for.
    hits: usize,
}

impl Player {
    fn look(&mut self, at: u64, look: Look) -> Option<Look> {
        if look == Look::Content && self.read.contains(&at) {
            self.hits += 1;
        }
        let (history, plan) = step(self.history, at, look, MAX);
        self.history = history;
        let plan = plan?;
        for position in plan.positions.clone() {
            assert!(position > at.min(self.history.at), "behind: {plan:?}");
            assert!(position <= self.history.at + MAX, "too far: {plan:?}");
        }
        match plan.what {
            Look::Attributes => self.known.extend(plan.positions),
            Look::Content => self.read.extend(plan.positions),
        }
        Some(plan.what)
    }

    /// Stat, open and read.
    fn use_it(&mut self, at: u64) {
        self.look(at, Look::Attributes);
        self.look(at, Look::Content);
    }
}

#[test]
fn who_reads_file_after_file_finds_all_but_the_first() {
    let mut player = Player::default();
    for at in 3..103 {
        player.use_it(at);
    }
    assert_eq!(player.hits, 98);
    assert!(player.read.len() <= 98 + 64);
    assert!(player.known.is_empty(), "attributes come with the content");
}

/// Who looks at each entry wants the next ones with their names; who reads some, or looks elsewhere, does not.
#[test]
fn who_looks_at_all_looks_on() {
    let mut player = Player::default();
    for at in 3..6 {
        assert!(!player.history.looks_on(at));
        player.look(at, Look::Attributes);
    }
    assert!(player.history.looks_on(5) && player.history.looks_on(5 + NEAR));
    assert!(!player.history.looks_on(6 + NEAR));
    // Nothing is planned twice for what is told so, and the run goes on behind it.
    player.history = player.history.told_up_to(1_000);
    assert!(player.history.looks_on(1_000) && !player.history.looks_on(5));
    player.known.clear();
    player.look(1_001, Look::Attributes);
    assert!(player.known.first().is_some_and(|first| *first > 1_001));
    assert_eq!(player.history.runs(), 1);
    for at in 1_002..1_070 {
        player.use_it(at);
    }
    assert!(!player.history.looks_on(1_069));
}

#[test]
fn the_window_opens_with_what_was_of_use() {
    let mut player = Player::default();
    let mut ahead = Vec::new();
    for at in 3..40 {
        player.use_it(at);
        let last = player.read.last().copied().unwrap_or(at);
        ahead.push(last.saturating_sub(at));
    }
    assert_eq!(ahead[..5], [0, 4, 6, 8, 10]);
    assert_eq!(ahead.last(), Some(&MAX));
}

#[test]
fn who_stats_only_costs_no_content() {
    let mut player = Player::default();
    for at in 3..500 {
        assert_ne!(player.look(at, Look::Attributes), Some(Look::Content));
    }
    assert!(player.read.is_empty());
    assert!(player.known.len() > 490);
}

#[test]
fn who_opens_one_of_four_gets_attributes_only() {
    let mut player = Player::default();
    for at in 3..400 {
        player.look(at, Look::Attributes);
        if at % 4 == 0 {
            player.look(at, Look::Content);
        }
    }
    assert!(player.read.len() < 12, "{:?}", player.read);
}

#[test]
fn who_reads_what_a_listing_has_told_already_is_a_walk_too() {
    let mut player = Player::default();
    for at in 3..103 {
        player.look(at, Look::Content);
    }
    assert_eq!(player.hits, 98);
}

#[test]
fn single_files_here_and_there_plan_nothing() {
    let mut player = Player::default();
    for at in [900, 3, 500, 40, 1200, 700] {
        player.use_it(at);
    }
    assert!(player.read.is_empty() && player.known.is_empty());
}

#[test]
fn a_walk_that_no_longer_reads_ends_within_a_few_dozen() {
    let mut player = Player::default();
    for at in 3..303 {
        player.use_it(at);
    }
    for at in 303..400 {
        player.look(at, Look::Attributes);
    }
    let wasted = player.read.range(303..).count() as u64;
    assert!(wasted <= PASSED_MAX + MAX, "{wasted}");
    assert!(player.read.last().unwrap() < &400);
}

#[test]
fn the_next_folder_is_believed_to_be_like_the_last() {
    let mut player = Player::default();
    for at in 3..103 {
        player.use_it(at);
    }
    let mut next = Player {
        history: player.history.lend(),
        ..Player::default()
    };
    assert_eq!(next.look(3, Look::Attributes), Some(Look::Content));
    assert!(next.read.contains(&4));
    // One that is only looked at lends nothing, and is soon not believed any more.
    for at in 4..40 {
        next.look(at, Look::Attributes);
    }
    assert!(next.read.len() <= 8, "{:?}", next.read);
    assert_eq!(next.history.lend(), History::default());
}

#[test]
fn what_was_not_asked_for_is_planned_again() {
    let mut player = Player::default();
    for at in 3..20 {
        player.use_it(at);
    }
    let first = player.history.without(25);
    let (_, plan) = step(first, 20, Look::Content, MAX);
    assert_eq!(plan.unwrap().positions.start, 25);
}

proptest! {
    /// Whatever is looked at: the plan lies beyond the furthest look, within the window, and is new.
    #[test]
    fn plans_are_bounded_and_never_twice(
        looks in prop::collection::vec((1_u64..300, any::<bool>()), 1..300),
        window in 0_u64..100,
    ) {
        let mut history = History::default();
        let mut planned: BTreeSet<(u64, bool)> = BTreeSet::new();
        for (at, reads) in looks {
            let look = if reads { Look::Content } else { Look::Attributes };
            let runs = history.runs();
            let (after, plan) = step(history, at, look, window);
            if after.runs() != runs {
                planned.clear();
            }
            history = after;
            prop_assert!(history.read <= history.passed() && history.looked <= history.passed());
            let Some(plan) = plan else { continue };
            for position in plan.positions {
                prop_assert!(position > history.at && position <= history.at + window);
                prop_assert!(planned.insert((position, plan.what == Look::Content)));
            }
        }
    }

    /// Without a look for content, no content is planned.
    #[test]
    fn looks_for_attributes_never_plan_content(looks in prop::collection::vec(1_u64..300, 1..300)) {
        let mut history = History::default();
        for at in looks {
            let (after, plan) = step(history, at, Look::Attributes, MAX);
            history = after;
            prop_assert!(plan.is_none_or(|plan| plan.what == Look::Attributes));
        }
    }
}
