//! Status as text for people.

mod traffic;

pub(crate) use traffic::connection;

use std::path::Path;

use cloudmount::Elsewhere;
use serde_json::Value;

use crate::board::Progress;
use crate::bytes::human;
use crate::control::Ended;

/// Uploads that are shown one by one.
const SHOWN: usize = 20;
/// How many ranges that a file lacks are told.
const GAPS_SHOWN: usize = 4;

/// How an end went; nothing if all is well.
pub(crate) fn ended(ended: &Ended) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(error) = &ended.error {
        lines.push(error.clone());
    }
    if ended.remaining_count > 0 {
        lines.push(format!(
            "{} not uploaded; they wait in {}: mount again to go on",
            ended.remaining_count, ended.staging
        ));
        lines.extend(listed(&ended.remaining, ended.remaining_count));
    }
    lines
}

/// What a flush has not brought into the bucket; nothing if all is there.
pub(crate) fn not_there(remaining: &[String], count: usize) -> Vec<String> {
    if count == 0 {
        return Vec::new();
    }
    let mut lines = vec![format!("{count} not in the bucket:")];
    lines.extend(listed(remaining, count));
    lines
}

/// Files that were flushed while they were being written.
pub(crate) fn still_open(open: &[String]) -> Vec<String> {
    if open.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![format!(
        "{} still open: uploaded as they are now, and again when they are closed:",
        open.len()
    )];
    lines.extend(listed(open, open.len()));
    lines
}

/// One thing that was given up.
pub(crate) fn dropped(key: &str, kind: &str, aside: Option<&Path>) -> String {
    let what = match kind {
        "removal" => "the removal",
        "metadata" => "the change of attributes",
        _ => "the upload",
    };
    match aside {
        Some(path) => format!(
            "{key}: gave up {what}; what was written is in {}",
            path.display()
        ),
        None => format!("{key}: gave up {what}"),
    }
}

/// The first of `count` lines, indented.
fn listed(lines: &[String], count: usize) -> impl Iterator<Item = String> {
    let more = count.saturating_sub(SHOWN);
    let more = (more > 0).then(|| format!("  and {more} more"));
    let shown = lines.iter().take(SHOWN).map(|line| format!("  {line}"));
    shown.chain(more)
}

/// What is left to do at the end.
pub(crate) fn progress(progress: &Progress) -> String {
    let Progress {
        keys,
        bytes,
        in_flight,
        open,
        error,
        is_paused,
    } = progress;
    let mut line = format!(
        "{keys} to upload ({}), {in_flight} under way",
        human(*bytes)
    );
    if *open > 0 {
        line.push_str(&format!(", {open} still open"));
    }
    if *is_paused {
        line.push_str(", paused");
    }
    if let Some(error) = error {
        line.push_str(&format!("; last error: {error}"));
    }
    line
}

/// What waits for the same bucket and is not uploaded by this mount.
pub(crate) fn elsewhere(all: &[Elsewhere]) -> Vec<String> {
    let line = |one: &Elsewhere| waits_elsewhere(one.waiting as u64, &one.location);
    all.iter().take(SHOWN).map(line).collect()
}

fn waits_elsewhere(waiting: u64, location: &str) -> String {
    format!(
        "{waiting} wait for {location}, which was mounted by itself: they go on with cloudmount mount {location} FOLDER"
    )
}

