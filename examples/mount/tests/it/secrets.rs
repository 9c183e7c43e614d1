//! Secrets are nowhere: planted wherever credentials come from, and looked for wherever anything is
//! left, said or shown.

use std::fs;
use std::io::BufRead as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::server::{Mood, Server};
use crate::world::{Done, World, eventually, skipped};

/// All that is planted has this in it, and nothing else has.
const MARK: &str = "planted7Qx";
const KEY: &str = "env+planted7Qx/secret+key";
const TOKEN: &str = "planted7Qx-session-token";
const PROFILE_KEY: &str = "profile/planted7Qx/key";
const PROFILE_TOKEN: &str = "profile-planted7Qx-token";
const PASSWORD: &str = "planted7Qx-password";

/// Files that hold a secret because the test wrote it there.
const PLANTED: [&str; 4] = ["credentials", "aws-config", "program", "program.out"];

/// Everything that was said.
#[derive(Default)]
struct Said(Vec<(String, String)>);

impl Said {
    fn note(&mut self, what: &str, text: impl Into<String>) {
        self.0.push((what.to_owned(), text.into()));
    }

    fn run(&mut self, world: &World, arguments: &[&str]) -> Done {
        let done = world.run(arguments);
        self.note(&arguments.join(" "), format!("{}{}", done.out, done.err));
        done
    }

    fn is_clean(&self) {
        for (what, text) in &self.0 {
            let line = text.lines().find(|line| line.contains(MARK));
            assert_eq!(line, None, "{what}");
        }
    }
}

/// Files below `folder` in which it is. The mount point shows the bucket, and may be dead.
fn leaks(folder: &Path, into: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() && name != "mnt" {
            leaks(&path, into);
        } else if kind.is_file() && !PLANTED.contains(&&*name) {
            let bytes = fs::read(&path).unwrap();
            let is_there = |form: &str| {
                bytes
                    .windows(form.len())
                    .any(|part| part == form.as_bytes())
            };
            if is_there(MARK) {
                into.push(path.display().to_string());
            }
        }
        if name.contains(MARK) {
            into.push(name);
        }
    }
}

fn nothing_leaked(world: &World) {
    let mut found = Vec::new();
    leaks(&world.path("."), &mut found);
    assert!(found.is_empty(), "{found:?}");
}

/// All that a program shows of itself to other users.
fn shown_by(pid: u32) -> String {
    let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let all = [read("cmdline"), read("comm"), read("mountinfo")].concat();
    String::from_utf8_lossy(&all).into_owned()
}

/// A mount through all that it does: files, refusals, questions, a crash, and the way on.
fn live(world: &World, server: &Server, more: &[&str], said: &mut Said) {
    let folder = world.folder.to_str().unwrap().to_owned();
    let cache = world.path("cache");
    let flags = ["--log", "trace", "--endpoint", &server.address];
    let flags = [&flags[..], &["--disk-cache", cache.to_str().unwrap()], more].concat();
    server.set(Mood::Kind);
    server.put("old", b"what is read is kept".to_vec());
    let mut mount = world.mount_url("s3://pail", &flags);
    said.note("/proc", shown_by(mount.pid()));
    let at = |name: &str| world.folder.join(name);
    assert_eq!(fs::read(at("old")).unwrap(), b"what is read is kept");
    fs::create_dir(at("folder")).unwrap();
    fs::write(at("folder/file"), "some bytes").unwrap();
    said.run(world, &["flush", "--wait", "--timeout", "30s", &folder]);
    // Refused, so that errors are told, logged and kept in the journal.
    for mood in [Mood::Forbidding, Mood::Wrong, Mood::Unknown] {
        server.set(mood);
        fs::write(at("refused"), format!("{mood:?}")).unwrap();
        said.run(world, &["flush", "--wait", "--timeout", "500ms", &folder]);
        eventually("it is refused", || {
            let status = world.status()["uploads"]["keys"].to_string();
            status.contains("AccessDenied") || status.contains("refused")
        });
        said.note("status --json", world.status().to_string());
        said.run(world, &["status", &folder]);
        let doctor = [
            &["doctor", "--json", "--write", "s3://pail", &folder][..],
            &flags[2..],
        ];
        said.run(world, &doctor.concat());
        let asked = server.asked_with().unwrap_or_default();
        assert!(asked.contains(MARK), "the secrets are in use: {asked}");
    }
    let log = mount.errors();
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "{log}");
    mount.signal(Signal::KILL);
    mount.end();
    said.note("log", mount.errors());
    nothing_leaked(world);
    // The next one goes on, in the background.
    server.set(Mood::Kind);
    let daemon = [&["mount", "--daemon", "s3://pail", &folder][..], &flags].concat();
    let done = said.run(world, &daemon);
    assert_eq!(done.code, Some(0), "{done:?}");
    let pid = world.status()["pid"].as_u64().unwrap();
    said.note("/proc of the daemon", shown_by(u32::try_from(pid).unwrap()));
    eventually("it is there", || server.object("refused").is_some());
    let done = said.run(world, &["umount", &folder]);
    assert_eq!(done.code, Some(0), "{done:?}");
    nothing_leaked(world);
    said.is_clean();
}

