//! The corpus of the fuzzer `names`, on the stable compiler.

#[test]
fn the_corpus_of_names_holds() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/names");
    let mut count = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        let data = std::fs::read(entry.unwrap().path()).unwrap();
        cloudmount_core::fuzzing::names(&data);
        count += 1;
    }
    assert!(count > 0, "an empty corpus tests nothing");
}
