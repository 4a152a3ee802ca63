//! Bodies of the agent's API in its own spelling.
//!
//! What we send copies the `omitempty` rules of Consul's Go client 1.12, so that an agent sees from us what it saw
//! from consul-ecs 0.4.3: an agent refuses unknown keys, and a present empty value can mean something else than an
//! absent one. What we read ignores unknown keys and takes `null` for empty.

use crate::wire::null_as_default;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Status of a check. Maintenance is a check of its own that is critical.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum CheckStatus {
    Passing,
    Warning,
    Critical,
}

impl CheckStatus {
    /// The wire name.
    pub fn as_str(self) -> &'static str {
        match self {
            CheckStatus::Passing => "passing",
            CheckStatus::Warning => "warning",
            CheckStatus::Critical => "critical",
        }
    }
}

/// Body of `PUT /v1/agent/service/register`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Registration {
    /// `connect-proxy` for a sidecar, empty for a service.
    #[serde(skip_serializing_if = "is_zero")]
    pub kind: String,
    /// Unique at the agent.
    #[serde(rename = "ID")]
    pub id: String,
    /// Name in the catalog.
    pub name: String,
    /// Tags.
    #[serde(skip_serializing_if = "is_zero")]
    pub tags: Vec<String>,
    /// Port, absent if 0.
    #[serde(skip_serializing_if = "is_zero")]
    pub port: u16,
    /// Others may change the tags through the catalog.
    #[serde(skip_serializing_if = "is_zero")]
    pub enable_tag_override: bool,
    /// Metadata.
    #[serde(skip_serializing_if = "is_zero")]
    pub meta: BTreeMap<String, String>,
    /// Only if given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<Weights>,
    /// Never used; the Go client always writes it, as `null`.
    pub check: Option<CheckDefinition>,
    /// `null` when there is none.
    pub checks: Option<Vec<CheckDefinition>>,
    /// A sidecar's settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<ProxyConfig>,
    /// Consul Enterprise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Consul Enterprise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// Only for agents that know it: see [`super::locality`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locality: Option<Locality>,
}

/// Where an instance runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs)]
pub struct Locality {
    pub region: String,
    pub zone: String,
}

/// Weights of a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs)]
pub struct Weights {
    pub passing: u32,
    pub warning: u32,
}

/// A check, as it stands in a registration's `Checks`. Durations are Go's (`10s`).
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs)]
pub struct CheckDefinition {
    #[serde(rename = "CheckID", skip_serializing_if = "is_zero")]
    pub check_id: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub name: String,
    /// Only for a check that is registered by itself: the service it belongs to.
    #[serde(rename = "ServiceID", skip_serializing_if = "is_zero")]
    pub service_id: String,
    #[serde(rename = "ScriptArgs", skip_serializing_if = "is_zero")]
    pub args: Vec<String>,
    #[serde(skip_serializing_if = "is_zero")]
    pub interval: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub timeout: String,
    #[serde(rename = "TTL", skip_serializing_if = "is_zero")]
    pub ttl: String,
    #[serde(rename = "HTTP", skip_serializing_if = "is_zero")]
    pub http: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub header: BTreeMap<String, Vec<String>>,
    #[serde(skip_serializing_if = "is_zero")]
    pub method: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub body: String,
    #[serde(rename = "TCP", skip_serializing_if = "is_zero")]
    pub tcp: String,
    /// First status; Consul's own default is critical.
    #[serde(skip_serializing_if = "is_zero")]
    pub status: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub notes: String,
    #[serde(rename = "TLSServerName", skip_serializing_if = "is_zero")]
    pub tls_server_name: String,
    #[serde(rename = "TLSSkipVerify", skip_serializing_if = "is_zero")]
    pub tls_skip_verify: bool,
    #[serde(rename = "GRPC", skip_serializing_if = "is_zero")]
    pub grpc: String,
    #[serde(rename = "GRPCUseTLS", skip_serializing_if = "is_zero")]
    pub grpc_use_tls: bool,
    #[serde(rename = "H2PING", skip_serializing_if = "is_zero")]
    pub h2ping: String,
    #[serde(rename = "H2PingUseTLS", skip_serializing_if = "is_zero")]
    pub h2ping_use_tls: bool,
    #[serde(skip_serializing_if = "is_zero")]
    pub alias_node: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub alias_service: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub success_before_passing: u32,
    #[serde(skip_serializing_if = "is_zero")]
    pub failures_before_critical: u32,
    #[serde(skip_serializing_if = "is_zero")]
    pub deregister_critical_service_after: String,
    /// Consul Enterprise, only for a check that is registered by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Consul Enterprise, only for a check that is registered by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
}

