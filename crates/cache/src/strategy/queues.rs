//! [`Queues`]: blocks in several orders at once, each block in at most one.

use super::Place;

/// No place: the end of a queue.
const NONE: u32 = u32::MAX;

/// The link of a place that is in no queue.
const FREE: Link = Link {
    newer: NONE,
    older: NONE,
    queue: u8::MAX,
    bytes: 0,
};

#[derive(Clone, Copy, Debug)]
struct Link {
    newer: u32,
    older: u32,
    queue: u8,
    bytes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Queue {
    newest: u32,
    oldest: u32,
    blocks: u64,
    bytes: u64,
}

const EMPTY: Queue = Queue {
    newest: NONE,
    oldest: NONE,
    blocks: 0,
    bytes: 0,
};

/// `N` queues of blocks, numbered from 0. Every step takes constant time, and a block 24 bytes.
///
/// A queue that is not there, or a place that is in none, is answered with nothing.
#[derive(Debug)]
pub struct Queues<const N: usize> {
    links: Vec<Link>,
    queues: [Queue; N],
}

impl<const N: usize> Default for Queues<N> {
    fn default() -> Self {
        Self {
            links: Vec::new(),
            queues: [EMPTY; N],
        }
    }
}

impl<const N: usize> Queues<N> {
    /// Adds a block of `bytes` as the newest of `queue`. One that is in a queue leaves it.
    pub fn push(&mut self, queue: usize, place: Place, bytes: u64) {
        self.remove(place);
        let Ok(number) = u8::try_from(queue) else {
            return;
        };
        let Some(to) = self.queues.get_mut(queue) else {
            return;
        };
        let at = place.index();
        if at >= self.links.len() {
            grow(&mut self.links, at + 1, || FREE);
        }
        self.links[at] = Link {
            newer: NONE,
            older: to.newest,
            queue: number,
            bytes,
        };
        match to.newest {
            NONE => to.oldest = place.number(),
            newest => self.links[Place::new(newest).index()].newer = place.number(),
        }
        to.newest = place.number();
        to.blocks += 1;
        to.bytes += bytes;
    }

    /// Takes a block out of its queue; says which one that was.
    pub fn remove(&mut self, place: Place) -> Option<usize> {
        let link = self.links.get_mut(place.index())?;
        let Link {
            newer,
            older,
            queue,
            bytes,
        } = std::mem::replace(link, FREE);
        let queue = usize::from(queue);
        let from = self.queues.get_mut(queue)?;
        match newer {
            NONE => from.newest = older,
            newer => self.links[Place::new(newer).index()].older = older,
        }
        match older {
            NONE => from.oldest = newer,
            older => self.links[Place::new(older).index()].newer = newer,
        }
        from.blocks -= 1;
        from.bytes -= bytes;
        Some(queue)
    }

    /// Takes out the block that is the longest in `queue`.
    pub fn pop(&mut self, queue: usize) -> Option<Place> {
        let oldest = self.oldest(queue)?;
        self.remove(oldest);
        Some(oldest)
    }

    /// Makes a block the newest of `queue`, with the bytes that it has.
    pub fn renew(&mut self, queue: usize, place: Place) {
        if let Some(link) = self.links.get(place.index()) {
            let bytes = link.bytes;
            self.push(queue, place, bytes);
        }
    }

    /// The block that is the longest in `queue`.
    #[must_use]
    pub fn oldest(&self, queue: usize) -> Option<Place> {
        place(self.queues.get(queue)?.oldest)
    }

    /// The block that came into its queue next after this one.
    #[must_use]
    pub fn newer(&self, of: Place) -> Option<Place> {
        place(self.links.get(of.index())?.newer)
    }

    /// Which queue a block is in.
    #[must_use]
    pub fn queue_of(&self, place: Place) -> Option<usize> {
        let queue = usize::from(self.links.get(place.index())?.queue);
        (queue < N).then_some(queue)
    }

    /// Bytes of the blocks in `queue`.
    #[must_use]
    pub fn bytes(&self, queue: usize) -> u64 {
        self.queues.get(queue).map_or(0, |queue| queue.bytes)
    }

    /// How many blocks are in `queue`.
    #[must_use]
    pub fn blocks(&self, queue: usize) -> u64 {
        self.queues.get(queue).map_or(0, |queue| queue.blocks)
    }
}

fn place(number: u32) -> Option<Place> {
    (number != NONE).then_some(Place::new(number))
}

/// Makes a list `len` long. By an eighth at a time: doubling would waste half of what the table
/// counts for each block.
pub(crate) fn grow<T>(list: &mut Vec<T>, len: usize, with: fn() -> T) {
    if len > list.capacity() {
        list.reserve_exact(len - list.len() + len / 8 + 16);
    }
    list.resize_with(len, with);
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against lists that are searched.
        #[test]
        fn queues_are_lists(steps in prop::collection::vec((0_u8..5, 0_usize..2, 0_u32..8, 1_u64..9), 0..200)) {
            let mut queues = Queues::<2>::default();
            let mut lists: [VecDeque<(u32, u64)>; 2] = Default::default();
            for (step, queue, number, bytes) in steps {
                let at = Place::new(number);
                let held = lists.iter().position(|list| list.iter().any(|(n, _)| *n == number));
                let take = |lists: &mut [VecDeque<(u32, u64)>; 2]| {
                    let list = &mut lists[held?];
                    let index = list.iter().position(|(n, _)| *n == number)?;
                    list.remove(index)
                };
                match step {
                    0 | 1 => {
                        take(&mut lists);
                        lists[queue].push_back((number, bytes));
                        queues.push(queue, at, bytes);
                    }
                    2 => {
                        take(&mut lists);
                        prop_assert_eq!(queues.remove(at), held);
                    }
                    3 => prop_assert_eq!(
                        queues.pop(queue).map(Place::number),
                        lists[queue].pop_front().map(|(n, _)| n)
                    ),
                    _ => if let Some(entry) = take(&mut lists) {
                        lists[queue].push_back(entry);
                        queues.renew(queue, at);
                    }
                }
                for (n, list) in lists.iter().enumerate() {
                    prop_assert_eq!(queues.blocks(n), list.len() as u64);
                    prop_assert_eq!(queues.bytes(n), list.iter().map(|(_, bytes)| bytes).sum::<u64>());
                    let mut next = queues.oldest(n);
                    for (number, _) in list {
                        prop_assert_eq!(next.map(Place::number), Some(*number));
                        prop_assert_eq!(queues.queue_of(Place::new(*number)), Some(n));
                        next = queues.newer(Place::new(*number));
                    }
                    prop_assert_eq!(next, None);
                }
            }
        }
    }
}