/// How a mount stands.
pub(crate) fn status(status: &Value) -> Vec<String> {
    let number = |path: &str| status.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    let text = |path: &str| status.pointer(path).and_then(Value::as_str).unwrap_or("?");
    let mut lines = vec![
        format!(
            "{} at {}: {} (process {})",
            text("/location"),
            text("/folder"),
            text("/state"),
            number("/pid")
        ),
        format!(
            "uploads{}: {} waiting ({}), {} under way, {} open, {} failed",
            paused(status),
            number("/uploads/totals/keys"),
            human(number("/uploads/totals/bytes")),
            number("/uploads/totals/in_flight"),
            number("/uploads/totals/open"),
            number("/uploads/totals/failed"),
        ),
    ];
    if let Some(connection) = status.get("connection") {
        lines.insert(1, traffic::connection(connection));
    }
    let groups = status.pointer("/uploads/groups").and_then(Value::as_array);
    lines.extend(groups.into_iter().flatten().take(SHOWN).map(group));
    let keys = status.pointer("/uploads/keys").and_then(Value::as_array);
    lines.extend(keys.into_iter().flatten().take(SHOWN).map(upload));
    lines.extend(windows(status));
    lines.extend(not_honoured(status));
    lines.extend(set_aside(status));
    let elsewhere = status.get("elsewhere").and_then(Value::as_array);
    lines.extend(elsewhere.into_iter().flatten().take(SHOWN).map(|one| {
        let waiting = one.get("waiting").and_then(Value::as_u64);
        let location = one.get("location").and_then(Value::as_str);
        let said = waits_elsewhere(waiting.unwrap_or(0), location.unwrap_or("?"));
        format!("  {said}")
    }));
    lines.extend(budgets(status));
    let (hits, misses) = (number("/cache/hits"), number("/cache/misses"));
    lines.push(format!(
        "cache: {} of {}, {} % found",
        human(number("/cache/used_bytes")),
        human(number("/cache/limit_bytes")),
        (hits * 100).checked_div(hits + misses).unwrap_or(0),
    ));
    if number("/cache/asked_ahead") > 0 {
        lines.push(format!(
            "files asked for ahead: {}, of which {} were wanted",
            number("/cache/asked_ahead"),
            number("/cache/used_ahead"),
        ));
    }
    if number("/cache/asked_again") > 0 {
        lines.push(format!(
            "reads that stalled and were asked again: {}",
            number("/cache/asked_again"),
        ));
    }
    lines.extend(disk_cache(status));
    lines.push(format!(
        "names: {} known, {} not in the bucket yet, {} open",
        number("/names/inodes"),
        number("/names/local"),
        number("/names/open"),
    ));
    lines.extend(traffic::feeds(status));
    lines.extend(traffic::requests(status));
    lines.extend(traffic::cost(status));
    lines.extend(traffic::throughput(status));
    lines
}

/// How much of what is bounded is in use, and who waits for it.
fn budgets(status: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    let budgets = status.pointer("/uploads/budgets").and_then(Value::as_array);
    for budget in budgets.into_iter().flatten() {
        let part = |name: &str| budget.get(name).and_then(Value::as_u64).unwrap_or(0);
        let name = budget.get("name").and_then(Value::as_str).unwrap_or("?");
        let shown = |value| match name.contains("bytes") {
            true => human(value),
            false => value.to_string(),
        };
        lines.push(format!(
            "  {name}: {} of {}",
            shown(part("used")),
            shown(part("limit"))
        ));
    }
    let waiting = status.pointer("/uploads/writers_waiting");
    if let Some(waiting) = waiting.and_then(Value::as_u64).filter(|count| *count > 0) {
        lines.push(format!(
            "  {waiting} writing programs wait until uploads make room on the disk (staging-limit)"
        ));
    }
    lines
}

/// The cache on disk, if there is one.
fn disk_cache(status: &Value) -> Vec<String> {
    let Some(disk) = status.get("disk_cache").filter(|disk| disk.is_object()) else {
        return Vec::new();
    };
    let number = |name: &str| disk.get(name).and_then(Value::as_u64).unwrap_or(0);
    let (hits, misses) = (number("hits"), number("misses"));
    let mut line = format!(
        "disk cache: {} of {}, {} % found",
        human(number("used_bytes")),
        human(number("limit_bytes")),
        (hits * 100).checked_div(hits + misses).unwrap_or(0),
    );
    if number("damaged") > 0 {
        line.push_str(&format!(
            ", {} damaged and fetched again",
            number("damaged")
        ));
    }
    if number("local_files") > 0 {
        let opened = number("local_files");
        line.push_str(&format!(
            ", {opened} times a whole file was opened for the kernel to read"
        ));
    }
    let mut lines = vec![line];
    if let Some(why) = disk.get("off").and_then(Value::as_str) {
        lines.push(format!("  nothing is kept for the moment: {why}"));
    }
    lines
}

