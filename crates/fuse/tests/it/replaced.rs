//! Files that somebody outside replaces while they are open: who opened them before and who opens them
//! afterwards share neither pages nor sizes.
//!
//! TTLs are an hour here, so the kernel believes what it knows until it is told otherwise.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{DirEntryExt as _, FileExt, MetadataExt};
use std::path::Path;

use cloudmount_vfs::{Change, ErrorKind, InodeId};

use crate::mapping::Mapping;
use crate::mounted::{eventually, scenario};

const OLD: usize = 8192;
const NEW: usize = 3 * 4096 + 5;

fn number(path: &Path) -> u64 {
    fs::metadata(path).unwrap().ino()
}

fn all_of(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; 2 * NEW];
    let mut length = 0;
    loop {
        match file.read_at(&mut bytes[length..], length as u64).unwrap() {
            0 => break,
            more => length += more,
        }
    }
    bytes.truncate(length);
    bytes
}

fn is_stale(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(libc::ESTALE)
}

#[test]
fn handles_from_before_keep_the_old_bytes_and_later_ones_get_the_new() {
    scenario(|mounted| {
        let path = mounted.path("file");
        fs::write(&path, vec![b'o'; OLD]).unwrap();
        let before = number(&path);
        let old = File::open(&path).unwrap();
        let mut page = [0; 4096];
        old.read_exact_at(&mut page, 0).unwrap();
        let old_map = Mapping::to_read(&old, OLD);
        mounted.put_outside("file", &vec![b'n'; NEW]);
        let new = File::open(&path).unwrap();
        assert_eq!(new.metadata().unwrap().len(), NEW as u64);
        let new_map = Mapping::to_read(&new, NEW);
        for _ in 0..2 {
            assert!(all_of(&new) == vec![b'n'; NEW]);
            assert!(new_map.iter().all(|byte| *byte == b'n'));
            assert!(all_of(&old) == vec![b'o'; OLD]);
            assert!(old_map.iter().all(|byte| *byte == b'o'));
        }
        assert_eq!(number(&path), before);
        assert_eq!(new.metadata().unwrap().ino(), before);
        assert!(fs::read(&path).unwrap() == vec![b'n'; NEW]);
    });
}

#[test]
fn each_content_has_its_own_number_while_it_is_open() {
    scenario(|mounted| {
        let path = mounted.path("file");
        fs::write(&path, b"0").unwrap();
        let before = number(&path);
        let mut open = vec![File::open(&path).unwrap()];
        for byte in b'1'..b'9' {
            mounted.put_outside("file", &vec![byte; usize::from(byte) * 100]);
            open.push(File::open(&path).unwrap());
        }
        for (byte, file) in (b'0'..).zip(&open) {
            let right = if byte == b'0' {
                1
            } else {
                usize::from(byte) * 100
            };
            assert!(all_of(file) == vec![byte; right], "{}", char::from(byte));
        }
        assert_eq!(number(&path), before);
        drop(open);
        assert_eq!(number(&path), before);
        assert!(fs::read(&path).unwrap() == vec![b'8'; usize::from(b'8') * 100]);
    });
}

#[test]
fn what_nobody_has_open_is_shown_anew_by_the_next_open() {
    scenario(|mounted| {
        let path = mounted.path("file");
        fs::write(&path, vec![b'o'; OLD]).unwrap();
        let before = number(&path);
        assert!(fs::read(&path).unwrap() == vec![b'o'; OLD]);
        for byte in [b'1', b'2'] {
            mounted.put_outside("file", &vec![byte; NEW]);
            let file = File::open(&path).unwrap();
            assert_eq!(file.metadata().unwrap().len(), NEW as u64, "with the open");
            assert!(all_of(&file) == vec![byte; NEW]);
        }
        assert_eq!(number(&path), before);
    });
}

#[test]
fn attributes_of_a_file_that_is_open_are_those_of_its_name_or_stale() {
    scenario(|mounted| {
        let path = mounted.path("file");
        fs::write(&path, vec![b'o'; OLD]).unwrap();
        let ino = number(&path);
        let old = File::open(&path).unwrap();
        mounted.put_outside("file", &vec![b'n'; NEW]);
        mounted
            .vfs
            .changed(Change::Attributes(InodeId::new(ino).unwrap()));
        eventually("the new size", || {
            fs::metadata(&path).unwrap().len() == NEW as u64
        });
        assert_eq!(number(&path), ino);
        assert!(is_stale(&old.metadata().unwrap_err()));
        let mut bytes = [0; OLD + 1];
        old.read_exact_at(&mut bytes[..OLD], 0).unwrap();
        assert!(bytes[..OLD].iter().all(|byte| *byte == b'o'));
        // Beyond the size that it knows, the kernel asks for the size first.
        let read = old.read_at(&mut bytes, 0);
        assert!(read.is_err_and(|error| is_stale(&error)));
        let listed = fs::read_dir(mounted.root())
            .unwrap()
            .next()
            .unwrap()
            .unwrap();
        assert_eq!(listed.file_name(), "file");
        assert_ne!(listed.ino(), 0);
        assert_eq!(listed.metadata().unwrap().ino(), ino);
    });
}

#[test]
fn creating_a_name_that_was_replaced_opens_the_new() {
    scenario(|mounted| {
        let path = mounted.path("file");
        fs::write(&path, vec![b'o'; OLD]).unwrap();
        let before = number(&path);
        let old = File::open(&path).unwrap();
        mounted.put_outside("file", &vec![b'n'; NEW]);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let new = options.open(&path).unwrap();
        assert!(all_of(&new) == vec![b'n'; NEW]);
        new.write_all_at(b"here", 7).unwrap();
        assert_eq!(fs::read(&path).unwrap()[5..13], *b"nnherenn");
        assert!(all_of(&old) == vec![b'o'; OLD]);
        assert_eq!(number(&path), before);
    });
}

#[test]
fn an_open_that_cannot_be_told_leaves_no_handle() {
    scenario(|mounted| {
        let path = mounted.path("file");
        fs::write(&path, b"old").unwrap();
        let old = File::open(&path).unwrap();
        mounted.put_outside("file", b"new");
        // The kernel looks the name up again, and meets this.
        mounted.vfs.fail("lookup", ErrorKind::Stale);
        assert!(is_stale(&File::open(&path).unwrap_err()));
        eventually("one handle", || mounted.vfs.inner.open_handles() == 1);
        drop(old);
    });
}

/// The kernel learns of a later content while it asks for names: none is left out for that.
#[test]
fn a_listing_that_is_overtaken_leaves_no_name_out() {
    scenario(|mounted| {
        let name = |i| format!("file-{i:03}");
        for i in 0..400 {
            fs::write(mounted.path(&name(i)), b"old").unwrap();
        }
        mounted.put_outside(&name(200), b"newer");
        assert_eq!(fs::read(mounted.path(&name(200))).unwrap(), b"newer");
        for times in [1, 4, 15] {
            mounted.vfs.overtake(&name(200), times);
            let mut names = Vec::new();
            for entry in fs::read_dir(mounted.root()).unwrap() {
                let entry = entry.unwrap();
                // Who looks at what it reads is given attributes with the next names.
                let shown = entry.metadata().unwrap();
                assert_eq!(shown.ino(), entry.ino());
                names.push(entry.file_name().into_string().unwrap());
            }
            assert_eq!(mounted.vfs.not_overtaken(), 0);
            names.sort();
            assert_eq!(names, (0..400).map(name).collect::<Vec<_>>());
        }
    });
}
