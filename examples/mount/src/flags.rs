//! The flags that are settings, for all commands that take them.

use std::path::PathBuf;

use clap::Args;

pub(crate) const MOUNT: &str = "The mount";
const BUCKET: &str = "The bucket";
const TRAFFIC: &str = "Uploads and caches";

#[derive(Args, Debug)]
pub(crate) struct Flags {
    /// Where mounts keep their state and logs [default: ~/.local/state/cloudmount]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) state_dir: Option<PathBuf>,
    /// More settings, as TOML [default: ~/.config/cloudmount/config.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Let other users in, too
    #[arg(long, help_heading = MOUNT)]
    allow_other: bool,
    /// Let programs look in that index all files of a machine (updatedb, and those of desktops)
    #[arg(long, help_heading = MOUNT)]
    indexers: bool,
    /// Allow no changes
    #[arg(long, help_heading = MOUNT)]
    read_only: bool,
    /// How long what the bucket said is believed, where nothing else is said [default: 1s]
    #[arg(long, help_heading = MOUNT, value_name = "TIME")]
    ttl: Option<String>,
    /// The same of attributes [default: --ttl]
    #[arg(long, help_heading = MOUNT, value_name = "TIME")]
    attr_ttl: Option<String>,
    /// The same of names that are there [default: --ttl]
    #[arg(long, help_heading = MOUNT, value_name = "TIME")]
    entry_ttl: Option<String>,
    /// The same of names that are not there [default: --ttl]
    #[arg(long, help_heading = MOUNT, value_name = "TIME")]
    negative_ttl: Option<String>,
    /// The same of the names of a folder [default: --ttl]
    #[arg(long, help_heading = MOUNT, value_name = "TIME")]
    listing_ttl: Option<String>,
    /// List all of the bucket so often, to see what others change [default: never]
    #[arg(long, help_heading = MOUNT, value_name = "TIME")]
    watch_interval: Option<String>,
    /// Take notifications of the bucket at this address, as 127.0.0.1:9100
    #[arg(long, help_heading = MOUNT, value_name = "ADDRESS")]
    webhook: Option<String>,
    /// The token that their senders show
    #[arg(long, help_heading = MOUNT, value_name = "FILE")]
    webhook_token_file: Option<PathBuf>,
    /// Owner of files that name none [default: you]
    #[arg(long, help_heading = MOUNT)]
    uid: Option<u32>,
    /// Group of files that name none [default: yours]
    #[arg(long, help_heading = MOUNT)]
    gid: Option<u32>,
    /// Permissions of files that name none [default: 0644]
    #[arg(long, help_heading = MOUNT, value_name = "OCTAL")]
    file_mode: Option<String>,
    /// Permissions of folders that name none [default: 0755]
    #[arg(long, help_heading = MOUNT, value_name = "OCTAL")]
    dir_mode: Option<String>,
    /// What is taken away from 0666 and 0777 for what names no permissions, in place of both
    #[arg(long, help_heading = MOUNT, value_name = "OCTAL")]
    umask: Option<String>,
    /// The address of the S3 service, as https://s3.example.com [default: Amazon's]
    #[arg(long, help_heading = BUCKET, value_name = "URL")]
    endpoint: Option<String>,
    /// Who offers it: amazon, b2, r2, google, wasabi, scaleway, digitalocean, tigris, minio, ceph, garage, generic
    /// [default: by the address]
    #[arg(long, help_heading = BUCKET, value_name = "NAME")]
    provider: Option<String>,
    /// The region [default: by the address, else us-east-1]
    #[arg(long, help_heading = BUCKET)]
    region: Option<String>,
    /// The profile of ~/.aws/credentials [default: AWS_PROFILE, else default]
    #[arg(long, help_heading = BUCKET)]
    profile: Option<String>,
    /// The entry of the desktop's keychain with the keys (`cloudmount credentials store` makes one)
    #[arg(long, help_heading = BUCKET, value_name = "NAME")]
    keychain: Option<String>,
    /// Sign no requests: for public buckets
    #[arg(long, help_heading = BUCKET)]
    anonymous: bool,
    /// Whether the bucket's name is in the path of requests, or in the host name: auto, always, never
    #[arg(long, help_heading = BUCKET, value_name = "WHEN")]
    path_style: Option<String>,
    /// What the S3 service can do: full, or minimal for simple servers
    #[arg(long, help_heading = BUCKET, value_name = "DIALECT")]
    s3_dialect: Option<String>,
    /// Take an http:// address that is not this machine: others can read along
    #[arg(long, help_heading = BUCKET)]
    allow_http: bool,
    /// Where files wait for upload, on a disk with room [default: below --state-dir]
    #[arg(long, help_heading = TRAFFIC, value_name = "FOLDER")]
    cache_dir: Option<PathBuf>,
    /// What close waits for: local or remote [default: local]
    #[arg(long, help_heading = TRAFFIC, value_name = "WHERE")]
    close: Option<String>,
    /// What fsync waits for: local or remote [default: local]
    #[arg(long, help_heading = TRAFFIC, value_name = "WHERE")]
    fsync: Option<String>,
    /// Which attributes are shown: full, which costs a request for each file, or what a listing tells, listing
    /// [default: full]
    #[arg(long, help_heading = TRAFFIC, value_name = "WHICH")]
    attributes: Option<String>,
    /// Objects that hold the attributes of a folder's entries: off, read, write [default: off]
    #[arg(long, help_heading = TRAFFIC, value_name = "USE")]
    manifest: Option<String>,
    /// How attributes are written to objects: aws, s3fs, rclone; all are read [default: aws]
    #[arg(long, help_heading = TRAFFIC, value_name = "DIALECT")]
    attribute_dialect: Option<String>,
    /// What the page cache keeps of files that are written whole: nothing, bypass, or all, keep
    /// [default: bypass]
    #[arg(long, help_heading = TRAFFIC, value_name = "HOW")]
    write_cache: Option<String>,
    /// Patterns of files to read past the page cache, as *.log,data/**
    #[arg(long, help_heading = TRAFFIC, value_name = "PATTERNS")]
    direct_io: Option<String>,
    /// Read past it also what others have changed within this time [default: 0s]
    #[arg(long, help_heading = TRAFFIC, value_name = "TIME")]
    direct_io_changed: Option<String>,
    /// What becomes of .DS_Store, Thumbs.db and the like: store, hide, refuse [default: store]
    #[arg(long, help_heading = MOUNT, value_name = "POLICY")]
    litter: Option<String>,
    /// Patterns of names that are such [default: those of macOS, Windows and Linux]
    #[arg(long, help_heading = MOUNT, value_name = "PATTERNS")]
    litter_names: Option<String>,
    /// When someone else changed the object, too: keep-both, fail, overwrite [default: keep-both]
    #[arg(long, help_heading = TRAFFIC, value_name = "POLICY")]
    conflict: Option<String>,
    /// Memory for what was read [default: 256MiB, at most an eighth of what there is]
    #[arg(long, help_heading = TRAFFIC, value_name = "BYTES")]
    cache_memory: Option<String>,
    /// Which of it makes room: clock-pro, lru, fifo, sieve, s3-fifo, tiny-lfu [default: clock-pro]
    #[arg(long, help_heading = TRAFFIC, value_name = "STRATEGY")]
    cache_strategy: Option<String>,
    /// How much may wait for upload on the disk: who writes more waits [default: 3/4 of what is free]
    #[arg(long, help_heading = TRAFFIC, value_name = "BYTES")]
    staging_limit: Option<String>,
    /// How much of that copies of what was uploaded may take, to be read again [default: 1/4]
    #[arg(long, help_heading = TRAFFIC, value_name = "BYTES")]
    kept_limit: Option<String>,
    /// Keep on disk what was read, to be there after a restart [default: nowhere]
    #[arg(long, help_heading = TRAFFIC, value_name = "FOLDER")]
    disk_cache: Option<PathBuf>,
    /// Disk for all in that folder [default: 10GiB]
    #[arg(long, help_heading = TRAFFIC, value_name = "BYTES")]
    disk_cache_size: Option<String>,
    /// Have the kernel read whole files of it itself, unchecked: as root, from Linux 6.9 on, with --read-only
    #[arg(long, help_heading = TRAFFIC)]
    passthrough: bool,
    /// Disk for attributes of objects, which the next mount need not ask for [default: 64MiB; 0: none]
    #[arg(long, help_heading = TRAFFIC, value_name = "BYTES")]
    attribute_index_size: Option<String>,
    /// Uploading requests at once [default: 32]
    #[arg(long, help_heading = TRAFFIC, value_name = "NUMBER")]
    uploads: Option<String>,
    /// Reading requests at once [default: 64]
    #[arg(long, help_heading = TRAFFIC, value_name = "NUMBER")]
    downloads: Option<String>,
    /// Small files of a folder that is gone through, fetched ahead [default: 64; 0: none]
    #[arg(long, help_heading = TRAFFIC, value_name = "NUMBER")]
    files_ahead: Option<String>,
    /// Dollars for 1,000 writing and 1,000 reading requests and a GB out, to be shown by status, as
    /// put=0.005,get=0.0004,out=0.09
    #[arg(long, help_heading = TRAFFIC, value_name = "PRICES")]
    prices: Option<String>,
    /// How long the end waits for uploads [default: 1h]
    #[arg(long, help_heading = TRAFFIC, value_name = "TIME")]
    drain: Option<String>,
}

