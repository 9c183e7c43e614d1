//! [`Settings`]: everything that can be set, resolved once from layers of text.

mod modes;
mod names;
mod ranges;
mod times;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use cloudmount_cache::strategy::Eviction;
use cloudmount_core::Globs;
use cloudmount_core::dialect::Dialect;
use cloudmount_store::Provider;
use serde::Deserialize;
use toml::{Table, Value};

use crate::address::without_user;
use crate::attributes::{Attributes, ManifestUse};
use crate::cost::Prices;
use crate::litter::{LitterNames, LitterPolicy};
use crate::units::{ByteSize, Octal, Span};
use crate::{Environment, Error, Result};

use names::{did_you_mean, name_of, variable_of};
pub(crate) use ranges::CACHE_MEMORY_MIN;

/// What `close` and `fsync` wait for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Durable {
    /// This machine.
    #[default]
    Local,
    /// The bucket.
    Remote,
}

/// What the machine's page cache keeps of files that are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WriteCache {
    /// All of it.
    Keep,
    /// Nothing of files that are written whole: who reads them again gets them from the staging disk.
    #[default]
    Bypass,
}

/// Patterns of files that are read past the machine's page cache, in the form of [`Globs::parse`].
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(try_from = "String")]
pub struct DirectGlobs(pub(crate) Globs);

impl TryFrom<String> for DirectGlobs {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        Globs::parse(&text).map(Self)
    }
}

/// Where the bucket's name goes in requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UrlStyle {
    /// The host name on Amazon's own endpoints, the path elsewhere.
    #[default]
    Auto,
    /// `https://host/bucket/key`.
    Always,
    /// `https://bucket.host/key`.
    Never,
}

/// What an S3 endpoint can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum S3Dialect {
    /// What Amazon documents: conditional writes, copies of parts, folder markers.
    #[default]
    Full,
    /// None of these: for simple servers, as `rclone serve s3`.
    Minimal,
}

/// What happens when someone else changed an object that is to be replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConflictPolicy {
    /// Theirs keeps the name, ours gets another.
    #[default]
    KeepBoth,
    /// Ours waits for a person.
    Fail,
    /// Ours replaces theirs.
    Overwrite,
}

/// How attributes are written to objects that say them in no way yet. All of them are read, and what
/// an object already says is said anew in the same way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttributeDialect {
    /// That of AWS `DataSync`, `FSx` for Lustre and Storage Gateway.
    #[default]
    Aws,
    /// That of s3fs.
    S3fs,
    /// That of rclone with `--metadata`.
    Rclone,
}

impl AttributeDialect {
    pub(crate) const fn dialect(self) -> Dialect {
        match self {
            Self::Aws => Dialect::Aws,
            Self::S3fs => Dialect::S3fs,
            Self::Rclone => Dialect::Rclone,
        }
    }
}

/// Which blocks make room for others: the names of
/// [`Eviction`](cloudmount_cache::strategy::Eviction), where each is explained.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CacheStrategy {
    /// Clock-PRO.
    #[default]
    ClockPro,
    /// Least recently used.
    Lru,
    /// First in, first out.
    Fifo,
    /// SIEVE.
    Sieve,
    /// S3-FIFO.
    #[serde(rename = "s3-fifo")]
    S3Fifo,
    /// W-TinyLFU.
    TinyLfu,
}

impl CacheStrategy {
    pub(crate) const fn eviction(self) -> Eviction {
        match self {
            Self::ClockPro => Eviction::ClockPro,
            Self::Lru => Eviction::Lru,
            Self::Fifo => Eviction::Fifo,
            Self::Sieve => Eviction::Sieve,
            Self::S3Fifo => Eviction::S3Fifo,
            Self::TinyLfu => Eviction::TinyLfu,
        }
    }
}

