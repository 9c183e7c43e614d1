//! A mount as a service: known to the service manager, to `mount(8)`, and started again when it
//! crashes.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::server::{Mood, Server};
use crate::world::{Done, World, eventually};

/// A service manager that listens for a minute at most.
struct Manager(UnixDatagram);

impl Manager {
    fn new(world: &mut World) -> Self {
        let path = world.path("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        world.set("NOTIFY_SOCKET", path.to_str().unwrap());
        Self(socket)
    }

    fn hears(&self) -> String {
        let mut text = [0; 4096];
        let length = self.0.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..length]).into_owned()
    }
}

fn pid(world: &World) -> u32 {
    let done = world.run(&["status", "--json", world.folder.to_str().unwrap()]);
    let status: Option<serde_json::Value> = serde_json::from_str(&done.out).ok();
    let pid = status.and_then(|status| status["pid"].as_u64());
    pid.and_then(|pid| u32::try_from(pid).ok())
        .unwrap_or_default()
}

fn crash(pid: u32) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

#[test]
fn the_service_manager_is_told() {
    let Some(mut world) = World::new() else {
        return;
    };
    let manager = Manager::new(&mut world);
    let mut mount = world.mount(&[]);
    let ready = manager.hears();
    assert!(world.is_mounted());
    assert!(ready.starts_with("READY=1\n"), "{ready}");
    assert!(
        ready.contains(&format!("MAINPID={}\n", mount.pid())),
        "{ready}"
    );
    mount.signal(Signal::TERM);
    assert!(manager.hears().starts_with("STOPPING=1\n"));
    assert_eq!(mount.end(), Some(0), "{}", mount.errors());
}

#[test]
fn mount_8_finds_a_helper() {
    let Some(world) = World::new() else { return };
    let helper = world.path("mount.cloudmount");
    symlink(env!("CARGO_BIN_EXE_cloudmount"), &helper).unwrap();
    let folder = world.folder.to_str().unwrap();
    let run = |arguments: &[&str]| -> Done {
        let mut command = world.command(&helper);
        command.args(arguments);
        world.end_of(command)
    };
    let url = world.url();
    fs::write(world.bucket.join("file"), "x").unwrap();
    let options = "rw,_netdev,x-systemd.automount,file_mode=0640,direct_io=\"*.log,a/**\"";
    let done = run(&[&url, folder, "-o", options]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let meta = fs::metadata(world.folder.join("file")).unwrap();
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o777,
        0o640
    );
    assert_eq!(world.umount().code, Some(0));
    assert!(world.is_clean());
    // The exit codes of mount(8).
    for (arguments, code, words) in [
        (&["file:///no/such", folder][..], 32, "create the folder"),
        (&[&url, folder, "-o", "ttl=soon"], 32, "--ttl"),
        (&[&url, folder, "-o", "nonsense"], 1, "nonsense"),
        (&[&url], 1, "a bucket and a folder"),
    ] {
        let done = run(arguments);
        assert_eq!(done.code, Some(code), "{done:?}");
        assert!(done.err.contains(words), "{done:?}");
        assert!(world.is_clean());
    }
    let done = run(&[&url, folder, "-f"]);
    assert!(done.code == Some(0) && !world.is_mounted(), "{done:?}");
}

/// What a system without a home mounts is found again by root.
#[test]
fn root_has_a_home() {
    let Some(world) = World::new() else { return };
    if !crate::mistakes::is_root() {
        return;
    }
    let mut program = world.command("env");
    program.args(["-u", "HOME", "-u", "XDG_STATE_HOME"]);
    program
        .arg(env!("CARGO_BIN_EXE_cloudmount"))
        .args(["doctor", "--json"]);
    let done = world.end_of(program);
    assert!(
        done.out.contains("root/.local/state/cloudmount"),
        "{done:?}"
    );
}

