//! What the configuration says that the machine must know; fixed for the supervisor's whole life.

use super::event::Need;
use crate::config::{self, Config, Containers, LeaveOrder, OnBudgetSpent};
use std::collections::BTreeSet;
use std::time::Duration;

/// What ends an inbound connection politely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inbound {
    /// http, http2, grpc: Envoy can, request by request. Apps are released after the drain.
    Http,
    /// tcp, Consul's default: only the app can. Apps are released before the drain.
    Tcp,
    /// The service takes no requests.
    None,
}

impl Inbound {
    /// What the configuration says of the service and its protocol.
    pub fn of(config: &Config) -> Self {
        match config.proxy.protocol().as_str() {
            _ if !config.service.inbound => Self::None,
            "http" | "http2" | "grpc" => Self::Http,
            _ => Self::Tcp,
        }
    }
}

/// Which checks of its own the service has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnChecks {
    /// Some that Consul runs.
    pub native: bool,
    /// TTL checks for these containers.
    pub synced: Synced,
}

/// Containers with a TTL check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Synced {
    /// These.
    Named(Vec<String>),
    /// Those that are essential and have an ECS health check: known once the task definition was read. Where it cannot
    /// be, every container that reports ECS health: known only once the containers are listed.
    Auto,
}

impl OwnChecks {
    /// What the configuration says. With native checks `auto` finds nobody; names stand beside them.
    pub fn of(config: &Config) -> Self {
        let native = !config.service.checks.is_empty();
        let synced = match &config.health_sync.containers {
            Containers::Named(names) => Synced::Named(names.clone()),
            Containers::Auto if native => Synced::Named(Vec::new()),
            Containers::Auto => Synced::Auto,
        };
        Self { native, synced }
    }
}

/// The machine's constants.
#[derive(Debug, Clone)]
pub struct Plan {
    /// See [`Inbound`].
    pub inbound: Inbound,
    /// See [`OwnChecks`].
    pub own_checks: OwnChecks,
    /// No native check says anything of the app at first: each starts as good, or copies another service's health.
    pub native_start_passing: bool,
    /// `lifecycle.appContainers`.
    pub app_containers: Option<Vec<String>>,
    /// When the agent leaves.
    pub leave: LeaveOrder,
    /// From exec to `ready`.
    pub start_timeout: Duration,
    /// From our own TERM to ECS's KILL.
    pub stop_timeout: Duration,
    /// From `stop-noticed` to our exit.
    pub total_stop: Duration,
    /// Kept free for the agent's leave.
    pub leave_reserve: Duration,
    /// Kept free for killing.
    pub kill_reserve: Duration,
    /// How long the servers are asked.
    pub propagation_timeout: Duration,
    /// After their word.
    pub dwell: Duration,
    /// Without it.
    pub dwell_unacked: Duration,
    /// From `checks-critical` to the apps' release, at the least.
    pub min_delay: Duration,
    /// For in-flight inbound requests.
    pub drain_timeout: Duration,
    /// Children that die.
    pub restart: config::Restart,
    /// See [`OnBudgetSpent`].
    pub on_budget_spent: OnBudgetSpent,
    /// See [`config::Lifecycle::strict_exit`].
    pub strict_exit: bool,
    /// Secrets that are not there when we start.
    pub awaits: BTreeSet<Need>,
    /// Tokens are made for this task.
    pub logs_in: bool,
    /// Seed of the restart jitter: differs per process, so that tasks do not restart in step.
    pub seed: u64,
}

