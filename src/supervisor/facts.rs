//! What is known. Events only ever change this; phases are decided from it.

use super::checks::Definition;
use super::event::{Need, PeersView, Source, TaskSeen};
use crate::ecs::TaskDefinition;
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
    Secrets,
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
            Self::Secrets => "secrets",
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
    /// Secrets that are not there yet.
    pub(crate) awaited: BTreeSet<Need>,
    /// Tokens that took another's place, and are not yet where they have to be.
    pub(crate) replacing: BTreeSet<Need>,
    pub(crate) agent_answers: bool,
    /// When it first did in this life.
    pub(crate) agent_answered_at: Duration,
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
    /// Envoy died after it had listened, and does not listen again yet: the proxy is in maintenance, unless the hold
    /// has it there anyway.
    pub(crate) covered: bool,
    pub(crate) offered: bool,
    /// Peers may have been sent here, whether we saw it or not.
    pub(crate) exposed: bool,
    pub(crate) app_started: bool,
    /// What the task definition says of health checks.
    pub(crate) definition: Definition,
    /// All of it, once it was read.
    pub(crate) defined: Option<Arc<TaskDefinition>>,
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
    /// ECS has begun to stop the task, so everybody is told, or will be.
    pub(crate) ecs_stops: bool,
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

    /// The listener is open, and no maintenance of ours keeps peers away. The agent may pass the check, and peers hear
    /// of it, some ms before we do.
    pub(crate) fn note_exposure(&mut self) {
        let open = self.ever_registered && self.listener_open && !self.held;
        self.exposed |= open && self.stop.is_none();
    }

    /// What was given up, in words.
    pub fn last_words(&self) -> Option<&str> {
        self.last_words.as_deref()
    }

    /// Our own container's name; empty before the metadata was read.
    pub(crate) fn own_name(&self) -> &str {
        self.seen.as_ref().map_or("", |seen| &seen.own_name)
    }

    /// The latches that are held now, whatever was before.
    pub(crate) fn held_latches(&self) -> impl Iterator<Item = Latch> {
        [
            (self.seen.is_some(), Latch::TaskMetadata),
            (self.awaited.is_empty(), Latch::Secrets),
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
}
