//! The configuration of the task's Consul agent, as the JSON that its `-config-file` takes.
//!
//! An agent refuses to start on a key that it does not know, so keys are chosen by its version.

use super::registration::go_duration;
use super::{Version, node_id, node_name};
use crate::config::{self, Config};
use crate::ecs::TaskIdentity;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

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
    /// The file into which the agent's own certificate was written.
    pub cert_file: Option<PathBuf>,
    /// The file into which the key of that certificate was written.
    pub key_file: Option<PathBuf>,
}

/// The agent's configuration. It holds secrets: write it with [`crate::private::write_private`], print it through
/// [`redacted`](super::redacted).
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
        "addresses": {
            "dns": "127.0.0.1",
            "grpc": listen_address(consul.grpc_socket.as_deref()),
            "http": listen_address(consul.http_socket.as_deref()),
        },
        // A socket's port is not used, but has to be there: -1 would turn the API off.
        "ports": {
            "http": consul.http_port,
            "grpc": consul.grpc_port,
            "dns": -1,
            "serf_lan": consul.serf_port,
            "serf_wan": -1,
            "server": consul.server_port,
        },
        "retry_join": consul.retry_join,
        "retry_interval": go_duration(consul.retry_interval),
        "leave_on_terminate": true,
        // Else the agent calls its vendor at each start.
        "disable_update_check": true,
        "enable_central_service_config": true,
    });
    let map = out.as_object_mut().expect("an object was just written");
    let mut put = |key: &str, value: Value| drop(map.insert(key.to_owned(), value));

    if let Some(address) = address {
        put("advertise_addr", json!(address));
    }
    if consul.http_socket.is_some() || consul.grpc_socket.is_some() {
        put("unix_sockets", json!({ "mode": "0600" }));
    }
    if version >= ADVERTISES_RECONNECT {
        put("advertise_reconnect_timeout", json!(go_duration(consul.reconnect_timeout)));
    }
    let mut telemetry = Map::new();
    if (COMPAT_FROM..COMPAT_UNTIL).contains(&version) {
        telemetry.insert("disable_compat_1.9".to_owned(), json!(true));
    }
    telemetry.extend(consul.telemetry.clone());
    if !telemetry.is_empty() {
        put("telemetry", Value::Object(telemetry));
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
        let [common, to_servers] = tls_config(tls, secrets);
        if version < TLS_BLOCK {
            common.into_iter().chain(to_servers).for_each(|(key, value)| put(&key, value));
        } else if to_servers.is_empty() {
            put("tls", json!({ "defaults": common }));
        } else {
            put("tls", json!({ "defaults": common, "internal_rpc": to_servers }));
        }
        if tls.auto_encrypt {
            let addresses: Vec<_> = address.into_iter().collect();
            put("auto_encrypt", json!({ "tls": true, "ip_san": addresses }));
        }
    }
    out
}

fn listen_address(socket: Option<&Path>) -> String {
    socket.map_or_else(|| "127.0.0.1".to_owned(), |socket| format!("unix://{}", socket.display()))
}

/// What holds wherever the agent speaks TLS, and what only where it calls the servers. A certificate is of the
/// latter: in `tls.defaults` it would ask for TLS on the gRPC port too, which an agent from 1.14 on refuses.
fn tls_config(tls: &config::Tls, secrets: &AgentSecrets) -> [Map<String, Value>; 2] {
    let file =
        |key: &str, path: &Option<PathBuf>| path.as_ref().map(|path| (key.to_owned(), json!(path)));
    let flag = |key: &str, on: bool| on.then(|| (key.to_owned(), json!(true)));
    let common = [flag("verify_outgoing", true), file("ca_file", &secrets.ca_file)];
    let to_servers = [
        flag("verify_server_hostname", tls.verify_server_hostname),
        file("cert_file", &secrets.cert_file),
        file("key_file", &secrets.key_file),
    ];
    [common.into_iter().flatten().collect(), to_servers.into_iter().flatten().collect()]
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

#[cfg(test)]
#[path = "agent_config_tests.rs"]
mod tests;
