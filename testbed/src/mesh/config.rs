//! The agent's configuration files: Consul's JSON keys, unknown ones refused as Consul does.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};
use thiserror::Error;

use super::keys::{IGNORED, KNOWN};
use super::login::AuthMethod;
use super::model::duration;

/// Why the configuration cannot be used.
#[derive(Debug, Error)]
#[allow(missing_docs)]
pub(crate) enum ConfigError {
    #[error("failed to read {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("file {0} has no .json extension; the development stand-in reads JSON only")]
    Extension(PathBuf),
    #[error("failed to parse {path}: 1 error occurred:\n\t* {message}\n")]
    Parse { path: PathBuf, message: String },
    #[error("{0}")]
    Invalid(String),
}

/// Listening addresses.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Addresses {
    pub(crate) dns: Option<String>,
    pub(crate) http: Option<String>,
    pub(crate) https: Option<String>,
    pub(crate) grpc: Option<String>,
    pub(crate) grpc_tls: Option<String>,
}

/// Ports; -1 is off.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Ports {
    pub(crate) dns: Option<i32>,
    pub(crate) http: Option<i32>,
    pub(crate) https: Option<i32>,
    pub(crate) grpc: Option<i32>,
    pub(crate) grpc_tls: Option<i32>,
    pub(crate) serf_lan: Option<i32>,
    pub(crate) serf_wan: Option<i32>,
    pub(crate) server: Option<i32>,
    pub(crate) sidecar_min_port: Option<i32>,
    pub(crate) sidecar_max_port: Option<i32>,
    pub(crate) expose_min_port: Option<i32>,
    pub(crate) expose_max_port: Option<i32>,
}

/// Tokens in the agent's configuration.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Tokens {
    pub(crate) agent: String,
    #[serde(alias = "agent_master")]
    pub(crate) agent_recovery: String,
    pub(crate) default: String,
    #[serde(alias = "master")]
    pub(crate) initial_management: String,
    pub(crate) replication: String,
    pub(crate) config_file_service_registration: String,
    pub(crate) dns: String,
}

/// The `acl` block.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AclConfig {
    pub(crate) enabled: bool,
    pub(crate) default_policy: String,
    pub(crate) down_policy: String,
    pub(crate) enable_token_persistence: bool,
    pub(crate) enable_token_replication: bool,
    pub(crate) token_ttl: String,
    pub(crate) policy_ttl: String,
    pub(crate) role_ttl: String,
    pub(crate) tokens: Tokens,
}

/// A token declared for a test.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DevToken {
    pub(crate) secret: String,
    /// `agent`, `service`, `management` or `rules`.
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) service: String,
    #[serde(default)]
    pub(crate) rules: String,
}

/// Keys of the stand-in alone.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Dev {
    pub(crate) tokens: Vec<DevToken>,
    /// Auth methods, at the server.
    pub(crate) auth_methods: Vec<AuthMethod>,
    /// Never join, whatever `retry_join` says.
    pub(crate) never_join: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Raw {
    node_name: String,
    node_id: String,
    datacenter: String,
    data_dir: String,
    bind_addr: String,
    advertise_addr: String,
    client_addr: String,
    addresses: Addresses,
    ports: Ports,
    retry_join: Vec<String>,
    retry_interval: String,
    leave_on_terminate: Option<bool>,
    skip_leave_on_interrupt: Option<bool>,
    encrypt: String,
    acl: AclConfig,
    connect: Map<String, Value>,
    server: bool,
    bootstrap: bool,
    bootstrap_expect: u32,
    log_level: String,
    devmesh: Dev,
}

/// Where an API listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) ip: IpAddr,
    /// Shown also where a socket stands in for it.
    pub(crate) port: u16,
    pub(crate) socket: Option<PathBuf>,
}

/// A checked configuration with defaults filled in.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) node_name: String,
    pub(crate) node_id: String,
    pub(crate) datacenter: String,
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) bind_addr: IpAddr,
    pub(crate) advertise_addr: Option<IpAddr>,
    pub(crate) http: Option<Endpoint>,
    pub(crate) grpc: Option<Endpoint>,
    pub(crate) serf_port: u16,
    pub(crate) server_port: u16,
    pub(crate) retry_join: Vec<String>,
    pub(crate) retry_interval: Duration,
    pub(crate) leave_on_terminate: bool,
    pub(crate) leave_on_interrupt: bool,
    pub(crate) encrypt: String,
    pub(crate) acl: AclConfig,
    pub(crate) server: bool,
    pub(crate) log_level: String,
    pub(crate) dev: Dev,
}