impl Flags {
    /// The settings that were given, by name.
    pub(crate) fn settings(&self) -> Vec<(&'static str, String)> {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let number = |number: Option<u32>| number.map(|number| number.to_string());
        let texts = [
            ("endpoint", self.endpoint.clone()),
            ("provider", self.provider.clone()),
            ("region", self.region.clone()),
            ("profile", self.profile.clone()),
            ("keychain", self.keychain.clone()),
            ("path-style", self.path_style.clone()),
            ("s3-dialect", self.s3_dialect.clone()),
            ("cache-dir", path(&self.cache_dir)),
            ("state-dir", path(&self.state_dir)),
            ("ttl", self.ttl.clone()),
            ("attr-ttl", self.attr_ttl.clone()),
            ("entry-ttl", self.entry_ttl.clone()),
            ("negative-ttl", self.negative_ttl.clone()),
            ("listing-ttl", self.listing_ttl.clone()),
            ("watch-interval", self.watch_interval.clone()),
            ("webhook", self.webhook.clone()),
            ("webhook-token-file", path(&self.webhook_token_file)),
            ("close", self.close.clone()),
            ("fsync", self.fsync.clone()),
            ("attributes", self.attributes.clone()),
            ("manifest", self.manifest.clone()),
            ("attribute-dialect", self.attribute_dialect.clone()),
            ("write-cache", self.write_cache.clone()),
            ("direct-io", self.direct_io.clone()),
            ("direct-io-changed", self.direct_io_changed.clone()),
            ("litter", self.litter.clone()),
            ("litter-names", self.litter_names.clone()),
            ("conflict", self.conflict.clone()),
            ("cache-memory", self.cache_memory.clone()),
            ("cache-strategy", self.cache_strategy.clone()),
            ("staging-limit", self.staging_limit.clone()),
            ("kept-limit", self.kept_limit.clone()),
            ("disk-cache", path(&self.disk_cache)),
            ("disk-cache-size", self.disk_cache_size.clone()),
            ("attribute-index-size", self.attribute_index_size.clone()),
            ("uploads", self.uploads.clone()),
            ("downloads", self.downloads.clone()),
            ("files-ahead", self.files_ahead.clone()),
            ("prices", self.prices.clone()),
            ("drain", self.drain.clone()),
            ("uid", number(self.uid)),
            ("gid", number(self.gid)),
            ("file-mode", self.file_mode.clone()),
            ("dir-mode", self.dir_mode.clone()),
            ("umask", self.umask.clone()),
        ];
        let switches = [
            ("passthrough", self.passthrough),
            ("read-only", self.read_only),
            ("allow-http", self.allow_http),
            ("allow-other", self.allow_other),
            ("indexers", self.indexers),
            ("anonymous", self.anonymous),
        ];
        let texts = texts
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        let switches = (switches.into_iter())
            .filter(|(_, is_on)| *is_on)
            .map(|(name, _)| (name, "true".to_owned()));
        texts.chain(switches).collect()
    }
}
