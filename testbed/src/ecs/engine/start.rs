//! How containers come up: gates, pull, process, restart.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::{Engine, Input};
use crate::ecs::container;
use crate::ecs::gates::{self, Gate, NEVER_STARTED};
use crate::ecs::spec::Flavour;
use crate::ecs::state::{ContainerEvent, Shared, Status};
use crate::net::{Process, Stream};

/// Exit code that Docker gives a container whose program cannot be found or run.
pub(super) const CANNOT_START: i32 = 127;

impl Engine {
    /// Answers whether anything moved.
    pub(super) fn open_gates(&mut self) -> bool {
        let mut moved = false;
        for index in 0..self.count() {
            if self.launched[index] || self.shared.read().desired == Status::Stopped {
                continue;
            }
            match gates::start(&self.shared.spec.definition, index, &self.seen()) {
                Gate::Shut => {}
                Gate::Open => {
                    self.launch(index);
                    moved = true;
                }
                Gate::Never(why) => {
                    self.launched[index] = true;
                    self.finish(index, Some(NEVER_STARTED), &format!("dependency: {why}"));
                    moved = true;
                }
            }
        }
        moved
    }

    pub(super) fn mark_pull(&self, start: bool) {
        self.shared.update(|state| {
            let now = Some(Timestamp::now());
            if start {
                state.pull_started_at = state.pull_started_at.or(now);
            } else {
                state.pull_stopped_at = now;
            }
        });
    }

    fn launch(&mut self, index: usize) {
        self.launched[index] = true;
        let pull_time = self.shared.spec.pull_time;
        if self.shared.spec.flavour == Flavour::Ec2 {
            self.mark_pull(true);
        }
        if pull_time.is_zero() {
            self.create_and_start(index);
            return;
        }
        let tell = self.tell.clone();
        self.helpers.spawn_local(async move {
            sleep(pull_time).await;
            // Fails only when the task is over.
            _ = tell.send(Input::Pulled(index)).is_ok();
        });
    }

    pub(super) fn create_and_start(&mut self, index: usize) {
        if self.shared.spec.flavour == Flavour::Ec2 {
            self.mark_pull(false);
        }
        for (status, event) in
            [(Status::Pulled, ContainerEvent::Pulled), (Status::Created, ContainerEvent::Created)]
        {
            self.shared.update(|state| {
                state.containers[index].known = status;
                self.shared.tell_of(index, event);
            });
        }
        self.shared.update(|state| state.containers[index].created_at = Some(Timestamp::now()));
        if let Err(error) = self.start_process(index) {
            let why = format!("CannotStartContainerError: {error}");
            self.finish(index, Some(CANNOT_START), &why);
        }
    }

    pub(super) fn start_process(&mut self, index: usize) -> std::io::Result<()> {
        let spec = container::main_process(&self.shared, &self.around, index);
        let process = Process::spawn_here(&spec)?;
        self.shared.update(|state| {
            let container = &mut state.containers[index];
            container.known = Status::Running;
            container.started_at = Some(Timestamp::now());
            container.started = Some(Instant::now());
            container.process = Some(process.clone());
            self.shared.tell_of(index, ContainerEvent::Started);
        });
        self.outputs.spawn_local(forward(self.shared.clone(), index, process.clone()));
        let probes = container::probe(
            self.shared.clone(),
            self.around.clone(),
            index,
            process.clone(),
            self.tell.clone(),
        );
        self.helpers.spawn_local(probes);
        let tell = self.tell.clone();
        self.helpers.spawn_local(async move {
            let exit = process.wait().await;
            _ = tell.send(Input::Exited(index, exit)).is_ok();
        });
        Ok(())
    }

    pub(super) fn may_restart(&self, index: usize, code: i32) -> bool {
        let definition = &self.shared.spec.definition.container_definitions[index];
        let Some(policy) = definition.restart_policy.as_ref().filter(|policy| policy.enabled)
        else {
            return false;
        };
        let state = self.shared.read();
        let ran = state.containers[index].started.map(|at| at.elapsed()).unwrap_or_default();
        state.desired != Status::Stopped
            && ran >= self.shared.spec.scaled(policy.restart_attempt_period)
            && !policy.ignored_exit_codes.contains(&code)
    }
}

/// Copies a process's lines to its container's.
async fn forward(shared: Arc<Shared>, index: usize, process: Process) {
    let (name, output) = {
        let state = shared.read();
        let container = &state.containers[index];
        (container.name.clone(), container.output.clone())
    };
    let mut lines = process.output().cursor();
    while let Some(line) = lines.next().await {
        if shared.spec.echo {
            let mark = if line.stream == Stream::Stderr { '!' } else { '|' };
            let elapsed = (line.at - shared.begun).as_secs_f64();
            eprintln!("[{elapsed:9.3}] {name} {mark} {}", line.text);
        }
        output.push(line);
    }
}
