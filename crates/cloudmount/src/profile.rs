//! The files of Amazon's tools: sections of `name = value`, as in
//! "AWS SDKs and Tools Reference Guide", shared `config` and `credentials` files.
//!
//! `config` calls its sections `profile NAME` but for `default`; nested values (lines that begin
//! with a blank) are of no use here and left out.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::PathBuf;

use cloudmount_store::Secret;

use crate::{Error, Result};

/// What a profile says. Any of it may be secret.
pub(crate) type Profile = BTreeMap<String, Secret>;

/// All profiles by name.
#[derive(Default)]
pub(crate) struct Profiles(BTreeMap<String, Profile>);

impl Profiles {
    /// Reads both files, as far as they exist; `credentials` wins.
    pub(crate) fn read(credentials: &Option<PathBuf>, config: &Option<PathBuf>) -> Result<Self> {
        let mut profiles = Self::default();
        for path in [config, credentials].into_iter().flatten() {
            match std::fs::read_to_string(path) {
                Ok(text) => profiles.add(&text),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(Error::new(format!("cannot read {}", path.display()))
                        .because(error)
                        .or(
                            "make it readable, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
                        ));
                }
            }
        }
        Ok(profiles)
    }

    /// A section by its name: of a profile, or `sso-session NAME`.
    pub(crate) fn get(&self, name: &str) -> Option<&Profile> {
        self.0.get(name)
    }

    fn add(&mut self, text: &str) {
        let mut section = None;
        for line in text.lines() {
            let is_nested = line.starts_with([' ', '\t']);
            let line = line.trim();
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.split_once(']')) {
                let name = name.0.trim();
                let name = name.strip_prefix("profile ").unwrap_or(name).trim();
                section = Some(name.to_owned());
                self.0.entry(name.to_owned()).or_default();
                continue;
            }
            if is_nested {
                continue;
            }
            if let (Some(section), Some((name, value))) = (&section, line.split_once('=')) {
                let profile = self.0.entry(section.clone()).or_default();
                // A comment within a line begins with a blank.
                let value = value.split(" #").next().unwrap_or_default();
                profile.insert(name.trim().to_ascii_lowercase(), Secret::new(value.trim()));
            }
        }
    }
}

/// The numbers of lines that say nothing here, from 1 on. What they hold may be secret.
pub(crate) fn not_understood(text: &str) -> Vec<usize> {
    let mut is_in_section = false;
    let mut numbers = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let is_nested = line.starts_with([' ', '\t']);
        let line = line.trim();
        let is_understood = if line.is_empty() || line.starts_with(['#', ';']) {
            true
        } else if line.starts_with('[') {
            is_in_section = line.contains(']');
            is_in_section
        } else {
            is_in_section && (is_nested || line.contains('='))
        };
        if !is_understood {
            numbers.push(index + 1);
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_comments_and_nesting() {
        let mut profiles = Profiles::default();
        profiles.add(
            "# top\n[default]\nregion = a # why\n; no\n[profile two]\nRegion=b\ns3 =\n  region = nested\n",
        );
        assert_eq!(profiles.get("default").unwrap()["region"].expose(), "a");
        assert_eq!(profiles.get("two").unwrap()["region"].expose(), "b");
        assert!(profiles.get("three").is_none());
    }

    #[test]
    fn lines_that_say_nothing_are_counted() {
        for (text, expected) in [
            ("", &[][..]),
            ("# a\n\n[default]\nregion = a\ns3 =\n  nested\n; b\n", &[]),
            (
                "region = a\n[default]\nregion\n[half\nx = y\n",
                &[1, 3, 4, 5],
            ),
        ] {
            assert_eq!(not_understood(text), expected, "{text}");
        }
    }
}
