//! What objects told of their attributes, kept on this machine: made by the settings.

use cloudmount_cache::notes::{Notes, NotesSettings};
use cloudmount_store::Location;

use crate::staging::{Bucket, base_of};
use crate::{Environment, Result, Settings};

/// The folder for all buckets, beside that of the staged files.
const FOLDER: &str = "attributes";

/// The index that the settings ask for. Its folder is made when something is kept.
///
/// # Errors
/// It is not known where.
pub(crate) fn open(
    location: &Location,
    bucket: &Bucket,
    settings: &Settings,
    environment: &Environment,
) -> Result<Option<Notes>> {
    // What is in memory ends with the process, and its versions begin anew.
    if settings.attribute_index_size.0 == 0 || *location == Location::Memory {
        return Ok(None);
    }
    let folder = base_of(settings, environment)?.join(FOLDER);
    Ok(Some(Notes::new(NotesSettings {
        // It stays the same if the process goes to another one.
        folder: std::path::absolute(&folder).unwrap_or(folder),
        bucket: bucket.name().to_owned(),
        bucket_folder: bucket.folder_name(),
        limit_bytes: settings.attribute_index_size.0,
    })))
}
