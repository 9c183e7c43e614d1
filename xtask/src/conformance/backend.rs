//! Buckets to mount, and how somebody else sees them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::On;
use crate::place;
use crate::rival::Rival;
use crate::run::Run;
use crate::server::{self, Server};
use crate::sum::sum;
use crate::tools;

/// How long a look at all objects may take.
const LOOKING: std::time::Duration = std::time::Duration::from_secs(1800);

/// Objects by key: the SHA-256 of each.
pub(crate) type Sums = BTreeMap<String, String>;

/// A bucket.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) name: &'static str,
    base: String,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) dir: TempDir,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Memory,
    Folder(PathBuf),
    Server(Server),
    Given { bucket: String },
}

impl Backend {
    pub(crate) fn start(on: On) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("cloudmount-").tempdir()?;
        // Others than root work on the mounts, too.
        std::fs::set_permissions(
            dir.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )?;
        let (name, base, environment, kind) = match on {
            On::Memory => ("memory", "memory:".to_owned(), Vec::new(), Kind::Memory),
            On::Folder => {
                let folder = dir.path().join("bucket");
                std::fs::create_dir(&folder)?;
                let base = format!("file://{}", folder.display());
                ("folder", base, Vec::new(), Kind::Folder(folder))
            }
            On::Moto | On::Rclone | On::Rgw => {
                let server = Server::start(match on {
                    On::Rclone => server::Kind::Rclone,
                    On::Rgw => server::Kind::Rgw,
                    _ => server::Kind::Moto,
                })?;
                let base = format!("s3://{}", server.bucket);
                let name = server.kind.name();
                (name, base, server.environment(), Kind::Server(server))
            }
            On::Given => {
                let bucket = place::variable("XTASK_BUCKET")
                    .context("set XTASK_BUCKET to the name of a bucket to write to")?;
                let bucket = bucket.to_string_lossy().into_owned();
                let base = format!("s3://{bucket}");
                ("given", base, Vec::new(), Kind::Given { bucket })
            }
        };
        Ok(Self {
            name,
            base,
            environment,
            dir,
            kind,
        })
    }

    /// What the program is to be told of it.
    pub(crate) fn flags(&self) -> &'static [&'static str] {
        if self.keeps_attributes() {
            &[]
        } else {
            &["--s3-dialect", "minimal"]
        }
    }

    /// Whether it keeps metadata and markers.
    pub(crate) fn keeps_attributes(&self) -> bool {
        !matches!(&self.kind, Kind::Server(server) if !server.kind.keeps_attributes())
    }

    /// Whether it is an S3 server that refuses who has other keys than its own.
    pub(crate) fn checks_signatures(&self) -> bool {
        match &self.kind {
            Kind::Server(server) => server.kind.checks_signatures(),
            Kind::Given { .. } => true,
            Kind::Memory | Kind::Folder(_) => false,
        }
    }

    /// The URL of a part of the bucket that nobody else uses.
    pub(crate) fn url(&self, part: &str) -> Result<String> {
        Ok(match &self.kind {
            Kind::Memory => self.base.clone(),
            Kind::Folder(folder) => {
                std::fs::create_dir_all(folder.join(part))?;
                format!("{}/{part}", self.base)
            }
            Kind::Server(_) | Kind::Given { .. } => format!("{}/{part}", self.base),
        })
    }

    /// What a plain client finds in that part; `None` where nobody else can look.
    pub(crate) fn sums(&self, part: &str) -> Result<Option<Sums>> {
        let run = match &self.kind {
            Kind::Memory => return Ok(None),
            Kind::Folder(folder) => {
                let mut sums = Sums::new();
                walk(&folder.join(part), "", &mut |key, path| {
                    let bytes = match key.ends_with('/') {
                        true => Vec::new(),
                        false => std::fs::read(path)?,
                    };
                    sums.insert(key, sum(&bytes));
                    Ok(())
                })?;
                return Ok(Some(sums));
            }
            Kind::Server(server) => server.client("sums", &format!("{part}/")),
            Kind::Given { bucket } => given("sums", bucket, part)?,
        };
        let listed = run.within(LOOKING).ok()?;
        let sums = listed
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(sum, key)| (key.to_owned(), sum.to_owned()));
        Ok(Some(sums.collect()))
    }
}

/// Objects by key: where the bytes of each are; folders' markers end in `/`.
pub(crate) type Objects = BTreeMap<String, PathBuf>;

