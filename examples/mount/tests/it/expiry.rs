//! A mount whose keys live for three seconds: those of a role, which is taken with those of the machine.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cloudmount::store::{GetOptions, Key, MemoryStore, StoreExt as _};
use cloudmount::vfs::{BoxFuture, Clock, SystemClock};
use cloudmount_testkit::loopback::{Handler, Loopback, Request, Response};
use cloudmount_testkit::s3_server::{BUCKET, Keys};
use cloudmount_testkit::{Dialect, S3Server};

use crate::world::{World, eventually};

/// How long a key is taken.
const LIFE: Duration = Duration::from_secs(3);

/// Keys that are outlived.
const OUTLIVED: usize = 5;

/// What each file holds: more than is sent in one piece.
const FILE_BYTES: usize = 3 << 20;

/// Hands out the keys of the machine, and of the role to who has such a key.
struct Services {
    keys: Arc<Keys>,
    clock: Arc<SystemClock>,
    /// Whether it tells how long keys really live; else an hour.
    is_honest: AtomicBool,
}

impl Services {
    /// A key, and when it is told to end.
    fn key(&self) -> (String, String) {
        let key = format!("KEY{}", self.keys.given());
        self.keys.give(&key, &key, self.clock.now() + LIFE);
        let life = match self.is_honest.load(Ordering::SeqCst) {
            true => LIFE,
            false => Duration::from_secs(3600),
        };
        let end = self.clock.wall().secs() + i64::try_from(life.as_secs()).unwrap();
        (key, utc(end))
    }

    fn answer(&self, request: &Request) -> Response {
        let role = "/latest/meta-data/iam/security-credentials/";
        match (request.method.as_str(), request.path.as_str()) {
            ("PUT", "/latest/api/token") => Response::new(200).body("proof"),
            ("GET", path) if path == role => Response::new(200).body("machine"),
            ("GET", path) if path.starts_with(role) => {
                let end = utc(self.clock.wall().secs() + 3);
                Response::new(200).body(format!(
                    r#"{{"Code":"Success","AccessKeyId":"machine","SecretAccessKey":"s","Token":"t","Expiration":"{end}"}}"#
                ))
            }
            ("POST", "/") => {
                let signed = request.header("authorization").unwrap_or_default();
                if !signed.contains("Credential=machine/") {
                    return Response::new(403);
                }
                let (key, end) = self.key();
                Response::new(200).body(format!(
                    "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>{key}</AccessKeyId>\
                     <SecretAccessKey>s</SecretAccessKey><SessionToken>{key}</SessionToken>\
                     <Expiration>{end}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
                ))
            }
            _ => Response::new(404),
        }
    }
}

/// As `2026-01-01T00:00:00Z`.
fn utc(secs: i64) -> String {
    let time = std::process::Command::new("date")
        .args(["-u", "-d", &format!("@{secs}"), "+%Y-%m-%dT%H:%M:%SZ"])
        .output()
        .unwrap();
    String::from_utf8(time.stdout).unwrap().trim().to_owned()
}

fn content(number: usize) -> Vec<u8> {
    let byte = u8::try_from(number % 251).unwrap();
    vec![byte; FILE_BYTES]
}

/// Writes and reads one file after the other until so many keys were given.
fn work(folder: &Path, keys: &Keys, mut number: usize, until: usize) -> usize {
    while keys.given() < until {
        let path = folder.join(format!("file-{number}"));
        fs::write(&path, content(number)).unwrap();
        // One that was uploaded a while ago, and this one.
        for read in [number / 2, number] {
            let found = fs::read(folder.join(format!("file-{read}"))).unwrap();
            assert!(found == content(read), "file {read}");
        }
        // The probe may be under way, and have objects of its own there.
        let names = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        let ours = names.filter(|name| name.to_string_lossy().starts_with("file-"));
        assert_eq!(ours.count(), number + 1);
        number += 1;
        std::thread::park_timeout(Duration::from_millis(50));
    }
    number
}

#[test]
fn a_mount_outlives_the_keys_of_its_role_without_an_error() {
    let Some(mut world) = World::new() else {
        return;
    };
    let clock = Arc::new(SystemClock::new());
    let keys = Arc::new(Keys::default());
    let bucket = Arc::new(MemoryStore::new(Arc::clone(&clock) as _));
    let time = Arc::clone(&clock) as _;
    let given = Some(Arc::clone(&keys));
    let server = S3Server::with_keys(Arc::clone(&bucket) as _, Dialect::Plain, time, given);
    let server = server.unwrap();
    let services = Arc::new(Services {
        keys: Arc::clone(&keys),
        clock,
        is_honest: AtomicBool::new(true),
    });
    let asked = Arc::clone(&services);
    let handler: Handler = Arc::new(move |request| {
        let answer = asked.answer(&request);
        Box::pin(std::future::ready(answer)) as BoxFuture<'static, Response>
    });
    let loopback = Loopback::start(handler).unwrap();
    let config = world.path("aws-config");
    let profile = "[default]\nrole_arn = arn:r\ncredential_source = Ec2InstanceMetadata\n";
    fs::write(&config, profile).unwrap();
    world.set("AWS_CONFIG_FILE", config.to_str().unwrap());
    world.set("AWS_EC2_METADATA_SERVICE_ENDPOINT", &loopback.origin());
    world.set("AWS_ENDPOINT_URL_STS", &loopback.origin());
    let endpoint = server.endpoint();
    let url = format!("s3://{BUCKET}");
    let flags = ["--endpoint", &endpoint, "--kept-limit", "0", "--ttl", "0"];
    let mut mount = world.mount_url(&url, &flags);
    let count = work(&world.folder, &keys, 0, keys.given() + OUTLIVED);
    // From now on only the server says that they have ended.
    services.is_honest.store(false, Ordering::SeqCst);
    let count = work(&world.folder, &keys, count, keys.given() + OUTLIVED);
    eventually("all is uploaded", || {
        world.status()["uploads"]["totals"]["keys"] == 0
    });
    let status = world.status();
    assert_eq!(status["connection"]["state"], "online", "{status}");
    assert_eq!(status["uploads"]["totals"]["failed"], 0, "{status}");
    assert_eq!(world.umount().code, Some(0), "{}", mount.errors());
    assert_eq!(mount.end(), Some(0));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for number in 0..count {
        let key = Key::new(format!("file-{number}")).unwrap();
        let read = runtime.block_on(bucket.get_bytes(&key, GetOptions::default()));
        assert!(read.unwrap()[..] == content(number)[..], "file {number}");
    }
    println!("{count} files, {} keys", keys.given());
    assert!(count > OUTLIVED);
}
