//! The chart: a panel for each trace, a line for each strategy.
//!
//! Whole numbers only, so that the same rows give the same file to the byte.

use std::fmt::Write as _;

use super::{ORACLE, Row};

/// Panels beside each other.
const COLUMNS: u64 = 4;
/// A panel and what is around it.
const CELL: (u64, u64) = (250, 220);
/// The part of it that the lines are drawn in, and where that begins.
const PLOT: (u64, u64) = (190, 140);
const INSET: (u64, u64) = (40, 36);
/// The legend above all.
const LEGEND: u64 = 44;

/// Colours that remain apart without red and green, of Okabe and Ito; the last is for the bound.
const COLOURS: [&str; 7] = [
    "#0072B2", "#E69F00", "#999999", "#009E73", "#CC79A7", "#D55E00", "#000000",
];

/// The chart as SVG.
#[must_use]
pub fn draw(rows: &[Row]) -> String {
    let mut traces: Vec<&str> = rows.iter().map(|row| row.trace.as_str()).collect();
    traces.dedup();
    let lines = (traces.len() as u64).div_ceil(COLUMNS);
    let (width, height) = (COLUMNS * CELL.0, LEGEND + lines * CELL.1);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n\
         <title>Hits of each strategy by memory, for each trace</title>\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#FFFFFF\"/>\n"
    );
    let names = rows.first().map_or(&[][..], |row| &row.hits_per_mille[..]);
    for (at, (name, _)) in (0..).zip(names) {
        let x = 20 + at * 130;
        let (stroke, x_text) = (stroke(at, name), x + 30);
        let _ = write!(
            svg,
            "<path d=\"M{x} 20h24\" {stroke}/>\n<text x=\"{x_text}\" y=\"24\">{name}</text>\n"
        );
    }
    for (at, trace) in (0..).zip(&traces) {
        let rows: Vec<_> = rows.iter().filter(|row| row.trace == *trace).collect();
        let x = at % COLUMNS * CELL.0 + INSET.0;
        let y = LEGEND + at / COLUMNS * CELL.1 + INSET.1;
        panel(&mut svg, (x, y), trace, &rows);
    }
    svg.push_str("</svg>\n");
    svg
}

fn panel(svg: &mut String, (x, y): (u64, u64), trace: &str, rows: &[&Row]) {
    let most = rows.iter().flat_map(|row| &row.hits_per_mille);
    // Whole tenths, and never none.
    let most = most.map(|(_, hits)| *hits).max().unwrap_or(0);
    let top = most.div_ceil(100).clamp(1, 10) * 100;
    let place = |step: usize, hits: u64| {
        let steps = (rows.len() as u64).saturating_sub(1).max(1);
        let right = PLOT.0 * step as u64 / steps;
        (x + right, y + PLOT.1 - PLOT.1 * hits.min(top) / top)
    };
    let (right, bottom, above) = (x + PLOT.0, y + PLOT.1, y - 10);
    let _ = writeln!(
        svg,
        "<text x=\"{x}\" y=\"{above}\" font-weight=\"bold\">{trace}</text>"
    );
    for part in 0..=2 {
        let (_, at) = place(0, top * part / 2);
        let (before, text, percent) = (x - 6, at + 4, top * part / 20);
        let _ = write!(
            svg,
            "<path d=\"M{x} {at}H{right}\" stroke=\"#DDDDDD\"/>\n\
             <text x=\"{before}\" y=\"{text}\" text-anchor=\"end\">{percent} %</text>\n"
        );
    }
    for (step, row) in rows.iter().enumerate() {
        let ((at, _), below, percent) = (place(step, 0), bottom + 16, row.percent);
        let _ = writeln!(
            svg,
            "<text x=\"{at}\" y=\"{below}\" text-anchor=\"middle\">{percent} %</text>"
        );
    }
    let names = rows.first().map_or(&[][..], |row| &row.hits_per_mille[..]);
    for (at, (name, _)) in names.iter().enumerate() {
        let points = rows.iter().enumerate().filter_map(|(step, row)| {
            let (right, up) = place(step, row.hits_per_mille.get(at)?.1);
            Some(format!("{right},{up}"))
        });
        let points = points.collect::<Vec<_>>().join(" ");
        let stroke = stroke(at as u64, name);
        let _ = writeln!(svg, "<polyline points=\"{points}\" {stroke}/>");
    }
}

fn stroke(at: u64, name: &str) -> String {
    let colour = COLOURS.iter().cycle().zip(0..).find(|(_, n)| *n == at);
    let colour = colour.map_or("#000000", |(colour, _)| colour);
    let dashes = match name {
        ORACLE => " stroke-dasharray=\"4 3\"",
        _ => "",
    };
    format!("fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dashes}")
}
