//! Faults of keys: none, half of one, files that do not say them, and services that do not give them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::fault::{Fault, Patient, SECRET, Verdict, fault, file, text};
use super::way::asking;
use crate::server::{Mood, Server};
use crate::world::World;

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        words: &["no keys are known", "AWS_ACCESS_KEY_ID"],
        ..fault("no credentials", "credentials", |world| without(world, &[]))
    },
    Fault {
        words: &["no AWS profile nobody"],
        ..fault("no such profile", "credentials", |world| {
            without(world, &["--profile", "nobody"])
        })
    },
    Fault {
        words: &["AWS_SECRET_ACCESS_KEY is not set"],
        ..fault("a key without its secret", "credentials", |mut world| {
            world.set("AWS_ACCESS_KEY_ID", "id");
            without(world, &[])
        })
    },
    Fault {
        words: &["default", "aws_secret_access_key"],
        ..fault("a profile without a secret", "credentials", |world| {
            with_file(world, "[default]\naws_access_key_id = a\n", 0o600)
        })
    },
    Fault {
        words: &["the first is line 2", "name = value"],
        ..fault(
            "a file of credentials that says nothing",
            "credentials-file",
            |world| {
                let text =
                    "[default]\nhunter2\naws_access_key_id = a\naws_secret_access_key = hunter2\n";
                with_file(world, text, 0o600)
            },
        )
    },
    Fault {
        verdict: Verdict::Warn,
        words: &["others can read the keys", "chmod 600"],
        ..fault(
            "a file of credentials that others can read",
            "credentials-file",
            |world| {
                let text = "[default]\naws_access_key_id = a\naws_secret_access_key = hunter2\n";
                with_file(world, text, 0o644)
            },
        )
    },
    Fault {
        words: &["InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"],
        ..fault("a key that is not known", "list", |world| {
            moody(world, Mood::Unknown)
        })
    },
    Fault {
        words: &["SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"],
        ..fault("a wrong secret", "list", |world| moody(world, Mood::Wrong))
    },
    Fault {
        words: &["ExpiredToken", "get new keys"],
        ..fault("a token that has expired", "list", |mut world| {
            world.set("AWS_SESSION_TOKEN", SECRET);
            moody(world, Mood::Expired)
        })
    },
    Fault {
        words: &[
            "no credentials",
            "ended with exit status: 3",
            "run it by hand",
        ],
        ..fault("a credential_process that fails", "list", |mut world| {
            let config = file(
                &world,
                "config",
                "[default]\ncredential_process = sh -c 'exit 3'\n",
            );
            world.set("AWS_CONFIG_FILE", &config);
            without(world, &[])
        })
    },
    Fault {
        words: &["no credentials", "/no/such/token", "AWS_PROFILE"],
        ..fault("a web identity without its token", "list", |mut world| {
            world.set("AWS_WEB_IDENTITY_TOKEN_FILE", "/no/such/token");
            world.set("AWS_ROLE_ARN", "arn:aws:iam::1:role/x");
            without(world, &[])
        })
    },
];

/// At a server that is well, with no keys but those that the world has.
fn without(world: World, more: &[&str]) -> Patient {
    let server = Server::start(Mood::Kind);
    let at = ["s3://pail", "--endpoint", &server.address];
    Patient::new(world, &[&at, more].concat()).keeping(server)
}

fn with_file(mut world: World, content: &str, mode: u32) -> Patient {
    let path = world.path("credentials");
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    world.set("AWS_SHARED_CREDENTIALS_FILE", &text(path));
    without(world, &[])
}

fn moody(world: World, mood: Mood) -> Patient {
    let server = Server::start(mood);
    asking(world, &server.address).keeping(server)
}
