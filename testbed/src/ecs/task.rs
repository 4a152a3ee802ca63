//! The handle of a simulated task.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::container::{self, Surroundings};
use super::engine::{Engine, Input};
use super::ids;
use super::metadata::{self, Metadata};
use super::spec::TaskSpec;
use super::state::{ContainerState, Health, Shared, Status, TaskEvent};
use crate::net::{
    Host, HostGone, HostTask, Line, Log, Proc, Process, TASK_METADATA_IP, descendants,
};

/// Why a task could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The metadata endpoint has no socket; on one host there can be one task.
    #[error("cannot serve the task metadata on {address}: {source}")]
    Metadata {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// ECS stops such a task with `ResourceInitializationError`.
    #[error("ResourceInitializationError: no value was given for the secret {0:?}")]
    Secret(String),
    /// The host has ended.
    #[error(transparent)]
    Host(#[from] HostGone),
}

/// A running or ended task. Dropping it kills what is left of it, without a word to anybody.
#[derive(Debug)]
pub struct EcsTask {
    shared: Arc<Shared>,
    around: Arc<Surroundings>,
    metadata: Metadata,
    inputs: mpsc::UnboundedSender<Input>,
    host: Host,
    engine: HostTask<()>,
    server: HostTask<()>,
}

impl EcsTask {
    /// Starts a task on a host, as the ECS scheduler would: it returns when the metadata endpoint
    /// is there and the first containers are about to start.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(host: &Host, spec: TaskSpec) -> Result<Self, StartError> {
        let secrets = spec.definition.container_definitions.iter().flat_map(|c| &c.secrets);
        if let Some(missing) =
            secrets.into_iter().find(|s| !spec.secrets.contains_key(&s.value_from))
        {
            return Err(StartError::Secret(missing.value_from.clone()));
        }
        let address = match host.isolated() {
            true => SocketAddr::from((TASK_METADATA_IP, 80)),
            false => SocketAddr::from((host.ip(), 0)),
        };
        let listening = host.spawn(move || metadata::listen(address)).await?;
        let listening = listening.map_err(|source| StartError::Metadata { address, source })?;
        let around = Arc::new(Surroundings {
            ip: host.ip().to_string(),
            base: listening.base(),
            credentials: spec.task_role.then(|| format!("/v2/credentials/{}", ids::uuid())),
            pid_namespaces: spec.pid_namespaces.unwrap_or(host.isolated()),
        });
        let metadata = Metadata::new(listening.base());
        let shared = Arc::new(Shared::new(spec));
        let (inputs, queue) = mpsc::unbounded_channel();

        let engine = {
            let (shared, around, inputs) = (shared.clone(), around.clone(), inputs.clone());
            host.spawn(move || Engine::new(shared, around, inputs, queue).run())
        };
        let server = {
            let (shared, around, metadata) = (shared.clone(), around.clone(), metadata.clone());
            host.spawn(move || listening.serve(shared, around, metadata))
        };
        let host = host.clone();
        Ok(Self { shared, around, metadata, inputs, host, engine, server })
    }

    /// The host it runs on.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// 32 hexadecimal digits, unless the spec said otherwise.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.shared.task_id
    }

    /// The long form of its ARN.
    #[must_use]
    pub fn arn(&self) -> String {
        self.shared.task_arn()
    }

    /// Its metadata endpoint: faults, and who asked what.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Asks for its stop, as `StopTask` does. A second time does nothing.
    pub fn stop(&self) {
        self.stop_because("Task stopped by user");
    }

    /// Asks for its stop with a reason of your own.
    pub fn stop_because(&self, reason: &str) {
        // Fails only when the task is over.
        _ = self.inputs.send(Input::Stop(reason.to_owned())).is_ok();
    }

    /// What happened so far, and what will.
    #[must_use]
    pub fn events(&self) -> &Log<TaskEvent> {
        &self.shared.events
    }

    /// A container by name; `None` if the definition has none of that name.
    #[must_use]
    pub fn container(&self, name: &str) -> Option<Container> {
        let index = self.shared.spec.definition.index_of(name)?;
        Some(Container {
            shared: self.shared.clone(),
            around: self.around.clone(),
            host: self.host.clone(),
            index,
        })
    }

    /// A container's lines; empty for an unknown name.
    #[must_use]
    pub fn output(&self, container: &str) -> Vec<Line> {
        self.container(container).map(|c| c.output().snapshot()).unwrap_or_default()
    }

    /// Whether its desired status is STOPPED.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.shared.read().desired == Status::Stopped
    }

    /// Waits until the last container has stopped and its output is read.
    pub async fn wait_stopped(&self) -> TaskResult {
        self.shared
            .wait(|state| {
                state.done.then(|| TaskResult {
                    stop_reason: state.stop_reason.clone().unwrap_or_default(),
                    containers: state.containers.iter().map(ContainerResult::of).collect(),
                })
            })
            .await
    }
}

impl Drop for EcsTask {
    fn drop(&mut self) {
        self.engine.abort();
        self.server.abort();
        let processes: Vec<Process> =
            self.shared.read().containers.iter().filter_map(|c| c.process.clone()).collect();
        processes.iter().for_each(Process::kill);
        self.shared.events.close();
    }
}

