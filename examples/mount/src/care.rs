//! `cache`: what is in the folder of a disk cache, whether it is right, and its end.

use std::process::ExitCode;

use anyhow::Result;
use cloudmount::disk_cache::{self, BucketInfo, BucketNotes};
use serde_json::json;

use crate::bytes::human;
use crate::cli::Cache;
use crate::say::say;

/// Does what the command says.
pub(crate) fn run(command: &Cache) -> Result<ExitCode> {
    match command {
        Cache::Info { folder, json } => {
            let info = disk_cache::info(folder)?;
            if *json {
                say(format_args!("{}", as_json(&info)))?;
            } else {
                for line in as_text(&info) {
                    say(format_args!("{line}"))?;
                }
            }
        }
        Cache::Verify { folder } => {
            let (check, notes) = disk_cache::verify(folder)?;
            say(format_args!(
                "{} objects, {} blocks are right; {} blocks and {} files were damaged and are dropped",
                check.objects, check.right, check.damaged, check.useless
            ))?;
            if notes.right + notes.damaged > 0 {
                say(format_args!(
                    "attributes of {} folders are right; {} files were damaged and are dropped",
                    notes.right, notes.damaged
                ))?;
            }
            if check.damaged + check.useless + notes.damaged > 0 {
                return Ok(ExitCode::FAILURE);
            }
        }
        Cache::Clear { folder } => {
            let freed = disk_cache::clear(folder)?;
            say(format_args!("{} freed", human(freed)))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn as_text(info: &disk_cache::FolderInfo) -> Vec<String> {
    let line = |(name, bucket): (&String, &BucketInfo)| {
        format!(
            "{name}: {} objects, {} of them complete, {}",
            bucket.objects,
            bucket.complete,
            human(bucket.disk_bytes)
        )
    };
    let mut lines: Vec<_> = info.buckets.iter().map(line).collect();
    let line = |(name, notes): (&String, &BucketNotes)| {
        let bytes = human(notes.disk_bytes);
        format!("{name}: attributes of {} folders, {bytes}", notes.notes)
    };
    lines.extend(info.attributes.iter().map(line));
    let replicas = info.buckets.values().map(|bucket| bucket.disk_bytes);
    let attributes = info.attributes.values().map(|notes| notes.disk_bytes);
    let all = replicas.chain(attributes).sum();
    lines.push(format!("{} of disk", human(all)));
    lines
}

fn as_json(info: &disk_cache::FolderInfo) -> serde_json::Value {
    let bucket = |(name, bucket): (&String, &BucketInfo)| {
        let of_bucket = json!({
            "objects": bucket.objects,
            "complete": bucket.complete,
            "blocks": bucket.blocks,
            "disk_bytes": bucket.disk_bytes,
        });
        (name.clone(), of_bucket)
    };
    let buckets: serde_json::Map<_, _> = info.buckets.iter().map(bucket).collect();
    let notes = |(name, notes): (&String, &BucketNotes)| {
        let of_bucket = json!({ "folders": notes.notes, "disk_bytes": notes.disk_bytes });
        (name.clone(), of_bucket)
    };
    let attributes: serde_json::Map<_, _> = info.attributes.iter().map(notes).collect();
    json!({ "buckets": buckets, "attributes": attributes })
}
