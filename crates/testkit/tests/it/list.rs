//! The list of laws and the sources of the suites say the same.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use cloudmount_testkit::model::ModelWorld;
use cloudmount_testkit::suite::{Needs, laws};

/// Every law of the sources: theme, name, and its text up to the next law.
fn written() -> Vec<(String, String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/suite");
    let mut written = Vec::new();
    for file in fs::read_dir(folder).expect("the sources are there") {
        let path = file.expect("a folder can be read").path();
        let theme = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .expect("files have names");
        let theme = theme.to_owned();
        let text = fs::read_to_string(&path).expect("sources are text");
        for law in text.split("\npub async fn ").skip(1) {
            if let Some((name, body)) = law.split_once("<W: World>") {
                written.push((theme.clone(), name.to_owned(), body.to_owned()));
            }
        }
    }
    written.retain(|(theme, _, _)| theme != "mod");
    written
}

#[test]
fn every_law_is_listed_once() {
    let listed: Vec<_> = laws::<ModelWorld>()
        .into_iter()
        .map(|law| (law.theme.to_owned(), law.name.to_owned()))
        .collect();
    let unique: BTreeSet<_> = listed.iter().cloned().collect();
    assert_eq!(unique.len(), listed.len(), "a law is listed once");
    let names: BTreeSet<_> = listed.iter().map(|(_, name)| name).collect();
    assert_eq!(
        names.len(),
        listed.len(),
        "a name means one law, whatever the theme"
    );
    let written: BTreeSet<_> = written()
        .into_iter()
        .map(|(theme, name, _)| (theme, name))
        .collect();
    assert_eq!(unique, written);
}

#[test]
fn every_law_says_what_it_needs() {
    for (theme, name, body) in written() {
        let listed = laws::<ModelWorld>();
        let law = listed.iter().find(|law| law.name == name).expect(&name);
        let remounts = body.contains("m.remount()");
        let touches = [
            "m.put",
            "m.delete(",
            "m.object(",
            "m.keys(",
            "m.metadata(",
            "m.bucket(",
        ];
        let uses_bucket = touches.iter().any(|touch| body.contains(touch));
        match law.needs {
            Needs::Nothing => assert!(!remounts && !uses_bucket, "{theme}::{name}"),
            Needs::Bucket => assert!(!remounts && uses_bucket, "{theme}::{name}"),
            Needs::Remount => assert!(remounts && !uses_bucket, "{theme}::{name}"),
        }
    }
}