#[test]
fn keys_of_the_environment_are_nowhere() {
    let server = Server::start(Mood::Kind);
    let Some(mut world) = World::new() else {
        return;
    };
    world.set("AWS_ACCESS_KEY_ID", "id");
    world.set("AWS_SECRET_ACCESS_KEY", KEY);
    world.set("AWS_SESSION_TOKEN", TOKEN);
    live(&world, &server, &[], &mut Said::default());
}

#[test]
fn keys_of_a_profile_are_nowhere() {
    let server = Server::start(Mood::Kind);
    let Some(mut world) = World::new() else {
        return;
    };
    let file = world.path("credentials");
    let text = format!(
        "[work]\naws_access_key_id = id\naws_secret_access_key = {PROFILE_KEY}\naws_session_token = {PROFILE_TOKEN}\n"
    );
    fs::write(&file, &text).unwrap();
    world.set("AWS_SHARED_CREDENTIALS_FILE", file.to_str().unwrap());
    let mut said = Said::default();
    live(&world, &server, &["--profile", "work"], &mut said);
    // Also where the file is broken, or lacks a part.
    let at = [
        "mount",
        "s3://pail",
        world.folder.to_str().unwrap(),
        "--profile",
        "work",
    ];
    for text in [
        format!("[work]\n{PROFILE_KEY}\n"),
        format!("[work]\naws_secret_access_key = {PROFILE_KEY}\n"),
        format!("{PROFILE_KEY} = x\n[{PROFILE_TOKEN}\n"),
        format!("[work]\nsso_session = {PROFILE_TOKEN}\naws_session_token = {PROFILE_TOKEN}\n"),
    ] {
        fs::write(&file, text).unwrap();
        let more = [&at[..], &["--log", "trace", "--endpoint", &server.address]].concat();
        assert_ne!(said.run(&world, &more).code, Some(0));
        let doctor = [
            "doctor",
            "s3://pail",
            "--profile",
            "work",
            "--endpoint",
            &server.address,
        ];
        assert_eq!(said.run(&world, &doctor).code, Some(1));
    }
    said.is_clean();
    nothing_leaked(&world);
}

