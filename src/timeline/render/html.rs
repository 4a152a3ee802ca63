//! The picture and a table per task, on one page without outside resources.

use super::spans::Kind;
use super::{Lane, escape, svg};
use crate::timeline::{Event, Stretch};
use std::fmt::Write as _;

const STYLE: &str = include_str!("page.css");

/// Pointing at a row marks its event in the picture, and the other way round.
const SCRIPT: &str = "for(const el of document.querySelectorAll('[data-e]')){\
const both=document.querySelectorAll('[data-e=\"'+el.dataset.e+'\"]');\
el.addEventListener('mouseenter',()=>both.forEach(e=>e.classList.add('on')));\
el.addEventListener('mouseleave',()=>both.forEach(e=>e.classList.remove('on')));}";

/// A whole page.
pub fn html(lanes: &[Lane]) -> String {
    let tables: String = lanes.iter().enumerate().map(|(i, lane)| table(i, lane)).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Task timelines</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <figure>{}</figure>\n<main>\n{tables}</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n",
        svg(lanes),
    )
}

fn table(index: usize, lane: &Lane) -> String {
    let timeline = &lane.timeline;
    let stop = timeline.find(Event::StopNoticed).map(|r| r.ms);
    // Writing to a String cannot fail.
    let mut out = format!(
        "<section>\n<h2>{}</h2>\n<p>{}<br><code>{}</code><br>started {}</p>\n<table>\n<thead><tr><th>phase<th>event\
         <th>ms<th>delta<th>since stop<th>cause</tr></thead>\n<tbody>\n",
        escape(&lane.title),
        escape(&super::text::summary(timeline)),
        escape(&timeline.task),
        escape(&timeline.started_at),
    );
    let mut before = None;
    for (i, record) in timeline.events.iter().enumerate() {
        let delta = before.map_or_else(String::new, |b| format!("+{:.1}", record.ms - b));
        let since = match stop {
            Some(stop) if record.timeline == Stretch::Shutdown => {
                format!("{:.1}", record.ms - stop)
            }
            _ => String::new(),
        };
        let stretch = match record.timeline {
            Stretch::Startup => "start ",
            Stretch::Running => "running ",
            Stretch::Shutdown => "stop ",
        };
        writeln!(
            out,
            "<tr data-e=\"e{index}-{i}\"><td><i class=\"{}\"></i>{stretch}{:?}<td>{}<td class=\"n\">{:.1}\
             <td class=\"n\">{delta}<td class=\"n\">{since}<td>{}</tr>",
            Kind::of(record).class(),
            record.phase,
            record.event.name(),
            record.ms,
            escape(record.cause.as_deref().unwrap_or_default()),
        )
        .ok();
        before = Some(record.ms);
    }
    out.push_str("</tbody>\n</table>\n</section>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::super::tests::lanes;
    use super::*;

    #[test]
    fn every_event_is_in_the_picture_and_in_a_table_and_text_is_escaped() {
        let mut lanes = lanes();
        lanes[0].title = "<script>alert(1)</script>".into();
        lanes[0].timeline.events[1].cause = Some("a & b".into());
        let page = html(&lanes);
        for (i, lane) in lanes.iter().enumerate() {
            for j in 0..lane.timeline.events.len() {
                let id = format!("data-e=\"e{i}-{j}\"");
                assert_eq!(page.matches(&id).count(), 2, "{id}");
            }
        }
        assert!(!page.contains("<script>alert") && page.contains("a &amp; b"));
        let outside = page.replace("http://www.w3.org/2000/svg", "");
        assert!(!outside.contains("http"), "no outside resources");
    }

    #[test]
    fn no_lanes_and_an_empty_lane_are_drawn_too() {
        assert!(html(&[]).contains("nothing happened yet"));
        let empty = crate::timeline::Log::new(String::new()).snapshot();
        let lane = Lane { title: "x".into(), offset_ms: 0.0, timeline: empty };
        let page = html(&[lane]);
        assert!(page.contains("not ready yet") && !page.contains("NaN"));
    }
}
