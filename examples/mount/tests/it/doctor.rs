//! `doctor` with something planted that is wrong: it names that, and nothing else.

use std::fs;
use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;

use rustix::process::Signal;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;

use crate::mistakes::{is_root, nobody};
use crate::server::{Mood, Server};
use crate::world::{Done, World, skipped};

/// Of nobody whom anybody trusts.
const CERTIFICATE: &[u8] = include_bytes!("../../../../crates/store/tests/tls/certificate.pem");
const KEY: &[u8] = include_bytes!("../../../../crates/store/tests/tls/key.pem");

/// A world with keys in the environment.
fn world() -> Option<World> {
    let mut world = World::new()?;
    world.set("AWS_ACCESS_KEY_ID", "id");
    world.set("AWS_SECRET_ACCESS_KEY", "hunter2");
    Some(world)
}

fn findings(done: &Done) -> Vec<Value> {
    let report: Value = match serde_json::from_str(&done.out) {
        Ok(report) => report,
        Err(error) => unreachable!("{error}: {done:?}"),
    };
    report["findings"].as_array().unwrap().clone()
}

/// It names one fault, by this check and these words, and no other.
fn names(done: &Done, check: &str, verdict: &str, words: &[&str]) {
    assert!(!done.out.contains("hunter2"), "{done:?}");
    let code = i32::from(verdict == "fail");
    assert_eq!(done.code, Some(code), "{done:?}");
    let found = findings(done);
    let fault = found
        .iter()
        .find(|one| one["check"] == check && one["verdict"] == verdict);
    let Some(fault) = fault else {
        unreachable!("{check} {verdict}: {done:?}");
    };
    let text = format!("{} {}", fault["found"], fault["remedy"]);
    for word in words {
        assert!(text.contains(word), "{word:?} in {text}");
    }
    assert!(fault["remedy"].is_string(), "what to do: {fault}");
    for other in &found {
        let is_named = other["verdict"] != "fail" || other["check"] == check;
        assert!(is_named, "not only {check}: {other}");
    }
}

fn doctor(world: &World, arguments: &[&str]) -> Done {
    let mut program = world.program();
    program.args(["doctor", "--json"]).args(arguments);
    world.end_of(program)
}

/// The doctor after `line` of a shell with mounts of its own; `$1` is the world's folder `home`.
fn doctor_after(world: &World, line: &str, arguments: &[&str]) -> Done {
    let mut hidden = world.command("unshare");
    let line = format!("{line}; shift; exec \"$0\" doctor --json \"$@\"");
    hidden.args(["--mount", "sh", "-ec", &line]);
    hidden.arg(env!("CARGO_BIN_EXE_cloudmount"));
    hidden.arg(world.path("home")).args(arguments);
    world.end_of(hidden)
}

/// A port that speaks TLS, and tells whoever does not so.
fn tls() -> u16 {
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE).unwrap();
    let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            while connection.is_handshaking() {
                if connection.complete_io(&mut stream).is_err() {
                    let _ = connection.write_tls(&mut stream);
                    break;
                }
            }
        }
    });
    port
}

