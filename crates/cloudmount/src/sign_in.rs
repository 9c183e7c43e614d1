//! What a profile says of who asks: keys, a role that somebody takes, a web identity, a sign-in, a program.
//!
//! Sources: "Settings reference" of the AWS SDKs and Tools Reference Guide; where several are there, the order is botocore's.
//!
//! Laws: nothing is asked for here, and no program is started; what a profile says wrongly is not shown, for any of it may be secret.

use std::path::PathBuf;

use cloudmount_store::{Role, S3Credentials, Secret, SignedIn};

use crate::profile::{Profile, Profiles};
use crate::{Environment, Error, Result};

/// Profiles that take roles of each other, at most: more is a circle.
const ROLES_MAX: usize = 8;

/// Whose profiles these are, and what the variables say beside them.
pub(crate) struct SignIn<'a> {
    pub(crate) profiles: &'a Profiles,
    pub(crate) environment: &'a Environment,
}

impl SignIn<'_> {
    /// The credentials of a profile that is there; `None` if it says nothing of them.
    ///
    /// # Errors
    /// It says what makes no sense, or asks for a sign-in that is not done here.
    pub(crate) fn of(&self, name: &str, profile: &Profile) -> Result<Option<S3Credentials>> {
        self.within(name, profile, ROLES_MAX)
    }

    fn within(&self, name: &str, profile: &Profile, roles: usize) -> Result<Option<S3Credentials>> {
        let of = Of { name, profile };
        if of.text("mfa_serial").is_some() {
            return Err(of.elsewhere("a device (mfa_serial)"));
        }
        let from = (of.text("source_profile"), of.text("credential_source"));
        if let (Some(arn), true) = (of.text("role_arn"), from.0.is_some() || from.1.is_some()) {
            return self.role(&of, arn, from, roles).map(Some);
        }
        if let Some(keys) = of.keys()? {
            return Ok(Some(keys));
        }
        if let (Some(role_arn), Some(token_file)) =
            (of.text("role_arn"), of.text("web_identity_token_file"))
        {
            return Ok(Some(S3Credentials::WebIdentity {
                token_file,
                role_arn,
                session_name: of.text("role_session_name"),
                sts_endpoint: self.variable("AWS_ENDPOINT_URL_STS"),
            }));
        }
        if let Some(session) = of.text("sso_session").or_else(|| of.text("sso_start_url")) {
            return self.signed_in(&of, session).map(Some);
        }
        match of.text("credential_process") {
            Some(line) => of.process(&line).map(Some),
            None => Ok(None),
        }
    }

    fn variable(&self, name: &str) -> Option<String> {
        self.environment.get(name).map(str::to_owned)
    }

    /// A role, by whoever takes it.
    fn role(
        &self,
        of: &Of<'_>,
        arn: String,
        from: (Option<String>, Option<String>),
        roles: usize,
    ) -> Result<S3Credentials> {
        let source = match from {
            (Some(_), Some(_)) => {
                let what = "has both source_profile and credential_source";
                return Err(of.wrong(what).or("remove one of them"));
            }
            (Some(source), None) => self.source_profile(of, &source, roles)?,
            (None, source) => self.source_named(of, &source.unwrap_or_default())?,
        };
        let seconds = match of.text("duration_seconds") {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| {
                of.wrong("has duration_seconds that are no number")
                    .or("write a number from 900 to 43200")
            })?),
        };
        let variable = |name: &str| self.variable(name);
        Ok(S3Credentials::Role {
            role: Role {
                arn,
                session_name: (of.text("role_session_name"))
                    .or_else(|| variable("AWS_ROLE_SESSION_NAME")),
                external_id: of.text("external_id"),
                seconds,
            },
            source: Box::new(source),
            region: variable("AWS_REGION")
                .or_else(|| variable("AWS_DEFAULT_REGION"))
                .or_else(|| of.text("region")),
            sts_endpoint: variable("AWS_ENDPOINT_URL_STS").or_else(|| variable("AWS_ENDPOINT_URL")),
        })
    }

    /// The credentials of another profile. One that names itself means the keys that it holds.
    fn source_profile(&self, of: &Of<'_>, source: &str, roles: usize) -> Result<S3Credentials> {
        let unknown = |what| of.wrong(what).or("correct its source_profile");
        let Some(profile) = self.profiles.get(source) else {
            return Err(unknown("names a source_profile that is not there"));
        };
        let found = if source == of.name {
            of.keys()?
        } else {
            let Some(roles) = roles.checked_sub(1) else {
                return Err(unknown(
                    "takes a role of a profile that takes a role, and so on",
                ));
            };
            self.within(source, profile, roles)?
        };
        found.ok_or_else(|| unknown("names a source_profile that has no credentials"))
    }

    fn source_named(&self, of: &Of<'_>, source: &str) -> Result<S3Credentials> {
        match source {
            "Environment" => self.environment.keys()?.ok_or_else(|| {
                of.wrong("takes its keys from the environment, where there are none")
                    .or("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
            }),
            "Ec2InstanceMetadata" => Ok(S3Credentials::Instance {
                metadata_endpoint: self.variable("AWS_EC2_METADATA_SERVICE_ENDPOINT"),
            }),
            "EcsContainer" => self.environment.container().ok_or_else(|| {
                of.wrong("takes the keys of a container, and this is none")
                    .or("set AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, or correct its credential_source")
            }),
            _ => Err(of
                .wrong("has an unknown credential_source")
                .or("write Environment, Ec2InstanceMetadata or EcsContainer")),
        }
    }

    fn signed_in(&self, of: &Of<'_>, session: String) -> Result<S3Credentials> {
        let named = self.profiles.get(&format!("sso-session {session}"));
        if of.text("sso_session").is_some() && named.is_none() {
            let what = "names an sso_session that is not there";
            return Err(of.wrong(what).or("run aws configure sso"));
        }
        let text = |name: &str| {
            let of_session = named.and_then(|section| section.get(name));
            (of_session.map(|value| value.expose().to_owned())).or_else(|| of.text(name))
        };
        let needed = |name: &str| {
            text(name).ok_or_else(|| {
                (of.wrong(&format!("signs in without {name}"))).or("run aws configure sso")
            })
        };
        let home = self.variable("HOME").ok_or_else(|| {
            of.wrong("signs in, and it is not known where that is kept")
                .or("set HOME")
        })?;
        Ok(S3Credentials::SignIn(SignedIn {
            profile: of.name.to_owned(),
            folder: PathBuf::from(home).join(".aws/sso/cache"),
            region: needed("sso_region")?,
            account_id: needed("sso_account_id")?,
            role_name: needed("sso_role_name")?,
            endpoint: self.variable("AWS_ENDPOINT_URL_SSO"),
            oidc_endpoint: self.variable("AWS_ENDPOINT_URL_SSO_OIDC"),
            session,
        }))
    }
}

