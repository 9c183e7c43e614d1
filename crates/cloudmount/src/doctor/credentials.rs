//! Who asks: where the credentials come from, and what is wrong with the files that hold them.
//!
//! Law: of credentials, only the access key's id is shown, which is no secret.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use cloudmount_store::{Location, S3Credentials};

use super::{Finding, Verdict};
use crate::{Environment, Settings, profile, stack};

const CHECK: &str = "credentials";

/// Looks for them, for a bucket of S3.
pub(super) fn look(
    location: &Location,
    settings: &Settings,
    environment: &Environment,
) -> Vec<Finding> {
    if !matches!(location, Location::S3 { .. }) {
        return Vec::new();
    }
    let mut findings: Vec<Finding> = (environment.aws_files().into_iter().flatten())
        .filter_map(|path| file(&path))
        .collect();
    let found = environment
        .aws(settings.profile.as_deref())
        .and_then(|aws| {
            let source = aws.source.clone();
            let (_, endpoint) =
                stack::endpoint(aws.endpoint.as_deref(), aws.region.as_deref(), settings)?;
            let credentials = stack::credentials(aws.credentials, endpoint.as_deref(), settings)?;
            Ok((credentials, source))
        });
    findings.push(match found {
        Ok((credentials, source)) => known(&credentials, &source),
        Err(error) => {
            let (what, remedy) = error.parts();
            Finding::fail(CHECK, what).or(remedy.unwrap_or_default())
        }
    });
    findings
}

fn known(credentials: &S3Credentials, source: &str) -> Finding {
    match credentials {
        S3Credentials::Anonymous => Finding::ok(CHECK, "none: requests are not signed"),
        S3Credentials::Static {
            access_key,
            session_token,
            ..
        } => {
            let kind = match session_token {
                Some(_) => "temporary key",
                None => "key",
            };
            Finding::ok(CHECK, format!("{kind} {access_key} by {source}"))
        }
        S3Credentials::Keychain { name } => {
            Finding::ok(CHECK, format!("the entry {name} of the keychain"))
        }
        _ => Finding::ok(CHECK, source.to_owned()),
    }
}

/// What is wrong with a file of credentials; `None` if nothing is, or it is not there.
fn file(path: &Path) -> Option<Finding> {
    let metadata = std::fs::metadata(path).ok()?;
    let shown = path.display();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            let finding =
                Finding::fail("credentials-file", format!("cannot read {shown}: {error}"));
            return Some(finding.or("make it a text file that this user can read"));
        }
    };
    let lines = profile::not_understood(&text);
    if let Some(first) = lines.first() {
        // What such a line holds may be a secret.
        let found = format!(
            "{shown}: {} lines are not understood, the first is line {first}",
            lines.len()
        );
        return Some(
            Finding::fail("credentials-file", found)
                .or("write sections as [name], and in them lines as name = value"),
        );
    }
    let is_open = metadata.mode() & 0o077 != 0 && text.contains("aws_secret_access_key");
    is_open.then(|| Finding {
        verdict: Verdict::Warn,
        ..Finding::fail(
            "credentials-file",
            format!("others can read the keys in {shown}"),
        )
        .or(format!("chmod 600 {shown}"))
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn files_are_judged_without_being_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("credentials");
        let judge = |text: &[u8], mode: u32| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            file(&path)
        };
        assert_eq!(file(&path), None);
        let good = b"# x\n[default]\naws_access_key_id = a\naws_secret_access_key = hunter2\n";
        assert_eq!(judge(good, 0o600), None);
        let open = judge(good, 0o644).unwrap();
        assert_eq!(open.verdict, Verdict::Warn);
        for bad in [
            &b"[default]\nhunter2\n"[..],
            b"hunter2 = x\n",
            b"[default\nhunter2=y",
            b"\xffhunter2",
        ] {
            let broken = judge(bad, 0o600).unwrap();
            assert_eq!(broken.verdict, Verdict::Fail);
            assert!(
                !format!("{broken:?}{open:?}").contains("hunter2"),
                "{broken:?}"
            );
        }
    }
}