#[test]
fn all_is_well_with_a_good_mount() {
    let Some(world) = world() else { return };
    let server = Server::start(Mood::Kind);
    server.put("a/file", b"x".to_vec());
    let folder = world.folder.to_str().unwrap();
    let good = ["s3://pail/a", folder, "--endpoint", &server.address];
    let done = doctor(&world, &good);
    assert_eq!(done.code, Some(0), "{done:?}");
    let verdict = |done: &Done, check: &str| {
        let found = findings(done);
        let one = found.iter().find(|one| one["check"] == check);
        assert!(one.is_some(), "{check}: {done:?}");
        one.unwrap()["verdict"].clone()
    };
    for check in [
        "kernel",
        "device",
        "limits",
        "helper",
        "mount-point",
        "staging-folder",
        "location",
        "name",
        "connection",
        "tls",
        "credentials",
        "list",
    ] {
        assert_ne!(verdict(&done, check), "fail", "{check}: {done:?}");
        assert_ne!(verdict(&done, check), "skipped", "{check}: {done:?}");
    }
    for check in ["write", "delete", "capabilities"] {
        assert_eq!(verdict(&done, check), "skipped", "{done:?}");
    }
    assert_eq!(server.count(), 1, "nothing is written unasked");
    // Written, read, and removed.
    let done = doctor(&world, &[&good[..], &["--write"]].concat());
    assert_eq!(done.code, Some(0), "{done:?}");
    for check in ["write", "delete"] {
        assert_eq!(verdict(&done, check), "ok", "{done:?}");
    }
    assert_ne!(verdict(&done, "capabilities"), "skipped", "{done:?}");
    assert_eq!(server.count(), 1, "nothing is left");
    assert!(server.object("a/file").is_some());
    // For people, the same.
    let text = world.run(&[&["doctor"][..], &good].concat());
    assert_eq!(text.code, Some(0), "{text:?}");
    assert!(
        text.out
            .contains("ok    credentials: key id by AWS_ACCESS_KEY_ID"),
        "{}",
        text.out
    );
    // Other kinds of buckets, and none.
    let url = world.url();
    for arguments in [&["memory:", folder][..], &[&url], &[]] {
        let done = doctor(&world, arguments);
        assert_eq!(done.code, Some(0), "{done:?}");
    }
    assert!(world.is_clean());
}

#[test]
fn faults_of_the_bucket() {
    let Some(world) = world() else { return };
    let server = Server::start(Mood::Kind);
    let at = ["s3://pail", "--endpoint", &server.address];
    for (mood, words) in [
        (
            Mood::Elsewhere,
            &["region eu-2, not us-east-1", "--region"][..],
        ),
        (Mood::Unknown, &["InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"]),
        (
            Mood::Wrong,
            &["SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"],
        ),
        (Mood::Empty, &["NoSuchBucket", "create the bucket"]),
    ] {
        server.set(mood);
        names(&doctor(&world, &at), "list", "fail", words);
    }
    server.set(Mood::Forbidding);
    let write = [&at[..], &["--write"]].concat();
    names(
        &doctor(&world, &write),
        "write",
        "fail",
        &["AccessDenied", "s3:PutObject"],
    );
    server.set(Mood::Kind);
    let odd = ["s3://pail/a%20b", "--endpoint", &server.address];
    names(
        &doctor(&world, &odd),
        "location",
        "warn",
        &["a%20b", "escape", "nothing is decoded"],
    );
    names(
        &doctor(&world, &["pail"]),
        "location",
        "fail",
        &["no scheme", "s3://BUCKET"],
    );
    let ago = Command::new("date")
        .env("LC_ALL", "C")
        .args(["-u", "-d", "1 hour ago", "+%a, %d %b %Y %H:%M:%S GMT"])
        .output()
        .unwrap();
    server.date(String::from_utf8(ago.stdout).unwrap().trim());
    let words = ["min", "ahead of the server's: requests", "timedatectl"];
    let done = doctor(&world, &at);
    names(&done, "clock", "warn", &words);
    // The test itself takes time.
    assert!(
        ["59 min 5", "60 min", "61 min"]
            .iter()
            .any(|one| done.out.contains(one)),
        "{done:?}"
    );
}

