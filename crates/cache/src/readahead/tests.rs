//! Tests of the module `readahead`.

use proptest::prelude::*;

use super::*;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

const LIMITS: Limits = Limits {
    block_bytes: 128 * KIB,
    window_bytes_max: 32 * MIB,
    step_bytes_max: 2 * MIB,
    growth: 2,
};

fn limits() -> impl Strategy<Value = Limits> {
    let all = (12_u32..20, 0_u64..40 * MIB, 1_u64..32, 1_u64..9);
    all.prop_map(|(shift, window_bytes_max, steps, growth)| Limits {
        block_bytes: 1 << shift,
        window_bytes_max,
        step_bytes_max: steps << shift,
        growth,
    })
}

/// Reads `size` bytes in order, `len` at a time, and gives every plan with where the run ended.
fn sequential(len: u64, size: u64, limits: &Limits) -> Vec<(u64, Range<u64>)> {
    let mut history = History::default();
    let mut plans = Vec::new();
    let mut at = 0;
    while at < size {
        let end = (at + len).min(size);
        let ahead;
        (history, ahead) = plan(history, at..end, size, limits);
        if !ahead.is_empty() {
            plans.push((end, ahead));
        }
        at = end;
    }
    plans
}

#[test]
fn the_first_read_at_zero_opens_the_initial_window() {
    let (_, ahead) = plan(History::default(), 0..128 * KIB, 100 * MIB, &LIMITS);
    assert_eq!(ahead, 128 * KIB..384 * KIB);
}

#[test]
fn a_small_first_read_plans_from_the_next_block() {
    let (_, ahead) = plan(History::default(), 0..4 * KIB, 100 * MIB, &LIMITS);
    assert_eq!(ahead, 128 * KIB..256 * KIB);
}

#[test]
fn sequential_reading_converges_to_the_full_window() {
    for len in [4 * KIB, 128 * KIB, MIB] {
        let plans = sequential(len, 400 * MIB, &LIMITS);
        let deepest = plans.iter().map(|(end, ahead)| ahead.end - end).max();
        assert!(deepest.unwrap() > 31 * MIB, "{len}: {deepest:?}");
        let late: Vec<_> = plans
            .iter()
            .filter(|(end, ahead)| *end > 100 * MIB && ahead.end < 400 * MIB)
            .collect();
        assert!(late.iter().all(|(end, ahead)| ahead.end - end > 29 * MIB));
        assert!(
            late.iter()
                .all(|(_, ahead)| ahead.end - ahead.start >= 2 * MIB)
        );
    }
}

#[test]
fn the_window_is_at_most_twice_what_was_read() {
    for (end, ahead) in sequential(64 * KIB, 100 * MIB, &LIMITS) {
        assert!(
            ahead.end <= (end * 3).max(end + 256 * KIB),
            "{end} {ahead:?}"
        );
    }
}

#[test]
fn a_second_read_that_touches_begins_a_run_anywhere() {
    let (history, ahead) = plan(History::default(), 50 * MIB..51 * MIB, 100 * MIB, &LIMITS);
    assert!(ahead.is_empty());
    let (_, ahead) = plan(history, 51 * MIB..52 * MIB, 100 * MIB, &LIMITS);
    assert_eq!(ahead, 52 * MIB..54 * MIB);
}

#[test]
fn a_repeated_read_changes_nothing() {
    let (once, _) = plan(History::default(), 0..128 * KIB, 100 * MIB, &LIMITS);
    let (twice, ahead) = plan(once, 0..128 * KIB, 100 * MIB, &LIMITS);
    assert_eq!((twice, ahead), (once, 0..0));

    let (once, _) = plan(History::default(), 50 * MIB..51 * MIB, 100 * MIB, &LIMITS);
    let (twice, ahead) = plan(once, 50 * MIB..51 * MIB, 100 * MIB, &LIMITS);
    assert_eq!((twice, ahead), (once, 0..0));

    let (once, _) = plan(twice, 53 * MIB..54 * MIB, 100 * MIB, &LIMITS);
    let (twice, ahead) = plan(once, 53 * MIB..54 * MIB, 100 * MIB, &LIMITS);
    assert_eq!((twice, ahead), (once, 0..0));
}

#[test]
fn a_far_seek_forgets_the_run() {
    let mut history = History::default();
    for at in 0..64 {
        (history, _) = plan(history, at * MIB..(at + 1) * MIB, 500 * MIB, &LIMITS);
    }
    let (history, ahead) = plan(history, 300 * MIB..301 * MIB, 500 * MIB, &LIMITS);
    assert!(ahead.is_empty());
    let (_, ahead) = plan(history, 301 * MIB..302 * MIB, 500 * MIB, &LIMITS);
    assert_eq!(ahead, 302 * MIB..304 * MIB);
}

