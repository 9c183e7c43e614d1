//! By which number the kernel knows a file.
//!
//! The kernel has one page cache and one size for each number. When somebody outside replaced the
//! content of a file that is open, those who opened it before and those who open it afterwards must
//! not share them: so the file gets a second number, under which the next lookup shows it, and the
//! first one stays with the handles that were opened through it. `stat` shows the same inode number
//! all the time: the second one is told with attributes that the kernel may not keep, so it asks for
//! them, and that answer says the first.
//!
//! # Laws
//!
//! - All that the kernel is told of one number while it has a file open there is of one content.
//! - What is asked by a number that is no longer the file's is answered with `Stale`; Linux then
//!   looks the name up again and asks once more (`retry_estale`, and `LOOKUP_REVAL` in `fs/namei.c`).
//! - Pages are kept at an open only if they are of the content that is opened.
//!
//! Nothing is remembered of files that nobody outside has replaced, and of the others only until the
//! kernel forgets them.

use std::collections::HashMap;

use cloudmount_vfs::{ContentNumber, Error, ErrorKind, InodeId, Result};

/// Second numbers begin here: the filesystem's own count up from 1, and no mount lives that long.
const SECOND_NUMBERS: u64 = 1 << 62;

/// A number by which the kernel knows a file: a `nodeid` of its protocol.
pub(crate) type Number = u64;

/// The numbers that differ from inode numbers, and the files whose content was replaced.
#[derive(Debug, Default)]
pub(crate) struct KernelNodes {
    files: HashMap<InodeId, Current>,
    seconds: HashMap<Number, Second>,
    /// Second numbers that were ever given.
    given: u64,
}

/// How the kernel is to know a file now.
#[derive(Clone, Copy, Debug)]
struct Current {
    number: Number,
    /// Of which content the kernel was told the size.
    told: ContentNumber,
    /// Of which content the pages are that it may hold under this number.
    pages: ContentNumber,
}

/// A second number that the kernel holds.
#[derive(Debug)]
struct Second {
    ino: InodeId,
    lookups: u64,
}

/// Whether the kernel has a file open under a number.
pub(crate) trait OpenNumbers {
    /// Whether it does.
    fn is_open(&self, number: Number) -> bool;
}

impl KernelNodes {
    fn current(&self, ino: InodeId) -> Current {
        let first = Current {
            number: ino.get(),
            told: ContentNumber::default(),
            pages: ContentNumber::default(),
        };
        self.files.get(&ino).copied().unwrap_or(first)
    }

    /// The number that the kernel is told now.
    pub(crate) fn number(&self, ino: InodeId) -> Number {
        self.current(ino).number
    }

    /// Which file is meant by a number, be it the one of today or not.
    pub(crate) fn inode(&self, number: Number) -> Result<InodeId> {
        if number < SECOND_NUMBERS {
            return first(number);
        }
        let second = self.seconds.get(&number).map(|second| second.ino);
        // The kernel gives up a number only with its last handle.
        second.ok_or_else(|| ErrorKind::Stale.into())
    }

    /// The same, for questions that are not asked through a handle.
    pub(crate) fn inode_of_today(&self, number: Number) -> Result<InodeId> {
        let ino = self.inode(number)?;
        if self.number(ino) == number {
            Ok(ino)
        } else {
            Err(stale())
        }
    }

    /// The number under which a name is to show a file with `content`.
    ///
    /// # Errors
    /// `Stale`: the kernel knows a later content already.
    pub(crate) fn look_up(
        &mut self,
        ino: InodeId,
        content: ContentNumber,
        open: &impl OpenNumbers,
    ) -> Result<Number> {
        let mut current = self.current(ino);
        if content < current.told {
            return Err(stale());
        }
        if content > current.told {
            if open.is_open(current.number) {
                current.number = SECOND_NUMBERS + self.given;
                current.pages = content;
                self.given += 1;
            }
            current.told = content;
            self.files.insert(ino, current);
        }
        if current.number >= SECOND_NUMBERS {
            let second = self.seconds.entry(current.number);
            second.or_insert(Second { ino, lookups: 0 }).lookups += 1;
        }
        Ok(current.number)
    }

    /// Whether `number` may be told attributes of `content`.
    ///
    /// # Errors
    /// `Stale`: it is not the file's any more, or a handle of another content is open there.
    pub(crate) fn tell(
        &mut self,
        number: Number,
        content: ContentNumber,
        open: &impl OpenNumbers,
    ) -> Result<()> {
        let ino = self.inode_of_today(number)?;
        let mut current = self.current(ino);
        if content == current.told {
            return Ok(());
        }
        if content < current.told || open.is_open(number) {
            return Err(stale());
        }
        current.told = content;
        self.files.insert(ino, current);
        Ok(())
    }

    /// Whether a handle that reads `content` may be opened under `number`; whether the pages there
    /// are of the same.
    ///
    /// # Errors
    /// `Stale`: the kernel knows the size of another content.
    pub(crate) fn open(&mut self, number: Number, content: ContentNumber) -> Result<Pages> {
        let ino = self.inode_of_today(number)?;
        let mut current = self.current(ino);
        if content != current.told {
            return Err(stale());
        }
        if content == current.pages {
            return Ok(Pages::OfThis);
        }
        current.pages = content;
        self.files.insert(ino, current);
        Ok(Pages::OfAnother)
    }

    /// What was looked up is not told after all.
    pub(crate) fn take_back(&mut self, number: Number) {
        if let Some(second) = self.seconds.get_mut(&number) {
            second.lookups -= 1;
            if second.lookups == 0 {
                self.seconds.remove(&number);
            }
        }
    }

