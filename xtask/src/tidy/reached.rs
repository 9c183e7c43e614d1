//! No forgotten file: every Rust file of a package is reached from a root by `mod`, and each
//! package has one binary of integration tests, `tests/it/main.rs`.
//!
//! A test file that no `mod` names would never run, and nobody would notice.

use std::collections::BTreeSet;

use super::{Finding, rust, tree::Tree};

/// Finds Rust files that no compiler sees.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let manifests = tree
        .files()
        .filter_map(|(path, _)| path.strip_suffix("Cargo.toml"));
    let packages: Vec<_> = manifests.filter(|dir| !dir.is_empty()).collect();
    let mut findings = Vec::new();
    for (path, _) in tree.with_extension("rs") {
        // The innermost package owns the file.
        let owner = packages
            .iter()
            .filter(|dir| path.starts_with(**dir))
            .max_by_key(|dir| dir.len());
        let Some(owner) = owner else {
            findings.push(Finding::new(path, 0, "belongs to no package"));
            continue;
        };
        let inner = &path[owner.len()..];
        if inner.starts_with("tests/") && inner.split('/').count() == 2 {
            findings.push(Finding::new(
                path,
                0,
                "move it into tests/it/: one test binary a package",
            ));
        }
    }
    let seen: BTreeSet<_> = roots(tree)
        .iter()
        .flat_map(|root| reach(tree, root))
        .collect();
    let forgotten = tree
        .with_extension("rs")
        .filter(|(path, _)| !seen.contains(*path));
    findings.extend(forgotten.map(|(path, _)| Finding::new(path, 0, "no `mod` names this file")));
    findings
}

/// The files where cargo starts: by its conventions for targets.
fn roots(tree: &Tree) -> Vec<String> {
    let is_root = |path: &str| {
        let parts: Vec<_> = path.rsplit('/').collect();
        match parts.as_slice() {
            ["lib.rs" | "main.rs", "src", ..]
            | ["build.rs", ..]
            | ["main.rs", _, "tests" | "benches", ..]
            | ["main.rs", _, "bin", "src", ..] => true,
            [_, "bin", "src", ..] | [_, "benches" | "fuzz_targets" | "examples", ..] => true,
            // Reported above, but not as forgotten.
            [_, "tests", _, ..] => true,
            _ => false,
        }
    };
    tree.with_extension("rs")
        .map(|(path, _)| path.to_owned())
        .filter(|p| is_root(p))
        .collect()
}

/// All files that `root` names, directly or not, and itself.
fn reach(tree: &Tree, root: &str) -> Vec<String> {
    let mut reached = vec![root.to_owned()];
    let mut at = 0;
    while at < reached.len() {
        let path = reached[at].clone();
        let code = rust::code_of(tree.get(&path).unwrap_or_default());
        let folder = module_folder(&path, at == 0);
        for name in rust::declared_modules(&code) {
            let candidates = [
                format!("{folder}{name}.rs"),
                format!("{folder}{name}/mod.rs"),
            ];
            reached.extend(
                candidates
                    .into_iter()
                    .filter(|file| tree.get(file).is_some()),
            );
        }
        at += 1;
    }
    reached
}

/// Where the modules that `path` declares lie.
fn module_folder(path: &str, is_root: bool) -> String {
    let (folder, file) = path
        .rsplit_once('/')
        .map_or(("", path), |(folder, file)| (folder, file));
    let stem = file.trim_end_matches(".rs");
    if is_root || stem == "mod" {
        format!("{folder}/")
    } else {
        format!("{folder}/{stem}/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[&str]) -> Vec<String> {
        let texts = |path: &&str| match *path {
            "c/src/lib.rs" => "mod a;\nmod b;",
            "c/src/a.rs" => "mod deep;",
            "c/tests/it/main.rs" => "mod names;",
            "c/src/bin/tool/main.rs" => "mod part;",
            _ => "",
        };
        let mut all = vec![("c/Cargo.toml", "")];
        all.extend(files.iter().map(|path| (*path, texts(path))));
        check(&Tree::of(&all))
            .into_iter()
            .map(|finding| finding.path)
            .collect()
    }

    #[test]
    fn files_that_mod_names_pass() {
        let all = [
            "c/src/lib.rs",
            "c/src/a.rs",
            "c/src/a/deep.rs",
            "c/src/b/mod.rs",
            "c/src/bin/tool/main.rs",
            "c/src/bin/tool/part.rs",
        ];
        assert_eq!(found(&all), [""; 0]);
        assert_eq!(
            found(&["c/tests/it/main.rs", "c/tests/it/names.rs"]),
            [""; 0]
        );
    }

    #[test]
    fn forgotten_files_are_found() {
        assert_eq!(found(&["c/src/lib.rs", "c/src/lost.rs"]), ["c/src/lost.rs"]);
        assert_eq!(
            found(&["c/tests/it/main.rs", "c/tests/it/lost.rs"]),
            ["c/tests/it/lost.rs"]
        );
    }

    #[test]
    fn a_second_test_binary_is_found() {
        assert_eq!(found(&["c/tests/other.rs"]), ["c/tests/other.rs"]);
    }
}