/// Envoy exits about 33 ms after TERM; past this it hangs.
pub(crate) const ENVOY_EXIT_GRACE: Duration = Duration::from_secs(3);
/// The burst is three loopback calls; past this the agent is not answering and waiting gains nothing.
pub(crate) const WITHDRAW_LIMIT: Duration = Duration::from_secs(2);
/// The same for taking the two IDs out (3 ms when the agent is well).
pub(crate) const DEREGISTER_LIMIT: Duration = Duration::from_secs(1);
/// From one TERM to the next for an agent that may not have heard the first: while it starts, Consul takes a TERM, tries to
/// end the start, and forgets it where the start succeeds all the same (`command/agent/agent.go`; seen on 1.23). A leave
/// takes 3 to 5 s, and a second TERM would cut it short.
pub(crate) const TERM_AGAIN: Duration = Duration::from_secs(6);
/// An agent whose API has answered for no longer than this may still be starting.
pub(crate) const AGENT_SETTLES: Duration = Duration::from_secs(1);
/// An update in flight when the sync is stopped gets this long to come back.
pub(crate) const HUSH_LIMIT: Duration = Duration::from_millis(500);
/// How long an agent that answers waits to be told of the task definition before it is told of us: the question was put
/// while it started, and takes 50 to 300 ms. Registering again later costs one write at the servers; waiting longer would
/// cost each start in a network that has no way to the API.
pub(crate) const DEFINITION_WAIT: Duration = Duration::from_secs(1);
/// The agent's restarts never end, and are never further apart than this.
pub(crate) const AGENT_BACKOFF_MAX: Duration = Duration::from_secs(30);

impl Plan {
    /// Reads the plan out of a checked configuration.
    pub fn new(config: &Config, seed: u64) -> Self {
        let l = &config.lifecycle;
        Self {
            inbound: Inbound::of(config),
            own_checks: OwnChecks::of(config),
            native_start_passing: !config.service.checks.is_empty()
                && config.service.checks.iter().all(starts_passing),
            app_containers: l.app_containers.clone(),
            leave: l.leave,
            start_timeout: l.start_timeout,
            stop_timeout: l.stop_timeout,
            total_stop: l.total_stop,
            leave_reserve: l.leave_reserve,
            kill_reserve: l.kill_reserve,
            propagation_timeout: l.propagation.timeout,
            dwell: l.propagation.dwell,
            dwell_unacked: l.propagation.dwell_unacked,
            min_delay: l.propagation.min_delay,
            drain_timeout: l.drain_timeout,
            restart: config.restart.clone(),
            on_budget_spent: config.envoy.on_budget_spent,
            strict_exit: l.strict_exit,
            awaits: BTreeSet::new(),
            logs_in: config.consul.login.is_some(),
            seed,
        }
    }

    /// Nothing but the app's port tells when this instance can serve, as far as is known. `by_definition`: containers
    /// that the task definition names, where it decides. A native check that starts as passing tells nothing before
    /// its first run, and would offer the instance as soon as Envoy listens.
    pub fn held_until_port_accepts(&self, by_definition: &[String]) -> bool {
        let synced = match &self.own_checks.synced {
            Synced::Named(names) => names,
            Synced::Auto => by_definition,
        };
        let told_by_checks =
            self.own_checks.native && !self.native_start_passing || !synced.is_empty();
        self.inbound != Inbound::None && !told_by_checks
    }

    /// What the steps of a stop may take, the apps' own end left out.
    pub(crate) fn steps_of_a_stop(&self) -> Duration {
        [self.dwell.max(self.min_delay), self.drain_timeout, self.leave_reserve, self.kill_reserve]
            .into_iter()
            .fold(self.propagation_timeout, Duration::saturating_add)
    }

    /// Whose health is synced must be found out.
    pub(crate) fn asks_definition(&self) -> bool {
        self.own_checks.synced == Synced::Auto
    }
}

/// Whether a native check lets traffic in before it has looked at the app. A warning instance is routed to.
fn starts_passing(check: &config::Check) -> bool {
    let copies = [&check.alias_node, &check.alias_service];
    matches!(check.status.as_deref(), Some("passing" | "warning"))
        || copies.into_iter().any(|name| name.as_deref().is_some_and(|name| !name.is_empty()))
}
