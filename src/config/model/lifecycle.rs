//! Start and stop: how long each step may take.

use super::text::DurationText;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// Start and stop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Lifecycle {
    /// From our start to `ready`; then the task is given up.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "DurationText")]
    pub start_timeout: Duration,
    /// The container's `stopTimeout` in the task definition: everything must be done before ECS kills us. A definition
    /// that is read for `healthSync` and gives less counts instead.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "DurationText")]
    pub stop_timeout: Duration,
    /// When the agent leaves: after Envoy (`last`), or at T0 as in the published architecture (`first`).
    pub leave: LeaveOrder,
    /// Which containers are apps. Default: see ARCHITECTURE.md.
    pub app_containers: Option<Vec<String>>,
    /// Telling the peers.
    pub propagation: Propagation,
    /// How long in-flight inbound requests may take.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "DurationText")]
    pub drain_timeout: Duration,
    /// Kept free for the agent's leave.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "DurationText")]
    pub leave_reserve: Duration,
    /// Kept free for killing what is left.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "DurationText")]
    pub kill_reserve: Duration,
    /// From `stop-noticed` to our exit, at the most.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "DurationText")]
    pub total_stop: Duration,
    /// How often the task's metadata is read.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "DurationText")]
    pub metadata_interval: Duration,
    /// A folder into which our own binary is copied for `taskmesh app` in other containers.
    pub app_bin_dir: Option<PathBuf>,
    /// A folder into which our own binary is copied as `consul-ecs`, for app entry points of consul-ecs 0.4.3
    /// (`consul-ecs app-entrypoint`). With `CONSUL_ECS_CONFIG_JSON`: its `bootstrapDir`.
    pub consul_ecs_dir: Option<PathBuf>,
    /// The timeline is written here at exit.
    pub timeline_file: Option<PathBuf>,
    /// Exit with 4 also when only our own children had to be killed after the apps ended by themselves.
    pub strict_exit: bool,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self {
            start_timeout: Duration::from_secs(300),
            stop_timeout: Duration::from_secs(30),
            leave: LeaveOrder::Last,
            app_containers: None,
            propagation: Propagation::default(),
            drain_timeout: Duration::from_secs(10),
            leave_reserve: Duration::from_secs(5),
            kill_reserve: Duration::from_secs(1),
            total_stop: Duration::from_secs(110),
            metadata_interval: Duration::from_millis(500),
            app_bin_dir: None,
            consul_ecs_dir: None,
            timeline_file: None,
            strict_exit: false,
        }
    }
}

/// When the agent leaves the mesh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum LeaveOrder {
    Last,
    First,
}

/// Telling the peers that this task is going away.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Propagation {
    /// How long to wait for the servers' word.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "DurationText")]
    pub timeout: Duration,
    /// After the servers' word, for the peers' Envoys. At least 500ms.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "DurationText")]
    pub dwell: Duration,
    /// Instead of `dwell`, when the servers could not be asked.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "DurationText")]
    pub dwell_unacked: Duration,
    /// From `checks-critical` to the release of the apps, at the least.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "DurationText")]
    pub min_delay: Duration,
}

impl Default for Propagation {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            dwell: Duration::from_millis(500),
            dwell_unacked: Duration::from_secs(5),
            min_delay: Duration::ZERO,
        }
    }
}
