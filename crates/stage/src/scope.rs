//! [`Scope`]: the part of the bucket that a person means by a path.

use std::ops::Bound;

use cloudmount_store::Key;

use crate::key_state::KeyState;
use crate::table::Table;

/// A part of the bucket: a key, what is below a folder, both, or everything.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scope {
    key: Option<Key>,
    /// What the keys begin with: empty, or ending in `/`.
    prefix: Option<String>,
}

impl Scope {
    /// Every key.
    #[must_use]
    pub const fn all() -> Self {
        Self {
            key: None,
            prefix: Some(String::new()),
        }
    }

    /// That key alone.
    #[must_use]
    pub const fn key(key: Key) -> Self {
        Self {
            key: Some(key),
            prefix: None,
        }
    }

    /// What is below a folder, with its marker: keys that begin with `prefix`, which is empty or ends
    /// in `/`.
    #[must_use]
    pub fn below(prefix: &str) -> Self {
        Self {
            key: None,
            prefix: Some(prefix.to_owned()),
        }
    }

    /// What `path` leads to, whatever it is: the key of that name, and as a folder its marker and
    /// all below it. An empty path is everything.
    #[must_use]
    pub fn path(path: &str) -> Self {
        if path.is_empty() {
            return Self::all();
        }
        Self {
            // What is too long for a key has nothing pending.
            key: Key::new(path).ok(),
            prefix: Some(format!("{path}/")),
        }
    }

    /// Whether it is every key.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.prefix.as_deref() == Some("")
    }

    /// Whether `key` is in it.
    #[must_use]
    pub fn contains(&self, key: &Key) -> bool {
        let is_below = |prefix: &String| key.as_str().starts_with(prefix.as_str());
        self.key.as_ref() == Some(key) || self.prefix.as_ref().is_some_and(is_below)
    }

    /// What is pending in it, in the order of the keys.
    pub(crate) fn pending<'a>(
        &'a self,
        table: &'a Table,
    ) -> impl Iterator<Item = (&'a Key, &'a KeyState)> {
        // A key sorts before what is below it, and it has one entry at most.
        let own = self.key.as_ref().and_then(|key| {
            let from = Bound::Included(key.as_str().to_owned());
            (table.first_from(&from, key.as_str())).filter(|(found, _)| *found == key)
        });
        let below = self.prefix.as_deref().map(|prefix| table.under(prefix));
        own.into_iter().chain(below.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_key_and_what_is_below_it() {
        let check = |scope: &Scope, text: &str, expected: bool| {
            assert_eq!(
                scope.contains(&Key::new(text).unwrap()),
                expected,
                "{text} in {scope:?}"
            );
        };
        let path = Scope::path("a/b");
        for (text, expected) in [
            ("a/b", true),
            ("a/b/", true),
            ("a/b/c/d", true),
            ("a/bc", false),
            ("a", false),
            ("a/", false),
        ] {
            check(&path, text, expected);
        }
        let one = Scope::key(Key::new("a").unwrap());
        check(&one, "a", true);
        check(&one, "a/b", false);
        let folder = Scope::below("a/");
        check(&folder, "a/", true);
        check(&folder, "a", false);
        check(&Scope::path(""), "x", true);
        assert!(Scope::path("").is_all() && !path.is_all() && !one.is_all());
        let long = Scope::path(&"x".repeat(2000));
        check(&long, "x", false);
    }
}
