//! The table behind dev-host as one chart: calls per second and CPU time per call.

use std::fmt::Write as _;

use crate::{Samples, median, server::Variant};

const ROW: usize = 30;
const TOP: usize = 46;
/// Where the bars of a panel begin, and how long the longest is.
const PANELS: [(usize, usize); 2] = [(190, 200), (480, 200)];
const WIDTH: usize = 760;

/// An SVG image that is readable on light and on dark pages.
pub fn draw(variants: &[Variant], samples: &[Samples], machine: &str) -> String {
    let rows: Vec<(&str, [f64; 2])> = variants
        .iter()
        .zip(samples)
        .filter(|(variant, _)| variant.is_installed)
        .map(|(variant, samples)| (variant.name, [median(&samples.rate), median(&samples.cpu)]))
        .collect();
    let height = TOP + ROW * rows.len() + 26;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"13\" role=\"img\">\n\
         <title>Calls per second and CPU time per call behind dev-host</title>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" rx=\"6\" fill=\"#fff\"/>\n"
    );
    let titles = [
        "calls per second: more is better",
        "CPU µs per call: less is better",
    ];
    for (panel, title) in titles.iter().enumerate() {
        let x = PANELS[panel].0;
        let _ = writeln!(
            svg,
            "<text x=\"{x}\" y=\"26\" font-weight=\"bold\">{title}</text>"
        );
    }
    for (row, (name, values)) in rows.iter().enumerate() {
        let y = TOP + ROW * row;
        let color = if name.starts_with("handler") {
            "#b7410e"
        } else {
            "#8a94a6"
        };
        let _ = writeln!(
            svg,
            "<text x=\"178\" y=\"{}\" text-anchor=\"end\">{name}</text>",
            y + 15
        );
        for (panel, value) in values.iter().enumerate() {
            let (x, longest) = PANELS[panel];
            let most = rows
                .iter()
                .map(|(_, values)| values[panel])
                .fold(0.0, f64::max);
            let length = value / most * longest as f64;
            let _ = writeln!(
                svg,
                "<rect x=\"{x}\" y=\"{y}\" width=\"{length:.0}\" height=\"20\" fill=\"{color}\"/>\
                 <text x=\"{:.0}\" y=\"{}\">{value:.0}</text>",
                x as f64 + length + 6.0,
                y + 15
            );
        }
    }
    let machine = machine.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        svg,
        "<text x=\"12\" y=\"{}\" font-size=\"8\" fill=\"#667\">{machine}</text>\n</svg>",
        height - 10
    );
    svg
}
