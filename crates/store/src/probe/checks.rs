//! The questions: each row on objects of its own, so that an answer that is a lie spoils no other.

use bytes::Bytes;
use futures::join;
use parking_lot::Mutex;

use super::race::race;
use super::scratch::{Begun, LABEL, Scratch, Use};
use super::{Finding, Honoured};
use crate::layer::OutcomeUnknown;
use crate::{ErrorKind, GetOptions, PartTag, Precondition, Removal, Result, StoreExt, Version};

/// A tag that no object has.
const STRANGER: &str = "\"00000000000000000000000000000000\"";

/// Bytes of a small source. A copied range begins and ends inside of it.
const SMALL_BYTES: usize = 64;

/// How far inside of its source a copied range begins and ends, in bytes.
const MARGIN: usize = 10;

/// Asks all of them.
pub(super) async fn ask(scratch: &Scratch<'_>, found: &Mutex<Honoured>) {
    let writes_and_removals = async {
        join!(
            Box::pin(puts(scratch, found)),
            Box::pin(removals(scratch, found)),
        );
        race(scratch, found).await;
    };
    join!(
        Box::pin(writes_and_removals),
        Box::pin(joins(scratch, found)),
        Box::pin(copies(scratch, found)),
        Box::pin(part_copy(scratch, found)),
    );
}

/// What should have met a failed precondition.
fn of_refusal<T>(result: &Result<T>) -> Finding {
    match result {
        Ok(_) => Finding::Ignored,
        Err(error) if error.kind() == ErrorKind::Precondition => Finding::Kept,
        Err(error) => of_error(error),
    }
}

/// What should have succeeded.
fn of_success<T>(result: &Result<T>) -> Finding {
    match result {
        Ok(_) => Finding::Kept,
        // It may have met its own first try.
        Err(error) if OutcomeUnknown::is_in(error) => Finding::Unknown,
        Err(error) if error.kind() == ErrorKind::Precondition => Finding::Refused,
        Err(error) => of_error(error),
    }
}

fn of_error(error: &crate::Error) -> Finding {
    match error.kind() {
        // Some servers call a header that they do not know invalid. The same request without it
        // was taken.
        ErrorKind::Unsupported | ErrorKind::InvalidRequest => Finding::Refused,
        // Success, but without the answer that belongs to it: rclone takes a copy of a part for a
        // part without bytes.
        ErrorKind::Io => Finding::Ignored,
        _ => Finding::Unknown,
    }
}

fn stranger() -> Precondition {
    Precondition::Matches(Version::new(STRANGER))
}

async fn puts(scratch: &Scratch<'_>, found: &Mutex<Honoured>) {
    let put = |content: &'static str, precondition| scratch.put(Use::Put, content, precondition);
    let offered = scratch.store.capabilities();
    if !offered.put_if_absent {
        found.lock().put_if_absent = Finding::Refused;
    }
    if !offered.put_if_match {
        found.lock().put_if_match = Finding::Refused;
    }
    // First without a condition, so that a later refusal is that of the condition.
    let Ok(first) = put("first", Precondition::None).await else {
        return;
    };
    if remove(scratch).await.is_err() {
        return;
    }
    let mut of_nothing = Finding::Refused;
    if offered.put_if_match {
        let gone = put("gone", Precondition::Matches(first)).await;
        of_nothing = of_refusal(&gone);
        if gone.is_ok() && remove(scratch).await.is_err() {
            return;
        }
    }
    if offered.put_if_absent {
        let fresh = put("fresh", Precondition::Absent).await;
        let on_top = put("on top", Precondition::Absent).await;
        found.lock().put_if_absent = of_success(&fresh).and(of_refusal(&on_top));
    }
    if !offered.put_if_match {
        return;
    }
    let Ok(there) = put("there", Precondition::None).await else {
        return;
    };
    let wrong = put("wrong", stranger()).await;
    let refusal = of_nothing.and(of_refusal(&wrong));
    let right = put("right", Precondition::Matches(wrong.unwrap_or(there))).await;
    found.lock().put_if_match = refusal.and(of_success(&right));
}

