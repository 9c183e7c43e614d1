//! What the documents show is what the code makes.

use super::*;

const DOCUMENT: &str = include_str!("../../../docs/caching.md");
const CHART: &str = include_str!("../../../docs/images/cache-strategies.svg");

const AGAIN: &str = "run: cargo bench -p cloudmount-benches --bench cache_strategies";

#[test]
fn the_chart_shows_the_table_of_the_document() {
    let rows = parse(DOCUMENT);
    assert_eq!(rows.len(), all().len() * PERCENTS.len(), "{AGAIN}");
    assert!(draw(&rows) == CHART, "the chart differs; {AGAIN}");
}

/// One memory of each trace, under all strategies: what takes seconds also without optimization.
#[test]
fn the_table_is_what_strategies_come_to() {
    let told = parse(DOCUMENT);
    for trace in all() {
        let made = row(&trace, 10);
        let told = told
            .iter()
            .find(|row| row.trace == trace.name && row.percent == 10);
        let told = told.map(|row| &row.hits_per_mille);
        assert_eq!(told, Some(&made.hits_per_mille), "{}: {AGAIN}", trace.name);
    }
}

#[test]
fn nobody_beats_who_knows_the_future() {
    for row in parse(DOCUMENT) {
        let (oracle, others) = row.hits_per_mille.split_last().unwrap();
        for (name, hits) in others {
            assert!(
                *hits <= oracle.1,
                "{name} on {} at {} %",
                row.trace,
                row.percent
            );
        }
    }
}

#[test]
fn tables_are_read_back() {
    let row = |trace: &str, percent, hits| Row {
        trace: trace.to_owned(),
        percent,
        hits_per_mille: vec![("lru".to_owned(), hits), (ORACLE.to_owned(), 1000)],
        fetched_percent: Vec::new(),
    };
    let rows = [row("a", 5, 7), row("a", 10, 123), row("b", 5, 1000)];
    let text = format!("{BEGIN}\n{}{END}\n", write(&[], &rows));
    assert_eq!(parse(&text), rows);
    let svg = draw(&rows);
    assert_eq!(svg.matches("<polyline").count(), 4);
    assert!(svg.contains("stroke-dasharray") && svg.ends_with("</svg>\n"));
}
