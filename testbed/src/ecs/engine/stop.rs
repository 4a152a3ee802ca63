//! How containers and the task end.

use jiff::Timestamp;
use tokio::time::Instant;

use super::Engine;
use crate::ecs::container;
use crate::ecs::gates::{self, NEVER_STARTED};
use crate::ecs::state::{ContainerEvent, Status, What};
use crate::net::Process;

impl Engine {
    /// A container is over. An essential one takes the task with it.
    pub(super) fn finish(&mut self, index: usize, code: Option<i32>, why: &str) {
        self.kill_at[index] = None;
        let essential = self.shared.spec.definition.container_definitions[index].essential;
        self.shared.update(|state| {
            let now = Timestamp::now();
            let container = &mut state.containers[index];
            container.known = Status::Stopped;
            container.exit_code = code;
            container.stopped = Some(Instant::now());
            container.finished_at = container.started.map(|_| now);
            if code == Some(NEVER_STARTED) && container.started.is_none() {
                container.desired = Status::Stopped;
            }
            if essential && state.execution_stopped_at.is_none() {
                state.execution_stopped_at = Some(now);
            }
            self.shared.tell_of(index, ContainerEvent::Stopped { code });
        });
        if essential {
            self.want_stop(why);
        }
    }

    /// The desired status of the task and of every container changes before any signal is sent.
    pub(super) fn want_stop(&mut self, reason: &str) {
        self.shared.update(|state| {
            if state.desired == Status::Stopped {
                return;
            }
            state.desired = Status::Stopped;
            state.stop_reason = Some(reason.to_owned());
            state.containers.iter_mut().for_each(|c| c.desired = Status::Stopped);
            self.shared.tell(What::StopWanted { reason: reason.to_owned() });
        });
    }

    pub(super) fn stop_containers(&mut self) {
        for index in 0..self.count() {
            if self.shared.read().containers[index].known < Status::Running {
                self.finish(index, None, "");
            }
        }
        let seen = self.seen();
        let (definition, order) = (&self.shared.spec.definition, self.shared.spec.stop_order);
        let now = Instant::now();
        let due: Vec<usize> = (0..self.count())
            .filter(|index| seen[*index].known == Status::Running)
            .filter(|index| self.shared.read().containers[*index].signalled.is_none())
            .filter(|index| gates::stop(definition, *index, &seen, order))
            .collect();
        for index in due {
            self.signal(index);
        }
        let all_late = self.kill_all_at.is_some_and(|at| at <= now);
        for (index, seen) in seen.iter().enumerate() {
            let late = self.kill_at[index].is_some_and(|at| at <= now);
            if (late || all_late) && seen.known == Status::Running {
                self.kill(index);
            }
        }
    }

    fn signal(&mut self, index: usize) {
        let now = Instant::now();
        self.kill_at[index] = now.checked_add(self.shared.spec.stop_timeout(index));
        if let (None, Some(limit)) = (self.kill_all_at, self.shared.spec.total_stop_limit) {
            self.kill_all_at = now.checked_add(limit);
        }
        let signal = container::stop_signal(&self.shared, index);
        self.shared.update(|state| {
            let container = &mut state.containers[index];
            container.signalled = Some(now);
            // It may have exited this moment; then its exit is on its way.
            if container.process.as_ref().is_some_and(|process| process.signal(signal)) {
                self.shared.tell_of(index, ContainerEvent::Signalled(signal));
            }
        });
    }

    fn kill(&mut self, index: usize) {
        self.kill_at[index] = None;
        self.shared.update(|state| {
            let container = &mut state.containers[index];
            if !std::mem::replace(&mut container.killed, true) {
                container.process.iter().for_each(Process::kill);
                self.shared.tell_of(index, ContainerEvent::Killed);
            }
        });
    }
}
