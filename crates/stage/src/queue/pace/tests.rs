//! The pace over simulated lines: each request that ends makes room for the next, as in the queue.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a model: its numbers are small, and need not be exact"
)]

use super::*;

const BOUNDS: Bounds = Bounds {
    floor: 2,
    start: 8,
    ceiling: 16,
};

/// Of a part.
const BYTES: f64 = 8_388_608.0;

const MB_PER_MS: f64 = 1_000.0;

/// A line, and the server at its end. Bytes and milliseconds.
#[derive(Clone, Copy, Debug)]
struct Line {
    rtt: u64,
    per_connection: f64,
    in_total: f64,
    /// It refuses what comes while so many run.
    busy_above: usize,
}

const OPEN: Line = Line {
    rtt: 20,
    per_connection: f64::INFINITY,
    in_total: f64::INFINITY,
    busy_above: usize::MAX,
};

/// A request: until when it waits, and what it has to send after that.
struct Request {
    began: Began,
    from: u64,
    left: f64,
    bytes: f64,
    tries: u32,
    is_on_line: bool,
}

struct Simulation {
    line: Line,
    pace: Pace,
    now: u64,
    running: Vec<Request>,
    pushbacks: u64,
    random: u64,
    sent: f64,
    tried: u64,
    /// Sum of the limits of each millisecond, to be averaged.
    limits: u64,
}

impl Simulation {
    fn new(line: Line, seed: u64) -> Self {
        Self {
            line,
            pace: Pace::new(BOUNDS),
            now: 0,
            running: Vec::new(),
            pushbacks: 0,
            random: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            sent: 0.0,
            tried: 0,
            limits: 0,
        }
    }

    /// From 0 to 1.
    fn dice(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        f64::from(u32::try_from(self.random >> 40).unwrap()) / f64::from(1 << 24)
    }

    /// Lets `ms` pass, with `jobs` to do at once at most; gives bytes per millisecond, the mean limit,
    /// and which part of the tries was refused.
    fn pass(&mut self, ms: u64, jobs: usize) -> (f64, f64, f64) {
        let (sent, limits) = (self.sent, self.limits);
        let (tried, refused) = (self.tried, self.pushbacks);
        for _ in 0..ms {
            while self.running.len() < jobs.min(self.pace.limit().into()) {
                self.begin();
            }
            self.tick();
            let limit = self.pace.limit();
            assert!((BOUNDS.floor..=BOUNDS.ceiling).contains(&limit));
            self.limits += u64::from(limit);
            self.now += 1;
        }
        let all = (self.tried - tried).max(1);
        let refused = (self.pushbacks - refused) as f64 / all as f64;
        let limit = (self.limits - limits) as f64 / ms as f64;
        ((self.sent - sent) / ms as f64, limit, refused)
    }

    fn begin(&mut self) {
        let at = Instant::from_start(Duration::from_millis(self.now));
        let began = self.pace.began(at);
        let bytes = BYTES * (0.7 + 0.6 * self.dice());
        self.running.push(Request {
            began,
            from: self.now + self.line.rtt,
            left: bytes,
            bytes,
            tries: 0,
            is_on_line: false,
        });
    }

    fn tick(&mut self) {
        for index in 0..self.running.len() {
            if self.running[index].is_on_line || self.running[index].from > self.now {
                continue;
            }
            self.tried += 1;
            let on_line = self.running.iter().filter(|one| one.is_on_line).count();
            if on_line < self.line.busy_above {
                self.running[index].is_on_line = true;
            } else {
                // As the layer that repeats does it: a place is kept while it waits.
                self.pushbacks += 1;
                let most = f64::from(100_u32 << self.running[index].tries.min(6));
                let wait = (self.dice() * most) as u64;
                let one = &mut self.running[index];
                one.tries += 1;
                one.from = self.now + self.line.rtt + wait;
            }
        }
        let on_line = self.running.iter().filter(|one| one.is_on_line).count();
        let share = self.line.in_total / on_line.max(1) as f64;
        let most = self.line.per_connection;
        for one in self.running.iter_mut().filter(|one| one.is_on_line) {
            one.left -= most.min(share);
        }
        let (ended, running): (Vec<_>, Vec<_>) = std::mem::take(&mut self.running)
            .into_iter()
            .partition(|one| one.left <= 0.0);
        self.running = running;
        let at = Instant::from_start(Duration::from_millis(self.now));
        for one in ended {
            self.sent += one.bytes;
            let units = Ended::Moved(one.bytes as u64);
            self.pace.ended(&one.began, units, at, self.pushbacks);
        }
    }
}

/// Runs what `check` says on a line, with several seeds.
fn on(line: Line, check: impl Fn(&mut Simulation)) {
    for seed in 1..=6 {
        check(&mut Simulation::new(line, seed));
    }
}

