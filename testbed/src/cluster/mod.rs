//! A small mesh: a Consul server on the hub, and simulated ECS tasks that taskmesh puts on it.
//!
//! The tests and the demo run on the same parts: real Envoys, and as Consul either the development mesh
//! ([`crate::mesh`]) or a real one (`CONSUL_BIN`).

mod backend;
mod http;
mod plan;
mod records;
mod server;
mod start;
mod task;

pub use backend::{Backend, beside_us};
pub use http::{client, get_until};
pub use plan::{Ports, TaskPlan, merge};
pub use records::{complaint, record_of};
pub use server::start_server;
pub use start::{ClusterPlan, Security, Tokens};
pub use task::MeshTask;

use self::backend::Programs;
use self::http::get;
use crate::ecs::{EcsTask, TaskSpec};
use crate::mesh::{Kind, ServerOptions};
use crate::net::{Host, Lan, Process};
use crate::scratch::Scratch;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The management token of the test's servers; sent with every call to them, which means nothing without ACLs.
const MANAGEMENT: &str = "00000000-0000-4000-8000-000000000001";

/// The mesh.
pub struct Cluster {
    // Fields are dropped in this order: processes before the folder they write to.
    server: Process,
    server_options: ServerOptions,
    lan: Lan,
    backend: Backend,
    kind: Kind,
    programs: Programs,
    security: Security,
    dir: Scratch,
}

impl Cluster {
    /// Starts the server and waits until it leads.
    ///
    /// # Errors
    /// What is missing or did not start.
    pub async fn start(backend: Backend) -> Result<Self> {
        ClusterPlan::new(backend).start().await
    }

    /// The same with further keys for the server's config.
    ///
    /// # Errors
    /// What is missing or did not start.
    pub async fn start_with(backend: Backend, server: Value) -> Result<Self> {
        ClusterPlan::new(backend).server(server).start().await
    }

    /// The same where nothing is allowed without a token, see [`ClusterPlan::acl`].
    ///
    /// # Errors
    /// What is missing or did not start.
    pub async fn start_with_acls(backend: Backend, service: &str) -> Result<(Self, Tokens)> {
        let cluster = ClusterPlan::new(backend).acl(service).start().await?;
        let tokens = cluster.security.tokens.clone().context("the tokens were just made")?;
        Ok((cluster, tokens))
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
        &self.programs.consul
    }

    /// What an agent needs here.
    pub fn security(&self) -> &Security {
        &self.security
    }

    /// Which kind of Consul it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The server's process.
    pub fn server(&self) -> &Process {
        &self.server
    }

    /// Kills the server: from then on its ports refuse.
    pub async fn kill_server(&self) {
        self.server.kill();
        self.server.wait().await;
    }

    /// Starts the server that was killed again, on the same ports and with what it had kept, and waits until it leads.
    ///
    /// # Errors
    /// What did not start.
    pub async fn restart_server(&mut self) -> Result<()> {
        self.server = start_server(self.lan.hub(), &self.server_options).await?;
        Ok(())
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

    /// DELETEs at the server's HTTP API.
    ///
    /// # Errors
    /// If it does not answer with 200.
    pub async fn server_delete(&self, path: &str) -> Result<()> {
        let url = format!("http://{}:8500{path}", self.lan.hub().ip());
        let delete = move || async move {
            client().delete(url).header("X-Consul-Token", MANAGEMENT).send().await
        };
        self.lan.hub().spawn(delete).await??.error_for_status()?;
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
            .var("taskmesh", path(&self.programs.taskmesh))
            .var("testbed", path(&self.programs.testbed))
            .var("name", &plan.name)
            .var("dir", path(&dir))
            .var("config", config.to_string())
            .var("app_port", ports.app.to_string())
            .var("upstream_port", ports.upstream.to_string())
            .env("TASKMESH_ADMIN", format!("127.0.0.1:{}", ports.admin));
        if let Some(user) = plan.user {
            confine(&mut spec, user, self.dir.path(), &dir)?;
        }
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
        let mut config = match &plan.example {
            Some(example) => example.clone(),
            None => json!({
                "service": { "name": plan.service, "port": ports.app },
                "proxy": {
                    "config": { "protocol": plan.protocol },
                    "upstreams": plan.upstreams.iter().map(|name| json!({
                        "destinationName": name,
                        "localBindPort": ports.upstream,
                        "config": { "protocol": plan.protocol },
                    })).collect::<Vec<_>>(),
                },
            }),
        };
        merge(&mut config, self.site(dir));
        // In a namespace of its own an example runs on the ports that it names.
        if plan.example.is_none() || !host.isolated() {
            merge(&mut config, ports.config(host));
        }
        if matches!(self.backend, Backend::V187(_)) {
            let args = ["--stub-listener".to_owned(), ports.public.to_string()];
            merge(&mut config, json!({ "envoy": { "extraArgs": args } }));
        }
        merge(&mut config, plan.config.clone());
        config
    }

    /// What no task can do without here.
    fn site(&self, dir: &Path) -> Value {
        json!({
            "consul": {
                "binary": self.programs.consul,
                "dataDir": dir.join("consul"),
                "retryJoin": [self.lan.hub().ip()],
            },
            "envoy": { "binary": self.programs.envoy, "configDir": dir.join("private") },
            "lifecycle": { "timelineFile": dir.join("timeline.json") },
        })
    }
}

/// See [`TaskPlan::confined`].
fn confine(spec: &mut TaskSpec, user: u32, all: &Path, own: &Path) -> Result<()> {
    // Others may go through it, not look into it.
    std::fs::set_permissions(all, Permissions::from_mode(0o711))?;
    std::os::unix::fs::chown(own, Some(user), Some(user))?;
    for container in &mut spec.definition.container_definitions {
        container.user = Some(user.to_string());
        container.readonly_root_filesystem = true;
    }
    spec.writable.push(own.to_owned());
    Ok(())
}

fn path(path: &Path) -> String {
    path.display().to_string()
}
