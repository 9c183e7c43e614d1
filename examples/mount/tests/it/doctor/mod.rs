//! `doctor` with faults that are really planted: each is named, by its check and by words of its cause, with what to do, and nothing
//! else is; and none is named where all is well.
//!
//! `cargo test -p cloudmount-mount --test it doctor:: -- --nocapture` shows what was said of each, a line of JSON for each, and how many
//! there are.

mod bucket;
mod credentials;
mod disk;
mod fault;
mod folder;
mod machine;
mod tls;
mod way;
mod well;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use self::fault::{Fault, Outcome, examine};
use crate::world::skipped;

/// All that is planted.
const FAULTS: [&[Fault]; 7] = [
    machine::FAULTS,
    folder::FAULTS,
    disk::FAULTS,
    way::FAULTS,
    tls::FAULTS,
    credentials::FAULTS,
    bucket::FAULTS,
];

/// The least number of faults that are to be named.
const FAULTS_MIN: usize = 20;

/// Of so many at once: most of what they do is to wait.
const AT_ONCE: usize = 6;

fn all() -> Vec<&'static Fault> {
    FAULTS.into_iter().flatten().collect()
}

#[test]
fn each_fault_is_named_with_its_cause_and_what_to_do() {
    let (faults, next) = (all(), AtomicUsize::new(0));
    let (named, left_out) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(fault) = faults.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (line, counter) = match examine(fault) {
                        Outcome::Named(line) => (line, &named),
                        Outcome::LeftOut(why) => {
                            (format!("left out: {}: {why}", fault.name), &left_out)
                        }
                    };
                    counter.fetch_add(1, Ordering::Relaxed);
                    show(&line);
                }
            });
        }
    });
    let (named, left_out) = (named.into_inner(), left_out.into_inner());
    let told = format!(
        "{named} of {} planted faults are named, {left_out} are left out",
        faults.len()
    );
    writeln!(std::io::stdout().lock(), "{told}").unwrap();
    assert_eq!(named + left_out, faults.len(), "{told}");
    if left_out > 0 {
        skipped(&told);
    } else {
        assert!(named >= FAULTS_MIN, "{told}");
    }
}

/// Shown with `--nocapture`.
#[expect(
    clippy::print_stdout,
    reason = "what the harness keeps to itself otherwise"
)]
fn show(line: &str) {
    println!("{line}");
}

/// Two of one name, or of one cause, would be counted twice.
#[test]
fn no_fault_is_counted_twice() {
    let all = all();
    let names: BTreeSet<_> = all.iter().map(|fault| fault.name).collect();
    assert_eq!(names.len(), all.len());
    let causes: BTreeSet<_> = all.iter().map(|fault| (fault.check, fault.words)).collect();
    assert_eq!(causes.len(), all.len());
    assert!(all.iter().all(|fault| !fault.words.is_empty()));
}

/// docs/doctor.md says what is planted.
#[test]
fn the_docs_have_all_faults() {
    let docs = include_str!("../../../../../docs/doctor.md");
    let told: Vec<&str> = (docs.lines())
        .skip_while(|line| *line != "## Faults that are planted")
        .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next())
        .skip(1)
        .collect();
    let names: Vec<_> = all().iter().map(|fault| fault.name).collect();
    let wanted: String = (all().iter())
        .map(|fault| {
            format!(
                "| {} | `{}` | {} |\n",
                fault.name,
                fault.check,
                fault.verdict.name()
            )
        })
        .collect();
    assert_eq!(told, names, "\n{wanted}");
}
