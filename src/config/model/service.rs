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
pub struct Check {
    /// Its ID, unique at the agent. Default: chosen by Consul from the service's ID.
    pub check_id: Option<String>,
    /// Its name. Default: chosen by Consul.
    pub name: Option<String>,
    /// A command to run, for agents that allow scripts (`enable_local_script_checks` in `consul.extraConfig`).
    pub args: Vec<String>,
    /// How often the agent runs it, in Go's form: `10s`. Required for all but `ttl` and alias checks.
    pub interval: Option<String>,
    /// How long one run may take, in Go's form: `2s`.
    pub timeout: Option<String>,
    /// A check that somebody must refresh this often, in Go's form: `30s`.
    pub ttl: Option<String>,
    /// A URL that must answer with 2xx (429 warns).
    pub http: Option<String>,
    /// Headers of the HTTP request.
    pub header: BTreeMap<String, Vec<String>>,
    /// Method of the HTTP request. Consul's default is GET.
    pub method: Option<String>,
    /// Body of the HTTP request.
    pub body: Option<String>,
    /// `HOST:PORT` that must accept a connection.
    pub tcp: Option<String>,
    /// Status until the first run: `passing`, `warning`, `critical` or `maintenance`. Consul's default is `critical`.
    pub status: Option<String>,
    /// Words for people.
    pub notes: Option<String>,
    /// Name to ask for in TLS, and to verify.
    pub tls_server_name: Option<String>,
    /// Accept any certificate.
    pub tls_skip_verify: Option<bool>,
    /// `HOST:PORT[/SERVICE]` that must answer the gRPC health protocol.
    pub grpc: Option<String>,
    /// TLS for the gRPC request.
    pub grpc_use_tls: Option<bool>,
    /// `HOST:PORT` that must answer an HTTP/2 ping.
    #[serde(rename = "h2ping")]
    pub h2ping: Option<String>,
    /// TLS for the ping. Consul's default is true.
    #[serde(rename = "h2pingUseTls")]
    pub h2ping_use_tls: Option<bool>,
    /// Node of the service whose health is copied.
    pub alias_node: Option<String>,
    /// ID of the service whose health is copied.
    pub alias_service: Option<String>,
    /// So many successes in a row until it passes.
    pub success_before_passing: Option<u32>,
    /// So many failures in a row until it is critical.
    pub failures_before_critical: Option<u32>,
}
