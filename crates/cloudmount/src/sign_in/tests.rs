//! Profiles, and what they come to.

use super::*;

fn words_of(line: &str) -> Option<Vec<String>> {
    words(line)
}

#[test]
fn commands_are_split_without_a_shell() {
    for (line, expected) in [
        ("/opt/bin/keys", Some(&["/opt/bin/keys"][..])),
        ("  a\tb  c ", Some(&["a", "b", "c"])),
        (r#""C D/e" --user "x y""#, Some(&["C D/e", "--user", "x y"])),
        (
            r#"a "b\"c\\d\e" 'f\"g' h\ i ''"#,
            Some(&["a", r#"b"c\d\e"#, r#"f\"g"#, "h i", ""]),
        ),
        (
            "a $HOME ~ * ; rm -rf / `b` $(c) | d > e",
            Some(&[
                "a", "$HOME", "~", "*", ";", "rm", "-rf", "/", "`b`", "$(c)", "|", "d", ">", "e",
            ]),
        ),
        (r#"a"b"'c'd"#, Some(&["abcd"])),
        ("", Some(&[])),
        (r#"a "b"#, None),
        ("a 'b", None),
        (r"a\", None),
    ] {
        let expected = expected.map(|words| words.iter().map(|word| (*word).to_owned()).collect());
        assert_eq!(words_of(line), expected, "{line}");
    }
}

/// What a profile comes to, in a few words.
fn signs_in(config: &str, name: &str, variables: &[(&str, &str)]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config");
    std::fs::write(&file, config).unwrap();
    let files = [
        ("AWS_CONFIG_FILE", file.to_str().unwrap()),
        ("HOME", "/users/me"),
    ];
    let environment = Environment::of(files.iter().chain(variables).copied());
    match environment.aws(Some(name)) {
        Ok(aws) => format!("{:?}", aws.credentials),
        Err(error) => error.to_string(),
    }
}

const CONFIG: &str = "
[default]
aws_access_key_id = base
aws_secret_access_key = hunter2
[profile taken]
role_arn = arn:one
source_profile = default
external_id = ext
duration_seconds = 900
role_session_name = me
region = eu-9
[profile chain]
role_arn = arn:two
source_profile = taken
[profile itself]
role_arn = arn:three
source_profile = itself
aws_access_key_id = own
aws_secret_access_key = hunter2
[profile machine]
role_arn = arn:four
credential_source = Ec2InstanceMetadata
[profile container]
role_arn = arn:five
credential_source = EcsContainer
[profile program]
credential_process = /bin/keys --token hunter2
[profile person]
sso_session = corp
sso_account_id = 123
sso_role_name = reader
[sso-session corp]
sso_region = eu-8
sso_start_url = https://x
[profile former]
sso_start_url = https://old
sso_region = eu-7
sso_account_id = 123
sso_role_name = reader
";

#[test]
fn a_profile_says_who_asks() {
    let ecs = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x");
    let sts = ("AWS_ENDPOINT_URL_STS", "https://sts.here");
    for (name, variables, parts) in [
        (
            "taken",
            &[sts][..],
            &[
                "arn: \"arn:one\"",
                "Some(\"ext\")",
                "Some(900)",
                "Some(\"me\")",
                "access_key: \"base\"",
                "Some(\"eu-9\")",
                "https://sts.here",
            ][..],
        ),
        ("taken", &[("AWS_REGION", "eu-1")], &["Some(\"eu-1\")"]),
        (
            "chain",
            &[],
            &["arn:two", "source: Role", "arn:one", "\"base\""],
        ),
        ("itself", &[], &["arn:three", "access_key: \"own\""]),
        ("machine", &[], &["arn:four", "source: Instance"]),
        ("container", &[ecs], &["arn:five", "source: Task", "/v2/x"]),
        (
            "program",
            &[],
            &["Process { command: [[hidden], [hidden], [hidden]] }"],
        ),
        (
            "person",
            &[],
            &[
                "session: \"corp\"",
                "eu-8",
                "123",
                "reader",
                "/users/me/.aws/sso/cache",
            ],
        ),
        ("former", &[], &["session: \"https://old\"", "eu-7"]),
    ] {
        let shown = signs_in(CONFIG, name, variables);
        for part in parts {
            assert!(shown.contains(part), "{name}: {part} in {shown}");
        }
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn a_profile_that_cannot_sign_in_says_what_to_do() {
    for (section, parts) in [
        (
            "role_arn = r\nsource_profile = none",
            &["source_profile that is not there"][..],
        ),
        (
            "role_arn = r\nsource_profile = empty\n[profile empty]\nregion = x",
            &["no credentials"],
        ),
        (
            "role_arn = r\nsource_profile = q\n[profile q]\nrole_arn = s\nsource_profile = p",
            &["and so on"],
        ),
        ("role_arn = r\nsource_profile = p", &["no credentials"]),
        (
            "role_arn = r\ncredential_source = Moon",
            &["unknown credential_source", "EcsContainer"],
        ),
        (
            "role_arn = r\ncredential_source = EcsContainer",
            &["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"],
        ),
        (
            "role_arn = r\ncredential_source = Environment",
            &["AWS_ACCESS_KEY_ID"],
        ),
        (
            "role_arn = r\ncredential_source = Environment\nsource_profile = p",
            &["both"],
        ),
        (
            "role_arn = r\nsource_profile = p\nmfa_serial = arn:mfa",
            &["mfa_serial", "export-credentials --profile p"],
        ),
        (
            "role_arn = r\nsource_profile = p\naws_access_key_id = a\naws_secret_access_key = b\nduration_seconds = x",
            &["duration_seconds", "900"],
        ),
        ("sso_session = gone", &["is not there", "aws configure sso"]),
        (
            "sso_start_url = https://x\nsso_account_id = 1",
            &["sso_region", "aws configure sso"],
        ),
        ("credential_process = \"/bin/keys", &["quote"]),
    ] {
        let said = signs_in(&format!("[profile p]\n{section}\n"), "p", &[]);
        for part in parts {
            assert!(said.contains(part), "{section}: {part} in {said}");
        }
    }
}
