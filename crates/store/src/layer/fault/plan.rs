//! Which calls fail, and how.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::super::rng::Rng;
use crate::layer::Operation;
use crate::{ErrorKind, Key};

/// What happens to a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// It fails with that kind; the store below is not asked.
    Fail(ErrorKind),
    /// It fails as [`ErrorKind::Throttled`], with how long to wait.
    Throttle(Duration),
    /// The store below carries it out, and the caller gets [`ErrorKind::TimedOut`].
    LoseReply,
    /// It waits so long first.
    Delay(Duration),
    /// It is carried out at once, and answered so long after that. Not of `get`.
    Late(Duration),
    /// The body of a `get` breaks after so many bytes, if it has more.
    Truncate(u64),
    /// A `list` answers what the same request gave before, if there was one.
    StaleList,
}

/// Calls, and what happens to them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FaultRule {
    operation: Option<Operation>,
    key: Option<Key>,
    calls: RangeInclusive<u64>,
    effect: Effect,
}

impl FaultRule {
    /// A rule for every call.
    #[must_use]
    pub const fn new(effect: Effect) -> Self {
        Self {
            operation: None,
            key: None,
            calls: 1..=u64::MAX,
            effect,
        }
    }

    /// Only for calls of that operation.
    #[must_use]
    pub const fn on(mut self, operation: Operation) -> Self {
        self.operation = Some(operation);
        self
    }

    /// Only for calls that name that key, as source or as target.
    #[must_use]
    pub fn key(mut self, key: Key) -> Self {
        self.key = Some(key);
        self
    }

    /// Only for those among the calls that match, counted from 1.
    #[must_use]
    pub const fn calls(mut self, calls: RangeInclusive<u64>) -> Self {
        self.calls = calls;
        self
    }

    /// Only for the call `nth` that matches, counted from 1.
    #[must_use]
    pub const fn nth(self, nth: u64) -> Self {
        self.calls(nth..=nth)
    }

    fn matches(&self, operation: Operation, keys: &[&Key]) -> bool {
        self.operation.is_none_or(|wanted| wanted == operation)
            && (self.key.as_ref()).is_none_or(|wanted| keys.contains(&wanted))
    }
}

/// How often faults happen by chance: so many in a thousand calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FaultRates {
    /// Calls that fail before they reach the store, as `Server`, `Connection` or `TimedOut`: the
    /// caller cannot know that they did not reach it.
    pub fail: u16,
    /// Calls that fail before they reach the store, as `Throttled`.
    pub throttle: u16,
    /// Calls whose reply is lost.
    pub lose_reply: u16,
    /// Bodies of `get` that break within their first 64 KiB.
    pub truncate: u16,
    /// Calls that wait up to [`Self::longest_delay`].
    pub delay: u16,
    /// The longest such wait.
    pub longest_delay: Duration,
}

/// A plan of faults: rules, and chances from a seed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FaultPlan {
    rules: Vec<FaultRule>,
    rates: FaultRates,
    seed: u64,
}

impl FaultPlan {
    /// No fault at all.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Exactly these.
    #[must_use]
    pub fn script(rules: impl IntoIterator<Item = FaultRule>) -> Self {
        Self {
            rules: rules.into_iter().collect(),
            ..Self::default()
        }
    }

    /// By chance; the same seed and order of calls give the same faults.
    #[must_use]
    pub fn random(seed: u64, rates: FaultRates) -> Self {
        Self {
            rates,
            seed,
            ..Self::default()
        }
    }

    /// The same plan with one more rule.
    #[must_use]
    pub fn with(mut self, rule: FaultRule) -> Self {
        self.rules.push(rule);
        self
    }
}

/// What was decided on one call.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) delay: Duration,
    /// The wait after it.
    pub(super) late: Duration,
    pub(super) fail: Option<ErrorKind>,
    pub(super) retry_after: Option<Duration>,
    pub(super) lose_reply: bool,
    pub(super) truncate: Option<u64>,
    pub(super) stale: bool,
}

impl Verdict {
    fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Fail(kind) => {
                self.fail.get_or_insert(kind);
            }
            Effect::Throttle(wait) => {
                self.fail.get_or_insert(ErrorKind::Throttled);
                self.retry_after = Some(wait);
            }
            Effect::LoseReply => self.lose_reply = true,
            Effect::Delay(time) => self.delay += time,
            Effect::Late(time) => self.late += time,
            Effect::Truncate(bytes) => {
                self.truncate = Some(self.truncate.map_or(bytes, |old| old.min(bytes)));
            }
            Effect::StaleList => self.stale = true,
        }
    }
}

/// A plan under way.
#[derive(Debug)]
pub(super) struct State {
    /// Each rule with how many calls matched it.
    rules: Vec<(FaultRule, u64)>,
    rates: FaultRates,
    rng: Rng,
    injected: u64,
}

impl State {
    pub(super) fn new(plan: FaultPlan) -> Self {
        Self {
            rules: plan.rules.into_iter().map(|rule| (rule, 0)).collect(),
            rates: plan.rates,
            rng: Rng::new(plan.seed),
            injected: 0,
        }
    }

    pub(super) fn add(&mut self, rule: FaultRule) {
        self.rules.push((rule, 0));
    }

    pub(super) const fn injected(&self) -> u64 {
        self.injected
    }

    pub(super) fn decide(&mut self, operation: Operation, keys: &[&Key]) -> Verdict {
        let mut verdict = Verdict::default();
        for (rule, matched) in &mut self.rules {
            if rule.matches(operation, keys) {
                *matched += 1;
                if rule.calls.contains(matched) {
                    verdict.apply(rule.effect);
                    self.injected += u64::from(!matches!(rule.effect, Effect::Delay(_)));
                }
            }
        }
        self.draw(operation, &mut verdict);
        verdict
    }

    /// Adds what chance wants. Draws the same count of numbers for every call, so that one rate does
    /// not shift the others.
    fn draw(&mut self, operation: Operation, verdict: &mut Verdict) {
        const KINDS: [ErrorKind; 3] = [
            ErrorKind::Server,
            ErrorKind::Connection,
            ErrorKind::TimedOut,
        ];
        const TRUNCATE_WITHIN: u64 = 64 << 10;
        let rates = self.rates;
        if rates == FaultRates::default() {
            return;
        }
        let hits = |rate: u16| self.rng.below(1000) < u64::from(rate);
        let (fail, throttle, lose, truncate, delay) = (
            hits(rates.fail),
            hits(rates.throttle),
            hits(rates.lose_reply),
            hits(rates.truncate),
            hits(rates.delay),
        );
        let kind = KINDS[(self.rng.next() % 3) as usize];
        let bytes = self.rng.below(TRUNCATE_WITHIN);
        let wait = self.rng.up_to(rates.longest_delay);
        let wanted = [
            (fail, Effect::Fail(kind)),
            (throttle, Effect::Fail(ErrorKind::Throttled)),
            (lose, Effect::LoseReply),
            (
                truncate && operation == Operation::Get,
                Effect::Truncate(bytes),
            ),
        ];
        for (_, effect) in wanted.into_iter().filter(|(hit, _)| *hit) {
            verdict.apply(effect);
            self.injected += 1;
        }
        if delay {
            verdict.apply(Effect::Delay(wait));
        }
    }
}
