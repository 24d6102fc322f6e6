//! The table behind dev-host as one chart: calls per second and CPU time per call.

use crate::{Values, median, server::Variant};

const ROW: usize = 30;
const TOP: usize = 46;
const WIDTH: usize = 760;
/// How long the longest bar of a panel is.
const LONGEST: f64 = 200.0;

/// An SVG image that is readable on light and on dark pages.
pub fn draw(variants: &[Variant], [rate, cpu]: [&Values; 2], machine: &str) -> String {
    let height = TOP + ROW * variants.len() + 26;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"13\" role=\"img\">\n\
         <title>Calls per second and CPU time per call behind dev-host</title>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" rx=\"6\" fill=\"#fff\"/>\n"
    );
    for (row, variant) in variants.iter().enumerate() {
        let (y, name) = (TOP + ROW * row + 15, variant.name);
        svg += &format!("<text x=\"178\" y=\"{y}\" text-anchor=\"end\">{name}</text>\n");
    }
    for (x, title, values) in [
        (190, "calls per second: more is better", rate),
        (480, "CPU µs per call: less is better", cpu),
    ] {
        svg += &format!("<text x=\"{x}\" y=\"26\" font-weight=\"bold\">{title}</text>\n");
        let values: Vec<f64> = values.iter().map(|values| median(values)).collect();
        let most = values.iter().copied().fold(0.0, f64::max);
        for (row, (value, variant)) in values.iter().zip(variants).enumerate() {
            let color = match variant.name.starts_with("handler") {
                true => "#b7410e",
                false => "#8a94a6",
            };
            let (y, length) = (TOP + ROW * row, value / most * LONGEST);
            svg += &format!(
                "<rect x=\"{x}\" y=\"{y}\" width=\"{length:.0}\" height=\"20\" fill=\"{color}\"/>\
                 <text x=\"{:.0}\" y=\"{}\">{value:.0}</text>\n",
                f64::from(x) + length + 6.0,
                y + 15
            );
        }
    }
    let machine = machine.replace('&', "&amp;").replace('<', "&lt;");
    let y = height - 10;
    svg + &format!(
        "<text x=\"12\" y=\"{y}\" font-size=\"8\" fill=\"#667\">{machine}</text>\n</svg>\n"
    )
}
