//! What the supervisor publishes about itself: one value, replaced as a whole, read by the admin API.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The state of the supervisor, as `GET /v1/status` gives it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Task ARN; empty until the metadata was read.
    pub task: String,
    /// The service ID, once known.
    pub service_id: String,
    /// Name of the machine's phase, for people (`starting`, `running`, `draining`, ...).
    pub phase: String,
    /// Every readiness latch is released and nothing is stopping: `/ready` is 200.
    pub ready: bool,
    /// What `taskmesh healthcheck` answers: true from the first T2 until the supervisor gives up.
    pub healthy: bool,
    /// Latches that are still held, first the one that is waited for first.
    pub pending: Vec<Pending>,
    /// The child processes.
    pub children: Vec<ChildStatus>,
    /// The wrapped apps.
    pub apps: Vec<AppStatus>,
    /// Whose ECS health is synced.
    #[serde(default)]
    pub health_sync: HealthSyncStatus,
    /// What is wrong now, in words, each with the time since when.
    pub problems: Vec<Problem>,
    /// Set once a stop was noticed.
    pub stop: Option<StopStatus>,
    /// What wrapped apps may do now.
    pub gate: Gate,
    /// By the task definition, in ms from a container's stop signal to ECS's KILL; empty while it was not read.
    #[serde(default)]
    pub stop_timeouts_ms: BTreeMap<String, u64>,
}

/// A readiness latch that is still held.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pending {
    /// Its name, for example `envoy listeners`.
    pub latch: String,
    /// Since when it is held: ms since the supervisor's exec. Readers show "for" = now - since.
    pub since_ms: f64,
    /// The last thing that was seen of it, if it says more than the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Something that is wrong now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// Who sees it: `task metadata`, `consul agent`, `registration`, ...
    pub what: String,
    /// In words.
    pub why: String,
    /// ms since the supervisor's exec.
    pub since_ms: f64,
}

/// A child process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChildStatus {
    /// `consul` or `envoy`.
    pub name: String,
    /// `idle`, `starting`, `up`, `backing-off`, `stopping`, `gone`.
    pub state: String,
    /// Its pid while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// How often it was started again.
    pub restarts: u32,
    /// How it last ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_exit: Option<String>,
}

/// A wrapped app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AppStatus {
    /// The container's name.
    pub container: String,
    /// `waiting`, `started`, `released`, `exited`, `lost`.
    pub state: String,
    /// Its exit code, once it has told us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
}

/// Whose ECS health is synced, and who said so.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthSyncStatus {
    /// The containers that have a TTL check.
    pub containers: Vec<String>,
    /// `configuration`, `native checks` (which leave nobody for `auto`), `task definition`, or `task metadata`: then
    /// `why` says why the definition was not read.
    pub chosen_by: String,
    /// Why not by something better.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// The stop in progress.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StopStatus {
    /// The stop cause (`task-stopped`, `term`, ...).
    pub cause: String,
    /// When it was noticed: ms since the supervisor's exec.
    pub since_ms: f64,
    /// What is awaited now, in words.
    pub awaiting: String,
    /// Seconds until we kill what is left; absent while no deadline runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<f64>,
}

/// What wrapped apps may do. The fields only ever go from the first value to the later one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gate {
    /// T2 was reached: apps start.
    pub start: bool,
    /// Apps may end.
    pub release: bool,
    /// With `release`: the stop is our own doing, so the wrapper must send the TERM that ECS did not.
    pub term: bool,
}