/// Everything that can be set. Each field says its default; the text form has `-` for `_`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Settings {
    /// The S3 endpoint, as `https://s3.example.com`. Default: Amazon's of the region.
    pub endpoint: Option<String>,
    /// Who offers the S3 service: `amazon`, `b2`, `r2`, `google`, `wasabi`, `scaleway`, `digitalocean`, `tigris`,
    /// `minio`, `ceph`, `garage` or `generic`. Default: by the endpoint.
    pub provider: Option<Provider>,
    /// The region that signatures name. Default: by the endpoint, else `us-east-1`.
    pub region: Option<String>,
    /// Where the bucket's name goes: `auto` (default), `always` in the path, `never` in the path.
    pub path_style: UrlStyle,
    /// What the endpoint can do: `full` (default) or `minimal`.
    pub s3_dialect: S3Dialect,
    /// Whether `http://` endpoints are taken that are not on this machine. Default: no.
    pub allow_http: bool,
    /// Whether requests are not signed: for public buckets. Default: no.
    pub anonymous: bool,
    /// The profile in the AWS files. It is taken even if the environment holds keys. Default:
    /// `AWS_PROFILE`, then `default`.
    pub profile: Option<String>,
    /// The entry of the desktop's keychain that holds the keys, which are then looked for nowhere else. Default: none. Only in
    /// builds with the cargo feature `keyring`.
    pub keychain: Option<String>,
    /// Whether nothing may be changed. Default: no.
    pub read_only: bool,
    /// Whether other users of this machine may look into mounts. Default: no.
    pub allow_other: bool,
    /// How long what the bucket said is believed, where nothing else is said: 0 to 1 h. Default: `1s`.
    pub ttl: Span,
    /// How long attributes are believed. Default: `ttl`.
    pub attr_ttl: Option<Span>,
    /// How long it is believed that a name is there. Default: `ttl`.
    pub entry_ttl: Option<Span>,
    /// How long it is believed that a name is not there. Default: `ttl`.
    pub negative_ttl: Option<Span>,
    /// How long it is believed that a folder has no other names than were listed. Default: `ttl`.
    pub listing_ttl: Option<Span>,
    /// How often all of the mounted part of the bucket is listed, to find what others have changed: 0 (default, never), or
    /// 1 s to 24 h.
    pub watch_interval: Span,
    /// Where notifications of the bucket are taken by HTTP, as `127.0.0.1:9100`. Default: nowhere.
    pub webhook: Option<SocketAddr>,
    /// A file with the token that their senders have to show. Addresses that others can reach need one.
    pub webhook_token_file: Option<PathBuf>,
    /// What `close` waits for: `local` (default) or `remote`.
    pub close: Durable,
    /// What `fsync` waits for: `local` (default) or `remote`.
    pub fsync: Durable,
    /// Which attributes are shown: all that objects say, which costs a request for each (`full`, default), or
    /// what listings tell (`listing`).
    pub attributes: Attributes,
    /// What is made of the manifests of folders: `off` (default), `read` or `write`.
    pub manifest: ManifestUse,
    /// How attributes are written to objects that say them in no way yet: `aws` (default), `s3fs` or
    /// `rclone`.
    pub attribute_dialect: AttributeDialect,
    /// What the page cache keeps of files that are written: nothing of those that are written whole, which
    /// then take less of the processor and of the memory (`bypass`, default), or all (`keep`).
    pub write_cache: WriteCache,
    /// Patterns of files that are read past the page cache, with commas between. Default: none.
    pub direct_io: DirectGlobs,
    /// Files that someone else has changed within this time are read past it, too. Default: `0s`, none.
    pub direct_io_changed: Span,
    /// What becomes of what platforms leave in folders, as `.DS_Store`: `store` (default, but on macOS), `hide` or
    /// `refuse` (default on macOS).
    pub litter: LitterPolicy,
    /// Patterns of names that are litter, with commas between. Default: those of macOS, Windows and desktops of Linux.
    pub litter_names: Option<LitterNames>,
    /// On conflicts: `keep-both` (default), `fail` or `overwrite`.
    pub conflict: ConflictPolicy,
    /// Memory for blocks that were read: at least 8 MiB. Default: `256MiB`, and at most an eighth of the
    /// memory that the machine has or its control group allows.
    pub cache_memory: Option<ByteSize>,
    /// Which of these blocks make room for others: `clock-pro` (default), `lru`, `fifo`, `sieve`,
    /// `s3-fifo` or `tiny-lfu`.
    pub cache_strategy: CacheStrategy,
    /// Bytes that files which wait for upload may have on the disk: at least 64 MiB. Who would write
    /// more waits. Default: three quarters of what is free when the bucket is opened, and what waits
    /// there already.
    pub staging_limit: Option<ByteSize>,
    /// Bytes within that limit that copies of what was uploaded may have, to be read again without a
    /// request; 0 keeps none. Default: a quarter of it, and of what is free when the bucket is opened.
    pub kept_limit: Option<ByteSize>,
    /// Where what was read is kept, to be there after a restart. Several buckets and several processes
    /// may share it. Default: nowhere. Has no effect on `memory:`, which ends with the process.
    pub disk_cache: Option<PathBuf>,
    /// Bytes of disk for all in that folder: at least 4 MiB. Default: `10GiB`, a working set of some
    /// ten thousand photographs, and little of a usual disk; of one that is nearly full, less is used.
    pub disk_cache_size: ByteSize,
    /// Whether the kernel reads whole files of [`disk_cache`](Self::disk_cache) itself (Linux 6.9 and later, as root), which
    /// is not checked then. Only for what is [`read_only`](Self::read_only). Default: no.
    pub passthrough: bool,
    /// Whether programs may look in that index all files of a machine (`updatedb`, and those of desktops).
    pub indexers: bool,
    /// Bytes of disk for what objects told of their attributes, below [`cache_dir`](Self::cache_dir) or
    /// [`state_dir`](Self::state_dir), for all buckets: what did not change is not asked for by the next mount. 0 keeps
    /// nothing. Default: `64MiB`, the attributes of a quarter of a million files.
    pub attribute_index_size: ByteSize,
    /// Requests that upload at once, at most: 1 to 1024. Default: 64. How many there are follows what gets
    /// through, and what the store asks for.
    pub uploads: u16,
    /// Requests that read at once: 1 to 1024. Default: 64.
    pub downloads: u16,
    /// Small files of a folder that somebody goes through, fetched ahead of who reads them, at most: 0 to 1024,
    /// 0 fetches none. Default: 64.
    pub files_ahead: u16,
    /// What requests and bytes cost, for the status: dollars for 1,000 requests that write, copy or list, for 1,000 that
    /// read, and for a GB out, as `put=0.005,get=0.0004,out=0.09`. Default: none.
    pub prices: Option<Prices>,
    /// How long a clean end waits for uploads. Default: `1h`.
    pub drain: Span,
    /// Owner of what names no owner. Default: the user.
    pub uid: Option<u32>,
    /// Group of what names no group. Default: the user's.
    pub gid: Option<u32>,
    /// Permissions of files that name none. Default: `0644`.
    pub file_mode: Octal,
    /// Permissions of folders that name none. Default: `0755`.
    pub dir_mode: Octal,
    /// What is taken away from `0666` and `0777` for files and folders that name no permissions, in place of
    /// `file_mode` and `dir_mode`. Default: none.
    pub umask: Option<Octal>,
    /// Where logs lie and, in a folder for each bucket, the journal and the files that wait to be
    /// uploaded. Default: a folder `cloudmount` in the user's state folder.
    pub state_dir: Option<PathBuf>,
    /// Where the journals and the waiting files lie, if not below `state-dir`: a disk with room.
    /// Nothing in it may be deleted while something waits. Several buckets may share it.
    pub cache_dir: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            endpoint: None,
            provider: None,
            region: None,
            path_style: UrlStyle::default(),
            s3_dialect: S3Dialect::default(),
            allow_http: false,
            anonymous: false,
            profile: None,
            keychain: None,
            read_only: false,
            allow_other: false,
            ttl: Span(Duration::from_secs(1)),
            attr_ttl: None,
            entry_ttl: None,
            negative_ttl: None,
            listing_ttl: None,
            watch_interval: Span(Duration::ZERO),
            webhook: None,
            webhook_token_file: None,
            close: Durable::default(),
            fsync: Durable::default(),
            attributes: Attributes::default(),
            manifest: ManifestUse::default(),
            attribute_dialect: AttributeDialect::default(),
            write_cache: WriteCache::default(),
            direct_io: DirectGlobs::default(),
            direct_io_changed: Span(Duration::ZERO),
            litter: LitterPolicy::default(),
            litter_names: None,
            conflict: ConflictPolicy::default(),
            cache_memory: None,
            cache_strategy: CacheStrategy::default(),
            staging_limit: None,
            kept_limit: None,
            disk_cache: None,
            disk_cache_size: ByteSize(10 << 30),
            passthrough: false,
            indexers: false,
            attribute_index_size: ByteSize(64 << 20),
            uploads: 64,
            downloads: 64,
            files_ahead: 64,
            prices: None,
            drain: Span(Duration::from_secs(3600)),
            uid: None,
            gid: None,
            file_mode: Octal(0o644),
            dir_mode: Octal(0o755),
            umask: None,
            state_dir: None,
            cache_dir: None,
        }
    }
}

