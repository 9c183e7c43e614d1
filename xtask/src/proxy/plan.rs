//! Which requests fail, and how.
//!
//! Law: whether a request fails depends on the seed, the rule, and its number among its kind, and on nothing
//! else: the same requests in the same order fail the same way.

use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum as _;

use super::kind::Kind;
use crate::dice::Dice;

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is answered with 500 InternalError, and not carried out.
    Error,
    /// It is answered with 503 SlowDown, with these seconds in Retry-After, and not carried out.
    SlowDown(Option<u64>),
    /// It is answered with 403 and a code that says that too much was asked, with these seconds in Retry-After, and not carried
    /// out.
    Throttle(u64),
    /// It is answered with that, and not carried out.
    Refused(Refusal),
    /// It is not carried out, and nothing is answered until the client gives up, or a limit passes.
    Hang,
    /// The connection is reset in the middle of its body; it is not carried out.
    ResetRequest,
    /// It is carried out, and the connection is reset in the middle of the answer's body.
    ResetReply,
    /// It is carried out, and nothing more comes after half of the answer's body until the client gives up, or a limit
    /// passes.
    Stall,
    /// It is carried out, and the connection is reset before any answer.
    Lost,
    /// The connection is reset before any answer, and it is carried out only some time later: by then the
    /// client may have sent it again.
    Late,
    /// It is carried out after a wait.
    Delay(Duration),
    /// The clock goes so many seconds ahead: where the date of a request is further from it than servers take (a quarter of an
    /// hour), it is answered with 403 RequestTimeTooSkewed and the time of that clock, and not carried out.
    Ahead(i64),
}

/// What is said in words of S3, and is so until somebody changes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// 403 QuotaExceeded, as Ceph says it.
    Quota,
    /// 507 Insufficient Storage, as servers of WebDAV's kin say it.
    Full,
    /// 404 NoSuchBucket.
    NoBucket,
    /// 403 InvalidAccessKeyId: the keys are no longer known.
    Revoked,
}

impl Refusal {
    /// The status, and the code of the document.
    pub(super) fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Quota => ("403 Forbidden", "QuotaExceeded"),
            Self::Full => ("507 Insufficient Storage", "InsufficientStorage"),
            Self::NoBucket => ("404 Not Found", "NoSuchBucket"),
            Self::Revoked => ("403 Forbidden", "InvalidAccessKeyId"),
        }
    }
}

/// Which of the requests fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// So many in a million, chosen by the seed; at most 1,000,000.
    Rate(u32),
    /// The one with this number among its kind, from 1 on.
    Nth(u64),
}

/// Requests of these kinds fail like this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// Of which kinds.
    pub(crate) kinds: Vec<Kind>,
    /// Which ones.
    pub(crate) when: When,
    /// How.
    pub(crate) fault: Fault,
}

/// Rules, of which the first that takes a request counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Chooses among the requests of a rate.
    pub(crate) seed: u64,
    /// In the order in which they are asked.
    pub(crate) rules: Vec<Rule>,
}

impl Plan {
    /// What happens to the request that is the `number`-th of its kind, from 1 on.
    pub(super) fn fault(&self, kind: Kind, number: u64) -> Option<Fault> {
        let takes = |at: usize, rule: &Rule| match rule.when {
            When::Nth(nth) => nth == number,
            When::Rate(rate) => {
                let place = (at as u64) << 8 | kind as u64;
                mix(mix(self.seed ^ mix(place)) ^ number) % 1_000_000 < u64::from(rate)
            }
        };
        let mut rules = self.rules.iter().enumerate();
        rules
            .find(|(at, rule)| rule.kinds.contains(&kind) && takes(*at, rule))
            .map(|(_, rule)| rule.fault)
    }
}

/// Every bit of `value` moves every bit of the result, also that of nothing.
fn mix(value: u64) -> u64 {
    Dice::from_state(value).next()
}

/// As `put+complete:3%:lost` or `part:#5:503`.
impl FromStr for Rule {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut parts = text.splitn(3, ':');
        let (Some(kinds), Some(when), Some(fault)) = (parts.next(), parts.next(), parts.next())
        else {
            bail!("{text}: write KINDS:WHEN:FAULT, as put+complete:3%:lost");
        };
        let kinds = match kinds {
            "all" => Kind::ALL.to_vec(),
            some => some
                .split('+')
                .map(|name| {
                    Kind::from_str(name, false)
                        .map_err(|_| anyhow::anyhow!("{name} is no kind of request"))
                })
                .collect::<Result<_>>()?,
        };
        Ok(Self {
            kinds,
            when: when.parse()?,
            fault: fault.parse()?,
        })
    }
}

