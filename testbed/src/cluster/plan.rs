//! A task that is to be started, and the ports it gets.

use crate::ecs::TaskSpec;
use crate::net::Host;
use anyhow::Result;
use serde_json::{Value, json};
use std::net::{Ipv4Addr, TcpListener};

/// A task to be started. Make one with [`TaskPlan::new`] and change what matters.
pub struct TaskPlan {
    pub(super) name: String,
    pub(super) service: String,
    pub(super) protocol: &'static str,
    pub(super) upstreams: Vec<String>,
    pub(super) definition: Value,
    pub(super) config: Value,
    pub(super) example: Option<Value>,
    pub(super) vars: Vec<(String, String)>,
    pub(super) user: Option<u32>,
    pub(super) change: Box<dyn FnOnce(&mut TaskSpec) + Send>,
}

impl TaskPlan {
    /// A task of `service`, on a host called `name`, from an ECS task definition. In the definition stand `{{taskmesh}}`
    /// and `{{testbed}}` for the two programs, `{{config}}` for the configuration that fits the host, `{{app_port}}`,
    /// `{{upstream_port}}`, `{{name}}` and `{{dir}}`.
    pub fn new(name: &str, service: &str, definition: Value) -> Self {
        Self {
            name: name.to_owned(),
            service: service.to_owned(),
            protocol: "http",
            upstreams: Vec::new(),
            definition,
            config: json!({}),
            example: None,
            vars: Vec::new(),
            user: None,
            change: Box::new(|_| {}),
        }
    }

    /// `http` unless told otherwise.
    #[must_use]
    pub fn protocol(mut self, protocol: &'static str) -> Self {
        self.protocol = protocol;
        self
    }

    /// Adds an upstream, on `{{upstream_port}}`.
    #[must_use]
    pub fn upstream(mut self, service: &str) -> Self {
        self.upstreams.push(service.to_owned());
        self
    }

    /// Takes this configuration as it is, save for what must differ here: programs, folders, servers, and ports where
    /// tasks share a loopback. [`TaskPlan::config`] still goes over it.
    #[must_use]
    pub fn example(mut self, config: Value) -> Self {
        self.example = Some(config);
        self
    }

    /// Merges into the configuration; `null` removes a key.
    #[must_use]
    pub fn config(mut self, patch: Value) -> Self {
        merge(&mut self.config, patch);
        self
    }

    /// What `{{name}}` stands for in the definition.
    #[must_use]
    pub fn var(mut self, name: &str, value: impl Into<String>) -> Self {
        self.vars.push((name.to_owned(), value.into()));
        self
    }

    /// Every container runs as this user, with no capability and a read-only root file system; only the task's folder
    /// can be written to. Needs a host with namespaces of its own.
    #[must_use]
    pub fn confined(mut self, user: u32) -> Self {
        self.user = Some(user);
        self
    }

    /// Changes the simulated platform.
    #[must_use]
    pub fn platform(mut self, change: impl FnOnce(&mut TaskSpec) + Send + 'static) -> Self {
        self.change = Box::new(change);
        self
    }
}

/// The ports of one task. In a namespace of its own every task has the same.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct Ports {
    pub app: u16,
    pub public: u16,
    pub upstream: u16,
    pub http: u16,
    pub grpc: u16,
    pub envoy_admin: u16,
    pub admin: u16,
}

impl Ports {
    /// The configuration of a task on these ports of a host, save for those of the app.
    pub(super) fn config(&self, host: &Host) -> Value {
        json!({
            "proxy": { "publicListenerPort": self.public },
            "consul": { "bindAddress": host.ip(), "httpPort": self.http, "grpcPort": self.grpc },
            "envoy": { "adminPort": self.envoy_admin },
            "admin": { "listen": format!("127.0.0.1:{}", self.admin) },
        })
    }

    pub(super) fn on(host: &Host) -> Result<Self> {
        if host.isolated() {
            return Ok(Self {
                app: 9090,
                public: 20000,
                upstream: 9191,
                http: 8500,
                grpc: 8502,
                envoy_admin: 19000,
                admin: 19100,
            });
        }
        // All at once, so that no two are the same; whoever takes one in between makes the test fail loudly.
        let held: Vec<_> = (0..7)
            .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .collect::<Result<_, _>>()?;
        let port = |i: usize| held[i].local_addr().map(|addr| addr.port());
        Ok(Self {
            app: port(0)?,
            public: port(1)?,
            upstream: port(2)?,
            http: port(3)?,
            grpc: port(4)?,
            envoy_admin: port(5)?,
            admin: port(6)?,
        })
    }
}

/// JSON merge patch (RFC 7396).
pub fn merge(target: &mut Value, patch: Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    target.remove(&key);
                } else {
                    merge(target.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (target, patch) => *target = patch,
    }
}