/// A sidecar's settings.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs)]
pub struct ProxyConfig {
    #[serde(skip_serializing_if = "is_zero")]
    pub destination_service_name: String,
    #[serde(rename = "DestinationServiceID", skip_serializing_if = "is_zero")]
    pub destination_service_id: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub local_service_port: u16,
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    pub config: serde_json::Map<String, serde_json::Value>,
    #[serde(skip_serializing_if = "is_zero")]
    pub upstreams: Vec<Upstream>,
    /// Written also when empty, as the Go client does with structs.
    pub mesh_gateway: MeshGateway,
    /// Written also when empty, as the Go client does with structs.
    pub expose: Expose,
}

/// One upstream.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs)]
pub struct Upstream {
    #[serde(skip_serializing_if = "is_zero")]
    pub destination_type: &'static str,
    #[serde(skip_serializing_if = "is_zero")]
    pub destination_partition: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub destination_namespace: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub destination_peer: String,
    pub destination_name: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub datacenter: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub local_bind_address: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub local_bind_port: u16,
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    pub config: serde_json::Map<String, serde_json::Value>,
    pub mesh_gateway: MeshGateway,
}

/// Mesh gateway mode; `{}` when not set.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs)]
pub struct MeshGateway {
    #[serde(skip_serializing_if = "is_zero")]
    pub mode: &'static str,
}

/// Paths that are reachable without mTLS; `{}` when not set.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs)]
pub struct Expose {
    #[serde(skip_serializing_if = "is_zero")]
    pub checks: bool,
    #[serde(skip_serializing_if = "is_zero")]
    pub paths: Vec<ExposePath>,
}

/// One exposed path.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs)]
pub struct ExposePath {
    #[serde(skip_serializing_if = "is_zero")]
    pub listener_port: u16,
    #[serde(skip_serializing_if = "is_zero")]
    pub path: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub local_path_port: u16,
    #[serde(skip_serializing_if = "is_zero")]
    pub protocol: String,
    /// Always false from us.
    pub parsed_from_check: bool,
}

/// What we read of `GET /v1/agent/self`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AgentSelf {
    /// The part that every agent has.
    pub config: AgentSelfConfig,
}

/// The fixed part of [`AgentSelf`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs)]
pub struct AgentSelfConfig {
    pub datacenter: String,
    pub node_name: String,
    #[serde(rename = "NodeID", default)]
    pub node_id: String,
    #[serde(default)]
    pub server: bool,
    #[serde(default)]
    pub version: String,
}

/// A service as the agent holds it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs)]
pub struct AgentService {
    #[serde(rename = "ID")]
    pub id: String,
    /// Its name.
    pub service: String,
    #[serde(default)]
    pub kind: String,
    #[serde(default, deserialize_with = "null_as_default")]
    pub tags: Vec<String>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub meta: BTreeMap<String, String>,
    #[serde(default)]
    pub port: u16,
    /// Changes with the content; absent in the list of all services.
    #[serde(default)]
    pub content_hash: String,
}

/// A check as the agent, or an entry of the catalog, holds it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs)]
pub struct AgentCheck {
    #[serde(rename = "CheckID")]
    pub check_id: String,
    #[serde(default)]
    pub name: String,
    pub status: CheckStatus,
    #[serde(default)]
    pub output: String,
    /// Empty for a check of the node.
    #[serde(rename = "ServiceID", default)]
    pub service_id: String,
}

/// One instance in `GET /v1/health/connect/<service>`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs)]
pub struct HealthEntry {
    pub node: HealthNode,
    /// The proxy instance (its destination's name was asked for).
    pub service: HealthService,
    #[serde(default, deserialize_with = "null_as_default")]
    pub checks: Vec<AgentCheck>,
}

impl HealthEntry {
    /// Peers are told not to use this instance: a check of it or of its node is critical.
    pub fn is_critical(&self) -> bool {
        self.checks.iter().any(|check| check.status == CheckStatus::Critical)
    }
}

/// The node of a [`HealthEntry`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs)]
pub struct HealthNode {
    #[serde(rename = "Node")]
    pub name: String,
    #[serde(default)]
    pub address: String,
}

/// The service of a [`HealthEntry`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs)]
pub struct HealthService {
    #[serde(rename = "ID")]
    pub id: String,
    /// Its name.
    pub service: String,
    #[serde(default)]
    pub port: u16,
}
