//! How long what the bucket said is believed: four times, and one for those that are not given.

use cloudmount_core::TimesToLive;

use super::{Settings, Span};

impl Settings {
    /// The times to live, each its own where it is given, else [`ttl`](Self::ttl).
    pub(crate) fn times_to_live(&self) -> TimesToLive {
        let or_all = |ttl: Option<Span>| ttl.unwrap_or(self.ttl).0;
        TimesToLive {
            attributes: or_all(self.attr_ttl),
            entries: or_all(self.entry_ttl),
            negatives: or_all(self.negative_ttl),
            listings: or_all(self.listing_ttl),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_not_given_is_as_long_as_all() {
        let millis = Duration::from_millis;
        let times = |texts: &[(&str, &str)]| {
            let mut settings = Settings::default();
            for (name, text) in texts {
                settings.set_text(name, text).unwrap();
            }
            let ttl = settings.times_to_live();
            [ttl.attributes, ttl.entries, ttl.negatives, ttl.listings]
        };
        assert_eq!(times(&[]), [millis(1000); 4]);
        assert_eq!(times(&[("ttl", "5s")]), [millis(5000); 4]);
        for (at, name) in ["attr-ttl", "entry-ttl", "negative-ttl", "listing-ttl"]
            .into_iter()
            .enumerate()
        {
            let mut expected = [millis(5000); 4];
            expected[at] = millis(0);
            assert_eq!(times(&[("ttl", "5s"), (name, "0")]), expected, "{name}");
        }
    }
}
