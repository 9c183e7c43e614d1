//! [`Callers`]: who waits for an answer, and was killed meanwhile.
//!
//! The kernel lets a killed program go only once the request that it waits for is answered, if that request
//! was read. It tells of the signal (`FUSE_INTERRUPT`), but `fuser` answers that by itself with `ENOSYS`, and the
//! kernel never tells again. So the caller of a request that waits long is looked at in `/proc`.
//!
//! Laws: only what has waited for a while is looked at, by a thread of its own that sleeps while nothing
//! waits; a caller that cannot be seen (of another pid namespace, hidden, or the kernel itself) is waited
//! for.

use std::collections::HashMap;
use std::fs;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use cloudmount_vfs::{ErrorKind, Result};
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

/// Between two looks: a person who kills a program does not wait for it, and a request that is answered in
/// less is never looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Fields of `/proc/PID/stat` behind the name, which is the second and ends with the last `)`: the flags of
/// the kernel are the 9th of all, the exit code the 52nd (proc_pid_stat(5)).
const FLAGS: usize = 9 - 3;
const EXIT_CODE: usize = 52 - 3;

/// `PF_EXITING` of `include/linux/sched.h`.
const EXITING: u64 = 4;

/// Signals that a person sends from a terminal to end a program. A call ends also if the program has a
/// handler for them, which runs only then. Other signals with handlers (timers, the runtimes of languages)
/// are none of a filesystem's business: a call on a local disk does not end by them.
const FROM_TERMINAL: u64 = bit(libc::SIGINT) | bit(libc::SIGQUIT);

/// Signals that leave a core file, and so do not become `SIGKILL` before they are taken (signal(7)).
const WITH_CORE: u64 = bit(libc::SIGILL)
    | bit(libc::SIGTRAP)
    | bit(libc::SIGABRT)
    | bit(libc::SIGBUS)
    | bit(libc::SIGFPE)
    | bit(libc::SIGSEGV)
    | bit(libc::SIGXCPU)
    | bit(libc::SIGXFSZ)
    | bit(libc::SIGSYS);

const fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// Who waits.
#[derive(Debug, Default)]
pub(crate) struct Callers {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Told when the first of them comes, and at the end.
    woken: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: HashMap<u64, Waiting>,
    next: u64,
    watcher: Watcher,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Watcher {
    #[default]
    NotStarted,
    /// Until somebody waits.
    Asleep,
    Awake,
    Stopped,
}

#[derive(Debug)]
struct Waiting {
    pid: u32,
    /// It was there at the last look, so it has waited for a while.
    is_old: bool,
    killed: oneshot::Sender<()>,
}

/// A place among those who wait, until it is dropped.
struct Watched {
    shared: Arc<Shared>,
    number: u64,
    killed: oneshot::Receiver<()>,
}

impl Callers {
    /// Does `work` for the thread `pid` (0: nobody), unless that is killed while it waits: then `work` is
    /// dropped, which by the law of the trait `Vfs` leaves nothing half-done.
    ///
    /// # Errors
    /// Those of `work`; `Interrupted`.
    pub(crate) async fn unless_killed<T>(
        &self,
        pid: u32,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let mut work = pin!(work);
        let mut watched = None;
        let mut waits = false;
        poll_fn(|cx| {
            if let Poll::Ready(result) = work.as_mut().poll(cx) {
                return Poll::Ready(result);
            }
            // Most are ready the first time, and cost nothing here.
            if !std::mem::replace(&mut waits, true) {
                watched = self.watch(pid);
            }
            let Some(Watched { killed, .. }) = &mut watched else {
                return Poll::Pending;
            };
            match Pin::new(killed).poll(cx) {
                Poll::Ready(Ok(())) => Poll::Ready(Err(ErrorKind::Interrupted.into())),
                Poll::Ready(Err(_)) => {
                    // Nobody looks any more: it is waited for.
                    watched = None;
                    Poll::Pending
                }
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    fn watch(&self, pid: u32) -> Option<Watched> {
        if pid == 0 {
            return None;
        }
        let mut state = self.shared.state.lock();
        match state.watcher {
            Watcher::NotStarted => {
                let shared = Arc::clone(&self.shared);
                let started = thread::Builder::new()
                    .name("fuse-callers".into())
                    .spawn(move || shared.look_again_and_again());
                if let Err(error) = started {
                    tracing::warn!(%error, "killed programs will be waited for");
                    return None;
                }
                state.watcher = Watcher::Awake;
            }
            Watcher::Asleep => {
                state.watcher = Watcher::Awake;
                self.shared.woken.notify_all();
            }
            Watcher::Awake => {}
            Watcher::Stopped => return None,
        }
        let (sender, killed) = oneshot::channel();
        let number = state.next;
        state.next += 1;
        let waiting = Waiting {
            pid,
            is_old: false,
            killed: sender,
        };
        state.waiting.insert(number, waiting);
        drop(state);
        Some(Watched {
            shared: Arc::clone(&self.shared),
            number,
            killed,
        })
    }
}

impl Drop for Callers {
    fn drop(&mut self) {
        self.shared.state.lock().watcher = Watcher::Stopped;
        self.shared.woken.notify_all();
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.shared.state.lock().waiting.remove(&self.number);
    }
}

impl Shared {
    fn look_again_and_again(&self) {
        loop {
            let mut old: Vec<(u64, u32)> = Vec::new();
            {
                let mut state = self.state.lock();
                while state.waiting.is_empty() && state.watcher != Watcher::Stopped {
                    state.watcher = Watcher::Asleep;
                    self.woken.wait(&mut state);
                }
                if state.watcher != Watcher::Stopped {
                    self.woken.wait_for(&mut state, LOOK_EVERY);
                }
                if state.watcher == Watcher::Stopped {
                    return;
                }
                for (number, waiting) in &mut state.waiting {
                    if std::mem::replace(&mut waiting.is_old, true) {
                        old.push((*number, waiting.pid));
                    }
                }
            }
            // Several requests of one thread wait at once while the kernel reads ahead for it.
            let mut seen = HashMap::new();
            old.retain(|(_, pid)| *seen.entry(*pid).or_insert_with(|| was_killed(*pid)));
            let mut state = self.state.lock();
            for (number, _) in old {
                if let Some(waiting) = state.waiting.remove(&number) {
                    // It may have been answered at this moment.
                    waiting.killed.send(()).unwrap_or_default();
                }
            }
        }
    }
}

/// Whether a thread is to end, or is ending by a signal.
fn was_killed(pid: u32) -> bool {
    let read = |name| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    has_fatal_signal(&read("status")) || ends_by_signal(&read("stat"))
}

/// Whether a signal waits for a thread, whose `/proc/PID/status` this is, that ends it. Signals that end a
/// program without a core file become `SIGKILL` for each of its threads when they are sent.
fn has_fatal_signal(status: &str) -> bool {
    let mask = |name: &str| {
        let mut fields = status.lines().filter_map(|line| line.split_once(':'));
        let field = fields.find(|(found, _)| *found == name);
        field.and_then(|(_, mask)| u64::from_str_radix(mask.trim(), 16).ok())
    };
    let all = || {
        let pending = mask("SigPnd")? | mask("ShdPnd")?;
        Some((pending, mask("SigBlk")?, mask("SigIgn")?, mask("SigCgt")?))
    };
    let Some((pending, blocked, ignored, caught)) = all() else {
        return false;
    };
    let heard = pending & !blocked & !ignored;
    pending & bit(libc::SIGKILL) != 0
        || heard & FROM_TERMINAL != 0
        || heard & !caught & WITH_CORE != 0
}

/// Whether a thread, whose `/proc/PID/stat` this is, is ending because of a signal: it closes its files then,
/// and nobody hears what becomes of them. One that ends by itself may want to wait for the bucket.
fn ends_by_signal(stat: &str) -> bool {
    let Some((_, fields)) = stat.rsplit_once(')') else {
        return false;
    };
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let field = |index: usize| {
        fields
            .get(index)
            .and_then(|field| field.parse::<u64>().ok())
    };
    let (Some(flags), Some(exit_code)) = (field(FLAGS), field(EXIT_CODE)) else {
        return false;
    };
    flags & EXITING != 0 && exit_code & 0x7f != 0
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn status(pending: [u64; 2], blocked: u64, ignored: u64, caught: u64) -> String {
        let [own, shared] = pending;
        format!(
            "Name:\tdd SigPnd: 1\nSigQ:\t0/1\nSigPnd:\t{own:016x}\nShdPnd:\t{shared:016x}\n\
             SigBlk:\t{blocked:016x}\nSigIgn:\t{ignored:016x}\nSigCgt:\t{caught:016x}\nCapInh:\t0\n"
        )
    }

    #[test]
    fn signals_that_end_a_call() {
        let [int, term, usr1, segv, kill] = [
            libc::SIGINT,
            libc::SIGTERM,
            libc::SIGUSR1,
            libc::SIGSEGV,
            libc::SIGKILL,
        ]
        .map(bit);
        for (pending, blocked, ignored, caught, ends) in [
            ([0, 0], 0, 0, 0, false),
            ([kill, 0], 0, 0, 0, true),
            ([kill, term], u64::MAX, u64::MAX, u64::MAX, true),
            ([0, int], 0, 0, int, true),
            ([0, int], int, 0, int, false),
            ([0, int], 0, int, 0, false),
            ([0, term], 0, 0, term, false),
            ([usr1, 0], 0, 0, usr1, false),
            ([segv, 0], 0, 0, 0, true),
            ([segv, 0], 0, 0, segv, false),
        ] {
            let status = status(pending, blocked, ignored, caught);
            assert_eq!(has_fatal_signal(&status), ends, "{status}");
        }
        assert!(!has_fatal_signal(""));
        assert!(!has_fatal_signal("SigPnd:\tffffffffffffffff\n"));
    }

    #[test]
    fn who_ends_by_a_signal() {
        let stat = |flags: u64, exit_code: u64| {
            let between = "0 ".repeat(42);
            format!("7 (a) b (c) D 1 1 1 0 -1 {flags} {between}{exit_code}\n")
        };
        assert!(ends_by_signal(&stat(4_194_308, 9)));
        assert!(ends_by_signal(&stat(4, 0x83)));
        assert!(!ends_by_signal(&stat(4, 256)), "by itself");
        assert!(!ends_by_signal(&stat(0, 9)), "not yet");
        assert!(!ends_by_signal("") && !ends_by_signal("7 (x) D 1"));
    }

    #[test]
    fn the_fields_of_this_kernel_are_where_they_are_looked_for() {
        let this = std::process::id();
        assert!(!was_killed(this) && !was_killed(u32::MAX));
        let stat = fs::read_to_string(format!("/proc/{this}/stat")).unwrap();
        let (_, fields) = stat.rsplit_once(')').unwrap();
        assert_eq!(fields.split_whitespace().count(), EXIT_CODE + 1);
        // A zombie has its exit code, and has ended.
        let mut child = Command::new("sleep")
            .arg("1000")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        assert!(!was_killed(child.id()));
        child.kill().unwrap();
        let pid = child.id();
        let is_zombie = || {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
            stat.contains(") Z ")
        };
        while !is_zombie() {
            thread::yield_now();
        }
        assert!(was_killed(pid));
        child.wait().unwrap();
    }
}
