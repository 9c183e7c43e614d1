//! Running operations on both sides, comparing, and telling what differs.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;

use super::{Op, Tree};
use crate::World;
use crate::script::{Session, Step};
use crate::suite::{Mounted, on_runtime};

/// The two sides differ, or the subject broke a law.
#[derive(Clone, PartialEq, Eq)]
pub struct Divergence {
    /// What differs, after the last step.
    what: String,
    /// The steps so far, each with the result that the reference gave.
    steps: Vec<String>,
}

impl Divergence {
    /// What differs.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The steps that lead there, each with the reference's result, as a
    /// [transcript](crate::transcript) takes them.
    #[must_use]
    pub fn steps(&self) -> &[String] {
        &self.steps
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "after step {}: {}",
            self.steps.len(),
            self.what.trim_end()
        )?;
        writeln!(f, "the steps, as a transcript:\n")?;
        self.steps.iter().try_for_each(|step| writeln!(f, "{step}"))
    }
}

impl fmt::Debug for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Divergence {}

/// Runs `ops` on two fresh worlds, on a runtime of its own, and unmounts both. Gives the steps that
/// were taken, each with its result.
///
/// # Errors
/// The first [`Divergence`]; that the subject keeps something at unmount is one.
///
/// # Panics
/// If the reference breaks a law.
pub fn check<A, B, F, G>(
    reference: impl FnOnce() -> F,
    subject: impl FnOnce() -> G,
    ops: &[Op],
) -> Result<Vec<String>, Divergence>
where
    A: World,
    B: World,
    F: Future<Output = A>,
    G: Future<Output = B>,
{
    on_runtime(on_both(reference, subject, async |sides| {
        sides.ops(ops).await
    }))
}

/// As [`check`], for steps that are known: the lines of a [`Divergence`], with or without their results.
///
/// # Errors
/// The first [`Divergence`], or a line that is no step.
///
/// # Panics
/// If the reference breaks a law.
pub fn check_steps<A, B, F, G>(
    reference: impl FnOnce() -> F,
    subject: impl FnOnce() -> G,
    lines: &str,
) -> Result<(), Divergence>
where
    A: World,
    B: World,
    F: Future<Output = A>,
    G: Future<Output = B>,
{
    let told = on_both(reference, subject, async |sides| sides.lines(lines).await);
    on_runtime(told).map(|_| ())
}

/// Makes both worlds, has `work` done on them, and unmounts both. Gives the steps that were taken.
async fn on_both<A, B, F, G>(
    reference: impl FnOnce() -> F,
    subject: impl FnOnce() -> G,
    work: impl AsyncFnOnce(&mut Sides<'_, A, B>) -> Result<(), Divergence>,
) -> Result<Vec<String>, Divergence>
where
    A: World,
    B: World,
    F: Future<Output = A>,
    G: Future<Output = B>,
{
    let mut reference = Mounted::new(reference().await).await;
    let mut subject = Mounted::new(subject().await).await;
    let mut sides = Sides::new(&mut reference, &mut subject);
    work(&mut sides).await?;
    let steps = sides.steps;
    reference.end().await;
    let ended = AssertUnwindSafe(subject.end()).catch_unwind().await;
    match ended {
        Ok(()) => Ok(steps),
        Err(panic) => Err(Divergence {
            what: said(&*panic),
            steps,
        }),
    }
}

/// Runs `ops` on both and compares the results and the whole trees after each step. Gives the steps
/// that were taken, each with its result.
///
/// # Errors
/// The first [`Divergence`].
///
/// # Panics
/// If the reference breaks a law.
pub async fn compare<A: World, B: World>(
    reference: &mut Mounted<A>,
    subject: &mut Mounted<B>,
    ops: &[Op],
) -> Result<Vec<String>, Divergence> {
    let mut sides = Sides::new(reference, subject);
    sides.ops(ops).await?;
    Ok(sides.steps)
}

/// The two worlds, and what was done on both.
struct Sides<'a, A: World, B: World> {
    reference: &'a mut Mounted<A>,
    subject: &'a mut Mounted<B>,
    one: Session,
    other: Session,
    /// The reference's tree after the last step.
    tree: Tree,
    /// The steps so far, each with the result that the reference gave.
    steps: Vec<String>,
}

impl<'a, A: World, B: World> Sides<'a, A, B> {
    fn new(reference: &'a mut Mounted<A>, subject: &'a mut Mounted<B>) -> Self {
        Self {
            reference,
            subject,
            one: Session::default(),
            other: Session::default(),
            tree: Tree::default(),
            steps: Vec::new(),
        }
    }

    async fn ops(&mut self, ops: &[Op]) -> Result<(), Divergence> {
        for op in ops {
            for step in op.steps(&self.tree, &self.one.slots()) {
                self.step(&step).await?;
            }
        }
        Ok(())
    }

    /// The steps that `lines` say, with or without their results.
    async fn lines(&mut self, lines: &str) -> Result<(), Divergence> {
        let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty());
        for line in lines {
            let text = line.split_once(" => ").map_or(line, |(step, _)| step);
            match text.parse() {
                Ok(step) => self.step(&step).await?,
                Err(error) => return Err(self.differs(format!("no step: {line}: {error}"))),
            }
        }
        Ok(())
    }

    fn differs(&self, what: String) -> Divergence {
        Divergence {
            what,
            steps: self.steps.clone(),
        }
    }

    /// One step on both.
    async fn step(&mut self, step: &Step) -> Result<(), Divergence> {
        let told = self.compared(step).await;
        told.map_err(|what| self.differs(what))
    }

    /// One step on both; says what differs.
    async fn compared(&mut self, step: &Step) -> Result<(), String> {
        let wanted = self.one.run(self.reference, step).await;
        self.steps.push(format!("{step} => {wanted}"));
        self.tree = match Tree::of(self.reference.kernel()).await {
            Ok(tree) => tree,
            Err(error) => return Err(format!("the reference's tree cannot be read: {error:?}")),
        };
        let on_subject = async {
            let seen = self.other.run(self.subject, step).await;
            (seen, Tree::of(self.subject.kernel()).await)
        };
        match AssertUnwindSafe(on_subject).catch_unwind().await {
            Err(panic) => Err(said(&*panic)),
            Ok((seen, _)) if seen != wanted => {
                Err(format!("the result is `{seen}` instead of `{wanted}`"))
            }
            Ok((_, Err(error))) => Err(format!("the tree cannot be read: {error:?}")),
            Ok((_, Ok(seen))) => match self.tree.difference(&seen) {
                Some(lines) => Err(format!("the trees differ:\n{lines}")),
                None => Ok(()),
            },
        }
    }
}

/// What a panic said.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| "it panicked".to_owned())
}
