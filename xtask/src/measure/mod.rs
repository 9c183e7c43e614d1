//! `cargo xtask measure`: how fast, in one run on one machine, each figure beside its floor.
//!
//! Laws: a figure is printed only if it was measured in this run; what it is held against was measured in
//! the same run on the same disk and the same server; of several runs the best counts on both sides, and all
//! are in the JSON; whatever was mounted is unmounted.

mod bed;
mod crowd;
mod large;
mod list;
mod quiet;
mod read;
mod report;
mod small;
mod watched;
mod work;

use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Args, Subcommand, ValueEnum};

use crate::filesystem::Program;
use crate::place;
use crate::say::say;
use crate::server::Kind;
use bed::Bed;
use report::Report;
use work::Noise;

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// The way of what is written: until it is closed, and until it is in the bucket
    Write(Write),
    /// The way of what is read: cold and warm, near and far
    Read(read::Read),
    /// Folders: listed cold, near and far, walked, and how much memory a million entries take
    List(list::List),
}

/// How anything is measured.
#[derive(Args, Debug)]
struct How {
    /// The S3 server; figures of any other than rgw are for trying out
    #[arg(long, value_enum, default_value = "rgw")]
    on: Kind,
    /// Other filesystems on the same server, with commas between: s3fs,rclone,rclone-fast
    #[arg(long, value_enum, value_delimiter = ',')]
    against: Vec<Program>,
    /// How often each row is measured; the best counts
    #[arg(long, default_value = "3", value_parser = clap::value_parser!(u8).range(1..))]
    rounds: u8,
}

impl How {
    fn rounds(&self) -> usize {
        usize::from(self.rounds)
    }

    /// Who is held against one another: ours, and those others, if there are any.
    fn peers(&self) -> Vec<Program> {
        let others = self.against.iter().copied();
        let others = others.filter(|one| *one != Program::Cloudmount);
        let ours = (!self.against.is_empty()).then_some(Program::Cloudmount);
        ours.into_iter().chain(others).collect()
    }
}

#[derive(Args, Debug)]
struct Write {
    #[command(flatten)]
    how: How,
    /// Only these rows; may be repeated
    #[arg(long, value_enum)]
    only: Vec<Row>,
    /// Files of the row of small files
    #[arg(long, default_value = "10000")]
    files: usize,
    /// How long the row of many writers may take, in seconds
    #[arg(long, default_value = "120")]
    seconds: u64,
}

/// A row.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Row {
    /// A file of 1 GiB
    Large,
    /// 4 KiB changed in an object of 1 GiB
    Change,
    /// 10,000 files of 4 KiB
    Small,
    /// Eight files of 2 GiB at once over a slow link
    Crowd,
}

/// Measures.
///
/// # Errors
/// Something cannot be started, written or read; what was measured before is in the JSON all the same.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if !place::has_fuse() {
        bail!("measuring needs /dev/fuse, and this machine has none");
    }
    let (how, name) = match &arguments.what {
        What::Write(write) => (&write.how, "write.json"),
        What::Read(read) => (&read.how, "read.json"),
        What::List(list) => (&list.how, "list.json"),
    };
    if how.on != Kind::Rgw {
        say!(
            "on {}: to try the tool; figures mean nothing",
            how.on.name()
        );
    }
    if let Some(wrong) = how.against.iter().find(|one| **one == Program::Bindfs) {
        bail!("{} has no bucket", wrong.name());
    }
    let mut report = Report::default();
    let bed = Bed::start(how.on)?;
    let noise = Noise::new()?;
    let done = match &arguments.what {
        What::Write(write) => rows(write, &bed, &noise, &mut report),
        What::Read(read) => read::rows(read, &bed, &noise, &mut report),
        What::List(list) => list::rows(list, &bed, &mut report),
    };
    report.finish(&bed::results()?.join(name))?;
    done
}

fn rows(write: &Write, bed: &Bed, noise: &Noise, report: &mut Report) -> Result<()> {
    let rounds = write.how.rounds();
    let wanted = |row| write.only.is_empty() || write.only.contains(&row);
    if wanted(Row::Large) {
        large::written(bed, noise, rounds, report)?;
    }
    if wanted(Row::Change) {
        large::change(bed, noise, report)?;
    }
    if wanted(Row::Small) {
        small::written(bed, noise, (rounds, write.files), report)?;
    }
    if wanted(Row::Crowd) {
        let limit = Duration::from_secs(write.seconds);
        crowd::written(bed, noise, limit, report)?;
    }
    for program in write.how.peers() {
        let mut take = |peer| report.tried(program.name(), peer);
        if wanted(Row::Large) {
            take(large::peer(bed, noise, program));
        }
        if wanted(Row::Change) {
            take(large::changed(bed, noise, program));
        }
        if wanted(Row::Small) {
            take(small::peer(bed, noise, program, write.files));
        }
    }
    Ok(())
}
