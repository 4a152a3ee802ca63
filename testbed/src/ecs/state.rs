//! The states of a task and its containers, shared between the engine, the metadata endpoint and
//! whoever watches.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use nix::sys::signal::Signal;
use tokio::sync::watch;
use tokio::time::Instant;

use super::ids;
use super::spec::{Flavour, TaskSpec};
use crate::net::{Line, Log, Process};

/// A container's status, as the metadata names it (`aws/amazon-ecs-agent`, `containerstatus.go`).
/// The order is that of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Nothing happened yet.
    None,
    /// Only the task has it: a container is pulled, not created.
    ManifestPulled,
    /// The image is there.
    Pulled,
    /// Created.
    Created,
    /// Running.
    Running,
    /// Over.
    Stopped,
}

impl Status {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::ManifestPulled => "MANIFEST_PULLED",
            Self::Pulled => "PULLED",
            Self::Created => "CREATED",
            Self::Running => "RUNNING",
            Self::Stopped => "STOPPED",
        }
    }
}

/// What a container's health check says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// No probe has decided yet.
    Unknown,
    /// The last decisive probe succeeded.
    Healthy,
    /// Too many failures in a row.
    Unhealthy,
}

/// The health as the metadata tells it.
#[derive(Debug, Clone)]
pub(super) struct HealthState {
    pub(super) health: Health,
    pub(super) since: Option<Timestamp>,
    pub(super) exit_code: Option<i32>,
    pub(super) output: Option<String>,
}

impl HealthState {
    fn unknown() -> Self {
        Self { health: Health::Unknown, since: None, exit_code: None, output: None }
    }
}

/// Something that happened in a task.
#[derive(Debug, Clone)]
pub struct TaskEvent {
    /// Since the task's start.
    pub elapsed: Duration,
    /// When, on the monotonic clock.
    pub at: Instant,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The desired status of the task and of all its containers became STOPPED.
    StopWanted {
        /// Why.
        reason: String,
    },
    /// The last container has stopped.
    Stopped,
    /// A container's.
    Container {
        /// Its name.
        name: String,
        /// What happened to it.
        event: ContainerEvent,
    },
}

/// What happened to a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerEvent {
    /// Its image is there.
    Pulled,
    /// It exists.
    Created,
    /// Its process runs.
    Started,
    /// A health check changed its mind.
    Health(Health),
    /// It got its stop signal.
    Signalled(Signal),
    /// Its time was over.
    Killed,
    /// It was started again by its restart policy.
    Restarted {
        /// What it had exited with.
        code: i32,
    },
    /// It has stopped. `None`: it never started.
    Stopped {
        /// Exit code; 143 for one whose dependencies became impossible.
        code: Option<i32>,
    },
}

/// One container.
#[derive(Debug)]
pub(super) struct ContainerState {
    pub(super) name: String,
    pub(super) desired: Status,
    pub(super) known: Status,
    pub(super) exit_code: Option<i32>,
    pub(super) health: Option<HealthState>,
    /// The last segment of its metadata URI.
    pub(super) endpoint_id: String,
    pub(super) docker_id: String,
    pub(super) docker_name: String,
    pub(super) image_id: String,
    pub(super) arn: String,
    pub(super) created_at: Option<Timestamp>,
    pub(super) started_at: Option<Timestamp>,
    pub(super) started: Option<Instant>,
    pub(super) stopped: Option<Instant>,
    pub(super) finished_at: Option<Timestamp>,
    pub(super) process: Option<Process>,
    pub(super) signalled: Option<Instant>,
    pub(super) killed: bool,
    pub(super) restarts: u32,
    pub(super) output: Log<Line>,
}

/// The task.
#[derive(Debug)]
pub(super) struct TaskState {
    pub(super) desired: Status,
    pub(super) stop_reason: Option<String>,
    pub(super) containers: Vec<ContainerState>,
    pub(super) pull_started_at: Option<Timestamp>,
    pub(super) pull_stopped_at: Option<Timestamp>,
    pub(super) execution_stopped_at: Option<Timestamp>,
    pub(super) begun_at: Timestamp,
    /// All is over, output included.
    pub(super) done: bool,
}

impl TaskState {
    pub(super) fn all_stopped(&self) -> bool {
        self.containers.iter().all(|c| c.known == Status::Stopped)
    }
}

