//! The walls between packages: who may know whom, and who may see which library.
//!
//! The tables here are the architecture, in a form that a machine can hold against
//! `cargo metadata`. A package that no table names is a finding: a new room is entered here first.

use std::path::Path;

use anyhow::Result;
use cargo_metadata::{DependencyKind, MetadataCommand};

use super::Finding;

/// First-party: each package, and all that it may depend on to do its work.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("cloudmount-vfs", &[]),
    ("cloudmount-inode", &["cloudmount-vfs"]),
    ("cloudmount-store", &["cloudmount-vfs"]),
    ("cloudmount-cache", &["cloudmount-vfs"]),
    ("cloudmount-stage", &["cloudmount-vfs", "cloudmount-store"]),
    (
        "cloudmount-core",
        &[
            "cloudmount-vfs",
            "cloudmount-inode",
            "cloudmount-store",
            "cloudmount-cache",
            "cloudmount-stage",
        ],
    ),
    (
        "cloudmount-testkit",
        &["cloudmount-vfs", "cloudmount-store"],
    ),
    ("cloudmount-fuse", &["cloudmount-vfs"]),
    (
        "cloudmount",
        &[
            "cloudmount-vfs",
            "cloudmount-store",
            "cloudmount-cache",
            "cloudmount-stage",
            "cloudmount-core",
            "cloudmount-fuse",
        ],
    ),
    ("cloudmount-mount", &["cloudmount"]),
    ("cloudmount-embed", &["cloudmount"]),
    ("cloudmount-strategy", &["cloudmount"]),
    (
        "cloudmount-benches",
        &[
            "cloudmount-vfs",
            "cloudmount-inode",
            "cloudmount-store",
            "cloudmount-cache",
            "cloudmount-stage",
            "cloudmount-core",
            "cloudmount-testkit",
            "cloudmount",
        ],
    ),
    ("xtask", &[]),
];

/// First-party, for tests only: what a package's own tests may use on top of [`MAY_KNOW`].
const MAY_TEST_WITH: &[(&str, &[&str])] = &[
    ("cloudmount-store", &["cloudmount-testkit"]),
    ("cloudmount-stage", &["cloudmount-testkit"]),
    ("cloudmount-core", &["cloudmount-testkit"]),
    ("cloudmount-fuse", &["cloudmount-testkit"]),
    ("cloudmount", &["cloudmount-testkit"]),
    ("cloudmount-mount", &["cloudmount-testkit"]),
];

/// Libraries that only some packages may see, tests included. The rest is behind their wall.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("object_store", &["cloudmount-store"]),
    ("reqwest", &["cloudmount-store"]),
    ("hyper", &["cloudmount-store"]),
    ("httparse", &["cloudmount"]),
    ("quick-xml", &["cloudmount-store"]),
    ("fuser", &["cloudmount-fuse"]),
    ("keyring", &["cloudmount-store"]),
    ("redb", &["cloudmount-stage"]),
    ("hashbrown", &["cloudmount-cache"]),
    ("quick_cache", &["cloudmount-cache"]),
    ("clap", &["cloudmount-mount", "xtask"]),
    ("tracing-subscriber", &["cloudmount-mount"]),
    ("toml", &["cloudmount", "cloudmount-mount", "xtask"]),
    ("criterion", &["cloudmount-benches"]),
    ("anyhow", &["cloudmount-mount", "xtask"]),
    ("cargo_metadata", &["xtask"]),
];

/// Libraries that serve tests: to do its work only the harness may use them.
const TESTS_ONLY: (&[&str], &str) = (&["proptest", "tempfile"], "cloudmount-testkit");

/// Packages whose whole list of libraries is fixed: the pure ones.
const EXACTLY: &[(&str, &[&str])] = &[
    ("cloudmount-inode", &[]),
    ("cloudmount-vfs", &["bytes", "parking_lot", "tokio"]),
];

/// A package and what it depends on.
#[derive(Debug, Clone)]
pub(super) struct Package {
    name: String,
    manifest: String,
    /// Name, whether it is for tests only, whether it is first-party.
    needs: Vec<Need>,
}

#[derive(Debug, Clone)]
struct Need {
    name: String,
    kind: DependencyKind,
    is_ours: bool,
}

/// The packages of the workspace at `root`.
///
/// # Errors
/// cargo cannot read the manifests.
pub(super) fn packages(root: &Path) -> Result<Vec<Package>> {
    let metadata = MetadataCommand::new().current_dir(root).no_deps().exec()?;
    let package = |package: &cargo_metadata::Package| Package {
        name: package.name.to_string(),
        manifest: package
            .manifest_path
            .strip_prefix(&metadata.workspace_root)
            .unwrap_or(&package.manifest_path)
            .to_string(),
        needs: package
            .dependencies
            .iter()
            .map(|need| Need {
                name: need.name.clone(),
                kind: need.kind,
                is_ours: need.path.is_some(),
            })
            .collect(),
    };
    Ok(metadata.packages.iter().map(package).collect())
}

