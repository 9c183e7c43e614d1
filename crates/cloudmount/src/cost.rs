//! What requests come to, at prices that somebody gives. It is no bill: providers round, give discounts and free amounts, and
//! charge for storage; what was in another process is not counted.
//!
//! Law: sums are of whole billionths of a dollar, so that none is lost on the way.

use std::fmt;

use cloudmount_store::layer::{MeterSnapshot, Operation, PriceClass};
use serde::{Deserialize, Serialize};

/// Billionths in a dollar.
const NANO: u64 = 1_000_000_000;

/// Digits behind the point that count.
const DIGITS: usize = 9;

/// Dearest price that is taken: a typing error beyond.
const DOLLARS_MAX: u64 = 1_000_000;

/// Prices, in billionths of a dollar.
#[derive(Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub struct Prices {
    /// 1,000 requests that write, copy or list.
    put: u64,
    /// 1,000 requests that read.
    get: u64,
    /// A GB (10⁹ bytes) that comes from the bucket.
    out: u64,
}

impl fmt::Debug for Prices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "put:{}n,get:{}n,out:{}n", self.put, self.get, self.out)
    }
}

impl TryFrom<String> for Prices {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let mut prices = Self::default();
        let mut seen = Vec::new();
        for one in text.split(',') {
            let (name, price) = one.split_once('=').ok_or("a price has no name")?;
            let (name, price) = (name.trim(), price.trim());
            if seen.contains(&name) {
                return Err("a price is there twice");
            }
            seen.push(name);
            let place = match name {
                "put" => &mut prices.put,
                "get" => &mut prices.get,
                "out" => &mut prices.out,
                _ => return Err("there is no such price"),
            };
            *place = nano(price).ok_or("a price is no number")?;
        }
        Ok(prices)
    }
}

/// A decimal number of dollars.
fn nano(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(part) || part.len() > DIGITS {
        return None;
    }
    let whole: u64 = whole.parse().ok().filter(|whole| *whole <= DOLLARS_MAX)?;
    let part: u64 = format!("{part:0<DIGITS$}").parse().ok()?;
    Some(whole * NANO + part)
}

/// Requests by what they are counted as, and what they come to.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
#[non_exhaustive]
pub struct Cost {
    /// Requests that write, copy or list, with those that failed and were made again.
    pub put_class: u64,
    /// Requests that read.
    pub get_class: u64,
    /// Requests that nobody charges for: removals.
    pub free: u64,
    /// Bytes of content that came from the bucket.
    pub bytes_out: u64,
    /// What all of that comes to since the start; `None` without prices.
    pub dollars: Option<f64>,
}

impl Cost {
    pub(crate) fn of(requests: &MeterSnapshot, prices: Option<&Prices>) -> Self {
        let of = |class: PriceClass| {
            let all = Operation::ALL.into_iter();
            let these = all.filter(|operation| operation.price_class() == class);
            these.map(|operation| requests.of(operation).requests).sum()
        };
        let cost = Self {
            put_class: of(PriceClass::Put),
            get_class: of(PriceClass::Get),
            free: of(PriceClass::Free),
            bytes_out: requests.of(Operation::Get).bytes_in,
            dollars: None,
        };
        let dollars = prices.map(|prices| cost.at(prices));
        Self { dollars, ..cost }
    }

    fn at(&self, prices: &Prices) -> f64 {
        let product = |count: u64, price: u64, of: u64| {
            u128::from(count) * u128::from(price) / u128::from(of)
        };
        let nano = product(self.put_class, prices.put, 1000)
            + product(self.get_class, prices.get, 1000)
            + product(self.bytes_out, prices.out, 1_000_000_000);
        // To be shown with four digits.
        nano as f64 / NANO as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prices(text: &str) -> Option<Prices> {
        Prices::try_from(text.to_owned()).ok()
    }

    #[test]
    fn prices_are_read_to_the_billionth() {
        let all = Prices {
            put: 5_000_000,
            get: 400_000,
            out: 90_000_000,
        };
        assert_eq!(prices("put=0.005,get=0.0004,out=0.09"), Some(all));
        assert_eq!(prices(" out = 0.09 , get=0.0004,put=0.005"), Some(all));
        let one = prices("put=0.000000001").unwrap();
        assert_eq!((one.put, one.get, one.out), (1, 0, 0));
        for text in [
            "",
            "0.005",
            "put=",
            "put=-1",
            "put=1e3",
            "put=.5",
            "put=1.",
            "put=0.0000000001",
            "put=1,put=2",
            "delete=1",
            "put=1000001",
            "put=99999999999999999999",
        ] {
            assert_eq!(prices(text), None, "{text}");
        }
    }

    #[test]
    fn a_cost_is_the_sum_of_its_products() {
        let cost = Cost {
            put_class: 2_000_000,
            get_class: 10_000_000,
            free: 1 << 40,
            bytes_out: 1_000_000_000_000,
            dollars: None,
        };
        let dollars = cost.at(&prices("put=0.005,get=0.0004,out=0.09").unwrap());
        assert!((dollars - 104.0).abs() < 1e-9, "{dollars}");
        let most = Cost {
            put_class: u64::MAX,
            ..cost
        };
        assert!(most.at(&prices("put=1000000").unwrap()).is_finite());
    }
}
