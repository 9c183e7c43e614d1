//! A server that goes away and comes back: what the mount tells of it, and what it does meanwhile.

use std::fs;
use std::time::{Duration, Instant};

use crate::server::{Mood, Server};
use crate::world::{World, eventually};

/// Time that nothing here takes on a busy machine, and that a wait between tries would exceed.
const SOON: Duration = Duration::from_secs(4);

fn state(world: &World) -> String {
    let status = world.status();
    status["connection"]["state"]
        .as_str()
        .unwrap_or("?")
        .to_owned()
}

fn with_keys() -> Option<World> {
    let mut world = World::new()?;
    world.set("AWS_ACCESS_KEY_ID", "id");
    world.set("AWS_SECRET_ACCESS_KEY", "secret");
    Some(world)
}

#[test]
fn a_server_that_went_away_is_told_and_comes_back_on_demand() {
    let server = Server::start(Mood::Kind);
    let Some(world) = with_keys() else { return };
    server.put("old", b"what is here stays".to_vec());
    let folder = world.folder.to_str().unwrap();
    let flags = ["--endpoint", &server.address, "--ttl", "1h"];
    let _mount = world.mount_url("s3://pail", &flags);
    let at = |name: &str| world.folder.join(name);
    assert_eq!(fs::read(at("old")).unwrap(), b"what is here stays");
    assert_eq!(state(&world), "online");
    server.set(Mood::Gone);
    fs::write(at("new"), "written while it is gone").unwrap();
    eventually("it is told to be offline", || state(&world) == "offline");
    let shown = world.run(&["status", folder]).out;
    let line = shown.lines().nth(1).unwrap_or_default();
    assert!(line.starts_with("connection: offline for "), "{shown}");
    assert!(line.contains("127.0.0.1"), "it says where to: {line}");
    // What is here is read, changed and written on.
    assert_eq!(fs::read(at("old")).unwrap(), b"what is here stays");
    fs::write(at("new"), "written twice while it is gone").unwrap();
    assert_eq!(fs::read(at("new")).unwrap().len(), 30);
    // In vain, and told so.
    let done = world.run(&["reconnect", folder]);
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.out.starts_with("connection: offline for "), "{done:?}");
    // The waits between tries are some seconds long by now.
    #[expect(
        clippy::disallowed_methods,
        reason = "how long it takes is what is asked"
    )]
    let now = Instant::now;
    eventually("there are waits between tries", || {
        let errors = &world.status()["requests"]["operations"]["put"]["errors"];
        errors["connection"].as_u64().unwrap_or(0) >= 6
    });
    server.set(Mood::Kind);
    let began = now();
    let done = world.run(&["reconnect", folder]);
    assert_eq!((done.code, &*done.out), (Some(0), "connection: online\n"));
    eventually("it is uploaded", || server.object("new").is_some());
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert_eq!(server.object("new").unwrap().len(), 30);
    assert_eq!(world.umount().code, Some(0));
}

/// Nobody calls, and nobody says that the network is back.
#[test]
fn a_server_that_comes_back_is_seen_by_itself() {
    let server = Server::start(Mood::Kind);
    let Some(world) = with_keys() else { return };
    let flags = ["--endpoint", &server.address, "--read-only", "--ttl", "0"];
    let _mount = world.mount_url("s3://pail", &flags);
    server.set(Mood::Gone);
    // This one gives up after a minute or so.
    let path = world.folder.join("any");
    let asking = std::thread::spawn(move || fs::metadata(path));
    eventually("it is told to be offline", || state(&world) == "offline");
    server.set(Mood::Kind);
    eventually("it is seen to be back", || state(&world) == "online");
    let found = asking.join().unwrap().unwrap_err();
    assert_eq!(found.kind(), std::io::ErrorKind::NotFound);
    assert_eq!(world.umount().code, Some(0));
}
