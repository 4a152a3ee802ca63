//! Log lines in the shape of Consul's: `<time> [INFO]  agent: text: key=value`.

use std::fmt;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

struct Consul;

impl<S, N> FormatEvent<S, N> for Consul
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = match *event.metadata().level() {
            Level::ERROR => "[ERROR]",
            Level::WARN => "[WARN] ",
            Level::INFO => "[INFO] ",
            Level::DEBUG => "[DEBUG]",
            Level::TRACE => "[TRACE]",
        };
        write!(writer, "{:.3} {level} agent: ", jiff::Timestamp::now())?;
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

/// Starts logging to stdout at a level in Consul's words.
pub(crate) fn start(level: &str) {
    let level = match level {
        "trace" => Level::TRACE,
        "debug" => Level::DEBUG,
        "warn" => Level::WARN,
        "err" | "error" => Level::ERROR,
        _ => Level::INFO,
    };
    let ours = tracing_subscriber::fmt::Subscriber::builder()
        .with_max_level(level)
        .with_ansi(false)
        .event_format(Consul)
        .finish();
    // Fails only if there is a logger already.
    drop(tracing::subscriber::set_global_default(ours));
}