/// Reads and merges files (a directory stands for its `.json` files, in order), then the values
/// given on the command line, later ones winning; lists are appended.
pub(crate) fn load(files: &[PathBuf], cli: Map<String, Value>) -> Result<Config, ConfigError> {
    let mut merged = Value::Object(Map::new());
    for file in expand(files)? {
        let read = |source| ConfigError::Read { path: file.clone(), source };
        let text = std::fs::read_to_string(&file).map_err(read)?;
        let fail = |message| ConfigError::Parse { path: file.clone(), message };
        let value: Value = serde_json::from_str(&text).map_err(|e| fail(e.to_string()))?;
        let Value::Object(map) = &value else { return Err(fail("not an object".into())) };
        if let Some(key) =
            map.keys().find(|k| !KNOWN.contains(&k.as_str()) && !IGNORED.contains(&k.as_str()))
        {
            return Err(fail(format!("invalid config key {key}")));
        }
        serde_json::from_value::<Raw>(value.clone())
            .map_err(|e| fail(e.to_string().replace("unknown field", "invalid config key")))?;
        merge(&mut merged, value);
    }
    merge(&mut merged, Value::Object(cli));
    let raw = serde_json::from_value(merged).map_err(|e| ConfigError::Invalid(e.to_string()))?;
    resolve(raw)
}

fn expand(files: &[PathBuf]) -> Result<Vec<PathBuf>, ConfigError> {
    let mut list = Vec::new();
    for file in files {
        if file.is_dir() {
            let read = |source| ConfigError::Read { path: file.clone(), source };
            let mut inside: Vec<PathBuf> = std::fs::read_dir(file)
                .map_err(read)?
                .filter_map(|e| e.ok().map(|e| e.path()))
                .filter(|p| p.extension().is_some_and(|e| e == "json"))
                .collect();
            inside.sort();
            list.append(&mut inside);
        } else if file.extension().is_some_and(|e| e == "json") {
            list.push(file.clone());
        } else {
            return Err(ConfigError::Extension(file.clone()));
        }
    }
    Ok(list)
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (Value::Array(into), Value::Array(from)) => into.extend(from),
        (_, Value::Null) => {}
        (into, from) => *into = from,
    }
}

fn ip(text: &str, what: &str) -> Result<Option<IpAddr>, ConfigError> {
    // A list of addresses is legal; the first is enough for development.
    let Some(first) = text.split_whitespace().next() else { return Ok(None) };
    first
        .parse()
        .map(Some)
        .map_err(|_| ConfigError::Invalid(format!("{what}: '{text}' is not an IP address here")))
}

fn port(value: Option<i32>, default: i32) -> Option<u16> {
    u16::try_from(value.unwrap_or(default)).ok().filter(|p| *p != 0)
}

fn resolve(raw: Raw) -> Result<Config, ConfigError> {
    let or = |text: String, default: &str| if text.is_empty() { default.into() } else { text };
    let unspecified = IpAddr::from([0, 0, 0, 0]);
    let client = ip(&raw.client_addr, "client_addr")?.unwrap_or(IpAddr::from([127, 0, 0, 1]));
    let listen = |own: &Option<String>, port: Option<u16>| {
        let own = own.as_deref().unwrap_or_default();
        let socket = own.strip_prefix("unix://").map(PathBuf::from);
        let own = if socket.is_some() { None } else { ip(own, "addresses")? };
        let ip = own.unwrap_or(client);
        Ok::<_, ConfigError>(port.map(|port| Endpoint { ip, port, socket }))
    };
    if !raw.encrypt.is_empty() && !is_gossip_key(&raw.encrypt) {
        return Err(ConfigError::Invalid(
            "Error starting agent: Failed to decode encryption key: key size must be 16, 24 or 32 bytes".into(),
        ));
    }
    let data_dir = (!raw.data_dir.is_empty()).then(|| PathBuf::from(&raw.data_dir));
    let hostname = || std::fs::read_to_string("/etc/hostname").unwrap_or_else(|_| "node".into());
    let retry_interval = match raw.retry_interval.as_str() {
        "" => Duration::from_secs(30),
        text => duration(text).ok_or_else(|| {
            ConfigError::Invalid(format!("retry_interval: invalid duration {text}"))
        })?,
    };
    if raw.acl.enabled && !matches!(raw.acl.default_policy.as_str(), "" | "allow" | "deny") {
        return Err(ConfigError::Invalid("acl.default_policy must be allow or deny".into()));
    }
    Ok(Config {
        node_id: node_id(&raw.node_id, data_dir.as_deref())?,
        node_name: or(raw.node_name, hostname().trim()),
        datacenter: or(raw.datacenter, "dc1"),
        data_dir,
        bind_addr: ip(&raw.bind_addr, "bind_addr")?.unwrap_or(unspecified),
        advertise_addr: ip(&raw.advertise_addr, "advertise_addr")?,
        http: listen(&raw.addresses.http, port(raw.ports.http, 8500))?,
        grpc: listen(&raw.addresses.grpc, port(raw.ports.grpc, -1))?,
        serf_port: port(raw.ports.serf_lan, 8301).unwrap_or(8301),
        server_port: port(raw.ports.server, 8300).unwrap_or(8300),
        retry_join: raw.retry_join,
        retry_interval,
        // Consul's own defaults: clients leave, servers do not.
        leave_on_terminate: raw.leave_on_terminate.unwrap_or(!raw.server),
        leave_on_interrupt: !raw.skip_leave_on_interrupt.unwrap_or(raw.server),
        encrypt: raw.encrypt,
        acl: raw.acl,
        server: raw.server,
        log_level: or(raw.log_level, "info").to_lowercase(),
        dev: raw.devmesh,
    })
}

