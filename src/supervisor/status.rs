//! What the machine shows of itself.

use super::child::{Child, State};
use super::event::Source;
use super::facts::{App, Facts, Latch};
use super::fsm::Machine;
use super::phase::Phase;
use super::plan::Plan;
use crate::admin::{AppStatus, ChildStatus, Gate, Pending, Problem, Status, StopStatus};
use std::time::Duration;

fn ms(t: Duration) -> f64 {
    t.as_secs_f64() * 1000.0
}

impl Machine {
    /// The public view. `at` is now, since exec.
    pub fn status(&self, plan: &Plan, service_id: &str, at: Duration) -> Status {
        let f = &self.facts;
        let pending = f.pending();
        Status {
            task: f.seen.as_ref().map(|s| s.task.task_arn.clone()).unwrap_or_default(),
            service_id: service_id.to_owned(),
            phase: self.phase.name().to_owned(),
            ready: f.ready_at.is_some() && pending.is_empty() && !self.phase.stopping(),
            // An UNHEALTHY essential container makes ECS stop the whole task: once T2 was reached only our own
            // giving up may say so.
            healthy: f.ready_at.is_some() && !f.gave_up,
            pending,
            children: [&self.agent, &self.envoy].map(child_status).to_vec(),
            apps: f.wrapped.iter().map(|(name, app)| app_status(name, *app, self.phase)).collect(),
            health_sync: f.sync_status(plan),
            problems: f.problems(),
            stop: f.stop.map(|stop| StopStatus {
                cause: stop.cause.name().to_owned(),
                since_ms: ms(stop.at),
                awaiting: self.awaiting(plan),
                seconds_left: f.deadline.map(|d| d.saturating_sub(at).as_secs_f64()),
            }),
            gate: Gate {
                start: f.ready_at.is_some(),
                release: self.phase >= Phase::AwaitingApps,
                term: f.stop.is_some_and(|s| s.cause.is_our_own()),
            },
            stop_timeouts_ms: f.stop_timeouts_ms(),
        }
    }
}

impl Facts {
    fn problems(&self) -> Vec<Problem> {
        let problem = |what: &str, why: &str, since: Duration| Problem {
            what: what.to_owned(),
            why: why.to_owned(),
            since_ms: ms(since),
        };
        self.troubles
            .iter()
            .map(|(source, (why, since))| problem(source.name(), why, *since))
            .chain(
                self.not_offered().map(|(why, since)| problem("not offered to peers", why, since)),
            )
            .collect()
    }

    fn pending(&self) -> Vec<Pending> {
        self.latches
            .iter()
            .map(|(latch, since)| Pending {
                latch: latch.name().to_owned(),
                since_ms: ms(*since),
                reason: source_of(*latch)
                    .and_then(|source| self.troubles.get(&source))
                    .map(|(why, _)| why.clone()),
            })
            .collect()
    }
}

/// Whose trouble explains why a latch is held.
fn source_of(latch: Latch) -> Option<Source> {
    Some(match latch {
        Latch::TaskMetadata => Source::TaskMetadata,
        Latch::Secrets => Source::Secrets,
        Latch::Agent | Latch::Servers => Source::ConsulAgent,
        Latch::Registration => Source::Registration,
        Latch::Bootstrap => Source::Bootstrap,
        Latch::EnvoyLive | Latch::EnvoyListeners => Source::Envoy,
    })
}

fn child_status(child: &Child) -> ChildStatus {
    let state = match child.state() {
        State::Idle => "idle",
        State::Starting => "starting",
        State::Up { .. } => "up",
        State::BackingOff => "backing-off",
        State::Stopping { .. } => "stopping",
        State::Gone => "gone",
    };
    ChildStatus {
        name: child.role().name().to_owned(),
        state: state.to_owned(),
        pid: child.pid(),
        restarts: child.restarts(),
        last_exit: child.last_exit().map(ToString::to_string),
    }
}

fn app_status(container: &str, app: App, phase: Phase) -> AppStatus {
    let released = phase >= Phase::AwaitingApps;
    let (state, exit_code) = match app {
        App::Attached | App::Started if released => ("released", None),
        App::Attached => ("waiting", None),
        App::Started => ("started", None),
        App::Exited(code) => ("exited", Some(code)),
        App::Lost { .. } => ("lost", None),
    };
    AppStatus { container: container.to_owned(), state: state.to_owned(), exit_code }
}