async fn remove(scratch: &Scratch<'_>) -> Result<()> {
    let key = std::slice::from_ref(scratch.key(Use::Put));
    let mut answers = scratch.store.delete(key).await?;
    answers.pop().unwrap_or(Ok(()))
}

/// Uploads of one part to one key, begun when they are needed and used again when the condition
/// was not met.
struct Joiner<'a> {
    scratch: &'a Scratch<'a>,
    ready: Option<(Begun, PartTag)>,
}

impl Joiner<'_> {
    async fn join(&mut self, precondition: Precondition) -> Result<Version> {
        if let Some(ready) = self.ready.take() {
            match self.complete(ready, &precondition).await {
                // Some servers forget an upload whose condition was not met.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                joined => return joined,
            }
        }
        let begun = self.scratch.begin(Use::Join).await?;
        let part = self
            .scratch
            .part(&begun, Bytes::from_static(b"part"))
            .await?;
        self.complete((begun, part), &precondition).await
    }

    async fn complete(
        &mut self,
        (begun, part): (Begun, PartTag),
        precondition: &Precondition,
    ) -> Result<Version> {
        let joined = self
            .scratch
            .complete(&begun, &part, precondition.clone())
            .await;
        if joined.is_err() {
            self.ready = Some((begun, part));
        }
        joined
    }
}

async fn joins(scratch: &Scratch<'_>, found: &Mutex<Honoured>) {
    let offered = scratch.store.capabilities();
    if !offered.put_if_absent {
        found.lock().complete_if_absent = Finding::Refused;
    }
    if !offered.put_if_match {
        found.lock().complete_if_match = Finding::Refused;
    }
    if !offered.put_if_absent && !offered.put_if_match {
        return;
    }
    let mut joiner = Joiner {
        scratch,
        ready: None,
    };
    let fresh = if offered.put_if_absent {
        joiner.join(Precondition::Absent).await
    } else {
        joiner.join(Precondition::None).await
    };
    let plain = match &fresh {
        Ok(version) => Ok(version.clone()),
        Err(_) => joiner.join(Precondition::None).await,
    };
    let mut there = match plain {
        Ok(version) => version,
        Err(error) => {
            // It may have no uploads in parts at all.
            let finding = of_error(&error);
            let mut found = found.lock();
            found.complete_if_absent = finding.and(found.complete_if_absent);
            found.complete_if_match = finding.and(found.complete_if_match);
            return;
        }
    };
    if offered.put_if_absent {
        let on_top = joiner.join(Precondition::Absent).await;
        found.lock().complete_if_absent = of_success(&fresh).and(of_refusal(&on_top));
        there = on_top.unwrap_or(there);
    }
    if !offered.put_if_match {
        return;
    }
    let wrong = joiner.join(stranger()).await;
    let refusal = of_refusal(&wrong);
    let matching = Precondition::Matches(wrong.unwrap_or(there));
    let right = joiner.join(matching).await;
    found.lock().complete_if_match = refusal.and(of_success(&right));
}

/// `length` bytes of which any slice betrays where it is from.
fn pattern(length: usize) -> Bytes {
    const PERIOD: usize = 251;
    let period: Vec<u8> = (0_u8..).take(PERIOD).collect();
    let mut content = period.repeat(length.div_ceil(PERIOD));
    content.truncate(length);
    content.into()
}

async fn copies(scratch: &Scratch<'_>, found: &Mutex<Honoured>) {
    let content = pattern(SMALL_BYTES);
    let put = scratch.put(Use::Source, content.clone(), Precondition::None);
    let Ok(version) = put.await else {
        return;
    };
    join!(
        copy_effects(scratch, found, &content),
        copy_source(scratch, found, version),
        copy_targets(scratch, found),
    );
}

async fn copy_effects(scratch: &Scratch<'_>, found: &Mutex<Honoured>, content: &Bytes) {
    let from = (Use::Source, None);
    let copied = scratch
        .copy(from, Use::Copy, "copied", Precondition::None)
        .await;
    let copy = effect(scratch, copied, content, "copied").await;
    found.lock().copy = copy;
    if copy != Finding::Kept {
        found.lock().copy_onto_itself = copy;
        return;
    }
    let from = (Use::Copy, None);
    let changed = scratch
        .copy(from, Use::Copy, "changed", Precondition::None)
        .await;
    found.lock().copy_onto_itself = effect(scratch, changed, content, "changed").await;
}

