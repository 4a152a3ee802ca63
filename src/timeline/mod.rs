//! The timeline of a task: what happened, when, in which phase.
//!
//! [`Event`] is the closed list of names that others build on; [`Record`] is one line of it; [`Timeline`] is
//! the file that `lifecycle.timelineFile` and `GET /v1/timeline` give. [`Log`] is the live record.

mod log;
pub mod render;

pub use log::Log;

use serde::{Deserialize, Serialize};

/// The three stretches of a task's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stretch {
    /// From our exec to `ready` and `offered`.
    Startup,
    /// Repairs while the task serves.
    Running,
    /// From the moment the stop was noticed.
    Shutdown,
}

impl Stretch {
    /// The wire name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Startup => "startup",
            Self::Running => "running",
            Self::Shutdown => "shutdown",
        }
    }
}

/// A phase label, fixed per event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Phase {
    T0,
    T1,
    T2,
    T3,
    T4,
}

/// Every event a timeline can hold. The wire name is the kebab-case of the variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Event {
    Started,
    AgentReady,
    Registered,
    BootstrapWritten,
    EnvoyStarted,
    HealthSyncStarted,
    Ready,
    Offered,
    AppStarted,
    ChildExited,
    ChildRestarted,
    RegistrationRepaired,
    TokenReplaced,
    StopNoticed,
    SyncStopped,
    AgentLeaveBegun,
    ChecksCritical,
    PeersUpdated,
    InboundDrained,
    AppsReleased,
    AppsStopped,
    EnvoyExited,
    AgentLeft,
    AllExited,
    Deadline,
    Killed,
}

impl Event {
    /// The stretch this event belongs to.
    pub fn stretch(self) -> Stretch {
        use Event::*;
        match self {
            Started | AgentReady | Registered | BootstrapWritten | EnvoyStarted
            | HealthSyncStarted | Ready | Offered | AppStarted => Stretch::Startup,
            ChildExited | ChildRestarted | RegistrationRepaired | TokenReplaced => Stretch::Running,
            StopNoticed | SyncStopped | AgentLeaveBegun | ChecksCritical | PeersUpdated
            | InboundDrained | AppsReleased | AppsStopped | EnvoyExited | AgentLeft | AllExited
            | Deadline | Killed => Stretch::Shutdown,
        }
    }

    /// The phase label. `Running` events carry the phase in which the task was: T2.
    pub fn phase(self) -> Phase {
        use Event::*;
        match self {
            Started | AgentReady | Registered | BootstrapWritten => Phase::T0,
            EnvoyStarted | HealthSyncStarted => Phase::T1,
            Ready | Offered | AppStarted => Phase::T2,
            ChildExited | ChildRestarted | RegistrationRepaired | TokenReplaced => Phase::T2,
            StopNoticed | SyncStopped | AgentLeaveBegun => Phase::T0,
            ChecksCritical | PeersUpdated | InboundDrained | AppsReleased | AppsStopped
            | EnvoyExited => Phase::T1,
            AgentLeft => Phase::T2,
            AllExited => Phase::T3,
            Deadline | Killed => Phase::T4,
        }
    }

    /// The wire name, as in the timeline file and in log lines.
    pub fn name(self) -> &'static str {
        use Event::*;
        match self {
            Started => "started",
            AgentReady => "agent-ready",
            Registered => "registered",
            BootstrapWritten => "bootstrap-written",
            EnvoyStarted => "envoy-started",
            HealthSyncStarted => "health-sync-started",
            Ready => "ready",
            Offered => "offered",
            AppStarted => "app-started",
            ChildExited => "child-exited",
            ChildRestarted => "child-restarted",
            RegistrationRepaired => "registration-repaired",
            TokenReplaced => "token-replaced",
            StopNoticed => "stop-noticed",
            SyncStopped => "sync-stopped",
            AgentLeaveBegun => "agent-leave-begun",
            ChecksCritical => "checks-critical",
            PeersUpdated => "peers-updated",
            InboundDrained => "inbound-drained",
            AppsReleased => "apps-released",
            AppsStopped => "apps-stopped",
            EnvoyExited => "envoy-exited",
            AgentLeft => "agent-left",
            AllExited => "all-exited",
            Deadline => "deadline",
            Killed => "killed",
        }
    }
}

/// One line of a timeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Milliseconds since the supervisor's exec.
    pub ms: f64,
    /// The stretch of [`Event::stretch`].
    pub timeline: Stretch,
    /// The label of [`Event::phase`].
    pub phase: Phase,
    /// What happened.
    pub event: Event,
    /// Why, where there is more than one possible reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

/// A whole timeline, as in `lifecycle.timelineFile` and `GET /v1/timeline`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Timeline {
    /// The task's ARN; empty until the metadata was read.
    pub task: String,
    /// When the supervisor was started: RFC 3339 with nanoseconds, UTC.
    pub started_at: String,
    /// In the order in which they happened.
    pub events: Vec<Record>,
}

impl Timeline {
    /// The first record of `event`, if it happened.
    pub fn find(&self, event: Event) -> Option<&Record> {
        self.events.iter().find(|r| r.event == event)
    }
}