#[test]
fn faults_on_the_way() {
    let Some(mut world) = world() else { return };
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let server = Server::start(Mood::Kind);
    let plain = server.address.strip_prefix("http://").unwrap();
    let tls = tls();
    for (endpoint, check, words) in [
        (
            format!("http://{closed}"),
            "connection",
            &["nobody answers", "check the port"][..],
        ),
        (
            "https://no-such-host.invalid".to_owned(),
            "name",
            &["no-such-host.invalid", "--endpoint"],
        ),
        (
            format!("https://{plain}"),
            "tls",
            &["speaks plain http, not TLS", "write http://"],
        ),
        (
            format!("http://127.0.0.1:{tls}"),
            "tls",
            &["speaks TLS, not plain http", "write https://"],
        ),
        (
            format!("https://localhost:{tls}"),
            "tls",
            &["certificate", "AWS_CA_BUNDLE"],
        ),
        (
            "http://example.com".to_owned(),
            "settings",
            &["not encrypted", "--allow-http"],
        ),
        (
            "https://host?x".to_owned(),
            "endpoint",
            &["a query", "https://s3.example.com"],
        ),
    ] {
        let done = doctor(&world, &["s3://pail", "--endpoint", &endpoint]);
        names(&done, check, "fail", words);
    }
    world.set("AWS_CA_BUNDLE", "/no/such/file");
    let done = doctor(&world, &["s3://pail", "--endpoint", &server.address]);
    names(
        &done,
        "settings",
        "fail",
        &["/no/such/file", "AWS_CA_BUNDLE"],
    );
}

#[test]
fn faults_of_credentials() {
    let Some(mut world) = World::new() else {
        return;
    };
    let server = Server::start(Mood::Kind);
    let at = ["s3://pail", "--endpoint", &server.address];
    names(
        &doctor(&world, &at),
        "credentials",
        "fail",
        &["no keys are known", "AWS_ACCESS_KEY_ID"],
    );
    let profile = [&at[..], &["--profile", "nobody"]].concat();
    names(
        &doctor(&world, &profile),
        "credentials",
        "fail",
        &["no AWS profile nobody"],
    );
    let file = world.path("credentials");
    world.set("AWS_SHARED_CREDENTIALS_FILE", file.to_str().unwrap());
    fs::write(
        &file,
        "[default]\nhunter2\naws_access_key_id = a\naws_secret_access_key = hunter2\n",
    )
    .unwrap();
    let words = ["credentials", "the first is line 2", "name = value"];
    names(&doctor(&world, &at), "credentials-file", "fail", &words);
    fs::write(
        &file,
        "[default]\naws_access_key_id = a\naws_secret_access_key = hunter2\n",
    )
    .unwrap();
    names(
        &doctor(&world, &at),
        "credentials-file",
        "warn",
        &["others can read", "chmod 600"],
    );
    fs::write(&file, "[default]\naws_access_key_id = a\n").unwrap();
    let words = ["default", "aws_secret_access_key"];
    names(&doctor(&world, &at), "credentials", "fail", &words);
    world.set("AWS_ACCESS_KEY_ID", "id");
    names(
        &doctor(&world, &at),
        "credentials",
        "fail",
        &["AWS_SECRET_ACCESS_KEY is not set"],
    );
}

#[test]
fn faults_of_the_mount_point() {
    let Some(world) = World::new() else { return };
    let at = |name: &str, verdict: &str, words: &[&str]| {
        let path = world.path(name);
        let done = doctor(&world, &["memory:", path.to_str().unwrap()]);
        names(&done, "mount-point", verdict, words);
    };
    at("missing", "fail", &["does not exist", "mkdir -p"]);
    fs::write(world.path("file"), "x").unwrap();
    at("file", "fail", &["not a folder"]);
    fs::create_dir_all(world.path("full/of")).unwrap();
    at("full", "fail", &["not empty", "--nonempty"]);
    fs::create_dir_all(world.path("home/cloudmount/mnt")).unwrap();
    at(
        "home/cloudmount/mnt",
        "fail",
        &["one in the other", "another mount point"],
    );
    let mut mount = world.mount(&[]);
    at("mnt", "warn", &["mounted by cloudmount"]);
    mount.signal(Signal::KILL);
    mount.end();
    at("mnt", "warn", &["not connected", "mount again"]);
}

