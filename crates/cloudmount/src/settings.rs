//! [`Settings`]: everything that can be set, resolved once from layers of text.

use std::path::PathBuf;

use serde::Deserialize;
use toml::{Table, Value};

use crate::units::{ByteSize, Octal, Span};
use crate::{Environment, Error, Result};

/// What the names of variables of the environment begin with.
const VARIABLES: &str = "CLOUDMOUNT_";

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

/// Everything that can be set. Each field says its default; the text form has `-` for `_`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Settings {
    /// The S3 endpoint, as `https://s3.example.com`. Default: Amazon's of the region.
    pub endpoint: Option<String>,
    /// The region that signatures name. Default: `us-east-1`.
    pub region: Option<String>,
    /// Where the bucket's name goes: `auto` (default), `always` in the path, `never` in the path.
    pub path_style: UrlStyle,
    /// What the endpoint can do: `full` (default) or `minimal`.
    pub s3_dialect: S3Dialect,
    /// Whether `http://` endpoints are taken that are not on this machine. Default: no.
    pub allow_http: bool,
    /// The profile in the AWS files. Default: `default`.
    pub profile: Option<String>,
    /// Whether nothing may be changed. Default: no.
    pub read_only: bool,
    /// How long names and attributes are believed: 0 to 1 h. Default: `1s`.
    pub ttl: Span,
    /// What `close` waits for: `local` (default) or `remote`.
    pub close: Durable,
    /// What `fsync` waits for: `local` (default) or `remote`.
    pub fsync: Durable,
    /// On conflicts: `keep-both` (default), `fail` or `overwrite`.
    pub conflict: ConflictPolicy,
    /// Memory for blocks that were read: at least 8 MiB. Default: `256MiB`.
    pub cache_memory: ByteSize,
    /// Requests that upload at once: 1 to 1024. Default: 32.
    pub uploads: u16,
    /// Requests that read at once: 1 to 1024. Default: 64.
    pub downloads: u16,
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
    /// Where the journals of mounts lie, and the files that wait to be uploaded. Default: a folder
    /// `cloudmount` in the user's state folder.
    pub state_dir: Option<PathBuf>,
    /// Where the journal and the waiting files of this mount lie, if not below `state-dir`: a disk
    /// with room. Nothing in it may be deleted while something waits.
    pub cache_dir: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            endpoint: None,
            region: None,
            path_style: UrlStyle::default(),
            s3_dialect: S3Dialect::default(),
            allow_http: false,
            profile: None,
            read_only: false,
            ttl: Span(std::time::Duration::from_secs(1)),
            close: Durable::default(),
            fsync: Durable::default(),
            conflict: ConflictPolicy::default(),
            cache_memory: ByteSize(256 << 20),
            uploads: 32,
            downloads: 64,
            drain: Span(std::time::Duration::from_secs(3600)),
            uid: None,
            gid: None,
            file_mode: Octal(0o644),
            dir_mode: Octal(0o755),
            state_dir: None,
            cache_dir: None,
        }
    }
}

impl Settings {
    /// Resolves layers, the later ones winning: `file` (TOML text), then the variables
    /// `CLOUDMOUNT_TTL` and so on of `environment`, then `flags` (pairs of a setting's name and its
    /// text).
    ///
    /// # Errors
    /// An unknown setting or a value that makes no sense, named with the layer that holds it.
    pub fn resolve(
        file: Option<&str>,
        environment: &Environment,
        flags: &[(&str, String)],
    ) -> Result<Self> {
        let mut all = Table::new();
        if let Some(text) = file {
            let table: Table = text
                .parse()
                .map_err(|error: toml::de::Error| wrong("settings file", error.message()))?;
            check_layer("settings file", &table)?;
            all.extend(table);
        }
        let variables = environment.variables().filter_map(|(name, value)| {
            let name = name.strip_prefix(VARIABLES)?;
            let name = name.to_ascii_lowercase().replace('_', "-");
            Some((name, guess(value)))
        });
        let table: Table = variables.collect();
        check_layer("environment (CLOUDMOUNT_…)", &table)?;
        all.extend(table);
        let table: Table = flags
            .iter()
            .map(|(name, value)| ((*name).to_owned(), guess(value)))
            .collect();
        check_layer("command line", &table)?;
        all.extend(table);
        let settings: Self = all
            .try_into()
            .map_err(|error: toml::de::Error| wrong("settings", error.message()))?;
        settings.validate()?;
        Ok(settings)
    }

