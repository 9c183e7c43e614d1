//! Tests of the module `dispatch`.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use cloudmount_vfs::ErrorKind;

use super::*;

/// Tells what was answered, and on which thread.
#[derive(Clone)]
struct Answer(mpsc::Sender<(std::result::Result<u32, i32>, thread::ThreadId)>);

impl Answer {
    fn send(&self, result: std::result::Result<u32, i32>) {
        self.0.send((result, thread::current().id())).unwrap();
    }
}

impl Refuse for Answer {
    fn refuse(self, errno: Errno) {
        self.send(Err(errno.code()));
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap()
}

const WAIT: Duration = Duration::from_secs(10);

#[test]
fn ready_operations_are_answered_on_the_same_thread() {
    let runtime = runtime();
    let dispatcher = Dispatcher::new(runtime.handle().clone());
    let (sender, answers) = mpsc::channel();
    let here = thread::current().id();
    for result in [Ok(7), Err(ErrorKind::NotFound)] {
        let expected = result.map_err(|_| libc::ENOENT);
        let work = async move { result.map_err(Into::into) };
        let success = |reply: Answer, value| reply.send(Ok(value));
        dispatcher.answer(("test", 0), Answer(sender.clone()), work, success);
        assert_eq!(answers.try_recv(), Ok((expected, here)));
    }
}

#[test]
fn pending_operations_are_answered_by_the_runtime() {
    let runtime = runtime();
    let dispatcher = Dispatcher::new(runtime.handle().clone());
    let (sender, answers) = mpsc::channel();
    let (go, gate) = tokio::sync::oneshot::channel::<u32>();
    let work = async move { gate.await.map_err(|_| ErrorKind::Interrupted.into()) };
    let success = |reply: Answer, value| reply.send(Ok(value));
    dispatcher.answer(("test", 0), Answer(sender), work, success);
    assert_eq!(answers.try_recv(), Err(mpsc::TryRecvError::Empty));
    go.send(3).unwrap();
    let (result, thread) = answers.recv_timeout(WAIT).unwrap();
    assert_eq!(result, Ok(3));
    assert_ne!(thread, thread::current().id());
}

#[test]
fn operations_find_the_runtime_already_at_the_first_poll() {
    let runtime = runtime();
    let dispatcher = Dispatcher::new(runtime.handle().clone());
    let (sender, answers) = mpsc::channel();
    dispatcher.run(async move {
        let spawned = tokio::spawn(async { 5_u32 });
        sender.send(spawned.await.unwrap()).unwrap();
    });
    assert_eq!(answers.recv_timeout(WAIT), Ok(5));
}

#[test]
fn a_panic_costs_one_request() {
    let runtime = runtime();
    let dispatcher = Dispatcher::new(runtime.handle().clone());
    dispatcher.run(async { panic!("on purpose") });
    let (sender, answers) = mpsc::channel();
    let first = async { panic!("on purpose") };
    let success = |reply: Answer, value| reply.send(Ok(value));
    let again = |_: Box<[u8]>| async { Ok(0) };
    dispatcher.run_write(Answer(sender), (b"x", 0), first, again, success);
    assert_eq!(answers.recv_timeout(WAIT).unwrap().0, Err(libc::EIO));
}

#[test]
fn a_pending_write_is_started_again_with_a_copy() {
    let runtime = runtime();
    let dispatcher = Dispatcher::new(runtime.handle().clone());
    let (sender, answers) = mpsc::channel();
    let data = b"four".to_vec();
    let again = |copy: Box<[u8]>| async move { Ok(u32::try_from(copy.len()).unwrap()) };
    let success = |reply: Answer, value| reply.send(Ok(value));
    let first = std::future::pending();
    dispatcher.run_write(Answer(sender), (&data, 0), first, again, success);
    drop(data);
    assert_eq!(answers.recv_timeout(WAIT).unwrap().0, Ok(4));
    let free = || *dispatcher.copies.free.lock();
    let mut free_bytes = dispatcher.copies.free.lock();
    dispatcher.copies.freed.wait_while_for(
        &mut free_bytes,
        |free| *free < COPIED_WRITE_BYTES_MAX,
        WAIT,
    );
    drop(free_bytes);
    assert_eq!(free(), COPIED_WRITE_BYTES_MAX);
}

#[test]
fn copies_beyond_the_limit_wait_for_room() {
    let budget = Arc::new(CopyBudget::new(10));
    let first = budget.take(8);
    let waiting = {
        let budget = Arc::clone(&budget);
        thread::spawn(move || drop(budget.take(8)))
    };
    assert!(!waiting.is_finished());
    drop(first);
    waiting.join().unwrap();
    assert_eq!(*budget.free.lock(), 10);
}
