//! Programs that are killed while they wait for an answer.

use std::fs;
use std::process::{Child, Command, ExitStatus, Stdio};

use cloudmount_vfs::CachePolicy;

use crate::mounted::{Mounted, eventually, on};
use crate::probe::Readiness;

/// A program, ended with the test whatever becomes of that.
struct Program(Child);

impl Program {
    fn start(program: &str, arguments: &[&str]) -> Self {
        // Who started the tests may have had the signal ignored.
        let child = Command::new("env")
            .args(["--default-signal=INT", program])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }

    fn send(&self, signal: &str) {
        let pid = self.0.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(sent.unwrap().success());
    }

    fn ended(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("it ends", || {
            status = self.0.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.0.kill().unwrap_or_default();
        self.0.try_wait().map(drop).unwrap_or_default();
    }
}

fn path(mounted: &Mounted, name: &str) -> String {
    mounted.path(name).to_str().unwrap().to_owned()
}

/// While `operation` is held for ever, starts `program` on a file, sends it `signal` when it waits there,
/// and looks that it ends. Another that waits there too goes on when it can.
fn check(operation: &'static str, program: &[&str], signal: &str) {
    on(Readiness::Immediate, CachePolicy::Keep, |mounted| {
        let (file, other) = (path(mounted, "file"), path(mounted, "other"));
        let folder = path(mounted, "");
        for name in [&file, &other] {
            fs::write(name, b"before").unwrap();
        }
        let on_file = |file: &str| {
            let arguments: Vec<_> = program[1..]
                .iter()
                .map(|word| word.replace("FILE", file).replace("FOLDER", &folder))
                .collect();
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            Program::start(program[0], &arguments)
        };
        mounted.vfs.hold(Some(operation));
        let waits_for = |count: usize| eventually(operation, || mounted.vfs.waiting() == count);
        let mut other = on_file(&other);
        waits_for(1);
        // It has a handler for none of these, and does not end by them.
        other.send("WINCH");
        other.send("CONT");
        let mut killed = on_file(&file);
        waits_for(2);
        killed.send(signal);
        assert!(!killed.ended().success(), "{program:?} by {signal}");
        waits_for(1);
        mounted.vfs.hold(None);
        assert!(other.ended().success(), "{program:?}");
        assert!(mounted.vfs.waiting() == 0);
        fs::write(&file, b"after").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"after");
    });
}

const DD: [&str; 5] = ["dd", "if=/dev/zero", "of=FILE", "bs=4k", "count=2"];

#[test]
fn a_writer_that_waits_can_be_killed() {
    for signal in ["KILL", "TERM", "INT"] {
        check("write", &DD, signal);
    }
    check("write", &["sh", "-c", "echo x > FILE"], "KILL");
}

#[test]
fn who_waits_for_a_close_or_a_sync_can_be_killed() {
    check("flush", &DD, "KILL");
    check("fsync", &["sync", "FILE"], "KILL");
    check("fsync", &["sync", "FILE"], "INT");
}

#[test]
fn a_reader_that_waits_can_be_killed() {
    for signal in ["KILL", "INT"] {
        check(
            "read",
            &["dd", "if=FILE", "of=/dev/null", "iflag=direct"],
            signal,
        );
        check("open", &["cat", "FILE"], signal);
    }
}

#[test]
fn who_asks_for_names_can_be_killed() {
    check("readdirplus", &["find", "FOLDER"], "KILL");
    check("setattr", &["chmod", "0600", "FILE"], "KILL");
}

/// It closes its files when nobody hears any more what becomes of them.
#[test]
fn who_was_killed_does_not_wait_for_its_files_to_be_closed() {
    on(Readiness::Immediate, CachePolicy::Keep, |mounted| {
        let file = fs::File::create(mounted.path("file")).unwrap();
        let mut program = Program(
            Command::new("sleep")
                .arg("1000")
                .stdout(file)
                .spawn()
                .unwrap(),
        );
        mounted.vfs.hold(Some("flush"));
        program.send("KILL");
        assert!(!program.ended().success());
        eventually("it is given up", || mounted.vfs.waiting() == 0);
        mounted.vfs.hold(None);
        fs::write(mounted.path("file"), b"after").unwrap();
    });
}
