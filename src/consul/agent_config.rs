//! The configuration of the task's Consul agent, as the JSON that its `-config-file` takes.
//!
//! An agent refuses to start on a key that it does not know, so keys are chosen by its version.

use super::{Version, service_name};
use crate::config::{self, Config};
use crate::ecs::TaskIdentity;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// A DNS label, and so the name of a node, has no more characters.
const LABEL: usize = 63;
/// `advertise_reconnect_timeout` came with this version.
const ADVERTISES_RECONNECT: Version = Version::new(1, 9, 0);
/// `acl.tokens.agent_recovery`, until then `agent_master`.
const AGENT_RECOVERY: Version = Version::new(1, 11, 0);
/// The `tls` block, until then keys at the top.
const TLS_BLOCK: Version = Version::new(1, 12, 0);
/// `telemetry.disable_compat_1.9` is known from here (an unknown key later, from 1.13) ..
const COMPAT_FROM: Version = Version::new(1, 9, 0);
/// .. and is the default from here.
const COMPAT_UNTIL: Version = Version::new(1, 12, 0);

/// The secrets that the agent's config holds, resolved.
#[derive(Debug, Default)]
pub struct AgentSecrets {
    /// `acl.tokens.agent`.
    pub agent_token: Option<SecretString>,
    /// A random one that only this agent knows: for our own calls about the agent itself.
    pub recovery_token: Option<SecretString>,
    /// Gossip encryption key.
    pub gossip_key: Option<SecretString>,
    /// The file into which the CA certificate was written.
    pub ca_file: Option<PathBuf>,
}

/// The agent's configuration. It holds secrets: write it with [`crate::private::write_private`], print it through
/// [`redacted`].
pub fn agent_config(
    cfg: &Config,
    task: &TaskIdentity,
    secrets: &AgentSecrets,
    version: Version,
) -> Value {
    let consul = &cfg.consul;
    let address = consul.advertise_address.as_ref().or(task.ipv4.as_ref());
    let mut out = json!({
        "node_name": node_name(cfg, task),
        "node_id": node_id(&task.task_id),
        "datacenter": consul.datacenter,
        "data_dir": consul.data_dir,
        "bind_addr": consul.bind_address.as_deref().unwrap_or("0.0.0.0"),
        "client_addr": "127.0.0.1",
        "addresses": { "dns": "127.0.0.1", "grpc": "127.0.0.1", "http": "127.0.0.1" },
        "ports": {
            "http": consul.http_port,
            "grpc": consul.grpc_port,
            "dns": -1,
            "serf_lan": consul.serf_port,
            "serf_wan": -1,
            "server": consul.server_port,
        },
        "retry_join": consul.retry_join,
        // The default is 30 s: a whole start is shorter.
        "retry_interval": "1s",
        "leave_on_terminate": true,
        // Else the agent calls its vendor at each start.
        "disable_update_check": true,
        "enable_central_service_config": true,
    });
    let map = out.as_object_mut().expect("an object was just written");
    let mut put = |key: &str, value: Value| map.insert(key.to_owned(), value);

    if let Some(address) = address {
        put("advertise_addr", json!(address));
    }
    if version >= ADVERTISES_RECONNECT {
        put("advertise_reconnect_timeout", json!("15m"));
    }
    if (COMPAT_FROM..COMPAT_UNTIL).contains(&version) {
        put("telemetry", json!({ "disable_compat_1.9": true }));
    }
    if let Some(key) = &secrets.gossip_key {
        put("encrypt", json!(key.expose_secret()));
    }
    if let Some(partition) = &cfg.service.partition {
        put("partition", json!(partition));
    }
    if let Some(acl) = &consul.acl {
        put("acl", acl_config(acl, secrets, version));
    }
    if let Some(tls) = &consul.tls {
        let mut verify = json!({ "verify_outgoing": true });
        if let Some(file) = &secrets.ca_file {
            verify["ca_file"] = json!(file);
        }
        if version >= TLS_BLOCK {
            put("tls", json!({ "defaults": verify }));
        } else {
            for (key, value) in verify.as_object().into_iter().flatten() {
                put(key, value.clone());
            }
        }
        if tls.auto_encrypt {
            let addresses: Vec<_> = address.into_iter().collect();
            put("auto_encrypt", json!({ "tls": true, "ip_san": addresses }));
        }
    }
    out
}

fn acl_config(acl: &config::Acl, secrets: &AgentSecrets, version: Version) -> Value {
    let mut tokens = Map::new();
    if let Some(token) = &secrets.agent_token {
        tokens.insert("agent".to_owned(), json!(token.expose_secret()));
    }
    if let Some(token) = &secrets.recovery_token {
        let key = if version >= AGENT_RECOVERY { "agent_recovery" } else { "agent_master" };
        tokens.insert(key.to_owned(), json!(token.expose_secret()));
    }
    json!({
        "enabled": true,
        "default_policy": acl.default_policy,
        "down_policy": acl.down_policy,
        "tokens": tokens,
    })
}

/// The agent's node name: as configured, else `<service>-<taskID>` as a DNS label. The task ID is never cut: it is what
/// keeps two tasks from claiming one name.
pub fn node_name(cfg: &Config, task: &TaskIdentity) -> String {
    if let Some(name) = &cfg.consul.node_name {
        return name.clone();
    }
    let mut id = label(&task.task_id);
    if id.is_empty() || id.len() > LABEL {
        id = label(&node_id(&task.task_id));
    }
    let mut name = label(service_name(&cfg.service, task));
    name.truncate(LABEL.saturating_sub(id.len() + 1));
    let name = name.trim_end_matches('-');
    if name.is_empty() { id } else { format!("{name}-{id}") }
}

/// Lower case, every other character than a letter or digit a hyphen, none at the ends.
fn label(text: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    text.chars().map(allowed).collect::<String>().trim_matches('-').to_owned()
}

/// The agent's node ID, a UUID: the task ID's 32 hex digits, with or without hyphens; else one derived from its text.
/// With a fixed ID the servers know the node again after its data was lost; with a random one they keep its name
/// reserved for minutes.
pub fn node_id(task_id: &str) -> String {
    let hex: String = task_id.chars().filter(|c| *c != '-').collect();
    let hex = if hex.len() == 32 && hex.chars().all(|c| c.is_ascii_hexdigit()) {
        hex.to_ascii_lowercase()
    } else {
        format!("{:032x}", fnv1a(task_id.as_bytes()))
    };
    let part = |range: std::ops::Range<usize>| &hex[range];
    [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
}

/// FNV-1a, 128 bits (<http://www.isthe.com/chongo/tech/comp/fnv/>): the same on every machine and in every release,
/// which the standard library's hashers do not promise.
fn fnv1a(bytes: &[u8]) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(OFFSET, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME))
}

/// The same configuration with its secrets hidden, for printing.
pub fn redacted(mut config: Value) -> Value {
    const HIDDEN: &str = "(hidden)";
    if let Some(key) = config.get_mut("encrypt") {
        *key = json!(HIDDEN);
    }
    if let Some(tokens) = config.pointer_mut("/acl/tokens").and_then(Value::as_object_mut) {
        tokens.values_mut().for_each(|token| *token = json!(HIDDEN));
    }
    config
}

#[cfg(test)]
#[path = "agent_config_tests.rs"]
mod tests;
