//! What fuzzers feed. The same functions run over the kept corpora in every `cargo test`.

/// Reads a listing as a server might send it. Whatever it is, it ends, and what is shown was said:
/// keys below a prefix that the listing names as a folder come out with it.
///
/// # Panics
/// When a law of listings is broken.
pub fn list_xml(body: &[u8]) {
    let Some(page) = crate::s3::parse_listing(body) else {
        return;
    };
    // A key takes room in the answer: none is made of nothing.
    let shown = page.objects.len() + page.prefixes.len();
    assert!(
        shown <= body.len(),
        "{shown} keys out of {} bytes",
        body.len()
    );
    for object in &page.objects {
        assert!(!object.key.as_str().is_empty());
    }
}
