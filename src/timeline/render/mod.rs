//! Timelines for people: a table for the terminal, an SVG picture, an HTML page.
//!
//! | file | what it knows |
//! |---|---|
//! | `spans` | from a record to its coloured stretches |
//! | `axis` | one broken time axis for several tasks: each busy time its own scale |
//! | `labels` | where each event's label goes so that none lies on another |
//! | `svg`, `html`, `text` | the three forms |
//!
//! All of it is pure; only [`cli`] touches files.

mod axis;
mod html;
mod labels;
mod spans;
mod svg;
mod text;

pub use html::html;
pub use svg::svg;
pub use text::text;

use super::Timeline;
use crate::exit;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// One task in a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Lane {
    /// What people call the task.
    pub title: String,
    /// Where the task's own zero lies on the common axis, in ms.
    pub offset_ms: f64,
    /// What happened.
    pub timeline: Timeline,
}

impl Lane {
    /// Lanes on a common axis whose zero is the first task's start. A start that cannot be read counts as zero.
    pub fn align(named: Vec<(String, Timeline)>) -> Vec<Self> {
        let start = |t: &Timeline| t.started_at.parse::<jiff::Timestamp>().ok();
        let first = named.iter().filter_map(|(_, t)| start(t)).min();
        let mut lanes: Vec<Self> = named
            .into_iter()
            .map(|(title, timeline)| {
                let offset_ms = match (start(&timeline), first) {
                    (Some(this), Some(first)) => this.duration_since(first).as_secs_f64() * 1000.0,
                    _ => 0.0,
                };
                Self { title, offset_ms, timeline }
            })
            .collect();
        lanes.sort_by(|a, b| a.offset_ms.total_cmp(&b.offset_ms));
        lanes
    }
}

/// Arguments of `taskmesh timeline`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Timeline files, each of one task, as `lifecycle.timelineFile` or `GET /v1/timeline` gives them; `-` is stdin
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Draw an SVG picture
    #[arg(long, conflicts_with = "html")]
    pub svg: bool,
    /// Write an HTML page: the picture and a table per task
    #[arg(long)]
    pub html: bool,
    /// Write here instead of to stdout; `.svg` and `.html` choose the form
    #[arg(short, long, value_name = "OUT")]
    pub output: Option<PathBuf>,
}