/// What a program prints, what it is told, and what STS makes of it.
#[test]
fn keys_of_programs_and_roles_are_nowhere() {
    let server = Server::start(Mood::Kind);
    let Some(mut world) = World::new() else {
        return;
    };
    let program = world.path("program");
    let printed = format!(
        r#"{{"Version":1,"AccessKeyId":"id","SecretAccessKey":"{KEY}","SessionToken":"{TOKEN}","Expiration":"2999-01-01T00:00:00Z"}}"#
    );
    let script =
        format!("#!/bin/sh\necho {PASSWORD} >&2\n[ \"$1\" = {PASSWORD} ] && cat \"$0\".out\n");
    fs::write(&program, script).unwrap();
    fs::write(world.path("program.out"), printed).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
    let file = world.path("aws-config");
    let text = format!(
        "[profile work]\ncredential_process = \"{}\" {PASSWORD}\n\
         [profile role]\nrole_arn = arn:r\nsource_profile = work\n",
        program.display()
    );
    fs::write(&file, &text).unwrap();
    world.set("AWS_CONFIG_FILE", file.to_str().unwrap());
    world.set("AWS_ENDPOINT_URL_STS", &server.address);
    let mut said = Said::default();
    live(&world, &server, &["--profile", "work"], &mut said);
    server.grant(TOKEN);
    live(&world, &server, &["--profile", "role"], &mut said);
    // Also where the program fails, or says what makes no sense.
    let at = ["mount", "s3://pail", world.folder.to_str().unwrap()];
    let flags = [
        "--profile",
        "work",
        "--log",
        "trace",
        "--endpoint",
        &server.address,
    ];
    for text in [format!("{{{KEY}"), format!(r#"{{"Version":"{TOKEN}"}}"#)] {
        fs::write(world.path("program.out"), text).unwrap();
        let done = said.run(&world, &[&at[..], &flags].concat());
        assert!(done.err.contains("credential_process"), "{done:?}");
        let doctor = [&["doctor", "s3://pail"][..], &flags[..2], &flags[4..]].concat();
        assert_eq!(said.run(&world, &doctor).code, Some(1));
    }
    said.is_clean();
    nothing_leaked(&world);
}

/// They do not belong there. Whoever writes one there all the same is told so, without it.
#[test]
fn passwords_in_addresses_are_refused_unshown() {
    let Some(mut world) = World::new() else {
        return;
    };
    let folder = world.folder.to_str().unwrap().to_owned();
    let address = format!("http://id:{PASSWORD}@127.0.0.1:9");
    let mut said = Said::default();
    let mut refused = |world: &World, url: &str, more: &[&str]| {
        for command in [
            &["mount", "--log", "trace"][..],
            &["doctor"],
            &["mount", "--daemon"],
        ] {
            let done = said.run(world, &[command, &[url, &folder], more].concat());
            assert_eq!(done.code, Some(1), "{done:?}");
            let text = format!("{}{}", done.out, done.err);
            assert!(
                text.contains("password") || text.contains("[hidden]"),
                "{text}"
            );
        }
    };
    for url in [
        format!("s3://id:{PASSWORD}@pail/x"),
        format!("s3:id:{PASSWORD}@pail"),
        format!("https://id:{PASSWORD}@host/pail"),
    ] {
        refused(&world, &url, &[]);
    }
    world.set("AWS_ACCESS_KEY_ID", "id");
    world.set("AWS_SECRET_ACCESS_KEY", KEY);
    refused(&world, "s3://pail", &["--endpoint", &address]);
    let config = world.path("aws-config");
    fs::write(&config, format!("[default]\nendpoint_url = {address}\n")).unwrap();
    world.set("AWS_CONFIG_FILE", config.to_str().unwrap());
    refused(&world, "s3://pail", &[]);
    world.set("AWS_ENDPOINT_URL", &address);
    refused(&world, "s3://pail", &[]);
    world.set("CLOUDMOUNT_ENDPOINT", &address);
    refused(&world, "s3://pail", &[]);
    said.is_clean();
    nothing_leaked(&world);
    assert!(world.is_clean());
}

/// How a program ends that is allowed core dumps of any size, and is killed by a signal that makes one.
fn end_with_a_dump(world: &World, script: &str) -> Option<ExitStatus> {
    let mut shell = world.command("sh");
    let script = format!("cd \"$0\" && ulimit -c unlimited && {script}");
    shell.args(["-c", &script]).arg(world.path("run"));
    shell.arg(env!("CARGO_BIN_EXE_cloudmount"));
    shell.args([world.url().as_str(), world.folder.to_str().unwrap()]);
    shell.stdout(Stdio::piped());
    let mut child = shell.spawn().unwrap();
    let mut said = String::new();
    let out = child.stdout.take().unwrap();
    std::io::BufReader::new(out).read_line(&mut said).unwrap();
    if said.starts_with("mounted ") {
        kill_process(Pid::from_child(&child), Signal::ABORT).unwrap();
    }
    let mut ended = None;
    eventually("it ends", || {
        ended = child.try_wait().unwrap();
        ended.is_some()
    });
    ended
}

#[test]
fn a_mount_that_crashes_leaves_no_core_dump() {
    let Some(world) = World::new() else { return };
    let plain = end_with_a_dump(&world, "kill -ABRT $$").unwrap();
    if !plain.core_dumped() {
        skipped("no program leaves a core dump here");
        return;
    }
    let done = end_with_a_dump(&world, "exec \"$1\" mount \"$2\" \"$3\"").unwrap();
    assert_eq!(done.signal(), Some(Signal::ABORT.as_raw()));
    assert!(!done.core_dumped(), "{done:?}");
    nothing_leaked(&world);
}

/// The search itself finds what is there to be found.
#[test]
fn a_leak_would_be_found() {
    let Some(world) = World::new() else { return };
    fs::create_dir(world.path("home/deep")).unwrap();
    fs::write(world.path("home/deep/log"), format!("\u{1}a {TOKEN} b")).unwrap();
    let mut found = Vec::new();
    leaks(&world.path("."), &mut found);
    assert!(
        matches!(&found[..], [only] if only.ends_with("home/deep/log")),
        "{found:?}"
    );
}