/// How a task ended.
#[derive(Debug, Clone)]
pub struct TaskResult {
    /// Why it was stopped.
    pub stop_reason: String,
    /// Its containers, in the order of the definition.
    pub containers: Vec<ContainerResult>,
}

impl TaskResult {
    /// A container's result; `None` for an unknown name.
    #[must_use]
    pub fn container(&self, name: &str) -> Option<&ContainerResult> {
        self.containers.iter().find(|container| container.name == name)
    }
}

/// How a container ended.
#[derive(Debug, Clone)]
pub struct ContainerResult {
    /// Its name.
    pub name: String,
    /// `None`: it never started, and nothing was wrong with it.
    pub exit_code: Option<i32>,
    /// `None`: it never started.
    pub started_at: Option<Instant>,
    /// When it got its stop signal; `None` if it ended before.
    pub signalled_at: Option<Instant>,
    /// When it stopped.
    pub finished_at: Option<Instant>,
    /// Its `stopTimeout` passed and it got KILL.
    pub killed: bool,
    /// What it wrote.
    pub output: Vec<Line>,
}

impl ContainerResult {
    fn of(container: &ContainerState) -> Self {
        Self {
            name: container.name.clone(),
            exit_code: container.exit_code,
            started_at: container.started,
            signalled_at: container.signalled,
            finished_at: container.stopped,
            killed: container.killed,
            output: container.output.snapshot(),
        }
    }

    /// From its stop signal to its end.
    #[must_use]
    pub fn stop_took(&self) -> Option<Duration> {
        Some(self.finished_at?.saturating_duration_since(self.signalled_at?))
    }
}

/// One container of a task.
#[derive(Debug, Clone)]
pub struct Container {
    shared: Arc<Shared>,
    around: Arc<Surroundings>,
    host: Host,
    index: usize,
}

impl Container {
    fn get<T>(&self, get: impl FnOnce(&ContainerState) -> T) -> T {
        get(&self.shared.read().containers[self.index])
    }

    fn process(&self) -> Option<Process> {
        self.get(|container| container.process.clone())
    }

    async fn wait<T>(&self, mut answer: impl FnMut(&ContainerState) -> Option<T>) -> T {
        self.shared.wait(|state| answer(&state.containers[self.index])).await
    }

    /// Its status now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.get(|container| container.known)
    }

    /// Its health now; `None` without a health check.
    #[must_use]
    pub fn health(&self) -> Option<Health> {
        self.get(|container| container.health.as_ref().map(|health| health.health))
    }

    /// The outer process id of its PID 1, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        self.process().filter(|process| process.exit().is_none()).map(|process| process.pid())
    }

    /// The URI of its metadata, as its environment has it.
    #[must_use]
    pub fn metadata_uri(&self) -> String {
        let id = self.get(|container| container.endpoint_id.clone());
        format!("{}/v4/{id}", self.around.base)
    }

    /// Waits until it runs; false: it has stopped, perhaps without ever running.
    pub async fn wait_running(&self) -> bool {
        self.wait(|container| match container.known {
            Status::Running => Some(true),
            Status::Stopped => Some(false),
            _ => None,
        })
        .await
    }

    /// Waits for this health; false: it has stopped without.
    pub async fn wait_health(&self, wanted: Health) -> bool {
        self.wait(|container| {
            let health = container.health.as_ref().map(|health| health.health);
            match container.known {
                _ if health == Some(wanted) => Some(true),
                Status::Stopped => Some(false),
                _ => None,
            }
        })
        .await
    }

    /// Waits until it has stopped.
    pub async fn wait_stopped(&self) -> ContainerResult {
        self.wait(|c| (c.known == Status::Stopped).then(|| ContainerResult::of(c))).await
    }

    /// Its lines so far and to come.
    #[must_use]
    pub fn output(&self) -> Log<Line> {
        self.get(|container| container.output.clone())
    }

    /// Waits for a line that contains `text`; `None`: its output ended without.
    pub async fn wait_line(&self, text: &str) -> Option<Line> {
        self.output().wait_for(|line| line.text.contains(text)).await
    }

    /// Sends a signal to its PID 1, as a person would by hand. False: it does not run.
    #[must_use = "false means that there was nobody to signal"]
    pub fn signal(&self, signal: Signal) -> bool {
        self.process().is_some_and(|process| process.signal(signal))
    }

    /// Kills all of it at once, as the kernel does when it is out of memory.
    pub fn kill(&self) {
        if let Some(process) = self.process() {
            process.kill();
        }
    }

    /// All its processes, with their outer process ids.
    #[must_use]
    pub fn processes(&self) -> Vec<Proc> {
        self.pid().map(descendants).unwrap_or_default()
    }

    /// Starts another process inside it, as ECS Exec does.
    ///
    /// # Errors
    /// The system's error; `NotConnected` if the container does not run.
    pub async fn exec(&self, argv: &[&str]) -> io::Result<Process> {
        let main = self.process().filter(|process| process.exit().is_none());
        let main = main.ok_or(io::ErrorKind::NotConnected)?;
        let argv: Vec<String> = argv.iter().map(|&text| text.to_owned()).collect();
        let spec = container::exec_process(&self.shared, &self.around, self.index, &argv, &main);
        self.host.spawn_process(spec).await
    }
}
