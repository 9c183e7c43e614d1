//! Times in metadata: nanoseconds, seconds with a fraction, and dates.

use chrono::{DateTime, SecondsFormat};
use cloudmount_vfs::Timestamp;

/// How exact a time that was read is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Grain {
    Nanosecond,
    /// The form has no place for more.
    Second,
}

/// A form that a time is written in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    /// Nanoseconds since 1970 and `ns`: AWS.
    Nanoseconds,
    /// Seconds since 1970, and nine digits of a fraction unless that is zero: s3fs, which reads the
    /// fraction as a number of nanoseconds, and rclone, which reads it as a fraction.
    Decimal,
    /// Whole seconds since 1970: Google.
    Seconds,
    /// RFC 3339 with nanoseconds: gcsfuse, and rclone for all times but the last change.
    Date,
}

impl Form {
    /// The form that `text` has; `or` if it has none.
    pub(super) fn of(text: &str, or: Self) -> Self {
        if text.ends_with("ns") {
            Self::Nanoseconds
        } else if text.contains('T') {
            Self::Date
        } else {
            or
        }
    }

    pub(super) const fn grain(self) -> Grain {
        match self {
            Self::Seconds => Grain::Second,
            Self::Nanoseconds | Self::Decimal | Self::Date => Grain::Nanosecond,
        }
    }

    pub(super) fn write(self, time: Timestamp) -> String {
        let (secs, nanos) = (time.secs(), time.nanos());
        match self {
            Self::Nanoseconds => {
                let all = i128::from(secs) * NANOS + i128::from(nanos);
                format!("{all}ns")
            }
            Self::Decimal if nanos == 0 => secs.to_string(),
            Self::Decimal => decimal(secs, nanos),
            Self::Seconds => secs.to_string(),
            Self::Date => match DateTime::from_timestamp(secs, nanos) {
                Some(date) => date.to_rfc3339_opts(SecondsFormat::AutoSi, true),
                // Years that RFC 3339 cannot say.
                None => decimal(secs, nanos),
            },
        }
    }
}

const NANOS: i128 = 1_000_000_000;

/// Before 1970 the seconds count down and the fraction up: -0.25 s is second -1 and 750,000,000 ns.
fn decimal(secs: i64, nanos: u32) -> String {
    if secs < 0 && nanos > 0 {
        let all = -(i128::from(secs) * NANOS + i128::from(nanos));
        return format!("-{}.{:09}", all / NANOS, all % NANOS);
    }
    format!("{secs}.{nanos:09}")
}

/// Reads any of the forms.
pub(super) fn read(text: &str) -> Option<Timestamp> {
    if let Some(all) = text.strip_suffix("ns") {
        return nanoseconds(all.parse().ok()?);
    }
    if text.contains('T') {
        let date = DateTime::parse_from_rfc3339(text).ok()?;
        return Some(Timestamp::new(
            date.timestamp(),
            date.timestamp_subsec_nanos(),
        ));
    }
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let (secs, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    let secs: u64 = secs.parse().ok()?;
    let nanos: u32 = digits.parse().ok()?;
    nanoseconds(sign * (i128::from(secs) * NANOS + i128::from(nanos)))
}

fn nanoseconds(all: i128) -> Option<Timestamp> {
    let secs = i64::try_from(all.div_euclid(NANOS)).ok()?;
    let nanos = u32::try_from(all.rem_euclid(NANOS)).ok()?;
    Some(Timestamp::new(secs, nanos))
}
