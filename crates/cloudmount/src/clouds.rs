//! Google Cloud Storage and Azure in their own languages: where they are, and who asks, by the variables of their own tools.
//!
//! Sources: "How Application Default Credentials works", Google Cloud; "Set environment variables for authorization parameters",
//! Azure CLI; `EnvironmentCredential` of the Azure SDKs.

use cloudmount_store::{AzureCredentials, AzureSettings, GcsCredentials, GcsSettings, Secret};

use crate::address::without_user;
use crate::stack::allow_http;
use crate::{Environment, Error, Result, Settings};

/// For a bucket of Google.
pub(crate) fn google(settings: &Settings, environment: &Environment) -> GcsSettings {
    let file = environment.get("GOOGLE_APPLICATION_CREDENTIALS");
    let credentials = match (settings.anonymous, file) {
        (true, _) => GcsCredentials::Anonymous,
        (false, Some(path)) => GcsCredentials::File(path.to_owned()),
        (false, None) => GcsCredentials::Machine,
    };
    GcsSettings {
        credentials,
        ..GcsSettings::default()
    }
}

/// For a container of Azure.
///
/// # Errors
/// No account is known, half of what a service principal needs is missing, or the endpoint cannot be used.
pub(crate) fn azure(settings: &Settings, environment: &Environment) -> Result<AzureSettings> {
    let first = |names: [&str; 2]| names.into_iter().find_map(|name| environment.get(name));
    let account = first(["AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME"]);
    let account = account.ok_or_else(|| {
        Error::new("no storage account of Azure is known").or("set AZURE_STORAGE_ACCOUNT")
    })?;
    if let Some(endpoint) = &settings.endpoint {
        without_user(endpoint, "endpoint")?;
    }
    let credentials = if settings.anonymous {
        AzureCredentials::Anonymous
    } else if let Some(key) = first(["AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY"]) {
        AzureCredentials::AccessKey(Secret::new(key))
    } else if let Some(query) = environment.get("AZURE_STORAGE_SAS_TOKEN") {
        AzureCredentials::SharedAccess(Secret::new(query))
    } else if let Some(client_secret) = environment.get("AZURE_CLIENT_SECRET") {
        let needed = |name: &str| {
            let value = environment.get(name).map(str::to_owned);
            value.ok_or_else(|| {
                let remedy = "set it, as AZURE_CLIENT_SECRET is, or unset that";
                Error::new(format!("{name} is not set")).or(remedy)
            })
        };
        AzureCredentials::Client {
            tenant_id: needed("AZURE_TENANT_ID")?,
            client_id: needed("AZURE_CLIENT_ID")?,
            client_secret: Secret::new(client_secret),
        }
    } else {
        AzureCredentials::Machine
    };
    Ok(AzureSettings {
        account: account.to_owned(),
        allow_http: allow_http(settings.endpoint.as_deref(), settings)?,
        endpoint: settings.endpoint.clone(),
        credentials,
        ..AzureSettings::default()
    })
}

/// Where an account is: containers of the same name in two accounts are two.
pub(crate) fn place_of(azure: &AzureSettings) -> String {
    let account = &azure.account;
    match &azure.endpoint {
        Some(endpoint) => format!("{} of {account}", endpoint.trim_end_matches('/')),
        None => format!("https://{account}.blob.core.windows.net"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        Environment::of(variables.iter().copied())
    }

    #[test]
    fn who_asks_azure() {
        let account = ("AZURE_STORAGE_ACCOUNT", "acc");
        let key = ("AZURE_STORAGE_KEY", "hunter2");
        let sas = ("AZURE_STORAGE_SAS_TOKEN", "sig=hunter2");
        let secret = ("AZURE_CLIENT_SECRET", "hunter2");
        let (tenant, client) = (("AZURE_TENANT_ID", "t"), ("AZURE_CLIENT_ID", "c"));
        let settings = Settings::default();
        let found = |variables: &[(&str, &str)]| azure(&settings, &environment(variables));
        for (variables, expected) in [
            (&[account, key, sas][..], "AccessKey"),
            (&[account, sas, secret], "SharedAccess"),
            (&[account, secret, tenant, client], "Client"),
            (&[account, tenant, client], "Machine"),
            (&[("AZURE_STORAGE_ACCOUNT_NAME", "acc")], "Machine"),
        ] {
            let found = found(variables).unwrap();
            let shown = format!("{found:?}");
            assert!(shown.contains(expected), "{expected}: {shown}");
            assert!(!shown.contains("hunter2"), "{shown}");
            assert_eq!(found.account, "acc");
            assert_eq!(place_of(&found), "https://acc.blob.core.windows.net");
        }
        let said = found(&[key]).unwrap_err().to_string();
        assert!(said.contains("AZURE_STORAGE_ACCOUNT"), "{said}");
        let said = found(&[account, secret, client]).unwrap_err().to_string();
        assert!(said.contains("AZURE_TENANT_ID is not set"), "{said}");
    }

    #[test]
    fn where_azure_is() {
        let variables = environment(&[("AZURE_STORAGE_ACCOUNT", "acc")]);
        let at = |endpoint: &str| {
            let mut settings = Settings::default();
            settings.set_text("anonymous", "true").unwrap();
            settings.endpoint = Some(endpoint.to_owned());
            azure(&settings, &variables)
        };
        let found = at("http://127.0.0.1:10000/acc").unwrap();
        assert!(found.allow_http);
        assert!(matches!(found.credentials, AzureCredentials::Anonymous));
        assert_eq!(place_of(&found), "http://127.0.0.1:10000/acc of acc");
        let said = at("http://example.com").unwrap_err().to_string();
        assert!(said.contains("--allow-http"), "{said}");
        assert!(at("https://me:hunter2@example.com").is_err());
    }

    #[test]
    fn who_asks_google() {
        let file = environment(&[("GOOGLE_APPLICATION_CREDENTIALS", "/key.json")]);
        let mut settings = Settings::default();
        let found = google(&settings, &file).credentials;
        assert!(matches!(found, GcsCredentials::File(path) if path == "/key.json"));
        let found = google(&settings, &environment(&[])).credentials;
        assert!(matches!(found, GcsCredentials::Machine));
        settings.set_text("anonymous", "true").unwrap();
        let found = google(&settings, &file).credentials;
        assert!(matches!(found, GcsCredentials::Anonymous));
    }
}
