//! Names of settings: of their variables, and what a name that is none was meant to be.

use super::ALL;

/// What the names of variables of the environment begin with.
const VARIABLES: &str = "CLOUDMOUNT_";

/// The variable of a setting, and back.
pub(super) fn variable_of(name: &str) -> String {
    format!("{VARIABLES}{}", name.to_ascii_uppercase().replace('-', "_"))
}

pub(super) fn name_of(variable: &str) -> Option<String> {
    let name = variable.strip_prefix(VARIABLES)?;
    // Theirs who run the tests, and no setting.
    let is_setting = !name.starts_with("TEST_");
    is_setting.then(|| name.to_ascii_lowercase().replace('_', "-"))
}

/// The setting that differs least, if one is near.
pub(super) fn did_you_mean(name: &str) -> String {
    let shared = |known: &str| {
        let same = |(one, other): &(char, char)| one == other;
        let front = known.chars().zip(name.chars()).take_while(same).count();
        let back = (known.chars().rev().zip(name.chars().rev()))
            .take_while(same)
            .count();
        front + back
    };
    let nearest = ALL.iter().max_by_key(|(known, ..)| shared(known));
    match nearest {
        Some((known, ..)) if shared(known) * 2 > name.chars().count() => {
            format!("did you mean {known}?")
        }
        _ => {
            let names: Vec<_> = ALL.iter().map(|(known, ..)| *known).collect();
            format!("there are: {}", names.join(", "))
        }
    }
}
