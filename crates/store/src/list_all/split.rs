//! [`Alphabet`]: where the keys of a range probably lie, by what its pages showed. Pure.
//!
//! Keys are read as numbers whose digits are their characters: at each place those that were seen there, with the
//! rest of their kind (after a 3, all digits). Ranges of keys then have a size, and a middle.
//!
//! Law: all of this is a guess. Wherever a range is split, nothing is listed twice or left out; a bad guess costs
//! a request.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// Places of a key, behind the prefix, that are learnt: at the next, all are alike.
const PLACES: usize = 128;

/// Places that a number has behind what two keys have in common: a page in 10^9 is told from the next.
const DIGITS: usize = 24;

/// The same, where one page is added to another: what a page holds is told apart by the first of them.
const FINE_PLACES: usize = 12;

/// What is seen at a place, and what may then be there as well. Hexadecimal digits are common in keys: six of the
/// letters stand for no others.
const KINDS: [(RangeInclusive<char>, RangeInclusive<char>); 5] = [
    ('0'..='9', '0'..='9'),
    ('A'..='F', 'A'..='F'),
    ('G'..='Z', 'A'..='Z'),
    ('a'..='f', 'a'..='f'),
    ('g'..='z', 'a'..='z'),
];

/// Characters beyond ASCII are digits by their number, up to the end of their part of Unicode: letters of Europe and
/// its neighbours, signs of China and Japan, syllables of Korea, all.
const PARTS: [u32; 4] = [0x1000, 0xa000, 0xd800, 0x11_0000];

/// The first character beyond ASCII.
const BEYOND_ASCII: u32 = 0x80;

/// What texts between two others may hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Slashes {
    /// Anything.
    Allowed,
    /// No slash: what has one is a folder, and no folder may lie on both sides of a split.
    Avoided,
}

/// One place of the keys.
#[derive(Clone, Debug)]
struct Place {
    /// Characters of ASCII that were seen.
    seen: BTreeSet<char>,
    /// Those that may be there, in order.
    ladder: Vec<char>,
    /// Up to where there may be others; [`BEYOND_ASCII`]: there are none.
    end: u32,
}

/// Which characters keys have, by their place behind the prefix.
#[derive(Clone, Debug)]
pub(super) struct Alphabet {
    slashes: Slashes,
    places: Vec<Place>,
    /// All places together, for those behind.
    any: Place,
}

impl Alphabet {
    pub(super) fn new(slashes: Slashes) -> Self {
        Self {
            slashes,
            places: Vec::new(),
            any: Place::new(),
        }
    }

    /// Learns from a key, without the prefix.
    pub(super) fn learn(&mut self, key: &str) {
        for (at, one) in self.chars(key).take(PLACES).enumerate() {
            if at == self.places.len() {
                self.places.push(Place::new());
            }
            self.places[at].learn(one);
            self.any.learn(one);
        }
    }

    /// How large the range between two texts is: the logarithm of its part of all texts. Without an end, it is
    /// what lies behind.
    pub(super) fn log_size(&self, after: &str, end: Option<&str>) -> f64 {
        let common = end.map_or(0, |end| self.common(after, end));
        let size = self.fraction(end, common) - self.fraction(Some(after), common);
        let units = (0..common).map(|at| as_f64(self.place(at).radix()).ln());
        size.max(f64::MIN_POSITIVE).ln() - units.sum::<f64>()
    }

    /// A text between `after` and `end`, where the range was halved so often. `None` if there is none that is
    /// easily found.
    pub(super) fn split(&self, after: &str, end: Option<&str>, halvings: u32) -> Option<String> {
        let common = end.map_or(0, |end| self.common(after, end));
        let low = self.digits(Some(after), common);
        let mut high = self.digits(end, common);
        for _ in 0..halvings {
            high = self.middle(&low, &high, common);
        }
        // As text: one place more than makes it larger than `after`.
        let mut split: String = self.chars(after).take(common).collect();
        let mut places_more = 2;
        for (at, digit) in high.into_iter().enumerate() {
            let Some(one) = self.place(common + at).char_of(digit, self.slashes) else {
                break;
            };
            split.push(one);
            if split.as_str() > after {
                places_more -= 1;
            }
            if places_more == 0 {
                break;
            }
        }
        let is_between = split.as_str() > after && end.is_none_or(|end| split.as_str() < end);
        (is_between && !self.is_cut(&split)).then_some(split)
    }

    /// A text as far behind `from` as so many times what lies between the two ends of a page, where texts are as long
    /// as these. `None` where no character comes that far.
    pub(super) fn ahead(&self, page: (&str, &str), from: &str, times: u64) -> Option<String> {
        let places = self.common(page.0, page.1) + FINE_PLACES;
        let (first, last) = (self.values(page.0, places), self.values(page.1, places));
        let mut sum = self.values(from, places);
        let (mut borrowed, mut carried) = (0, 0);
        for at in (0..places).rev() {
            let radix = self.place(at).characters();
            let between = radix + last[at] - first[at] - borrowed;
            borrowed = u64::from(between < radix);
            let all = sum[at] + between % radix * times + carried;
            (sum[at], carried) = (all % radix, all / radix);
        }
        if carried > 0 {
            return None;
        }
        let length = self.chars(page.1).count().min(places);
        let values = sum.into_iter().take(length).enumerate();
        let ahead: Option<String> = values
            .map(|(at, value)| self.place(at).char_of(value + 1, self.slashes))
            .collect();
        ahead.filter(|ahead| ahead.as_str() > from && !self.is_cut(ahead))
    }

