//! Health sync: whose ECS health, and how long a word of it counts.

use super::text::DurationText;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Which containers' ECS health is synced. HEALTHY makes a container's check passing; UNHEALTHY, UNKNOWN, no health at
/// all, a container that has stopped and one that the task does not list make it critical, never warning: a warning
/// instance receives traffic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct HealthSync {
    /// Container names, or `"auto"`: the containers that are essential and have an ECS health check, but our own and
    /// the ones that ECS injects; none if the service has `checks` of its own. Names stand beside such checks.
    ///
    /// Which containers are essential stands only in the task definition, so `auto` needs a way to the ECS API and a
    /// task role with `{"Effect": "Allow", "Action": "ecs:DescribeTaskDefinition", "Resource": "*"}`. Otherwise it falls
    /// back to every container that reports ECS health, and the log and `/v1/status` say so and why.
    pub containers: Containers,
    /// TTL of the checks; refreshed at a third of it, so a dead or hung supervisor cannot leave a check passing.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "DurationText")]
    pub ttl: Duration,
    /// How long a container that turns from HEALTHY to UNHEALTHY stays passing, so that one bad probe does not take the
    /// instance out. It delays nothing else: a container that was not HEALTHY yet, or was started again since, is
    /// critical until it is HEALTHY.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "DurationText")]
    pub start_grace: Duration,
    /// While the task metadata cannot be read, how long the last health is kept and refreshed; then every check is
    /// critical, until the metadata can be read again.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "DurationText")]
    pub stale_after: Duration,
}

impl Default for HealthSync {
    fn default() -> Self {
        Self {
            containers: Containers::default(),
            ttl: Duration::from_secs(30),
            start_grace: Duration::ZERO,
            stale_after: Duration::from_secs(300),
        }
    }
}

/// A list of container names, or `"auto"`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Containers {
    /// `"auto"`.
    #[default]
    #[serde(with = "auto")]
    #[schemars(with = "Auto")]
    Auto,
    /// These.
    Named(Vec<String>),
}

/// The word `auto`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Auto {
    Auto,
}

mod auto {
    use super::Auto;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(s: S) -> Result<S::Ok, S::Error> {
        Auto::Auto.serialize(s)
    }
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<(), D::Error> {
        Auto::deserialize(d).map(|Auto::Auto| ())
    }
}
