//! [`Doctor`]: looks at all that a mount needs, and says what is wrong and what to do.
//!
//! Laws: each check is a small function that gives findings and stops at nothing; nothing in the
//! bucket is changed unless that is allowed ([`Doctor::write`]), and then only a scratch object of
//! its own; files of its own on this machine are removed at once; no secret is ever part of a
//! finding; it ends, also where something does not answer.

mod bucket;
mod credentials;
mod disk;
mod endpoint;
mod folder;
mod location;
mod mac;
mod machine;
mod stage;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cloudmount_store::Location;
use cloudmount_vfs::{Clock, SystemClock};
use serde::Serialize;

use crate::{Environment, Settings, stack};

/// How long the kernel may take for one question about this machine. A network filesystem whose
/// server is gone takes for ever.
const KERNEL_WAIT: Duration = Duration::from_secs(5);

/// What became of one check.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It was not looked at, for the reason that the finding says.
    Skipped,
    /// All is well.
    Ok,
    /// It works, and something should be known.
    Warn,
    /// A mount will not work like this.
    Fail,
}

/// What one check found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// The name of the check, as `mount-point`. Names are stable; new ones may come.
    pub check: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// What was found, as a fragment.
    pub found: String,
    /// What to do about it, where something is to be done.
    pub remedy: Option<String>,
}

impl Finding {
    fn new(check: &'static str, verdict: Verdict, found: impl Into<String>) -> Self {
        Self {
            check,
            verdict,
            found: found.into(),
            remedy: None,
        }
    }

    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self::new(check, Verdict::Ok, found)
    }

    fn skipped(check: &'static str, found: impl Into<String>) -> Self {
        Self::new(check, Verdict::Skipped, found)
    }

    fn warn(check: &'static str, found: impl Into<String>) -> Self {
        Self::new(check, Verdict::Warn, found)
    }

    fn fail(check: &'static str, found: impl Into<String>) -> Self {
        Self::new(check, Verdict::Fail, found)
    }

    fn or(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

/// All that was found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// In the order in which things were looked at: the machine, the mount point, the disk, the way
    /// to the bucket, the bucket.
    pub findings: Vec<Finding>,
}

impl Report {
    /// The worst verdict.
    #[must_use]
    pub fn worst(&self) -> Verdict {
        let verdicts = self.findings.iter().map(|finding| finding.verdict);
        verdicts.max().unwrap_or(Verdict::Ok)
    }
}

/// Whether a scratch object may be written to the bucket, and removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Writing {
    /// Nothing is written.
    #[default]
    Forbidden,
    /// A scratch object of some bytes is written, and what the endpoint honours is asked on more of
    /// them, see [`probe`](cloudmount_store::probe).
    Allowed,
}

/// Where the machine's own parts are. The default is where Linux has them; others are for tests.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MachineParts {
    /// What the kernel offers to filesystems outside of it.
    pub device: PathBuf,
    /// What users may mount, see `fusermount3(1)`.
    pub fuse_conf: PathBuf,
    /// The mounts, see `proc_pid_mountinfo(5)`.
    pub mount_table: PathBuf,
    /// The kernel's kinds of filesystems, see `proc_filesystems(5)`.
    pub filesystems: PathBuf,
    /// What the paths of drivers of macOS begin with.
    pub mac_root: PathBuf,
}

impl Default for MachineParts {
    fn default() -> Self {
        Self {
            device: "/dev/fuse".into(),
            fuse_conf: "/etc/fuse.conf".into(),
            mount_table: "/proc/self/mountinfo".into(),
            filesystems: "/proc/filesystems".into(),
            mac_root: "/".into(),
        }
    }
}

/// What is to be looked at.
#[derive(Debug)]
pub struct Doctor {
    settings: Settings,
    environment: Environment,
    location: Option<String>,
    folder: Option<PathBuf>,
    writing: Writing,
    machine: MachineParts,
    clock: Arc<dyn Clock>,
}

impl Doctor {
    /// Looks at the machine and the user's folders, as a mount with these settings would need them.
    #[must_use]
    pub fn new(settings: Settings, environment: Environment) -> Self {
        Self {
            settings,
            environment,
            location: None,
            folder: None,
            writing: Writing::Forbidden,
            machine: MachineParts::default(),
            clock: Arc::new(SystemClock::new()),
        }
    }

    /// Looks at this bucket, too, as a mount would be given it.
    #[must_use]
    pub fn location(mut self, location: impl Into<String>) -> Self {
        self.location = Some(location.into());
        self
    }

