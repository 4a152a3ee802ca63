//! The figures to look at: for each Consul a panel of starts, and one of how the supervisor's memory grows.

use std::fmt::Write as _;
use std::time::Duration;

use super::Report;
use super::figures::{Life, Mesh, STARTS, Spread};
use crate::picture::{GAP, Page, escaped, mark, swatch};

const WIDTH: f64 = 900.0;
const TOP: f64 = 92.0;
const STARTS_WIDTH: f64 = 540.0;
const HEIGHT: f64 = 276.0;
/// Of a panel: its title, and its scale.
const HEAD: f64 = 40.0;
const FOOT: f64 = 26.0;
/// Left of the bars, for their names, and right of them, for their figures.
const NAMES: f64 = 118.0;
const FIGURES: f64 = 92.0;
const BAR: f64 = 15.0;

/// All of it.
pub(super) fn svg(report: &Report) -> String {
    let height = TOP + report.meshes.len() as f64 * (HEIGHT + GAP);
    let mut out = Page {
        size: [WIDTH, height],
        label: "Start of the floor and of taskmesh, and the supervisor's memory",
        style: ".line{stroke:var(--ink);stroke-width:1.2}.goal{stroke:var(--lost);stroke-dasharray:4 3}",
        title: "taskmesh beside a bash script that does the least possible",
        about: &report.machine.text(),
    }
    .begin();
    let mut x = GAP;
    for (class, text) in [("rest", "the bash script"), ("task", "taskmesh")] {
        x = mark(&mut out, x, &swatch(class, x), text);
    }
    let line = format!("<path class=\"line\" d=\"M{x} 70h12M{x} 66v8M{} 66v8\"/>", x + 12.0);
    mark(&mut out, x, &line, "a bar is the median; the line goes from the least to the most");
    for (row, mesh) in report.meshes.iter().enumerate() {
        let y = TOP + row as f64 * (HEIGHT + GAP);
        starts(&mut out, mesh, y);
        memory(&mut out, mesh, y);
    }
    out.push_str("</svg>\n");
    out
}

fn panel(out: &mut String, [x, y, width]: [f64; 3], title: &str) {
    _ = writeln!(
        out,
        "<rect class=\"panel\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{HEIGHT}\" rx=\"6\"/>\
         <text class=\"h2\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
        x + 12.0,
        y + 24.0,
        escaped(title),
    );
}

/// Four milestones, two bars each.
fn starts(out: &mut String, mesh: &Mesh, y: f64) {
    panel(out, [GAP, y, STARTS_WIDTH], &format!("From the start, on {}", mesh.name));
    let (left, width) = (GAP + NAMES, STARTS_WIDTH - NAMES - FIGURES);
    let (top, bottom) = (y + HEAD, y + HEIGHT - FOOT);
    // A floor may be offered only seconds later: its bar then leaves the panel.
    let most = ["registered", "listener open", "app started"].iter().flat_map(|name| {
        let milestone = STARTS.iter().find(|milestone| milestone.name == *name);
        let of = milestone.map(|milestone| milestone.of);
        let lives = mesh.floor.iter().chain(&mesh.taskmesh);
        lives.filter_map(move |life| of?(life)).collect::<Vec<_>>()
    });
    let most = most.max().unwrap_or(Duration::from_secs(1)).as_secs_f64() * 1.15;
    // `None`: beyond the panel.
    let at = |seconds: f64| (seconds <= most).then(|| left + seconds / most * width);
    let step = [0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0].into_iter().find(|step| most / step <= 7.0);
    let step = step.unwrap_or(10.0);
    for tick in (0..8).map(|n| f64::from(n) * step).take_while(|tick| *tick <= most) {
        _ = writeln!(
            out,
            "<line class=\"grid\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{top:.1}\" y2=\"{bottom:.1}\"/>\
             <text class=\"tick\" text-anchor=\"middle\" x=\"{0:.1}\" y=\"{1:.1}\">{tick:.2} s</text>",
            at(tick).unwrap_or(left),
            bottom + 16.0,
        );
    }
    let row = (bottom - top) / STARTS.len() as f64;
    for (i, milestone) in STARTS.iter().enumerate() {
        let middle = top + (i as f64 + 0.5) * row;
        _ = writeln!(
            out,
            "<text text-anchor=\"end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            left - 8.0,
            middle + 4.0,
            milestone.name,
        );
        let both: [(&[Life], _, _); 2] =
            [(&mesh.floor, "rest", middle - BAR - 1.0), (&mesh.taskmesh, "task", middle + 1.0)];
        for (lives, class, y) in both {
            let Some(spread) = Spread::of(lives.iter().filter_map(milestone.of)) else { continue };
            bar(out, class, [left, y], spread, &at);
        }
    }
}

