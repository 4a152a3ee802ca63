//! A small mesh: a Consul server on the hub, and simulated ECS tasks that taskmesh puts on it.
//!
//! The tests and the demo run on the same parts: real Envoys, and as Consul either the development mesh
//! ([`crate::mesh`]) or a real one (`CONSUL_BIN`).

mod backend;
mod http;
mod plan;
mod task;

pub use backend::{Backend, beside_us};
pub use http::get_until;
pub use plan::{Ports, TaskPlan, merge};
pub use task::MeshTask;

use self::http::{client, get};
use crate::ecs::{EcsTask, TaskSpec};
use crate::net::{Host, Lan, Process, ProcessSpec};
use crate::parts;
use crate::scratch::Scratch;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// The tokens of [`Cluster::start_with_acls`].
#[derive(Debug, Clone)]
pub struct Tokens {
    /// Every agent's: writes nodes, reads services.
    pub agent: String,
    /// The service's: writes it and its proxy, reads services and nodes.
    pub service: String,
}

/// The management token of the test's servers; sent with every call to them, which means nothing without ACLs.
const MANAGEMENT: &str = "00000000-0000-4000-8000-000000000001";

/// The mesh.
pub struct Cluster {
    // Fields are dropped in this order: processes before the folder they write to.
    server: Process,
    lan: Lan,
    backend: Backend,
    consul: PathBuf,
    envoy: PathBuf,
    taskmesh: PathBuf,
    testbed: PathBuf,
    dir: Scratch,
}

/// How long the server may take until it leads itself: a real one takes 2 to 8 s.
const SERVER_LIMIT: Duration = Duration::from_secs(30);

impl Cluster {
    /// Starts the server and waits until it leads.
    ///
    /// # Errors
    /// What is missing or did not start.
    pub async fn start(backend: Backend) -> Result<Self> {
        Self::start_with(backend, json!({})).await
    }

    /// The same where nothing is allowed without a token: makes the policies and the two tokens that the ACL controller
    /// of consul-ecs 0.4.3 makes for a service.
    ///
    /// # Errors
    /// What is missing or did not start.
    pub async fn start_with_acls(backend: Backend, service: &str) -> Result<(Self, Tokens)> {
        let tokens = json!({ "initial_management": MANAGEMENT, "agent": MANAGEMENT });
        let acl = json!({ "enabled": true, "default_policy": "deny", "tokens": tokens });
        let cluster = Self::start_with(backend, json!({ "acl": acl })).await?;
        let client = r#"node_prefix "" { policy = "write" } service_prefix "" { policy = "read" }"#
            .to_owned();
        let own = format!(
            r#"service "{service}" {{ policy = "write" }} service "{service}-sidecar-proxy" {{ policy = "write" }}
               service_prefix "" {{ policy = "read" }} node_prefix "" {{ policy = "read" }}"#
        );
        let made = Tokens {
            agent: "00000000-0000-4000-8000-00000000000a".to_owned(),
            service: "00000000-0000-4000-8000-00000000000b".to_owned(),
        };
        for (policy, rules, token) in
            [("client", client, &made.agent), ("service", own, &made.service)]
        {
            let rules = json!({ "Name": policy, "Rules": rules });
            cluster.put_until_taken("/v1/acl/policy", rules).await?;
            let token = json!({ "SecretID": token, "Policies": [{ "Name": policy }] });
            cluster.put_until_taken("/v1/acl/token", token).await?;
        }
        Ok((cluster, made))
    }

    /// A new leader takes a moment until it has its management token.
    async fn put_until_taken(&self, path: &str, body: Value) -> Result<()> {
        let began = Instant::now();
        loop {
            match self.server_put(path, body.clone()).await {
                Err(e) if began.elapsed() > SERVER_LIMIT => return Err(e),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                Ok(()) => return Ok(()),
            }
        }
    }

    /// The same with further keys for the server's config.
    ///
    /// # Errors
    /// What is missing or did not start.
    pub async fn start_with(backend: Backend, server: Value) -> Result<Self> {
        let consul = backend.binary()?;
        let envoy = parts::envoy()?;
        let lan = Lan::new()?;
        let dir = Scratch::new()?;
        let ip = lan.hub().ip();
        let mut config = json!({
            "server": true,
            "bootstrap_expect": 1,
            "node_name": "server",
            "datacenter": "dc1",
            "data_dir": dir.path().join("server"),
            "bind_addr": ip,
            "client_addr": ip,
            "connect": { "enabled": true },
            "ports": { "grpc": 8502, "dns": -1 },
            "performance": { "raft_multiplier": 1 },
            "disable_update_check": true,
            "log_level": "warn",
        });
        merge(&mut config, server);
        let file = dir.path().join("server.json");
        std::fs::write(&file, config.to_string())?;
        let args = ["agent".to_owned(), format!("-config-file={}", file.display())];
        let server = lan
            .hub()
            .spawn_process(ProcessSpec::new(&consul, args))
            .await
            .with_context(|| format!("starting {}", consul.display()))?;
        let cluster = Self {
            server,
            lan,
            backend,
            consul,
            envoy,
            taskmesh: beside_us("taskmesh")?,
            testbed: beside_us("testbed")?,
            dir,
        };
        cluster.wait_for_leader().await?;
        Ok(cluster)
    }

