//! Tasks as lanes, phases as coloured bars, every event labelled.

use super::axis::{Axis, Panel};
use super::labels::{Label, rows};
use super::spans::{Kind, spans};
use super::{Lane, escape, human};
use crate::timeline::{Event, Record, Stretch};
use std::fmt::Write as _;

const WIDTH: f64 = 1360.0;
const LEFT: f64 = 20.0;
/// Of a cut in the axis.
const GAP: f64 = 64.0;
const HEAD: f64 = 84.0;
const TITLE: f64 = 22.0;
const BAR: f64 = 20.0;
const ROW: f64 = 15.0;
/// A phase of a few ms in a panel of seconds is still seen.
const LEAST_BAR: f64 = 3.0;
const BETWEEN: f64 = 20.0;
const LEGEND_ROW: f64 = 22.0;

/// Colours by variables, so that a dark page is one block more. The page's own scheme decides.
pub(super) const STYLE: &str = include_str!("timeline.css");

/// A picture of its own, without outside resources.
pub fn svg(lanes: &[Lane]) -> String {
    let body = drawing(lanes);
    // Writing to a String cannot fail.
    let head = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {h}\" width=\"{WIDTH}\" height=\"{h}\" \
         role=\"img\" aria-label=\"Timelines of {n} tasks\">\n<style>{STYLE}</style>\n",
        h = body.height,
        n = lanes.len(),
    );
    format!("{head}<rect class=\"page\" width=\"100%\" height=\"100%\"/>\n{}</svg>\n", body.marks)
}

struct Drawing {
    marks: String,
    height: f64,
}

fn drawing(lanes: &[Lane]) -> Drawing {
    let label = |lane: &Lane, record: &Record| {
        label_width(record, &figure(record, lane.timeline.find(Event::StopNoticed).map(|r| r.ms)))
    };
    let axis = Axis::new(lanes, LEFT, WIDTH - 2.0 * LEFT, GAP, label);
    let mut marks = String::new();
    let mut y = HEAD;
    for (i, lane) in lanes.iter().enumerate() {
        y += draw_lane(&mut marks, &axis, lane, i, y) + BETWEEN;
    }
    let mut out = String::new();
    draw_axis(&mut out, &axis, y - BETWEEN / 2.0);
    out.push_str(&marks);
    let height = draw_legend(&mut out, y + 10.0);
    Drawing { marks: out, height }
}

/// Panels, their scales, and the cuts between them.
fn draw_axis(out: &mut String, axis: &Axis, bottom: f64) {
    writeln!(out, "<text class=\"h1\" x=\"{LEFT}\" y=\"28\">Task timelines</text>").ok();
    if axis.panels.is_empty() {
        writeln!(out, "<text class=\"muted\" x=\"{LEFT}\" y=\"60\">nothing happened yet</text>")
            .ok();
    }
    let top = HEAD - 12.0;
    for panel in &axis.panels {
        let Panel { x, width, from, to, title, .. } = panel;
        writeln!(
            out,
            "<rect class=\"panel\" x=\"{:.1}\" y=\"40\" width=\"{:.1}\" height=\"{:.1}\" rx=\"6\"/>\
             <text class=\"h2\" x=\"{x:.1}\" y=\"56\">{title}<tspan class=\"muted\" dx=\"8\">{} to {}, {} in all</tspan></text>",
            x - 8.0,
            width + 16.0,
            bottom - 40.0,
            clock(*from),
            clock(*to),
            human(to - from),
        )
        .ok();
        let ticks = panel.ticks();
        let step = ticks.get(1).zip(ticks.first()).map_or(1.0, |(b, a)| b - a);
        for tick in ticks {
            let at = panel.at(tick);
            writeln!(
                out,
                "<line class=\"grid\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{top}\" y2=\"{bottom:.1}\"/>\
                 <text class=\"tick\" x=\"{at:.1}\" y=\"{}\">{}</text>",
                top - 2.0,
                scale(tick, step),
            )
            .ok();
        }
    }
    for pair in axis.panels.windows(2) {
        let x = (pair[0].x + pair[0].width + pair[1].x) / 2.0;
        let quiet = human(pair[1].from - pair[0].to);
        writeln!(out, "<text class=\"cut\" x=\"{x:.1}\" y=\"56\">{quiet}</text>").ok();
    }
}

/// On the common axis, in s.
fn clock(ms: f64) -> String {
    format!("{:.2} s", ms / 1000.0)
}

