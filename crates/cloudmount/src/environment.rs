//! [`Environment`]: what the program's surroundings say, handed in as data.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cloudmount_store::{S3Credentials, Secret};

use crate::profile::Profiles;
use crate::sign_in::SignIn;
use crate::{Error, Result};

/// Variables, as the program read them. It reads files only where they name them.
#[derive(Clone, Default)]
pub struct Environment {
    // Any of them may be secret.
    variables: BTreeMap<String, Secret>,
}

/// What the surroundings say about S3.
#[derive(Debug)]
pub(crate) struct Aws {
    /// Where the credentials come from, as words for a person.
    pub(crate) source: String,
    pub(crate) credentials: S3Credentials,
    pub(crate) region: Option<String>,
    pub(crate) endpoint: Option<String>,
    /// Further certificates to trust.
    pub(crate) ca_bundle: Option<PathBuf>,
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Names only: values may be secret.
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

impl Environment {
    /// These variables; those that are empty count as not set.
    pub fn of<N: Into<String>, V: Into<String>>(
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let variables = variables
            .into_iter()
            .map(|(name, value)| (name.into(), Secret::new(value)))
            .filter(|(_, value)| !value.expose().is_empty())
            .collect();
        Self { variables }
    }

    pub(crate) fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables
            .iter()
            .map(|(name, value)| (&**name, value.expose()))
    }