/// As `2.5%` or `#5`.
impl FromStr for When {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        if let Some(nth) = text.strip_prefix('#') {
            let nth = nth.parse().with_context(|| format!("{text}: no number"))?;
            return Ok(Self::Nth(nth));
        }
        let (whole, part) = text
            .strip_suffix('%')
            .map(|percent| percent.split_once('.').unwrap_or((percent, "")))
            .with_context(|| format!("{text}: write a percentage, as 2.5%, or a number, as #5"))?;
        let digits = format!("{whole}{part:0<4}");
        match digits.parse() {
            Ok(rate @ 0..=1_000_000) if part.len() <= 4 => Ok(Self::Rate(rate)),
            _ => bail!("{text}: 0% to 100%, with four digits after the point at most"),
        }
    }
}

/// As `500`, `503`, `503+2` (seconds of Retry-After), `403+2`, `quota`, `full`, `no-bucket`, `hang`, `stall`, `reset-request`, `reset-reply`, `lost`,
/// `late`, `delay=200ms`.
impl FromStr for Fault {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "500" => Self::Error,
            "503" => Self::SlowDown(None),
            "quota" => Self::Refused(Refusal::Quota),
            "full" => Self::Refused(Refusal::Full),
            "no-bucket" => Self::Refused(Refusal::NoBucket),
            "revoked" => Self::Refused(Refusal::Revoked),
            "hang" => Self::Hang,
            "stall" => Self::Stall,
            "reset-request" => Self::ResetRequest,
            "reset-reply" => Self::ResetReply,
            "lost" => Self::Lost,
            "late" => Self::Late,
            other => {
                let seconds = other.strip_prefix("503+").map(str::parse);
                let throttled = other.strip_prefix("403+").map(str::parse);
                let delay = other
                    .strip_prefix("delay=")
                    .and_then(|time| time.strip_suffix("ms"))
                    .map(str::parse);
                match (seconds, throttled, delay) {
                    (Some(Ok(seconds)), ..) => Self::SlowDown(Some(seconds)),
                    (_, Some(Ok(seconds)), _) => Self::Throttle(seconds),
                    (.., Some(Ok(ms))) => Self::Delay(Duration::from_millis(ms)),
                    _ => bail!(
                        "{text} is no fault: 500, 503, 503+SECONDS, 403+SECONDS, quota, full, no-bucket, revoked, hang, stall, reset-request, \
                         reset-reply, lost, late, delay=NUMBERms"
                    ),
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(seed: u64, rules: &[&str]) -> Plan {
        let rules = rules.iter().map(|rule| rule.parse().unwrap()).collect();
        Plan { seed, rules }
    }

    #[test]
    fn a_rate_is_kept_and_the_seed_decides() {
        let chosen = |seed| -> Vec<u64> {
            let plan = plan(seed, &["put+copy:2.5%:500"]);
            (1..=10_000)
                .filter(|number| plan.fault(Kind::Put, *number).is_some())
                .collect()
        };
        assert_eq!(chosen(7), chosen(7));
        assert_ne!(chosen(7), chosen(8));
        let count = chosen(7).len();
        assert!((200..300).contains(&count), "{count} of 10,000");
    }

    #[test]
    fn the_first_rule_that_takes_a_request_counts() {
        let plan = plan(0, &["part:#2:lost", "all:100%:503+4"]);
        assert_eq!(plan.fault(Kind::Part, 2), Some(Fault::Lost));
        let slow = Some(Fault::SlowDown(Some(4)));
        assert_eq!(plan.fault(Kind::Part, 3), slow);
        assert_eq!(plan.fault(Kind::List, 2), slow);
    }

    #[test]
    fn rules_are_read_as_they_are_written() {
        let check = |text: &str, kinds: &[Kind], when, fault| {
            let kinds = kinds.to_vec();
            let rule: Rule = text.parse().unwrap();
            assert_eq!(rule, Rule { kinds, when, fault }, "{text}");
        };
        use Kind::{Complete, MultiDelete, Put};
        let third = When::Rate(30_000);
        check("put+complete:3%:lost", &[Put, Complete], third, Fault::Lost);
        check("get:#1:stall", &[Kind::Get], When::Nth(1), Fault::Stall);
        let full = Fault::Refused(Refusal::Full);
        check("get:#1:full", &[Kind::Get], When::Nth(1), full);
        check(
            "get:#1:403+2",
            &[Kind::Get],
            When::Nth(1),
            Fault::Throttle(2),
        );
        check("put:0.0001%:late", &[Put], When::Rate(1), Fault::Late);
        let wait = Fault::Delay(Duration::from_millis(200));
        check(
            "multi-delete:#12:delay=200ms",
            &[MultiDelete],
            When::Nth(12),
            wait,
        );
        for wrong in [
            "put",
            "put:3%",
            "pot:3%:500",
            "put:3:500",
            "put:101%:500",
            "put:#x:500",
            "put:0.00001%:500",
            "put:3%:404",
            "put:3%:delay=2",
            "put:3%:503+",
        ] {
            assert!(wrong.parse::<Rule>().is_err(), "{wrong}");
        }
    }
}
