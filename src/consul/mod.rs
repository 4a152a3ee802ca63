//! The local Consul agent: its HTTP API, its configuration, what a task registers there, and its command line.
//!
//! | file | what |
//! |---|---|
//! | `client` | the calls, each with a deadline and a size limit |
//! | `blocking` | those whose answer is held back until something changes |
//! | `acl` | policies and tokens, for the controller |
//! | `session` | sessions and the keys that they hold, for the controller |
//! | `login` | tokens for a proof of who one is, and when to get the next one |
//! | `tenancy` | partitions and namespaces of Consul Enterprise, for the controller |
//! | `error` | their failures, sorted by what a caller can do |
//! | `types` | the bodies, in the agent's own spelling |
//! | `registration` | service and proxy of a task, their checks and IDs (pure) |
//! | `drift` | how what an agent shows differs from what was registered (pure) |
//! | `agent_config` | the agent's configuration (pure) |
//! | `extra_config` | what users add to it as text, its variables (pure) |
//! | `redact` | both for people's eyes (pure) |
//! | `join` | why an agent has not joined, in its own words (pure) |
//! | `node` | the agent's name and ID (pure) |
//! | `data_folder` | what in the agent's data folder is its own, when that is damaged (pure) |
//! | `cli` | arguments and environment of the `consul` executable, its version (pure) |

mod acl;
mod agent_config;
mod blocking;
mod cli;
mod client;
#[cfg(test)]
mod contract_tests;
mod data_folder;
mod drift;
mod error;
mod extra_config;
mod join;
mod login;
mod node;
mod redact;
mod registration;
#[cfg(feature = "aws")]
mod session;
mod tenancy;
mod types;

pub use acl::{AclLink, AclPolicy, AclToken};
pub use agent_config::{AgentSecrets, agent_config};
pub use blocking::{Answer, HealthQuery, index};
pub use cli::{
    Version, agent_args, agent_env, command_env, connect_envoy_args, grpc_address, http_address,
    parse_version,
};
pub use client::Client;
pub use data_folder::{DATA_FOLDER_ENTRIES, DATA_FOLDER_MARKS, blames_data_folder};
pub use drift::{Difference, differences};
pub use error::{Error, Result};
pub use extra_config::{
    DATACENTER, TASK_ADDRESS, expand_extra_config, extra_config_file_name, extra_config_variables,
};
pub use join::why_not_joined;
pub use login::{Login, renew_at};
pub use node::{node_id, node_name};
pub use redact::{redacted, redacted_extra_config};
pub use registration::{
    ServiceIds, alias_check, listener_check, locality, maintenance_check_id, proxy, service,
    service_name,
};
#[cfg(feature = "aws")]
pub use session::LockKey;
pub use types::*;
