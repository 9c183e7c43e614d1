//! Uploads in parts: a folder each in `.cloudmount/uploads/`, with a file for each part and one with
//! what the upload was started with. Completion copies the parts into one file within the kernel,
//! which on filesystems that share blocks (Btrfs, XFS) copies nothing; the parts stay until the
//! object is in place, so a completion that fails can be tried again. It needs room for the object
//! twice.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, mkdirat, renameat, statat, unlinkat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::LocalStore;
use super::folder::{FOLDER_MODE, entries, failed, failed_io, open_file, open_folder};
use super::inner::{Inner, Part};
use super::object::{Found, stat};
use super::record::Record;
use super::stamp::{Stamp, nanos, timestamp};
use super::temp::TempFile;
use super::write::Target;
use crate::rules::{
    check_if_match, check_metadata, check_part_number, check_parts, check_size, check_tags,
    copy_range,
};
use crate::{
    CopyMetadata, CopyOptions, CopySource, Error, ErrorKind, Key, ListedUpload, Metadata, PartTag,
    Payload, Precondition, Result, UploadId, Version,
};

/// The file that says what an upload is.
const ABOUT: &str = "upload.json";

/// Longest upload id of this store, in bytes.
const ID_BYTES_MAX: usize = 80;

/// Longest such file that is read: a key of 1 KiB and metadata of 2 KiB, escaped.
const ABOUT_BYTES_MAX: u64 = 64 << 10;

/// What an upload was started with.
#[derive(Debug, Serialize, Deserialize)]
struct About {
    key: String,
    record: Record,
    /// When, by the clock of the one who started it, in nanoseconds since 1970.
    #[serde(default)]
    started: i128,
}

/// An upload in progress, its folder open.
#[derive(Debug)]
pub(super) struct Upload {
    id: String,
    folder: OwnedFd,
    metadata: Metadata,
}

impl Upload {
    fn gone(id: &str) -> Error {
        Error::new(ErrorKind::NotFound, format!("upload {id:?}"))
    }

    /// Fails once the upload was completed or aborted.
    pub(super) fn check_there(&self) -> Result<()> {
        match statat(&self.folder, ABOUT, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(()),
            Err(Errno::NOENT) => Err(Self::gone(&self.id)),
            Err(errno) => Err(failed("look at an upload", errno)),
        }
    }

    fn part(&self, number: u16) -> Result<Option<(File, Stamp)>> {
        match open_file(&self.folder, &part_name(number)) {
            Ok(file) => {
                let stamp = Stamp::of(&stat(&file)?);
                Ok(Some((file.into(), stamp)))
            }
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(failed("open a part", errno)),
        }
    }
}

fn part_name(number: u16) -> String {
    format!("part-{number:05}")
}