#[test]
fn a_crashed_mount_is_there_again_with_all_that_was_accepted() {
    let server = Server::start(Mood::Kind);
    let Some(mut world) = World::at(&server) else {
        return;
    };
    let manager = Manager::new(&mut world);
    let mut mount = world.mount_url("s3://pail", &["--supervise"]);
    let ready = manager.hears();
    assert!(
        ready.contains(&format!("MAINPID={}\n", mount.pid())),
        "{ready}"
    );
    server.set(Mood::Busy);
    // Files that are written all the while, each of its own; those that were closed count.
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let (stop, folder) = (Arc::clone(&stop), world.folder.clone());
        std::thread::spawn(move || load(&folder, &stop))
    };
    for _ in 0..3 {
        let before = pid(&world);
        assert_ne!(before, mount.pid(), "another process serves");
        let files = fs::read_dir(&world.folder).map_or(0, Iterator::count);
        eventually("the load goes on", || {
            fs::read_dir(&world.folder).is_ok_and(|all| all.count() > files)
        });
        crash(before);
        assert!(
            manager
                .hears()
                .contains("STATUS=the mount's process ended (signal: 9")
        );
        let ready = manager.hears();
        assert!(ready.starts_with("READY=1\n"), "{ready}{}", mount.errors());
        eventually("it answers", || ![0, before].contains(&pid(&world)));
    }
    stop.store(true, Ordering::Relaxed);
    let accepted = writer.join().unwrap();
    assert!(accepted.len() >= 3, "{accepted:?}");
    let is_there =
        |name: &String| fs::read(world.folder.join(name)).is_ok_and(|text| text == name.as_bytes());
    let lost: Vec<_> = accepted.iter().filter(|name| !is_there(name)).collect();
    // Where a dead mount cannot be replaced in one step, what was written in between is named.
    let errors = mount.errors();
    let is_told = |name: &&String| errors.contains(&***name);
    assert!(lost.iter().all(is_told), "{lost:?} {errors}");
    server.set(Mood::Kind);
    assert_eq!(world.umount().code, Some(0));
    assert_eq!(mount.end(), Some(0), "{}", mount.errors());
    let lost: Vec<_> = (accepted.iter())
        .filter(|name| server.object(name).as_deref() != Some(name.as_bytes()))
        .collect();
    assert!(lost.iter().all(is_told), "{lost:?} {errors}");
    assert!(world.is_clean());
}

/// Writes files until it is told to stop, and gives the names of those that were accepted.
fn load(folder: &Path, stop: &AtomicBool) -> Vec<String> {
    let mut accepted = Vec::new();
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let name = format!("file-{number}");
        let written = fs::File::create(folder.join(&name)).and_then(|mut file| {
            std::io::Write::write_all(&mut file, name.as_bytes())?;
            // A close tells its errors to nobody here; a flush does.
            file.sync_all()
        });
        if written.is_ok() {
            accepted.push(name);
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    accepted
}

#[test]
fn a_supervised_mount_ends_when_it_is_told_to() {
    let Some(world) = World::new() else { return };
    for how in ["signal", "umount", "daemon"] {
        fs::write(world.bucket.join("file"), how).unwrap();
        let folder = world.folder.to_str().unwrap();
        if how == "daemon" {
            let done = world.run(&["mount", "--daemon", "--supervise", &world.url(), folder]);
            assert_eq!(done.code, Some(0), "{done:?}");
            let before = pid(&world);
            crash(before);
            eventually("it answers", || ![0, before].contains(&pid(&world)));
            assert_eq!(fs::read(world.folder.join("file")).unwrap(), how.as_bytes());
            assert_eq!(world.umount().code, Some(0));
            eventually("nothing is left", || world.is_clean());
            continue;
        }
        let mut mount = world.mount(&["--supervise"]);
        fs::write(world.folder.join("new"), how).unwrap();
        match how {
            "signal" => mount.signal(Signal::TERM),
            _ => assert_eq!(world.umount().code, Some(0)),
        }
        assert_eq!(mount.end(), Some(0), "{}", mount.errors());
        assert_eq!(fs::read(world.bucket.join("new")).unwrap(), how.as_bytes());
        assert!(world.is_clean());
    }
}

/// What never worked is no crash; what does not work again is tried until somebody has had enough.
#[test]
fn a_supervisor_gives_up_what_never_worked_and_what_is_unmounted() {
    let server = Server::start(Mood::Empty);
    let Some(world) = World::at(&server) else {
        return;
    };
    let folder = world.folder.to_str().unwrap().to_owned();
    for way in [
        &["mount", "--supervise"][..],
        &["mount", "--supervise", "--daemon"],
    ] {
        let done = world.run(&[way, &["s3://pail", &folder]].concat());
        done.is_mistake(&["create the bucket"]);
        eventually("nothing is left", || world.is_clean());
    }
    server.set(Mood::Kind);
    let mut mount = world.mount_url("s3://pail", &["--supervise"]);
    server.set(Mood::Empty);
    crash(pid(&world));
    eventually("it is tried again", || {
        mount.errors().matches("mounting again").count() > 2
    });
    assert_eq!(world.umount().code, Some(0));
    assert_eq!(mount.end(), Some(1));
    let errors = mount.errors();
    assert!(errors.contains("it was unmounted"), "{errors}");
    assert!(world.is_clean());
    // And by a signal.
    server.set(Mood::Kind);
    let mut mount = world.mount_url("s3://pail", &["--supervise"]);
    server.set(Mood::Empty);
    crash(pid(&world));
    eventually("it is tried again", || {
        mount.errors().contains("mounting again")
    });
    mount.signal(Signal::TERM);
    assert_eq!(mount.end(), Some(1));
    assert!(world.is_clean(), "nothing dead is left");
}
