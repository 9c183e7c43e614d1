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
    on_runtime(async {
        let mut reference = Mounted::new(reference().await).await;
        let mut subject = Mounted::new(subject().await).await;
        let steps = compare(&mut reference, &mut subject, ops).await?;
        reference.end().await;
        let ended = AssertUnwindSafe(subject.end()).catch_unwind().await;
        match ended {
            Ok(()) => Ok(steps),
            Err(panic) => Err(Divergence {
                what: said(&*panic),
                steps,
            }),
        }
    })
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
    on_runtime(async {
        let mut reference = Mounted::new(reference().await).await;
        let mut subject = Mounted::new(subject().await).await;
        let mut sides = Sides {
            reference: &mut reference,
            subject: &mut subject,
            one: Session::default(),
            other: Session::default(),
        };
        let (mut steps, mut tree) = (Vec::new(), Tree::default());
        let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty());
        for line in lines {
            let text = line.split_once(" => ").map_or(line, |(step, _)| step);
            let step = text.parse().map_err(|error| Divergence {
                what: format!("no step: {line}: {error}"),
                steps: steps.clone(),
            })?;
            let told = sides.step(&step, &mut tree, &mut steps).await;
            told.map_err(|what| Divergence {
                what,
                steps: steps.clone(),
            })?;
        }
        reference.end().await;
        subject.end().await;
        Ok(())
    })
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
    let (one, other) = (Session::default(), Session::default());
    let mut sides = Sides {
        reference,
        subject,
        one,
        other,
    };
    let mut steps = Vec::new();
    let mut tree = Tree::default();
    for op in ops {
        for step in op.steps(&tree, &sides.one.slots()) {
            let told = sides.step(&step, &mut tree, &mut steps).await;
            told.map_err(|what| Divergence {
                what,
                steps: steps.clone(),
            })?;
        }
    }
    Ok(steps)
}

struct Sides<'a, A: World, B: World> {
    reference: &'a mut Mounted<A>,
    subject: &'a mut Mounted<B>,
    one: Session,
    other: Session,
}

impl<A: World, B: World> Sides<'_, A, B> {
    /// One step on both; says what differs. `tree` becomes the reference's tree after it.
    async fn step(
        &mut self,
        step: &Step,
        tree: &mut Tree,
        steps: &mut Vec<String>,
    ) -> Result<(), String> {
        let wanted = self.one.run(self.reference, step).await;
        steps.push(format!("{step} => {wanted}"));
        *tree = match Tree::of(self.reference.kernel()).await {
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
            Ok((_, Ok(seen))) => match tree.difference(&seen) {
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
