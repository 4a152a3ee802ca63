//! What to start: servers and agents, and the configuration files they get.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::{Consul, Kind, Ports, SpawnError, spawn};

/// A token to be made when the server is up.
#[derive(Debug, Clone)]
pub struct Token {
    /// The secret: a UUID, which real Consul insists on.
    pub secret: String,
    /// Its policy, in Consul's rule language, e.g. `service_prefix "" { policy = "read" }`.
    pub rules: String,
}

impl Token {
    /// The rights of consul-ecs 0.4.3's client token.
    pub fn agent(secret: impl Into<String>) -> Self {
        let rules = "node_prefix \"\" { policy = \"write\" }\n\
                     service_prefix \"\" { policy = \"read\" }";
        Self { secret: secret.into(), rules: rules.into() }
    }

    /// The rights of consul-ecs 0.4.3's service token.
    pub fn service(secret: impl Into<String>, service: &str) -> Self {
        let rules = format!(
            "service \"{service}\" {{ policy = \"write\" }}\n\
             service \"{service}-sidecar-proxy\" {{ policy = \"write\" }}\n\
             service_prefix \"\" {{ policy = \"read\" }}\n\
             node_prefix \"\" {{ policy = \"read\" }}"
        );
        Self { secret: secret.into(), rules }
    }
}

/// Access control at the server; the default policy is deny.
#[derive(Debug, Clone)]
pub struct Acl {
    /// The secret of the token that may do everything: a UUID.
    pub management: String,
    /// Tokens to make in [`Consul::ready`].
    pub tokens: Vec<Token>,
}

/// TLS at the server: what is not TLS is refused from agents, and their certificates come from the server.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The authority's certificate, PEM.
    pub ca: PathBuf,
    /// The server's certificate, which names `server.<datacenter>.consul`, PEM.
    pub cert: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
}

impl Tls {
    /// The keys of the server's configuration: flat ones until 1.12, a block since.
    fn config(&self, kind: Kind) -> Value {
        let files = json!({ "ca_file": self.ca, "cert_file": self.cert, "key_file": self.key });
        let mut config = json!({ "auto_encrypt": { "allow_tls": true } });
        if kind == Kind::Old {
            overlay(&mut config, &files);
            overlay(
                &mut config,
                &json!({
                    "verify_incoming_rpc": true,
                    "verify_outgoing": true,
                    "verify_server_hostname": true,
                }),
            );
        } else {
            let rpc = json!({ "verify_incoming": true, "verify_server_hostname": true });
            config["tls"] = json!({ "defaults": { "verify_outgoing": true }, "internal_rpc": rpc });
            overlay(&mut config["tls"]["defaults"], &files);
        }
        config
    }
}

/// A server to start.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// The executable.
    pub bin: PathBuf,
    /// What it is, see [`Kind::of`].
    pub kind: Kind,
    /// A folder of its own, which must exist.
    pub dir: PathBuf,
    /// Where it listens for other nodes; also its node address.
    pub bind: IpAddr,
    /// Where it answers the HTTP API.
    pub client: IpAddr,
    /// Its ports.
    pub ports: Ports,
    /// Access control; none: everything is allowed.
    pub acl: Option<Acl>,
    /// Gossip encryption, base64 of 32 bytes.
    pub gossip_key: Option<String>,
    /// TLS between agents and servers; the stand-in reads the keys and does without.
    pub tls: Option<Tls>,
    /// More configuration, laid over the rest key by key.
    pub extra: Value,
}

impl ServerOptions {
    /// A server without ACLs on loopback with the usual ports.
    pub fn new(bin: impl Into<PathBuf>, kind: Kind, dir: impl Into<PathBuf>) -> Self {
        let loopback = IpAddr::from([127, 0, 0, 1]);
        Self {
            bin: bin.into(),
            kind,
            dir: dir.into(),
            bind: loopback,
            client: loopback,
            ports: Ports::default(),
            acl: None,
            gossip_key: None,
            tls: None,
            extra: json!({}),
        }
    }

