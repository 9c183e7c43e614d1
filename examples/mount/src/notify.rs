//! Tells the service manager how far a mount is, by the protocol of `sd_notify(3)`: datagrams of lines
//! to the socket that `NOTIFY_SOCKET` names. Without that variable nobody is told.

use std::os::unix::net::{SocketAddr, UnixDatagram};

use cloudmount::Environment;

/// How far it is.
#[derive(Clone, Debug)]
pub(crate) enum Stage<'t> {
    /// It can be used.
    Ready(&'t str),
    /// It is not what it was, and is being mended.
    Mending(&'t str),
    /// It ends, which takes as long as uploads do.
    Stopping,
}

/// Tells it. That nobody listens ends no mount.
pub(crate) fn tell(environment: &Environment, stage: &Stage<'_>) {
    let Some(name) = environment.get("NOTIFY_SOCKET") else {
        return;
    };
    let pid = std::process::id();
    let text = match stage {
        Stage::Ready(what) => format!("READY=1\nMAINPID={pid}\nSTATUS={what}\n"),
        Stage::Mending(why) => format!("STATUS={why}\n"),
        Stage::Stopping => "STOPPING=1\nSTATUS=uploading what waits\n".to_owned(),
    };
    drop(send(name, &text));
}

fn send(name: &str, text: &str) -> std::io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.send_to_addr(text.as_bytes(), &address(name)?)?;
    Ok(())
}

/// A name that begins with @ is one of the abstract namespace (`unix(7)`).
#[cfg(target_os = "linux")]
fn address(name: &str) -> std::io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt as _;
    match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(name),
    }
}

/// Only Linux has names that are no paths.
#[cfg(not(target_os = "linux"))]
fn address(name: &str) -> std::io::Result<SocketAddr> {
    SocketAddr::from_pathname(name)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::linux::net::SocketAddrExt as _;

    use super::*;

    #[test]
    fn names_of_both_kinds_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let plain = path.to_str().unwrap().to_owned();
        let hidden = format!("cloudmount-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&hidden).unwrap();
        for (name, socket) in [
            (plain, UnixDatagram::bind(&path).unwrap()),
            (
                format!("@{hidden}"),
                UnixDatagram::bind_addr(&address).unwrap(),
            ),
        ] {
            let environment = Environment::of([("NOTIFY_SOCKET", &*name)]);
            tell(&environment, &Stage::Ready("mounted"));
            let mut text = [0; 100];
            let length = socket.recv(&mut text).unwrap();
            let text = String::from_utf8_lossy(&text[..length]);
            let expected = format!("READY=1\nMAINPID={}\nSTATUS=mounted\n", std::process::id());
            assert_eq!(text, expected);
            tell(&Environment::default(), &Stage::Stopping);
            tell(
                &Environment::of([("NOTIFY_SOCKET", "/no/such")]),
                &Stage::Stopping,
            );
        }
    }
}
