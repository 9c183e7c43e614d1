//! [`ObjectRef`]: one version of one object.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// One version of one object. Cheap to clone.
///
/// Equality and hash are those of key and version: a version has one size.
#[derive(Clone, Debug)]
pub struct ObjectRef {
    /// The object's key, as the source understands it.
    pub key: Arc<str>,
    /// What tells this content from any other content of the key: an ETag or version id.
    pub version: Arc<str>,
    /// Bytes of content.
    pub size: u64,
}

impl ObjectRef {
    /// Version `version` of `key`, of `size` bytes.
    #[must_use]
    pub fn new(key: impl Into<Arc<str>>, version: impl Into<Arc<str>>, size: u64) -> Self {
        Self {
            key: key.into(),
            version: version.into(),
            size,
        }
    }
}

impl PartialEq for ObjectRef {
    fn eq(&self, other: &Self) -> bool {
        // Equal versions under different keys are common (same content), different versions of one
        // key are rare: the key decides sooner. `Arc` compares by address first.
        self.key == other.key && self.version == other.version
    }
}

impl Eq for ObjectRef {}

impl Hash for ObjectRef {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
        self.version.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_is_key_and_version() {
        let object = ObjectRef::new("a", "1", 5);
        assert_eq!(object, ObjectRef::new("a", "1", 6));
        assert_ne!(object, ObjectRef::new("a", "2", 5));
        assert_ne!(object, ObjectRef::new("b", "1", 5));
    }
}
