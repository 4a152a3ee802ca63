//! What is known. Events only ever change this; phases are decided from it.

use super::checks::Definition;
use super::event::{PeersView, Source, TaskSeen};
use super::plan::Plan;
use crate::ecs::{self, Status};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Why the task stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StopCause {
    /// The metadata says DesiredStatus STOPPED.
    TaskStopped,
    /// Every app ran and has ended.
    AppsFinished,
    /// A wrapped app got TERM.
    AppTerm,
    /// We got TERM.
    Term,
    /// `POST /v1/stop`.
    Api,
    /// Envoy died once too often.
    RestartBudget,
    /// Not ready in time.
    StartTimeout,
    /// A child cannot be started at all.
    StartFailed,
    /// A bug: an actor ended.
    ActorFailed,
}

impl StopCause {
    /// As the timeline names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::TaskStopped => "task-stopped",
            Self::AppsFinished => "apps-finished",
            Self::AppTerm => "app-term",
            Self::Term => "term",
            Self::Api => "api",
            Self::RestartBudget => "restart-budget",
            Self::StartTimeout => "start-timeout",
            Self::StartFailed => "start-failed",
            Self::ActorFailed => "actor-failed",
        }
    }

    /// ECS has not asked for this stop, so nobody but us tells the apps, and only our exit ends the task.
    pub fn is_our_own(self) -> bool {
        !matches!(self, Self::TaskStopped | Self::AppTerm | Self::Term)
    }
}

/// A stop that was noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop {
    /// What noticed it first.
    pub cause: StopCause,
    /// When, since exec.
    pub at: Duration,
}

/// How the wait for the peers ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeersEnd {
    /// The servers show us critical.
    Confirmed,
    /// They answered, but never so.
    Timeout,
    /// They could not be asked.
    ServersUnreachable,
    /// No answer ever showed us, or we never were offered.
    NeverOffered,
}

impl PeersEnd {
    /// As the timeline names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Timeout => "timeout",
            Self::ServersUnreachable => "servers-unreachable",
            Self::NeverOffered => "never-offered",
        }
    }
}

/// A wrapped app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum App {
    /// Waits for T2, or runs without having told yet.
    Attached,
    /// Its command runs.
    Started,
    /// Its command ended.
    Exited(i32),
    /// Its stream broke: only the metadata can tell what became of it.
    Lost {
        /// Its command was running.
        started: bool,
    },
}

/// A readiness latch. In the order in which they are released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Latch {
    TaskMetadata,
    Agent,
    Registration,
    Bootstrap,
    EnvoyLive,
    EnvoyListeners,
    Servers,
}

impl Latch {
    /// As `/ready` names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::TaskMetadata => "task metadata",
            Self::Agent => "consul agent",
            Self::Registration => "registration",
            Self::Bootstrap => "envoy bootstrap",
            Self::EnvoyLive => "envoy live",
            Self::EnvoyListeners => "envoy listeners",
            Self::Servers => "consul servers",
        }
    }
}

impl fmt::Display for Latch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Everything known.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    // Startup.
    pub(crate) seen: Option<Arc<TaskSeen>>,
    pub(crate) agent_answers: bool,
    pub(crate) joined: bool,
    pub(crate) registered: bool,
    pub(crate) ever_registered: bool,
    /// The agent lost the registration; the next `Registered` is a repair.
    pub(crate) repairing: Option<String>,
    pub(crate) bootstrap_written: bool,
    pub(crate) envoy_live: bool,
    pub(crate) listener_open: bool,
    pub(crate) ready_at: Option<Duration>,
    /// In maintenance until the app's port accepts.
    pub(crate) held: bool,
    pub(crate) app_accepts_at: Option<Duration>,
    pub(crate) offered: bool,
    pub(crate) app_started: bool,
    /// What the task definition says of health checks.
    pub(crate) definition: Definition,
    /// It was waited for long enough.
    pub(crate) definition_waited: bool,
    /// Containers with a TTL check.
    pub(crate) synced: Vec<String>,
    /// The task was RUNNING as a whole: every container was started.
    pub(crate) task_was_running: bool,
    pub(crate) wrapped: BTreeMap<String, App>,
    pub(crate) troubles: BTreeMap<Source, (String, Duration)>,
    /// Held latches, since when.
    pub(crate) latches: BTreeMap<Latch, Duration>,

    // Stop.
    pub(crate) stop: Option<Stop>,
    pub(crate) own_term: Option<Duration>,
    /// Who has nothing on its way any more.
    pub(crate) quiet: BTreeSet<Source>,
    pub(crate) withdrawn: bool,
    pub(crate) withdrawn_at: Duration,
    pub(crate) peers_last: Option<PeersView>,
    pub(crate) peers: Option<PeersEnd>,
    pub(crate) dwelled: bool,
    /// Envoy was told to drain.
    pub(crate) draining: bool,
    pub(crate) drained: bool,
    pub(crate) deregistered: bool,
    /// No wait before Envoy's end counts any more: the time is up, or a second TERM came.
    pub(crate) cut: bool,
    /// When what is left is killed.
    pub(crate) deadline: Option<Duration>,
    /// What was killed is not waited for any more.
    pub(crate) abandoned: bool,

    // For the exit code.
    pub(crate) gave_up: bool,
    pub(crate) overran: bool,
    pub(crate) killed_child: bool,
    pub(crate) could_not_start: bool,
    pub(crate) last_words: Option<String>,
}