#[test]
fn a_line_that_is_full_gets_no_more_requests() {
    for in_total in [20.0 * MB_PER_MS, 500.0 * MB_PER_MS] {
        let line = Line { in_total, ..OPEN };
        on(line, |world| {
            let (through, limit, _) = world.pass(120_000, 99);
            assert!(through >= in_total * 0.95, "{through} of {in_total}");
            assert!(limit <= 9.5, "{limit} at once on average");
        });
    }
}

#[test]
fn a_machine_that_is_its_own_server_is_filled() {
    let line = Line {
        rtt: 0,
        per_connection: 200.0 * MB_PER_MS,
        in_total: 500.0 * MB_PER_MS,
        ..OPEN
    };
    on(line, |world| {
        let (through, limit, _) = world.pass(5_000, 99);
        assert!(through >= line.in_total * 0.9, "{through}");
        assert!(limit <= 11.0, "{limit} at once on average");
    });
}

#[test]
fn connections_that_are_slow_each_are_used_all_at_once() {
    for per_connection in [10.0 * MB_PER_MS, 80.0 * MB_PER_MS] {
        let line = Line {
            per_connection,
            ..OPEN
        };
        on(line, |world| {
            // 250 parts, some twenty for each place.
            let time = (250.0 * BYTES / per_connection / 8.0) as u64;
            world.pass(time, 99);
            let (_, limit, _) = world.pass(time, 99);
            assert!(limit >= 14.0, "{limit} at once on average");
        });
    }
}

#[test]
fn it_grows_up_to_what_the_line_takes_and_not_far_beyond() {
    let line = Line {
        per_connection: 10.0 * MB_PER_MS,
        in_total: 110.0 * MB_PER_MS,
        ..OPEN
    };
    on(line, |world| {
        world.pass(60_000, 99);
        let (through, limit, _) = world.pass(120_000, 99);
        assert!(through >= line.in_total * 0.85, "{through}");
        assert!((9.5..=14.5).contains(&limit), "{limit} at once on average");
    });
}

#[test]
fn a_server_that_throttles_is_asked_as_much_as_it_takes() {
    let line = Line {
        per_connection: 40.0 * MB_PER_MS,
        busy_above: 5,
        ..OPEN
    };
    on(line, |world| {
        world.pass(30_000, 99);
        let (through, limit, refused) = world.pass(120_000, 99);
        assert!((3.0..=5.5).contains(&limit), "{limit} at once on average");
        assert!(refused < 0.05, "{refused} of all tries refused");
        assert!(through >= 0.65 * 5.0 * 40.0 * MB_PER_MS, "{through}");
    });
}

#[test]
fn it_comes_back_when_the_server_is_less_busy() {
    let line = Line {
        per_connection: 40.0 * MB_PER_MS,
        busy_above: 2,
        ..OPEN
    };
    on(line, |world| {
        let (_, limit, _) = world.pass(60_000, 99);
        assert!(limit < 4.0, "{limit} at once on average");
        world.line.busy_above = usize::MAX;
        world.pass(60_000, 99);
        assert!(world.pace.limit() >= 8, "{}", world.pace.limit());
    });
}

#[test]
fn who_has_little_to_do_learns_nothing() {
    let line = Line {
        per_connection: 40.0 * MB_PER_MS,
        ..OPEN
    };
    on(line, |world| {
        world.pass(60_000, 3);
        assert_eq!(world.pace, {
            let mut pace = Pace::new(BOUNDS);
            pace.in_flight = world.pace.in_flight;
            pace.measured = world.pace.measured.clone();
            pace
        });
    });
}

#[test]
fn one_burst_counts_once() {
    let mut pace = Pace::new(BOUNDS);
    let at = Instant::from_start(Duration::ZERO);
    let all: Vec<_> = (0..8).map(|_| pace.began(at)).collect();
    for one in &all {
        pace.ended(one, Ended::Refused, at, 0);
    }
    assert_eq!((pace.limit(), pace.in_flight()), (5, 0));
    // What is counted elsewhere counts too, once.
    let (early, late) = (pace.began(at), pace.began(at));
    pace.ended(&early, Ended::Moved(1), at, 3);
    assert_eq!(pace.limit(), 3);
    pace.ended(&late, Ended::Moved(1), at, 3);
    assert_eq!(pace.limit(), 3);
    for _ in 0..20 {
        let one = pace.began(at);
        pace.ended(&one, Ended::Refused, at, 3);
    }
    assert_eq!(pace.limit(), BOUNDS.floor);
}

#[test]
fn bounds_keep_their_order() {
    assert_eq!(
        Bounds::below(1, 32, 4),
        Bounds {
            floor: 1,
            start: 1,
            ceiling: 1
        }
    );
    assert_eq!(Bounds::below(0, 32, 4), Bounds::below(1, 32, 4));
    assert_eq!(Bounds::below(64, 32, 4).start, 32);
}
