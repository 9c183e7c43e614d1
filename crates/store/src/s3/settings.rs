//! [`S3Settings`]: all that a bucket needs to be reached, as plain data. Nothing here reads the
//! environment or a file; whoever assembles the program does.

use std::fmt;
use std::path::PathBuf;

use crate::Capabilities;

/// How to reach S3, or a store that speaks its language.
#[derive(Clone, Debug)]
pub struct S3Settings {
    /// Scheme, host, optional port and path, as `https://s3.example.com:9000`; `None`: Amazon's
    /// endpoint of [`region`](Self::region).
    pub endpoint: Option<String>,
    /// The region that signatures name. Stores without regions take `us-east-1`.
    pub region: String,
    /// Who asks.
    pub credentials: S3Credentials,
    /// Where the bucket's name goes.
    pub path_style: PathStyle,
    /// Whether `http://` endpoints are taken at all, on which requests and answers can be read and
    /// altered by others.
    pub allow_http: bool,
    /// Further certificates to trust, as PEM text: for endpoints with a private authority.
    pub extra_ca_pem: Vec<u8>,
    /// What the endpoint can do. Amazon's values fit most; lower what yours lacks.
    pub capabilities: Capabilities,
}

impl Default for S3Settings {
    /// Amazon S3 in `us-east-1`, with the credentials of the machine's instance role.
    fn default() -> Self {
        Self {
            endpoint: None,
            region: "us-east-1".to_owned(),
            credentials: S3Credentials::Instance {
                metadata_endpoint: None,
            },
            path_style: PathStyle::Auto,
            allow_http: false,
            extra_ca_pem: Vec::new(),
            capabilities: Capabilities::S3,
        }
    }
}

/// Whether the bucket's name is part of the path or of the host name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PathStyle {
    /// Host name on Amazon's own endpoints if the bucket's name fits into one (no dots, which the
    /// certificate would not cover); path everywhere else, as most stores expect.
    #[default]
    Auto,
    /// `https://host/bucket/key`.
    Always,
    /// `https://bucket.host/key`.
    Never,
}

/// Where credentials come from. Temporary ones are renewed before they expire.
#[derive(Clone, Debug)]
pub enum S3Credentials {
    /// Requests are not signed: public buckets.
    Anonymous,
    /// Given once.
    Static {
        /// The access key's id; not secret.
        access_key: String,
        /// The secret key.
        secret_key: Secret,
        /// With temporary credentials, their session token.
        session_token: Option<Secret>,
    },
    /// The role of the EC2 instance that this runs on (IMDSv2).
    Instance {
        /// Another metadata service than `http://169.254.169.254`.
        metadata_endpoint: Option<String>,
    },
    /// The role of the ECS task that this runs in.
    Task {
        /// The path that ECS gives as `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI`.
        relative_uri: String,
    },
    /// EKS pod identity.
    Pod {
        /// The URL that EKS gives as `AWS_CONTAINER_CREDENTIALS_FULL_URI`.
        full_uri: String,
        /// The file that EKS names in `AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE`.
        token_file: String,
    },
    /// A web identity token, exchanged at STS.
    WebIdentity {
        /// The file that holds the token.
        token_file: String,
        /// The role to take.
        role_arn: String,
        /// The name of the session in Amazon's logs.
        session_name: Option<String>,
        /// Another STS than that of the region.
        sts_endpoint: Option<String>,
    },
    /// A role that others may take, taken at STS.
    Role {
        /// Which.
        role: Role,
        /// Who takes it.
        source: Box<Self>,
        /// The region of STS; `None`: that of the bucket.
        region: Option<String>,
        /// Another STS than that of the region.
        sts_endpoint: Option<String>,
    },
    /// What a program of the user's prints (`credential_process`).
    Process {
        /// The program, and what it is told. Any of it may be secret.
        command: Vec<Secret>,
    },
    /// What a person got who signed in by IAM Identity Center with `aws sso login`.
    SignIn(SignedIn),
    /// What the keychain of the desktop keeps under this name (cargo feature `keyring`).
    Keychain {
        /// The name of the entry.
        name: String,
    },
}

/// A role that others may take.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Role {
    /// Its name, as `arn:aws:iam::ACCOUNT:role/NAME`.
    pub arn: String,
    /// The name of the session in Amazon's logs.
    pub session_name: Option<String>,
    /// What its owner asks of those from elsewhere.
    pub external_id: Option<String>,
    /// How long it is taken for, in seconds; `None`: as long as STS says, an hour.
    pub seconds: Option<u32>,
}

/// A person's sign-in by IAM Identity Center, and the role in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedIn {
    /// The profile that asks for it: for what is told to a person.
    pub profile: String,
    /// The name of the session, or where it has none, the address of the start page.
    pub session: String,
    /// The folder of the files that `aws sso login` leaves.
    pub folder: PathBuf,
    /// The region of the portal.
    pub region: String,
    /// The account.
    pub account_id: String,
    /// The role in it.
    pub role_name: String,
    /// Another portal than that of the region.
    pub endpoint: Option<String>,
    /// Another service that renews tokens than that of the region.
    pub oidc_endpoint: Option<String>,
}

/// Text that no log, error or `Debug` output shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_hides_secrets() {
        let settings = S3Settings {
            credentials: S3Credentials::Static {
                access_key: "AKIA".to_owned(),
                secret_key: Secret::new("hunter2"),
                session_token: Some(Secret::new("hunter3")),
            },
            ..S3Settings::default()
        };
        let shown = format!("{settings:?}");
        assert!(shown.contains("AKIA"), "{shown}");
        assert!(!shown.contains("hunter"), "{shown}");
    }
}