/// Where a setting was said, to say it back.
#[derive(Clone, Copy)]
pub(crate) enum Layer {
    /// A file of settings.
    File,
    /// A variable of the environment.
    Variable,
    /// A flag of the command line.
    Flag,
    /// The application itself.
    Code,
}

impl Layer {
    fn named(self, name: &str) -> String {
        match self {
            Self::File => format!("settings file: {name}"),
            Self::Variable => variable_of(name),
            Self::Flag => format!("--{name}"),
            Self::Code => format!("setting {name}"),
        }
    }
}

/// Every setting: its name, its field, what kind of text it is, and what to write.
macro_rules! settings {
    ($($name:literal => $field:ident $kind:ident $form:literal,)*) => {
        const ALL: &[(&str, Kind, &str)] = &[$(($name, Kind::$kind, $form)),*];

        impl Settings {
            /// Takes over one setting of `other` by its name.
            fn take(&mut self, name: &str, other: Self) {
                match name {
                    $($name => self.$field = other.$field,)*
                    // Only names that were looked up in the table above come here.
                    _ => {}
                }
            }
        }
    };
}

settings! {
    "endpoint" => endpoint Text "an address, as https://s3.example.com",
    "provider" => provider Text "amazon, b2, r2, google, wasabi, scaleway, digitalocean, tigris, minio, ceph, garage or generic",
    "region" => region Text "a region, as eu-central-1",
    "path-style" => path_style Text "auto, always or never",
    "s3-dialect" => s3_dialect Text "full or minimal",
    "allow-http" => allow_http Switch "true or false",
    "anonymous" => anonymous Switch "true or false",
    "profile" => profile Text "a profile of the AWS files",
    "keychain" => keychain Text "the name of an entry of the keychain",
    "read-only" => read_only Switch "true or false",
    "allow-other" => allow_other Switch "true or false",
    "ttl" => ttl Text "a time from 0 to 1h, as 500ms or 5s",
    "attr-ttl" => attr_ttl Text "a time from 0 to 1h, as 500ms or 5s",
    "entry-ttl" => entry_ttl Text "a time from 0 to 1h, as 500ms or 5s",
    "negative-ttl" => negative_ttl Text "a time from 0 to 1h, as 500ms or 5s",
    "listing-ttl" => listing_ttl Text "a time from 0 to 1h, as 500ms or 5s",
    "watch-interval" => watch_interval Text "a time from 1s to 24h, as 30s or 5m, or 0",
    "webhook" => webhook Text "an address and a port, as 127.0.0.1:9100",
    "webhook-token-file" => webhook_token_file Text "a file",
    "close" => close Text "local or remote",
    "fsync" => fsync Text "local or remote",
    "attributes" => attributes Text "full or listing",
    "manifest" => manifest Text "off, read or write",
    "attribute-dialect" => attribute_dialect Text "aws, s3fs or rclone",
    "write-cache" => write_cache Text "bypass or keep",
    "direct-io" => direct_io Text "patterns, as *.log,data/**",
    "direct-io-changed" => direct_io_changed Text "a time, as 30s or 5m",
    "litter" => litter Text "store, hide or refuse",
    "litter-names" => litter_names Text "patterns of names, as .DS_Store,._*",
    "conflict" => conflict Text "keep-both, fail or overwrite",
    "cache-memory" => cache_memory Text "a size from 8MiB to 1TiB, as 256MiB",
    "cache-strategy" => cache_strategy Text "clock-pro, lru, fifo, sieve, s3-fifo or tiny-lfu",
    "staging-limit" => staging_limit Text "a size from 64MiB to 1PiB, as 20GiB",
    "kept-limit" => kept_limit Text "a size from 0 to 1PiB, as 10GiB",
    "disk-cache" => disk_cache Text "a folder",
    "disk-cache-size" => disk_cache_size Text "a size from 4MiB to 1024TiB, as 10GiB",
    "passthrough" => passthrough Switch "true or false",
    "indexers" => indexers Switch "true or false",
    "attribute-index-size" => attribute_index_size Text "a size from 1MiB to 1024TiB, as 64MiB, or 0",
    "uploads" => uploads Number "a number from 1 to 1024",
    "downloads" => downloads Number "a number from 1 to 1024",
    "files-ahead" => files_ahead Number "a number from 0 to 1024",
    "prices" => prices Text "dollars, as put=0.005,get=0.0004,out=0.09",
    "drain" => drain Text "a time, as 30s, 5m or 1h",
    "uid" => uid Number "the number of a user",
    "gid" => gid Number "the number of a group",
    "file-mode" => file_mode Text "permissions in octal as text, as \"0644\"",
    "dir-mode" => dir_mode Text "permissions in octal as text, as \"0755\"",
    "umask" => umask Text "permissions in octal as text, as \"0022\"",
    "state-dir" => state_dir Text "a folder",
    "cache-dir" => cache_dir Text "a folder",
}

