//! Mistakes: each is answered in one or two lines that say what to do, with an exit code that is not
//! 0, and leaves no mount and no process.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::server::{Mood, Server};
use crate::world::{World, skipped};

pub(crate) fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        skipped("not root");
    }
    is_root
}

#[test]
fn mount_points_that_will_not_do() {
    let Some(world) = World::new() else { return };
    let url = world.url();
    fs::write(world.path("file"), "x").unwrap();
    fs::create_dir_all(world.path("full/of")).unwrap();
    for (name, words) in [
        ("missing", &["does not exist", "mkdir"][..]),
        ("missing/deeper", &["does not exist", "mkdir -p"]),
        ("file", &["not a directory", "empty directory"]),
        ("full", &["not empty", "--nonempty"]),
    ] {
        let at = world.path(name);
        world
            .run(&["mount", &url, at.to_str().unwrap()])
            .is_mistake(words);
        assert!(world.is_clean(), "{name}");
    }
    let mut program = world.program();
    program
        .args(["mount", "--nonempty", &url])
        .arg(world.path("full"));
    let mut mount = world.mounted_by(program);
    assert!(!world.path("full/of").exists());
    let twice = world.run(&["mount", "memory:", world.path("full").to_str().unwrap()]);
    twice.is_mistake(&["mounted there already", "unmount it first"]);
    let folder = world.folder.to_str().unwrap();
    let shared = world.run(&["mount", &url, folder]);
    shared.is_mistake(&["another mount of this bucket", "--cache-dir"]);
    let done = world.run(&["umount", world.path("full").to_str().unwrap()]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(mount.end(), Some(0));
    assert!(world.path("full/of").exists());
    assert!(world.is_clean());
}

#[test]
fn buckets_that_cannot_be_used() {
    let Some(mut world) = World::new() else {
        return;
    };
    let folder = world.folder.to_str().unwrap().to_owned();
    let said = |world: &World, url: &str, more: &[&str], words: &[&str]| {
        let arguments = [&["mount", url, &folder][..], more].concat();
        world.run(&arguments).is_mistake(words);
        assert!(world.is_clean(), "{url}");
    };
    said(&world, "bucket", &[], &["no scheme", "s3://BUCKET/PREFIX"]);
    said(&world, "ftp://bucket", &[], &["unknown scheme"]);
    said(
        &world,
        "https://s3.example.com/bucket",
        &[],
        &["endpoint", "s3://BUCKET/PREFIX"],
    );
    said(&world, "s3://", &[], &["bucket is missing"]);
    said(
        &world,
        "file:///no/such/folder",
        &[],
        &["/no/such/folder", "create the folder"],
    );
    said(&world, "gs://bucket", &[], &["gcs"]);
    world.set("AWS_ACCESS_KEY_ID", "id");
    said(
        &world,
        "s3://pail",
        &[],
        &["AWS_SECRET_ACCESS_KEY is not set"],
    );
    world.set("AWS_SECRET_ACCESS_KEY", "hunter2");
    let nobody = ["--endpoint", "http://127.0.0.1:1"];
    said(&world, "s3://pail", &nobody, &["127.0.0.1:1", "--endpoint"]);
    let open = ["--endpoint", "http://example.com"];
    said(
        &world,
        "s3://pail",
        &open,
        &["not encrypted", "--allow-http"],
    );
    said(
        &world,
        "s3://pail",
        &["--profile", "nobody"],
        &["no AWS profile nobody"],
    );
    let server = Server::start(Mood::Empty);
    let endpoint = ["--endpoint", &server.address];
    said(
        &world,
        "s3://pail",
        &endpoint,
        &[&server.address, "create the bucket"],
    );
    for mood in [Mood::Unknown, Mood::Wrong] {
        server.set(mood);
        said(&world, "s3://pail", &endpoint, &["AWS_ACCESS_KEY_ID"]);
    }
    server.set(Mood::Kind);
    world.mount_url("s3://pail", &endpoint);
}

#[test]
fn settings_that_make_no_sense() {
    let Some(mut world) = World::new() else {
        return;
    };
    let folder = world.folder.to_str().unwrap().to_owned();
    let config = world.path("config.toml");
    let config = config.to_str().unwrap();
    let said = |world: &World, more: &[&str], words: &[&str]| {
        let arguments = [&["mount", "memory:", &folder][..], more].concat();
        world.run(&arguments).is_mistake(words);
        assert!(world.is_clean());
    };
    said(&world, &["--ttl", "soon"], &["--ttl: \"soon\"", "500ms"]);
    said(
        &world,
        &["--uploads", "0"],
        &["--uploads", "from 1 to 1024"],
    );
    said(&world, &["--log", "=="], &["--log", "debug"]);
    said(
        &world,
        &["--config", config],
        &["cannot read", "config.toml"],
    );
    fs::write(config, "uplaods = 3\n").unwrap();
    said(
        &world,
        &["--config", config],
        &["settings file: uplaods", "did you mean uploads?"],
    );
    world.set("CLOUDMOUNT_CACHE_MEMORY", "lots");
    said(&world, &[], &["CLOUDMOUNT_CACHE_MEMORY", "256MiB"]);
}

/// Somebody else could answer there in the name of the mount.
#[test]
fn a_socket_folder_that_is_open_to_others() {
    let Some(world) = World::new() else { return };
    let sockets = world.path("run/cloudmount");
    fs::create_dir(&sockets).unwrap();
    fs::set_permissions(&sockets, fs::Permissions::from_mode(0o755)).unwrap();
    let done = world.run(&["mount", "memory:", world.folder.to_str().unwrap()]);
    done.is_mistake(&["not a folder of yours alone", "XDG_RUNTIME_DIR"]);
    assert!(world.is_clean());
}

#[test]
fn help_tells_a_newcomer_how_to_begin() {
    let Some(world) = World::new() else { return };
    for (arguments, parts) in [
        (
            ["--help"].as_slice(),
            ["cloudmount mount file:///srv/bucket", "umount"],
        ),
        (&["mount", "--help"], ["AWS_ACCESS_KEY_ID", "--daemon"]),
    ] {
        let done = world.run(arguments);
        assert_eq!(done.code, Some(0));
        for part in parts {
            assert!(done.out.contains(part), "{part} in {}", done.out);
        }
        let longest = done.out.lines().map(|line| line.chars().count()).max();
        assert!(longest <= Some(100), "{longest:?}");
    }
}

#[test]
fn a_machine_without_fuse() {
    let Some(world) = World::new() else { return };
    if !is_root() {
        return;
    }
    let mut hidden = world.command("unshare");
    let line = r#"mount -t tmpfs none /dev && exec "$0" mount memory: "$1""#;
    hidden.args([
        "--mount",
        "sh",
        "-c",
        line,
        env!("CARGO_BIN_EXE_cloudmount"),
    ]);
    hidden.arg(&world.folder);
    world
        .end_of(hidden)
        .is_mistake(&["no /dev/fuse", "modprobe fuse"]);
    assert!(world.is_clean());
}

/// The program as a user without rights, whose programs are found in `path`, on a machine where
/// everybody may open `/dev/fuse`.
pub(crate) fn nobody(world: &World, path: &str) -> Command {
    const NOBODY: &str = "65534";
    const LINE: &str = r#"device=$1; shift
        [ -e "$device" ] || mknod "$device" c 10 229
        chmod 666 "$device" && mount --bind "$device" /dev/fuse && exec "$@""#;
    let open = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    open(&world.path("."), 0o755);
    let program = world.path("program");
    if !program.exists() {
        fs::copy(env!("CARGO_BIN_EXE_cloudmount"), &program).unwrap();
        open(&program, 0o755);
    }
    for folder in ["run", "home", "mnt"] {
        let done = Command::new("chown")
            .arg(NOBODY)
            .arg(world.path(folder))
            .status();
        assert!(done.unwrap().success());
    }
    let mut command = world.command("unshare");
    command
        .args(["--mount", "sh", "-ec", LINE, "sh"])
        .arg(world.path("fuse"));
    command.args([
        "setpriv",
        "--reuid",
        NOBODY,
        "--regid",
        NOBODY,
        "--clear-groups",
    ]);
    command.args(["env", &format!("PATH={path}")]).arg(program);
    command
}

fn as_nobody(world: &World, path: &str, more: &[&str]) -> Command {
    let mut command = nobody(world, path);
    command
        .args(["mount", "memory:"])
        .arg(&world.folder)
        .args(more);
    command
}

#[test]
fn a_user_without_the_helper() {
    let Some(world) = World::new() else { return };
    if !is_root() {
        return;
    }
    let done = world.end_of(as_nobody(&world, "/nowhere", &[]));
    done.is_mistake(&["fusermount3, which is not installed", "apt install fuse3"]);
    assert!(world.is_clean());
}

#[test]
fn a_user_who_may_not_let_others_in() {
    let Some(world) = World::new() else { return };
    if !is_root() {
        return;
    }
    let allowed = fs::read_to_string("/etc/fuse.conf")
        .is_ok_and(|text| text.lines().any(|line| line.trim() == "user_allow_other"));
    if allowed {
        skipped("this machine allows everybody to let others in");
    } else {
        let done = world.end_of(as_nobody(&world, "/usr/bin:/bin", &["--allow-other"]));
        done.is_mistake(&[
            "allow_other is not allowed",
            "user_allow_other to /etc/fuse.conf",
        ]);
        assert!(world.is_clean());
    }
    // Without it, the same user mounts and unmounts. The mount is out of our sight, in the place
    // that was made for it.
    let mut mount = world.mounted_by(as_nobody(&world, "/usr/bin:/bin", &[]));
    let table = fs::read_to_string(format!("/proc/{}/mounts", mount.child.id())).unwrap();
    let point = format!("memory: {} fuse.cloudmount ", world.folder.display());
    assert!(table.contains(&point), "{table}");
    mount.signal(rustix::process::Signal::TERM);
    assert_eq!(mount.end(), Some(0), "{}", mount.errors());
    assert!(world.is_clean());
}
