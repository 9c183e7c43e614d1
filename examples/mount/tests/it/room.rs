//! A limit for what is staged, on a real mount.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::server::{Mood, Server};
use crate::world::{World, end, eventually};

/// Below what goes out in parts, which the server does not know.
const BODY: usize = 7 << 20;

/// The smallest limit holds eight of them, and something that is kept for small files.
const FIT: usize = 8;

fn body(number: usize) -> Vec<u8> {
    vec![u8::try_from(number).unwrap(); BODY]
}

/// What is read, listed, made without bytes or closed takes no room: nobody waits there.
#[test]
fn a_writer_waits_for_room_and_all_others_go_on() {
    let server = Server::start(Mood::Kind);
    let Some(world) = World::at(&server) else {
        return;
    };
    let mut mount = world.mount_url("s3://pail", &["--staging-limit", "64MiB"]);
    let path = |number: usize| world.folder.join(format!("file{number}"));
    server.set(Mood::Busy);
    for number in 0..FIT {
        fs::write(path(number), body(number)).unwrap();
    }
    let writers: Vec<_> = (FIT..FIT + 4)
        .map(|number| {
            let path = path(number);
            std::thread::spawn(move || fs::write(path, body(number)))
        })
        .collect();
    let waiting = || world.status()["uploads"]["writers_waiting"] == 4;
    eventually("all of them wait", waiting);
    for number in 0..50 {
        assert_eq!(fs::metadata(path(0)).unwrap().len(), BODY as u64);
        assert_eq!(
            fs::read_dir(&world.folder).unwrap().count(),
            FIT + 4 + number
        );
        fs::create_dir(world.folder.join(format!("folder{number}"))).unwrap();
    }
    assert!(fs::read(path(1)).unwrap() == body(1));
    fs::write(world.folder.join("small"), b"there is room kept").unwrap();
    assert!(waiting(), "none of that needed what they wait for");
    server.set(Mood::Kind);
    for writer in writers {
        writer.join().unwrap().unwrap();
    }
    assert_eq!(world.umount().code, Some(0));
    assert_eq!(mount.end(), Some(0));
    for number in 0..FIT + 4 {
        let there = server.object(&format!("file{number}")).unwrap();
        assert!(there == body(number), "file{number}");
    }
}

/// Three times what may be staged; and what the bucket alone has can be read before the close.
#[test]
fn a_file_larger_than_the_limit_is_written_through_a_mount() {
    const PIECES: u32 = 192;
    let Some(world) = World::new() else { return };
    let mut mount = world.mount(&["--staging-limit", "64MiB"]);
    let path = world.folder.join("large");
    let piece = |number: u32| number.to_le_bytes().repeat(1 << 18);
    let mut file = fs::File::options()
        .create_new(true)
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();
    for number in 0..PIECES {
        file.write_all(&piece(number)).unwrap();
    }
    assert!(!world.bucket.join("large").exists(), "not before the close");
    // Past the kernel's cache.
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    let mut read = vec![0; 1 << 20];
    file.read_exact_at(&mut read, 1 << 20).unwrap();
    assert!(read == piece(1));
    file.write_all(b"end").unwrap();
    drop(file);
    assert_eq!(world.umount().code, Some(0));
    assert_eq!(mount.end(), Some(0));
    let there = fs::read(world.bucket.join("large")).unwrap();
    assert_eq!(there.len(), (PIECES as usize) << 20 | 3);
    for (number, found) in (0..PIECES).zip(there.chunks(1 << 20)) {
        assert!(found == piece(number), "MiB {number}");
    }
    assert!(there.ends_with(b"end"));
}

/// As a person does it who has enough of waiting: by `kill -9`, or by Ctrl-C, which `dd` catches.
#[test]
fn who_waits_for_room_can_be_killed() {
    let server = Server::start(Mood::Kind);
    let Some(world) = World::at(&server) else {
        return;
    };
    let mut mount = world.mount_url("s3://pail", &["--staging-limit", "64MiB"]);
    server.set(Mood::Busy);
    for number in 0..FIT {
        fs::write(world.folder.join(format!("file{number}")), body(number)).unwrap();
    }
    let dd = |name: &str| {
        // Who started the tests may have had the signal ignored.
        let mut dd = Command::new("env");
        dd.args([
            "--default-signal=INT",
            "dd",
            "if=/dev/zero",
            "bs=7M",
            "count=1",
            "status=none",
        ])
        .arg(format!("of={}", world.folder.join(name).display()));
        Waiting(dd.spawn().unwrap())
    };
    let mut writers = [dd("killed"), dd("interrupted"), dd("patient")];
    let waiting = |count: u64| {
        eventually("they wait", || {
            world.status()["uploads"]["writers_waiting"] == count
        });
    };
    waiting(3);
    for (writer, signal) in writers.iter_mut().zip([Signal::KILL, Signal::INT]) {
        writer.send(signal);
        assert_ne!(writer.end(), Some(0));
    }
    waiting(1);
    server.set(Mood::Kind);
    assert_eq!(writers[2].end(), Some(0));
    assert_eq!(world.umount().code, Some(0));
    assert_eq!(mount.end(), Some(0));
    for number in 0..FIT {
        assert!(server.object(&format!("file{number}")).unwrap() == body(number));
    }
    assert!(server.object("patient").unwrap() == vec![0; BODY]);
}

#[test]
fn a_reader_of_a_silent_store_can_be_killed() {
    let server = Server::start(Mood::Kind);
    let Some(world) = World::at(&server) else {
        return;
    };
    server.put("theirs", body(1));
    let mut mount = world.mount_url("s3://pail", &[]);
    server.set(Mood::Silent);
    let mut cat = Command::new("cat");
    cat.arg(world.folder.join("theirs")).stdout(Stdio::null());
    let mut cat = Waiting(cat.spawn().unwrap());
    eventually("it waits", || server.asked() > 0);
    cat.send(Signal::KILL);
    assert_eq!(cat.end(), None);
    server.set(Mood::Kind);
    let there = fs::metadata(world.folder.join("theirs")).unwrap();
    assert_eq!(there.len(), BODY as u64);
    assert_eq!(world.umount().code, Some(0));
    assert_eq!(mount.end(), Some(0));
}

/// A program that waits, ended with the test.
struct Waiting(std::process::Child);

impl Waiting {
    fn send(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    /// Its exit code; none if a signal ended it.
    fn end(&mut self) -> Option<i32> {
        end(&mut self.0)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.kill().unwrap_or_default();
    }
}
