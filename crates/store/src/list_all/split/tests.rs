//! Splits of ranges, and how large ranges are.

use proptest::prelude::*;

use super::*;

fn learnt(slashes: Slashes, keys: &[&str]) -> Alphabet {
    let mut alphabet = Alphabet::new(slashes);
    for key in keys {
        alphabet.learn(key);
    }
    alphabet
}

#[test]
fn numbers_are_split_among_digits() {
    let alphabet = learnt(Slashes::Avoided, &["f000000", "f003999"]);
    let half = |after, end| alphabet.split(after, end, 1).unwrap();
    assert_eq!(half("f2", Some("f5")), "f35");
    assert_eq!(half("f2000", Some("f21")), "f2055");
    // Behind all digits is one place for what is beyond.
    assert_eq!(half("f9", Some("g")), "f:");
    // A folder has the place of its name.
    assert_eq!(half("f2/", Some("f5/")), "f35");
}

#[test]
fn pages_are_added_to_each_other() {
    let alphabet = learnt(Slashes::Avoided, &["f000000", "f000999"]);
    let ahead = |page, from, times| alphabet.ahead(page, from, times);
    let page = ("f000000", "f000999");
    let said = |text: &str| Some(text.to_owned());
    assert_eq!(ahead(page, "f000999", 1), said("f001998"));
    assert_eq!(ahead(page, "f000999", 5), said("f005994"));
    assert_eq!(ahead(("f000500", "f001499"), "f3", 1), said("f300999"));
    // Behind the last number, and the last of the letters that are hexadecimal digits, is nothing that is known.
    assert_eq!(ahead(page, "e999999", 1), said("f000998"));
    assert_eq!(ahead(page, "f999999", 1), None);
    assert_eq!(ahead(("a", "a"), "a", 7), None);
    let folders = learnt(Slashes::Avoided, &["a.1/", "a.9/"]);
    // No slash in it: what has one is a folder, of which nothing may lie on either side.
    assert_eq!(folders.ahead(("a.1/", "a.9/"), "a.9/", 1), said("b.7"));
}

#[test]
fn a_range_is_as_large_as_what_may_be_in_it() {
    let alphabet = learnt(Slashes::Avoided, &["f000000", "f003999"]);
    let times = |small: (&str, &str), large: (&str, &str)| {
        let size = |(after, end)| alphabet.log_size(after, Some(end));
        (size(large) - size(small)).exp()
    };
    let page = ("f003000", "f004000");
    assert!((times(page, ("f004000", "f005000")) - 1.0).abs() < 1e-6);
    // Twelve, not ten: a key may end there, or go on with something else than a digit.
    assert!((times(page, ("f1", "f2")) - 144.0).abs() < 1e-6);
    assert!(alphabet.log_size("f1", None) > alphabet.log_size("f1", Some("f2")));
}

#[test]
fn a_slash_splits_only_where_folders_are_not_asked_for() {
    let keys = ["a.b", "a0c"];
    for (slashes, at) in [(Slashes::Allowed, '/'), (Slashes::Avoided, '0')] {
        let place = Place {
            seen: BTreeSet::new(),
            ladder: vec!['.'],
            end: BEYOND_ASCII,
        };
        assert_eq!(place.char_of(2, slashes), Some(at));
        let alphabet = learnt(slashes, &keys);
        let split = alphabet.split("a/x", Some("a/y"), 1);
        assert!(slashes == Slashes::Allowed || split.is_none(), "{split:?}");
    }
}

proptest! {
    #[test]
    fn a_split_is_between(
        keys in prop::collection::btree_set("[-./0-9a-c\u{e4}\u{4e00}\u{ffff}]{1,6}", 2..6),
        halvings in 1..20_u32,
    ) {
        let keys: Vec<_> = keys.iter().map(String::as_str).collect();
        for slashes in [Slashes::Allowed, Slashes::Avoided] {
            let alphabet = learnt(slashes, &keys);
            for pair in keys.windows(2) {
                for end in [Some(pair[1]), None] {
                    if let Some(split) = alphabet.split(pair[0], end, halvings) {
                        prop_assert!(split.as_str() > pair[0]);
                        prop_assert!(end.is_none_or(|end| split.as_str() < end));
                        prop_assert!(slashes == Slashes::Allowed || !split.contains('/'));
                    }
                }
            }
        }
    }
}
