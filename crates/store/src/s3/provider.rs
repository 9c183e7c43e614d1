//! [`Provider`]: what is known of a service that speaks S3, by its name or by its address. All of it
//! can be set otherwise. Where each fact comes from stands in `docs/stores.md`, in the section
//! "Providers".
//!
//! Law: only what a provider documents, or was seen to answer, stands here. What it honours of
//! conditions and copies is not believed but [probed](crate::probe).

use serde::Deserialize;

use crate::Capabilities;

/// A service that speaks S3.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Provider {
    /// Amazon S3.
    Amazon,
    /// Backblaze B2.
    B2,
    /// Cloudflare R2.
    R2,
    /// Google Cloud Storage by its XML API, with HMAC keys.
    Google,
    /// Wasabi.
    Wasabi,
    /// Scaleway Object Storage.
    Scaleway,
    /// DigitalOcean Spaces.
    Digitalocean,
    /// Tigris.
    Tigris,
    /// MinIO.
    Minio,
    /// The Object Gateway of Ceph (RGW).
    Ceph,
    /// Garage.
    Garage,
    /// Any other. It is called `other`, too.
    #[serde(alias = "other")]
    Generic,
}

/// What their hosts end in.
const HOSTS: [(&str, Provider); 10] = [
    (".amazonaws.com", Provider::Amazon),
    (".amazonaws.com.cn", Provider::Amazon),
    (".backblazeb2.com", Provider::B2),
    (".r2.cloudflarestorage.com", Provider::R2),
    ("storage.googleapis.com", Provider::Google),
    (".wasabisys.com", Provider::Wasabi),
    (".scw.cloud", Provider::Scaleway),
    (".digitaloceanspaces.com", Provider::Digitalocean),
    ("t3.storage.dev", Provider::Tigris),
    ("fly.storage.tigris.dev", Provider::Tigris),
];

impl Provider {
    /// The one whose address it is.
    #[must_use]
    pub fn of_endpoint(endpoint: &str) -> Self {
        let host = host(endpoint);
        let found = HOSTS.iter().find(|(end, _)| host.ends_with(end));
        found.map_or(Self::Generic, |(_, provider)| *provider)
    }

    /// The address of a region, where one follows from the other; `None` also for Amazon, whose
    /// address needs no saying.
    #[must_use]
    pub fn endpoint(self, region: Option<&str>) -> Option<String> {
        let of_region = |before: &str, after: &str| {
            region.map(|region| format!("https://{before}{region}{after}"))
        };
        match self {
            Self::B2 => of_region("s3.", ".backblazeb2.com"),
            Self::Wasabi => of_region("s3.", ".wasabisys.com"),
            Self::Scaleway => of_region("s3.", ".scw.cloud"),
            Self::Digitalocean => of_region("", ".digitaloceanspaces.com"),
            Self::Google => Some("https://storage.googleapis.com".to_owned()),
            Self::Tigris => Some("https://t3.storage.dev".to_owned()),
            Self::Amazon | Self::R2 | Self::Minio | Self::Ceph | Self::Garage | Self::Generic => {
                None
            }
        }
    }

    /// The form of its address, for messages; `None` where none is needed.
    #[must_use]
    pub const fn endpoint_form(self) -> Option<&'static str> {
        Some(match self {
            Self::B2 => "https://s3.REGION.backblazeb2.com",
            Self::R2 => "https://ACCOUNT.r2.cloudflarestorage.com",
            Self::Wasabi => "https://s3.REGION.wasabisys.com",
            Self::Scaleway => "https://s3.REGION.scw.cloud",
            Self::Digitalocean => "https://REGION.digitaloceanspaces.com",
            // The ports are those of the manuals of both.
            Self::Minio => "https://minio.example.com:9000",
            Self::Garage => "https://garage.example.com:3900",
            Self::Ceph | Self::Generic => "https://s3.example.com",
            Self::Amazon | Self::Google | Self::Tigris => return None,
        })
    }

    /// The region that signatures must name at that address; `None` where it says none, and any may do.
    #[must_use]
    pub fn region(self, endpoint: &str) -> Option<String> {
        let host = host(endpoint);
        let labels: Vec<&str> = host.split('.').collect();
        // `s3.REGION.…`, also behind the name of a bucket or of an endpoint in a network of one's own.
        let after_s3 = || {
            let at = labels.iter().position(|label| label.starts_with("s3"))?;
            let rest = labels.get(at + 1..)?;
            let found = rest.iter().find(|label| **label != "dualstack")?;
            let is_region = found.contains('-');
            is_region.then(|| (*found).to_owned())
        };
        match self {
            Self::R2 | Self::Google | Self::Tigris => Some("auto".to_owned()),
            Self::Amazon | Self::B2 | Self::Wasabi | Self::Scaleway => after_s3(),
            // It refuses any other than its own, which is this one until somebody sets another ("Configuration file
            // format", `s3_region`).
            Self::Garage => Some("garage".to_owned()),
            Self::Digitalocean | Self::Minio | Self::Ceph | Self::Generic => None,
        }
    }

    /// What it offers, before anybody asked.
    #[must_use]
    pub const fn capabilities(self) -> Capabilities {
        let mut offered = Capabilities::S3;
        // Objects have no tags there, and requests that speak of them are refused.
        offered.tags = !matches!(self, Self::B2 | Self::R2 | Self::Google | Self::Garage);
        // "Multipart upload limits", Cloudflare R2.
        offered.parts_equal = matches!(self, Self::R2);
        offered
    }
}

