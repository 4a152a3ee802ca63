//! What peers see of the stops: requests a second around them, and those that failed.
//!
//! A panel is a scenario. Its stops lie over one another, each from its own beginning, and the rates are their mean:
//! so the panel shows one stop.

use std::fmt::Write as _;
use std::time::Duration;

use taskmesh::timeline::Event;

use super::outcome::{Outcome, Stop};
use crate::picture::{GAP, Page, mark, swatch};

const COLUMNS: usize = 3;
const PANEL: f64 = 420.0;
const HEIGHT: f64 = 190.0;
const TOP: f64 = 96.0;
/// Of a panel: the title above the plot, the scale below it, the figures left of it.
const HEAD: f64 = 46.0;
const FOOT: f64 = 22.0;
const LEFT: f64 = 44.0;
const RIGHT: f64 = 10.0;

/// One point of a curve.
const SLOT: Duration = Duration::from_millis(50);
/// Shown before the stop.
const BEFORE: Duration = Duration::from_secs(1);

/// The marks in a panel. They stand in this order from left to right.
const MARKS: [(Event, &str); 4] = [
    (Event::ChecksCritical, "critical"),
    (Event::PeersUpdated, "servers know"),
    (Event::AppsReleased, "app may end"),
    (Event::EnvoyExited, "Envoy gone"),
];

/// All outcomes that a client outside of the stopping tasks was part of.
pub(super) fn svg(outcomes: &[Outcome]) -> String {
    let shown: Vec<_> = outcomes.iter().filter(|outcome| outcome.report.ok > 0).collect();
    let rows = shown.len().div_ceil(COLUMNS).max(1);
    let columns = shown.len().clamp(1, COLUMNS);
    let width = (columns as f64 * (PANEL + GAP) + GAP).max(760.0);
    let height = TOP + rows as f64 * (HEIGHT + GAP);
    let mut out = Page {
        size: [width, height],
        label: "Requests a second around each stop",
        style: "",
        title: "Stops under load",
        about: "Requests a second around a stop (mean of the scenario's stops); 0 is the moment at which ECS is asked \
                to stop the task.",
    }
    .begin();
    legend(&mut out);
    for (i, outcome) in shown.iter().enumerate() {
        let x = GAP + (i % COLUMNS) as f64 * (PANEL + GAP);
        let y = TOP + (i / COLUMNS) as f64 * (HEIGHT + GAP);
        panel(&mut out, outcome, x, y);
    }
    out.push_str("</svg>\n");
    out
}

fn legend(out: &mut String) {
    let mut x = GAP;
    for (class, text) in [
        ("task", "answered by the task that stops"),
        ("rest", "answered by the others"),
        ("lost", "failed"),
    ] {
        x = mark(out, x, &swatch(class, x), text);
    }
}

/// Mean rates, slot by slot.
struct Curves {
    task: Vec<f64>,
    rest: Vec<f64>,
    lost: Vec<f64>,
    /// From the first slot on.
    length: Duration,
}

impl Curves {
    fn of(outcome: &Outcome) -> Self {
        let longest = outcome.stops.iter().map(Stop::noticed_for).max().unwrap_or_default();
        let length = BEFORE + longest.max(Duration::from_secs(1)) + Duration::from_millis(700);
        let count = (length.as_millis() / SLOT.as_millis()) as usize;
        let mut curves =
            Self { task: vec![0.0; count], rest: vec![0.0; count], lost: vec![0.0; count], length };
        let per_second = 1.0 / SLOT.as_secs_f64() / outcome.stops.len().max(1) as f64;
        for stop in &outcome.stops {
            // A stop that comes sooner than `BEFORE` after the load's begin has nothing there.
            let Some(from) = stop.at.checked_sub(BEFORE) else { continue };
            for (i, slot) in outcome.report.slots(from, SLOT, count).into_iter().enumerate() {
                for (name, ok) in slot.ok {
                    let curve = if name == stop.task { &mut curves.task } else { &mut curves.rest };
                    curve[i] += f64::from(ok) * per_second;
                }
                curves.lost[i] += f64::from(slot.failed) * per_second;
            }
        }
        curves
    }
}

