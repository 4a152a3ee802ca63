//! A task that runs: its supervisor, its timeline, its end.

use super::MANAGEMENT;
use super::http::{client, get, get_until};
use super::plan::Ports;
use crate::ecs::{EcsTask, TaskResult};
use crate::net::Proc;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;
use taskmesh::timeline::{Event, Record, Timeline};
use tokio::time::Instant;

/// A running task of the mesh.
pub struct MeshTask {
    /// The simulated ECS task.
    pub ecs: EcsTask,
    /// Its ports.
    pub ports: Ports,
    pub(super) name: String,
    pub(super) timeline_file: PathBuf,
}

impl MeshTask {
    /// The host's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its folder: the agent's data in `consul`, what is the supervisor's alone in `private`, `timeline.json`.
    pub fn dir(&self) -> &Path {
        self.timeline_file.parent().unwrap_or(&self.timeline_file)
    }

    /// Asks the supervisor's admin API.
    ///
    /// # Errors
    /// If it does not answer with JSON.
    pub async fn admin(&self, path: &str) -> Result<Value> {
        get(self.ecs.host(), format!("http://127.0.0.1:{}{path}", self.ports.admin)).await
    }

    /// PUTs to the task's own agent, as somebody who may do everything could.
    ///
    /// # Errors
    /// If it does not answer with 200.
    pub async fn agent_put(&self, path: &str) -> Result<()> {
        let url = format!("http://127.0.0.1:{}{path}", self.ports.http);
        let put = move || async move {
            let put = client().put(url).header("X-Consul-Token", MANAGEMENT);
            put.send().await?.error_for_status()
        };
        self.ecs.host().spawn(put).await??;
        Ok(())
    }

    /// The same with a JSON body.
    ///
    /// # Errors
    /// If it does not answer with 200.
    pub async fn agent_put_json(&self, path: &str, body: Value) -> Result<()> {
        let url = format!("http://127.0.0.1:{}{path}", self.ports.http);
        let put = move || async move {
            let put = client().put(url).header("X-Consul-Token", MANAGEMENT).json(&body);
            put.send().await?.error_for_status()
        };
        self.ecs.host().spawn(put).await??;
        Ok(())
    }

    /// Asks the task's own agent, as somebody who may do everything could.
    ///
    /// # Errors
    /// If it does not answer with JSON.
    pub async fn agent_get(&self, path: &str) -> Result<Value> {
        get(self.ecs.host(), format!("http://127.0.0.1:{}{path}", self.ports.http)).await
    }

    /// The process of a child of the supervisor, `consul` or `envoy`, if there is one now.
    pub fn child(&self, name: &str) -> Option<Proc> {
        let supervisor = self.ecs.container("taskmesh")?;
        supervisor.processes().into_iter().find(|process| process.comm.contains(name))
    }

    /// POSTs to the supervisor's admin API.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn admin_post(&self, path: &str) -> Result<u16> {
        let url = format!("http://127.0.0.1:{}{path}", self.ports.admin);
        let answer =
            self.ecs.host().spawn(move || async move { client().post(url).send().await }).await??;
        Ok(answer.status().as_u16())
    }

    /// The timeline: live while the supervisor runs, else what it left.
    ///
    /// # Errors
    /// If there is none yet.
    pub async fn timeline(&self) -> Result<Timeline> {
        if let Ok(text) = std::fs::read(&self.timeline_file)
            && let Ok(timeline) = serde_json::from_slice(&text)
        {
            return Ok(timeline);
        }
        Ok(serde_json::from_value(self.admin("/v1/timeline").await?)?)
    }

    /// Waits until an event is on the timeline.
    ///
    /// # Errors
    /// If it is not there within `limit`; with the timeline and the last lines of the supervisor.
    pub async fn wait_event(&self, event: Event, limit: Duration) -> Result<Record> {
        let began = Instant::now();
        loop {
            let timeline = self.timeline().await;
            if let Ok(timeline) = &timeline
                && let Some(record) = timeline.find(event)
            {
                return Ok(record.clone());
            }
            if began.elapsed() > limit {
                bail!(
                    "{}: no {} within {limit:?}\n{timeline:#?}\n{}",
                    self.name,
                    event.name(),
                    self.last_lines(40)
                );
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the task has stopped; gives ECS's view and the timeline that the supervisor left.
    ///
    /// # Errors
    /// If it has not stopped within `limit`, or left no timeline.
    pub async fn wait_stopped(&self, limit: Duration) -> Result<(TaskResult, Timeline)> {
        let Ok(result) = tokio::time::timeout(limit, self.ecs.wait_stopped()).await else {
            bail!("{}: not stopped within {limit:?}\n{}", self.name, self.last_lines(40));
        };
        let text = std::fs::read(&self.timeline_file)
            .with_context(|| format!("{}: no timeline\n{}", self.name, self.last_lines(40)))?;
        Ok((result, serde_json::from_slice(&text)?))
    }

    /// Waits until the task's Envoy routes to exactly this many instances of an upstream. What the servers offer reaches
    /// it 0.2 s later.
    ///
    /// # Errors
    /// If Envoy's admin interface does not answer.
    pub async fn until_routes(&self, upstream: &str, instances: usize) -> Result<()> {
        let url = format!("http://127.0.0.1:{}/clusters?format=json", self.ports.envoy_admin);
        let prefix = format!("{upstream}.");
        loop {
            let clusters = get_until(self.ecs.host(), &url, ENVOY_LIMIT).await?;
            if healthy_endpoints(&clusters, &prefix) == instances {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The supervisor's last lines, for a failed test.
    pub fn last_lines(&self, count: usize) -> String {
        let lines = self.ecs.output("taskmesh");
        let from = lines.len().saturating_sub(count);
        lines[from..].iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n")
    }
}

/// An Envoy that does not answer within this time is not up.
const ENVOY_LIMIT: Duration = Duration::from_secs(60);

/// Healthy endpoints of the clusters whose name begins so, in what Envoy's `/clusters?format=json` answers. Consul puts
/// a hash and a tilde before the name where the upstream has settings of its own.
fn healthy_endpoints(clusters: &Value, prefix: &str) -> usize {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let begins =
        |name: &str| name.split_once('~').map_or(name, |(_, rest)| rest).starts_with(prefix);
    list(&clusters["cluster_statuses"])
        .iter()
        .filter(|cluster| cluster["name"].as_str().is_some_and(begins))
        .flat_map(|cluster| list(&cluster["host_statuses"]))
        .filter(|host| host["health_status"]["eds_health_status"] == "HEALTHY")
        .count()
}
