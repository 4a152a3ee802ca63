//! The service that the task offers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The service that this task offers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Service {
    /// Name in Consul. Default: the task's family.
    pub name: Option<String>,
    /// The port the app listens on. Required, unless `inbound` is false.
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// False for a service that only calls others.
    pub inbound: bool,
    /// Tags in Consul.
    pub tags: Vec<String>,
    /// Metadata in Consul; wins over the built-in keys.
    pub meta: BTreeMap<String, String>,
    /// Weights for DNS and load balancing.
    pub weights: Option<Weights>,
    /// Native Consul checks, which the agent runs. Containers that `healthSync.containers` names have theirs beside
    /// them; `"auto"` adds none where there are native ones.
    pub checks: Vec<Check>,
    /// Lets others change the tags through the catalog.
    pub enable_tag_override: bool,
    /// Consul Enterprise.
    pub namespace: Option<String>,
    /// Consul Enterprise.
    pub partition: Option<String>,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            name: None,
            port: None,
            inbound: true,
            tags: Vec::new(),
            meta: BTreeMap::new(),
            weights: None,
            checks: Vec::new(),
            enable_tag_override: false,
            namespace: None,
            partition: None,
        }
    }
}

/// Weights of a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Weights {
    /// While it passes. Consul takes 1 to 65535.
    #[schemars(range(min = 1, max = 65535))]
    pub passing: u32,
    /// While it warns. Consul takes up to 65535.
    #[schemars(range(max = 65535))]
    pub warning: u32,
}

/// A native Consul check (the fields that consul-ecs 0.4.3 has).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct Check {
    pub check_id: Option<String>,
    pub name: Option<String>,
    pub args: Vec<String>,
    pub interval: Option<String>,
    pub timeout: Option<String>,
    pub ttl: Option<String>,
    pub http: Option<String>,
    pub header: BTreeMap<String, Vec<String>>,
    pub method: Option<String>,
    pub body: Option<String>,
    pub tcp: Option<String>,
    pub status: Option<String>,
    pub notes: Option<String>,
    pub tls_server_name: Option<String>,
    pub tls_skip_verify: Option<bool>,
    pub grpc: Option<String>,
    pub grpc_use_tls: Option<bool>,
    #[serde(rename = "h2ping")]
    pub h2ping: Option<String>,
    #[serde(rename = "h2pingUseTls")]
    pub h2ping_use_tls: Option<bool>,
    pub alias_node: Option<String>,
    pub alias_service: Option<String>,
    pub success_before_passing: Option<u32>,
    pub failures_before_critical: Option<u32>,
}