fn panel(out: &mut String, outcome: &Outcome, x: f64, y: f64) {
    let curves = Curves::of(outcome);
    let answered: Vec<f64> = curves.task.iter().zip(&curves.rest).map(|(a, b)| a + b).collect();
    let sums = answered.iter().zip(&curves.lost).map(|(a, b)| a + b);
    let most = round_up(sums.fold(100.0, f64::max));
    let (left, width) = (x + LEFT, PANEL - LEFT - RIGHT);
    let (top, bottom) = (y + HEAD, y + HEIGHT - FOOT);
    let seconds = curves.length.as_secs_f64();
    let at = |time: f64| left + (time + BEFORE.as_secs_f64()) / seconds * width;
    let up = |rate: f64| bottom - rate / most * (bottom - top);
    let failed = outcome.failed();
    let class = if failed == 0 { "good" } else { "bad" };
    _ = writeln!(
        out,
        "<rect class=\"panel\" x=\"{x}\" y=\"{y}\" width=\"{PANEL}\" height=\"{HEIGHT}\" rx=\"6\"/>\
         <text class=\"h2\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\
         <text class=\"{class}\" text-anchor=\"end\" x=\"{:.1}\" y=\"{:.1}\">{failed} of {} failed</text>\
         <text class=\"muted\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
        x + 10.0,
        y + 19.0,
        outcome.scenario.name,
        x + PANEL - RIGHT,
        y + 19.0,
        outcome.requests(),
        x + 10.0,
        y + 34.0,
        outcome.scenario.about,
    );
    for rate in [0.0, most / 2.0, most] {
        _ = writeln!(
            out,
            "<line class=\"grid\" x1=\"{left:.1}\" x2=\"{:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>\
             <text class=\"tick\" text-anchor=\"end\" x=\"{:.1}\" y=\"{:.1}\">{rate:.0}</text>",
            left + width,
            up(rate),
            up(rate),
            left - 5.0,
            up(rate) + 3.5,
        );
    }
    area(out, "rest", &curves.rest, &vec![0.0; curves.rest.len()], left, width, &up);
    area(out, "task", &curves.task, &curves.rest, left, width, &up);
    let step = if seconds > 8.0 {
        2.0
    } else if seconds > 4.0 {
        1.0
    } else {
        0.5
    };
    let mut tick = -BEFORE.as_secs_f64();
    while tick < seconds - BEFORE.as_secs_f64() {
        _ = writeln!(
            out,
            "<text class=\"tick\" text-anchor=\"middle\" x=\"{:.1}\" y=\"{:.1}\">{tick} s</text>",
            at(tick),
            bottom + 14.0,
        );
        tick += step;
    }
    _ = writeln!(
        out,
        "<line class=\"stop\" x1=\"{0:.1}\" x2=\"{0:.1}\" y1=\"{top:.1}\" y2=\"{bottom:.1}\"/>",
        at(0.0)
    );
    let slot = width / curves.lost.len().max(1) as f64;
    for (i, (lost, base)) in curves.lost.iter().zip(&answered).enumerate() {
        if *lost > 0.0 {
            // One in thousands has to be seen, too.
            let height = (up(*base) - up(base + lost)).max(4.0);
            _ = writeln!(
                out,
                "<rect class=\"lost\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\"/>",
                left + i as f64 * slot,
                up(*base) - height,
                slot.max(2.0),
            );
        }
    }
    marks(out, outcome, &at, top, [bottom, x + PANEL]);
}

/// A band between `base` and `base` + `values`.
fn area(
    out: &mut String,
    class: &str,
    values: &[f64],
    base: &[f64],
    left: f64,
    width: f64,
    up: &dyn Fn(f64) -> f64,
) {
    let step = width / values.len().max(1) as f64;
    let mut path = String::new();
    let edge = |i: usize| left + i as f64 * step;
    for (i, (value, base)) in values.iter().zip(base).enumerate() {
        let sign = if i == 0 { 'M' } else { 'L' };
        let y = up(value + base);
        _ = write!(path, "{sign}{:.1} {y:.1}L{:.1} {y:.1}", edge(i), edge(i + 1));
    }
    for (i, base) in base.iter().enumerate().rev() {
        let y = up(*base);
        _ = write!(path, "L{:.1} {y:.1}L{:.1} {y:.1}", edge(i + 1), edge(i));
    }
    _ = writeln!(out, "<path class=\"{class}\" d=\"{path}Z\"/>");
}

/// When things happened, as the median of the stops. A word that has no room beside the last one goes a line down; one
/// that has none up to the edge stands left of its line.
fn marks(out: &mut String, outcome: &Outcome, at: &dyn Fn(f64) -> f64, top: f64, edges: [f64; 2]) {
    let [bottom, right] = edges;
    let mut row_ends = [f64::MIN; 4];
    for (event, words) in MARKS {
        let mut times: Vec<_> =
            outcome.stops.iter().filter_map(|stop| stop.events.get(&event)).collect();
        times.sort_unstable();
        let Some(time) = times.get(times.len() / 2) else { continue };
        let x = at(time.as_secs_f64());
        let width = words.len() as f64 * 5.6 + 8.0;
        let fits = x + width < right;
        let from = if fits { x } else { x - width };
        let row = row_ends.iter().position(|end| *end < from).unwrap_or(row_ends.len() - 1);
        row_ends[row] = from + width + 2.0;
        let y = top + 9.0 + row as f64 * 12.0;
        let (anchor, dx) = if fits { ("start", 3.0) } else { ("end", -3.0) };
        _ = writeln!(
            out,
            "<line class=\"mark\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{bottom:.1}\"/>\
             <text class=\"tick\" text-anchor=\"{anchor}\" x=\"{:.1}\" y=\"{y:.1}\">{words}</text>",
            y - 8.0,
            x + dx,
        );
    }
}

/// To a figure with one digit.
fn round_up(value: f64) -> f64 {
    let decade = 10_f64.powf(value.log10().floor());
    (value * 1.25 / decade).ceil() * decade
}
