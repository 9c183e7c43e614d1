//! Keys from the keychain of a desktop: a real Secret Service, on a bus of its own.

use std::fs;

use crate::server::{Mood, Server};
use crate::world::{Done, World, skipped};

/// Runs `line` of a shell in a session that has a bus, and a keychain that is unlocked; `$0` is the program, `$@` the rest.
fn in_session(world: &World, line: &str, arguments: &[&str]) -> Done {
    let mut session = world.command("dbus-run-session");
    let line = format!(
        "printf password | gnome-keyring-daemon --unlock --components=secrets > \"$HOME/keychain\"\n\
         trap 'kill $(pidof -s gnome-keyring-daemon) || true' EXIT\n{line}"
    );
    session
        .args(["--", "sh", "-ec", &line])
        .arg(env!("CARGO_BIN_EXE_cloudmount"))
        .args(arguments);
    world.end_of(session)
}

fn has(program: &str) -> bool {
    let places = ["/usr/bin", "/bin", "/usr/local/bin"];
    (places.iter()).any(|place| fs::exists(format!("{place}/{program}")).is_ok_and(|is| is))
}

/// A world with a server, where a keychain can be; the endpoint is said, and no key.
fn world() -> Option<(World, Server)> {
    if !has("dbus-run-session") || !has("gnome-keyring-daemon") {
        skipped("it needs dbus-run-session and gnome-keyring-daemon");
        return None;
    }
    let mut world = World::new()?;
    let server = Server::start(Mood::Kind);
    world.set("AWS_ENDPOINT_URL", &server.address);
    world.set("AWS_EC2_METADATA_DISABLED", "true");
    Some((world, server))
}

#[test]
fn a_key_of_the_keychain_is_used_and_shown_nowhere() {
    let Some((world, server)) = world() else {
        return;
    };
    let done = in_session(
        &world,
        "printf 'AKIAKEYCHAIN\\nhunter2\\nhunter-token\\n' | \"$0\" credentials store work\n\
         \"$0\" doctor --keychain work --write \"$@\"\n\
         \"$0\" credentials remove work\n\
         ! \"$0\" doctor --keychain work \"$@\"\n\
         ! \"$0\" credentials remove work",
        &["s3://pail"],
    );
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(
        server.asked_with().as_deref(),
        Some("hunter-token"),
        "{done:?}"
    );
    let said = format!("{}{}", done.out, done.err);
    assert!(!said.contains("hunter"), "{said}");
    assert!(
        said.contains("the keychain has AKIAKEYCHAIN as work"),
        "{said}"
    );
    assert!(said.contains("the entry work of the keychain"), "{said}");
    // What is not there any more is told with what to do.
    assert!(
        said.contains("run cloudmount credentials store work"),
        "{said}"
    );
}

#[test]
fn without_a_keychain_it_is_told_what_to_do() {
    let Some((world, _server)) = world() else {
        return;
    };
    let done = world.run(&["doctor", "--keychain", "work", "s3://pail"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    let said = format!("{}{}", done.out, done.err);
    assert!(said.contains("start a Secret Service"), "{said}");
}

#[test]
fn a_key_that_is_no_key_is_not_stored() {
    let Some((world, _server)) = world() else {
        return;
    };
    let done = in_session(
        &world,
        "! echo hunter2 | \"$0\" credentials store half\n! \"$0\" credentials remove half",
        &[],
    );
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.err.contains("each on a line of its own"), "{done:?}");
    assert!(done.err.contains("no entry half"), "{done:?}");
    assert!(!done.err.contains("hunter2"), "{done:?}");
}