    async fn wait_for_leader(&self) -> Result<()> {
        let began = Instant::now();
        while began.elapsed() < SERVER_LIMIT {
            let leader = self.server_get("/v1/status/leader").await.unwrap_or_default();
            if leader.as_str().is_some_and(|leader| !leader.is_empty()) {
                return Ok(());
            }
            if let Some(exit) = self.server.exit() {
                let said: Vec<_> =
                    self.server.output().snapshot().into_iter().map(|l| l.text).collect();
                bail!("the Consul server exited ({exit:?}): {}", said.join("\n"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("the Consul server has no leader after {SERVER_LIMIT:?}")
    }

    /// The network.
    pub fn lan(&self) -> &Lan {
        &self.lan
    }

    /// Which Consul.
    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    /// The `consul` executable that the agents run.
    pub fn consul(&self) -> &Path {
        &self.consul
    }

    /// The server's process.
    pub fn server(&self) -> &Process {
        &self.server
    }

    /// Asks the server's HTTP API.
    ///
    /// # Errors
    /// If it does not answer with JSON.
    pub async fn server_get(&self, path: &str) -> Result<Value> {
        get(self.lan.hub(), format!("http://{}:8500{path}", self.lan.hub().ip())).await
    }

    /// PUTs to the server's HTTP API.
    ///
    /// # Errors
    /// If it does not answer with 200.
    pub async fn server_put(&self, path: &str, body: Value) -> Result<()> {
        let url = format!("http://{}:8500{path}", self.lan.hub().ip());
        let answer = self
            .lan
            .hub()
            .spawn(move || async move {
                client().put(url).header("X-Consul-Token", MANAGEMENT).json(&body).send().await
            })
            .await??;
        let status = answer.status();
        if !status.is_success() {
            bail!("PUT {path}: {status}: {}", answer.text().await.unwrap_or_default());
        }
        Ok(())
    }

    /// What the servers show of a service's proxies: the proxy's ID and whether any check is critical.
    ///
    /// # Errors
    /// If the server does not answer.
    pub async fn offered(&self, service: &str) -> Result<Vec<(String, bool)>> {
        let answer = self.server_get(&format!("/v1/health/connect/{service}")).await?;
        let entries = answer.as_array().cloned().unwrap_or_default();
        Ok(entries
            .iter()
            .map(|entry| {
                let id = entry["Service"]["ID"].as_str().unwrap_or_default().to_owned();
                let checks = entry["Checks"].as_array().cloned().unwrap_or_default();
                (id, checks.iter().any(|check| check["Status"] == "critical"))
            })
            .collect())
    }

    /// Starts a task on a host of its own.
    ///
    /// # Errors
    /// If the host or the task cannot be made.
    pub async fn task(&self, plan: TaskPlan) -> Result<MeshTask> {
        let host = self.lan.host(&plan.name)?;
        let dir = self.dir.path().join(&plan.name);
        std::fs::create_dir_all(&dir)?;
        let ports = Ports::on(&host)?;
        let config = self.config(&plan, &host, &dir, &ports);
        let mut spec = TaskSpec::new(plan.definition)?
            .var("taskmesh", path(&self.taskmesh))
            .var("testbed", path(&self.testbed))
            .var("name", &plan.name)
            .var("dir", path(&dir))
            .var("config", config.to_string())
            .var("app_port", ports.app.to_string())
            .var("upstream_port", ports.upstream.to_string())
            .env("TASKMESH_ADMIN", format!("127.0.0.1:{}", ports.admin));
        for (name, value) in plan.vars {
            spec = spec.var(&name, value);
        }
        spec.service = Some(plan.service);
        (plan.change)(&mut spec);
        let ecs = EcsTask::start(&host, spec).await?;
        let timeline_file = dir.join("timeline.json");
        Ok(MeshTask { ecs, ports, timeline_file, name: plan.name })
    }

    fn config(&self, plan: &TaskPlan, host: &Host, dir: &Path, ports: &Ports) -> Value {
        let mut config = json!({
            "service": { "name": plan.service, "port": ports.app },
            "proxy": {
                "publicListenerPort": ports.public,
                "config": { "protocol": plan.protocol },
                "upstreams": plan.upstreams.iter().map(|name| json!({
                    "destinationName": name,
                    "localBindPort": ports.upstream,
                    "config": { "protocol": plan.protocol },
                })).collect::<Vec<_>>(),
            },
            "consul": {
                "binary": self.consul,
                "dataDir": dir.join("consul"),
                "retryJoin": [self.lan.hub().ip()],
                "bindAddress": host.ip(),
                "httpPort": ports.http,
                "grpcPort": ports.grpc,
            },
            "envoy": {
                "binary": self.envoy,
                "adminPort": ports.envoy_admin,
                "configDir": dir.join("private"),
            },
            "lifecycle": { "timelineFile": dir.join("timeline.json") },
            "admin": { "listen": format!("127.0.0.1:{}", ports.admin) },
        });
        merge(&mut config, plan.config.clone());
        config
    }
}

fn path(path: &Path) -> String {
    path.display().to_string()
}
