//! Signals: the first one ends a mount in good order, the second one at once.

use std::process::exit;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Result;
use cloudmount::fuse::{UnmountMode, Unmounter};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::say::complain;
use crate::serve::Event;

/// How long taking the mount out of sight may hold up an end at once.
const DETACHING: Duration = Duration::from_secs(1);

/// What a shell reports of a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Watches for signals from now on. `mount` is what an end at once must not leave behind: a dead
/// mount would answer everybody with errors.
pub(crate) fn watch(events: Sender<Event>, mount: Arc<OnceLock<Unmounter>>) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            let mut seen = signals.forever();
            if seen.next().is_some() {
                drop(events.send(Event::Signal));
            }
            if seen.next().is_some() {
                if let Some(mount) = mount.get() {
                    detach(mount.clone());
                }
                complain(format_args!(
                    "cloudmount: ended at once; what was closed is in the journal, mount again to go on"
                ));
                exit(INTERRUPTED);
            }
        })?;
    Ok(())
}

fn detach(mount: Unmounter) {
    let (done, wait) = channel();
    std::thread::spawn(move || {
        drop(mount.unmount(UnmountMode::Lazy));
        let _ = done.send(());
    });
    let _ = wait.recv_timeout(DETACHING);
}
