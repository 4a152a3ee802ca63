//! The timeline's columns and colours, for 80 columns.

use owo_colors::Style;
use taskmesh::timeline::{Event, Phase, Record, Stretch};

use crate::screen::Screen;

/// The cause's column is the last; what does not fit is cut.
const CAUSE: usize = 18;

/// What a task's lines look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paint {
    Cyan,
    Magenta,
    Blue,
}

impl Screen {
    /// The head of the timeline's columns.
    pub(super) fn columns(self) {
        self.dim(&row("task", "phase", "event", "ms", "stop +ms", "cause"));
    }

    /// One event of a task; `stop` is the ms of its `stop-noticed`.
    pub(super) fn event(self, task: &str, paint: Paint, record: &Record, stop: Option<f64>) {
        self.line(&self.event_line(task, paint, record, stop));
    }

    fn event_line(self, task: &str, paint: Paint, record: &Record, stop: Option<f64>) -> String {
        let since = match (record.timeline, stop) {
            (Stretch::Shutdown, Some(stop)) => format!("+{:.1}", record.ms - stop),
            _ => String::new(),
        };
        let cause: String =
            record.cause.as_deref().unwrap_or_default().chars().take(CAUSE).collect();
        let ms = format!("{:.1}", record.ms);
        let whole = row(task, &phase(record), record.event.name(), &ms, &since, &cause);
        if !self.colour {
            return whole;
        }
        // The columns before `ms` are of one width whatever is in them, and ASCII.
        let (task, rest) = whole.split_at(TASK);
        let (phase, rest) = rest.split_at(PHASE);
        let (event, rest) = rest.split_at(EVENT);
        let task_style = match paint {
            Paint::Cyan => Style::new().cyan(),
            Paint::Magenta => Style::new().magenta(),
            Paint::Blue => Style::new().bright_blue(),
        };
        let event = match record.event {
            Event::Ready | Event::Offered | Event::StopNoticed | Event::AllExited => {
                self.bold(event)
            }
            _ => event.to_owned(),
        };
        format!(
            "{}{}{event}{rest}",
            self.paint(task, task_style.bold()),
            self.paint(phase, of_phase(record))
        )
    }
}

const TASK: usize = 8;
const PHASE: usize = 10;
const EVENT: usize = 22;

fn row(task: &str, phase: &str, event: &str, ms: &str, stop: &str, cause: &str) -> String {
    let row = format!("{task:<TASK$}{phase:<PHASE$}{event:<EVENT$}{ms:>10}{stop:>10}  {cause}");
    row.trim_end().to_owned()
}

/// `start T0`, `stop T1`; a repair is no phase of its own.
fn phase(record: &Record) -> String {
    match record.timeline {
        Stretch::Startup => format!("start {:?}", record.phase),
        Stretch::Running => "running".to_owned(),
        Stretch::Shutdown => format!("stop {:?}", record.phase),
    }
}

fn of_phase(record: &Record) -> Style {
    match (record.timeline, record.phase) {
        (_, Phase::T4) => Style::new().red().bold(),
        (Stretch::Startup, _) => Style::new().green(),
        (Stretch::Running, _) => Style::new().red(),
        (Stretch::Shutdown, _) => Style::new().yellow(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(event: Event, ms: f64, cause: Option<&str>) -> Record {
        let cause = cause.map(str::to_owned);
        Record { ms, timeline: event.stretch(), phase: event.phase(), event, cause }
    }

    #[test]
    fn a_line_fits_eighty_columns_and_colour_adds_only_colour() {
        let plain = Screen { colour: false };
        let colour = Screen { colour: true };
        let long =
            record(Event::RegistrationRepaired, 3_599_999.9, Some("a very long cause of it"));
        let stop = record(Event::PeersUpdated, 9_547.0, Some("servers-unreachable"));
        for record in [long, stop] {
            let line = plain.event_line("api-1", Paint::Blue, &record, Some(9_500.0));
            assert!(line.chars().count() <= 80, "{line}");
            let painted = colour.event_line("api-1", Paint::Blue, &record, Some(9_500.0));
            assert_eq!(without_escapes(&painted), line);
            assert_ne!(painted, line);
        }
    }

    #[test]
    fn a_stop_counts_from_its_beginning() {
        let line = Screen { colour: false }.event_line(
            "web",
            Paint::Cyan,
            &record(Event::PeersUpdated, 547.0, Some("confirmed")),
            Some(500.0),
        );
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(words, ["web", "stop", "T1", "peers-updated", "547.0", "+47.0", "confirmed"]);
    }

    fn without_escapes(text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(start) = rest.find('\x1b') {
            out.push_str(&rest[..start]);
            let end = rest[start..].find('m').expect("an end") + start;
            rest = &rest[end + 1..];
        }
        out + rest
    }
}
