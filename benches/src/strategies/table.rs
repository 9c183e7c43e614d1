//! The tables of the document: written, and read back for the chart.

use std::fmt::Write as _;

use cloudmount_cache::replay::footprint_bytes;

use super::{BLOCK_BYTES, Row, Trace};

/// What is between these two lines of the document is written by the bench.
pub const BEGIN: &str = "<!-- written by cargo bench --bench cache_strategies -->";
/// See [`BEGIN`].
pub const END: &str = "<!-- end of what is written -->";

/// Which memory the second table is about.
const FETCHED_AT: u64 = 10;

/// The tables, as Markdown: the traces, the hits, the bytes fetched.
#[must_use]
pub fn write(traces: &[Trace], rows: &[Row]) -> String {
    let mut text = String::new();
    line(
        &mut text,
        ["trace", "what", "reads", "files", "MiB"].map(str::to_owned),
    );
    line(&mut text, ["---"; 5].map(str::to_owned));
    for trace in traces {
        let files = trace.reads.iter().map(|read| read.file + 1).max();
        let mib = footprint_bytes(&trace.reads, BLOCK_BYTES) >> 20;
        line(
            &mut text,
            [
                trace.name.to_owned(),
                trace.about.to_owned(),
                trace.reads.len().to_string(),
                files.unwrap_or(0).to_string(),
                mib.to_string(),
            ],
        );
    }
    text.push_str("\nHits, in percent of all reads of blocks:\n\n");
    head(&mut text, rows, &["trace", "memory"]);
    for row in rows {
        let hits = row.hits_per_mille.iter();
        let hits = hits.map(|(_, hits)| format!("{}.{}", hits / 10, hits % 10));
        let name = [row.trace.clone(), format!("{} %", row.percent)];
        line(&mut text, name.into_iter().chain(hits));
    }
    let _ = write!(
        text,
        "\nBytes fetched with a memory of {FETCHED_AT} %, in percent of the trace's own bytes (100 is each once):\n\n"
    );
    head(&mut text, rows, &["trace"]);
    for row in rows.iter().filter(|row| row.percent == FETCHED_AT) {
        let fetched = row.fetched_percent.iter();
        let fetched = fetched.map(|(_, percent)| percent.to_string());
        line(&mut text, [row.trace.clone()].into_iter().chain(fetched));
    }
    text
}

fn head(text: &mut String, rows: &[Row], first: &[&str]) {
    let names = rows.iter().take(1).flat_map(|row| &row.hits_per_mille);
    let names: Vec<_> = (first.iter().map(|name| (*name).to_owned()))
        .chain(names.map(|(name, _)| name.clone()))
        .collect();
    line(text, names.clone());
    line(text, names.iter().map(|_| "---".to_owned()));
}

fn line(text: &mut String, cells: impl IntoIterator<Item = String>) {
    let cells: Vec<_> = cells.into_iter().collect();
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}

/// The hits that a document tells; without the bytes.
#[must_use]
pub fn parse(document: &str) -> Vec<Row> {
    let mut names: Vec<String> = Vec::new();
    let mut rows = Vec::new();
    for line in document.lines().skip_while(|line| *line != BEGIN) {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, trace, memory, values @ .., _] = &cells[..] else {
            continue;
        };
        if *memory == "memory" {
            names = values.iter().map(|name| (*name).to_owned()).collect();
            continue;
        }
        let percent = memory.strip_suffix(" %").and_then(|text| text.parse().ok());
        let Some(percent) = percent.filter(|_| values.len() == names.len()) else {
            continue;
        };
        let hits = values.iter().map(|text| text.replace('.', "").parse().ok());
        let Some(hits) = hits.collect::<Option<Vec<u64>>>() else {
            continue;
        };
        rows.push(Row {
            trace: (*trace).to_owned(),
            percent,
            hits_per_mille: names.iter().cloned().zip(hits).collect(),
            fetched_percent: Vec::new(),
        });
    }
    rows
}
