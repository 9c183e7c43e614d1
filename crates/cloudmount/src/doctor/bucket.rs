//! The bucket: whether it is there, and what these credentials may do in it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cloudmount_store::probe::{Finding as Probed, SCRATCH, probe};
use cloudmount_store::{
    Error, ErrorKind, GetOptions, Key, ListRequest, Location, OpenSettings, PutOptions, Store,
    StoreExt as _,
};
use cloudmount_vfs::Clock;
use tokio::runtime::Handle;

use super::{Finding, Writing};
use crate::stack;

/// How long one question may take: a person waits for it.
const ANSWER_WAIT: Duration = Duration::from_secs(20);

/// Objects that are looked for one to read.
const LISTED: u16 = 10;

/// What is written on trial.
const TRIAL: &[u8] = b"cloudmount doctor --write: this may be deleted\n";

/// Looks at it, as far as one gets.
pub(super) async fn look(
    location: &Location,
    options: &OpenSettings,
    writing: Writing,
    clock: &Arc<dyn Clock>,
) -> Vec<Finding> {
    let opened = cloudmount_store::open(location, options, Arc::clone(clock), Handle::current());
    let store = match opened {
        Ok(store) => store,
        Err(error) => return vec![refused("list", location, "s3:ListBucket", error)],
    };
    let mut findings = Vec::new();
    let request = ListRequest {
        limit: Some(LISTED),
        ..ListRequest::default()
    };
    match within(&**clock, store.list(request)).await {
        Ok(page) => {
            let (objects, more) = (page.objects.len(), page.next.is_some());
            let found = match (objects, more) {
                (0, _) => "it can be listed, and is empty".to_owned(),
                (_, true) => format!("it can be listed: {objects} objects and more"),
                (_, false) => format!("it can be listed: {objects} objects"),
            };
            findings.push(Finding::ok("list", found));
            let readable = page.objects.into_iter().find(|object| object.size > 0);
            findings.push(match readable {
                Some(object) => read(&*store, location, &object.key, clock).await,
                None => Finding::skipped("read", "none of the first objects has content"),
            });
        }
        Err(error) => findings.push(refused("list", location, "s3:ListBucket", error)),
    }
    let is_listed = findings
        .iter()
        .all(|one| one.verdict != super::Verdict::Fail);
    match (writing, is_listed) {
        (Writing::Forbidden, _) => {
            let why = "nothing was written: ask for it with --write";
            findings
                .extend(["write", "delete", "capabilities"].map(|one| Finding::skipped(one, why)));
        }
        (Writing::Allowed, false) => {
            let why = "nothing was written: the bucket cannot be used as it is";
            findings
                .extend(["write", "delete", "capabilities"].map(|one| Finding::skipped(one, why)));
        }
        (Writing::Allowed, true) => findings.extend(write(&store, location, clock).await),
    }
    findings
}

async fn read(
    store: &dyn Store,
    location: &Location,
    key: &Key,
    clock: &Arc<dyn Clock>,
) -> Finding {
    let options = GetOptions {
        range: Some(0..1),
        if_match: None,
    };
    match within(&**clock, store.get_bytes(key, options)).await {
        Ok(_) => Finding::ok("read", "objects can be read"),
        Err(error) if error.kind() == ErrorKind::Archived => Finding::warn(
            "read",
            "the first object is archived, and must be restored to be read",
        )
        .or("restore what is to be read, or keep it in a storage class that is read at once"),
        Err(error) => refused("read", location, "s3:GetObject", error),
    }
}