/// `taskmesh timeline`: 0, 64 for a file that is no timeline, 1 where reading or writing failed.
pub fn cli(args: &Args) -> u8 {
    match run(args) {
        Ok(()) => exit::OK,
        Err(e) => {
            writeln!(io::stderr(), "taskmesh timeline: {e}").ok();
            match e {
                CliError::NotATimeline { .. } => exit::USAGE,
                CliError::Read { .. } | CliError::Write { .. } => exit::COULD_NOT_START,
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error("cannot read {}: {source}", file.display())]
    Read { file: PathBuf, source: io::Error },
    #[error("{} is no timeline: {source}", file.display())]
    NotATimeline { file: PathBuf, source: serde_json::Error },
    #[error("cannot write {to}: {source}")]
    Write { to: String, source: io::Error },
}

fn run(args: &Args) -> Result<(), CliError> {
    let named = args
        .files
        .iter()
        .map(|file| {
            let timeline = load(file)?;
            Ok((title(file, &timeline), timeline))
        })
        .collect::<Result<Vec<_>, CliError>>()?;
    let lanes = Lane::align(named);
    let ending = args.output.as_ref().and_then(|o| o.extension()).unwrap_or_default();
    let out = if args.svg || (!args.html && ending == "svg") {
        svg(&lanes)
    } else if args.html || ending == "html" {
        html(&lanes)
    } else {
        let tables: Vec<String> =
            lanes.iter().map(|l| format!("{}\n{}", l.title, text(&l.timeline))).collect();
        tables.join("\n")
    };
    match &args.output {
        Some(path) => fs::write(path, out)
            .map_err(|source| CliError::Write { to: path.display().to_string(), source }),
        None => match io::stdout().write_all(out.as_bytes()) {
            Err(source) if source.kind() != io::ErrorKind::BrokenPipe => {
                Err(CliError::Write { to: "stdout".into(), source })
            }
            _ => Ok(()),
        },
    }
}

fn load(file: &Path) -> Result<Timeline, CliError> {
    let mut json = String::new();
    let read = if file == Path::new("-") {
        io::stdin().read_to_string(&mut json).map(|_| ())
    } else {
        fs::read_to_string(file).map(|read| json = read)
    };
    read.map_err(|source| CliError::Read { file: file.into(), source })?;
    serde_json::from_str(&json)
        .map_err(|source| CliError::NotATimeline { file: file.into(), source })
}

/// The file's name and the first digits of the task's ID.
fn title(file: &Path, timeline: &Timeline) -> String {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let id: String = timeline.task.rsplit('/').next().unwrap_or_default().chars().take(8).collect();
    if id.is_empty() || stem.contains(&id) { stem.into_owned() } else { format!("{stem} ({id})") }
}

/// For XML and HTML text and attributes.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // Not allowed in XML 1.0, not even escaped.
            c if c.is_control() && c != '\n' && c != '\t' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// A duration at a glance: `0.4 ms`, `52 ms`, `4.62 s`, `3 min 5 s`.
fn human(ms: f64) -> String {
    let tenth = (ms * 10.0).round() / 10.0;
    if tenth.abs() < 10.0 {
        format!("{tenth} ms")
    } else if ms.round().abs() < 1000.0 {
        format!("{ms:.0} ms")
    } else if ms.abs() < 59_950.0 {
        format!("{:.2} s", ms / 1000.0)
    } else {
        let s = (ms / 1000.0).round() as i64;
        format!("{} min {} s", s / 60, s % 60)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::timeline::{Event, Log};

    /// A timeline as an undisturbed task writes it.
    pub(crate) fn sample(task: &str, stop_at: f64) -> Timeline {
        let log = Log::new("2026-11-22T10:00:00.000000000Z".into());
        log.set_task(&format!("arn:aws:ecs:eu-central-1:111122223333:task/prod/{task}"));
        for (ms, event) in [
            (0.0, Event::Started),
            (131.0, Event::AgentReady),
            (142.0, Event::Registered),
            (149.0, Event::BootstrapWritten),
            (155.0, Event::EnvoyStarted),
            (156.0, Event::HealthSyncStarted),
            (301.0, Event::Ready),
            (303.5, Event::AppStarted),
            (318.0, Event::Offered),
        ] {
            log.push(ms, event, None);
        }
        for (ms, event, cause) in [
            (0.0, Event::StopNoticed, Some("term")),
            (0.4, Event::SyncStopped, None),
            (6.0, Event::ChecksCritical, None),
            (47.0, Event::PeersUpdated, Some("confirmed")),
            (655.0, Event::InboundDrained, None),
            (656.0, Event::AppsReleased, None),
            (740.0, Event::AppsStopped, None),
            (790.0, Event::EnvoyExited, None),
            (4900.0, Event::AgentLeft, None),
            (4906.0, Event::AllExited, None),
        ] {
            log.push(stop_at + ms, event, cause.map(str::to_owned));
        }
        log.snapshot()
    }

    pub(crate) fn lanes() -> Vec<Lane> {
        let lane = |title: &str, offset_ms, stop_at| Lane {
            title: title.into(),
            offset_ms,
            timeline: sample(title, stop_at),
        };
        vec![
            lane("web", 0.0, 31_000.0),
            lane("api-1", 12.0, 20_000.0),
            lane("api-2", 25.0, 31_100.0),
        ]
    }

    #[test]
    fn lanes_are_aligned_by_their_starts() {
        let mut late = sample("b", 10.0);
        late.started_at = "2026-11-22T10:00:01.500Z".into();
        let lanes = Lane::align(vec![("b".into(), late), ("a".into(), sample("a", 10.0))]);
        let seen: Vec<_> = lanes.iter().map(|l| (l.title.as_str(), l.offset_ms)).collect();
        assert_eq!(seen, [("a", 0.0), ("b", 1500.0)]);
    }

    #[test]
    fn durations_at_a_glance() {
        for (ms, want) in [
            (0.0, "0 ms"),
            (0.44, "0.4 ms"),
            (9.99, "10 ms"),
            (52.3, "52 ms"),
            (999.7, "1.00 s"),
            (4620.0, "4.62 s"),
            (185_000.0, "3 min 5 s"),
        ] {
            assert_eq!(human(ms), want);
        }
    }

    #[test]
    fn foreign_text_stays_text() {
        assert_eq!(escape("<a b=\"c\">&\u{1}"), "&lt;a b=&quot;c&quot;&gt;&amp;\u{fffd}");
    }
}
