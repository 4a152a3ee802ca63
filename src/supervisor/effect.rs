//! What the machine wants done. The executor turns each into a message to an actor, a timer or a record.

use super::child::Role;
use super::event::{Need, TaskSeen, TimerId};
use crate::timeline;
use std::sync::Arc;
use std::time::Duration;

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Write down that this happened.
    Record {
        /// What.
        event: timeline::Event,
        /// Why, if there is more than one reason.
        cause: Option<String>,
    },
    /// Tell people that this is wrong, in the log.
    Warn(String),
    /// Begin to read the task's metadata, and go on.
    WatchTask,
    /// Read it once now.
    ReadTaskNow,
    /// Who we are, once it is known: always before anything that needs it.
    Identify(Arc<TaskSeen>),
    /// Read all secrets that can change, now.
    ReadSecretsNow,
    /// The agent has joined: whoever waited for that may log in.
    LogIn,
    /// The task is over: end the tokens that were made for it.
    LogOut,
    /// Give the child that lives by it the token that there is now: the agent its own, Envoy the service's.
    ReplaceToken(Need),
    /// Read the definition of the task that was seen.
    ReadDefinition(Arc<TaskSeen>),
    /// Start a child process.
    StartChild(Role),
    /// TERM to a child.
    TermChild(Role),
    /// KILL to a child's whole group.
    KillChild(Role),
    /// Register the service and its proxy. Again, with other containers: the checks of the rest go.
    Register {
        /// In maintenance until [`Effect::EndHold`].
        hold: bool,
        /// The proxy in maintenance until [`Effect::Uncover`], because Envoy is down.
        covered: bool,
        /// Containers with a TTL check.
        containers: Vec<String>,
    },
    /// Tell when the app's port accepts.
    ProbeApp,
    /// The listener is open: let the proxy's check pass now instead of at its next run.
    PassProxyCheck,
    /// End the maintenance that [`Effect::Register`] began.
    EndHold,
    /// Envoy died: the proxy into maintenance, so that peers hear of it now and not at the next run of its check.
    Cover,
    /// Envoy listens again: end what [`Effect::Cover`] began.
    Uncover,
    /// Tell when no check of ours is critical in the agent's view.
    WatchOffer,
    /// Make Envoy's bootstrap.
    WriteBootstrap,
    /// Begin to write container health into the TTL checks.
    StartSync,
    /// Write what this read says.
    Sync(Arc<TaskSeen>),
    /// The metadata cannot be read: refresh what is known while it is not stale.
    SyncBlind,
    /// No write of health or registration any more; tell when nothing is on its way. The metadata is read more often
    /// from now on, for the apps' end shows only there.
    StopSync,
    /// The burst: checks critical, both IDs into maintenance.
    Withdraw,
    /// Ask the servers until they show us critical.
    AskPeers,
    /// Drain the inbound listeners and tell when nothing is left.
    DrainInbound,
    /// Take both IDs out of the catalog.
    Deregister,
    /// Arm a timer; an armed one of the same ID is replaced.
    Arm {
        /// Which.
        id: TimerId,
        /// When, since exec.
        at: Duration,
        /// Comes back with the event.
        generation: u32,
    },
    /// Everything is over. Always the last effect.
    Exit(u8),
}