/// What the text of a flag or variable stands for.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Number,
    Switch,
}

impl Settings {
    /// Resolves layers, the later ones winning: `file` (TOML text), then the variables
    /// `CLOUDMOUNT_TTL` and so on of `environment`, then `flags` (pairs of a setting's name and its
    /// text).
    ///
    /// # Errors
    /// An unknown setting or a value that makes no sense, named as it was written, with what to
    /// write instead.
    pub fn resolve(
        file: Option<&str>,
        environment: &Environment,
        flags: &[(&str, String)],
    ) -> Result<Self> {
        let mut settings = Self::default();
        if let Some(text) = file {
            let table: Table =
                (text.parse()).map_err(|error: toml::de::Error| unreadable(text, &error))?;
            for (name, value) in table {
                settings.set(Layer::File, &name, value)?;
            }
        }
        for (variable, text) in environment.variables() {
            if let Some(name) = name_of(variable) {
                let value = typed(&name, text);
                settings.set(Layer::Variable, &name, value)?;
            }
        }
        for (name, text) in flags {
            settings.set(Layer::Flag, name, typed(name, text))?;
        }
        Ok(settings)
    }

    /// Sets one setting from its text.
    ///
    /// # Errors
    /// An unknown name, or a value that makes no sense.
    pub(crate) fn set_text(&mut self, name: &str, text: &str) -> Result<()> {
        self.set(Layer::Code, name, typed(name, text))
    }

