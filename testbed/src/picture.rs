//! What the pictures of figures have in common: colours for a light and a dark page, the head, and the legend.

use std::fmt::Write as _;

/// Around and between panels.
pub(crate) const GAP: f64 = 18.0;

const STYLE: &str = ":root{color-scheme:light dark;--page:#fff;--panel:#f5f6f8;--ink:#1c2430;--muted:#667080;\
--grid:#dfe3e8;--rest:#b9c4d0;--task:#1f6fc0;--lost:#d33a34;--good:#1d7a3e}\
@media(prefers-color-scheme:dark){:root{--page:#12161c;--panel:#1b212a;--ink:#e6eaf0;--muted:#97a3b3;--grid:#2c3541;\
--rest:#4a5666;--task:#5aa2ea;--lost:#f06a63;--good:#63c386}}\
text{font:11px system-ui,-apple-system,\"Segoe UI\",Roboto,\"DejaVu Sans\",sans-serif;fill:var(--ink)}\
.h1{font-size:17px;font-weight:600}.h2{font-size:13px;font-weight:600}.muted{fill:var(--muted)}.tick{fill:var(--muted);font-size:10px}\
.page{fill:var(--page)}.panel{fill:var(--panel)}.grid{stroke:var(--grid)}.mark{stroke:var(--muted);stroke-dasharray:2 3}\
.rest{fill:var(--rest)}.task{fill:var(--task)}.lost{fill:var(--lost)}.stop{stroke:var(--ink);stroke-width:1.4}\
.good{fill:var(--good);font-weight:600}.bad{fill:var(--lost);font-weight:600}";

/// The head of a picture.
pub(crate) struct Page<'a> {
    /// Width and height.
    pub(crate) size: [f64; 2],
    /// For who cannot see it.
    pub(crate) label: &'a str,
    /// Besides what all have.
    pub(crate) style: &'a str,
    pub(crate) title: &'a str,
    /// A line below the title.
    pub(crate) about: &'a str,
}

impl Page<'_> {
    /// Everything above the legend, which stands at 70 from the top. The caller ends it with `</svg>`.
    pub(crate) fn begin(self) -> String {
        let Self { size: [width, height], label, style, title, about } = self;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" role=\"img\" aria-label=\"{}\">\n<style>{STYLE}{style}</style>\n\
             <rect class=\"page\" width=\"100%\" height=\"100%\"/>\n\
             <text class=\"h1\" x=\"{GAP}\" y=\"30\">{}</text>\n\
             <text class=\"muted\" x=\"{GAP}\" y=\"50\">{}</text>\n",
            escaped(label),
            escaped(title),
            escaped(about),
        )
    }
}

/// A square of the legend in the colour of a class.
pub(crate) fn swatch(class: &str, x: f64) -> String {
    format!("<rect class=\"{class}\" x=\"{x}\" y=\"64\" width=\"12\" height=\"12\"/>")
}

/// One entry of the legend; gives where the next one begins.
pub(crate) fn mark(out: &mut String, x: f64, sign: &str, text: &str) -> f64 {
    // Writing to a String cannot fail.
    _ = writeln!(out, "{sign}<text x=\"{}\" y=\"74\">{text}</text>", x + 18.0);
    x + 34.0 + text.len() as f64 * 6.2
}

/// As text of an element or in quotes.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}
