//! Tests of the module `pace`: it is played on links that are computed.

use proptest::prelude::*;

use super::*;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const BOUNDS: Bounds = Bounds {
    block_bytes: 128 * KIB,
    request_bytes_max: 8 * MIB,
    window_bytes_max: 32 * MIB,
};

/// A link, as a reader sees it.
#[derive(Clone, Copy, Debug)]
struct Link {
    /// From a request to its first byte.
    latency: Duration,
    /// Bytes a second of one connection, and of all together.
    of_each: u64,
    of_all: u64,
    /// What the server does for each request, during which it sends nothing to anybody.
    work: Duration,
    /// Bytes a second that the reader takes.
    reader: u64,
}

const NEAR: Link = Link {
    latency: Duration::from_millis(1),
    of_each: 1_000_000_000,
    of_all: 1_000_000_000,
    work: Duration::from_micros(500),
    reader: u64::MAX,
};
const FAR: Link = Link {
    latency: Duration::from_millis(20),
    of_each: 80_000_000,
    of_all: 10_000_000_000,
    work: Duration::ZERO,
    reader: u64::MAX,
};
const VERY_FAR: Link = Link {
    latency: Duration::from_millis(200),
    of_each: 10_000_000,
    ..FAR
};
const THROTTLED: Link = Link {
    of_each: 5_000_000,
    of_all: 5_000_000,
    ..FAR
};

/// A request under way.
#[derive(Clone, Copy)]
struct Request {
    start: u64,
    bytes: u64,
    sent: u64,
    first: Option<u64>,
    arrived: u64,
    awaited: Awaited,
}

/// Reads of one file to its end.
struct Play {
    /// Bytes a second, of the last third.
    rate: u64,
    /// Bytes a second, of all of it.
    of_all: u64,
    last: Sizes,
    /// All sizes that were in use.
    seen: Vec<Sizes>,
}

/// A tick of the simulation, in microseconds: a quarter of the shortest latency.
const TICK: u64 = 250;

fn at(micros: u64) -> Instant {
    Instant::from_start(Duration::from_micros(micros))
}

/// Reads `total` bytes in order, with the sizes that `sizes` says, which hears what was answered.
fn play(link: Link, total: u64, mut sizes: impl FnMut(Option<Sample>) -> Sizes) -> Play {
    let (mut now, mut asked, mut read, mut work) = (0_u64, 0_u64, 0_u64, 0_u64);
    let mut flying: Vec<Request> = Vec::new();
    let mut seen = vec![sizes(None)];
    let mut third = (0, 0);
    while asked < total || !flying.is_empty() {
        let is = *seen.last().expect("never empty");
        while asked < total && asked < read + is.window_bytes {
            let bytes = is.request_bytes.min(total - asked);
            flying.push(Request {
                start: asked,
                bytes,
                sent: now,
                first: None,
                arrived: 0,
                awaited: Awaited::No,
            });
            asked += bytes;
            work += u64::try_from(link.work.as_micros()).expect("small");
        }
        now += TICK;
        // While the server works, it sends nothing.
        let sends = TICK - work.min(TICK);
        work -= work.min(TICK);
        let begun = |request: &Request| at(now).saturating_since(at(request.sent)) > link.latency;
        let active = flying.iter().filter(|request| begun(request)).count() as u64;
        let rate = link.of_each.min(link.of_all / active.max(1));
        for request in flying.iter_mut().filter(|request| begun(request)) {
            request.first.get_or_insert(now);
            request.arrived += rate * sends / 1_000_000;
        }
        // The reader goes as far as the bytes have come.
        let here = flying
            .first()
            .map_or(asked, |first| first.start + first.arrived.min(first.bytes));
        let most = read + (link.reader / 1_000_000).saturating_mul(TICK).min(total);
        read = here.min(most);
        for request in &mut flying {
            if here <= most && request.start <= read {
                request.awaited = Awaited::Yes;
            }
        }
        if third.0 == 0 && read >= total / 3 * 2 {
            third = (now, read);
        }
        flying.retain(|request| {
            let is_here = request.arrived >= request.bytes;
            if is_here {
                seen.push(sizes(Some(Sample {
                    sent: at(request.sent),
                    first_byte: at(request.first.unwrap_or(now)),
                    done: at(now),
                    bytes: request.bytes,
                    awaited: request.awaited,
                })));
            }
            !is_here
        });
    }
    Play {
        rate: (total - third.1) * 1_000_000 / (now - third.0).max(1),
        of_all: total * 1_000_000 / now.max(1),
        last: *seen.last().expect("never empty"),
        seen,
    }
}

/// With sizes that follow what was measured.
fn followed(link: Link, total: u64) -> Play {
    let mut pace = Pace::new(BOUNDS);
    play(link, total, move |sample| {
        if let Some(sample) = sample {
            pace.heard(sample);
        }
        pace.sizes()
    })
}