impl Backend {
    /// What a plain client finds in a part, with its bytes, which are kept in `scratch` where the bucket is no
    /// folder; what goes while it looks is left out.
    ///
    /// # Errors
    /// It cannot look, or nobody but the daemon can.
    pub(crate) fn objects(&self, part: &str, scratch: &Path) -> Result<Objects> {
        let client = match &self.kind {
            Kind::Memory => bail!("a bucket in memory ends with its process"),
            Kind::Folder(folder) => {
                let mut objects = Objects::new();
                walk(&folder.join(part), "", &mut |key, path| {
                    objects.insert(key, path);
                    Ok(())
                })?;
                return Ok(objects);
            }
            Kind::Server(server) => server.client("fetch", &format!("{part}/")),
            Kind::Given { bucket } => given("fetch", bucket, part)?,
        };
        let listed = client.arg(scratch).within(LOOKING).ok()?;
        let objects = listed
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(name, key)| (key.to_owned(), scratch.join(name)));
        Ok(objects.collect())
    }

    /// Who is to write objects beside the daemon, where that takes a process.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn rival(&self) -> Result<Option<Rival>> {
        match &self.kind {
            Kind::Server(server) => server.rival().map(Some),
            Kind::Folder(_) | Kind::Memory | Kind::Given { .. } => Ok(None),
        }
    }

    /// Somebody else writes an object, at once or not at all.
    ///
    /// # Errors
    /// It cannot be written, or nobody but the daemon can.
    pub(crate) fn put(&self, rival: Option<&mut Rival>, key: &str, bytes: &[u8]) -> Result<()> {
        let draft = tempfile::NamedTempFile::new_in(self.dir.path())?;
        std::fs::write(draft.path(), bytes)?;
        match (&self.kind, rival) {
            (Kind::Folder(folder), _) => {
                draft.persist(folder.join(key))?;
                Ok(())
            }
            (Kind::Server(_), Some(rival)) => rival.put(key, draft.path()),
            _ => bail!("only the daemon writes to this bucket"),
        }
    }

    /// Uploads in parts that were begun and neither ended nor aborted, in all of the bucket, each with its name.
    ///
    /// # Errors
    /// They cannot be listed.
    pub(crate) fn uploads(&self, part: &str) -> Result<Vec<String>> {
        let listed = match &self.kind {
            Kind::Memory => return Ok(Vec::new()),
            Kind::Folder(folder) => {
                let place = folder.join(part).join(".cloudmount/uploads");
                let Ok(entries) = std::fs::read_dir(place) else {
                    return Ok(Vec::new());
                };
                return (entries.map(|entry| Ok(entry?.path().display().to_string()))).collect();
            }
            Kind::Server(server) => server.client("uploads", "").ok()?,
            Kind::Given { bucket } => given("uploads", bucket, part)?.ok()?,
        };
        Ok(listed.lines().map(str::to_owned).collect())
    }

    /// Whether it says when an upload began. moto dates each with a day of 2010, so that one whose name got lost, as
    /// by a kill, cannot be told from others', and stays.
    pub(crate) fn dates_uploads(&self) -> bool {
        !matches!(&self.kind, Kind::Server(server) if server.kind == server::Kind::Moto)
    }

    /// From now on programs reach its server by way of `endpoint`; the plain client does not.
    pub(crate) fn go_by(&mut self, endpoint: &str) {
        for (name, value) in &mut self.environment {
            if name == "AWS_ENDPOINT_URL" {
                endpoint.clone_into(value);
            }
        }
    }

    /// The address of its server, if it is one of S3 that was started here.
    pub(crate) fn endpoint(&self) -> Option<&str> {
        match &self.kind {
            Kind::Server(server) => Some(&server.endpoint),
            Kind::Memory | Kind::Folder(_) | Kind::Given { .. } => None,
        }
    }
}

fn given(what: &str, bucket: &str, part: &str) -> Result<Run> {
    Ok(Run::new(tools::python()?)
        .arg("-c")
        .arg(include_str!("../client.py"))
        .arg(what)
        .arg(bucket)
        .arg(format!("{part}/")))
}

/// Hands each key below `folder` to `take`, with the path of its bytes.
fn walk(
    folder: &Path,
    prefix: &str,
    take: &mut dyn FnMut(String, PathBuf) -> Result<()>,
) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // The store's own: metadata where the filesystem has no attributes, and uploads.
        if prefix.is_empty() && name == ".cloudmount" {
            continue;
        }
        let key = format!("{prefix}{name}");
        if entry.file_type()?.is_dir() {
            let below = format!("{key}/");
            take(below.clone(), entry.path())?;
            walk(&entry.path(), &below, take)?;
        } else {
            take(key, entry.path())?;
        }
    }
    Ok(())
}