fn scale(ms: f64, step: f64) -> String {
    if step < 1000.0 && ms < 2000.0 {
        format!("{ms} ms")
    } else if step < 100.0 {
        format!("{:.2} s", ms / 1000.0)
    } else if step < 1000.0 {
        format!("{:.1} s", ms / 1000.0)
    } else {
        format!("{:.0} s", ms / 1000.0)
    }
}

/// One task; how high it came out.
fn draw_lane(out: &mut String, axis: &Axis, lane: &Lane, index: usize, top: f64) -> f64 {
    writeln!(
        out,
        "<text class=\"lane\" x=\"{LEFT}\" y=\"{:.1}\">{}<tspan class=\"muted\" dx=\"10\">{}</tspan></text>",
        top + 14.0,
        escape(&lane.title),
        escape(&super::text::summary(&lane.timeline)),
    )
    .ok();
    let placed: Vec<Vec<Placed>> = axis.panels.iter().map(|p| place(p, lane)).collect();
    let rows = placed.iter().flatten().map(|p| p.row + 1).max().unwrap_or(0);
    let height = TITLE + rows as f64 * ROW;
    draw_bars(out, axis, lane, top + height);
    for event in placed.iter().flatten() {
        draw_event(out, event, index, top + height);
    }
    height + BAR
}

fn draw_bars(out: &mut String, axis: &Axis, lane: &Lane, y: f64) {
    // The last first: a short phase is drawn wider than it is, over the one behind it.
    for span in spans(&lane.timeline).into_iter().rev() {
        let (from, to) = (lane.offset_ms + span.from, lane.offset_ms + span.to);
        let class = span.kind.class();
        let said = format!("{} {}", span.kind.name(), human(span.to - span.from));
        for panel in &axis.panels {
            if to < panel.from || from > panel.to {
                continue;
            }
            let (a, b) = (panel.at(from), panel.at(to));
            let width = (b - a).max(LEAST_BAR);
            writeln!(
                out,
                "<rect class=\"bar {class}\" x=\"{a:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{BAR}\"><title>{said}</title></rect>",
            )
            .ok();
            let name = span.kind.name();
            if width > name.len() as f64 * 7.0 + 8.0 {
                writeln!(
                    out,
                    "<text class=\"in {class}\" x=\"{:.1}\" y=\"{:.1}\">{name}</text>",
                    a + width / 2.0,
                    y + BAR - 6.0
                )
                .ok();
            }
        }
        for pair in axis.panels.windows(2) {
            // The margin of a panel belongs to the cut: no time passes on it.
            let (a, b) = (pair[0].at(pair[0].to), pair[1].x);
            if from < pair[1].from && to > pair[0].to {
                draw_cut_bar(out, &class, &said, a, b, y);
            }
        }
    }
}

/// A bar that goes on behind a cut: thin, with the sign of a broken axis.
fn draw_cut_bar(out: &mut String, class: &str, said: &str, a: f64, b: f64, y: f64) {
    let (mid, centre) = (y + BAR / 2.0, b - GAP / 2.0 - 4.0);
    writeln!(
        out,
        "<rect class=\"bar thin {class}\" x=\"{a:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"6\"><title>{said}</title></rect>\
         <path class=\"break\" d=\"M{:.1} {:.1}l6 -14m4 0l-6 14\"/>",
        mid - 3.0,
        b - a,
        centre - 4.0,
        mid + 7.0,
    )
    .ok();
}

/// An event with the place of its label: row 0 is next to the bar.
struct Placed<'a> {
    number: usize,
    record: &'a Record,
    figure: String,
    x: f64,
    row: usize,
}

/// The events of one lane in one panel.
fn place<'a>(panel: &Panel, lane: &'a Lane) -> Vec<Placed<'a>> {
    let stop = lane.timeline.find(Event::StopNoticed).map(|r| r.ms);
    let mut placed: Vec<Placed<'a>> = lane
        .timeline
        .events
        .iter()
        .enumerate()
        .filter(|(_, r)| panel.holds(lane.offset_ms + r.ms))
        .map(|(number, record)| Placed {
            number,
            record,
            figure: figure(record, stop),
            x: panel.at(lane.offset_ms + record.ms),
            row: 0,
        })
        .collect();
    placed.sort_by(|a, b| a.record.ms.total_cmp(&b.record.ms));
    let label = |p: &Placed| Label { x: p.x, width: label_width(p.record, &p.figure) };
    let labels: Vec<Label> = placed.iter().map(label).collect();
    for (p, row) in placed.iter_mut().zip(rows(&labels)) {
        p.row = row;
    }
    placed
}