#[test]
fn a_jump_within_reach_becomes_the_run_with_its_second_read() {
    let mut history = History::default();
    for at in 0..8 {
        (history, _) = plan(history, at * MIB..(at + 1) * MIB, 500 * MIB, &LIMITS);
    }
    for start in [11 * MIB, 5 * MIB] {
        let mut moved = history;
        for step in 0..64 {
            let at = start + step * MIB;
            (moved, _) = plan(moved, at..at + MIB, 500 * MIB, &LIMITS);
        }
        assert!(moved.is_planned(start + 70 * MIB), "from {start}");
    }
}

#[test]
fn what_was_skipped_is_planned_again() {
    let (history, ahead) = plan(History::default(), 0..MIB, 100 * MIB, &LIMITS);
    assert_eq!(ahead, MIB..3 * MIB);
    let (_, ahead) = plan(history.without(2 * MIB), MIB..2 * MIB, 100 * MIB, &LIMITS);
    assert_eq!(ahead.start, 2 * MIB);
}

proptest! {
    #[test]
    fn plans_stay_within_object_and_window(
        limits in limits(),
        size in 0_u64..200 * MIB,
        reads in prop::collection::vec((0_u64..220 * MIB, 0_u64..2 * MIB, any::<bool>()), 1..200),
    ) {
        let mut history = History::default();
        let mut end = 0;
        for (offset, len, follow) in reads {
            let start = if follow { end } else { offset };
            end = start + len;
            let ahead;
            (history, ahead) = plan(history, start..end, size, &limits);
            if ahead.is_empty() {
                continue;
            }
            prop_assert!(ahead.end <= size);
            prop_assert!(ahead.start % limits.block_bytes == 0);
            prop_assert!(ahead.end % limits.block_bytes == 0 || ahead.end == size);
            prop_assert!(ahead.end - history.run.end <= limits.window_bytes_max);
            prop_assert!(ahead.start >= history.run.end);
        }
    }

    #[test]
    fn reads_that_do_not_touch_plan_nothing(
        size_mib in 8_u64..10_000,
        slots in prop::collection::vec(any::<u64>(), 1..300),
    ) {
        // Slots of 8 KiB, each read in its middle 4 KiB: no two reads adjoin.
        let size = size_mib * MIB;
        let mut history = History::default();
        for slot in slots {
            let at = slot % (size / (8 * KIB)) * 8 * KIB + 2 * KIB;
            let ahead;
            (history, ahead) = plan(history, at..at + 4 * KIB, size, &LIMITS);
            prop_assert!(ahead.is_empty());
        }
    }

    #[test]
    fn sequential_reads_plan_every_byte_once(
        limits in limits(),
        len in 4 * KIB..MIB,
        size in 1_u64..60 * MIB,
    ) {
        let plans = sequential(len, size, &limits);
        let mut planned_to = None;
        for (_, ahead) in &plans {
            if let Some(to) = planned_to {
                // What lies between two plans was read before the second one was made.
                prop_assert!(ahead.start >= to);
            }
            planned_to = Some(ahead.end);
        }
        // In a very short object the reads themselves may reach the last block first.
        if limits.window_bytes_max >= 2 * MIB && size >= 8 * limits.block_bytes.max(len) {
            prop_assert_eq!(planned_to, Some(size));
        }
    }

    #[test]
    fn order_among_four_requests_does_not_matter(
        groups in prop::collection::vec(Just([0_u64, 1, 2, 3]).prop_shuffle(), 25),
        len in prop::sample::select(vec![4 * KIB, 128 * KIB, MIB]),
    ) {
        let size = 1000 * MIB;
        let mut shuffled = History::default();
        let mut straight = History::default();
        for (group, first) in groups.iter().zip((0..).step_by(4)) {
            for (place, at) in group.iter().zip(first..) {
                let moved = first + place;
                (shuffled, _) = plan(shuffled, moved * len..(moved + 1) * len, size, &LIMITS);
                (straight, _) = plan(straight, at * len..(at + 1) * len, size, &LIMITS);
            }
            prop_assert!(shuffled.is_planned(straight.run.end));
        }
        prop_assert_eq!(shuffled.run.end, straight.run.end);
        prop_assert!(shuffled.window(&LIMITS) * 2 >= straight.window(&LIMITS));
    }
}
