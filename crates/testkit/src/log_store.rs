//! [`LogStore`]: a store that writes down each call as one line.
//!
//! Laws: one line for each call, in the order in which calls began; the same calls give the same
//! lines, whatever tags the store invents: versions are called `v1`, `v2`, … in the order in which
//! they were first seen, uploads `u1`, …, page tokens `t1`, ….

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use cloudmount_store::{
    Capabilities, CopyMetadata, CopyOptions, CopySource, GetOptions, GetResult, Key, ListPage,
    ListRequest, ObjectMeta, PartTag, Payload, Precondition, PutOptions, Removal, Result, Store,
    UploadId, UploadsPage, Version,
};
use cloudmount_vfs::Timestamp;
use parking_lot::Mutex;

/// A [`Store`] over a [`Store`] that records each call as one line.
///
/// | call | line |
/// |---|---|
/// | head | `head a/b` |
/// | get | `get a/b 0..4096 if-match v1`, `get a/b` |
/// | list | `list a/ by-folder after a/b limit 10`, `list "" token t1` |
/// | put | `put a/b 12 bytes if-absent -> v2` |
/// | copy | `copy a/b if-match v1 to c keeping metadata -> v3` |
/// | tags | `tags a/b` |
/// | delete | `delete a/b c` |
/// | multipart | `start a/b -> u1`, `part a/b u1 #1 8388608 bytes`, `copy-part a/b u1 #2 from a/b 0..10`, `complete a/b u1 2 parts if-match v1 -> v4`, `abort a/b u1`, `list-uploads a/b` |
///
/// A call that fails ends in `! not found` or the like; one that was dropped before it ended, in
/// nothing. Keys that hold a space, a quote or a control character are quoted as Rust strings.
#[derive(Debug)]
pub struct LogStore {
    inner: Arc<dyn Store>,
    log: Mutex<Log>,
}

#[derive(Debug, Default)]
struct Log {
    lines: Vec<String>,
    /// How many lines were taken before the first one in `lines`.
    taken: usize,
    versions: Aliases,
    uploads: Aliases,
    tokens: Aliases,
}

#[derive(Debug, Default)]
struct Aliases(HashMap<String, usize>);

impl Aliases {
    fn number(&mut self, real: &str) -> usize {
        let next = self.0.len() + 1;
        *self.0.entry(real.to_owned()).or_insert(next)
    }
}

impl Log {
    fn version(&mut self, version: &Version) -> String {
        format!("v{}", self.versions.number(version.as_str()))
    }

    fn upload(&mut self, upload: &UploadId) -> String {
        format!("u{}", self.uploads.number(&upload.0))
    }

    fn token(&mut self, token: &str) -> String {
        format!("t{}", self.tokens.number(token))
    }

    fn if_match(&mut self, version: Option<&Version>) -> String {
        version.map_or_else(String::new, |v| format!(" if-match {}", self.version(v)))
    }

    fn precondition(&mut self, precondition: &Precondition) -> String {
        match precondition {
            Precondition::None => String::new(),
            Precondition::Absent => " if-absent".to_owned(),
            Precondition::Matches(version) => self.if_match(Some(version)),
        }
    }
}

/// Where a line is, so that its outcome can be added when the call ends.
#[derive(Clone, Copy)]
struct Line(usize);

impl LogStore {
    /// Records what goes to `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self {
            inner,
            log: Mutex::default(),
        }
    }

    /// The lines since the last [`take`](Self::take).
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.log.lock().lines.clone()
    }

    /// The lines since the last time, which are then forgotten. Aliases stay.
    #[must_use]
    pub fn take(&self) -> Vec<String> {
        let mut log = self.log.lock();
        let lines = std::mem::take(&mut log.lines);
        log.taken += lines.len();
        lines
    }

    fn begin(&self, line: impl FnOnce(&mut Log) -> String) -> Line {
        let mut log = self.log.lock();
        let line = line(&mut log);
        log.lines.push(line);
        Line(log.taken + log.lines.len() - 1)
    }

    fn end<T>(
        &self,
        line: Line,
        result: Result<T>,
        told: impl FnOnce(&mut Log, &T) -> Option<String>,
    ) -> Result<T> {
        let mut log = self.log.lock();
        let outcome = match &result {
            Ok(value) => told(&mut log, value).map(|told| format!(" -> {told}")),
            Err(error) => Some(format!(" ! {}", error.kind())),
        };
        let at = line.0.checked_sub(log.taken);
        if let (Some(outcome), Some(line)) = (outcome, at.and_then(|at| log.lines.get_mut(at))) {
            line.push_str(&outcome);
        }
        drop(log);
        result
    }
}

