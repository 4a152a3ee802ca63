//! Turns effects into records, timers and work for the [`Hands`].

use super::actor::Msg;
use super::effect::Effect;
use super::event::{Event, TimerId};
use crate::timeline;
use ractor::ActorRef;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// Whoever does the work: the actors in production, a recorder in tests. `perform` returns at once; what came of it
/// comes back as an [`Event`].
pub trait Hands: Send + 'static {
    /// Begins to do `effect`. Records, warnings, timers and the exit never get here.
    fn perform(&mut self, effect: Effect);

    /// The service's ID, empty until it is known.
    fn service_id(&self) -> String {
        String::new()
    }
}

/// See the module's text.
pub(crate) struct Executor {
    pub(crate) epoch: Instant,
    pub(crate) log: timeline::Log,
    hands: Box<dyn Hands>,
    timers: BTreeMap<TimerId, AbortHandle>,
}

impl Executor {
    pub(crate) fn new(epoch: Instant, log: timeline::Log, hands: Box<dyn Hands>) -> Self {
        Self { epoch, log, hands, timers: BTreeMap::new() }
    }

    pub(crate) fn service_id(&self) -> String {
        self.hands.service_id()
    }

    /// Since exec.
    pub(crate) fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// Does what the machine wants; gives the exit code if it wants that.
    pub(crate) fn run(&mut self, myself: &ActorRef<Msg>, effects: Vec<Effect>) -> Option<u8> {
        let mut exit = None;
        for effect in effects {
            match effect {
                Effect::Record { event, cause } => self.record(event, cause),
                Effect::Arm { id, at, generation } => self.arm(myself, id, at, generation),
                Effect::Warn(why) => tracing::warn!("{why}"),
                Effect::Exit(code) => exit = Some(code),
                effect => self.hands.perform(effect),
            }
        }
        exit
    }

    fn record(&self, event: timeline::Event, cause: Option<String>) {
        let ms = (self.now().as_secs_f64() * 1e6).round() / 1000.0;
        let record = self.log.push(ms, event, cause);
        tracing::info!(
            target: "taskmesh::timeline",
            timeline = record.timeline.name(),
            phase = ?record.phase,
            event = record.event.name(),
            ms,
            cause = record.cause.as_deref(),
            "{} {:?} {}",
            record.timeline.name(),
            record.phase,
            record.event.name(),
        );
    }

    fn arm(&mut self, myself: &ActorRef<Msg>, id: TimerId, at: Duration, generation: u32) {
        let myself = myself.clone();
        let when = self.epoch + at;
        let task = tokio::spawn(async move {
            tokio::time::sleep_until(when).await;
            // The supervisor may be gone by now; then nobody waits for this timer.
            if myself.cast(Msg::Event(Event::Timer { id, generation })).is_err() {
                tracing::debug!(?id, "timer after the end");
            }
        });
        if let Some(old) = self.timers.insert(id, task.abort_handle()) {
            old.abort();
        }
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        for timer in self.timers.values() {
            timer.abort();
        }
    }
}
