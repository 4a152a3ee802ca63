//! The live record: appended to by the supervisor only, read by the admin API and at exit.

use super::{Event, Record, Timeline};
use std::sync::{Arc, Mutex};

/// A shared, append-only timeline. Cloning gives another handle to the same record.
#[derive(Debug, Clone)]
pub struct Log(Arc<Mutex<Timeline>>);

/// Repairs repeat for as long as a task lives; the record of them must not grow with it.
const MAX_RECORDS: usize = 512;

impl Log {
    /// An empty record. `started_at` is RFC 3339 with nanoseconds.
    pub fn new(started_at: String) -> Self {
        Self(Arc::new(Mutex::new(Timeline { task: String::new(), started_at, events: Vec::new() })))
    }

    /// Names the task, once its metadata was read.
    pub fn set_task(&self, arn: &str) {
        self.lock().task = arn.to_owned();
    }

    /// Appends one event at `ms` after the start. Past 512 records the oldest repair makes room.
    pub fn push(&self, ms: f64, event: Event, cause: Option<String>) -> Record {
        let record = Record { ms, timeline: event.stretch(), phase: event.phase(), event, cause };
        let mut t = self.lock();
        if t.events.len() >= MAX_RECORDS
            && let Some(i) = t.events.iter().position(|r| r.timeline == super::Stretch::Running)
        {
            t.events.remove(i);
        }
        t.events.push(record.clone());
        record
    }

    /// A copy as it stands.
    pub fn snapshot(&self) -> Timeline {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Timeline> {
        // A panic while holding this lock leaves a whole Timeline: every update is one push or one assignment.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