/// Base64 of 16, 24 or 32 bytes.
fn is_gossip_key(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '+' || c == '/';
    text.len().is_multiple_of(4)
        && body.chars().all(legal)
        && [16, 24, 32].contains(&(body.len() * 3 / 4))
}

/// The configured ID, else the one in the data folder, else a new one, kept there.
fn node_id(configured: &str, data_dir: Option<&Path>) -> Result<String, ConfigError> {
    let valid = |id: &str| id.len() == 36 && id.chars().filter(|c| *c == '-').count() == 4;
    let bad = |id: &str| {
        ConfigError::Invalid(format!(
            "Failed to setup node ID: specified NodeID \"{id}\" is not a valid UUID"
        ))
    };
    let file = data_dir.map(|d| d.join("node-id"));
    let write = |id: &str| -> Result<(), ConfigError> {
        let Some(file) = &file else { return Ok(()) };
        let fail = |source| ConfigError::Read { path: file.clone(), source };
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder).map_err(fail)?;
        }
        std::fs::write(file, id).map_err(fail)
    };
    let id = if !configured.is_empty() {
        configured.to_lowercase()
    } else if let Some(Ok(text)) = file.as_ref().map(std::fs::read_to_string) {
        text.trim().to_owned()
    } else {
        super::random::uuid()
    };
    if !valid(&id) {
        return Err(bad(&id));
    }
    write(&id)?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bodies: &[&str]) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let mut files = Vec::new();
        for (n, body) in bodies.iter().enumerate() {
            files.push(folder.path().join(format!("{n}.json")));
            std::fs::write(&files[n], body).unwrap();
        }
        load(&files, Map::new())
    }

    #[test]
    fn files_are_merged_and_defaults_are_consuls() {
        let config = parse(&[
            r#"{"node_name":"a","ports":{"http":1},"retry_join":["x"],"telemetry":{"a":1}}"#,
            r#"{"node_name":"b","ports":{"grpc":2},"retry_join":["y"]}"#,
        ])
        .unwrap();
        assert_eq!((config.node_name.as_str(), config.retry_join.len()), ("b", 2));
        assert_eq!(config.http.map(|h| h.port), Some(1));
        assert_eq!(config.grpc.map(|h| h.port), Some(2));
        assert!(config.leave_on_terminate && !config.server);
    }

    #[test]
    fn an_api_listens_on_an_address_or_on_a_socket() {
        let body = r#"{"addresses":{"http":"unix:///run/h","grpc":"10.0.0.1"},"ports":{"grpc":2}}"#;
        let config = parse(&[body]).unwrap();
        assert_eq!(config.http.and_then(|h| h.socket), Some("/run/h".into()));
        let grpc = Endpoint { ip: [10, 0, 0, 1].into(), port: 2, socket: None };
        assert_eq!(config.grpc, Some(grpc));
        assert!(parse(&[r#"{"addresses":{"http":"unix:/run/h"}}"#]).is_err());
    }

    #[test]
    fn unknown_keys_are_named() {
        let error = parse(&[r#"{"node_nam":"a"}"#]).unwrap_err().to_string();
        assert!(error.contains("invalid config key node_nam"), "{error}");
        let error = parse(&[r#"{"acl":{"tokens":{"agnt":"a"}}}"#]).unwrap_err().to_string();
        assert!(error.contains("agnt"), "{error}");
        assert!(parse(&[r#"{"encrypt":"short"}"#]).is_err());
        assert!(parse(&[r#"{"encrypt":"cGFzc3dvcmRwYXNzd29yZA=="}"#]).is_ok());
    }
}