    /// The configuration file's content.
    #[must_use]
    pub fn config(&self) -> Value {
        let mut config = json!({
            "server": true, "bootstrap_expect": 1, "node_name": "server", "datacenter": "dc1",
            "data_dir": self.dir.join("data"), "bind_addr": self.bind, "client_addr": self.client,
            "ports": self.ports.json(self.kind), "connect": {"enabled": true},
            "disable_update_check": true, "log_level": "info",
        });
        if self.kind != Kind::Dev {
            config["performance"] = json!({"raft_multiplier": 1});
        }
        if let Some(key) = &self.gossip_key {
            config["encrypt"] = key.as_str().into();
        }
        if let Some(acl) = &self.acl {
            let management = if self.kind == Kind::Old { "master" } else { "initial_management" };
            config["acl"] = json!({
                "enabled": true, "default_policy": "deny",
                "tokens": {management: acl.management, "agent": acl.management},
            });
        }
        if let Some(tls) = &self.tls {
            overlay(&mut config, &tls.config(self.kind));
        }
        overlay(&mut config, &self.extra);
        config
    }

    /// Starts it; [`Consul::ready`] waits until it can be used.
    ///
    /// # Errors
    /// When a file or the process cannot be made.
    pub fn spawn(&self) -> Result<Consul, SpawnError> {
        let mut consul = spawn(&self.bin, self.kind, &self.dir, "server", &self.config())?;
        consul.http = (self.client, self.ports.http).into();
        consul.join = SocketAddr::new(self.bind, self.ports.serf);
        consul.acl.clone_from(&self.acl);
        Ok(consul)
    }
}

/// A client agent to start, as a four-container task has one; taskmesh starts its own.
#[derive(Debug, Clone)]
pub struct AgentOptions {
    /// The executable.
    pub bin: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// A folder of its own, which must exist.
    pub dir: PathBuf,
    /// The node's name.
    pub name: String,
    /// Its address for other nodes.
    pub bind: IpAddr,
    /// Its ports.
    pub ports: Ports,
    /// Servers to join: gossip addresses.
    pub join: Vec<SocketAddr>,
    /// More configuration, laid over the rest key by key.
    pub extra: Value,
}

impl AgentOptions {
    /// An agent on loopback that joins `server`.
    pub fn new(server: &Consul, name: &str, ports: Ports, dir: impl Into<PathBuf>) -> Self {
        Self {
            bin: server.bin.clone(),
            kind: server.kind,
            dir: dir.into(),
            name: name.into(),
            bind: IpAddr::from([127, 0, 0, 1]),
            ports,
            join: vec![server.join],
            extra: json!({}),
        }
    }

    /// The configuration file's content.
    #[must_use]
    pub fn config(&self) -> Value {
        let join: Vec<String> = self.join.iter().map(ToString::to_string).collect();
        let mut config = json!({
            "node_name": self.name, "datacenter": "dc1", "data_dir": self.dir.join("data"),
            "bind_addr": self.bind, "ports": self.ports.json(self.kind), "retry_join": join,
            "retry_interval": "200ms", "leave_on_terminate": true, "disable_update_check": true,
        });
        overlay(&mut config, &self.extra);
        config
    }

    /// Starts it; [`Consul::ready`] waits until it has joined.
    ///
    /// # Errors
    /// When a file or the process cannot be made.
    pub fn spawn(&self) -> Result<Consul, SpawnError> {
        let mut consul = spawn(&self.bin, self.kind, &self.dir, &self.name, &self.config())?;
        consul.http = SocketAddr::new(IpAddr::from([127, 0, 0, 1]), self.ports.http);
        consul.join = SocketAddr::new(self.bind, self.ports.serf);
        Ok(consul)
    }
}

fn overlay(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                overlay(base.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}
