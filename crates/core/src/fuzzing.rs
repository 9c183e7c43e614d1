//! What fuzzers feed. The same functions run over the kept corpora in every `cargo test`.

use cloudmount_vfs::Name;

use crate::manifest::{BYTES_MAX, decode, encode, format};
use crate::naming::{LongNames, Part, Role, part_of, shown};

/// Shows a part of a key as a name and reads it back; takes the same bytes as a name, which leads to
/// one part or is refused.
///
/// # Panics
/// When a law of names is broken.
pub fn names(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let long = LongNames::default();
    for part in text.split('/') {
        let mut seen = Vec::new();
        for role in [Role::Plain, Role::BesideFolder] {
            let part = Part {
                text: part.to_owned(),
                role,
            };
            let name = long.show(&part);
            let back = part_of(&name, &long);
            assert_eq!(back.ok(), Some(part), "shown as {name}");
            seen.push(name);
        }
        assert_ne!(seen[0], seen[1], "an object hides the folder beside it");
    }
    if let Ok(name) = Name::new(text)
        && let Ok(part) = part_of(&name, &long)
    {
        assert_eq!(shown(&part), name);
    }
}

/// Reads bytes as a manifest, and as the lines of one: what is understood is written and understood again.
///
/// # Panics
/// When it is not.
pub fn manifest(data: &[u8]) {
    let lines = data.iter().filter(|byte| **byte == b'\n').count();
    let framed = format::framed(data.to_vec(), lines);
    for bytes in [data, &framed] {
        if let Ok(manifest) = decode(bytes) {
            assert_eq!(decode(&encode(&manifest, BYTES_MAX)), Ok(manifest));
        }
    }
}
