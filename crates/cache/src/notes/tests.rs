//! Notes: what is written, what is found again, and the limit.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn notes(root: &Path, limit_bytes: u64) -> Notes {
    Notes::new(NotesSettings {
        folder: root.join("notes"),
        bucket: "s3://pail".to_owned(),
        bucket_folder: "pail".to_owned(),
        limit_bytes,
    })
}

fn there(body: &[u8]) -> Note {
    Note::There(body.to_vec())
}

#[test]
fn a_note_is_found_by_its_name_alone() {
    let dir = tempfile::tempdir().unwrap();
    let one = notes(dir.path(), 1 << 20);
    assert_eq!(one.read("a/").unwrap(), Note::Absent);
    one.write("a/", b"first").unwrap();
    one.write("b/", b"").unwrap();
    one.write("a/", b"second").unwrap();
    // As another process has it.
    let two = notes(dir.path(), 1 << 20);
    assert_eq!(two.read("a/").unwrap(), there(b"second"));
    assert_eq!(two.read("b/").unwrap(), there(b""));
    let other = Notes::new(NotesSettings {
        bucket: "s3://tub".to_owned(),
        ..(*one.0).clone()
    });
    assert_eq!(other.read("a/").unwrap(), Note::Absent);
    // The note of one name under another one's.
    std::fs::copy(one.path("a/", NOTE), one.path("c/", NOTE)).unwrap();
    assert_eq!(one.read("c/").unwrap(), Note::Damaged);
    assert_eq!(one.read("c/").unwrap(), Note::Absent);
}

#[test]
fn only_the_owner_may_read() {
    let dir = tempfile::tempdir().unwrap();
    let one = notes(dir.path(), 1 << 20);
    one.write("a/", b"secret").unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&dir.path().join("notes")), 0o700);
    assert_eq!(mode(&one.folder()), 0o700);
    assert_eq!(mode(&one.path("a/", NOTE)), 0o600);
}

#[test]
fn what_is_damaged_is_removed_and_nothing_else_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let one = notes(dir.path(), 1 << 20);
    one.write("a/", b"some body").unwrap();
    let path = one.path("a/", NOTE);
    let whole = std::fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 4;
        std::fs::write(&path, damaged).unwrap();
        assert_eq!(one.read("a/").unwrap(), Note::Damaged, "byte {at}");
        assert!(!path.exists(), "byte {at}");
        std::fs::write(&path, &whole[..at]).unwrap();
        assert_eq!(one.read("a/").unwrap(), Note::Damaged, "{at} bytes");
    }
    one.write("a/", b"new").unwrap();
    let foreign = one.folder().join("notes.txt");
    std::fs::write(&foreign, "mine").unwrap();
    std::fs::write(one.path("b/", DRAFT), "half").unwrap();
    std::fs::write(one.path("c/", NOTE), "none of ours").unwrap();
    let root = dir.path().join("notes");
    let check = check_notes(&root).unwrap();
    assert_eq!((check.right, check.damaged), (1, 2));
    assert_eq!(check_notes(&root).unwrap().damaged, 0);
    assert_eq!(one.read("a/").unwrap(), there(b"new"));
    assert_eq!(notes_info(&root).unwrap()["pail"].notes, 1);
    assert_eq!(clear_notes(&root).unwrap(), PAGE_BYTES);
    assert_eq!(one.read("a/").unwrap(), Note::Absent);
    assert!(foreign.exists());
    one.write("a/", b"again").unwrap();
    assert_eq!(one.read("a/").unwrap(), there(b"again"));
}

#[test]
fn the_limit_holds_and_what_was_read_last_stays() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("notes");
    let limit = 64 << 10;
    let (one, two) = (notes(dir.path(), limit), notes(dir.path(), limit));
    let body = vec![7; 5000];
    one.write("wanted", &body).unwrap();
    for number in 0..50 {
        let writer = if number % 2 == 0 { &one } else { &two };
        writer.write(&format!("{number}"), &body).unwrap();
        // Times of files move on, whatever their grain.
        let past = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(number + 1);
        let path = one.path(&format!("{number}"), NOTE);
        let file = File::options().append(true).open(path).unwrap();
        file.set_modified(past).unwrap();
        assert!(count(&root).unwrap() <= limit);
        assert_eq!(one.read("wanted").unwrap(), there(&body), "after {number}");
    }
    assert_eq!(one.read("0").unwrap(), Note::Absent);
    assert_eq!(one.read("49").unwrap(), there(&body));
    // One that would push out all others is not kept, nor is what it would have replaced.
    two.write("49", &vec![7; one.body_bytes_max() + 1]).unwrap();
    assert_eq!(one.read("49").unwrap(), Note::Absent);
    two.write("49", &vec![7; one.body_bytes_max()]).unwrap();
    assert!(matches!(one.read("49").unwrap(), Note::There(_)));
    assert!(count(&root).unwrap() <= limit);
}

#[test]
fn a_count_that_is_lost_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("notes");
    let one = notes(dir.path(), 64 << 10);
    for number in 0..5 {
        one.write(&format!("{number}"), &[1; 5000]).unwrap();
        std::fs::write(root.join(crate::ledger::NAME), "broken").unwrap();
    }
    one.write("last", b"x").unwrap();
    let ledger = Ledger::lock(&root).unwrap();
    assert_eq!(ledger.count().unwrap(), Some(count(&root).unwrap()));
}

#[test]
fn two_write_at_once_and_each_note_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (notes(dir.path(), 1 << 20), notes(dir.path(), 1 << 20));
    let writes = |notes: Notes, body: Vec<u8>| {
        std::thread::spawn(move || {
            for _ in 0..50 {
                notes.write("a/", &body).unwrap();
                let Note::There(found) = notes.read("a/").unwrap() else {
                    panic!("it is there");
                };
                assert!(found.windows(2).all(|pair| pair[0] == pair[1]));
            }
        })
    };
    let threads = [writes(one, vec![1; 9000]), writes(two, vec![2; 5000])];
    for thread in threads {
        thread.join().unwrap();
    }
}
