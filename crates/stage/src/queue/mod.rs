//! The queue: starts what may run, within its limits, and waits for what ends.
//!
//! Laws: one operation per key at a time; small operations have slots of their own, so a large file
//! never keeps a small one waiting; nothing is started while paused; the loop touches only keys
//! whose time came or that something happened to.

pub(crate) mod bodies;
pub(crate) mod condition;
pub(crate) mod probe;
pub(crate) mod session;
pub(crate) mod uploads;

mod beside;
mod body;
pub(crate) mod burst;
mod conflict;
mod copy_otherwise;
mod effect;
mod fill;
mod finish;
mod free;
mod housekeeping;
mod in_the_way;
pub(crate) mod lane;
mod metadata;
mod multipart;
pub(crate) mod pace;
pub(crate) mod parts;
mod pick;
pub(crate) mod refused;
mod remove;
mod send;
mod tags;
mod trouble;
mod upload;
mod worker;

use std::sync::Arc;

use cloudmount_store::Key;
use cloudmount_vfs::Instant;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use self::housekeeping::Housekeeping;
pub(crate) use self::trouble::lacks_base;
use self::worker::{Task, Ticket};
use crate::desired::Desired;
use crate::key_state::{Cancel, Class};
use crate::stage::Inner;
use crate::table::{Flow, Table};

/// Requests for removals at once. Each takes up to 1,000 keys, so that 4 of them are far ahead of
/// anything that could produce removals.
const REMOVES_MAX: u16 = 4;

/// Files that are uploaded while they are written, at once. One that waits for its writer costs
/// nothing but its place; the parts of all of them share the budget of bodies.
const STREAMS_MAX: u16 = 64;

/// Files filled at once: most are small, and one request each.
const FILLS_MAX: u16 = 8;

/// Runs until told to stop.
pub(crate) async fn run(inner: Arc<Inner>, mut stopped: watch::Receiver<bool>) {
    let mut work = JoinSet::new();
    let mut housekeeping = Housekeeping::default();
    loop {
        // Together with what they free: each would wake the queue once more for nothing.
        while let Some(ended) = work.try_join_next() {
            tell_of_death(ended);
        }
        let next = [
            start(&inner, &mut work),
            housekeeping.start(&inner, &mut work, inner.now()),
        ];
        let next = next.into_iter().flatten().min();
        let timer = async {
            match next {
                Some(at) => inner.clock.sleep(at.saturating_since(inner.now())).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = inner.freed.woken() => {}
            () = timer => {}
            Some(ended) = work.join_next() => tell_of_death(ended),
            _ = stopped.wait_for(|stop| *stop) => break,
        }
    }
    inner.stop();
    work.shutdown().await;
    inner.release().await;
}

fn tell_of_death(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "an upload task died");
    }
}

/// Starts all that may run; gives when to look again at the latest.
fn start(inner: &Arc<Inner>, work: &mut JoinSet<()>) -> Option<Instant> {
    let now = inner.now();
    let small_max = inner.small.lock().limit();
    let mut table = inner.lock();
    for key in inner.freed.take_keys() {
        table.schedule(inner, &key, now);
    }
    while let Some((key, place)) = table.pop_timed(now) {
        table.time_came(inner, &key, place, now);
    }
    if table.flow == Flow::Running {
        start_fills(inner, &mut table, work);
        start_removes(inner, &mut table, work, now);
        while table.running.small < small_max
            && let Some(ticket) = next_ticket(inner, &mut table, Class::Small, now)
        {
            table.running.small += 1;
            work.spawn(worker::run(Arc::clone(inner), ticket, Class::Small));
        }
        while table.running.large < inner.settings.large_files_max
            && let Some(ticket) = next_ticket(inner, &mut table, Class::Large, now)
        {
            table.running.large += 1;
            work.spawn(worker::run(Arc::clone(inner), ticket, Class::Large));
        }
        while table.running.stream < STREAMS_MAX
            && let Some(ticket) = next_ticket(inner, &mut table, Class::Stream, now)
        {
            table.running.stream += 1;
            work.spawn(worker::run(Arc::clone(inner), ticket, Class::Stream));
        }
    }
    table.set_alarm()
}

fn start_fills(inner: &Arc<Inner>, table: &mut Table, work: &mut JoinSet<()>) {
    while table.running.fill < FILLS_MAX
        && let Some((file, why)) = table.fills.pop_front()
    {
        if table.busy.insert(file.id()) {
            table.running.fill += 1;
            work.spawn(fill::run(Arc::clone(inner), file, why));
        }
    }
}

fn start_removes(inner: &Arc<Inner>, table: &mut Table, work: &mut JoinSet<()>, now: Instant) {
    let limit = usize::from(inner.capabilities.delete_keys_max.max(1));
    while table.running.remove < REMOVES_MAX {
        let mut tickets = Vec::new();
        while tickets.len() < limit
            && let Some(ticket) = next_ticket(inner, table, Class::Remove, now)
        {
            tickets.push(ticket);
        }
        if tickets.is_empty() {
            return;
        }
        table.running.remove += 1;
        work.spawn(remove::run(Arc::clone(inner), tickets));
    }
}

/// The next operation of a class that may still run.
fn next_ticket(inner: &Inner, table: &mut Table, class: Class, now: Instant) -> Option<Ticket> {
    loop {
        let key = table.pop_ready(class)?;
        // A hold may have come since it got in line, or the file may have grown.
        match table.task(inner, &key, now) {
            Some((task, wanted)) if wanted == class => return ticket(table, key, task),
            _ => table.schedule(inner, &key, now),
        }
    }
}

fn ticket(table: &mut Table, key: Key, task: Task) -> Option<Ticket> {
    let state = table.get_mut(&key)?;
    let cancel = Arc::new(Cancel::default());
    state.in_flight = Some(Arc::clone(&cancel));
    let (desired, seq) = state.aim().unwrap_or((&state.desired, state.seq));
    let ticket = Ticket {
        key,
        seq,
        remote: state.remote.clone(),
        sent: state.sent.clone(),
        desired: desired.clone(),
        cancel,
        task,
    };
    if let Desired::Content(file) = &ticket.desired
        && task != Task::Ask
    {
        table.busy.insert(file.id());
    }
    Some(ticket)
}
