//! When a child that dies is started again.

use super::text::DurationText;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Restarts of a child that dies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Restart {
    /// So many restarts within `window` are tolerated.
    pub budget: u32,
    /// See `budget`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "DurationText")]
    pub window: Duration,
    /// Delay between restarts.
    pub backoff: Backoff,
    /// A child that is alive but has not answered for so long is killed and counts as one that died: Envoy's admin
    /// interface, the agent's own API where it needs no server. One that works on something has 20 times as long. `0s`:
    /// never.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "DurationText")]
    pub unresponsive_after: Duration,
}

impl Default for Restart {
    fn default() -> Self {
        Self {
            budget: 10,
            window: Duration::from_secs(600),
            backoff: Backoff::default(),
            unresponsive_after: Duration::from_secs(15),
        }
    }
}

/// Exponential backoff, jittered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Backoff {
    /// First delay.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "DurationText")]
    pub min: Duration,
    /// Longest delay.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "DurationText")]
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { min: Duration::from_millis(100), max: Duration::from_secs(10) }
    }
}
