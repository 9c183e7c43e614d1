//! Values as people write them: sizes, spans of time, modes.

use std::fmt;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, Visitor};

/// Bytes: a number, or a text like `256MiB` or `10MB`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ByteSize(pub u64);

/// A span of time: a number of seconds, or a text like `500ms`, `1s`, `5m` or `1h`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Span(pub Duration);

/// Permission bits in octal, as text: `0644`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Octal(pub u32);

const SIZES: [(&str, u64); 9] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];

/// `ms` before `s`, which it ends in.
const SPANS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// The number and what its unit is worth; without a unit, `bare`.
fn measured(text: &str, units: &[(&str, u64)], bare: u64) -> Option<u64> {
    let text = text.trim();
    for (unit, worth) in units {
        if let Some(number) = text.strip_suffix(unit) {
            return number.trim().parse::<u64>().ok()?.checked_mul(*worth);
        }
    }
    text.parse::<u64>().ok()?.checked_mul(bare)
}

/// A type that is written as a text or a number.
trait Written: Sized {
    const FORM: &'static str;
    fn parse(text: &str) -> Option<Self>;
    /// A bare number.
    fn number(number: u64) -> Option<Self>;
}

impl Written for ByteSize {
    const FORM: &'static str = "bytes, as 1048576, 256MiB or 10MB";
    fn parse(text: &str) -> Option<Self> {
        measured(text, &SIZES, 1).map(Self)
    }
    fn number(number: u64) -> Option<Self> {
        Some(Self(number))
    }
}

impl Written for Span {
    const FORM: &'static str = "a span of time, as 30, 500ms, 1s, 5m or 1h";
    fn parse(text: &str) -> Option<Self> {
        measured(text, &SPANS, 1_000).map(|millis| Self(Duration::from_millis(millis)))
    }
    fn number(number: u64) -> Option<Self> {
        Some(Self(Duration::from_secs(number)))
    }
}

impl Written for Octal {
    const FORM: &'static str = "permissions in octal, as \"0644\"";
    fn parse(text: &str) -> Option<Self> {
        let bits = u32::from_str_radix(text.trim(), 8).ok()?;
        (bits <= 0o7777).then_some(Self(bits))
    }
    /// TOML has octal numbers too, but they arrive without their base: `644` could be either.
    fn number(_: u64) -> Option<Self> {
        None
    }
}

impl fmt::Display for ByteSize {
    /// As `12 B`, `3.4 KiB`, `120 MiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
        let mut unit = 0;
        let mut tenths = u128::from(self.0) * 10;
        while tenths >= 10_240 && unit + 1 < UNITS.len() {
            tenths /= 1024;
            unit += 1;
        }
        if unit == 0 || tenths >= 1000 {
            write!(f, "{} {}", tenths / 10, UNITS[unit])
        } else {
            write!(f, "{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
        }
    }
}

struct Reader<T>(std::marker::PhantomData<T>);

impl<T: Written> Visitor<'_> for Reader<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::FORM)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        T::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        let parsed = u64::try_from(number).ok().and_then(T::number);
        parsed.ok_or_else(|| E::invalid_value(de::Unexpected::Signed(number), &self))
    }
}

macro_rules! written {
    ($($name:ident)*) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Reader(std::marker::PhantomData))
            }
        }
    )*};
}

written!(ByteSize Span Octal);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_say_enough() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (120 << 20, "120 MiB"),
            (5 << 30, "5.0 GiB"),
            (u64::MAX, "16777215 TiB"),
        ] {
            assert_eq!(ByteSize(bytes).to_string(), text);
        }
    }

    #[test]
    fn people_write_units() {
        for (text, bytes) in [
            ("0", 0),
            ("1048576", 1 << 20),
            ("256MiB", 256 << 20),
            ("10 MB", 10_000_000),
            ("7B", 7),
        ] {
            assert_eq!(ByteSize::parse(text), Some(ByteSize(bytes)), "{text}");
        }
        for (text, millis) in [
            ("30", 30_000),
            ("500ms", 500),
            ("1s", 1_000),
            ("5m", 300_000),
        ] {
            let span = Span(Duration::from_millis(millis));
            assert_eq!(Span::parse(text), Some(span), "{text}");
        }
        assert_eq!(Octal::parse("0644"), Some(Octal(0o644)));
        for text in ["", "x", "1.5MiB", "MiB", "-1", "99999999TiB"] {
            assert_eq!(ByteSize::parse(text), None, "{text}");
        }
        for text in ["8", "10000", "rw"] {
            assert_eq!(Octal::parse(text), None, "{text}");
        }
    }
}