#[test]
fn faults_of_the_disk() {
    let Some(world) = World::new() else { return };
    if !is_root() {
        return;
    }
    let folder = world.folder.to_str().unwrap();
    let at = ["memory:", folder];
    let full =
        "mount -t tmpfs -o size=64k none \"$1\"; head -c 100000 /dev/zero > \"$1/x\" || true";
    let done = doctor_after(&world, full, &at);
    assert_eq!(done.code, Some(1), "{done:?}");
    let found = findings(&done);
    for (check, words) in [
        ("staging-space", ["the disk is full", "make room"]),
        ("staging-folder", ["cannot be written", "make room"]),
    ] {
        let one = found.iter().find(|one| one["check"] == check).unwrap();
        let text = format!("{} {}", one["found"], one["remedy"]);
        assert!(one["verdict"] == "fail", "{done:?}");
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    }
    let small = "mount -t tmpfs -o size=500m none \"$1\"";
    names(
        &doctor_after(&world, small, &at),
        "staging-space",
        "warn",
        &["little room"],
    );
    names(
        &doctor_after(&world, small, &at),
        "staging-filesystem",
        "warn",
        &["tmpfs"],
    );
    let read_only = "mount -t tmpfs -o ro,size=2g none \"$1\"";
    let done = doctor_after(&world, read_only, &at);
    names(
        &done,
        "staging-folder",
        "fail",
        &["cannot be written", "--cache-dir"],
    );
    let cache = [&at[..], &["--disk-cache", "/proc/none"]].concat();
    names(
        &doctor(&world, &cache),
        "cache-folder",
        "fail",
        &["/proc", "--disk-cache"],
    );
    let other = "mount -t tmpfs none \"$3\"";
    names(
        &doctor_after(&world, other, &at),
        "mount-point",
        "fail",
        &["a mount of tmpfs"],
    );
    assert!(world.is_clean());
}

#[test]
fn faults_of_the_machine() {
    let Some(world) = World::new() else { return };
    if !is_root() {
        return;
    }
    let folder = world.folder.to_str().unwrap();
    let at = ["memory:", folder];
    let done = doctor_after(&world, "mount -t tmpfs none /dev", &at);
    names(
        &done,
        "device",
        "fail",
        &["there is no /dev/fuse", "modprobe fuse"],
    );
    let done = doctor_after(&world, "ulimit -n 256", &at);
    names(&done, "limits", "fail", &["only 256 files", "ulimit -Hn"]);
    let done = doctor_after(&world, "mount --bind /dev/null /proc/filesystems", &at);
    names(
        &done,
        "kernel",
        "warn",
        &["without the driver fuse", "modprobe"],
    );
    let user = |path: &str, more: &[&str]| {
        let mut command = nobody(&world, path);
        command.args(["doctor", "--json"]).args(at).args(more);
        world.end_of(command)
    };
    names(
        &user("/nowhere", &[]),
        "helper",
        "fail",
        &["fusermount3 is not installed", "apt install fuse3"],
    );
    let allowed = fs::read_to_string("/etc/fuse.conf")
        .is_ok_and(|text| text.lines().any(|line| line.trim() == "user_allow_other"));
    if allowed {
        skipped("this machine allows everybody to let others in");
    } else {
        let done = user("/usr/bin:/bin", &["--allow-other"]);
        names(
            &done,
            "allow-other",
            "fail",
            &["user_allow_other", "/etc/fuse.conf"],
        );
    }
    let done = user("/usr/bin:/bin", &["--state-dir", "/proc/none"]);
    names(&done, "staging-folder", "fail", &["/proc", "--cache-dir"]);
    let mut command = nobody(&world, "/usr/bin:/bin");
    command.args(["doctor", "--json", "memory:", "/root"]);
    let done = world.end_of(command);
    names(&done, "mount-point", "fail", &["/root"]);
    assert!(world.is_clean());
}