/// Whether the copy has the bytes and the metadata that it should.
async fn effect(
    scratch: &Scratch<'_>,
    copied: Result<Version>,
    content: &Bytes,
    label: &str,
) -> Finding {
    let key = scratch.key(Use::Copy);
    if let Err(error) = copied {
        return of_error(&error);
    }
    match scratch.store.head(key).await {
        Ok(there) if there.size != content.len() as u64 => return Finding::Ignored,
        Ok(there)
            if scratch.store.capabilities().user_metadata
                && there.metadata.user.get(LABEL).map(String::as_str) != Some(label) =>
        {
            return Finding::Ignored;
        }
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Finding::Ignored,
        Err(_) => return Finding::Unknown,
    }
    match scratch.store.get_bytes(key, GetOptions::default()).await {
        Ok(bytes) if bytes == *content => Finding::Kept,
        Ok(_) => Finding::Ignored,
        Err(_) => Finding::Unknown,
    }
}

async fn copy_source(scratch: &Scratch<'_>, found: &Mutex<Honoured>, version: Version) {
    let copy = |version, label| {
        let from = (Use::Source, Some(version));
        scratch.copy(from, Use::CopySourceIf, label, Precondition::None)
    };
    let right = copy(version, "right").await;
    let wrong = copy(Version::new(STRANGER), "wrong").await;
    found.lock().copy_source_if_match = of_success(&right).and(of_refusal(&wrong));
}

async fn copy_targets(scratch: &Scratch<'_>, found: &Mutex<Honoured>) {
    if !scratch.store.capabilities().copy_if {
        let mut found = found.lock();
        found.copy_if_absent = Finding::Refused;
        found.copy_if_match = Finding::Refused;
        return;
    }
    let copy =
        |label, precondition| scratch.copy((Use::Source, None), Use::CopyIf, label, precondition);
    let fresh = copy("first", Precondition::Absent).await;
    let plain = match &fresh {
        Ok(version) => Ok(version.clone()),
        Err(_) => copy("second", Precondition::None).await,
    };
    let Ok(plain) = plain else { return };
    let on_top = copy("third", Precondition::Absent).await;
    found.lock().copy_if_absent = of_success(&fresh).and(of_refusal(&on_top));
    let there = on_top.unwrap_or(plain);
    let wrong = copy("fourth", stranger()).await;
    let refusal = of_refusal(&wrong);
    let matching = Precondition::Matches(wrong.unwrap_or(there));
    let right = copy("fifth", matching).await;
    found.lock().copy_if_match = refusal.and(of_success(&right));
}

async fn part_copy(scratch: &Scratch<'_>, found: &Mutex<Honoured>) {
    let offered = scratch.store.capabilities();
    if !offered.part_copy {
        found.lock().part_copy = Finding::Refused;
        return;
    }
    let least = usize::try_from(offered.part_bytes_min).unwrap_or(usize::MAX >> 1);
    let mut finding = part_copy_of(scratch, SMALL_BYTES).await;
    if finding == Finding::Refused {
        // Amazon takes ranges only of sources over 5 MiB ("`UploadPartCopy`"); others may do alike.
        finding = part_copy_of(scratch, least + SMALL_BYTES).await;
    }
    found.lock().part_copy = finding;
}

/// Copies a range of a source of that many bytes.
async fn part_copy_of(scratch: &Scratch<'_>, bytes: usize) -> Finding {
    let content = pattern(bytes);
    let (from, to) = (MARGIN, bytes - MARGIN);
    let copied = async {
        scratch
            .put(Use::Range, content.clone(), Precondition::None)
            .await?;
        let begun = scratch.begin(Use::Part).await?;
        let range = from as u64..to as u64;
        let part = scratch.copy_part(&begun, Use::Range, range).await?;
        scratch.complete(&begun, &part, Precondition::None).await?;
        let key = scratch.key(Use::Part);
        scratch.store.get_bytes(key, GetOptions::default()).await
    };
    match copied.await {
        Ok(bytes) if bytes == content.slice(from..to) => Finding::Kept,
        Ok(_) => Finding::Ignored,
        Err(error) => of_error(&error),
    }
}

