//! The Consul agent that runs beside the task.

use super::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The Consul agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Consul {
    /// The executable: a path, or a name on PATH.
    #[serde(default = "consul_binary")]
    pub binary: PathBuf,
    /// The agent's data folder.
    #[serde(default = "consul_data_dir")]
    pub data_dir: PathBuf,
    /// Default `dc1`.
    #[serde(default = "consul_datacenter")]
    pub datacenter: String,
    /// Default: made of the service's name and the task ID, so that no two tasks clash.
    #[serde(default)]
    pub node_name: Option<String>,
    /// Address that other agents see. Default: the task's first IPv4 address.
    #[serde(default)]
    pub advertise_address: Option<String>,
    /// Address that the agent's gossip and RPC bind to. Default 0.0.0.0.
    #[serde(default)]
    pub bind_address: Option<String>,
    /// Servers to join: addresses, DNS names, cloud auto-join strings. Required.
    pub retry_join: Vec<String>,
    /// Loopback HTTP port of the agent.
    #[serde(default = "consul_http_port")]
    #[schemars(range(min = 1))]
    pub http_port: u16,
    /// Loopback gRPC (xDS) port of the agent.
    #[serde(default = "consul_grpc_port")]
    #[schemars(range(min = 1))]
    pub grpc_port: u16,
    /// Gossip (Serf LAN) port.
    #[serde(default = "consul_serf_port")]
    #[schemars(range(min = 1))]
    pub serf_port: u16,
    /// Port of the servers' RPC and of the agent's own.
    #[serde(default = "consul_server_port")]
    #[schemars(range(min = 1))]
    pub server_port: u16,
    /// TLS to the servers. Off by default.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// ACLs. Off by default.
    #[serde(default)]
    pub acl: Option<Acl>,
    /// Gossip encryption key.
    #[serde(default)]
    pub gossip_key: Option<Secret>,
    /// Token of the agent itself.
    #[serde(default)]
    pub agent_token: Option<Secret>,
    /// Token with which the service is registered and Envoy configured.
    #[serde(default)]
    pub service_token: Option<Secret>,
    /// More agent config, merged last: files.
    #[serde(default)]
    pub extra_config_files: Vec<PathBuf>,
    /// More agent config, merged last: text, HCL or JSON.
    #[serde(default)]
    pub extra_config: Option<String>,
}

/// TLS between the agent and the servers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tls {
    /// CA certificate, PEM.
    pub ca: Secret,
    /// Get the agent's certificate from the servers.
    #[serde(default = "yes")]
    pub auto_encrypt: bool,
}

/// ACLs in the agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Acl {
    /// `deny` or `allow`.
    pub default_policy: AclDefaultPolicy,
    /// What the agent does when it cannot ask the servers.
    pub down_policy: AclDownPolicy,
}

impl Default for Acl {
    fn default() -> Self {
        Self { default_policy: AclDefaultPolicy::Deny, down_policy: AclDownPolicy::AsyncCache }
    }
}

/// ACL default policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum AclDefaultPolicy {
    Deny,
    Allow,
}

/// ACL down policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum AclDownPolicy {
    Allow,
    Deny,
    ExtendCache,
    AsyncCache,
}

fn yes() -> bool {
    true
}
fn consul_binary() -> PathBuf {
    "consul".into()
}
fn consul_data_dir() -> PathBuf {
    "/consul/data".into()
}
fn consul_datacenter() -> String {
    "dc1".to_owned()
}
fn consul_http_port() -> u16 {
    8500
}
fn consul_grpc_port() -> u16 {
    8502
}
fn consul_serf_port() -> u16 {
    8301
}
fn consul_server_port() -> u16 {
    8300
}