/// What the parts of a simulated task share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) spec: TaskSpec,
    pub(super) task_id: String,
    pub(super) begun: Instant,
    pub(super) events: Log<TaskEvent>,
    /// Changes whenever the state does.
    pub(super) changed: watch::Sender<u64>,
    state: Mutex<TaskState>,
}

impl Shared {
    pub(super) fn new(spec: TaskSpec) -> Self {
        let task_id = spec.task_id.clone().unwrap_or_else(|| ids::hex(32));
        let containers = spec
            .definition
            .container_definitions
            .iter()
            .map(|definition| container(&spec, &task_id, &definition.name))
            .collect();
        let mut state = TaskState {
            desired: Status::Running,
            stop_reason: None,
            containers,
            pull_started_at: None,
            pull_stopped_at: None,
            execution_stopped_at: None,
            begun_at: Timestamp::now(),
            done: false,
        };
        for (container, definition) in
            state.containers.iter_mut().zip(&spec.definition.container_definitions)
        {
            container.health = definition.probe().map(|_| HealthState::unknown());
        }
        Self {
            spec,
            task_id,
            begun: Instant::now(),
            events: Log::default(),
            changed: watch::Sender::new(0),
            state: Mutex::new(state),
        }
    }

    /// The state, to read.
    pub(super) fn read(&self) -> MutexGuard<'_, TaskState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and wakes those who wait for a change. Events are told inside `change`,
    /// so that whoever sees the state finds its event told.
    pub(super) fn update<T>(&self, change: impl FnOnce(&mut TaskState) -> T) -> T {
        let answer = change(&mut self.read());
        self.changed.send_modify(|version| *version += 1);
        answer
    }

    /// Waits until `answer` has one.
    pub(super) async fn wait<T>(&self, mut answer: impl FnMut(&TaskState) -> Option<T>) -> T {
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            if let Some(found) = answer(&self.read()) {
                return found;
            }
            // The sender lives in `self`, so this cannot fail.
            _ = changed.changed().await.is_ok();
        }
    }

    /// Tells watchers.
    pub(super) fn tell(&self, what: What) {
        let at = Instant::now();
        let event = TaskEvent { elapsed: at - self.begun, at, what };
        if self.spec.echo {
            eprintln!("[{:9.3}] {:?}", event.elapsed.as_secs_f64(), event.what);
        }
        self.events.push(event);
    }

    /// Tells watchers about one container.
    pub(super) fn tell_of(&self, index: usize, event: ContainerEvent) {
        let name = self.spec.definition.container_definitions[index].name.clone();
        self.tell(What::Container { name, event });
    }

    pub(super) fn task_arn(&self) -> String {
        let TaskSpec { region, account, cluster, .. } = &self.spec;
        format!("arn:aws:ecs:{region}:{account}:task/{cluster}/{}", self.task_id)
    }

    pub(super) fn cluster_arn(&self) -> String {
        let TaskSpec { region, account, cluster, .. } = &self.spec;
        format!("arn:aws:ecs:{region}:{account}:cluster/{cluster}")
    }
}

fn container(spec: &TaskSpec, task_id: &str, name: &str) -> ContainerState {
    let TaskSpec { region, account, cluster, definition, .. } = spec;
    let digits = 1_000_000_000 + ids::random() % 3_000_000_000;
    let fargate = spec.flavour == Flavour::Fargate;
    let (docker_id, endpoint_id, docker_name) = if fargate {
        let id = format!("{task_id}-{digits}");
        (id.clone(), id, name.to_owned())
    } else {
        let (family, revision) = (&definition.family, definition.revision);
        let docker_name = format!("ecs-{family}-{revision}-{name}-{}", ids::hex(20));
        (ids::hex(64), ids::uuid(), docker_name)
    };
    let unique = ids::uuid();
    ContainerState {
        name: name.to_owned(),
        desired: Status::Running,
        known: if fargate { Status::Pulled } else { Status::None },
        exit_code: None,
        health: None,
        endpoint_id,
        docker_id,
        docker_name,
        image_id: format!("sha256:{}", ids::hex(64)),
        arn: format!("arn:aws:ecs:{region}:{account}:container/{cluster}/{task_id}/{unique}"),
        created_at: None,
        started_at: None,
        started: None,
        stopped: None,
        finished_at: None,
        process: None,
        signalled: None,
        killed: false,
        restarts: 0,
        output: Log::default(),
    }
}
