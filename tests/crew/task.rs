//! The ECS task: its metadata, its apps and their wrappers.

use super::crew::{Crew, Due, What};
use super::script::ms;
use std::sync::Arc;
use std::time::Duration;
use taskmesh::admin::{Gate, Request};
use taskmesh::ecs::{Container, Health, HealthStatus, Status, Task};
use taskmesh::supervisor::{Event, TaskSeen};

pub(crate) const ARN: &str =
    "arn:aws:ecs:eu-west-1:123456789012:task/mesh/158d1c8083dd49d6b527399fd6414f5c";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Process {
    #[default]
    Waits,
    Runs,
    Ended,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct AppState {
    pub(crate) process: Process,
    /// It got its TERM from ECS; a wrapper keeps it until the release.
    told: bool,
    pub(crate) ending: bool,
}

impl Crew {
    pub(crate) fn port_accepts(&self, now: Duration) -> bool {
        self.accepts.is_some_and(|at| now >= at.max(self.port_closed_until))
    }

    /// Whoever tries the port hears of it at once, and the service's own check when it runs next.
    pub(super) fn port_may_change(&mut self, now: Duration) -> (Option<Event>, Vec<Due>) {
        let accepts = self.port_accepts(now);
        let told = accepts && std::mem::take(&mut self.probing);
        let mut more = Vec::new();
        if let Some(mesh) = &mut self.mesh
            && mesh.app_listens != accepts
        {
            mesh.app_listens = accepts;
            more.extend(mesh.check_port_soon(now));
        }
        (told.then_some(Event::AppAccepts), more)
    }

    pub(super) fn read_takes(&self, now: Duration) -> Duration {
        let (until, slow) = self.metadata_slow;
        let slow = if now < until { slow } else { 0 };
        ms(self.script.metadata.unwrap_or(1) + slow)
    }

    pub(super) fn app_begins(&mut self, now: Duration, i: usize) -> (Option<Event>, Vec<Due>) {
        if self.apps[i].process != Process::Waits || self.desired_stopped {
            return (None, Vec::new());
        }
        self.apps[i].process = Process::Runs;
        let app = &self.script.apps[i];
        let started = Request::AppStarted { container: app.name.to_owned() };
        let mut more = if self.gate.release { self.tell(now, i) } else { Vec::new() };
        if i == 0
            && let Some(time) = self.script.app_accepts
        {
            self.accepts = Some(now + ms(time));
            more.push(Due { at: now + ms(time), what: What::Port });
        }
        (self.script.apps[i].wrapped.then_some(Event::Admin(started)), more)
    }

    pub(crate) fn app_ends(
        &mut self,
        now: Duration,
        i: usize,
        code: i32,
    ) -> (Option<Event>, Vec<Due>) {
        let app = &mut self.apps[i];
        if app.process == Process::Ended {
            return (None, Vec::new());
        }
        let ran = app.process == Process::Runs;
        app.process = Process::Ended;
        let container = self.script.apps[i].name.to_owned();
        let event = match (self.script.apps[i].wrapped, ran) {
            (false, _) => None,
            (true, true) => Some(Event::Admin(Request::AppExited { container, code })),
            (true, false) => Some(Event::Admin(Request::AppDetached { container })),
        };
        let mut more = Vec::new();
        if i == 0 {
            self.accepts = None;
            more.push(Due { at: now, what: What::Port });
        }
        (event, more)
    }

    /// Apps that Envoy must stay for.
    pub(crate) fn wrapped_and_running(&self) -> Vec<&'static str> {
        let apps = self.script.apps.iter().zip(&self.apps);
        let runs = apps.filter(|(app, s)| app.wrapped && s.process == Process::Runs);
        runs.map(|(app, _)| app.name).collect()
    }

    /// TERM to an app's own process.
    pub(super) fn tell(&mut self, now: Duration, i: usize) -> Vec<Due> {
        let app = &mut self.apps[i];
        if app.ending || app.process == Process::Ended {
            return Vec::new();
        }
        app.ending = true;
        let time = if app.process == Process::Runs { self.script.apps[i].ends } else { Some(1) };
        time.map(|t| Due { at: now + ms(t), what: What::AppEnds(i, 0) }).into_iter().collect()
    }

    pub(super) fn ecs_stops(&mut self, now: Duration) -> Vec<Due> {
        self.desired_stopped = true;
        let mut out = Vec::new();
        for i in 0..self.apps.len() {
            self.apps[i].told = true;
            let app = self.script.apps[i].clone();
            let runs = self.apps[i].process == Process::Runs;
            if self.apps[i].process != Process::Ended && app.wrapped {
                let container = app.name.to_owned();
                out.push(Due::fact(now + ms(1), Event::Admin(Request::AppTerm { container })));
            }
            if !app.wrapped || !runs || self.gate.release {
                out.extend(self.tell(now, i));
            }
        }
        out
    }

    /// What the wrappers, and ECS by our health check, do about what is published.
    pub(crate) fn gate(&mut self, now: Duration, gate: &Gate) -> Vec<Due> {
        let old = std::mem::replace(&mut self.gate, gate.clone());
        let mut out = Vec::new();
        for i in 0..self.apps.len() {
            let app = self.script.apps[i].clone();
            if gate.start && !old.start && app.waits_for_ready {
                out.push(Due { at: now + ms(app.starts), what: What::AppBegins(i) });
            }
            let waits = self.apps[i].process == Process::Waits && !gate.start;
            let released = gate.release && !old.release && app.wrapped;
            if released && (gate.term || self.apps[i].told || waits) {
                out.extend(self.tell(now, i));
            }
        }
        out
    }

    pub(super) fn seen(&self, asked_at: Duration) -> TaskSeen {
        let desired = if self.desired_stopped { Status::Stopped } else { Status::Running };
        let mut task = Task {
            task_arn: ARN.to_owned(),
            family: "web".to_owned(),
            desired_status: desired,
            known_status: Status::Running,
            containers: vec![container("taskmesh", desired, Status::Running)],
            ..Task::default()
        };
        for (app, state) in self.script.apps.iter().zip(&self.apps) {
            let known = match state.process {
                Process::Waits if !app.wrapped => Status::Created,
                Process::Waits | Process::Runs => Status::Running,
                Process::Ended if app.restarts && !self.desired_stopped => Status::Running,
                Process::Ended => Status::Stopped,
            };
            if known == Status::Created {
                task.known_status = Status::Created;
            }
            let mut c = container(app.name, desired, known);
            c.restart_count = app.restarts.then_some(0);
            c.health = app
                .health
                .then(|| Health { status: Some(HealthStatus::Healthy), ..Health::default() });
            task.containers.push(c);
        }
        TaskSeen { task: Arc::new(task), own_name: "taskmesh".to_owned(), asked_at }
    }
}

fn container(name: &str, desired: Status, known: Status) -> Container {
    Container {
        name: name.to_owned(),
        desired_status: desired,
        known_status: known,
        ..Container::default()
    }
}
