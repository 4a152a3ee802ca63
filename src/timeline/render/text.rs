//! A timeline as a table of at most 80 columns.

use super::human;
use crate::timeline::{Event, Stretch, Timeline};
use std::fmt::Write as _;

/// A terminal's width.
const WIDTH: usize = 80;

/// The width of everything before the cause.
const BEFORE_CAUSE: usize = 63;

/// Where a cause that is too long for its column goes on, each line under the event.
const INDENT: usize = 11;

/// One line per event: phase, event, ms since the exec, since the event before, since the stop was noticed, cause.
pub fn text(timeline: &Timeline) -> String {
    let mut out = String::new();
    let stop = timeline.find(Event::StopNoticed).map(|r| r.ms);
    // Writing to a String cannot fail.
    writeln!(out, "{:<11}{:<22}{:>10}{:>10}{:>8}  cause", "phase", "event", "ms", "delta", "stop")
        .ok();
    let mut before = None;
    for record in &timeline.events {
        let stretch = match record.timeline {
            Stretch::Startup => "start",
            Stretch::Running => "running",
            Stretch::Shutdown => "stop",
        };
        let phase = format!("{stretch:<8}{:?}", record.phase);
        let delta = before.map_or_else(String::new, |b| format!("+{:.1}", record.ms - b));
        let since = match stop {
            Some(stop) if record.timeline == Stretch::Shutdown => {
                format!("{:.0}", record.ms - stop)
            }
            _ => String::new(),
        };
        let cause = record.cause.as_deref().unwrap_or_default();
        let fits = cause.chars().count() <= WIDTH - BEFORE_CAUSE;
        let line = format!(
            "{phase:<11}{:<22}{:>10.1}{delta:>10}{since:>8}  {}",
            record.event.name(),
            record.ms,
            if fits { cause } else { "" },
        );
        writeln!(out, "{}", line.trim_end()).ok();
        if !fits {
            wrapped(&mut out, INDENT, cause);
        }
        before = Some(record.ms);
    }
    wrapped(&mut out, 0, &summary(timeline));
    out
}

/// Writes `text` in lines of at most [`WIDTH`], each behind `indent` spaces; only a longer word makes a longer line.
fn wrapped(out: &mut String, indent: usize, text: &str) {
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && indent + line.chars().count() + 1 + word.chars().count() > WIDTH {
            writeln!(out, "{:indent$}{line}", "").ok();
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    writeln!(out, "{:indent$}{line}", "").ok();
}

/// The figures that people ask for first, in one line.
pub(super) fn summary(timeline: &Timeline) -> String {
    let at = |event| timeline.find(event).map(|r| r.ms);
    let mut parts = Vec::new();
    if let Some(ready) = at(Event::Ready) {
        parts.push(format!("ready after {}", human(ready)));
    }
    if let Some(offered) = at(Event::Offered) {
        parts.push(format!("offered after {}", human(offered)));
    }
    if let Some(stop) = at(Event::StopNoticed) {
        if let Some(ready) = at(Event::Ready).filter(|ready| *ready < stop) {
            parts.push(format!("ran {}", human(stop - ready)));
        }
        if let Some(told) = at(Event::PeersUpdated) {
            parts.push(format!("peers updated in {}", human(told - stop)));
        }
        match at(Event::AllExited) {
            Some(end) => parts.push(format!("stopped in {}", human(end - stop))),
            None => parts.push("still stopping".to_owned()),
        }
    }
    if at(Event::Killed).is_some() {
        parts.push("something had to be killed".to_owned());
    }
    if parts.is_empty() {
        parts.push("not ready yet".to_owned());
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn a_table_of_eighty_columns() {
        let mut timeline = sample("x", 3_600_000.0);
        let long =
            "a cause that goes on for much longer than that, and even for longer than a whole line";
        timeline.events[1].cause = Some(long.into());
        let table = text(&timeline);
        for line in table.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
        let line = |event| table.lines().find(|l: &&str| l.contains(event)).unwrap().to_owned();
        let words = |event| line(event).split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words("envoy-started"), ["start", "T1", "envoy-started", "155.0", "+6.0"]);
        assert_eq!(
            words("peers-updated"),
            ["stop", "T1", "peers-updated", "3600047.0", "+41.0", "47", "confirmed"]
        );
        let told = table.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(told.contains(long), "nothing of a cause is lost: {table}");
        assert!(told.ends_with("peers updated in 47 ms, stopped in 4.91 s"), "{table}");
    }

    #[test]
    fn an_empty_timeline_is_said() {
        let empty = crate::timeline::Log::new(String::new()).snapshot();
        assert_eq!(summary(&empty), "not ready yet");
    }
}