    /// A variable.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(Secret::expose)
    }

    fn home(&self) -> Option<&Path> {
        self.get("HOME").map(Path::new)
    }

    /// Where programs keep what must outlive them (XDG Base Directory Specification 0.8).
    pub(crate) fn state_dir(&self) -> Result<PathBuf> {
        self.get("XDG_STATE_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(self.home()?.join(".local/state")))
            .map(|state| state.join("cloudmount"))
            .ok_or_else(|| {
                Error::new("no folder for the state of mounts is known")
                    .or("set HOME, or give --state-dir")
            })
    }

    /// What Amazon's tools would use: the variables, then the profile in their files ("AWS SDKs
    /// and Tools Reference Guide", credential provider chain). A profile that is `chosen` comes
    /// before the variables, as `--profile` does for Amazon's own tool.
    pub(crate) fn aws(&self, chosen: Option<&str>) -> Result<Aws> {
        let named = chosen.or_else(|| self.get("AWS_PROFILE"));
        let [credentials, config] = self.aws_files();
        let profiles = Profiles::read(&credentials, &config)?;
        let name = named.unwrap_or("default");
        let found = profiles.get(name);
        if named.is_some() && found.is_none() {
            return Err(Error::new(format!("there is no AWS profile {name}"))
                .or("name one of ~/.aws/credentials or ~/.aws/config, or unset AWS_PROFILE"));
        }
        let of = |name: &str| {
            let value = found.and_then(|profile| profile.get(name));
            value.map(|value| value.expose().to_owned())
        };
        let variable = |name: &str| self.get(name).map(str::to_owned);
        let keys = match chosen {
            Some(_) => None,
            None => self.keys()?,
        };
        let is_of_variables = keys.is_some();
        let sign_in = SignIn {
            profiles: &profiles,
            environment: self,
        };
        let credentials = match (keys, found) {
            (Some(keys), _) => keys,
            (None, Some(profile)) => match sign_in.of(name, profile) {
                Ok(Some(found)) => found,
                Ok(None) => self.role().unwrap_or(INSTANCE),
                // What nobody asked for does not stand in the way of a role.
                Err(error) => match (named, self.role()) {
                    (None, Some(role)) => role,
                    _ => return Err(error),
                },
            },
            (None, None) => self.role().unwrap_or(INSTANCE),
        };
        let source = match is_of_variables {
            true => "AWS_ACCESS_KEY_ID of the environment".to_owned(),
            false => source(&credentials, name),
        };
        Ok(Aws {
            source,
            credentials: self.at_metadata_endpoint(credentials),
            region: variable("AWS_REGION")
                .or_else(|| variable("AWS_DEFAULT_REGION"))
                .or_else(|| of("region")),
            endpoint: variable("AWS_ENDPOINT_URL_S3")
                .or_else(|| variable("AWS_ENDPOINT_URL"))
                .or_else(|| of("endpoint_url")),
            ca_bundle: variable("AWS_CA_BUNDLE")
                .or_else(|| of("ca_bundle"))
                .map(PathBuf::from),
        })
    }

    /// The files of Amazon's tools, whether they are there or not: `credentials`, then `config`.
    pub(crate) fn aws_files(&self) -> [Option<PathBuf>; 2] {
        [
            self.aws_file("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
            self.aws_file("AWS_CONFIG_FILE", "config"),
        ]
    }

    fn aws_file(&self, variable: &str, name: &str) -> Option<PathBuf> {
        self.get(variable)
            .map(PathBuf::from)
            .or_else(|| Some(self.home()?.join(".aws").join(name)))
    }

    /// Keys among the variables.
    pub(crate) fn keys(&self) -> Result<Option<S3Credentials>> {
        match (
            self.get("AWS_ACCESS_KEY_ID"),
            self.get("AWS_SECRET_ACCESS_KEY"),
        ) {
            (Some(access_key), Some(secret)) => Ok(Some(S3Credentials::Static {
                access_key: access_key.to_owned(),
                secret_key: Secret::new(secret),
                session_token: self.get("AWS_SESSION_TOKEN").map(Secret::new),
            })),
            (None, None) => Ok(None),
            (Some(_), None) => Err(Error::new("AWS_SECRET_ACCESS_KEY is not set")
                .or("set it, as AWS_ACCESS_KEY_ID is, or unset that")),
            (None, Some(_)) => Err(Error::new("AWS_ACCESS_KEY_ID is not set")
                .or("set it, as AWS_SECRET_ACCESS_KEY is, or unset that")),
        }
    }

    /// The role that the environment names.
    fn role(&self) -> Option<S3Credentials> {
        let variable = |name: &str| self.get(name).map(str::to_owned);
        if let (Some(token_file), Some(role_arn)) = (
            variable("AWS_WEB_IDENTITY_TOKEN_FILE"),
            variable("AWS_ROLE_ARN"),
        ) {
            return Some(S3Credentials::WebIdentity {
                token_file,
                role_arn,
                session_name: variable("AWS_ROLE_SESSION_NAME"),
                sts_endpoint: variable("AWS_ENDPOINT_URL_STS"),
            });
        }
        self.container()
    }

    /// The role of the container that this runs in.
    pub(crate) fn container(&self) -> Option<S3Credentials> {
        let variable = |name: &str| self.get(name).map(str::to_owned);
        if let Some(relative_uri) = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
            return Some(S3Credentials::Task { relative_uri });
        }
        if let (Some(full_uri), Some(token_file)) = (
            variable("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
            variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
        ) {
            return Some(S3Credentials::Pod {
                full_uri,
                token_file,
            });
        }
        None
    }

    fn at_metadata_endpoint(&self, credentials: S3Credentials) -> S3Credentials {
        match credentials {
            S3Credentials::Instance { .. } => S3Credentials::Instance {
                metadata_endpoint: (self.get("AWS_EC2_METADATA_SERVICE_ENDPOINT"))
                    .map(str::to_owned),
            },
            other => other,
        }
    }
}

/// Where credentials come from that are not of the variables, as words for a person.
fn source(credentials: &S3Credentials, profile: &str) -> String {
    match credentials {
        S3Credentials::Static { .. } => format!("the AWS profile {profile}"),
        S3Credentials::WebIdentity { role_arn, .. } => {
            format!("the role {role_arn} by a web identity")
        }
        S3Credentials::Role { role, .. } => {
            format!("the role {} of the AWS profile {profile}", role.arn)
        }
        S3Credentials::Process { .. } => {
            format!("the credential_process of the AWS profile {profile}")
        }
        S3Credentials::SignIn(who) => format!(
            "the role {} in account {}, by the sign-in {}",
            who.role_name, who.account_id, who.session
        ),
        // Settings name it, not the environment.
        S3Credentials::Keychain { name } => format!("the entry {name} of the keychain"),
        S3Credentials::Task { .. } | S3Credentials::Pod { .. } => {
            "the role of the container".to_owned()
        }
        S3Credentials::Instance { .. } | S3Credentials::Anonymous => {
            "the role of the machine, if it has one".to_owned()
        }
    }
}

/// The role of the machine, where nothing else says who asks.
const INSTANCE: S3Credentials = S3Credentials::Instance {
    metadata_endpoint: None,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_beat_profiles_and_profiles_beat_roles() {
        let dir = tempfile::tempdir().unwrap();
        let credentials = dir.path().join("credentials");
        let config = dir.path().join("config");
        std::fs::write(
            &credentials,
            "[default]\naws_access_key_id = file\naws_secret_access_key=s\n",
        )
        .unwrap();
        std::fs::write(
            &config,
            "[profile other]\nregion = eu-1\nendpoint_url = https://x\naws_access_key_id=o\naws_secret_access_key=p\n",
        )
        .unwrap();
        let files = [
            ("AWS_SHARED_CREDENTIALS_FILE", credentials.to_str().unwrap()),
            ("AWS_CONFIG_FILE", config.to_str().unwrap()),
        ];
        let who = |more: &[(&str, &str)], profile: Option<&str>| {
            let all = files.iter().chain(more).copied();
            let aws = Environment::of(all).aws(profile).unwrap();
            match aws.credentials {
                S3Credentials::Static { access_key, .. } => (access_key, aws.region, aws.endpoint),
                other => (format!("{other:?}"), aws.region, aws.endpoint),
            }
        };
        assert_eq!(who(&[], None).0, "file");
        let other = (
            "o".to_owned(),
            Some("eu-1".to_owned()),
            Some("https://x".to_owned()),
        );
        assert_eq!(who(&[("AWS_PROFILE", "other")], None), other);
        assert_eq!(who(&[], Some("other")), other);
        let keys = [("AWS_ACCESS_KEY_ID", "env"), ("AWS_SECRET_ACCESS_KEY", "s")];
        assert_eq!(who(&keys, None).0, "env");
        // AWS_PROFILE does not beat keys; a profile that was chosen does.
        let both = [keys[0], keys[1], ("AWS_PROFILE", "other")];
        assert_eq!(who(&both, None).0, "env");
        assert_eq!(who(&keys, Some("other")).0, "o");
        let more = [
            ("AWS_PROFILE", "other"),
            ("AWS_REGION", "eu-2"),
            ("AWS_ENDPOINT_URL", "https://y"),
        ];
        let at = |name: &str| (Some("eu-2".to_owned()), Some(name.to_owned()));
        let place = |(_, region, endpoint)| (region, endpoint);
        assert_eq!(place(who(&more, None)), at("https://y"));
        let only_s3 = [
            more[0],
            more[1],
            more[2],
            ("AWS_ENDPOINT_URL_S3", "https://z"),
        ];
        assert_eq!(place(who(&only_s3, None)), at("https://z"));
        let nothing = Environment::of([("HOME", dir.path().to_str().unwrap())]);
        let aws = nothing.aws(None).unwrap();
        assert!(matches!(aws.credentials, S3Credentials::Instance { .. }));
    }

    #[test]
    fn a_profile_that_signs_in_elsewhere_is_told_from_one_without_keys() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("config");
        std::fs::write(
            &config,
            "[default]\nregion = a\n[profile sso]\nrole_arn = r\nmfa_serial = x\nsource_profile = default\n[profile half]\naws_access_key_id = k\n\
             [profile pod]\nrole_arn = arn\nweb_identity_token_file = /t\n",
        )
        .unwrap();
        let files = [("AWS_CONFIG_FILE", config.to_str().unwrap())];
        let aws = |profile| Environment::of(files).aws(profile);
        assert!(matches!(
            aws(None).unwrap().credentials,
            S3Credentials::Instance { .. }
        ));
        assert!(matches!(
            aws(Some("pod")).unwrap().credentials,
            S3Credentials::WebIdentity { .. }
        ));
        let sso = aws(Some("sso")).unwrap_err().to_string();
        assert!(
            sso.contains("mfa_serial") && sso.contains("export-credentials --profile sso"),
            "{sso}"
        );
        let half = aws(Some("half")).unwrap_err().to_string();
        assert!(
            half.contains("half") && half.contains("aws_secret_access_key"),
            "{half}"
        );
    }

    #[test]
    fn mistakes_are_named_and_secrets_are_not_shown() {
        let half = Environment::of([("AWS_ACCESS_KEY_ID", "a")]);
        let error = half.aws(None).unwrap_err().to_string();
        assert!(
            error.contains("AWS_SECRET_ACCESS_KEY is not set"),
            "{error}"
        );
        assert!(half.aws(Some("nobody")).is_err());
        let error = Environment::default().aws(Some("nobody")).unwrap_err();
        assert!(error.to_string().contains("nobody"), "{error}");
        let keys = Environment::of([
            ("AWS_ACCESS_KEY_ID", "a"),
            ("AWS_SECRET_ACCESS_KEY", "hunter2"),
        ]);
        assert!(!format!("{keys:?}").contains("hunter2"));
        assert!(!format!("{:?}", keys.aws(None).unwrap()).contains("hunter2"));
    }
}