/// Writes a scratch object, reads it, removes it, and asks what the endpoint honours.
async fn write(
    store: &Arc<dyn Store>,
    location: &Location,
    clock: &Arc<dyn Clock>,
) -> Vec<Finding> {
    let nonce = u64::from(std::process::id()) ^ u64::from(clock.wall().nanos());
    let Ok(key) = Key::new(format!("{SCRATCH}doctor-{nonce:x}")) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    let body = Bytes::from_static(TRIAL);
    let put = store.put(&key, body.into(), PutOptions::default());
    let written = within(&**clock, put).await;
    let is_written = written.is_ok();
    findings.push(match written {
        Ok(_) => match within(&**clock, store.get_bytes(&key, GetOptions::default())).await {
            Ok(bytes) if bytes == TRIAL => Finding::ok("write", "what is written can be read"),
            Ok(_) => Finding::fail("write", "what was written reads as something else")
                .or("try another server: this one loses data"),
            Err(error) => refused("write", location, "s3:GetObject", error),
        },
        Err(error) => refused("write", location, "s3:PutObject", error),
    });
    // Also after a put that failed: it may have been carried out.
    let removed = within(&**clock, store.delete(std::slice::from_ref(&key))).await;
    let removed =
        removed.and_then(|each| each.into_iter().collect::<cloudmount_store::Result<()>>());
    findings.push(match removed {
        Ok(()) if is_written => Finding::ok("delete", "objects can be removed"),
        Ok(()) => Finding::skipped("delete", "nothing could be written to remove"),
        Err(error) => refused("delete", location, "s3:DeleteObject", error),
    });
    let is_well = findings.iter().all(|one| one.verdict == super::Verdict::Ok);
    findings.push(match is_well {
        true => capabilities(store, clock, nonce).await,
        false => Finding::skipped("capabilities", "it takes writing and removing to find out"),
    });
    findings
}

/// What the endpoint honours of what it says.
async fn capabilities(store: &Arc<dyn Store>, clock: &Arc<dyn Clock>, nonce: u64) -> Finding {
    let honoured = probe(&**store, &**clock, nonce).await;
    let names = |is: fn(Probed) -> bool| -> Vec<&str> {
        let those = honoured.findings().into_iter().filter(|(_, one)| is(*one));
        those.map(|(name, _)| name).collect()
    };
    let kept = names(Probed::is_kept);
    let ignored = names(|one| one == Probed::Ignored);
    let lacks = names(|one| matches!(one, Probed::Refused | Probed::Unknown));
    let mut found = format!("honoured: {}", listed(&kept));
    if !lacks.is_empty() {
        found.push_str(&format!("; not offered or not known: {}", lacks.join(", ")));
    }
    if ignored.is_empty() {
        return Finding::ok("capabilities", found);
    }
    found.push_str(&format!("; passed over in silence: {}", ignored.join(", ")));
    let is_writing = ["put-if-absent", "put-if-match"]
        .iter()
        .any(|one| ignored.contains(one));
    match is_writing {
        true => Finding::warn("capabilities", found)
            .or("each key is looked at just before instead, see docs/stores.md: let one mount write at a time"),
        false => Finding::ok("capabilities", found),
    }
}

fn listed(names: &[&str]) -> String {
    match names.is_empty() {
        true => "nothing".to_owned(),
        false => names.join(", "),
    }
}

/// An answer that says no, or none.
fn refused(check: &'static str, location: &Location, right: &str, error: Error) -> Finding {
    let is_s3 = matches!(location, Location::S3 { .. });
    let remedy = match error.kind() {
        ErrorKind::Forbidden if is_s3 => {
            format!("check whose keys these are, and allow them {right} on this bucket and prefix")
        }
        kind => stack::remedy(location, kind).to_owned(),
    };
    Finding::fail(check, error.to_string()).or(remedy)
}

/// What is asked, or that there is no answer.
async fn within<T>(
    clock: &dyn Clock,
    work: impl Future<Output = cloudmount_store::Result<T>>,
) -> cloudmount_store::Result<T> {
    tokio::select! {
        done = work => done,
        () = clock.sleep(ANSWER_WAIT) => {
            let context = format!("no answer within {} s", ANSWER_WAIT.as_secs());
            Err(Error::new(ErrorKind::TimedOut, context))
        }
    }
}
