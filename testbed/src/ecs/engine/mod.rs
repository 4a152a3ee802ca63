//! The loop that starts, watches and stops the containers of one task.
//!
//! Every pass looks at the state, does what it allows, and waits for the next input or clock.

mod start;
mod stop;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use self::start::CANNOT_START;
use super::container::{Surroundings, Verdict};
use super::gates::Seen;
use super::spec::Flavour;
use super::state::{ContainerEvent, ContainerState, Health, HealthState, Shared, Status, What};
use crate::net::{Exit, Process};

/// The last lines of a container's output may take this long to be read.
const OUTPUT_GRACE: Duration = Duration::from_secs(1);

/// What the loop reacts to.
#[derive(Debug)]
pub(super) enum Input {
    /// Somebody wants the task stopped.
    Stop(String),
    Pulled(usize),
    Exited(usize, Exit),
    Probed(Verdict),
}

impl From<Verdict> for Input {
    fn from(verdict: Verdict) -> Self {
        Self::Probed(verdict)
    }
}

pub(super) struct Engine {
    shared: Arc<Shared>,
    around: Arc<Surroundings>,
    inputs: mpsc::UnboundedReceiver<Input>,
    tell: mpsc::UnboundedSender<Input>,
    helpers: JoinSet<()>,
    outputs: JoinSet<()>,
    /// Containers whose gate has opened.
    launched: Vec<bool>,
    kill_at: Vec<Option<Instant>>,
    /// When gates are looked at next, whatever happens.
    look_at: Instant,
    kill_all_at: Option<Instant>,
}

impl Engine {
    pub(super) fn new(
        shared: Arc<Shared>,
        around: Arc<Surroundings>,
        tell: mpsc::UnboundedSender<Input>,
        inputs: mpsc::UnboundedReceiver<Input>,
    ) -> Self {
        let count = shared.spec.definition.container_definitions.len();
        Self {
            shared,
            around,
            inputs,
            tell,
            helpers: JoinSet::new(),
            outputs: JoinSet::new(),
            launched: vec![false; count],
            kill_at: vec![None; count],
            look_at: Instant::now(),
            kill_all_at: None,
        }
    }

    /// Runs the task to its end. Must be on its host, in a `LocalSet`.
    pub(super) async fn run(mut self) {
        if self.shared.spec.flavour == Flavour::Fargate {
            self.mark_pull(true);
            self.mark_pull(false);
        }
        loop {
            self.act();
            if self.shared.read().all_stopped() {
                break;
            }
            let wake = self.next_clock();
            let input = tokio::select! {
                input = self.inputs.recv() => input,
                () = clock(wake) => None,
            };
            if let Some(input) = input {
                self.observe(input);
            }
        }
        self.helpers.shutdown().await;
        let drained = async { while self.outputs.join_next().await.is_some() {} };
        _ = timeout(OUTPUT_GRACE, drained).await.is_ok();
        self.shared.tell(What::Stopped);
    }

    fn count(&self) -> usize {
        self.launched.len()
    }

    fn seen(&self) -> Vec<Seen> {
        let now = Instant::now();
        let look = |c: &ContainerState| Seen {
            known: c.known,
            exit_code: c.exit_code,
            health: c.health.as_ref().map_or(Health::Unknown, |h| h.health),
            running_for: c.started.map(|at| now - at),
        };
        self.shared.read().containers.iter().map(look).collect()
    }

    /// Does everything that the state allows now.
    fn act(&mut self) {
        if self.shared.read().desired == Status::Stopped {
            self.stop_containers();
            return;
        }
        let now = Instant::now();
        let grid = self.shared.spec.scaled(self.shared.spec.dependency_grid.as_secs_f64());
        if now < self.look_at {
            return;
        }
        // A start lets others start, so look again until nothing moves; then only the grid's next
        // point counts, whatever happens before.
        while self.open_gates() {}
        self.look_at = if grid.is_zero() { now } else { now + grid };
        if self.shared.read().desired == Status::Stopped {
            self.stop_containers();
        }
    }

    fn observe(&mut self, input: Input) {
        match input {
            Input::Stop(reason) => self.want_stop(&reason),
            Input::Pulled(index) => {
                if self.shared.read().containers[index].known != Status::Stopped {
                    self.create_and_start(index);
                    // The end of a transition: gates are looked at without waiting for the grid.
                    self.look_at = Instant::now();
                }
            }
            Input::Exited(index, exit) => self.exited(index, exit.code()),
            Input::Probed(verdict) => self.probed(&verdict),
        }
    }

    fn exited(&mut self, index: usize, code: i32) {
        if self.may_restart(index, code) {
            self.shared.update(|state| {
                let container = &mut state.containers[index];
                container.restarts += 1;
                let since = Some(Timestamp::now());
                container.health = container.health.take().map(|_| HealthState {
                    health: Health::Unknown,
                    since,
                    exit_code: None,
                    output: None,
                });
                self.shared.tell_of(index, ContainerEvent::Restarted { code });
            });
            if let Err(error) = self.start_process(index) {
                self.finish(index, Some(CANNOT_START), &error.to_string());
            }
            return;
        }
        self.finish(index, Some(code), "Essential container in task exited");
    }

    fn probed(&mut self, verdict: &Verdict) {
        let Verdict { container: index, pid, health, exit_code, ref output } = *verdict;
        let changed = self.shared.update(|state| {
            let container = &mut state.containers[index];
            if container.process.as_ref().map(Process::pid) != Some(pid) {
                return false;
            }
            let Some(shown) = &mut container.health else { return false };
            if shown.health == health {
                return false;
            }
            shown.health = health;
            shown.since = Some(Timestamp::now());
            shown.output = Some(output.clone());
            if health == Health::Unhealthy {
                // The agent never clears it again.
                shown.exit_code = Some(exit_code);
            }
            self.shared.tell_of(index, ContainerEvent::Health(health));
            true
        });
        let essential = self.shared.spec.definition.container_definitions[index].essential;
        if changed && health == Health::Unhealthy && essential && self.shared.spec.service.is_some()
        {
            self.want_stop("Task failed container health checks");
        }
    }

    /// The next moment at which something may be due without an input.
    fn next_clock(&self) -> Option<Instant> {
        if self.shared.read().desired == Status::Stopped {
            let all = self.kill_all_at.filter(|at| *at > Instant::now());
            return self.kill_at.iter().flatten().copied().chain(all).min();
        }
        if self.launched.iter().all(|launched| *launched) {
            return None;
        }
        if self.look_at > Instant::now() {
            return Some(self.look_at);
        }
        // No grid: only a startTimeout can change a gate without an input.
        let state = self.shared.read();
        let limits =
            state.containers.iter().zip(&self.shared.spec.definition.container_definitions);
        limits
            .filter_map(|(container, definition)| {
                let limit = Duration::try_from_secs_f64(definition.start_timeout?).ok()?;
                container.started?.checked_add(limit)
            })
            .filter(|at| *at > Instant::now())
            .min()
    }
}

/// The end of the engine, also when its host or its handle is dropped, is the task's.
impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.update(|state| {
            for container in &mut state.containers {
                container.process.iter().for_each(Process::kill);
                container.known = Status::Stopped;
                container.output.close();
            }
            self.shared.events.close();
            state.done = true;
        });
    }
}

async fn clock(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
