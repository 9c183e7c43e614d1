//! What came out: each figure beside its floor and its target, as a table and as JSON.

use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use crate::say::say;

/// Everything of one run.
#[derive(Default, Serialize)]
pub(super) struct Report {
    figures: Vec<Figure>,
    peers: Vec<Peer>,
    notes: Vec<String>,
}

/// One figure.
#[derive(Serialize)]
pub(super) struct Figure {
    /// What was measured.
    pub(super) what: String,
    /// In which unit.
    pub(super) unit: &'static str,
    /// Ours: the one that counts.
    pub(super) ours: f64,
    /// All runs of ours.
    pub(super) runs: Vec<f64>,
    /// What it is held against.
    pub(super) beside: Vec<Beside>,
    /// What it must reach.
    pub(super) target: Option<Target>,
}

/// The same work done otherwise.
#[derive(Serialize)]
pub(super) struct Beside {
    /// By what.
    pub(super) what: String,
    /// The one that counts.
    pub(super) value: f64,
    /// All runs.
    pub(super) runs: Vec<f64>,
}

/// What a figure must reach.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Target {
    /// The first floor divided by ours is this at least.
    Ratio(f64),
    /// Ours is this at most.
    AtMost(f64),
}

/// One filesystem doing one thing.
#[derive(Serialize)]
pub(super) struct Peer {
    /// What it did.
    pub(super) what: String,
    /// Which filesystem.
    pub(super) program: &'static str,
    /// Until the last call returned.
    pub(super) seconds: f64,
    /// Until somebody else sees all of what was written.
    pub(super) bucket_seconds: Option<f64>,
    /// Requests, by the count of a proxy.
    pub(super) requests: u64,
    /// The same by kind.
    pub(super) kinds: String,
    /// Bytes of bodies that it sent.
    pub(super) sent_bytes: u64,
    /// Bytes of bodies that it got.
    pub(super) received_bytes: u64,
    /// The most memory that its process had.
    pub(super) peak_bytes: u64,
    /// The processor's time.
    pub(super) cpu_seconds: f64,
}

/// The least of several runs: the one that others on the machine disturbed least.
pub(super) fn least(runs: &[f64]) -> f64 {
    runs.iter().copied().fold(f64::INFINITY, f64::min)
}

impl Beside {
    /// The best of several runs.
    pub(super) fn best(what: impl Into<String>, runs: &[f64]) -> Self {
        Self {
            what: what.into(),
            value: least(runs),
            runs: runs.to_vec(),
        }
    }
}

impl Figure {
    /// The best of several runs of ours.
    pub(super) fn best(what: impl Into<String>, unit: &'static str, runs: &[f64]) -> Self {
        Self {
            what: what.into(),
            unit,
            ours: least(runs),
            runs: runs.to_vec(),
            beside: Vec::new(),
            target: None,
        }
    }

    /// One value.
    pub(super) fn one(what: impl Into<String>, unit: &'static str, ours: f64) -> Self {
        Self::best(what, unit, &[ours])
    }

    /// Held against others.
    pub(super) fn beside(mut self, others: Vec<Beside>) -> Self {
        self.beside = others;
        self
    }

    /// What it must reach.
    pub(super) fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    fn ratio(&self) -> Option<f64> {
        Some(self.beside.first()?.value / self.ours)
    }

    fn is_good(&self) -> Option<bool> {
        match self.target? {
            Target::Ratio(least) => Some(self.ratio()? >= least),
            Target::AtMost(most) => Some(self.ours <= most),
        }
    }

    fn row(&self) -> String {
        let beside: Vec<_> = (self.beside.iter())
            .map(|other| format!("{} {}", other.what, shown(other.value)))
            .collect();
        let ratio = self.ratio().map(|ratio| format!("{ratio:.2}"));
        let target = match self.target {
            Some(Target::Ratio(least)) => format!("≥ {least:.2}"),
            Some(Target::AtMost(most)) => format!("≤ {most}"),
            None => String::new(),
        };
        let good = match self.is_good() {
            Some(true) => "met",
            Some(false) => "not met",
            None => "",
        };
        format!(
            "| {} | {} {} | {} | {} | {target} | {good} |",
            self.what,
            shown(self.ours),
            self.unit,
            beside.join("; "),
            ratio.unwrap_or_default(),
        )
    }
}

impl Peer {
    fn row(&self) -> String {
        format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            self.what,
            self.program,
            shown(self.seconds),
            self.bucket_seconds.map(shown).unwrap_or_default(),
            self.requests,
            shown(mib(self.sent_bytes)),
            shown(mib(self.received_bytes)),
            self.peak_bytes >> 20,
            shown(self.cpu_seconds),
        )
    }
}

/// MiB.
#[expect(
    clippy::cast_precision_loss,
    reason = "a figure for people; exact up to 8 PiB"
)]
pub(super) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// With as many digits as mean something.
fn shown(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value if value >= 0.1 || value == 0.0 => format!("{value:.2}"),
        value => format!("{value:.5}"),
    }
}

impl Report {
    /// Takes a figure, and shows it.
    pub(super) fn figure(&mut self, figure: Figure) {
        say!("{}", figure.row());
        self.figures.push(figure);
    }

    /// Takes what something cost `who`, and shows it. What another one cannot do is a result, too.
    pub(super) fn tried(&mut self, who: &str, peer: Result<Peer>) {
        match peer {
            Ok(peer) => {
                say!("{}", peer.row());
                self.peers.push(peer);
            }
            Err(error) => self.note(format!("{who} fails: {error:#}")),
        }
    }

    /// Takes a remark, and shows it.
    pub(super) fn note(&mut self, note: String) {
        say!("{note}");
        self.notes.push(note);
    }

    /// Everything again as tables, and as JSON in `file`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn finish(&self, file: &Path) -> Result<()> {
        say!("");
        if !self.figures.is_empty() {
            say!("| what | ours | beside it | ratio | target | |\n|---|---|---|---|---|---|");
            self.figures
                .iter()
                .for_each(|figure| say!("{}", figure.row()));
        }
        if !self.peers.is_empty() {
            say!(
                "\n| what | filesystem | s to the last call | s to the bucket | requests | MiB sent | MiB received | peak MiB | CPU s |"
            );
            say!("|---|---|---|---|---|---|---|---|---|");
            self.peers.iter().for_each(|peer| say!("{}", peer.row()));
        }
        self.notes.iter().for_each(|note| say!("{note}"));
        std::fs::write(file, serde_json::to_vec_pretty(self)?)?;
        say!("written to {}", file.display());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_held_against_its_floor_and_its_target() {
        let check = |ours: &[f64], target, good| {
            let figure = Figure::best("x", "s", ours)
                .beside(vec![
                    Beside::best("floor", &[5.0, 4.0]),
                    Beside::best("disk", &[1.0]),
                ])
                .target(target);
            assert_eq!(figure.is_good(), Some(good), "{}", figure.row());
        };
        check(&[6.0, 5.0], Target::Ratio(0.8), true);
        check(&[6.0, 5.1], Target::Ratio(0.8), false);
        check(&[6.0], Target::AtMost(6.0), true);
        check(&[6.1], Target::AtMost(6.0), false);
        let bare = Figure::one("y", "MiB", 3.0);
        assert_eq!((bare.is_good(), bare.ratio()), (None, None));
        let row = Figure::one("z", "s", 0.000_21).beside(vec![Beside::best("floor", &[0.0021])]);
        assert_eq!(
            row.row(),
            "| z | 0.00021 s | floor 0.00210 | 10.0 |  |  |".replace("10.0", "10.00")
        );
    }
}