    /// The characters of a text as places among those that are known there.
    fn values(&self, text: &str, places: usize) -> Vec<u64> {
        let mut chars = self.chars(text);
        let value = |at| {
            let (place, one) = (self.place(at), chars.next());
            let digit = one.map_or(0, |one| place.digit_of(one));
            digit.saturating_sub(1).min(place.characters() - 1)
        };
        (0..places).map(value).collect()
    }

    /// Whether a split there would cut through a folder.
    fn is_cut(&self, split: &str) -> bool {
        self.slashes == Slashes::Avoided && split.contains('/')
    }

    /// Half the sum of two numbers whose first place is `from`.
    fn middle(&self, low: &[u64], high: &[u64], from: usize) -> Vec<u64> {
        let radix = |at: usize| self.place(from + at).radix();
        let mut sum: Vec<u64> = low.iter().zip(high).map(|(low, high)| low + high).collect();
        for at in (1..sum.len()).rev() {
            sum[at - 1] += sum[at] / radix(at);
            sum[at] %= radix(at);
        }
        let mut rest = 0;
        for (at, digit) in sum.iter_mut().enumerate() {
            let twice = rest * radix(at) + *digit;
            (*digit, rest) = (twice / 2, twice % 2);
        }
        sum
    }

    /// A folder is named without its slash.
    fn chars<'a>(&self, text: &'a str) -> std::str::Chars<'a> {
        match self.slashes {
            Slashes::Allowed => text.chars(),
            Slashes::Avoided => text.trim_end_matches('/').chars(),
        }
    }

    /// Places that two texts have in common.
    fn common(&self, one: &str, other: &str) -> usize {
        let both = self.chars(one).zip(self.chars(other));
        both.take_while(|(one, other)| one == other).count()
    }

    fn place(&self, at: usize) -> &Place {
        self.places.get(at).unwrap_or(&self.any)
    }

    /// The digits of `text` from a place on; without one, more than all.
    fn digits(&self, text: Option<&str>, from: usize) -> Vec<u64> {
        let Some(text) = text else {
            let mut end = vec![0; DIGITS];
            end[0] = self.place(from).radix();
            return end;
        };
        let mut chars = self.chars(text).skip(from);
        let digit = |at| {
            chars
                .next()
                .map_or(0, |one| self.place(from + at).digit_of(one))
        };
        (0..DIGITS).map(digit).collect()
    }

    /// Between 0 and 1, where the places before `from` are left out.
    fn fraction(&self, text: Option<&str>, from: usize) -> f64 {
        let (mut value, mut unit) = (0.0, 1.0);
        for (at, digit) in self.digits(text, from).into_iter().enumerate() {
            unit /= as_f64(self.place(from + at).radix());
            value += as_f64(digit) * unit;
        }
        value
    }
}

impl Place {
    const fn new() -> Self {
        Self {
            seen: BTreeSet::new(),
            ladder: Vec::new(),
            end: BEYOND_ASCII,
        }
    }

    fn learn(&mut self, one: char) {
        let number = u32::from(one);
        if number >= BEYOND_ASCII {
            let end = PARTS.into_iter().find(|end| number < *end);
            self.end = self.end.max(end.unwrap_or(BEYOND_ASCII));
        } else if self.seen.insert(one) {
            let mut ladder = self.seen.clone();
            for (seen, kind) in KINDS {
                if self.seen.iter().any(|one| seen.contains(one)) {
                    ladder.extend(kind);
                }
            }
            self.ladder = ladder.into_iter().collect();
        }
    }

    /// Nothing there, the characters that may be, and one for all that are beyond.
    fn radix(&self) -> u64 {
        self.ladder.len() as u64 + u64::from(self.end - BEYOND_ASCII) + 2
    }

    /// How many characters may be there: those of the ladder, and those beyond ASCII. At least one.
    fn characters(&self) -> u64 {
        (self.radix() - 2).max(1)
    }

    fn digit_of(&self, one: char) -> u64 {
        let number = u32::from(one);
        if number >= BEYOND_ASCII {
            let number = number.min(self.end) - BEYOND_ASCII;
            return self.ladder.len() as u64 + u64::from(number) + 1;
        }
        match self.ladder.binary_search(&one) {
            Ok(at) => at as u64 + 1,
            // Beyond the last, or as good as the one below.
            Err(at) if at == self.ladder.len() => at as u64 + 1,
            Err(at) => at as u64,
        }
    }

    fn char_of(&self, digit: u64, slashes: Slashes) -> Option<char> {
        let at = usize::try_from(digit.checked_sub(1)?).ok()?;
        if let Some(one) = self.ladder.get(at) {
            return Some(*one);
        }
        let beyond = u32::try_from(at - self.ladder.len()).ok()?;
        let number = match self.ladder.last() {
            Some(last) if self.end == BEYOND_ASCII => u32::from(*last) + 1 + beyond,
            _ => BEYOND_ASCII + beyond,
        };
        match char::from_u32(number)? {
            '/' if slashes == Slashes::Avoided => Some('0'),
            next => Some(next),
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "radices and digits are below 2^52"
)]
fn as_f64(small: u64) -> f64 {
    small as f64
}

#[cfg(test)]
mod tests;
