//! Faults of the bucket: its name, its place, what may be done in it, and what its server keeps to.

use std::sync::Arc;

use cloudmount::store::MemoryStore;
use cloudmount::vfs::SystemClock;
use cloudmount_testkit::{Dialect, S3Server};

use super::fault::{Fault, Patient, Verdict, fault};
use super::way::{asking, with_keys};
use crate::server::{Mood, Server};
use crate::world::World;

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        words: &["no scheme", "s3://BUCKET"],
        ..fault("an address without its scheme", "location", |world| {
            Patient::new(world, &["pail"])
        })
    },
    Fault {
        verdict: Verdict::Warn,
        words: &["a%20b", "escape", "nothing is decoded"],
        ..fault("a prefix with an escape", "location", |world| {
            let server = Server::start(Mood::Kind);
            let at = ["s3://pail/a%20b", "--endpoint", &server.address];
            with_keys(world, &at).keeping(server)
        })
    },
    Fault {
        words: &["NoSuchBucket", "create the bucket"],
        ..fault("no such bucket", "list", |world| moody(world, Mood::Empty))
    },
    Fault {
        words: &["region eu-2, not us-east-1", "--region"],
        ..fault("the bucket is in another region", "list", |world| {
            moody(world, Mood::Elsewhere)
        })
    },
    Fault {
        words: &["AccessDenied", "allow them s3:ListBucket"],
        ..fault("it may not be listed", "list", |world| {
            moody(world, Mood::Unlisted)
        })
    },
    Fault {
        words: &["status 500", "ask whoever runs the store"],
        ..fault("the server is broken", "list", |world| {
            moody(world, Mood::Broken)
        })
    },
    Fault {
        words: &["no answer within 20 s", "check the endpoint"],
        ..fault("the bucket does not answer", "list", |world| {
            moody(world, Mood::Thinking)
        })
    },
    Fault {
        words: &["AccessDenied", "allow them s3:GetObject"],
        ..fault("objects may not be read", "read", |world| {
            moody(world, Mood::Unreadable)
        })
    },
    Fault {
        words: &["does not read ranges", "another server"],
        ..fault("the server does not read ranges", "read", |world| {
            moody(world, Mood::Rangeless)
        })
    },
    Fault {
        verdict: Verdict::Warn,
        words: &["archived", "restore what is to be read"],
        ..fault("objects are archived", "read", |world| {
            moody(world, Mood::Archived)
        })
    },
    Fault {
        words: &["AccessDenied", "allow them s3:PutObject"],
        ..fault("objects may not be written", "write", |world| {
            writing(world, Mood::Forbidding)
        })
    },
    Fault {
        words: &["QuotaExceeded", "quota raised"],
        ..fault("the quota is used up", "write", |world| {
            writing(world, Mood::Full)
        })
    },
    Fault {
        words: &["reads as something else", "this one loses data"],
        ..fault("the server loses what is written", "write", |world| {
            writing(world, Mood::Losing)
        })
    },
    Fault {
        words: &["AccessDenied", "allow them s3:DeleteObject"],
        ..fault("objects may not be removed", "delete", |world| {
            writing(world, Mood::Keeping)
        })
    },
    Fault {
        verdict: Verdict::Warn,
        words: &[
            "passed over in silence",
            "put-if-match",
            "one mount write at a time",
        ],
        ..fault(
            "the server passes over conditions",
            "capabilities",
            |world| {
                let server = speaking(Dialect::PassesOver);
                let at = ["s3://pail", "--endpoint", &server.endpoint(), "--write"];
                with_keys(world, &at).keeping(server)
            },
        )
    },
];

/// A server that speaks so, and is well otherwise.
pub(super) fn speaking(dialect: Dialect) -> S3Server {
    let clock = Arc::new(SystemClock::new());
    let store = Arc::new(MemoryStore::new(Arc::clone(&clock) as _));
    S3Server::start(store, dialect, clock).unwrap()
}

fn moody(world: World, mood: Mood) -> Patient {
    let server = with_an_object(mood);
    asking(world, &server.address).keeping(server)
}

fn writing(world: World, mood: Mood) -> Patient {
    let server = with_an_object(mood);
    let at = ["s3://pail", "--endpoint", &server.address, "--write"];
    with_keys(world, &at).keeping(server)
}

fn with_an_object(mood: Mood) -> Server {
    let server = Server::start(mood);
    server.put("a", b"xy".to_vec());
    server
}
