//! Gives back the memory of maps that have emptied: they grow by doubling, and never shrink alone.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

/// Maps smaller than this keep their memory.
const MIN_CAPACITY: usize = 1024;

/// To be called after a removal: shrinks a map that holds less than an eighth of what it could, to
/// a quarter. So many removals lie between two shrinks that each of them pays for a few moves only.
pub(crate) fn slim<K: Eq + Hash, V, S: BuildHasher>(map: &mut HashMap<K, V, S>) {
    if map.capacity() > MIN_CAPACITY && map.len() < map.capacity() / 8 {
        map.shrink_to(map.capacity() / 4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emptied_map_keeps_little() {
        let mut map: HashMap<u32, u32> = (0..100_000).map(|key| (key, key)).collect();
        let full = map.capacity();
        let mut shrinks = 0;
        for key in 0..100_000 {
            map.remove(&key);
            let before = map.capacity();
            slim(&mut map);
            shrinks += u32::from(map.capacity() < before);
        }
        assert!(map.capacity() <= MIN_CAPACITY && full > 100_000);
        assert!(shrinks < 10, "{shrinks}");
    }
}