fn bar(
    out: &mut String,
    class: &str,
    [x, y]: [f64; 2],
    spread: Spread,
    at: &dyn Fn(f64) -> Option<f64>,
) {
    let [min, median, max] = [spread.min, spread.median, spread.max].map(|t| t.as_secs_f64());
    let middle = y + BAR / 2.0;
    let edge = x + STARTS_WIDTH - NAMES - FIGURES;
    let end = at(median).unwrap_or(edge);
    _ = writeln!(
        out,
        "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{BAR}\"/>\
         <text x=\"{:.1}\" y=\"{:.1}\">{median:.3} s</text>",
        end - x,
        at(max).unwrap_or(edge) + 8.0,
        middle + 4.0,
    );
    match (at(min), at(median), at(max)) {
        (Some(min), _, Some(max)) => {
            _ = writeln!(
                out,
                "<path class=\"line\" d=\"M{min:.1} {middle:.1}H{max:.1}M{min:.1} {0:.1}v6M{max:.1} {0:.1}v6\"/>",
                middle - 3.0,
            );
        }
        // Broken, for it goes on beyond the panel.
        (_, None, _) => {
            _ = writeln!(
                out,
                "<path class=\"panel\" d=\"M{:.1} {y:.1}h5l-8 {BAR}h-5z\"/>",
                end - 18.0,
            );
        }
        _ => {}
    }
}

/// Resident memory by size, idle; the anonymous part of it darker.
fn memory(out: &mut String, mesh: &Mesh, y: f64) {
    let x = GAP + STARTS_WIDTH + GAP;
    let width = WIDTH - GAP - x;
    panel(out, [x, y, width], "The idle supervisor's memory");
    let (left, right) = (x + 40.0, x + width - 14.0);
    let (top, bottom) = (y + HEAD + 12.0, y + HEIGHT - FOOT - 14.0);
    let idle: Vec<_> = mesh.steady.iter().filter(|steady| steady.load.is_none()).collect();
    let mib = |kib: u64| kib as f64 / 1024.0;
    let most = idle.iter().map(|steady| mib(steady.rss)).fold(12.0, f64::max) * 1.08;
    let up = |mib: f64| bottom - mib / most * (bottom - top);
    let step = [2.0, 4.0, 10.0, 20.0].into_iter().find(|step| most / step <= 7.0).unwrap_or(50.0);
    for tick in (0..8).map(|n| f64::from(n) * step).take_while(|tick| *tick <= most) {
        _ = writeln!(
            out,
            "<line class=\"grid\" x1=\"{left:.1}\" x2=\"{right:.1}\" y1=\"{0:.1}\" y2=\"{0:.1}\"/>\
             <text class=\"tick\" text-anchor=\"end\" x=\"{1:.1}\" y=\"{2:.1}\">{tick:.0}</text>",
            up(tick),
            left - 6.0,
            up(tick) + 3.5,
        );
    }
    let slot = (right - left) / idle.len().max(1) as f64;
    for (i, steady) in idle.iter().enumerate() {
        let middle = left + (i as f64 + 0.5) * slot;
        let half = (slot * 0.3).min(28.0);
        for (class, value) in [("rest", mib(steady.rss)), ("task", mib(steady.anon))] {
            _ = writeln!(
                out,
                "<rect class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>",
                middle - half,
                up(value),
                2.0 * half,
                bottom - up(value),
            );
        }
        _ = writeln!(
            out,
            "<text text-anchor=\"middle\" x=\"{middle:.1}\" y=\"{:.1}\">{:.1}</text>\
             <text text-anchor=\"middle\" x=\"{middle:.1}\" y=\"{:.1}\">{}</text>",
            up(mib(steady.rss)) - 5.0,
            mib(steady.rss),
            bottom + 15.0,
            steady.size,
        );
        let goal = if steady.size >= 200 { 12.0 } else { 8.0 };
        _ = writeln!(
            out,
            "<line class=\"goal\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{2:.1}\" y2=\"{2:.1}\"/>",
            middle - slot * 0.45,
            middle + slot * 0.45,
            up(goal),
        );
    }
    _ = writeln!(
        out,
        "<text class=\"muted\" x=\"{:.1}\" y=\"{:.1}\">MiB resident; blue: anonymous; dashed: the goal</text>\
         <text class=\"muted\" x=\"{left:.1}\" y=\"{:.1}\">containers, and as many upstreams</text>",
        x + 12.0,
        y + 40.0,
        bottom + 31.0,
    );
}