    /// Takes over one setting of `other` by its name.
    ///
    /// # Errors
    /// An unknown name.
    pub(crate) fn take(&mut self, name: &str, other: Self) -> Result<()> {
        macro_rules! take {
            ($($text:literal => $field:ident),* $(,)?) => {
                match name {
                    $($text => self.$field = other.$field,)*
                    _ => return Err(wrong("setting", &format!("unknown: {name}"))),
                }
            };
        }
        take! {
            "endpoint" => endpoint, "region" => region, "path-style" => path_style,
            "s3-dialect" => s3_dialect, "allow-http" => allow_http, "profile" => profile,
            "read-only" => read_only, "ttl" => ttl, "close" => close, "fsync" => fsync,
            "conflict" => conflict, "cache-memory" => cache_memory, "uploads" => uploads,
            "downloads" => downloads, "drain" => drain, "uid" => uid, "gid" => gid,
            "file-mode" => file_mode, "dir-mode" => dir_mode, "state-dir" => state_dir,
            "cache-dir" => cache_dir,
        }
        Ok(())
    }

    /// What no single value tells.
    pub(crate) fn validate(&self) -> Result<()> {
        let bounds = [
            ("uploads", u64::from(self.uploads), 1, 1024),
            ("downloads", u64::from(self.downloads), 1, 1024),
            ("cache-memory", self.cache_memory.0, 8 << 20, 1 << 40),
            ("ttl", self.ttl.0.as_secs(), 0, 3600),
        ];
        for (name, value, least, most) in bounds {
            if value < least || value > most {
                return Err(
                    Error::new(format!("setting {name}: {value} is out of range"))
                        .or(format!("write a value from {least} to {most}")),
                );
            }
        }
        Ok(())
    }
}

/// Says what is wrong with a layer by itself, so that the layer can be named.
fn check_layer(layer: &str, table: &Table) -> Result<()> {
    let read: std::result::Result<Settings, toml::de::Error> = table.clone().try_into();
    read.map(drop)
        .map_err(|error| wrong(layer, error.message()))
}

fn wrong(layer: &str, why: &str) -> Error {
    Error::new(format!("{layer}: {}", why.trim()))
        .or("`cloudmount mount --help` and docs/configuration.md list all settings")
}

/// A text as the TOML value that a file would hold.
fn guess(text: &str) -> Value {
    match text {
        "true" => Value::Boolean(true),
        "false" => Value::Boolean(false),
        _ => match text.parse::<i64>() {
            // `0644` is a mode, not a number.
            Ok(number) if !text.starts_with('0') || text == "0" => Value::Integer(number),
            _ => Value::String(text.to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
    fn mistakes_are_named_with_their_layer() {
        let none = environment(&[]);
        let resolve = |file: Option<&str>, variables: &Environment, flags: &[(&str, String)]| {
            Settings::resolve(file, variables, flags)
                .unwrap_err()
                .to_string()
        };
        let unknown = resolve(Some("tttl = 1"), &none, &[]);
        assert!(
            unknown.contains("settings file") && unknown.contains("tttl"),
            "{unknown}"
        );
        let variables = environment(&[("CLOUDMOUNT_CLOSE", "never")]);
        let value = resolve(None, &variables, &[]);
        assert!(
            value.contains("environment") && value.contains("never"),
            "{value}"
        );
        let flag = resolve(None, &none, &[("ttl", "soon".to_owned())]);
        assert!(
            flag.contains("command line") && flag.contains("500ms"),
            "{flag}"
        );
        let range = resolve(None, &none, &[("uploads", "0".to_owned())]);
        assert!(
            range.contains("uploads") && range.contains("1 to 1024"),
            "{range}"
        );
        let form = resolve(Some("ttl = "), &none, &[]);
        assert!(form.contains("settings file"), "{form}");
    }
}
