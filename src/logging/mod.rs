//! Our own structured log, and through it the children's lines.
//!
//! Everything goes to standard output through a bounded queue and one writer thread (`queue`): an `awslogs`
//! driver in `mode=blocking` may stop reading for minutes, and that must stop neither the timeline nor a TTL.
//! What finds no room is dropped and counted. Children's lines get only three quarters of the queue, so that
//! a noisy child cannot crowd out what the supervisor has to say.

mod children;
mod queue;
mod said;
mod text;

pub use children::child_lines;
pub(crate) use said::Said;

use crate::config::{Log, LogFormat, LogLevel};
use crate::exit;
use queue::Queue;
use std::fmt;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::{MakeWriter, format::Writer, time::FormatTime};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The queue of this process, once there is one.
static QUEUE: OnceLock<Arc<Queue>> = OnceLock::new();

/// How long our exit waits for a standard output that nobody reads.
const FLUSH_LIMIT: Duration = Duration::from_millis(500);

/// The target of children's lines.
const CHILD: &str = "child";

/// Flushes what is queued when it is dropped, for at most 500 ms.
#[derive(Debug)]
#[must_use = "dropping it at once flushes an empty queue; hold it until the end of main"]
pub struct Guard(Option<Arc<Queue>>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(queue) = &self.0 {
            queue.flush(FLUSH_LIMIT);
        }
    }
}

/// Sends everything that is traced from now on to standard output, at `level` and above.
///
/// A second call in one process, as tests make it, changes nothing and gives a guard of the first log. If
/// another subscriber is installed already, it stays.
///
/// # Errors
/// If standard output is closed or the writer thread cannot be started.
pub fn init(level: LogLevel, format: LogFormat) -> io::Result<Guard> {
    if let Some(queue) = QUEUE.get() {
        return Ok(Guard(Some(Arc::clone(queue))));
    }
    let notice = match format {
        LogFormat::Json => notice_json,
        LogFormat::Text => notice_text,
    };
    // A descriptor of its own: std's standard output has a lock and a buffer that a blocked write would hold.
    let stdout = io::stdout().as_fd().try_clone_to_owned()?;
    let queue = Queue::start(stdout, queue::Limits::DEFAULT, notice)?;
    let writer = QueueWriter(Arc::clone(&queue));
    let registry = tracing_subscriber::registry().with(targets(level));
    let installed = match format {
        LogFormat::Json => registry.with(json_layer(writer)).try_init(),
        LogFormat::Text => {
            let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            registry.with(text_layer(writer, colour)).try_init()
        }
    };
    if installed.is_err() {
        return Ok(Guard(None));
    }
    Ok(Guard(Some(Arc::clone(QUEUE.get_or_init(|| queue)))))
}

/// What every long-running mode begins with once its configuration is read: the log, panics in it, and what could not
/// be told before. `no_cores` is what came of forbidding core dumps.
///
/// # Errors
/// The process's exit code, where there can be no log; why is on standard error.
pub(crate) fn begin(
    config: &Log,
    no_cores: io::Result<()>,
    warnings: &[String],
) -> Result<Guard, u8> {
    let guard = init(config.level, config.format).map_err(|e| {
        eprintln!("taskmesh: cannot start the log writer: {e}");
        exit::COULD_NOT_START
    })?;
    log_panics();
    if let Err(e) = no_cores {
        tracing::warn!(error = %e, "cannot forbid core dumps: one would hold the secrets");
    }
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    Ok(guard)
}

/// Sends panics to the log in place of standard error, on one line. For main, not for tests.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let why = info.payload_as_str().unwrap_or("(no message)");
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        tracing::error!(target: "taskmesh::panic", place, thread, "panic: {why}");
    }));
}

/// How many lines, ours and the children's, found no room or could not be written, since the start.
pub fn dropped() -> u64 {
    QUEUE.get().map_or(0, |queue| queue.dropped())
}

/// Ours and the children's at `level`; libraries only when they warn, or when everything is asked for.
fn targets(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let libraries =
        if level == LevelFilter::TRACE { LevelFilter::DEBUG } else { level.min(LevelFilter::WARN) };
    Targets::new()
        .with_default(libraries)
        .with_target("taskmesh", level)
        .with_target("testbed", level)
        .with_target(CHILD, level)
}

fn json_layer<S>(writer: QueueWriter) -> impl tracing_subscriber::Layer<S>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_timer(Rfc3339Millis)
        .with_writer(writer)
}

fn text_layer<S>(writer: QueueWriter, colour: bool) -> impl tracing_subscriber::Layer<S>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    tracing_subscriber::fmt::layer()
        .event_format(text::Text { colour, now: text::time_of_day })
        .with_writer(writer)
}

/// What is said when there is room again.
const NOTICE: &str = "log lines dropped: the reader of our standard output was too slow";

fn notice_json(dropped: u64) -> Vec<u8> {
    let line = serde_json::json!({
        "timestamp": rfc3339_millis(),
        "level": Level::WARN.as_str(),
        "message": NOTICE,
        "dropped": dropped,
        "target": module_path!(),
    });
    format!("{line}\n").into_bytes()
}

fn notice_text(dropped: u64) -> Vec<u8> {
    let time = text::time_of_day();
    format!("{time} WARN  logging: {NOTICE} dropped={dropped}\n").into_bytes()
}

fn rfc3339_millis() -> String {
    format!("{:.3}", wall_clock())
}

/// The time of day, for people to read, and for AWS, which compares that of a signature with its own: nothing is decided
/// by it, for it can jump. Every limit and every duration is measured by the monotonic clock.
#[expect(clippy::disallowed_methods, reason = "the one place")]
pub(crate) fn wall_clock() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// `2026-11-22T12:00:00.123Z`, always with three decimals, so that lines sort as text.
struct Rfc3339Millis;

impl FormatTime for Rfc3339Millis {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        w.write_str(&rfc3339_millis())
    }
}

/// One event is one write of one whole line (tracing-subscriber formats into a buffer of its own first).
#[derive(Clone)]
struct QueueWriter(Arc<Queue>);

impl io::Write for QueueWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for QueueWriter {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests;