#[async_trait]
impl Store for LogStore {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn time(&self) -> Option<Timestamp> {
        self.inner.time()
    }

    fn pushbacks(&self) -> u64 {
        self.inner.pushbacks()
    }

    fn reconnect(&self) {
        self.inner.reconnect();
    }

    async fn head(&self, key: &Key) -> Result<ObjectMeta> {
        let line = self.begin(|_| format!("head {}", shown(key.as_str())));
        let result = self.inner.head(key).await;
        self.end(line, result, |log, meta| {
            log.version(&meta.version);
            None
        })
    }

    async fn get(&self, key: &Key, options: GetOptions) -> Result<GetResult> {
        let line = self.begin(|log| {
            let range = options
                .range
                .as_ref()
                .map(|r| format!(" {}..{}", r.start, r.end));
            let if_match = log.if_match(options.if_match.as_ref());
            format!(
                "get {}{}{if_match}",
                shown(key.as_str()),
                range.unwrap_or_default()
            )
        });
        let result = self.inner.get(key, options).await;
        self.end(line, result, |log, got| {
            log.version(&got.meta.version);
            None
        })
    }

    async fn get_former(
        &self,
        key: &Key,
        version: &Version,
        range: Option<Range<u64>>,
    ) -> Result<GetResult> {
        let line = self.begin(|log| {
            let range = range
                .as_ref()
                .map(|r| format!(" {}..{}", r.start, r.end))
                .unwrap_or_default();
            let version = log.version(version);
            format!("get-former {} {version}{range}", shown(key.as_str()))
        });
        let result = self.inner.get_former(key, version, range).await;
        self.end(line, result, |_, _| None)
    }

    async fn list(&self, request: ListRequest) -> Result<ListPage> {
        let line = self.begin(|log| list_line(log, &request));
        let result = self.inner.list(request).await;
        self.end(line, result, |log, page| {
            for version in page
                .objects
                .iter()
                .filter_map(|object| object.version.as_ref())
            {
                log.version(version);
            }
            page.next.as_ref().map(|token| log.token(token))
        })
    }

    async fn put(&self, key: &Key, payload: Payload, options: PutOptions) -> Result<Version> {
        let line = self.begin(|log| {
            let condition = log.precondition(&options.precondition);
            format!(
                "put {} {} bytes{condition}",
                shown(key.as_str()),
                payload.len()
            )
        });
        let result = self.inner.put(key, payload, options).await;
        self.end(line, result, |log, version| Some(log.version(version)))
    }

    async fn copy(&self, source: CopySource, to: &Key, options: CopyOptions) -> Result<Version> {
        let line = self.begin(|log| {
            let if_match = log.if_match(source.if_match.as_ref());
            let condition = log.precondition(&options.precondition);
            let metadata = match options.metadata {
                CopyMetadata::Keep => "keeping",
                CopyMetadata::Replace(_) => "replacing",
            };
            let (from, to) = (shown(source.key.as_str()), shown(to.as_str()));
            format!("copy {from}{if_match} to {to}{condition} {metadata} metadata")
        });
        let result = self.inner.copy(source, to, options).await;
        self.end(line, result, |log, version| Some(log.version(version)))
    }

    async fn delete(&self, keys: &[Key]) -> Result<Vec<Result<()>>> {
        let line = self.begin(|_| {
            keys.iter().fold("delete".to_owned(), |line, key| {
                line + " " + &shown(key.as_str())
            })
        });
        let result = self.inner.delete(keys).await;
        self.end(line, result, |_, each| {
            let failed = each.iter().filter(|result| result.is_err()).count();
            (failed > 0).then(|| format!("{failed} failed"))
        })
    }

    async fn delete_if(&self, removals: &[Removal]) -> Result<Vec<Result<()>>> {
        let line = self.begin(|log| {
            removals.iter().fold("delete".to_owned(), |line, removal| {
                let if_match = log.if_match(Some(&removal.version));
                line + " " + &shown(removal.key.as_str()) + &if_match
            })
        });
        let result = self.inner.delete_if(removals).await;
        self.end(line, result, |_, each| {
            let failed = each.iter().filter(|result| result.is_err()).count();
            (failed > 0).then(|| format!("{failed} failed"))
        })
    }

