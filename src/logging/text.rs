//! The text format, for people: `12:00:00.123 INFO  supervisor: message key=value`.

use super::CHILD;
use std::fmt::{self, Write as _};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Formats an event on one line. Times are UTC.
pub(super) struct Text {
    pub(super) colour: bool,
    pub(super) now: fn() -> String,
}

pub(super) fn time_of_day() -> String {
    clock(super::wall_clock())
}

/// The time of day in UTC, to the millisecond.
pub(super) fn clock(now: jiff::Timestamp) -> String {
    // RFC 3339 with three decimals is of one width from year 0 to 9999: date, `T`, twelve characters, `Z`.
    format!("{now:.3}").get(11..23).unwrap_or_default().to_owned()
}

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let meta = event.metadata();
        let mut fields = Fields::default();
        event.record(&mut fields);

        let (dim, level, end) =
            if self.colour { ("\x1b[2m", colour(*meta.level()), "\x1b[0m") } else { ("", "", "") };
        let time = (self.now)();
        write!(out, "{dim}{time}{end} {level}{:<5}{end} ", meta.level().as_str())?;
        if meta.target() == CHILD {
            // A child's line as the child wrote it.
            return writeln!(out, "{}| {}", fields.child, fields.message);
        }
        write!(out, "{}: {}", short(meta.target()), fields.message)?;
        if !fields.child.is_empty() {
            write!(out, " child={}", fields.child)?;
        }
        writeln!(out, "{}", fields.rest)
    }
}

/// `taskmesh::supervisor::fsm` is `supervisor`, `taskmesh::actors::envoy` is `envoy`, `hyper::x` is `hyper`.
fn short(target: &str) -> &str {
    let ours = target.strip_prefix("taskmesh::").unwrap_or(target);
    let noun = ours.strip_prefix("actors::").unwrap_or(ours);
    noun.split("::").next().unwrap_or(noun)
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[1;31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG | Level::TRACE => "\x1b[2m",
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    child: String,
    rest: String,
}

impl Fields {
    fn add(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => push_clean(&mut self.message, value),
            "child" => push_clean(&mut self.child, value),
            name => {
                self.rest.push(' ');
                self.rest.push_str(name);
                self.rest.push('=');
                if value.is_empty() || value.contains([' ', '"']) {
                    push_clean(&mut self.rest, &format!("{value:?}"));
                } else {
                    push_clean(&mut self.rest, value);
                }
            }
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        // Writing to a string cannot fail; a Debug that does is shown as far as it came.
        write!(text, "{value:?}").ok();
        self.add(field, &text);
    }
}

/// Control characters become `\x1b` and the like: what others print must not steer the reader's terminal, nor
/// begin a line that looks like ours.
fn push_clean(out: &mut String, text: &str) {
    for c in text.chars() {
        if c.is_control() && c != '\t' { out.extend(c.escape_default()) } else { out.push(c) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_short() {
        assert_eq!(short("taskmesh::supervisor::fsm"), "supervisor");
        assert_eq!(short("taskmesh::actors::consul_agent"), "consul_agent");
        assert_eq!(short("taskmesh"), "taskmesh");
        assert_eq!(short("hyper_util::client"), "hyper_util");
    }

    #[test]
    fn the_clock_is_utc_with_milliseconds() {
        let time: jiff::Timestamp = "2026-11-22T23:59:59.0119Z".parse().expect("time");
        assert_eq!(clock(time), "23:59:59.011");
    }
}
