//! The checks of service and proxy at the agent: the two that it runs, and those that health sync writes.

use super::crew::Due;
use super::failing::Call;
use super::mesh::{Job, Mesh};
use super::script::ms;
use std::collections::BTreeMap;
use std::time::Duration;
use taskmesh::ecs::{Container, HealthStatus, Status, Task};
use taskmesh::supervisor::Role;

/// Of the TCP checks.
pub(crate) const CHECK_INTERVAL: u64 = 10_000;
/// As `healthSync.staleAfter`.
const STALE_AFTER: u64 = 300_000;
/// As `healthSync.ttl`.
const TTL: u64 = 30_000;

/// Service and proxy as the agent has them.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    pub(crate) maintenance: bool,
    pub(crate) proxy_check: bool,
    /// A check of the service's port, if it has one.
    pub(crate) native: Option<bool>,
    /// Containers with a TTL check: it passes.
    pub(crate) ttl: BTreeMap<String, bool>,
}

impl Instance {
    pub(crate) fn passes(&self) -> bool {
        let checks = self.proxy_check && self.native.unwrap_or(true);
        !self.maintenance && checks && self.ttl.values().all(|passes| *passes)
    }
}

impl Mesh {
    /// The proxy's check runs at a random moment of its interval; an older schedule is void.
    pub(super) fn check_soon(&mut self, now: Duration) -> Option<Due> {
        self.probe += 1;
        let job = Job::Probe(self.probe);
        Some(self.job(now, 1, CHECK_INTERVAL, job))
    }

    /// The same for the service's own check.
    pub(super) fn check_port_soon(&mut self, now: Duration) -> Option<Due> {
        self.port_probe += 1;
        let job = Job::ProbePort(self.port_probe);
        self.native.map(|_| self.job(now, 1, CHECK_INTERVAL, job))
    }

    /// One whose agent hangs runs when that goes on.
    fn put_off(&mut self, now: Duration, job: Job, out: &mut Vec<Due>) -> bool {
        let hang = self.hang(Role::Agent, now);
        out.extend(hang.map(|hang| self.job(hang.until, 1, CHECK_INTERVAL, job)));
        hang.is_some()
    }

    pub(super) fn proxy_check_runs(&mut self, now: Duration, probe: u64, out: &mut Vec<Due>) {
        let runs = probe == self.probe && self.agent_alive && !self.check_gone;
        if runs
            && !self.put_off(now, Job::Probe(probe), out)
            && let Some(local) = &mut self.local
        {
            local.proxy_check = self.envoy_listens;
        }
    }

    pub(super) fn own_check_runs(&mut self, now: Duration, probe: u64, out: &mut Vec<Due>) {
        let runs = probe == self.port_probe && self.agent_alive;
        if runs
            && !self.put_off(now, Job::ProbePort(probe), out)
            && let Some(native) = self.local.as_mut().and_then(|local| local.native.as_mut())
        {
            *native = self.app_listens;
        }
    }

    /// What a read of the metadata says of the containers' health.
    pub(super) fn observe(&mut self, now: Duration, task: &Task) {
        let healthy = |c: &Container| {
            c.known_status == Status::Running
                && c.health.as_ref().is_some_and(|h| h.status == Some(HealthStatus::Healthy))
        };
        let all = task.containers.iter().map(|c| (c.name.clone(), healthy(c))).collect();
        self.seen = Some((all, now));
    }

    /// Writes it, as far as the agent takes it.
    pub(super) fn sync(&mut self, now: Duration) {
        let writes = self.started && !self.hushed && self.takes(now);
        let asked = self.local.as_ref().is_some_and(|local| !local.ttl.is_empty());
        let writes = writes && !(asked && self.fails(now, Call::Ttl).is_some());
        let unwritten = (!writes).then(|| self.unwritten.unwrap_or(now));
        self.unwritten = unwritten;
        if let (Some(local), Some((seen, at))) = (&mut self.local, &self.seen) {
            let stale = now >= *at + ms(STALE_AFTER);
            let expired = unwritten.is_some_and(|since| now >= since + ms(TTL));
            for (name, passes) in &mut local.ttl {
                let well = !stale && seen.get(name).copied().unwrap_or(false);
                *passes = if writes { well } else { *passes && !expired };
            }
        }
    }
}