    /// The kernel gives back `count` lookups; of which file.
    pub(crate) fn forget(&mut self, number: Number, count: u64) -> Result<InodeId> {
        let ino = self.inode(number)?;
        if let Some(second) = self.seconds.get_mut(&number) {
            second.lookups = second.lookups.saturating_sub(count);
            if second.lookups > 0 {
                return Ok(ino);
            }
            self.seconds.remove(&number);
        }
        // Of the first number the lookups are not counted, so this may come too early. Then the next
        // answer is taken for a new content, which costs a question more.
        if self
            .files
            .get(&ino)
            .is_some_and(|file| file.number == number)
        {
            self.files.remove(&ino);
        }
        Ok(ino)
    }
}

/// What the kernel may hold of a file that is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pages {
    /// Pages of the content that is opened, if any.
    OfThis,
    /// Pages of a content before.
    OfAnother,
}

/// Whether the kernel may keep attributes that are told with this number: they say it in place of the
/// inode's.
pub(crate) const fn is_second(number: Number) -> bool {
    number >= SECOND_NUMBERS
}

/// Which file is meant by a number that is no second one.
pub(crate) fn first(number: Number) -> Result<InodeId> {
    InodeId::new(number).ok_or_else(|| Error::new(ErrorKind::InvalidArgument, "inode 0"))
}

fn stale() -> Error {
    Error::new(
        ErrorKind::Stale,
        "the content was replaced by somebody outside",
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[derive(Default)]
    struct Open(BTreeSet<Number>);

    impl OpenNumbers for Open {
        fn is_open(&self, number: Number) -> bool {
            self.0.contains(&number)
        }
    }

    fn ino() -> InodeId {
        InodeId::new(7).unwrap()
    }

    fn content(number: u64) -> ContentNumber {
        ContentNumber(number)
    }

    fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
        result.unwrap_err().kind()
    }

    #[test]
    fn a_file_that_nobody_replaces_costs_nothing() {
        let (mut nodes, mut open) = (KernelNodes::default(), Open::default());
        for _ in 0..2 {
            assert_eq!(nodes.look_up(ino(), content(0), &open).unwrap(), 7);
            nodes.tell(7, content(0), &open).unwrap();
            assert_eq!(nodes.open(7, content(0)).unwrap(), Pages::OfThis);
            open.0.insert(7);
        }
        assert_eq!(nodes.forget(7, 2).unwrap(), ino());
        assert!(nodes.files.is_empty() && nodes.seconds.is_empty());
    }

    #[test]
    fn without_handles_a_new_content_keeps_the_number_and_drops_the_pages() {
        let (mut nodes, open) = (KernelNodes::default(), Open::default());
        assert_eq!(kind(nodes.open(7, content(3))), ErrorKind::Stale);
        assert_eq!(nodes.look_up(ino(), content(3), &open).unwrap(), 7);
        assert_eq!(nodes.open(7, content(3)).unwrap(), Pages::OfAnother);
        assert_eq!(nodes.open(7, content(3)).unwrap(), Pages::OfThis);
        nodes.tell(7, content(4), &open).unwrap();
        assert_eq!(nodes.open(7, content(4)).unwrap(), Pages::OfAnother);
        assert_eq!(kind(nodes.tell(7, content(3), &open)), ErrorKind::Stale);
        assert_eq!(
            kind(nodes.look_up(ino(), content(3), &open)),
            ErrorKind::Stale
        );
        nodes.forget(7, 1).unwrap();
        assert!(nodes.files.is_empty());
    }

    #[test]
    fn who_opened_before_and_who_opens_afterwards_have_numbers_of_their_own() {
        let (mut nodes, mut open) = (KernelNodes::default(), Open::default());
        nodes.look_up(ino(), content(0), &open).unwrap();
        nodes.open(7, content(0)).unwrap();
        open.0.insert(7);
        assert_eq!(kind(nodes.tell(7, content(1), &open)), ErrorKind::Stale);
        assert_eq!(kind(nodes.open(7, content(1))), ErrorKind::Stale);
        let second = nodes.look_up(ino(), content(1), &open).unwrap();
        assert!(is_second(second));
        assert_eq!(nodes.number(ino()), second);
        assert_eq!(nodes.inode(7).unwrap(), ino(), "through its handles");
        assert_eq!(kind(nodes.inode_of_today(7)), ErrorKind::Stale);
        assert_eq!(nodes.inode_of_today(second).unwrap(), ino());
        nodes.tell(second, content(1), &open).unwrap();
        assert_eq!(nodes.open(second, content(1)).unwrap(), Pages::OfThis);
        open.0.insert(second);
        let third = nodes.look_up(ino(), content(2), &open).unwrap();
        assert!(third != second && is_second(third));
        assert_eq!(nodes.inode(second).unwrap(), ino());
    }

    #[test]
    fn a_second_number_lives_until_the_kernel_forgets_it() {
        let (mut nodes, mut open) = (KernelNodes::default(), Open::default());
        open.0.insert(7);
        let second = nodes.look_up(ino(), content(1), &open).unwrap();
        nodes.take_back(second);
        for _ in 0..3 {
            assert_eq!(nodes.look_up(ino(), content(1), &open).unwrap(), second);
        }
        nodes.take_back(second);
        nodes.forget(second, 1).unwrap();
        assert_eq!(nodes.inode(second).unwrap(), ino());
        nodes.forget(second, 1).unwrap();
        assert_eq!(kind(nodes.inode(second)), ErrorKind::Stale);
        assert_eq!(kind(nodes.forget(second, 1)), ErrorKind::Stale);
        // Back to the first number, whose pages are of the content before.
        open.0.clear();
        assert_eq!(nodes.look_up(ino(), content(1), &open).unwrap(), 7);
        assert_eq!(nodes.open(7, content(1)).unwrap(), Pages::OfAnother);
    }
}
