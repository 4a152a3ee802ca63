//! The sidecar proxy: listener, upstreams, and what passes through Consul untouched.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The sidecar proxy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Proxy {
    /// Where peers' Envoys connect to.
    #[schemars(range(min = 1))]
    pub public_listener_port: u16,
    /// Services this task calls, each on a loopback port.
    pub upstreams: Vec<Upstream>,
    /// Opaque proxy config, as Consul takes it (`protocol`, timeouts, ...).
    pub config: serde_json::Map<String, serde_json::Value>,
    /// Default mesh gateway mode.
    pub mesh_gateway: Option<MeshGateway>,
    /// Paths that are reachable without mTLS.
    pub expose: Option<Expose>,
}

impl Default for Proxy {
    fn default() -> Self {
        Self {
            public_listener_port: 20000,
            upstreams: Vec::new(),
            config: serde_json::Map::new(),
            mesh_gateway: None,
            expose: None,
        }
    }
}

/// One upstream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Upstream {
    /// What `destinationName` names. Default: a service.
    #[serde(default)]
    pub destination_type: Option<DestinationType>,
    /// The service, or the prepared query, that is called.
    pub destination_name: String,
    /// Consul Enterprise: its namespace. Default: ours.
    #[serde(default)]
    pub destination_namespace: Option<String>,
    /// Consul Enterprise: its partition. Default: ours.
    #[serde(default)]
    pub destination_partition: Option<String>,
    /// The cluster peering through which it is reached.
    #[serde(default)]
    pub destination_peer: Option<String>,
    /// The datacenter that it is in. Default: ours.
    #[serde(default)]
    pub datacenter: Option<String>,
    /// IP address on which Envoy listens for it. Default 127.0.0.1.
    #[serde(default)]
    pub local_bind_address: Option<String>,
    /// Port on which Envoy listens for it: the app calls this one.
    #[schemars(range(min = 1))]
    pub local_bind_port: u16,
    /// Opaque upstream config, as Consul takes it (`protocol`, `connect_timeout_ms`, ...).
    #[serde(default)]
    pub config: serde_json::Map<String, serde_json::Value>,
    /// Mesh gateway mode for this upstream. Default: the proxy's.
    #[serde(default)]
    pub mesh_gateway: Option<MeshGateway>,
}

/// What an upstream's name names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum DestinationType {
    Service,
    PreparedQuery,
}

/// Mesh gateway mode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MeshGateway {
    /// `none`, `local` or `remote`.
    pub mode: MeshGatewayMode,
}

/// Mesh gateway modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum MeshGatewayMode {
    None,
    Local,
    Remote,
}

/// Paths that are reachable without mTLS.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Expose {
    /// Expose the paths of HTTP and gRPC checks.
    pub checks: bool,
    /// Paths to expose.
    pub paths: Vec<ExposePath>,
}

/// One exposed path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExposePath {
    /// Port on which Envoy listens for it, without mTLS.
    #[schemars(range(min = 1))]
    pub listener_port: u16,
    /// The path, as in `/metrics`.
    pub path: String,
    /// Port of the app that serves it.
    #[schemars(range(min = 1))]
    pub local_path_port: u16,
    /// `http` or `http2`. Consul's default is `http`.
    #[serde(default)]
    pub protocol: Option<String>,
}

impl Proxy {
    /// The app's protocol, in lower case, as Consul's proxy config names it: `tcp` (the default), `http`, `http2` or
    /// `grpc`. A `service-defaults` entry on the servers can say otherwise; that is not seen here.
    pub fn protocol(&self) -> String {
        let protocol = self.config.get("protocol").and_then(|v| v.as_str()).unwrap_or("tcp");
        protocol.to_ascii_lowercase()
    }
}