/// Finds dependencies that go through a wall.
pub(super) fn check(packages: &[Package]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages {
        let mut breach = |text: String| findings.push(Finding::new(&package.manifest, 0, text));
        let Some(known) = row(MAY_KNOW, &package.name) else {
            breach(format!(
                "{}: enter it in the tables of tidy/walls.rs",
                package.name
            ));
            continue;
        };
        for need in &package.needs {
            if let Some(why) = refused(&package.name, known, need) {
                breach(format!(
                    "{} must not depend on {}: {why}",
                    package.name, need.name
                ));
            }
        }
    }
    findings
}

fn refused(package: &str, known: &[&str], need: &Need) -> Option<String> {
    let name = need.name.as_str();
    let in_tests = need.kind == DependencyKind::Development;
    if need.is_ours {
        let tests = row(MAY_TEST_WITH, package).unwrap_or_default();
        let fine = known.contains(&name) || (in_tests && tests.contains(&name));
        return (!fine).then(|| "the architecture draws no such arrow".to_owned());
    }
    if let Some(rooms) = row(ONLY_IN, name)
        && !rooms.contains(&package)
    {
        return Some(format!("it belongs to {}", rooms.join(", ")));
    }
    if in_tests {
        return None;
    }
    let (test_tools, harness) = TESTS_ONLY;
    if test_tools.contains(&name) && ![harness, "xtask", "cloudmount-benches"].contains(&package) {
        return Some("it serves tests".to_owned());
    }
    let exact = row(EXACTLY, package).filter(|list| !list.contains(&name))?;
    Some(if exact.is_empty() {
        "it is pure".to_owned()
    } else {
        format!("only {}", exact.join(", "))
    })
}

fn row(table: &'static [(&str, &[&str])], name: &str) -> Option<&'static [&'static str]> {
    table
        .iter()
        .find(|(first, _)| *first == name)
        .map(|(_, rest)| *rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(package: &str, name: &str, kind: DependencyKind) -> usize {
        let is_ours = name.starts_with("cloudmount");
        let needs = vec![Need {
            name: name.into(),
            kind,
            is_ours,
        }];
        check(&[Package {
            name: package.into(),
            manifest: "Cargo.toml".into(),
            needs,
        }])
        .len()
    }

    #[test]
    fn what_the_architecture_draws_passes() {
        for (package, need) in [
            ("cloudmount-core", "cloudmount-store"),
            ("cloudmount-store", "object_store"),
            ("cloudmount-fuse", "fuser"),
            ("cloudmount-testkit", "proptest"),
            ("cloudmount-vfs", "bytes"),
        ] {
            assert_eq!(
                found(package, need, DependencyKind::Normal),
                0,
                "{package} → {need}"
            );
        }
        for (package, need) in [
            ("cloudmount-core", "cloudmount-testkit"),
            ("cloudmount-inode", "proptest"),
        ] {
            assert_eq!(
                found(package, need, DependencyKind::Development),
                0,
                "{package} → {need}"
            );
        }
    }

    #[test]
    fn what_goes_through_a_wall_is_found() {
        for (package, need) in [
            ("cloudmount-cache", "cloudmount-store"),
            ("cloudmount-fuse", "cloudmount-core"),
            ("cloudmount-testkit", "cloudmount-core"),
            ("cloudmount-core", "cloudmount-testkit"),
            ("cloudmount-core", "object_store"),
            ("cloudmount-core", "fuser"),
            ("cloudmount-inode", "tokio"),
            ("cloudmount-vfs", "serde"),
            ("cloudmount-stage", "proptest"),
            ("cloudmount", "clap"),
            ("cloudmount-new", "serde"),
        ] {
            assert_eq!(
                found(package, need, DependencyKind::Normal),
                1,
                "{package} → {need}"
            );
        }
        assert_eq!(
            found("cloudmount-core", "reqwest", DependencyKind::Development),
            1
        );
        assert_eq!(
            found(
                "cloudmount-inode",
                "cloudmount-core",
                DependencyKind::Development
            ),
            1
        );
    }

    #[test]
    fn the_workspace_is_read() {
        let packages = packages(crate::place::root()).unwrap();
        let core = packages
            .iter()
            .find(|package| package.name == "cloudmount-core")
            .unwrap();
        assert!(
            core.needs
                .iter()
                .any(|need| need.is_ours && need.name == "cloudmount-vfs")
        );
    }
}
