//! [`LocalFiles`]: the bytes of staged files that a former process left in the staging folder.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cloudmount_vfs::Result;

use crate::FileId;
use crate::disk::{data_bytes, disk_error};
use crate::file::{FileContext, Held, LocalFile, OpenFiles, Shelves};

/// Where local files are, below the staging folder.
const FOLDER: &str = "data";

/// Shelves that are read at a time; the rest is opened again when it is needed.
const OPEN_MAX: usize = 64;

/// Whether the machine stopped since the journal was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Power {
    /// It did not: all that was written is there.
    Kept,
    /// It did: what was not flushed may be lost.
    Lost,
}

/// What a former process left.
#[derive(Debug)]
pub(crate) struct LocalFiles {
    folder: PathBuf,
    shelves: Arc<Shelves>,
    held: HashMap<u64, Held>,
    open_files: OpenFiles,
}

/// The folder of local files in the staging folder `dir`.
pub(crate) fn folder_in(dir: &Path) -> PathBuf {
    dir.join(FOLDER)
}

impl LocalFiles {
    /// Looks through the staging folder `dir`. Where a file was on its way from a shelf to a file of
    /// its own, only one of the two stays.
    ///
    /// # Errors
    /// `Io`.
    pub(crate) fn load(dir: &Path, power: Power) -> Result<Self> {
        let folder = folder_in(dir);
        let failed = |error| disk_error(error, || format!("look through {}", folder.display()));
        let (shelves, held) = Shelves::load(folder.clone()).map_err(failed)?;
        let mut files = Self {
            folder: folder.clone(),
            shelves: Arc::new(shelves),
            held,
            open_files: OpenFiles::new(OPEN_MAX),
        };
        let both: Vec<FileId> = (files.held.keys().map(|id| FileId::new(*id)))
            .filter(|id| files.path(*id).exists())
            .collect();
        for id in both {
            files.choose(id, power).map_err(failed)?;
        }
        Ok(files)
    }

    /// The slot is emptied once the other file has everything, so as long as it is not, it counts. But
    /// after a power cut that may be all that was lost.
    fn choose(&mut self, id: FileId, power: Power) -> io::Result<()> {
        let path = self.path(id);
        let slot_bytes = self.held.get(&id.get()).map_or(0, |held| held.length);
        let own = File::open(&path)?;
        let own_bytes = data_bytes(&own, 0..own.metadata()?.len())?;
        if power == Power::Lost && own_bytes >= slot_bytes {
            self.clear(id);
            Ok(())
        } else {
            remove_if_there(&path)
        }
    }

    /// How long the local file is; `None`: there is none.
    pub(crate) fn length(&self, id: FileId) -> Option<u64> {
        match self.held.get(&id.get()) {
            Some(held) => Some(held.length),
            None => (std::fs::metadata(self.path(id)).ok()).map(|data| data.len()),
        }
    }

    /// How many of its bytes in `range` the disk really has.
    pub(crate) fn data_bytes(&self, id: FileId, range: Range<u64>) -> io::Result<u64> {
        if let Some(held) = self.held.get(&id.get()) {
            return held.data_bytes(&self.open_files, range);
        }
        let file = File::open(self.path(id))?;
        let length = file.metadata()?.len();
        data_bytes(&file, range.start.min(length)..range.end.min(length))
    }

    /// All files, in the order of their numbers.
    pub(crate) fn all(&self) -> Result<BTreeSet<FileId>> {
        let failed = |error| disk_error(error, || format!("list {}", self.folder.display()));
        let mut all: BTreeSet<_> = self.held.keys().map(|id| FileId::new(*id)).collect();
        for entry in std::fs::read_dir(&self.folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            all.extend(name.to_str().and_then(FileId::from_file_name));
        }
        Ok(all)
    }

    /// Gives it a file of its own, if it has none.
    pub(crate) fn take_off(&mut self, id: FileId) -> Result<()> {
        if let Some(held) = self.held.get(&id.get()) {
            (held.move_to(&self.open_files, &self.path(id)))
                .map_err(|error| disk_error(error, || format!("take staged file {id} out")))?;
            self.clear(id);
        }
        Ok(())
    }

    /// Removes it.
    pub(crate) fn remove(&mut self, id: FileId) -> Result<()> {
        self.clear(id);
        remove_if_there(&self.path(id))
            .map_err(|error| disk_error(error, || format!("remove staged file {id}")))
    }

