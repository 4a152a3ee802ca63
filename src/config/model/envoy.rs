//! The Envoy that runs beside the task.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The Envoy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Envoy {
    /// The executable: a path, or a name on PATH.
    pub binary: PathBuf,
    /// Worker threads.
    #[schemars(range(min = 1))]
    pub concurrency: u16,
    /// Loopback port of Envoy's admin interface.
    #[schemars(range(min = 1))]
    pub admin_port: u16,
    /// Further arguments for Envoy.
    pub extra_args: Vec<String>,
    /// Folder for the bootstrap and the token file; private. Default: a fresh one under the temporary folder.
    pub config_dir: Option<PathBuf>,
    /// Envoy's own log level.
    pub log_level: String,
    /// What a spent restart budget does.
    pub on_budget_spent: OnBudgetSpent,
}

impl Default for Envoy {
    fn default() -> Self {
        Self {
            binary: "envoy".into(),
            concurrency: 2,
            admin_port: 19000,
            extra_args: Vec::new(),
            config_dir: None,
            log_level: "warning".to_owned(),
            on_budget_spent: OnBudgetSpent::Stop,
        }
    }
}

/// What a spent restart budget does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnBudgetSpent {
    /// Stop the task in order, exit code 3: ECS replaces it.
    Stop,
    /// Keep trying at the longest backoff.
    Keep,
}