    fn set(&mut self, layer: Layer, name: &str, value: Value) -> Result<()> {
        let shown = layer.named(name);
        let Some((_, _, form)) = ALL.iter().find(|(known, ..)| *known == name) else {
            return Err(
                Error::new(format!("{shown}: there is no such setting")).or(did_you_mean(name))
            );
        };
        let written = match &value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let wrong = || {
            Error::new(format!("{shown}: {written:?} makes no sense")).or(format!("write {form}"))
        };
        if name == "endpoint" {
            without_user(&written, &shown)?;
        }
        let one: Table = [(name.to_owned(), value)].into_iter().collect();
        let one: Self = one.try_into().map_err(|_: toml::de::Error| wrong())?;
        one.check().map_err(|_| wrong())?;
        self.take(name, one);
        Ok(())
    }
}

fn unreadable(text: &str, error: &toml::de::Error) -> Error {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.map_or(1, |before| before.matches('\n').count() + 1);
    Error::new(format!(
        "settings file, line {line}: {}",
        error.message().trim()
    ))
    .or("write one setting a line, as ttl = \"5s\" or uploads = 16")
}

/// The text of a flag or variable as the value that a file would hold. What does not fit its kind
/// stays text, and is refused as such.
fn typed(name: &str, text: &str) -> Value {
    let kind = ALL.iter().find(|(known, ..)| *known == name);
    match (kind.map(|(_, kind, _)| kind), text) {
        (Some(Kind::Switch), "true" | "1" | "yes" | "on") => Value::Boolean(true),
        (Some(Kind::Switch), "false" | "0" | "no" | "off") => Value::Boolean(false),
        (Some(Kind::Number), _) => match text.parse() {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::String(text.to_owned()),
        },
        _ => Value::String(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        Environment::of(pairs.iter().copied())
    }

    #[test]
    fn flags_beat_the_environment_and_that_beats_the_file() {
        let file = "ttl = \"5s\"\nuploads = 4\nregion = \"a\"\nfile-mode = \"0600\"";
        let variables = environment(&[("CLOUDMOUNT_TTL", "10s"), ("CLOUDMOUNT_UPLOADS", "5")]);
        let flags = [("uploads", "6".to_owned())];
        let settings = Settings::resolve(Some(file), &variables, &flags).unwrap();
        assert_eq!(settings.region.as_deref(), Some("a"));
        assert_eq!(settings.ttl, Span(Duration::from_secs(10)));
        assert_eq!(settings.uploads, 6);
        assert_eq!(settings.file_mode, Octal(0o600));
        assert_eq!(settings.dir_mode, Octal(0o755));
    }

    #[test]
    fn texts_of_the_environment_take_the_type_of_their_setting() {
        let variables = environment(&[
            ("CLOUDMOUNT_REGION", "1"),
            ("CLOUDMOUNT_PROFILE", "true"),
            ("CLOUDMOUNT_READ_ONLY", "1"),
            ("CLOUDMOUNT_FILE_MODE", "640"),
            ("CLOUDMOUNT_CACHE_MEMORY", "1GiB"),
            ("CLOUDMOUNT_TEST_S3", "not a setting"),
            ("PATH", "/bin"),
        ]);
        let settings = Settings::resolve(None, &variables, &[]).unwrap();
        assert_eq!(settings.region.as_deref(), Some("1"));
        assert_eq!(settings.profile.as_deref(), Some("true"));
        assert!(settings.read_only);
        assert_eq!(settings.file_mode, Octal(0o640));
        assert_eq!(settings.cache_memory, Some(ByteSize(1 << 30)));
    }

    #[test]
    fn mistakes_are_named_as_they_were_written() {
        let none = environment(&[]);
        let said = |file: Option<&str>, variables: &[(&str, &str)], flag: Option<(&str, &str)>| {
            let flags: Vec<_> = flag
                .map(|(name, text)| (name, text.to_owned()))
                .into_iter()
                .collect();
            let error = Settings::resolve(file, &environment(variables), &flags).unwrap_err();
            let said = error.to_string();
            assert!(said.lines().count() <= 2, "{said}");
            said
        };
        for (said, parts) in [
            (
                said(Some("tttl = 1"), &[], None),
                ["settings file: tttl", "did you mean ttl?"],
            ),
            (
                said(Some("colour = 1"), &[], None),
                ["no such setting", "staging-limit, kept-limit, disk-cache"],
            ),
            (
                said(Some("ttl = \"1s\"\nttl = "), &[], None),
                ["settings file, line 2", "one setting a line"],
            ),
            (
                said(Some("file-mode = 0o644"), &[], None),
                ["file-mode", "octal as text"],
            ),
            (
                said(None, &[("CLOUDMOUNT_CLOSE", "never")], None),
                ["CLOUDMOUNT_CLOSE: \"never\"", "local or remote"],
            ),
            (
                said(None, &[("CLOUDMOUNT_READ_ONLY", "maybe")], None),
                ["CLOUDMOUNT_READ_ONLY", "true or false"],
            ),
            (
                said(None, &[], Some(("ttl", "soon"))),
                ["--ttl: \"soon\"", "500ms"],
            ),
            (
                said(None, &[], Some(("ttl", "2h"))),
                ["--ttl", "from 0 to 1h"],
            ),
            (
                said(None, &[], Some(("uploads", "0"))),
                ["--uploads", "1 to 1024"],
            ),
            (
                said(None, &[], Some(("uploads", "70000"))),
                ["--uploads", "1 to 1024"],
            ),
            (
                said(None, &[], Some(("uid", "-1"))),
                ["--uid", "number of a user"],
            ),
            (
                said(None, &[], Some(("cache-memory", "1KiB"))),
                ["--cache-memory", "8MiB"],
            ),
            (
                said(None, &[], Some(("endpoint", "s3.example.com"))),
                ["--endpoint", "https://"],
            ),
        ] {
            for part in parts {
                assert!(said.contains(part), "{part} in {said}");
            }
        }
        assert!(Settings::resolve(None, &none, &[]).unwrap() == Settings::default());
    }

    #[test]
    fn sizes_and_times_have_their_bounds() {
        for (name, text, is_right) in [
            ("cache-memory", "8MiB", true),
            ("cache-memory", "2TiB", false),
            ("disk-cache-size", "4MiB", true),
            ("disk-cache-size", "1MiB", false),
            ("disk-cache-size", "1024TiB", true),
            ("disk-cache-size", "1025TiB", false),
            ("attribute-index-size", "0", true),
            ("attribute-index-size", "1MiB", true),
            ("attribute-index-size", "1KiB", false),
            ("attribute-index-size", "1025TiB", false),
            ("attr-ttl", "0", true),
            ("entry-ttl", "1h", true),
            ("negative-ttl", "2h", false),
            ("listing-ttl", "61m", false),
        ] {
            let set = Settings::default().set_text(name, text);
            assert_eq!(set.is_ok(), is_right, "{name} {text}");
        }
    }

    /// The table of names and the type say the same: `serde` lists its fields when it meets
    /// another.
    #[test]
    fn every_field_has_its_name() {
        let unknown: Table = [("?".to_owned(), Value::Integer(0))].into_iter().collect();
        let error = Settings::deserialize(unknown).unwrap_err().to_string();
        let fields: BTreeSet<_> = error.split('`').skip(3).step_by(2).collect();
        let names: BTreeSet<_> = ALL.iter().map(|(name, ..)| *name).collect();
        assert_eq!(fields, names);
        for (name, ..) in ALL {
            assert_eq!(name_of(&variable_of(name)).as_deref(), Some(*name));
        }
    }

    /// Each setting, as something else than its default.
    const TEXTS: &[(&str, &str)] = &[
        ("endpoint", "https://x"),
        ("provider", "b2"),
        ("region", "r"),
        ("path-style", "always"),
        ("s3-dialect", "minimal"),
        ("allow-http", "true"),
        ("anonymous", "true"),
        ("profile", "p"),
        ("keychain", "k"),
        ("read-only", "true"),
        ("allow-other", "true"),
        ("ttl", "7s"),
        ("attr-ttl", "2s"),
        ("entry-ttl", "3s"),
        ("negative-ttl", "4s"),
        ("listing-ttl", "5s"),
        ("watch-interval", "6s"),
        ("webhook", "127.0.0.1:9100"),
        ("webhook-token-file", "/t"),
        ("close", "remote"),
        ("fsync", "remote"),
        ("attributes", "listing"),
        ("manifest", "write"),
        ("attribute-dialect", "s3fs"),
        ("write-cache", "keep"),
        ("direct-io", "*.log"),
        ("direct-io-changed", "9s"),
        ("litter", "hide"),
        ("litter-names", "*~"),
        ("conflict", "fail"),
        ("cache-memory", "9MiB"),
        ("cache-strategy", "s3-fifo"),
        ("files-ahead", "7"),
        ("staging-limit", "64MiB"),
        ("kept-limit", "6MiB"),
        ("disk-cache", "/d"),
        ("disk-cache-size", "5MiB"),
        ("passthrough", "true"),
        ("indexers", "true"),
        ("attribute-index-size", "0"),
        ("uploads", "3"),
        ("downloads", "4"),
        ("prices", "put=1"),
        ("drain", "8s"),
        ("uid", "5"),
        ("gid", "6"),
        ("file-mode", "0611"),
        ("dir-mode", "0711"),
        ("umask", "0027"),
        ("state-dir", "/s"),
        ("cache-dir", "/c"),
    ];

    /// Whoever adds a setting to the table cannot mix up two fields unseen.
    #[test]
    fn every_name_sets_its_own_field() {
        assert_eq!(TEXTS.len(), ALL.len());
        let mut all = Settings::default();
        for (name, text) in TEXTS {
            let mut one = Settings::default();
            one.set_text(name, text).unwrap();
            assert!(one != Settings::default(), "{name}");
            let shown = format!("{one:?}");
            let differing: Vec<_> = (shown
                .split(", ")
                .zip(format!("{:?}", Settings::default()).split(", ")))
            .filter(|(one, default)| one != default)
            .map(|(one, _)| one.replace("Settings { ", ""))
            .collect();
            let field = name.replace('-', "_");
            assert!(
                matches!(&differing[..], [only] if only.starts_with(&field)),
                "{name}: {differing:?}"
            );
            all.set_text(name, text).unwrap();
        }
        let file = TEXTS.iter().map(|(name, text)| match text.parse::<i64>() {
            Ok(number) if !text.starts_with('0') => format!("{name} = {number}\n"),
            _ if *text == "true" => format!("{name} = true\n"),
            _ => format!("{name} = \"{text}\"\n"),
        });
        let none = Environment::default();
        assert_eq!(
            Settings::resolve(Some(&file.collect::<String>()), &none, &[]).unwrap(),
            all
        );
    }
}
