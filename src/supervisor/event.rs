//! What actors, signals and callers report. An event is a fact; it never says what to do about it.

use super::child::Role;
use super::ending::Ending;
use crate::ecs::{Task, TaskDefinition};
use std::sync::Arc;
use std::time::Duration;

/// One fact.
#[derive(Debug, Clone)]
pub enum Event {
    /// The supervisor runs.
    Started,
    /// The metadata was read. `fresh` numbers the reads, so that "read after X" can be told.
    TaskSeen(Arc<TaskSeen>),
    /// It could not be read.
    TaskUnreadable(String),
    /// The task definition was read.
    DefinitionRead(Arc<TaskDefinition>),
    /// It could not be read.
    DefinitionUnread {
        /// In words.
        why: String,
        /// It will not be tried again.
        last: bool,
    },
    /// A secret came, or another one in its place.
    SecretRead(Need),
    /// The agent has the token that we have for it.
    AgentTokenReplaced,
    /// SIGHUP.
    Hangup,
    /// A child process runs.
    ChildStarted {
        /// Which.
        role: Role,
        /// Its pid.
        pid: i32,
    },
    /// A child process is gone and reaped, or never came to be.
    ChildExited {
        /// Which.
        role: Role,
        /// How.
        exit: Ending,
        /// The last lines that it printed, oldest first.
        said: Vec<String>,
    },
    /// A child is alive, and has not answered for so long that it counts as dead.
    Unresponsive {
        /// Which.
        role: Role,
        /// Of which life.
        pid: i32,
        /// Since its last answer.
        silent: Duration,
    },
    /// Envoy will not open its public listener: another process had its port when it wanted to.
    ListenerMissed {
        /// Of which life.
        pid: i32,
    },
    /// The agent's HTTP API answers.
    AgentAnswers,
    /// The agent knows a server.
    AgentJoined,
    /// Both registrations stand.
    Registered,
    /// The bootstrap stands.
    BootstrapWritten,
    /// Envoy says LIVE.
    EnvoyLive,
    /// The public listener's port accepts.
    ListenerOpen,
    /// The app's own port accepts.
    AppAccepts,
    /// In the agent's view no check of ours is critical: peers may be sent here.
    Offered,
    /// The agent lost our registration or a check of it, or shows another one.
    RegistrationLost(String),
    /// Consul refuses a registration as wrong, and did so again when it was tried again; in words, with Consul's own.
    RegistrationRefused(String),
    /// What cannot be done at the moment, and why; `None` clears it.
    Trouble {
        /// Who says so.
        source: Source,
        /// In words.
        why: Option<String>,
    },
    /// Whoever was told to stop writing has nothing on its way any more.
    Quiet(Source),
    /// The burst ended; `Err` says what could not be done.
    Withdrawn(Result<(), String>),
    /// What the servers said of us after the burst.
    Peers(PeersView),
    /// No inbound request (http), or no inbound connection (tcp), is left.
    InboundDrained,
    /// Both IDs are out of the catalog, or could not be taken out.
    Deregistered(Result<(), String>),
    /// A caller of the admin API.
    Admin(crate::admin::Request),
    /// SIGTERM or SIGINT.
    Term,
    /// A timer ran out.
    Timer {
        /// Which.
        id: TimerId,
        /// Of which arming; an older one is stale.
        generation: u32,
    },
    /// An actor ended that should not have.
    ActorDown {
        /// Its name.
        actor: &'static str,
        /// The error or panic.
        why: String,
    },
}

/// A read of the task's metadata.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskSeen {
    /// As read; the same object while nothing has changed.
    pub task: Arc<Task>,
    /// Our own container's name.
    pub own_name: String,
    /// When this read began, since exec: what happened before it is in it.
    pub asked_at: Duration,
}

/// What a secret is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Need {
    /// The agent cannot start without: gossip key, certificates.
    AgentStart,
    /// The agent's own token: without it, it joins and answers, and cannot write its node.
    AgentToken,
    /// The token of the service.
    ServiceToken,
}

/// Who has [`Event::Trouble`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Source {
    TaskMetadata,
    Secrets,
    ConsulAgent,
    ConsulServers,
    Registration,
    HealthSync,
    TaskDefinition,
    Bootstrap,
    Envoy,
}

impl Source {
    /// As `/v1/status` names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::TaskMetadata => "task metadata",
            Self::Secrets => "secrets",
            Self::ConsulAgent => "consul agent",
            Self::ConsulServers => "consul servers",
            Self::Registration => "registration",
            Self::HealthSync => "health sync",
            Self::TaskDefinition => "task definition",
            Self::Bootstrap => "envoy bootstrap",
            Self::Envoy => "envoy",
        }
    }
}

/// What an answer of the servers' health endpoint says about our proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeersView {
    /// It shows us as critical, or no longer shows us though it did before.
    Confirmed,
    /// It never showed us, so it proves nothing (ACL-filtered and, on 1.8.7, unauthorised answers are empty).
    NeverShown,
    /// It could not be asked; asking goes on.
    Unreachable(String),
}

/// The timers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimerId {
    /// Until `ready`.
    Start,
    /// Until we register without having read the task definition.
    Definition,
    /// Until a child is started again.
    Restart(Role),
    /// Until the sync must have stopped.
    Hush,
    /// Until the burst must have ended.
    Withdraw,
    /// Until the servers must have confirmed.
    Peers,
    /// Until the peers' Envoys have it.
    Dwell,
    /// Until inbound requests must have ended.
    Drain,
    /// Until an agent that may not have heard its TERM gets another one.
    TermAgain,
    /// Until Envoy must have exited.
    EnvoyExit,
    /// Until both IDs must be out.
    Deregister,
    /// Until everything before the agent's leave is cut.
    Cut,
    /// Until everything left is killed: stop T4.
    Deadline,
    /// Until we exit without whoever does not even die of KILL.
    End,
}