/// What the store does not check in one step with what is done.
fn windows(status: &Value) -> Option<String> {
    let windows = status.pointer("/uploads/windows")?.as_array()?;
    let names: Vec<&str> = windows.iter().filter_map(Value::as_str).collect();
    (!names.is_empty()).then(|| {
        format!(
            "  a window is open: this store does not check some {} in the same step, and a change made elsewhere at that moment could be lost",
            names.join(" and ")
        )
    })
}

/// What the store was found not to do, though most stores do.
fn not_honoured(status: &Value) -> Option<String> {
    let found = status.pointer("/uploads/honoured")?.as_object()?;
    let lacks = |value: &Value| matches!(value.as_str(), Some("refused" | "ignored"));
    let names: Vec<&str> = (found.iter())
        .filter(|(_, value)| lacks(value))
        .map(|(name, _)| name.as_str())
        .collect();
    (!names.is_empty()).then(|| format!("  this store does not honour: {}", names.join(", ")))
}

/// How what is at a path stands.
pub(crate) fn status_of_path(status: &Value) -> Vec<String> {
    let number = |path: &str| status.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    let path = status.get("path").and_then(Value::as_str).unwrap_or("?");
    let waiting = number("/uploads/totals/keys");
    if waiting == 0 {
        return vec![format!("{path}: nothing waits")];
    }
    let mut lines = vec![format!(
        "{path}{}: {waiting} waiting ({}), {} under way, {} open, {} failed",
        paused(status),
        human(number("/uploads/totals/bytes")),
        number("/uploads/totals/in_flight"),
        number("/uploads/totals/open"),
        number("/uploads/totals/failed"),
    )];
    let keys = status.pointer("/uploads/keys").and_then(Value::as_array);
    lines.extend(keys.into_iter().flatten().take(SHOWN).map(upload));
    lines
}

fn paused(status: &Value) -> &'static str {
    match status.pointer("/uploads/paused") {
        Some(Value::Bool(true)) => " (paused: cloudmount resume goes on)",
        _ => "",
    }
}

fn set_aside(status: &Value) -> impl Iterator<Item = String> {
    let aside = status
        .pointer("/uploads/set_aside")
        .and_then(Value::as_array);
    aside.into_iter().flatten().take(SHOWN).map(|one| {
        let part = |name: &str| one.get(name).and_then(Value::as_str);
        let why = match part("reason").unwrap_or("?") {
            "dropped" => "given up".to_owned(),
            "base-lost" => "in part, its object was replaced elsewhere".to_owned(),
            reason => format!("after a crash ({reason})"),
        };
        format!(
            "  set aside {why}: {} in {}{}",
            part("key").unwrap_or("a file without a name"),
            part("path").unwrap_or("no file: nothing of it is left"),
            lacking(one).unwrap_or_default(),
        )
    })
}

/// Which bytes a file lacks that was set aside: those of the object that it was made from.
fn lacking(aside: &Value) -> Option<String> {
    let size = aside.get("size")?.as_u64()?;
    aside.get("base").filter(|base| !base.is_null())?;
    let there = aside.get("ranges")?.as_array()?;
    let mut gaps = Vec::new();
    let mut from = 0;
    for range in there {
        let (start, end) = (range.get(0)?.as_u64()?, range.get(1)?.as_u64()?);
        if start > from {
            gaps.push(format!("{from} to {start}"));
        }
        from = from.max(end);
    }
    if from < size && !there.is_empty() {
        gaps.push(format!("{from} to {size}"));
    }
    let more = gaps.len().saturating_sub(GAPS_SHOWN);
    gaps.truncate(GAPS_SHOWN);
    if more > 0 {
        gaps.push(format!("{more} more ranges"));
    }
    (!gaps.is_empty()).then(|| format!(", without its bytes {}", gaps.join(", ")))
}

