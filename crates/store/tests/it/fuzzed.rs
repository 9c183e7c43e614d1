//! The corpus of the fuzzer `list_xml`, on the stable compiler.

#[test]
fn the_corpus_of_list_xml_holds() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/list_xml");
    let mut count = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        let data = std::fs::read(entry.unwrap().path()).unwrap();
        cloudmount_store::fuzzing::list_xml(&data);
        count += 1;
    }
    assert!(count > 0, "an empty corpus tests nothing");
}