/// The label, and a line from it down through the bar.
fn draw_event(out: &mut String, event: &Placed, lane: usize, bar: f64) {
    let Placed { number, record, figure, x, row } = event;
    let base = bar - 6.0 - *row as f64 * ROW;
    let cause = record.cause.as_ref().map(|c| format!(", {c}")).unwrap_or_default();
    writeln!(
        out,
        "<g class=\"ev {}\" data-e=\"e{lane}-{number}\"><title>{}{}: {:.1} ms after its start</title>\
         <line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>\
         <circle cx=\"{x:.1}\" cy=\"{bar:.1}\" r=\"2.4\"/>\
         <text x=\"{:.1}\" y=\"{base:.1}\">{}<tspan class=\"ms\" dx=\"4\">{figure}</tspan></text></g>",
        Kind::of(record).class(),
        record.event.name(),
        escape(&cause),
        record.ms,
        base - 8.0,
        bar + BAR,
        x + 5.0,
        escape(&words(record)),
    )
    .ok();
}

/// What an event is called in the picture.
fn words(record: &Record) -> String {
    match &record.cause {
        Some(cause) => {
            let cause: String = cause.chars().take(24).collect();
            format!("{} ({cause})", record.event.name())
        }
        None => record.event.name().to_owned(),
    }
}

/// Since the start, or since the stop was noticed: what its reader wants to know.
fn figure(record: &Record, stop: Option<f64>) -> String {
    match (record.timeline, stop) {
        (Stretch::Shutdown, Some(stop)) if record.ms > stop => {
            format!("+{}", human(record.ms - stop))
        }
        (Stretch::Shutdown, _) | (Stretch::Running, _) => clock(record.ms),
        (Stretch::Startup, _) => human(record.ms),
    }
}

/// From the tick to the end of what is written at it.
fn label_width(record: &Record, figure: &str) -> f64 {
    text_width(&words(record)) + text_width(figure) + 14.0
}

/// Of 11 px sans-serif, rather too wide than too narrow.
fn text_width(text: &str) -> f64 {
    text.chars().count() as f64 * 6.0
}

/// Below the lanes; where the picture ends.
fn draw_legend(out: &mut String, top: f64) -> f64 {
    let (mut x, mut y) = (LEFT, top + 12.0);
    for (kind, text) in Kind::ALL {
        let width = text_width(text) + 36.0;
        if x + width > WIDTH - LEFT {
            (x, y) = (LEFT, y + LEGEND_ROW);
        }
        writeln!(
            out,
            "<rect class=\"bar {}\" x=\"{x:.1}\" y=\"{:.1}\" width=\"14\" height=\"12\"/>\
             <text class=\"key\" x=\"{:.1}\" y=\"{y:.1}\">{text}</text>",
            kind.class(),
            y - 10.0,
            x + 20.0,
        )
        .ok();
        x += width;
    }
    y + LEGEND_ROW
}

#[cfg(test)]
mod tests {
    use super::super::tests::lanes;
    use super::*;

    #[test]
    fn every_phase_is_a_bar_and_every_event_a_label() {
        let lanes = lanes();
        let picture = svg(&lanes);
        // T0 of the stop takes 6 ms of 5 s, and is seen all the same.
        for class in ["aT0", "aT1", "aT2", "zT0", "zT1", "zT2", "zT3"] {
            let bars = picture.matches(&format!("<rect class=\"bar {class}\"")).count();
            assert_eq!(bars, lanes.len() + 1, "{class}: one per lane and the legend's");
        }
        for name in ["envoy-started", "peers-updated (confirmed)", "stop-noticed (term)"] {
            assert_eq!(picture.matches(&format!(">{name}<")).count(), lanes.len(), "{name}");
        }
        assert!(picture.contains(">+47 ms<"), "a stop's events count from its beginning");
        assert_eq!(picture.matches("<g ").count(), picture.matches("</g>").count());
    }

    #[test]
    fn a_task_that_still_runs_has_no_stop() {
        let mut lanes = lanes();
        lanes[1].timeline.events.truncate(9);
        lanes.truncate(2);
        lanes.remove(0);
        let picture = svg(&lanes);
        assert_eq!(picture.matches("bar zT1").count(), 1, "only the legend's");
        assert!(picture.contains("0.01 s to 0.33 s") && !picture.contains("class=\"cut\""));
    }
}