fn host(endpoint: &str) -> String {
    let rest = endpoint
        .split_once("://")
        .map_or(endpoint, |(_, rest)| rest);
    let host = rest.split(['/', ':']).next().unwrap_or_default();
    host.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_tell_provider_and_region() {
        for (endpoint, provider, region) in [
            (
                "https://s3.eu-west-1.amazonaws.com",
                Provider::Amazon,
                Some("eu-west-1"),
            ),
            (
                "https://s3.dualstack.us-east-2.amazonaws.com/",
                Provider::Amazon,
                Some("us-east-2"),
            ),
            (
                "https://vpce-1.s3.eu-1.vpce.amazonaws.com",
                Provider::Amazon,
                Some("eu-1"),
            ),
            (
                "https://s3.cn-north-1.amazonaws.com.cn",
                Provider::Amazon,
                Some("cn-north-1"),
            ),
            ("https://s3.amazonaws.com", Provider::Amazon, None),
            (
                "https://s3.us-west-004.backblazeb2.com",
                Provider::B2,
                Some("us-west-004"),
            ),
            (
                "https://x.r2.cloudflarestorage.com",
                Provider::R2,
                Some("auto"),
            ),
            (
                "https://x.eu.r2.cloudflarestorage.com:443",
                Provider::R2,
                Some("auto"),
            ),
            (
                "https://storage.googleapis.com",
                Provider::Google,
                Some("auto"),
            ),
            (
                "https://s3.eu-central-1.wasabisys.com",
                Provider::Wasabi,
                Some("eu-central-1"),
            ),
            ("https://s3.wasabisys.com", Provider::Wasabi, None),
            (
                "https://s3.fr-par.scw.cloud",
                Provider::Scaleway,
                Some("fr-par"),
            ),
            (
                "https://ams3.digitaloceanspaces.com",
                Provider::Digitalocean,
                None,
            ),
            ("http://127.0.0.1:9000", Provider::Generic, None),
            (
                "https://s3.eu-1.amazonaws.com.example.com",
                Provider::Generic,
                None,
            ),
        ] {
            let found = Provider::of_endpoint(endpoint);
            assert_eq!(found, provider, "{endpoint}");
            assert_eq!(found.region(endpoint).as_deref(), region, "{endpoint}");
        }
    }

    #[test]
    fn addresses_are_made_as_they_are_read() {
        for provider in [Provider::B2, Provider::Wasabi, Provider::Scaleway] {
            assert_eq!(provider.endpoint(None), None);
            let endpoint = provider.endpoint(Some("nl-ams")).unwrap();
            assert_eq!(Provider::of_endpoint(&endpoint), provider);
            assert_eq!(provider.region(&endpoint).as_deref(), Some("nl-ams"));
            let form = provider.endpoint_form().unwrap();
            assert_eq!(form.replace("REGION", "nl-ams"), endpoint);
        }
        let spaces = Provider::Digitalocean.endpoint(Some("ams3")).unwrap();
        assert_eq!(Provider::of_endpoint(&spaces), Provider::Digitalocean);
        for provider in [Provider::Google, Provider::Tigris] {
            let endpoint = provider.endpoint(None).unwrap();
            assert_eq!(Provider::of_endpoint(&endpoint), provider);
            assert_eq!(provider.region(&endpoint).as_deref(), Some("auto"));
        }
        let other = "https://fly.storage.tigris.dev";
        assert_eq!(Provider::of_endpoint(other), Provider::Tigris);
        for provider in [
            Provider::Amazon,
            Provider::R2,
            Provider::Minio,
            Provider::Ceph,
            Provider::Garage,
            Provider::Generic,
        ] {
            assert_eq!(provider.endpoint(Some("x")), None);
        }
    }

    #[test]
    fn servers_of_ones_own_are_known_by_their_names() {
        let here = "http://127.0.0.1:9000";
        for (name, provider, region, tags) in [
            ("minio", Provider::Minio, None, true),
            ("ceph", Provider::Ceph, None, true),
            ("garage", Provider::Garage, Some("garage"), false),
            ("generic", Provider::Generic, None, true),
            ("other", Provider::Generic, None, true),
        ] {
            let quoted = serde_json::Value::String(name.to_owned());
            let named: Provider = serde_json::from_value(quoted).unwrap();
            assert_eq!(named, provider, "{name}");
            assert_eq!(named.region(here).as_deref(), region, "{name}");
            assert_eq!(named.capabilities().tags, tags, "{name}");
            assert!(named.endpoint_form().is_some(), "{name}");
        }
    }

    #[test]
    fn parts_are_equal_where_they_must_be() {
        assert!(Provider::R2.capabilities().parts_equal);
        assert!(!Provider::Amazon.capabilities().parts_equal);
        assert!(!Provider::Generic.capabilities().parts_equal);
    }

    #[test]
    fn tags_are_spoken_of_only_where_there_are_any() {
        for (provider, tags) in [
            (Provider::Amazon, true),
            (Provider::Generic, true),
            (Provider::B2, false),
            (Provider::R2, false),
            (Provider::Google, false),
        ] {
            assert_eq!(provider.capabilities().tags, tags, "{provider:?}");
        }
    }
}
