//! The Consul agent that runs beside the task.

use super::Secret;
use super::login::Login;
use super::text::DurationText;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

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
    /// Servers to join: addresses, DNS names, cloud auto-join strings (`provider=aws tag_key=..`), as Consul takes
    /// them. Required.
    pub retry_join: Vec<String>,
    /// Between two attempts to join. Consul's own default, 30 s, is longer than a whole start.
    #[serde(default = "consul_retry_interval", with = "humantime_serde")]
    #[schemars(with = "DurationText")]
    pub retry_interval: Duration,
    /// How long other agents keep a lost one among the failed before they forget it (`advertise_reconnect_timeout`,
    /// which Consul before 1.9 does not know: there it is 3 days).
    #[serde(default = "consul_reconnect_timeout", with = "humantime_serde")]
    #[schemars(with = "DurationText")]
    pub reconnect_timeout: Duration,
    /// Loopback HTTP port of the agent.
    #[serde(default = "consul_http_port")]
    #[schemars(range(min = 1))]
    pub http_port: u16,
    /// Unix socket for HTTP instead of the port: an absolute path of at most 107 bytes.
    #[serde(default)]
    pub http_socket: Option<PathBuf>,
    /// Loopback gRPC (xDS) port of the agent.
    #[serde(default = "consul_grpc_port")]
    #[schemars(range(min = 1))]
    pub grpc_port: u16,
    /// Unix socket for gRPC instead of the port: an absolute path of at most 107 bytes.
    #[serde(default)]
    pub grpc_socket: Option<PathBuf>,
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
    /// Get tokens by the task's IAM role instead. Off by default.
    #[serde(default)]
    pub login: Option<Login>,
    /// Tokens in Secrets Manager are read again after about this time, and, whatever it is, when Consul refuses one.
    #[serde(default = "consul_token_interval", with = "humantime_serde")]
    #[schemars(with = "DurationText")]
    pub token_interval: Duration,
    /// The agent's `telemetry` block as Consul takes it, merged over ours.
    #[serde(default)]
    pub telemetry: serde_json::Map<String, serde_json::Value>,
    /// More agent config, merged last: files, whose names end in `.hcl` or `.json`. Nothing in them is expanded.
    #[serde(default)]
    pub extra_config_files: Vec<PathBuf>,
    /// More agent config, merged after the files: text, HCL or JSON. `$NAME` and `${NAME}` stand for an environment
    /// variable's value, and so do `$ECS_IPV4` (the task's address) and `$CONSUL_DATACENTER`; `\$` is a dollar sign. No
    /// shell runs.
    #[serde(default)]
    pub extra_config: Option<String>,
}

/// TLS between the agent and the servers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tls {
    /// CA certificate, PEM; several in a row are a bundle.
    pub ca: Secret,
    /// Get the agent's certificate from the servers. They must allow it (`auto_encrypt.allow_tls`).
    #[serde(default = "yes")]
    pub auto_encrypt: bool,
    /// The agent's own certificate, PEM, with the chain behind it if there is one. Needs `key`, and `autoEncrypt` off.
    #[serde(default)]
    pub cert: Option<Secret>,
    /// The key of `cert`, PEM, not encrypted.
    #[serde(default)]
    pub key: Option<Secret>,
    /// Talk only to servers whose certificate is for `server.<datacenter>.<domain>`, so that no other certificate of
    /// the CA can pass as a server's.
    #[serde(default)]
    pub verify_server_hostname: bool,
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
fn consul_retry_interval() -> Duration {
    Duration::from_secs(1)
}
fn consul_reconnect_timeout() -> Duration {
    Duration::from_secs(15 * 60)
}
fn consul_token_interval() -> Duration {
    Duration::from_secs(120)
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
