//! A [`Fault`]: something that is wrong, how it is planted, and what the doctor is to say of it.

use std::any::Any;
use std::fs;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};

use super::well;
use crate::mistakes;
use crate::world::{Done, World};

/// A secret that must not be shown.
pub(super) const SECRET: &str = "hunter2";

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Warn,
    Fail,
}

impl Verdict {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// What planting takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Needs {
    Nothing,
    /// Mounts of its own, users of its own.
    Root,
}

/// Something that is wrong.
pub(super) struct Fault {
    /// As users would say it.
    pub(super) name: &'static str,
    /// The check that names it.
    pub(super) check: &'static str,
    pub(super) verdict: Verdict,
    /// What it says of the cause and of what to do.
    pub(super) words: &'static [&'static str],
    /// Other checks of which the same thing is wrong.
    pub(super) beside: &'static [&'static str],
    pub(super) needs: Needs,
    /// Plants it in that world.
    pub(super) plant: fn(World) -> Patient,
}

/// What `check` fails of, with no more said of it; it takes nothing to plant.
pub(super) const fn fault(
    name: &'static str,
    check: &'static str,
    plant: fn(World) -> Patient,
) -> Fault {
    Fault {
        name,
        check,
        verdict: Verdict::Fail,
        words: &[],
        beside: &[],
        needs: Needs::Nothing,
        plant,
    }
}

/// Where something is planted, and how the doctor is asked there.
pub(super) struct Patient {
    world: World,
    command: Box<dyn Fn(&World) -> Command>,
    arguments: Vec<String>,
    /// What goes on as long as the doctor looks.
    kept: Vec<Box<dyn Any>>,
}

impl Patient {
    /// The doctor with these arguments.
    pub(super) fn new(world: World, arguments: &[&str]) -> Self {
        Self {
            world,
            command: Box::new(World::program),
            arguments: arguments.iter().map(|one| (*one).to_owned()).collect(),
            kept: Vec::new(),
        }
    }

    /// The doctor as somebody who is not root, with that `PATH`.
    pub(super) fn by_nobody(mut self, path: &'static str) -> Self {
        self.command = Box::new(move |world| mistakes::nobody(world, path));
        self
    }

    /// By another command than the program alone.
    pub(super) fn by(mut self, command: fn(&World) -> Command) -> Self {
        self.command = Box::new(command);
        self
    }

    /// Behind this line of a shell with mounts of its own; `$1` is the world's folder `home`, `$2` its mount point, and `$3` the
    /// folder of all.
    pub(super) fn behind(mut self, line: &'static str) -> Self {
        let before = self.command;
        self.command = Box::new(move |world| {
            let inner = before(world);
            let mut outer = world.command("unshare");
            outer.args(["--mount", "sh", "-ec"]);
            outer.arg(format!("{line}\nshift 3; exec \"$@\"")).arg("sh");
            outer.args([&world.path("home"), &world.folder, &world.path(".")]);
            outer.arg(inner.get_program()).args(inner.get_args());
            outer
        });
        self
    }

    pub(super) fn keeping(mut self, kept: impl Any) -> Self {
        self.kept.push(Box::new(kept));
        self
    }

    fn ask(&self, more: &[&str]) -> Done {
        let mut command = (self.command)(&self.world);
        command.arg("doctor").args(more).args(&self.arguments);
        self.world.end_of(command)
    }
}

/// What became of one.
pub(super) enum Outcome {
    /// It is named, as this line of JSON says.
    Named(String),
    /// It cannot be planted here, for that reason.
    LeftOut(&'static str),
}

/// What was found, in order.
pub(super) fn findings(done: &Done) -> Vec<Value> {
    let report: Value = match serde_json::from_str(&done.out) {
        Ok(report) => report,
        Err(error) => unreachable!("{error}: {done:?}"),
    };
    report["findings"].as_array().unwrap().clone()
}

/// Plants it, and holds the doctor to naming it, in both of its languages, and nothing else.
pub(super) fn examine(fault: &Fault) -> Outcome {
    if fault.needs == Needs::Root && !rustix::process::geteuid().is_root() {
        return Outcome::LeftOut("not root");
    }
    let Some(world) = World::new() else {
        return Outcome::LeftOut("no /dev/fuse");
    };
    let patient = (fault.plant)(world);
    let done = patient.ask(&["--json"]);
    let line = named(fault, &done);
    is_told(fault, &patient.ask(&[]));
    drop(patient.kept);
    Outcome::Named(line)
}

/// For programs: that fault and no other. Gives what was said, as a line of JSON.
fn named(fault: &Fault, done: &Done) -> String {
    let name = fault.name;
    assert!(!done.out.contains(SECRET), "{name}: {done:?}");
    let code = i32::from(fault.verdict == Verdict::Fail);
    assert_eq!(done.code, Some(code), "{name}: {done:?}");
    let found = findings(done);
    let verdict = fault.verdict.name();
    let is_it = |one: &&Value| one["check"] == fault.check && one["verdict"] == verdict;
    let Some(one) = found.iter().find(is_it) else {
        unreachable!("{name} is not named: {done:?}");
    };
    let (Some(cause), Some(remedy)) = (one["found"].as_str(), one["remedy"].as_str()) else {
        unreachable!("{name}: what to do: {one}");
    };
    let text = format!("{cause} {remedy}");
    for word in fault.words {
        assert!(text.contains(word), "{name}: {word:?} in: {text}");
    }
    for other in &found {
        let is_of_it =
            other["check"] == fault.check || fault.beside.iter().any(|one| other["check"] == *one);
        let is_well = matches!(other["verdict"].as_str(), Some("ok" | "skipped"));
        let is_usual =
            other["verdict"] == "warn" && warnings().iter().any(|one| other["check"] == **one);
        assert!(
            is_of_it || is_well || is_usual,
            "{name}: not only that: {other}"
        );
    }
    let line = json!({"fault": name, "check": fault.check, "verdict": verdict, "found": cause, "remedy": remedy});
    line.to_string()
}

/// For people: a line that names it, and one that says what to do.
fn is_told(fault: &Fault, done: &Done) {
    let mark = match fault.verdict {
        Verdict::Warn => "warn",
        Verdict::Fail => "FAIL",
    };
    let start = format!("{mark}  {}: ", fault.check);
    let lines: Vec<&str> = done.out.lines().collect();
    let is_told = lines.windows(2).any(|two| {
        let text = two.join(" ");
        text.starts_with(&start)
            && two[1].starts_with("      ")
            && fault.words.iter().all(|word| text.contains(word))
    });
    assert!(is_told, "{}: {done:?}", fault.name);
}

/// What is to be known of this machine also where all is well.
fn warnings() -> &'static [String] {
    static WARNINGS: OnceLock<Vec<String>> = OnceLock::new();
    WARNINGS.get_or_init(|| {
        let found = World::new()
            .map(|world| well::found(&world))
            .unwrap_or_default();
        let warnings = found.iter().filter(|one| one["verdict"] == "warn");
        warnings
            .filter_map(|one| one["check"].as_str().map(str::to_owned))
            .collect()
    })
}

/// A path as an argument.
pub(super) fn text(path: impl AsRef<std::path::Path>) -> String {
    path.as_ref().to_str().unwrap().to_owned()
}

/// A file of the world with that content.
pub(super) fn file(world: &World, name: &str, content: &str) -> String {
    let path = world.path(name);
    fs::write(&path, content).unwrap();
    text(path)
}