/// Many keys that are one for a person.
fn group(group: &Value) -> String {
    let text = |name: &str| group.get(name).and_then(Value::as_str);
    let number = |name: &str| group.get(name).and_then(Value::as_u64).unwrap_or(0);
    let folder = text("folder").unwrap_or("?");
    let what = match text("to") {
        Some(to) => format!("rename of {folder} -> {to}"),
        None => format!("removal of what is below {folder}"),
    };
    format!(
        "  {what}: {} of {} keys",
        number("keys_done"),
        number("keys_total")
    )
}

/// When the next try is, in words.
fn next_try(key: &Value) -> Option<String> {
    let seconds = key.pointer("/next_try/secs").and_then(Value::as_u64)?;
    let nanos = key.pointer("/next_try/nanos").and_then(Value::as_u64)?;
    Some(match seconds + u64::from(nanos > 0) {
        0 => "next try now".to_owned(),
        seconds @ 1..=120 => format!("next try in {seconds} s"),
        seconds => format!("next try in {} min", seconds.div_ceil(60)),
    })
}

fn upload(key: &Value) -> String {
    let text = |name: &str| key.get(name).and_then(Value::as_str).unwrap_or("?");
    let number = |name: &str| key.get(name).and_then(Value::as_u64).unwrap_or(0);
    let (done, total) = (number("bytes_done"), number("bytes_total"));
    let percent = (done * 100).checked_div(total).unwrap_or(0);
    let mut line = format!(
        "  {}: {}, {}, {percent} % of {}",
        text("key"),
        text("kind"),
        text("phase"),
        human(total)
    );
    if key.get("held") == Some(&Value::Bool(true)) {
        line.push_str(", waits for what is still read");
    }
    if let Some(error) = key.get("error").and_then(Value::as_str) {
        if let Some(next) = next_try(key) {
            line.push_str(", ");
            line.push_str(&next);
        }
        line.push_str(": ");
        line.push_str(error);
    }
    line
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn uploads_are_shown_with_percent_and_errors() {
        let shown = status(&json!({
            "location": "memory:", "folder": "/mnt", "pid": 7, "state": "mounted",
            "uploads": {
                "totals": {"keys": 1, "bytes": 2048, "in_flight": 1, "open": 0, "failed": 0},
                "keys": [{"key": "a", "kind": "content", "phase": "in-flight",
                          "bytes_total": 2048, "bytes_done": 1024, "error": "throttled"},
                         {"key": "b", "kind": "removal", "phase": "waiting", "error": "busy",
                          "next_try": {"secs": 11, "nanos": 5}}],
                "set_aside": [{"key": "part", "reason": "base-lost", "path": "/s/3", "size": 20,
                               "ranges": [[6, 12], [14, 15]], "base": ["part", "v1"]},
                              {"key": "lost", "reason": "never-closed", "path": "/s/1", "size": 3},
                              {"key": "no", "reason": "dropped", "path": "/s/2", "size": 3}],
                "paused": true, "writers_waiting": 3,
                "groups": [
                    {"folder": "photos/", "to": "pictures/", "keys_total": 10000, "keys_done": 312},
                    {"folder": "old/", "to": null, "keys_total": 20, "keys_done": 0}],
                "budgets": [{"name": "body bytes", "used": 1024, "limit": 2048}],
                "windows": ["writes", "removals"],
                "honoured": {"copy": "kept", "put-if-match": "ignored", "part-copy": "unknown"},
            },
            "cache": {"hits": 3, "misses": 1, "asked_ahead": 40, "used_ahead": 39, "asked_again": 2},
            "disk_cache": {"hits": 1, "misses": 1, "used_bytes": 1024, "limit_bytes": 4096, "damaged": 2, "local_files": 5, "off": "no space"},
            "throughput": {"seconds": 10, "bytes_in": 0, "bytes_out": 2048},
            "requests": {"operations": {"put": {"requests": 2, "errors": {"timed out": 1}}}},
            "feeds": [{"kind": "webhook at x", "news": 12, "error": null},
                      {"kind": "listing every 9 s", "news": 0, "error": "no network"}],
            "cost": {"put_class": 2, "get_class": 3, "free": 4, "bytes_out": 2048, "dollars": 1.25},
        }));
        let all = shown.join("\n");
        for part in [
            "memory: at /mnt: mounted (process 7)",
            "uploads (paused: cloudmount resume goes on): 1 waiting (2.0 KiB), 1 under way",
            "a: content, in-flight, 50 % of 2.0 KiB: throttled",
            "body bytes: 1.0 KiB of 2.0 KiB",
            "b: removal, waiting, 0 % of 0 B, next try in 12 s: busy",
            "a window is open: this store does not check some writes and removals in the same step",
            "its object was replaced elsewhere: part in /s/3, without its bytes 0 to 6, 12 to 14, 15 to 20\n",
            "set aside after a crash (never-closed): lost in /s/1\n",
            "this store does not honour: put-if-match\n",
            "3 writing programs wait until uploads make room",
            "set aside given up: no in /s/2",
            "rename of photos/ -> pictures/: 312 of 10000 keys",
            "removal of what is below old/: 0 of 20 keys",
            "75 % found",
            "files asked for ahead: 40, of which 39 were wanted",
            "reads that stalled and were asked again: 2",
            "disk cache: 1.0 KiB of 4.0 KiB, 50 % found, 2 damaged and fetched again, 5 times a whole file",
            "nothing is kept for the moment: no space",
            "put 2, 1 failed",
            "changes of others: 12 told by webhook at x\n",
            "changes of others: 0 told by listing every 9 s; now it fails: no network",
            "cost: $1.2500 since the start at the prices given (2 writing or listing, 3 reading, 4 free requests, 2.0 KiB out)",
            "over the last 10 s: 2.0 KiB/s out, 0 B/s in",
        ] {
            assert!(all.contains(part), "{part} in {all}");
        }
    }

    #[test]
    fn a_next_try_is_told_in_words() {
        let check = |secs: u64, nanos: u64, expected: &str| {
            let key = json!({"next_try": {"secs": secs, "nanos": nanos}});
            assert_eq!(next_try(&key).as_deref(), Some(expected));
        };
        check(0, 0, "next try now");
        check(0, 1, "next try in 1 s");
        check(120, 0, "next try in 120 s");
        check(121, 0, "next try in 3 min");
        assert_eq!(next_try(&json!({"next_try": null})), None);
    }

    #[test]
    fn progress_says_why_it_stands_still() {
        let mut shown = Progress {
            keys: 2,
            bytes: 10,
            in_flight: 1,
            open: 0,
            error: None,
            is_paused: false,
        };
        assert_eq!(progress(&shown), "2 to upload (10 B), 1 under way");
        shown.is_paused = true;
        shown.error = Some("busy".to_owned());
        assert_eq!(
            progress(&shown),
            "2 to upload (10 B), 1 under way, paused; last error: busy"
        );
    }

    #[test]
    fn long_lists_end_in_a_number() {
        let keys: Vec<String> = (0..30).map(|number| number.to_string()).collect();
        let lines = not_there(&keys, 1234);
        assert_eq!(lines.len(), SHOWN + 2);
        assert_eq!(lines[0], "1234 not in the bucket:");
        assert_eq!(lines[SHOWN + 1], "  and 1214 more");
        assert!(not_there(&[], 0).is_empty() && still_open(&[]).is_empty());
        assert_eq!(still_open(&keys[..1])[1], "  0");
    }

    #[test]
    fn a_good_end_says_nothing() {
        let mut end = Ended {
            remaining: Vec::new(),
            remaining_count: 0,
            staging: "/s".into(),
            error: None,
        };
        assert!(ended(&end).is_empty());
        end.remaining = vec!["a: access denied".into()];
        end.remaining_count = 1;
        let text = ended(&end).join("\n");
        assert!(
            text.contains("1 not uploaded") && text.contains("/s") && text.contains("a: access")
        );
    }
}