    /// Looks at this mount point, too.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Whether the bucket may be written to.
    #[must_use]
    pub fn write(mut self, writing: Writing) -> Self {
        self.writing = writing;
        self
    }

    /// Where the machine's parts are.
    #[must_use]
    pub fn machine(mut self, machine: MachineParts) -> Self {
        self.machine = machine;
        self
    }

    /// Where time comes from: by default from the machine's clocks.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Looks at everything, within a tokio runtime with I/O and time.
    pub async fn examine(mut self) -> Report {
        let mut findings = self.here().await;
        let Some(text) = &self.location else {
            return Report { findings };
        };
        let (location, found) = location::look(text, &mut self.settings);
        findings.extend(found);
        if let Some(location) = location {
            findings.extend(self.there(&location).await);
        }
        Report { findings }
    }

    /// This machine.
    async fn here(&self) -> Vec<Finding> {
        let (settings, machine) = (self.settings.clone(), self.machine.clone());
        let environment = self.environment.clone();
        let mut findings = self
            .within("machine", move || {
                if cfg!(target_os = "macos") {
                    return vec![mac::driver(&machine.mac_root)];
                }
                machine::look(&machine, &settings, &environment)
            })
            .await;
        if let Some(folder) = self.folder.clone() {
            let table = self.machine.mount_table.clone();
            let ours = disk::folders(&self.settings, &self.environment);
            let look = move || folder::look(&folder, &table, &ours);
            findings.extend(self.within("mount-point", look).await);
        }
        let table = self.machine.mount_table.clone();
        let (settings, environment) = (self.settings.clone(), self.environment.clone());
        let look = move || disk::look(&settings, &environment, &table);
        findings.extend(self.within("disk", look).await);
        findings
    }

    /// The bucket, and the way there.
    async fn there(&self, location: &Location) -> Vec<Finding> {
        let mut findings = Vec::new();
        let options = match stack::options(location, &self.settings, &self.environment) {
            Ok(options) => options,
            Err(error) => {
                findings.extend(credentials::look(
                    location,
                    &self.settings,
                    &self.environment,
                ));
                let is_said = (findings.iter()).any(|finding| finding.verdict == Verdict::Fail);
                if !is_said {
                    let (what, remedy) = error.parts();
                    let finding = Finding::fail("settings", what);
                    findings.push(match remedy {
                        Some(remedy) => finding.or(remedy),
                        None => finding,
                    });
                }
                return findings;
            }
        };
        let place = stack::place(location, &options);
        findings.extend(self.staging(location, place.as_deref()).await);
        if let Location::S3 { bucket, .. } = location {
            let reached = endpoint::look(bucket, &options.s3, &self.clock).await;
            let is_reached = !reached.iter().any(|one| one.verdict == Verdict::Fail);
            findings.extend(reached);
            findings.extend(credentials::look(
                location,
                &self.settings,
                &self.environment,
            ));
            if !is_reached {
                findings.push(Finding::skipped(
                    "list",
                    "the bucket was not asked: the way there is not free",
                ));
                return findings;
            }
        }
        findings.extend(bucket::look(location, &options, self.writing, &self.clock).await);
        findings
    }

    /// The staging folder of the bucket.
    async fn staging(&self, location: &Location, endpoint: Option<&str>) -> Vec<Finding> {
        let (settings, environment) = (self.settings.clone(), self.environment.clone());
        let (location, endpoint) = (location.clone(), endpoint.map(str::to_owned));
        let (folder, table) = (self.folder.clone(), self.machine.mount_table.clone());
        let look = move || {
            let another = match folder {
                Some(folder) if !folder::is_ours(&folder, &table) => stage::Another::Wanted,
                _ => stage::Another::Unknown,
            };
            let found = stage::look(
                &location,
                endpoint.as_deref(),
                &settings,
                &environment,
                another,
            );
            found.into_iter().collect()
        };
        self.within("staging-use", look).await
    }

    /// What `look` finds; where the kernel does not answer, that.
    async fn within(
        &self,
        check: &'static str,
        look: impl FnOnce() -> Vec<Finding> + Send + 'static,
    ) -> Vec<Finding> {
        tokio::select! {
            found = tokio::task::spawn_blocking(look) => found.unwrap_or_else(|error| {
                vec![Finding::fail(check, format!("the check itself failed: {error}"))]
            }),
            () = self.clock.sleep(KERNEL_WAIT) => vec![
                Finding::fail(
                    check,
                    format!("the kernel does not answer within {} s", KERNEL_WAIT.as_secs()),
                )
                .or("a mount of which the server or the process hangs is in the way: see findmnt, and umount -l"),
            ],
        }
    }
}