    async fn multipart_start(&self, key: &Key, options: &PutOptions) -> Result<UploadId> {
        let line = self.begin(|_| format!("start {}", shown(key.as_str())));
        let result = self.inner.multipart_start(key, options).await;
        self.end(line, result, |log, upload| Some(log.upload(upload)))
    }

    async fn multipart_put(
        &self,
        key: &Key,
        upload: &UploadId,
        number: u16,
        payload: Payload,
    ) -> Result<PartTag> {
        let line = self.begin(|log| {
            let upload = log.upload(upload);
            format!(
                "part {} {upload} #{number} {} bytes",
                shown(key.as_str()),
                payload.len()
            )
        });
        let result = self.inner.multipart_put(key, upload, number, payload).await;
        self.end(line, result, |_, _| None)
    }

    async fn multipart_copy(
        &self,
        key: &Key,
        upload: &UploadId,
        number: u16,
        source: CopySource,
        range: Range<u64>,
    ) -> Result<PartTag> {
        let line = self.begin(|log| {
            let upload = log.upload(upload);
            let if_match = log.if_match(source.if_match.as_ref());
            let (key, from) = (shown(key.as_str()), shown(source.key.as_str()));
            let Range { start, end } = range;
            format!("copy-part {key} {upload} #{number} from {from}{if_match} {start}..{end}")
        });
        let result = self
            .inner
            .multipart_copy(key, upload, number, source, range)
            .await;
        self.end(line, result, |_, _| None)
    }

    async fn multipart_complete(
        &self,
        key: &Key,
        upload: &UploadId,
        parts: &[PartTag],
        precondition: Precondition,
    ) -> Result<Version> {
        let line = self.begin(|log| {
            let upload = log.upload(upload);
            let condition = log.precondition(&precondition);
            format!(
                "complete {} {upload} {} parts{condition}",
                shown(key.as_str()),
                parts.len()
            )
        });
        let result = self
            .inner
            .multipart_complete(key, upload, parts, precondition)
            .await;
        self.end(line, result, |log, version| Some(log.version(version)))
    }

    async fn multipart_abort(&self, key: &Key, upload: &UploadId) -> Result<()> {
        let line =
            self.begin(|log| format!("abort {} {}", shown(key.as_str()), log.upload(upload)));
        let result = self.inner.multipart_abort(key, upload).await;
        self.end(line, result, |_, ()| None)
    }

    async fn multipart_list(&self, prefix: &str, token: Option<String>) -> Result<UploadsPage> {
        let line = self.begin(|log| {
            let after = token
                .as_ref()
                .map(|token| format!(" token {}", log.token(token)));
            format!(
                "list-uploads {}{}",
                shown(prefix),
                after.unwrap_or_default()
            )
        });
        let result = self.inner.multipart_list(prefix, token).await;
        self.end(line, result, |log, page| {
            for listed in &page.uploads {
                log.upload(&listed.upload);
            }
            page.next.as_ref().map(|token| log.token(token))
        })
    }

    async fn tags(&self, key: &Key) -> Result<BTreeMap<String, String>> {
        let line = self.begin(|_| format!("tags {}", shown(key.as_str())));
        let result = self.inner.tags(key).await;
        self.end(line, result, |_, _| None)
    }
}

fn list_line(log: &mut Log, request: &ListRequest) -> String {
    let mut line = format!("list {}", shown(&request.prefix));
    if request.by_folder {
        line.push_str(" by-folder");
    }
    if let Some(after) = &request.start_after {
        line = line + " after " + &shown(after);
    }
    if let Some(token) = &request.token {
        line = line + " token " + &log.token(token);
    }
    if let Some(limit) = request.limit {
        write!(line, " limit {limit}").expect("a String takes any text");
    }
    line
}

/// `text` as it is, or quoted where it would make the line ambiguous.
fn shown(text: &str) -> String {
    let plain = !text.is_empty()
        && !text
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || c == '"');
    if plain {
        text.to_owned()
    } else {
        format!("{text:?}")
    }
}

#[cfg(test)]
mod tests;
