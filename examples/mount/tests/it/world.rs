//! A place of its own for each test: a bucket, a mount point, the user's folders; and what is left
//! running or mounted there at the end, also of a test that fails, is ended.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::server::Server;

/// How often something is looked at that will happen.
const EVERY: Duration = Duration::from_millis(20);

/// Looks before it is believed that it will not: 60 s.
const LOOKS: u32 = 3000;

/// Waits until it is so.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let mut looks = 0;
    while !is_so() {
        looks += 1;
        assert!(looks < LOOKS, "not within a minute: {what}");
        std::thread::park_timeout(EVERY);
    }
}

/// Says why a test does nothing.
pub(crate) fn skipped(why: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "skipped: {why}").unwrap();
}

pub(crate) struct World {
    dir: TempDir,
    pub(crate) bucket: PathBuf,
    pub(crate) folder: PathBuf,
    variables: Vec<(String, String)>,
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A mount in the foreground.
pub(crate) struct Mounted {
    pub(crate) child: Child,
    /// What it said first.
    pub(crate) said: String,
    // Held so that the program can go on to say something.
    _out: BufReader<ChildStdout>,
    errors: PathBuf,
}

impl World {
    /// One whose bucket is at that server.
    pub(crate) fn at(server: &Server) -> Option<Self> {
        let mut world = Self::new()?;
        world.set("AWS_ENDPOINT_URL", &server.address);
        world.set("AWS_ACCESS_KEY_ID", "id");
        world.set("AWS_SECRET_ACCESS_KEY", "secret");
        Some(world)
    }

    /// `None` where nothing can be mounted; that is said.
    pub(crate) fn new() -> Option<Self> {
        if !Path::new("/dev/fuse").exists() {
            skipped("no /dev/fuse");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| {
            let path = dir.path().canonicalize().unwrap().join(name);
            fs::create_dir(&path).unwrap();
            path
        };
        let (bucket, folder, run) = (path("bucket"), path("mnt"), path("run"));
        fs::set_permissions(&run, fs::Permissions::from_mode(0o700)).unwrap();
        let home = path("home");
        let variables = [
            ("XDG_RUNTIME_DIR", &run),
            ("XDG_STATE_HOME", &home),
            ("HOME", &home),
        ]
        .map(|(name, path)| (name.to_owned(), path.display().to_string()));
        Some(Self {
            bucket,
            folder,
            variables: variables.into(),
            dir,
        })
    }

    /// Sets a variable for all that is run from now on.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join(name)
    }

    pub(crate) fn url(&self) -> String {
        format!("file://{}", self.bucket.display())
    }

    /// The program, with this world's variables only.
    pub(crate) fn program(&self) -> Command {
        self.command(env!("CARGO_BIN_EXE_cloudmount"))
    }

    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        // Nothing of whoever runs the tests.
        command.env_clear();
        command.env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        );
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Done {
        let mut program = self.program();
        program.args(arguments);
        self.end_of(program)
    }

    pub(crate) fn end_of(&self, mut command: Command) -> Done {
        let (out, err) = (self.path("out"), self.path("err"));
        let mut child = command
            .stdout(fs::File::create(&out).unwrap())
            .stderr(fs::File::create(&err).unwrap())
            .spawn()
            .unwrap();
        let code = end(&mut child);
        Done {
            code,
            out: fs::read_to_string(out).unwrap(),
            err: fs::read_to_string(err).unwrap(),
        }
    }

    /// Mounts this world's bucket in the foreground.
    pub(crate) fn mount(&self, more: &[&str]) -> Mounted {
        self.mount_url(&self.url(), more)
    }

    pub(crate) fn mount_url(&self, url: &str, more: &[&str]) -> Mounted {
        let mut program = self.program();
        program.arg("mount").arg(url).arg(&self.folder).args(more);
        self.mounted_by(program)
    }

    pub(crate) fn mounted_by(&self, mut command: Command) -> Mounted {
        let errors = self.path("errors");
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&errors).unwrap())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        out.read_line(&mut said).unwrap();
        let mounted = Mounted {
            child,
            said,
            _out: out,
            errors,
        };
        assert!(mounted.said.starts_with("mounted "), "{}", mounted.errors());
        mounted
    }

    pub(crate) fn is_mounted(&self) -> bool {
        mounts_below(self.dir.path()).contains(&self.folder)
    }

    pub(crate) fn umount(&self) -> Done {
        self.run(&[OsStr::new("umount"), self.folder.as_os_str()])
    }

    pub(crate) fn status(&self) -> Value {
        let done = self.run(&[
            OsStr::new("status"),
            self.folder.as_os_str(),
            OsStr::new("--json"),
        ]);
        assert_eq!(done.code, Some(0), "{done:?}");
        assert_eq!(done.out.lines().count(), 1, "{done:?}");
        serde_json::from_str(&done.out).unwrap()
    }

    /// Nothing runs and nothing is mounted any more.
    pub(crate) fn is_clean(&self) -> bool {
        mounts_below(self.dir.path()).is_empty() && self.processes().is_empty()
    }

    /// The program's processes that were told of this world.
    fn processes(&self) -> Vec<Pid> {
        let mark = self.dir.path().canonicalize().unwrap();
        let mark = mark.to_string_lossy();
        let program = Path::new(env!("CARGO_BIN_EXE_cloudmount")).file_name();
        (fs::read_dir("/proc").unwrap().flatten())
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid| {
                let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                let line = String::from_utf8_lossy(&line);
                let first = line.split('\0').next().unwrap_or_default();
                Path::new(first).file_name() == program && line.contains(&*mark)
            })
            .filter_map(Pid::from_raw)
            .collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for process in self.processes() {
            let _ = kill_process(process, Signal::KILL);
        }
        for mount in mounts_below(self.dir.path()) {
            let lazily = |program: &str, how: &str| {
                let done = Command::new(program).arg(how).arg(&mount).status();
                done.is_ok_and(|status| status.success())
            };
            if !lazily("umount", "-l") {
                lazily("fusermount3", "-uz");
            }
        }
    }
}

impl Mounted {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Its exit code, once it has ended.
    pub(crate) fn end(&mut self) -> Option<i32> {
        end(&mut self.child)
    }

    /// What it said on standard error.
    pub(crate) fn errors(&self) -> String {
        let mut text = String::new();
        let mut file = fs::File::open(&self.errors).unwrap();
        file.read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Done {
    /// A mistake: two lines at most, with these words, and an exit code that is not 0.
    pub(crate) fn is_mistake(&self, words: &[&str]) {
        assert!(self.code.is_some_and(|code| code != 0), "{self:?}");
        assert!(self.out.is_empty(), "{self:?}");
        let said = self.err.trim();
        assert!((1..=2).contains(&said.lines().count()), "{said}");
        for word in words {
            assert!(said.contains(word), "{word:?} in: {said}");
        }
    }
}

pub(crate) fn end(child: &mut Child) -> Option<i32> {
    let mut status = None;
    let mut looks = 0;
    while status.is_none() && looks < LOOKS {
        looks += 1;
        status = child.try_wait().unwrap();
        std::thread::park_timeout(EVERY);
    }
    if status.is_none() {
        let _ = child.kill();
    }
    status.expect("it ends within a minute").code()
}

/// What is mounted below `dir`, by the kernel's table.
fn mounts_below(dir: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mounts").unwrap();
    let dir = dir.canonicalize().unwrap();
    (table.lines())
        .filter_map(|line| line.split(' ').nth(1))
        .map(PathBuf::from)
        .filter(|path| path.starts_with(&dir))
        .collect()
}
