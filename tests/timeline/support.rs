//! What the scenarios share.

use std::time::Duration;
use taskmesh::timeline::{Event, Record, Timeline};
use testbed::cluster::{Backend, Cluster};

/// Long enough for two busy cores; a scenario that needs it is broken.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A mesh to try things on; `None` after having said why not.
pub(crate) async fn cluster() -> Option<Cluster> {
    if let Err(missing) = testbed::parts::envoy() {
        testbed::skip::skip(&missing.to_string());
        return None;
    }
    let backend = Backend::best().expect("CONSUL_BIN");
    Some(Cluster::start(backend).await.expect("cluster"))
}

/// A scenario's view of a timeline.
pub(crate) struct Seen(pub(crate) Timeline);

impl Seen {
    #[track_caller]
    pub(crate) fn at(&self, event: Event) -> &Record {
        self.0.find(event).unwrap_or_else(|| panic!("no {} in {:#?}", event.name(), self.lines()))
    }

    #[track_caller]
    pub(crate) fn has_no(&self, event: Event) {
        assert!(self.0.find(event).is_none(), "{} in {:#?}", event.name(), self.lines());
    }

    /// All of these happened, in this order.
    #[track_caller]
    pub(crate) fn in_order(&self, events: &[Event]) {
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
    #[track_caller]
    pub(crate) fn cause(&self, event: Event, cause: &str) {
        assert_eq!(self.at(event).cause.as_deref(), Some(cause), "{:#?}", self.lines());
    }

    /// Between two events.
    #[track_caller]
    pub(crate) fn between(&self, from: Event, to: Event) -> Duration {
        Duration::from_secs_f64((self.at(to).ms - self.at(from).ms).max(0.0) / 1000.0)
    }

    fn position(&self, event: Event) -> Option<usize> {
        self.0.events.iter().position(|r| r.event == event)
    }

    fn lines(&self) -> Vec<String> {
        self.0
            .events
            .iter()
            .map(|r| {
                format!("{:>10.1} {} {}", r.ms, r.event.name(), r.cause.as_deref().unwrap_or(""))
            })
            .collect()
    }
}

/// The whole start, in the order in which nothing may be swapped.
#[track_caller]
pub(crate) fn assert_started(seen: &Seen) {
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
#[track_caller]
pub(crate) fn assert_stopped(seen: &Seen) {
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
