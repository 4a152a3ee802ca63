//! A task's timeline as its supervisor's log lines tell it: at the moment of each event, and without asking anybody.

use super::MeshTask;
use anyhow::{Result, bail};
use serde_json::Value;
use std::time::Duration;
use taskmesh::timeline::{Event, Record};
use tokio::time::{Instant, timeout};

/// The record in a supervisor's log line, if it is one of the timeline.
#[must_use]
pub fn record_of(line: &str) -> Option<Record> {
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
#[must_use]
pub fn complaint(text: &str) -> Option<String> {
    let Ok(line) = serde_json::from_str::<Value>(text) else { return Some(text.to_owned()) };
    let level = line["level"].as_str().filter(|level| ["WARN", "ERROR"].contains(level))?;
    let who = line["child"].as_str().or(line["target"].as_str()).unwrap_or_default();
    Some(format!("  {level} {who}: {}", line["message"].as_str().unwrap_or_default()))
}

impl MeshTask {
    /// Waits for the supervisor's line about an event; gives when that line was read.
    ///
    /// # Errors
    /// If it is not there within `limit`, or the supervisor ends before.
    pub async fn until(&self, event: Event, limit: Duration) -> Result<(Instant, Record)> {
        let supervisor = self.ecs.container("taskmesh").map(|c| c.output().cursor());
        let Some(mut lines) = supervisor else { bail!("{}: no container taskmesh", self.name()) };
        let found = timeout(limit, async {
            while let Some(line) = lines.next().await {
                match record_of(&line.text) {
                    Some(record) if record.event == event => return Some((line.at, record)),
                    _ => {}
                }
            }
            None
        });
        let why = match found.await {
            Ok(Some(found)) => return Ok(found),
            Ok(None) => "it ended before".to_owned(),
            Err(_) => format!("not within {limit:?}"),
        };
        bail!("{}: no {}: {why}\n{}", self.name(), event.name(), self.complaints(8))
    }

    /// What the supervisor complained about last.
    #[must_use]
    pub fn complaints(&self, count: usize) -> String {
        let lines = self.ecs.output("taskmesh");
        let all: Vec<_> = lines.iter().filter_map(|line| complaint(&line.text)).collect();
        all[all.len().saturating_sub(count)..].join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_timelines_lines_are_records() {
        let line = r#"{"timestamp":"x","level":"INFO","message":"timeline","timeline":"Shutdown",
            "phase":"T1","event":"peers-updated","ms":47.5,"cause":"confirmed","target":"taskmesh::timeline"}"#;
        let record = record_of(line).expect("a record");
        assert_eq!((record.event, record.ms), (Event::PeersUpdated, 47.5));
        assert_eq!(record.cause.as_deref(), Some("confirmed"));
        assert!(record_of(&line.replace("taskmesh::timeline", "taskmesh::app")).is_none());
        assert!(record_of("panicked at").is_none());
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
