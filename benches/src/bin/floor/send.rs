//! Sending: parts of one file, or many small objects, so many at once.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use cloudmount_store::{Key, Metadata, PartTag, Payload, Precondition, PutOptions, UploadId};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{Client, Result, number_stream};

/// Objects below one folder, as in the row that is compared with it.
const IN_A_FOLDER: usize = 100;

/// Sizes of what is only to be listed: they begin at 0, and so many come one after the other. A prime, so that a
/// page never repeats the one before.
const SIZES: usize = 97;

/// Sends a file as one object in parts of `part_bytes`, `in_flight` of them at once. Each part is
/// read into memory of its own, as a plain client does.
pub(crate) async fn parts(
    client: &Client,
    path: &Path,
    key: &str,
    part_bytes: u64,
    in_flight: usize,
) -> Result<Value> {
    let start = client.clock.now();
    let file = Arc::new(File::open(path)?);
    let size = file.metadata()?.len();
    let key = Key::new(key)?;
    let options = PutOptions::default();
    let upload = client.store.multipart_start(&key, &options).await?;
    let mut running = JoinSet::new();
    let mut tags = Vec::new();
    for number in 1..=u16::try_from(size.div_ceil(part_bytes))? {
        if running.len() >= in_flight
            && let Some(tag) = running.join_next().await
        {
            tags.push(tag??);
        }
        let from = u64::from(number - 1) * part_bytes;
        let piece = Piece {
            file: Arc::clone(&file),
            from,
            length: usize::try_from(part_bytes.min(size - from))?,
        };
        let (client, key, upload) = (client.clone(), key.clone(), upload.clone());
        running.spawn(async move { part(&client, &key, &upload, number, piece).await });
    }
    while let Some(tag) = running.join_next().await {
        tags.push(tag??);
    }
    tags.sort_unstable_by_key(|tag| tag.number);
    let done = client
        .store
        .multipart_complete(&key, &upload, &tags, Precondition::None);
    done.await?;
    answer(client, start, size)
}

/// Bytes of a file.
struct Piece {
    file: Arc<File>,
    from: u64,
    length: usize,
}

async fn part(
    client: &Client,
    key: &Key,
    upload: &UploadId,
    number: u16,
    piece: Piece,
) -> Result<PartTag> {
    let read = move || {
        let mut bytes = vec![0; piece.length];
        piece.file.read_exact_at(&mut bytes, piece.from)?;
        std::io::Result::Ok(Bytes::from(bytes))
    };
    let bytes = tokio::task::spawn_blocking(read).await??;
    let put = client
        .store
        .multipart_put(key, upload, number, bytes.into());
    Ok(put.await?)
}

/// What goes with the object of a new file: the condition that nothing is there, and the four attributes
/// that the mount puts with it.
pub(crate) fn as_file() -> PutOptions {
    let attributes = [
        ("file-permissions", "0100644"),
        ("file-owner", "0"),
        ("file-group", "0"),
        ("file-mtime", "1700000000000000000ns"),
    ];
    let user = attributes.map(|(name, text)| (name.to_owned(), text.to_owned()));
    PutOptions {
        precondition: Precondition::Absent,
        metadata: Metadata {
            user: user.into(),
            ..Metadata::default()
        },
    }
}

/// Puts `count` objects of `bytes` bytes below `prefix`, `in_flight` of them at once.
pub(crate) async fn puts(
    client: &Client,
    (prefix, options): (&str, PutOptions),
    (count, bytes): (usize, usize),
    in_flight: usize,
) -> Result<Value> {
    put_all(client, (count, in_flight), options, |number| {
        let folder = number / IN_A_FOLDER;
        let key = format!("{prefix}/folder{folder:03}/file{number:05}");
        (key, content(number, bytes))
    })
    .await
}

/// Puts `count` objects below `prefix`, `in_flight` of them at once: the same number in each of so many folders, or
/// all in `prefix` itself, where that is 0. What each has more than `bytes` tells the number, as far as it can.
pub(crate) async fn fill(
    client: &Client,
    prefix: &str,
    (count, folders, bytes): (usize, usize, usize),
    in_flight: usize,
) -> Result<Value> {
    put_all(
        client,
        (count, in_flight),
        PutOptions::default(),
        |number| {
            let key = match folders {
                0 => format!("{prefix}/file{number:07}"),
                _ => {
                    let folder = number / count.div_ceil(folders);
                    format!("{prefix}/folder{folder:04}/file{number:07}")
                }
            };
            (key, vec![b'x'; bytes + number % SIZES])
        },
    )
    .await
}

async fn put_all(
    client: &Client,
    (count, in_flight): (usize, usize),
    options: PutOptions,
    object: impl Fn(usize) -> (String, Vec<u8>),
) -> Result<Value> {
    let start = client.clock.now();
    let mut running: JoinSet<Result<()>> = JoinSet::new();
    let mut sent = 0;
    for number in 0..count {
        if running.len() >= in_flight
            && let Some(done) = running.join_next().await
        {
            done??;
        }
        let (key, content) = object(number);
        let key = Key::new(key)?;
        sent += content.len() as u64;
        let payload: Payload = Bytes::from(content).into();
        let store = Arc::clone(&client.store);
        let options = options.clone();
        running.spawn(async move {
            store.put(&key, payload, options).await?;
            Ok(())
        });
    }
    while let Some(done) = running.join_next().await {
        done??;
    }
    answer(client, start, sent)
}

/// Bytes that cannot be compressed, other ones for each number.
fn content(number: usize, bytes: usize) -> Vec<u8> {
    let words = number_stream(number as u64).take(bytes.div_ceil(8));
    let mut content: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
    content.truncate(bytes);
    content
}

/// What took how long.
pub(crate) fn answer(client: &Client, start: cloudmount_vfs::Instant, bytes: u64) -> Result<Value> {
    let seconds = client.clock.now().saturating_since(start).as_secs_f64();
    let cpu_seconds = cpu_seconds()?;
    Ok(json!({ "seconds": seconds, "bytes": bytes, "cpu_seconds": cpu_seconds }))
}

/// The processor's time that this process took, in user and kernel (`proc_pid_stat(5)`, fields 14 and
/// 15, in hundredths of a second on every Linux of this kind).
fn cpu_seconds() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The second field may hold blanks; it ends with the last bracket.
    let (_, rest) = stat.rsplit_once(')').ok_or("no such stat")?;
    let ticks = |at: usize| -> Result<u32> {
        let field = rest.split_whitespace().nth(at - 3);
        Ok(field.ok_or("no such field")?.parse()?)
    };
    Ok(f64::from(ticks(14)? + ticks(15)?) / 100.0)
}