/// The best rate of all that could be chosen beforehand.
fn best(link: Link, total: u64) -> (u64, u64) {
    let rates = [512 * KIB, MIB, 2 * MIB, 4 * MIB, 8 * MIB].map(|request_bytes| {
        let fixed = Sizes {
            request_bytes,
            window_bytes: BOUNDS.window_bytes_max,
            growth: 2,
        };
        (play(link, total, |_| fixed).rate, request_bytes)
    });
    *rates.iter().max().expect("not empty")
}

#[track_caller]
fn check(link: Link, total: u64) -> Play {
    let (best, with) = best(link, total / 4);
    let play = followed(link, total);
    assert!(
        play.rate * 100 >= best * 85,
        "{link:?}: {} of {best} bytes a second, which requests of {with} bytes bring; at the end {:?}",
        play.rate,
        play.last
    );
    play
}

#[test]
fn near_requests_become_large() {
    let play = check(NEAR, 4096 * MIB);
    assert!(play.last.request_bytes >= 4 * MIB, "{:?}", play.last);
    assert_eq!(play.last.growth, GROWTH_NEAR);
}

#[test]
fn behind_a_limit_for_each_connection_there_are_many_requests() {
    let play = check(FAR, 4096 * MIB);
    assert!(play.last.request_bytes <= MIB, "{:?}", play.last);
    assert_eq!(play.last.growth, GROWTH_FAR);
    check(VERY_FAR, 2048 * MIB);
}

/// A single file is all that many read: looking for what is better must not cost what it could win.
#[test]
fn one_file_from_far_is_not_what_trials_are_paid_with() {
    for of_all in [600_000_000, 800_000_000, 10_000_000_000] {
        let link = Link { of_all, ..FAR };
        let began = play(link, 1024 * MIB, |_| Pace::new(BOUNDS).sizes());
        let play = followed(link, 1024 * MIB);
        assert!(
            play.of_all * 100 >= began.of_all * 92,
            "{of_all}: {} of {}, and at the end {:?}",
            play.of_all,
            began.of_all,
            play.last
        );
    }
}

#[test]
fn a_throttled_link_is_not_filled_with_what_is_wanted_later() {
    let play = check(THROTTLED, 1024 * MIB);
    assert!(
        play.last.window_bytes <= BOUNDS.window_bytes_max / 2,
        "{:?}",
        play.last
    );
}

#[test]
fn a_reader_that_is_slower_than_the_link_changes_nothing() {
    let slow = Link {
        reader: 20_000_000,
        ..NEAR
    };
    let play = followed(slow, 1024 * MIB);
    let first = play.seen[0];
    assert!(
        play.seen
            .iter()
            .all(|sizes| sizes.request_bytes == first.request_bytes
                && sizes.window_bytes == first.window_bytes),
        "{:?}",
        play.last
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the link, it stays within its bounds, and does not end worse than it began by more than a
    /// trial costs.
    #[test]
    fn no_link_is_spoilt(
        latency in 1_u64..300,
        of_each in 5_u64..500,
        of_all in 20_u64..1500,
        work in 0_u64..2000,
    ) {
        let link = Link {
            latency: Duration::from_millis(latency),
            of_each: of_each * 1_000_000,
            of_all: of_all * 1_000_000,
            work: Duration::from_micros(work),
            reader: u64::MAX,
        };
        let began = play(link, 512 * MIB, |_| Pace::new(BOUNDS).sizes()).rate;
        let play = followed(link, 2048 * MIB);
        prop_assert!(play.rate * 100 >= began * 70, "{} of {began}", play.rate);
        for sizes in play.seen {
            prop_assert!(sizes.request_bytes.is_multiple_of(BOUNDS.block_bytes));
            prop_assert!((BOUNDS.block_bytes..=BOUNDS.request_bytes_max).contains(&sizes.request_bytes));
            prop_assert!((WINDOW_BYTES_MIN..=BOUNDS.window_bytes_max).contains(&sizes.window_bytes));
            prop_assert!(sizes.request_bytes * PARALLEL_MIN <= sizes.window_bytes);
        }
    }

    /// Whatever the settings, there is a request, and it lies within them.
    #[test]
    fn all_bounds_are_kept(shift in 12_u32..20, request in 1_u64..512, window in 0_u64..1 << 28) {
        let block_bytes = 1 << shift;
        let bounds = Bounds {
            block_bytes,
            request_bytes_max: request * block_bytes,
            window_bytes_max: window,
        };
        let mut pace = Pace::new(bounds);
        for number in 0..2000_u64 {
            let sizes = pace.sizes();
            prop_assert!((block_bytes..=bounds.request_bytes_max).contains(&sizes.request_bytes));
            prop_assert!(sizes.window_bytes <= bounds.window_bytes_max);
            // Rates that go up and down, so that trials end either way.
            let took = 900 + 300 * (number * number % 7);
            pace.heard(Sample {
                sent: at(number * 2000),
                first_byte: at(number * 2000 + 100),
                done: at(number * 2000 + took),
                bytes: 8 * MIB,
                awaited: Awaited::Yes,
            });
        }
    }
}
