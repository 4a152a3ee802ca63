//! Assertions about timelines: order, causes, generous bounds.

use std::time::Duration;
use taskmesh::timeline::{Event, Record, Timeline};

/// A scenario's view of a timeline.
#[derive(Debug)]
pub struct Seen(pub Timeline);

impl Seen {
    /// The first record of an event.
    ///
    /// # Panics
    /// If it did not happen.
    #[track_caller]
    pub fn at(&self, event: Event) -> &Record {
        self.0.find(event).unwrap_or_else(|| panic!("no {} in {:#?}", event.name(), self.lines()))
    }

    /// It did not happen.
    ///
    /// # Panics
    /// If it did.
    #[track_caller]
    pub fn has_no(&self, event: Event) {
        assert!(self.0.find(event).is_none(), "{} in {:#?}", event.name(), self.lines());
    }

    /// All of these happened, in this order.
    ///
    /// # Panics
    /// If not.
    #[track_caller]
    pub fn in_order(&self, events: &[Event]) {
        for pair in events.windows(2) {
            let [a, b] = [self.at(pair[0]), self.at(pair[1])];
            assert!(
                a.ms <= b.ms && self.position(pair[0]) < self.position(pair[1]),
                "{} is not before {}: {:#?}",
                pair[0].name(),
                pair[1].name(),
                self.lines()
            );
        }
    }

    /// `event` has this cause.
    ///
    /// # Panics
    /// If it did not happen or has another.
    #[track_caller]
    pub fn cause(&self, event: Event, cause: &str) {
        assert_eq!(self.at(event).cause.as_deref(), Some(cause), "{:#?}", self.lines());
    }

    /// Between two events.
    ///
    /// # Panics
    /// If one did not happen.
    #[track_caller]
    pub fn between(&self, from: Event, to: Event) -> Duration {
        Duration::from_secs_f64((self.at(to).ms - self.at(from).ms).max(0.0) / 1000.0)
    }

    fn position(&self, event: Event) -> Option<usize> {
        self.0.events.iter().position(|r| r.event == event)
    }

    /// A line for each event.
    pub fn lines(&self) -> Vec<String> {
        let line = |r: &Record| {
            format!("{:>10.1} {} {}", r.ms, r.event.name(), r.cause.as_deref().unwrap_or(""))
        };
        self.0.events.iter().map(line).collect()
    }
}

/// The whole start, in the order in which nothing may be swapped.
///
/// # Panics
/// If something was.
#[track_caller]
pub fn assert_started(seen: &Seen) {
    use Event::*;
    seen.in_order(&[
        Started,
        AgentReady,
        Registered,
        BootstrapWritten,
        EnvoyStarted,
        Ready,
        Offered,
    ]);
    seen.in_order(&[BootstrapWritten, HealthSyncStarted, Ready]);
    seen.in_order(&[Ready, AppStarted]);
}

/// The whole stop for http, in the order in which nothing may be swapped.
///
/// # Panics
/// If something was.
#[track_caller]
pub fn assert_stopped(seen: &Seen) {
    use Event::*;
    seen.in_order(&[
        StopNoticed,
        SyncStopped,
        ChecksCritical,
        AppsStopped,
        EnvoyExited,
        AgentLeft,
        AllExited,
    ]);
    seen.has_no(Deadline);
    seen.has_no(Killed);
    assert_eq!(seen.0.events.last().map(|r| r.event), Some(AllExited));
}
