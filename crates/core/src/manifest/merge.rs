//! What one who writes a manifest makes of what others wrote into it meanwhile.
//!
//! Laws:
//! - Of each name, what is known of its newest object stays, whoever knows it. What is known of an object that a
//!   listing does not show any more goes, unless it is newer than the listing.
//! - The result does not depend on who writes first, as long as all speak the truth: one object has one kind of
//!   attributes.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use cloudmount_vfs::Timestamp;

use super::{Binding, Known, Manifest, Outcome};

/// What a folder holds, as far as a listing tells.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listing {
    /// The objects, by the last part of their keys.
    pub objects: BTreeMap<String, Binding>,
    /// When it was asked for, at the latest: what was written since may be missing.
    pub asked: Timestamp,
}

/// What `ours` and `theirs` know of what is listed, and of what is newer; and whether that is still `theirs`.
#[must_use]
pub fn merge(ours: &Manifest, theirs: Manifest, listing: &Listing) -> (Manifest, Outcome) {
    let mut merged = Manifest::default();
    for (part, known) in &ours.entries {
        if listing.allows(part, known) {
            merged.entries.insert(part.clone(), known.clone());
        }
    }
    let (before, mut same) = (theirs.entries.len(), 0);
    for (part, known) in theirs.entries {
        if !listing.allows(&part, &known) {
            continue;
        }
        match merged.entries.entry(part) {
            Entry::Occupied(mut ours) => {
                if ours.get().binding.modified < known.binding.modified {
                    ours.insert(known);
                    same += 1;
                } else {
                    same += usize::from(*ours.get() == known);
                }
            }
            Entry::Vacant(place) => {
                place.insert(known);
                same += 1;
            }
        }
    }
    let outcome = Outcome::of(same, before, &merged);
    (merged, outcome)
}

impl Listing {
    fn allows(&self, part: &str, known: &Known) -> bool {
        let known = &known.binding;
        match self.objects.get(part) {
            Some(listed) => known.is_same(listed) || known.modified > listed.modified,
            None => known.modified >= self.asked,
        }
    }
}

#[cfg(test)]
mod tests {
    use cloudmount_store::{Metadata, Version};
    use proptest::prelude::*;

    use super::*;

    /// The truth about an object: all that is known of it follows from its name and its date.
    fn known(part: &str, secs: i64) -> Known {
        Known {
            binding: Binding {
                version: Version::new(format!("{part}{secs}")),
                size: secs.unsigned_abs(),
                modified: Timestamp::new(secs, 0),
            },
            metadata: Metadata {
                content_type: Some(format!("{part}/{secs}")),
                ..Metadata::default()
            },
            target: None,
        }
    }

    fn manifest() -> impl Strategy<Value = Manifest> {
        let entries = prop::collection::btree_map("[a-e]", 0_i64..20, 0..5);
        entries.prop_map(|entries| Manifest {
            entries: (entries.into_iter())
                .map(|(part, secs)| (part.clone(), known(&part, secs)))
                .collect(),
        })
    }

    fn listing() -> impl Strategy<Value = Listing> {
        (manifest(), 0_i64..20).prop_map(|(manifest, asked)| Listing {
            objects: (manifest.entries.into_iter())
                .map(|(part, known)| (part, known.binding))
                .collect(),
            asked: Timestamp::new(asked, 0),
        })
    }

    proptest! {
        #[test]
        fn it_matters_not_who_is_first(a in manifest(), b in manifest(), c in manifest(), listing in listing()) {
            let m = |a: &Manifest, b: &Manifest| merge(a, b.clone(), &listing).0;
            prop_assert_eq!(m(&a, &b), m(&b, &a));
            prop_assert_eq!(m(&m(&a, &b), &c), m(&a, &m(&b, &c)));
            prop_assert_eq!(m(&m(&a, &b), &b), m(&a, &b));
        }

        #[test]
        fn all_that_is_listed_and_known_stays_and_nothing_else(
            a in manifest(), b in manifest(), listing in listing(),
        ) {
            let (merged, outcome) = merge(&a, b.clone(), &listing);
            prop_assert_eq!(outcome == Outcome::Same, merged == b);
            for (part, object) in &listing.objects {
                let knows = |manifest: &Manifest| {
                    let known = manifest.entries.get(part);
                    known.is_some_and(|known| known.binding.modified >= object.modified)
                };
                prop_assert_eq!(merged.entries.contains_key(part), knows(&a) || knows(&b), "{}", part);
            }
            for (part, known) in &merged.entries {
                let of = [&a, &b].map(|from| from.entries.get(part) == Some(known));
                prop_assert!(of.contains(&true), "{part} is of nobody");
                prop_assert!(listing.allows(part, known));
                for other in [&a, &b].iter().filter_map(|from| from.entries.get(part)) {
                    prop_assert!(other.binding.modified <= known.binding.modified || !listing.allows(part, other));
                }
            }
        }
    }
}
