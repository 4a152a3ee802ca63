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
}

impl Default for Restart {
    fn default() -> Self {
        Self { budget: 10, window: Duration::from_secs(600), backoff: Backoff::default() }
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
