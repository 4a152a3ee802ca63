//! A task's timeline as it happens, from its supervisor's log lines.

use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::Value;
use taskmesh::timeline::{Event, Record};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::screen::{Paint, Screen};
use crate::cluster::MeshTask;
use crate::net::{Cursor, Line};

/// A task whose timeline is shown.
pub(super) struct Shown {
    pub(super) task: MeshTask,
    records: watch::Receiver<Vec<(Instant, Record)>>,
    follower: JoinHandle<()>,
}

impl Shown {
    /// Shows the events of `task` from now on, those of the past first.
    pub(super) fn new(task: MeshTask, paint: Paint, screen: Screen) -> Self {
        let (sender, records) = watch::channel(Vec::new());
        let lines = task.ecs.container("taskmesh").map(|supervisor| supervisor.output().cursor());
        let name = task.name().to_owned();
        let follower = tokio::spawn(async move {
            if let Some(lines) = lines {
                follow(lines, &name, paint, screen, &sender).await;
            }
        });
        Self { task, records, follower }
    }

    pub(super) fn name(&self) -> &str {
        self.task.name()
    }

    /// When the supervisor's line about `event` was read.
    pub(super) fn read_at(&self, event: Event) -> Option<Instant> {
        self.records.borrow().iter().find(|(_, record)| record.event == event).map(|(at, _)| *at)
    }

    /// Waits until `event` has happened.
    pub(super) async fn wait(&self, event: Event, limit: Duration) -> Result<()> {
        let mut records = self.records.clone();
        let happened = records.wait_for(|records| records.iter().any(|(_, r)| r.event == event));
        match timeout(limit, happened).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => bail!("{} ended before {}\n{}", self.name(), event.name(), self.why()),
            Err(_) => {
                bail!("{}: no {} within {limit:?}\n{}", self.name(), event.name(), self.why())
            }
        }
    }

    /// Waits until all its events are on the screen.
    pub(super) async fn all_shown(&mut self) {
        // The supervisor has ended, and its output with it; an error would be a panic, shown by its hook.
        _ = timeout(Duration::from_secs(2), &mut self.follower).await.is_ok();
    }

    /// What the supervisor complained about last.
    fn why(&self) -> String {
        let lines = self.task.ecs.output("taskmesh");
        let complaints: Vec<_> = lines.iter().filter_map(|line| complaint(&line.text)).collect();
        let from = complaints.len().saturating_sub(8);
        complaints[from..].join("\n")
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

async fn follow(
    mut lines: Cursor<Line>,
    name: &str,
    paint: Paint,
    screen: Screen,
    records: &watch::Sender<Vec<(Instant, Record)>>,
) {
    let mut stop = None;
    while let Some(line) = lines.next().await {
        let Some(record) = parse(&line.text) else { continue };
        if record.event == Event::StopNoticed {
            stop = Some(record.ms);
        }
        screen.event(name, paint, &record, stop);
        records.send_modify(|records| records.push((line.at, record)));
    }
}

/// The record in a supervisor's log line, if it is one of the timeline.
fn parse(line: &str) -> Option<Record> {
    let line: Value = serde_json::from_str(line).ok()?;
    if line["target"] != "taskmesh::timeline" {
        return None;
    }
    let event: Event = serde_json::from_value(line["event"].clone()).ok()?;
    Some(Record {
        ms: line["ms"].as_f64()?,
        timeline: event.stretch(),
        phase: event.phase(),
        event,
        cause: line["cause"].as_str().map(str::to_owned),
    })
}

/// A warning or an error of the supervisor or of a child, in one line; what is no log line at all is one too.
fn complaint(text: &str) -> Option<String> {
    let Ok(line) = serde_json::from_str::<Value>(text) else { return Some(text.to_owned()) };
    let level = line["level"].as_str().filter(|level| ["WARN", "ERROR"].contains(level))?;
    let who = line["child"].as_str().or(line["target"].as_str()).unwrap_or_default();
    Some(format!("  {level} {who}: {}", line["message"].as_str().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_timelines_lines_are_records() {
        let line = r#"{"timestamp":"x","level":"INFO","message":"timeline","timeline":"Shutdown",
            "phase":"T1","event":"peers-updated","ms":47.5,"cause":"confirmed","target":"taskmesh::timeline"}"#;
        let record = parse(line).expect("a record");
        assert_eq!((record.event, record.ms), (Event::PeersUpdated, 47.5));
        assert_eq!(record.cause.as_deref(), Some("confirmed"));
        assert!(parse(&line.replace("taskmesh::timeline", "taskmesh::app")).is_none());
        assert!(parse("panicked at").is_none());
    }

    #[test]
    fn complaints_are_what_a_reader_needs_when_it_went_wrong() {
        let line = |level: &str| {
            format!(r#"{{"level":"{level}","message":"no","target":"child","child":"envoy"}}"#)
        };
        assert_eq!(complaint(&line("WARN")).as_deref(), Some("  WARN envoy: no"));
        assert_eq!(complaint(&line("INFO")), None);
        assert_eq!(complaint("Segmentation fault").as_deref(), Some("Segmentation fault"));
    }
}