    /// The shelves, for those who go on. Nothing is removed any more.
    pub(crate) fn shelves(&self) -> Arc<Shelves> {
        self.shelves.remove_empty();
        self.shelves.close();
        Arc::clone(&self.shelves)
    }

    /// What is on the shelves, by the number of the file.
    pub(crate) fn into_held(self) -> HashMap<u64, Held> {
        self.held
    }

    fn clear(&mut self, id: FileId) {
        if self.held.remove(&id.get()).is_some() {
            self.shelves.free(&self.open_files, &[id]);
        }
    }

    fn path(&self, id: FileId) -> PathBuf {
        self.folder.join(id.file_name())
    }
}

/// The local file of `id` as it was left, or one that does not exist yet; and whether it exists.
pub(crate) fn local_file(
    context: &FileContext,
    held: Option<Held>,
    id: FileId,
) -> (LocalFile, bool) {
    match held {
        Some(held) => (LocalFile::on_shelf(id, held), true),
        None if context.data_dir.join(id.file_name()).exists() => {
            (LocalFile::own(id, context), true)
        }
        None => (LocalFile::new(id), false),
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use proptest::prelude::*;

    use super::*;
    use crate::freed::Freed;
    use crate::journal::Journal;

    const SLOT: u64 = 64 << 10;

    /// What all files share, after a start in `dir`; and what was on the shelves.
    fn start(dir: &Path, power: Power) -> (FileContext, HashMap<u64, Held>) {
        std::fs::create_dir_all(folder_in(dir)).unwrap();
        let left = LocalFiles::load(dir, power).unwrap();
        let context = FileContext {
            journal: Journal::begin(dir, &[], 0).unwrap(),
            open_files: OpenFiles::new(8),
            data_dir: folder_in(dir),
            shelves: left.shelves(),
            pieces: Arc::default(),
            size_max: u64::MAX,
            freed: Arc::new(Freed::default()),
            room: crate::room::Room::new(u64::MAX),
            kept: crate::kept::Kept::new(0),
        };
        (context, left.into_held())
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder_in(dir)).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[derive(Clone, Debug)]
    enum Step {
        Write(u64, u8, u64),
        SetLen(u64),
        Allocate(u64, u64),
        /// A write or a cut that failed after it had done its work.
        Undo(u64, u64),
        Restart,
    }

    fn step() -> impl Strategy<Value = Step> {
        let at = prop_oneof![3 => 0..9000_u64, 1 => SLOT - 5000..SLOT + 5000];
        let length = prop_oneof![3 => 1..9000_u64, 1 => SLOT - 1..SLOT + 2];
        prop_oneof![
            6 => (at.clone(), any::<u8>(), length.clone()).prop_map(|(at, byte, length)| Step::Write(at, byte, length)),
            3 => at.clone().prop_map(Step::SetLen),
            1 => (at.clone(), length.clone()).prop_map(|(at, length)| Step::Allocate(at, length)),
            1 => (at, length).prop_map(|(at, length)| Step::Undo(at, length)),
            2 => Just(Step::Restart),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

        #[test]
        fn a_local_file_is_what_was_written(steps in prop::collection::vec(step(), 1..24)) {
            let dir = tempfile::tempdir().unwrap();
            let (mut context, _) = start(dir.path(), Power::Kept);
            let (id, other) = (FileId::new(7), FileId::new(8));
            let neighbour = LocalFile::new(other);
            neighbour.write_all_at(&context, b"next to it", 0).unwrap();
            let mut file = LocalFile::new(id);
            let mut model: Vec<u8> = Vec::new();
            for step in steps {
                let reach = |at: u64| usize::try_from(at).unwrap();
                match step {
                    Step::Write(at, byte, length) => {
                        let end = reach(at + length);
                        file.write_all_at(&context, &vec![byte; reach(length)], at).unwrap();
                        model.resize(model.len().max(end), 0);
                        model[reach(at)..end].fill(byte);
                    }
                    Step::SetLen(size) => {
                        file.set_len(&context, size).unwrap();
                        model.resize(reach(size), 0);
                    }
                    Step::Allocate(at, length) => {
                        file.allocate(&context, at, length).unwrap();
                        model.resize(model.len().max(reach(at + length)), 0);
                    }
                    Step::Undo(at, length) => {
                        let at = at.max(model.len() as u64);
                        file.write_all_at(&context, &vec![9; reach(length)], at).unwrap();
                        file.undo(&context, model.len() as u64).unwrap();
                    }
                    Step::Restart => {
                        let (again, mut held) = start(dir.path(), Power::Kept);
                        context = again;
                        let is_there;
                        (file, is_there) = local_file(&context, held.remove(&7), id);
                        prop_assert!(is_there || model.is_empty());
                    }
                }
                if let Ok(bytes) = file.read(&context, 0..1 << 20, Vec::new()) {
                    prop_assert!(bytes == model);
                } else {
                    prop_assert!(model.is_empty());
                }
            }
            prop_assert_eq!(neighbour.read(&context, 0..100, Vec::new()).unwrap(), b"next to it");
            prop_assert!(names(dir.path()).len() <= 2, "a file is in one place");
        }
    }

    #[test]
    fn small_files_share_one_and_take_it_along() {
        let dir = tempfile::tempdir().unwrap();
        let (context, _) = start(dir.path(), Power::Kept);
        let ids: Vec<_> = (1..=100).map(FileId::new).collect();
        for id in &ids {
            let file = LocalFile::new(*id);
            file.write_all_at(&context, &[1; 4096], 0).unwrap();
        }
        assert_eq!(names(dir.path()), ["shelf-0000000000000000"]);
        let (last, most) = ids.split_last().unwrap();
        assert!(context.shelves.free(&context.open_files, most).is_empty());
        assert_eq!(names(dir.path()).len(), 1);
        let (_, held) = start(dir.path(), Power::Kept);
        assert_eq!(held.keys().collect::<Vec<_>>(), [&last.get()]);
        let own = FileId::new(200);
        let file = LocalFile::new(own);
        file.write_all_at(&context, &[1; 100], SLOT).unwrap();
        assert_eq!(names(dir.path()).len(), 2);
        assert_eq!(context.shelves.free(&context.open_files, &[own]), [own]);
        context.shelves.free(&context.open_files, &[*last]);
        assert_eq!(names(dir.path()), [own.file_name()]);
    }

    #[test]
    fn freed_slots_give_their_blocks_back() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let (context, _) = start(dir.path(), Power::Kept);
        let ids: Vec<_> = (0..64).map(FileId::new).collect();
        for id in &ids {
            let file = LocalFile::new(*id);
            file.write_all_at(&context, &vec![1; 64 << 10], 0).unwrap();
        }
        let shelf = folder_in(dir.path()).join("shelf-0000000000000000");
        File::open(&shelf).unwrap().sync_all().unwrap();
        let blocks = || std::fs::metadata(&shelf).unwrap().blocks();
        let before = blocks();
        context.shelves.free(&context.open_files, &ids[1..]);
        assert!(blocks() < before / 16, "{} of {before}", blocks());
    }

    #[test]
    fn a_move_that_was_interrupted_leaves_one_of_both() {
        let moving = |power, own_bytes: u64| {
            let dir = tempfile::tempdir().unwrap();
            let (context, _) = start(dir.path(), Power::Kept);
            let id = FileId::new(3);
            let file = LocalFile::new(id);
            file.write_all_at(&context, &[1; 6000], 0).unwrap();
            let own = File::create(folder_in(dir.path()).join(id.file_name())).unwrap();
            own.set_len(70_000).unwrap();
            own.write_all_at(&vec![2; usize::try_from(own_bytes).unwrap()], 0)
                .unwrap();
            let (context, mut held) = start(dir.path(), power);
            let (file, _) = local_file(&context, held.remove(&3), id);
            let bytes = file.read(&context, 0..1 << 20, Vec::new()).unwrap();
            assert_eq!(names(dir.path()).len(), 1);
            (bytes.len(), bytes[0])
        };
        assert_eq!(moving(Power::Kept, 70_000), (6000, 1));
        assert_eq!(moving(Power::Kept, 100), (6000, 1));
        assert_eq!(moving(Power::Lost, 70_000), (70_000, 2));
        assert_eq!(moving(Power::Lost, 100), (6000, 1));
    }

    #[test]
    fn what_never_got_to_the_disk_is_missed() {
        let dir = tempfile::tempdir().unwrap();
        let (context, _) = start(dir.path(), Power::Kept);
        let slot = context.shelves.take(FileId::new(5));
        slot.set_length(&context.open_files, 9000).unwrap();
        let (context, held) = start(dir.path(), Power::Lost);
        assert_eq!(
            held[&5].data_bytes(&context.open_files, 0..9000).unwrap(),
            0
        );
        let (file, _) = local_file(&context, held.get(&5).cloned(), FileId::new(5));
        file.write_all_at(&context, &[1; 9000], 0).unwrap();
        assert_eq!(
            held[&5].data_bytes(&context.open_files, 0..9000).unwrap(),
            9000
        );
    }
}