async fn removals(scratch: &Scratch<'_>, found: &Mutex<Honoured>) {
    let offered = scratch.store.capabilities();
    if !offered.delete_if {
        let mut found = found.lock();
        found.delete_if_match = Finding::Refused;
        found.delete_many_if_match = Finding::Refused;
        return;
    }
    let single = async {
        let finding = remove_one(scratch).await.unwrap_or_default();
        found.lock().delete_if_match = finding;
    };
    let many = async {
        let finding = if offered.delete_keys_max > 1 {
            remove_many(scratch).await.unwrap_or_default()
        } else {
            Finding::Refused
        };
        found.lock().delete_many_if_match = finding;
    };
    join!(single, many);
}

/// Writes an object twice; gives both versions.
async fn written_twice(scratch: &Scratch<'_>, which: Use) -> Result<(Version, Version)> {
    let put = |content: &'static str| scratch.put(which, content, Precondition::None);
    Ok((put("first").await?, put("second").await?))
}

/// Removes one object by the version before the last, and then by the last.
async fn remove_one(scratch: &Scratch<'_>) -> Result<Finding> {
    let (first, second) = written_twice(scratch, Use::Remove).await?;
    let mut finding = Finding::Kept;
    for (version, stays) in [(first, Stays::Yes), (second, Stays::No)] {
        let answer = (scratch
            .store
            .delete_if(&[removal(scratch, Use::Remove, version)]))
        .await
        .and_then(|mut answers| answers.pop().unwrap_or(Ok(())));
        finding = finding.and(removed(scratch, Use::Remove, &answer, stays).await);
        if finding != Finding::Kept {
            break;
        }
    }
    Ok(finding)
}

/// Removes two objects in one request, of which one was written again.
async fn remove_many(scratch: &Scratch<'_>) -> Result<Finding> {
    let other = scratch.put(Use::RemoveOther, "other", Precondition::None);
    let (one, other) = join!(written_twice(scratch, Use::RemoveOne), other);
    let asked = [
        removal(scratch, Use::RemoveOne, one?.0),
        removal(scratch, Use::RemoveOther, other?),
    ];
    let answers = match scratch.store.delete_if(&asked).await {
        Ok(answers) => answers,
        Err(error) => return Ok(of_error(&error)),
    };
    let [one, other] = answers.as_slice() else {
        return Ok(Finding::Unknown);
    };
    let (one, other) = join!(
        removed(scratch, Use::RemoveOne, one, Stays::Yes),
        removed(scratch, Use::RemoveOther, other, Stays::No),
    );
    Ok(one.and(other))
}

fn removal(scratch: &Scratch<'_>, which: Use, version: Version) -> Removal {
    let key = scratch.key(which).clone();
    Removal { key, version }
}

/// Whether an object is to be there after it was asked to be removed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stays {
    Yes,
    No,
}

/// Whether answer and effect of a removal are as they should be.
async fn removed(scratch: &Scratch<'_>, which: Use, answer: &Result<()>, stays: Stays) -> Finding {
    let answered = match stays {
        Stays::Yes => of_refusal(answer),
        Stays::No => of_success(answer),
    };
    let effect = match (scratch.store.head(scratch.key(which)).await, stays) {
        (Ok(_), Stays::Yes) => Finding::Kept,
        (Ok(_), Stays::No) if answer.is_ok() => Finding::Ignored,
        (Ok(_), Stays::No) => Finding::Kept,
        (Err(error), Stays::No) if error.kind() == ErrorKind::NotFound => Finding::Kept,
        (Err(error), Stays::Yes) if error.kind() == ErrorKind::NotFound => Finding::Ignored,
        (Err(_), _) => Finding::Unknown,
    };
    answered.and(effect)
}