impl Facts {
    /// Keeps what is wrong, with the time since when something is; `None` clears it.
    pub(crate) fn note_trouble(&mut self, source: Source, why: Option<String>, at: Duration) {
        match why {
            Some(why) => {
                let since = self.troubles.get(&source).map_or(at, |(_, since)| *since);
                self.troubles.insert(source, (why, since));
            }
            None => {
                self.troubles.remove(&source);
            }
        }
    }

    /// The latches that are held now, whatever was before.
    pub(crate) fn held_latches(&self) -> impl Iterator<Item = Latch> {
        [
            (self.seen.is_some(), Latch::TaskMetadata),
            (self.agent_answers, Latch::Agent),
            (self.registered, Latch::Registration),
            (self.bootstrap_written, Latch::Bootstrap),
            (self.envoy_live, Latch::EnvoyLive),
            (self.listener_open, Latch::EnvoyListeners),
            (self.joined, Latch::Servers),
        ]
        .into_iter()
        .filter_map(|(released, latch)| (!released).then_some(latch))
    }

    /// Who is an app, and which of them are still running. `None`: the metadata was never read.
    fn apps(&self, plan: &Plan) -> Option<Vec<String>> {
        let seen = self.seen.as_ref()?;
        let wrapped: Vec<String> = self.wrapped.keys().cloned().collect();
        Some(ecs::app_containers(
            &seen.task,
            &seen.own_name,
            plan.app_containers.as_deref().filter(|names| !self.names_nobody(names)),
            &wrapped,
            &self.synced,
        ))
    }

    fn has_stopped(&self, app: &str) -> bool {
        if let Some(App::Exited(_)) = self.wrapped.get(app) {
            return true;
        }
        match self.seen.as_ref().and_then(|s| s.task.container(app)) {
            // ECS flips what it desires before it stops anything. A container that ends by itself shows only in what
            // is known; one with a restart policy never does.
            Some(container) if self.stop.is_some_and(|s| !s.cause.is_our_own()) => {
                container.is_stopped()
            }
            Some(container) => container.known_status == Status::Stopped,
            // Not listed: never created (ECS lists a gated container only once its image is there).
            None => !matches!(
                self.wrapped.get(app),
                Some(App::Attached | App::Started | App::Lost { started: true })
            ),
        }
    }

    /// The apps that a stop still waits for.
    pub(crate) fn running_apps(&self, plan: &Plan) -> Vec<String> {
        let ours = self.stop.is_some_and(|s| s.cause.is_our_own());
        self.apps(plan)
            .unwrap_or_default()
            .into_iter()
            .filter(|app| !self.has_stopped(app))
            // In a stop of our own nobody tells the unwrapped apps: only our exit ends them.
            .filter(|app| !ours || self.wrapped.contains_key(app))
            .collect()
    }

