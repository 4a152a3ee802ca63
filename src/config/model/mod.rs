//! The shape of the configuration: one struct per component, with its defaults. The JSON schema is generated from
//! these structs. Rules that span fields are in `check`; reading and error reports are in `load`.

mod consul;
mod envoy;
mod health_sync;
mod lifecycle;
mod login;
mod proxy;
mod restart;
mod secret;
mod service;
pub(super) mod text;

pub use consul::*;
pub use envoy::*;
pub use health_sync::*;
pub use lifecycle::*;
pub use login::*;
pub use proxy::*;
pub use restart::*;
pub use secret::*;
pub use service::*;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use text::SocketAddrText;

/// The configuration of `taskmesh run`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// The service that this task offers.
    pub service: Service,
    /// Its sidecar proxy.
    #[serde(default)]
    pub proxy: Proxy,
    /// Which containers' ECS health is synced to Consul.
    #[serde(default)]
    pub health_sync: HealthSync,
    /// The Consul agent that runs beside it.
    pub consul: Consul,
    /// The Envoy that runs beside it.
    #[serde(default)]
    pub envoy: Envoy,
    /// Start and stop.
    #[serde(default)]
    pub lifecycle: Lifecycle,
    /// When a child that dies is started again.
    #[serde(default)]
    pub restart: Restart,
    /// The loopback API.
    #[serde(default)]
    pub admin: Admin,
    /// Our own log.
    #[serde(default)]
    pub log: Log,
}

/// The loopback API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Admin {
    /// Loopback address and port.
    #[schemars(with = "SocketAddrText")]
    pub listen: SocketAddr,
}

impl Default for Admin {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 19100)) }
    }
}

/// Our own log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`.
    pub level: LogLevel,
    /// `json` or `text`.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: LogLevel::Info, format: LogFormat::Json }
    }
}

/// Log level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// Log format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum LogFormat {
    Json,
    Text,
}
