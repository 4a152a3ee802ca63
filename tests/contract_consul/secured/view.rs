//! What the scenario looks at: the task's agent, and the servers' catalog.

use super::{SERVICE, until};
use serde_json::Value;
use std::cell::RefCell;
use taskmesh::consul::node_id;
use taskmesh::timeline::Event;
use testbed::cluster::{Cluster, MeshTask};

/// The statuses of a task's own checks in an answer that lists checks.
pub(super) fn statuses(task: &MeshTask, checks: &Value) -> Vec<(String, String)> {
    let all: Vec<&Value> = match checks {
        Value::Array(list) => list.iter().collect(),
        Value::Object(map) => map.values().collect(),
        _ => Vec::new(),
    };
    let text = |check: &Value, key: &str| check[key].as_str().unwrap_or_default().to_owned();
    let mut found: Vec<_> = all
        .into_iter()
        .filter(|check| text(check, "ServiceID").contains(task.ecs.id()))
        .map(|check| (text(check, "CheckID"), text(check, "Status")))
        .collect();
    found.sort();
    found
}

/// Every check of the task is there, and passes.
fn all_pass(task: &MeshTask, checks: &Value) -> Option<()> {
    let found = statuses(task, checks);
    (found.len() == 3 && found.iter().all(|(_, status)| status == "passing")).then_some(())
}

/// What a scenario looks at.
pub(super) struct View<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) task: &'a MeshTask,
    /// The node's name.
    pub(super) node: String,
}

impl View<'_> {
    pub(super) async fn server(&self, path: &str) -> Value {
        self.cluster.server_get(path).await.expect("server")
    }

    /// The agent may just be away.
    pub(super) async fn agent(&self, path: &str) -> Value {
        self.task.agent_get(path).await.unwrap_or_default()
    }

    pub(super) async fn checks_at_server(&self) -> Value {
        self.server(&format!("/v1/health/node/{}", self.node)).await
    }

    /// Waits until the servers show the app's check with a status.
    pub(super) async fn until_app_is(&self, status: &str) {
        let id = format!("{SERVICE}-{}-app-consul-ecs", self.task.ecs.id());
        let wanted = |checks: &Value| {
            let found = statuses(self.task, checks);
            found.iter().any(|(check, now)| *check == id && now == status).then_some(())
        };
        until(status, self.task, async || self.checks_at_server().await, wanted).await;
    }

    /// Waits until the agent has all checks again and all pass, and the servers show the same; gives what was missing
    /// to the last.
    pub(super) async fn until_all_pass(&self) -> String {
        let task = self.task;
        let missing = RefCell::new(Vec::new());
        let pass = |checks: &Value| {
            let passed = all_pass(task, checks);
            if passed.is_none() {
                missing.replace(statuses(task, checks));
            }
            passed
        };
        until("passing", task, async || self.agent("/v1/agent/checks").await, pass).await;
        until("passing", task, async || self.checks_at_server().await, pass).await;
        let missing = missing.into_inner();
        let not_passing = missing.iter().filter(|(_, status)| status != "passing");
        let names = not_passing.map(|(id, _)| id.rsplit_once(task.ecs.id()).map_or("", |(_, r)| r));
        names.collect::<Vec<_>>().join(", ")
    }

    /// The nodes of the catalog that are this task's: name and ID.
    pub(super) async fn nodes(&self) -> Vec<(String, String)> {
        let all = self.server("/v1/catalog/nodes").await;
        let text = |node: &Value, key: &str| node[key].as_str().unwrap_or_default().to_owned();
        let ip = self.task.ecs.host().ip().to_string();
        let all = all.as_array().expect("nodes").iter();
        let ours = all.filter(|node| node["Node"] == self.node || node["Address"] == ip.as_str());
        ours.map(|node| (text(node, "Node"), text(node, "ID"))).collect()
    }

    /// Where a kind of event stands on the timeline.
    pub(super) async fn places(&self, event: Event) -> Vec<usize> {
        let timeline = self.task.timeline().await.expect("timeline");
        let all = timeline.events.iter().enumerate();
        all.filter(|(_, record)| record.event == event).map(|(place, _)| place).collect()
    }

    /// Waits for one more repair than there were.
    pub(super) async fn until_repaired(&self, before: usize) {
        let repairs = async || self.places(Event::RegistrationRepaired).await;
        let more = |repairs: &Vec<usize>| (repairs.len() > before).then_some(());
        until("repaired", self.task, repairs, more).await;
    }

    pub(super) fn own_node(&self) -> Vec<(String, String)> {
        vec![(self.node.clone(), node_id(self.task.ecs.id()))]
    }

    /// Kills the agent, does something, and waits until another one runs.
    pub(super) async fn lose_agent(&self, meanwhile: impl FnOnce()) {
        let pid = self.task.child("consul").expect("agent").pid;
        let of_pid = nix::unistd::Pid::from_raw(pid);
        nix::sys::signal::kill(of_pid, nix::sys::signal::Signal::SIGKILL).expect("kill");
        let now = async || self.task.child("consul").map(|process| process.pid);
        until("gone", self.task, now, |now| (*now != Some(pid)).then_some(())).await;
        meanwhile();
        until("back", self.task, now, |now| now.filter(|now| *now != pid)).await;
    }
}