    /// Every app ran and has ended. A migration that ended before the rest was started is not that: the task as a
    /// whole must have been RUNNING. Nor is one that alone is wrapped or has a health check: unless the configuration
    /// names the apps, every container that may be one must have ended.
    pub(crate) fn apps_finished(&self, plan: &Plan) -> bool {
        let ended = |apps: &[String]| {
            apps.iter().all(|app| self.has_stopped(app) && !self.may_be_restarted(app))
        };
        self.task_was_running
            // Names that no container has say nothing of the task, be they ever so configured.
            && self.apps(plan).is_some_and(|apps| apps.iter().any(|app| self.is_there(app)) && ended(&apps))
            && (plan.app_containers.is_some() || ended(&self.possible_apps()))
    }

    /// None of these is in the task, though all of it was started: misspelt, for a container that waits for another is
    /// only not listed yet.
    fn names_nobody(&self, names: &[String]) -> bool {
        self.task_was_running && !names.iter().any(|name| self.is_there(name))
    }

    /// What is wrong with `lifecycle.appContainers`, in words.
    pub(crate) fn misnamed_apps(&self, plan: &Plan) -> Option<String> {
        let names = plan.app_containers.as_ref().filter(|names| self.names_nobody(names))?;
        Some(format!(
            "lifecycle.appContainers: the task has none of {}; every other container counts as an app",
            names.join(", ")
        ))
    }

    /// The task has this container.
    fn is_there(&self, app: &str) -> bool {
        self.wrapped.contains_key(app)
            || self.seen.as_ref().is_some_and(|seen| seen.task.container(app).is_some())
    }

    /// ECS has a restart policy for it and does not say that it is at an end: an exit that its wrapper told of is
    /// followed by another start, and the metadata says RUNNING throughout.
    fn may_be_restarted(&self, app: &str) -> bool {
        self.seen.as_ref().and_then(|seen| seen.task.container(app)).is_some_and(|container| {
            container.restart_count.is_some() && container.known_status != Status::Stopped
        })
    }

    /// Every listed container that may be an app, whatever we know of it otherwise.
    fn possible_apps(&self) -> Vec<String> {
        self.seen
            .as_ref()
            .map(|seen| ecs::app_containers(&seen.task, &seen.own_name, None, &[], &[]))
            .unwrap_or_default()
    }

    /// An app container was seen running, or a wrapped app said so.
    pub(crate) fn any_app_runs(&self, plan: &Plan) -> bool {
        self.wrapped.values().any(|a| matches!(a, App::Started))
            || self.seen.as_ref().is_some_and(|seen| {
                self.apps(plan).unwrap_or_default().iter().any(|app| {
                    // A wrapped one that RUNs may still be waiting.
                    !self.wrapped.contains_key(app)
                        && seen
                            .task
                            .container(app)
                            .is_some_and(|c| c.known_status == Status::Running)
                })
            })
    }

    /// Ready, and yet peers are not sent here: what that waits for, in words, and since when the task is ready.
    pub(crate) fn not_offered(&self) -> Option<(&'static str, Duration)> {
        let ready_at = self.ready_at.filter(|_| !self.offered && self.stop.is_none())?;
        let why = match (self.held, self.app_accepts_at) {
            (true, None) => "the app's port does not accept connections yet",
            (true, Some(_)) => "the task metadata must be read again: has the app a health check?",
            (false, _) => "a check of the service or of its proxy is critical",
        };
        Some((why, ready_at))
    }

    /// There is nobody left to protect: no app runs, or the time is up, or we never stood in the catalog.
    pub(crate) fn nobody_to_protect(&self, plan: &Plan) -> bool {
        self.cut || !self.ever_registered || self.running_apps_for_traffic(plan).is_empty()
    }

    /// Apps of which nobody knows that they ended, but that nobody waits for: see [`Facts::running_apps`].
    pub(crate) fn apps_left_running(&self, plan: &Plan) -> Option<String> {
        let apps = self.running_apps_for_traffic(plan);
        (!apps.is_empty()).then(|| format!("not awaited: {}", apps.join(", ")))
    }

    /// Like [`Facts::running_apps`], but also the unwrapped apps in a stop of our own: they serve until we exit.
    fn running_apps_for_traffic(&self, plan: &Plan) -> Vec<String> {
        self.apps(plan)
            .unwrap_or_default()
            .into_iter()
            .filter(|app| !self.has_stopped(app))
            .collect()
    }
}
