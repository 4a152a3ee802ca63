//! The local Consul agent: its HTTP API, its configuration, what a task registers there, and its command line.
//!
//! | file | what |
//! |---|---|
//! | `client` | the calls, each with a deadline and a size limit |
//! | `error` | their failures, sorted by what a caller can do |
//! | `types` | the bodies, in the agent's own spelling |
//! | `registration` | service and proxy of a task, their checks and IDs (pure) |
//! | `agent_config` | the agent's configuration (pure) |
//! | `cli` | arguments and environment of the `consul` executable, its version (pure) |

mod agent_config;
mod cli;
mod client;
#[cfg(test)]
mod contract_tests;
mod error;
mod registration;
mod types;

pub use agent_config::{AgentSecrets, agent_config, node_id, node_name, redacted};
pub use cli::{
    Version, agent_args, child_env, connect_envoy_args, extra_config_file_name, parse_version,
};
pub use client::{Answer, Client, HealthQuery};
pub use error::{Error, Result};
pub use registration::{
    ServiceIds, alias_check, listener_check, maintenance_check_id, proxy, service, service_name,
};
pub use types::*;
