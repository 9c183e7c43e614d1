//! The corpora of the fuzzers `names` and `manifest`, on the stable compiler.

use std::path::Path;

fn check(corpus: &str, feed: fn(&[u8])) {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let mut count = 0;
    for entry in std::fs::read_dir(corpora.join(corpus)).unwrap() {
        feed(&std::fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 0, "an empty corpus tests nothing");
}

#[test]
fn the_corpus_of_names_holds() {
    check("names", cloudmount_core::fuzzing::names);
}

#[test]
fn the_corpus_of_manifests_holds() {
    check("manifest", cloudmount_core::fuzzing::manifest);
}
