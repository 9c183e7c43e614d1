//! The table of `docs/costs.md`, held against what is measured.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudmount_core::{Attributes, CoreSettings};
use cloudmount_testkit::suite::Mounted;
use cloudmount_testkit::transcript;

use crate::world::CoreWorld;

const TABLE: &str = include_str!("../../../../docs/costs.md");

/// Requests by what providers count them as.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Requests {
    put_class: u64,
    get_class: u64,
    free: u64,
}

impl Requests {
    fn add(&mut self, call: &str) {
        let name = call.split(' ').next().unwrap();
        *match name {
            "list" | "put" | "copy" | "start" | "part" | "copy-part" | "complete" | "uploads" => {
                &mut self.put_class
            }
            "head" | "get" | "tags" => &mut self.get_class,
            "delete" | "abort" => &mut self.free,
            other => unreachable!("of which class is {other}: {call}"),
        } += 1;
    }
}

/// What is done first, and what is measured.
struct Row {
    what: &'static str,
    attributes: Attributes,
    first: String,
    then: String,
}

fn row(what: &'static str, first: impl Into<String>, then: impl Into<String>) -> Row {
    Row {
        what,
        attributes: Attributes::Full,
        first: first.into(),
        then: then.into(),
    }
}

fn of_listings(row: Row) -> Row {
    Row {
        attributes: Attributes::Listing,
        ..row
    }
}

/// A line for each number.
fn each(range: std::ops::Range<u32>, line: impl Fn(u32) -> String) -> String {
    range.map(|n| line(n) + "\n").collect()
}

/// A folder `/d` of so many small objects that others wrote, of which nothing is known.
fn objects(count: u32) -> String {
    each(0..count, |n| format!("put /d/{n:02} \"1\"")) + "forget\n"
}

/// The same of objects that are larger than a symlink can be.
fn large_objects(count: u32) -> String {
    each(0..count, |n| format!("put /d/{n:02} 8192*{n}")) + "forget\n"
}

fn reading() -> Vec<Row> {
    let known = "put /f \"hello\"\nls /\nstat /f\n";
    let folders = each(0..50, |n| {
        format!("put /w/{n:02}/a \"1\"\nput /w/{n:02}/b \"1\"")
    });
    vec![
        row(
            "`ls`, or `find`, of a folder of 100 objects, cold",
            large_objects(100),
            "ls /d",
        ),
        row(
            "`ls -l` of the same, cold",
            large_objects(100),
            "ls /d\n".to_owned() + &each(0..100, |n| format!("stat /d/{n:02}")),
        ),
        row(
            "`find` over 50 folders of 2 of them, cold",
            each(0..50, |n| {
                format!("put /w/{n:02}/a 8192*1\nput /w/{n:02}/b 8192*1")
            }) + "forget\n",
            "ls /w\n".to_owned() + &each(0..50, |n| format!("stat /w/{n:02}\nls /w/{n:02}")),
        ),
        row(
            "`ls`, or `find`, of 100 objects of 4 KiB or less, each of which may be a symlink, cold",
            objects(100),
            "ls /d",
        ),
        row(
            "the same again, when `ttl` is over",
            objects(100) + "ls /d\nwait 1500\n",
            "ls /d",
        ),
        of_listings(row(
            "the same, cold, with `attributes = listing`",
            objects(100),
            "ls /d",
        )),
        of_listings(row(
            "`ls` of 50 folders of 2 objects, one after the other, with `attributes = listing`",
            folders + "forget\n",
            "ls /w\n".to_owned() + &each(0..50, |n| format!("ls /w/{n:02}")),
        )),
        row(
            "`stat` of a name that is not there, its folder known",
            known,
            "stat /missing",
        ),
        row("a small file read, its folder known", known, "cat /f"),
        row(
            "20 small files of a folder read one after the other, cold",
            objects(20),
            each(0..20, |n| format!("cat /d/{n:02}")),
        ),
    ]
}

fn writing() -> Vec<Row> {
    let written = "write /f \"hello\"\nsettle\n";
    let folder = "mkdir /d 755\nsettle\n";
    let files = |count| each(0..count, |n| format!("write /d/{n} \"1\"")) + "settle\n";
    vec![
        row(
            "a new small file, and its folder",
            "",
            "mkdir /d 755\nwrite /d/f \"1\"\nsettle",
        ),
        row("100 new small files in a folder", folder, files(100)),
        row(
            "a small file written anew",
            written,
            "write /f \"other\"\nsettle",
        ),
        row(
            "the end of a small file written on",
            written,
            "append /f \"more\"\nsettle",
        ),
        row("a file of 40 MiB", "ls /\n", "write /f 41943040*7\nsettle"),
        row("mode or owner changed", written, "chmod /f 600\nsettle"),
        row("a file renamed", written, "mv /f /g\nsettle"),
        row(
            "a folder with 10 files renamed",
            folder.to_owned() + &files(10),
            "mv /d /e\nsettle",
        ),
        row("a file removed", written, "rm /f\nsettle"),
        row("an empty folder removed", folder, "rmdir /d\nsettle"),
        row("a symlink", "ls /\n", "ln target /s\nsettle"),
        row(
            "a file made and removed at once",
            "ls /\n",
            "write /f \"1\"\nrm /f\nsettle",
        ),
    ]
}

async fn measured(row: &Row) -> Requests {
    let settings = CoreSettings {
        attributes: row.attributes,
        ..CoreSettings::default()
    };
    let world = CoreWorld::with_settings(settings).quietly();
    let log = Arc::clone(&world.log);
    let mut here = Mounted::new(world).await;
    transcript::record(&mut here, &log, &row.first)
        .await
        .unwrap();
    let seen = transcript::record(&mut here, &log, &row.then)
        .await
        .unwrap();
    let mut requests = Requests::default();
    for line in seen.lines() {
        match line.strip_prefix("    ") {
            Some(call) => requests.add(call),
            None => assert!(
                !line.contains("=> !") || line.contains("missing"),
                "{}: {line}",
                row.what
            ),
        }
    }
    here.end().await;
    requests
}

/// The rows of the table by what they are about.
fn documented() -> BTreeMap<&'static str, Requests> {
    let table = TABLE.split("## Requests per operation").nth(1).unwrap();
    let table = table.split("\n## ").next().unwrap();
    let cells = |line: &'static str| -> Vec<&'static str> {
        line.trim_matches('|').split(" | ").map(str::trim).collect()
    };
    let rows = table.lines().filter(|line| line.starts_with("| "));
    rows.skip(1)
        .map(|line| match cells(line)[..] {
            [what, put_class, get_class, free] => {
                let number = |text: &str| text.parse().unwrap();
                let requests = Requests {
                    put_class: number(put_class),
                    get_class: number(get_class),
                    free: number(free),
                };
                (what, requests)
            }
            _ => unreachable!("no row of four: {line}"),
        })
        .collect()
}

#[tokio::test]
async fn the_table_of_costs_is_what_is_measured() {
    let documented = documented();
    let rows: Vec<Row> = reading().into_iter().chain(writing()).collect();
    assert_eq!(documented.len(), rows.len());
    let mut wrong = Vec::new();
    for row in &rows {
        let requests = measured(row).await;
        if documented.get(row.what) != Some(&requests) {
            let Requests {
                put_class,
                get_class,
                free,
            } = requests;
            wrong.push(format!(
                "| {} | {put_class} | {get_class} | {free} |",
                row.what
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "measured otherwise:\n{}",
        wrong.join("\n")
    );
}
