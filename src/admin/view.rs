//! What a reader gets: the published [`Status`] with every "since" also as a "for", because a reader does not
//! know when the supervisor was started.

use super::{AppStatus, ChildStatus, Gate, HealthSyncStatus, Pending, Problem, Status, StopStatus};
use serde::{Deserialize, Serialize};

/// Body of `GET /v1/status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusView {
    /// Task ARN; empty until the metadata was read.
    pub task: String,
    /// The service ID, once known.
    pub service_id: String,
    /// Name of the machine's phase, for people.
    pub phase: String,
    /// `/ready` is 200.
    pub ready: bool,
    /// `taskmesh healthcheck` is 0.
    pub healthy: bool,
    /// For how long the supervisor runs, in seconds.
    pub up_seconds: f64,
    /// Latches that are still held.
    pub pending: Vec<PendingView>,
    /// What is wrong now.
    pub problems: Vec<ProblemView>,
    /// Whose ECS health is synced, and who said so.
    pub health_sync: HealthSyncStatus,
    /// The child processes.
    pub children: Vec<ChildStatus>,
    /// The wrapped apps.
    pub apps: Vec<AppStatus>,
    /// The stop in progress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<StopView>,
    /// What wrapped apps may do now.
    pub gate: Gate,
}

/// Body of `GET /ready`: what a probe needs, and the reason in words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadyView {
    /// The same as the status code: true with 200, false with 503.
    pub ready: bool,
    /// What `taskmesh healthcheck` answers.
    pub healthy: bool,
    /// Name of the machine's phase, for people.
    pub phase: String,
    /// Latches that are still held, first the one that is waited for first.
    pub pending: Vec<PendingView>,
    /// What is wrong now.
    pub problems: Vec<ProblemView>,
}

/// A latch that is still held, and for how long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PendingView {
    /// Its name.
    pub latch: String,
    /// Held for so many seconds.
    pub for_seconds: f64,
    /// The last thing that was seen of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Something that is wrong, and for how long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProblemView {
    /// Who sees it.
    pub what: String,
    /// In words.
    pub why: String,
    /// Wrong for so many seconds.
    pub for_seconds: f64,
}

/// The stop in progress, and for how long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StopView {
    /// The stop cause.
    pub cause: String,
    /// Stopping for so many seconds.
    pub for_seconds: f64,
    /// What is awaited now.
    pub awaiting: String,
    /// Seconds until what is left is killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<f64>,
}

impl StatusView {
    /// `status` as it looks `now_ms` after the supervisor's exec.
    pub fn new(status: &Status, now_ms: f64) -> Self {
        Self {
            task: status.task.clone(),
            service_id: status.service_id.clone(),
            phase: status.phase.clone(),
            ready: status.ready,
            healthy: status.healthy,
            up_seconds: seconds(0.0, now_ms),
            pending: pending(&status.pending, now_ms),
            problems: problems(&status.problems, now_ms),
            health_sync: status.health_sync.clone(),
            children: status.children.clone(),
            apps: status.apps.clone(),
            stop: status.stop.as_ref().map(|s| stop(s, now_ms)),
            gate: status.gate.clone(),
        }
    }
}

impl ReadyView {
    /// `status` as it looks `now_ms` after the supervisor's exec.
    pub fn new(status: &Status, now_ms: f64) -> Self {
        Self {
            ready: status.ready,
            healthy: status.healthy,
            phase: status.phase.clone(),
            pending: pending(&status.pending, now_ms),
            problems: problems(&status.problems, now_ms),
        }
    }
}

/// From `since_ms` to `now_ms` in seconds, to the millisecond; never negative, for the status may have been
/// written after `now` was read.
fn seconds(since_ms: f64, now_ms: f64) -> f64 {
    (now_ms - since_ms).max(0.0).round() / 1000.0
}

fn pending(list: &[Pending], now_ms: f64) -> Vec<PendingView> {
    let view = |p: &Pending| PendingView {
        latch: p.latch.clone(),
        for_seconds: seconds(p.since_ms, now_ms),
        reason: p.reason.clone(),
    };
    list.iter().map(view).collect()
}

fn problems(list: &[Problem], now_ms: f64) -> Vec<ProblemView> {
    let view = |p: &Problem| ProblemView {
        what: p.what.clone(),
        why: p.why.clone(),
        for_seconds: seconds(p.since_ms, now_ms),
    };
    list.iter().map(view).collect()
}

fn stop(stop: &StopStatus, now_ms: f64) -> StopView {
    StopView {
        cause: stop.cause.clone(),
        for_seconds: seconds(stop.since_ms, now_ms),
        awaiting: stop.awaiting.clone(),
        seconds_left: stop.seconds_left,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_becomes_for_and_is_never_negative() {
        assert_eq!(seconds(1000.0, 4200.4), 3.2);
        assert_eq!(seconds(5000.0, 4200.0), 0.0);
    }
}