/// A profile and its name.
struct Of<'a> {
    name: &'a str,
    profile: &'a Profile,
}

impl Of<'_> {
    fn text(&self, name: &str) -> Option<String> {
        let value = self.profile.get(name)?.expose();
        (!value.is_empty()).then(|| value.to_owned())
    }

    fn wrong(&self, what: &str) -> Error {
        Error::new(format!("the AWS profile {} {what}", self.name))
    }

    /// A sign-in that is not done here.
    fn elsewhere(&self, by: &str) -> Error {
        let name = self.name;
        self.wrong(&format!("signs in by {by}, which only Amazon's own tools do")).or(format!(
            "run eval \"$(aws configure export-credentials --profile {name} --format env)\" and go on without --profile"
        ))
    }

    fn keys(&self) -> Result<Option<S3Credentials>> {
        let secret = |name: &str| self.profile.get(name).cloned();
        let missing = match (
            self.text("aws_access_key_id"),
            secret("aws_secret_access_key"),
        ) {
            (Some(access_key), Some(secret_key)) => {
                return Ok(Some(S3Credentials::Static {
                    access_key,
                    secret_key,
                    session_token: secret("aws_session_token"),
                }));
            }
            (None, None) => return Ok(None),
            (Some(_), None) => "aws_secret_access_key",
            (None, Some(_)) => "aws_access_key_id",
        };
        Err(self
            .wrong(&format!("has no {missing}"))
            .or("add it, or choose another one with --profile"))
    }

    fn process(&self, line: &str) -> Result<S3Credentials> {
        let words = words(line).filter(|words| !words.is_empty()).ok_or_else(|| {
            self.wrong("has a credential_process that is empty, or in which a quote does not end")
                .or("write the program and its arguments, with double quotes around those with blanks")
        })?;
        Ok(S3Credentials::Process {
            command: words.into_iter().map(Secret::new).collect(),
        })
    }
}

/// Splits a command into words, as botocore does on Unix (`shlex.split`): blanks part them, quotes of either kind hold them
/// together, a backslash takes the next character as it is, within double quotes only before `"` and itself. Nothing
/// is expanded: no variable, no `~`, no pattern. `None`: a quote or backslash has no end.
fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next()? {
                        '\'' => break,
                        other => word.push(other),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next()? {
                        '"' => break,
                        '\\' => match characters.next()? {
                            escaped @ ('"' | '\\') => word.push(escaped),
                            other => word.extend(['\\', other]),
                        },
                        other => word.push(other),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(characters.next()?),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests;