/// Whether `id` is one that this store may have given: so it is no path.
fn is_id(id: &str) -> bool {
    id.len() <= ID_BYTES_MAX
        && !id.is_empty()
        && id
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

fn read_about(file: OwnedFd) -> Result<About> {
    let mut json = Vec::new();
    (File::from(file)
        .take(ABOUT_BYTES_MAX)
        .read_to_end(&mut json))
    .map_err(|error| failed_io("read an upload", error))?;
    serde_json::from_slice(&json)
        .map_err(|error| Error::new(ErrorKind::Io, "read an upload").with_source(error))
}

impl Inner {
    pub(super) fn upload_start(&self, key: &Key, metadata: &Metadata) -> Result<UploadId> {
        check_metadata(metadata)?;
        check_tags(&LocalStore::CAPABILITIES, metadata)?;
        let about = About {
            key: key.as_str().to_owned(),
            record: Record::of(metadata.clone()),
            started: nanos(self.clock.wall()),
        };
        let json = serde_json::to_vec(&about)
            .map_err(|error| Error::new(ErrorKind::Io, "start an upload").with_source(error))?;
        let (uploads, drafts) = (self.part(Part::Uploads)?, self.part(Part::Temp)?);
        let temp = TempFile::new(self)?;
        temp.write([json])?;
        self.flush(temp.file())?;
        loop {
            let id = self.new_name();
            match mkdirat(&drafts, &id, FOLDER_MODE) {
                Ok(()) => {}
                Err(Errno::EXIST) => continue,
                Err(errno) => return Err(failed("start an upload", errno)),
            }
            match self.place_upload(&temp, (&drafts, &uploads), &id) {
                Ok(()) => return Ok(UploadId(id)),
                // Its own failure is what is told; the folder is removed when it is a day old, if not now.
                Err(errno) => {
                    let _ = remove_tree(&drafts, &id);
                    return Err(errno);
                }
            }
        }
    }

    /// Moves a folder with its description from `drafts` into place in one step: a crash leaves none that nobody
    /// would find.
    fn place_upload(
        &self,
        about: &TempFile,
        (drafts, uploads): (&OwnedFd, &OwnedFd),
        id: &str,
    ) -> Result<()> {
        let failed = |errno| failed("start an upload", errno);
        let folder = open_folder(drafts, id).map_err(failed)?;
        about.rename(&folder, ABOUT).map_err(failed)?;
        self.flush(folder)?;
        renameat(drafts, id, uploads, id).map_err(failed)?;
        self.flush(uploads)
    }

    /// The upload `id` of `key`.
    pub(super) fn upload(&self, key: &Key, id: &UploadId) -> Result<Upload> {
        let gone = || Upload::gone(&id.0);
        let uploads = match is_id(&id.0) {
            true => self.part_if_there(Part::Uploads)?.ok_or_else(gone)?,
            false => return Err(gone()),
        };
        let absent = |errno| match errno {
            Errno::NOENT => gone(),
            errno => failed("open an upload", errno),
        };
        let folder = open_folder(uploads, &id.0).map_err(absent)?;
        let about = read_about(open_file(&folder, ABOUT).map_err(absent)?)?;
        if about.key != key.as_str() {
            return Err(gone());
        }
        Ok(Upload {
            id: id.0.clone(),
            folder,
            metadata: about.record.metadata,
        })
    }

    /// All uploads in progress whose keys start with `prefix`.
    pub(super) fn uploads(&self, prefix: &str) -> Result<Vec<ListedUpload>> {
        let Some(uploads) = self.part_if_there(Part::Uploads)? else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        for entry in entries(&uploads)? {
            let (id, _) = entry?;
            let file = open_folder(&uploads, &id).and_then(|folder| open_file(&folder, ABOUT));
            // One that ends meanwhile is none.
            let Ok(Ok(about)) = file.map(read_about) else {
                continue;
            };
            if let Ok(key) = Key::new(about.key)
                && key.as_str().starts_with(prefix)
            {
                found.push(ListedUpload {
                    key,
                    upload: UploadId(id),
                    started: timestamp(about.started),
                });
            }
        }
        Ok(found)
    }

    pub(super) fn upload_part(
        &self,
        key: &Key,
        id: &UploadId,
        number: u16,
        payload: &Payload,
    ) -> Result<PartTag> {
        check_part_number(&LocalStore::CAPABILITIES, number)?;
        let upload = self.upload(key, id)?;
        let temp = TempFile::new(self)?;
        temp.write(&payload.0)?;
        self.finish_part(&upload, number, &temp)
    }

    pub(super) fn upload_copy(
        &self,
        key: &Key,
        id: &UploadId,
        number: u16,
        source: &CopySource,
        range: &Range<u64>,
    ) -> Result<PartTag> {
        check_part_number(&LocalStore::CAPABILITIES, number)?;
        let upload = self.upload(key, id)?;
        let found = self.object(&source.key)?;
        check_if_match(source.if_match.as_ref(), &found.version())?;
        let range = copy_range(range, found.size())?;
        let temp = TempFile::new(self)?;
        copy_content(&found, range, &temp)?;
        self.finish_part(&upload, number, &temp)
    }

    fn finish_part(&self, upload: &Upload, number: u16, temp: &TempFile) -> Result<PartTag> {
        temp.stamp(self)?;
        self.flush(temp.file())?;
        match temp.rename(&upload.folder, &part_name(number)) {
            Ok(()) => {}
            Err(Errno::NOENT) => return Err(Upload::gone(&upload.id)),
            Err(errno) => return Err(failed("write a part", errno)),
        }
        // Between the look at the upload and now, it may have been taken away with all its parts.
        upload.check_there()?;
        self.flush(&upload.folder)?;
        let tag = temp.stamp_now()?.version().as_str().to_owned();
        Ok(PartTag { number, tag })
    }

    pub(super) fn upload_complete(
        &self,
        key: &Key,
        id: &UploadId,
        parts: &[PartTag],
        precondition: &Precondition,
    ) -> Result<Version> {
        let upload = self.upload(key, id)?;
        let mut opened = Vec::with_capacity(parts.len());
        for part in parts {
            opened.push(upload.part(part.number)?);
        }
        let mut looked_at = opened.iter();
        check_parts(&LocalStore::CAPABILITIES, parts, |_| {
            let (_, stamp) = looked_at.next()?.as_ref()?;
            Some((stamp.version().as_str().to_owned(), stamp.size))
        })?;
        let target = Target {
            key,
            metadata: &upload.metadata,
            precondition,
            upload: Some(&upload),
        };
        let sizes = opened.iter().flatten().map(|(_, stamp)| stamp.size);
        if sizes.sum::<u64>() == 0
            && let Some(version) = self.put_folder(&target)?
        {
            return Ok(version);
        }
        let temp = TempFile::new(self)?;
        for (mut file, stamp) in opened.into_iter().flatten() {
            let copied = io::copy(&mut file, &mut temp.file())
                .map_err(|error| failed_io("join parts", error))?;
            if copied != stamp.size {
                let context = format!("a part has {copied} bytes, not {}", stamp.size);
                return Err(Error::new(ErrorKind::Io, context));
            }
        }
        self.finish(&temp, &target)
    }

    /// Takes an upload away in one step; gives the name under which it can be removed.
    pub(super) fn take_upload(&self, upload: &Upload) -> Result<Option<String>> {
        let (uploads, temp) = (self.part(Part::Uploads)?, self.part(Part::Temp)?);
        let name = self.new_name();
        match renameat(&uploads, &upload.id, &temp, &name) {
            Ok(()) => {}
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(failed("end an upload", errno)),
        }
        // Whoever has the folder open sees by this that it is over.
        let taken = open_folder(&temp, &name).map_err(|errno| failed("end an upload", errno))?;
        let _ = unlinkat(&taken, ABOUT, AtFlags::empty());
        self.flush(uploads)?;
        Ok(Some(name))
    }

    /// Removes an upload that was taken away.
    pub(super) fn remove_taken(&self, name: &str) -> Result<()> {
        let temp = self.part(Part::Temp)?;
        remove_tree(&temp, name)
    }

    pub(super) fn upload_abort(&self, key: &Key, id: &UploadId) -> Result<()> {
        let upload = match self.upload(key, id) {
            Ok(upload) => upload,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let commit = self.commit()?;
        let taken = self.take_upload(&upload)?;
        drop(commit);
        match taken {
            Some(taken) => self.remove_taken(&taken),
            None => Ok(()),
        }
    }

    pub(super) fn copy(
        &self,
        source: &CopySource,
        to: &Key,
        options: &CopyOptions,
    ) -> Result<Version> {
        let found = self.object(&source.key)?;
        check_if_match(source.if_match.as_ref(), &found.version())?;
        check_size(
            "a copy",
            found.size(),
            LocalStore::CAPABILITIES.copy_bytes_max,
        )?;
        let metadata = match &options.metadata {
            CopyMetadata::Keep => self.metadata(&source.key, &found)?,
            CopyMetadata::Replace(metadata) => metadata.clone(),
        };
        check_metadata(&metadata)?;
        let target = Target {
            key: to,
            metadata: &metadata,
            precondition: &options.precondition,
            upload: None,
        };
        if found.size() == 0
            && let Some(version) = self.put_folder(&target)?
        {
            return Ok(version);
        }
        let temp = TempFile::new(self)?;
        copy_content(&found, 0..found.size(), &temp)?;
        self.finish(&temp, &target)
    }
}

/// Copies a part of an object, within the kernel where it can.
fn copy_content(found: &Found, range: Range<u64>, temp: &TempFile) -> Result<()> {
    let Found::File { file, stamp, .. } = found else {
        return Ok(());
    };
    let failed = |error| failed_io("copy content", error);
    let mut source = file.try_clone().map(File::from).map_err(failed)?;
    source.seek(SeekFrom::Start(range.start)).map_err(failed)?;
    let wanted = range.end - range.start;
    let copied = io::copy(&mut source.take(wanted), &mut temp.file()).map_err(failed)?;
    if copied == wanted && Stamp::of(&stat(file)?).same_content(stamp) {
        return Ok(());
    }
    // Transient: the next try reads what is there then.
    let context = "the source changed while it was copied";
    Err(Error::new(ErrorKind::Server, context))
}

/// Removes a file, or a folder with all that is in it, from a part of the state folder.
pub(super) fn remove_tree(parent: &OwnedFd, name: &str) -> Result<()> {
    let failed = |errno| failed("clean up", errno);
    match unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        // Linux and POSIX differ in how they say that it is a folder.
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(errno) => return Err(failed(errno)),
    }
    let folder = match open_folder(parent, name) {
        Ok(folder) => folder,
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(failed(errno)),
    };
    for entry in entries(&folder)? {
        remove_tree(&folder, &entry?.0)?;
    }
    unlinkat(parent, name, AtFlags::REMOVEDIR).map_err(failed)
}
