//! The catalog: what the server knows, and the copy of it that every agent holds.
//!
//! The server owns it; agents receive whole snapshots (a development mesh is small) and answer
//! reads from their copy, so that one set of handlers serves both.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::acl::Acl;
use super::ca::Root;
use super::change::Change;
use super::model::Service;

/// A check as the catalog holds it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Check {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) status: String,
    pub(crate) notes: String,
    pub(crate) output: String,
    pub(crate) service_id: String,
    pub(crate) service_name: String,
    pub(crate) service_tags: Vec<String>,
    pub(crate) kind: String,
    pub(crate) interval: String,
    pub(crate) timeout: String,
    #[serde(default)]
    pub(crate) create: u64,
    #[serde(default)]
    pub(crate) modify: u64,
}

impl Check {
    /// The check as every Consul API shows it.
    pub(crate) fn json(&self, node: &str) -> Value {
        json!({
            "Node": node, "CheckID": self.id, "Name": self.name, "Status": self.status,
            "Notes": self.notes, "Output": self.output, "ServiceID": self.service_id,
            "ServiceName": self.service_name, "ServiceTags": self.service_tags,
            "Type": self.kind, "Interval": self.interval, "Timeout": self.timeout,
            "ExposedPort": 0, "Definition": {}, "CreateIndex": self.create,
            "ModifyIndex": self.modify,
        })
    }

    /// Equal but for the indexes.
    pub(crate) fn same(&self, other: &Self) -> bool {
        let plain = |c: &Self| Self { create: 0, modify: 0, ..c.clone() };
        plain(self) == plain(other)
    }
}

/// A service in the catalog, with its indexes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Instance {
    pub(crate) service: Service,
    pub(crate) create: u64,
    pub(crate) modify: u64,
}

/// A node and all that is on it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) services: BTreeMap<String, Instance>,
    pub(crate) checks: BTreeMap<String, Check>,
    pub(crate) create: u64,
    pub(crate) modify: u64,
}

/// The gossip pool's view of a node.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) address: String,
    pub(crate) port: u16,
    pub(crate) server: bool,
    /// Serf's number: 1 alive, 3 left, 4 failed.
    pub(crate) status: u8,
}

/// One config entry.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) value: Value,
    pub(crate) create: u64,
    pub(crate) modify: u64,
}

/// One intention between services.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Intention {
    pub(crate) source: String,
    pub(crate) destination: String,
    pub(crate) allow: bool,
    pub(crate) create: u64,
    pub(crate) modify: u64,
}

impl Intention {
    /// Consul's precedence of exact and wildcard names.
    pub(crate) fn precedence(&self) -> u8 {
        match (self.destination.as_str(), self.source.as_str()) {
            ("*", "*") => 5,
            ("*", _) => 6,
            (_, "*") => 8,
            _ => 9,
        }
    }
}

/// Everything, at one index.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    pub(crate) index: u64,
    pub(crate) datacenter: String,
    /// Last index at which a topic changed, see [`topic`].
    pub(crate) touched: BTreeMap<String, u64>,
    pub(crate) nodes: BTreeMap<String, Node>,
    pub(crate) members: BTreeMap<String, Member>,
    /// By `kind/name`.
    pub(crate) entries: BTreeMap<String, Entry>,
    pub(crate) intentions: Vec<Intention>,
    pub(crate) acl: Acl,
    pub(crate) root: Root,
}

/// Names of the topics that blocking queries wait for.
pub(crate) mod topic {
    /// Node list.
    pub(crate) const NODES: &str = "nodes";
    /// Service list.
    pub(crate) const SERVICES: &str = "services";
    /// Config entries.
    pub(crate) const ENTRIES: &str = "entries";
    /// Intentions.
    pub(crate) const INTENTIONS: &str = "intentions";
    /// Instances of a service, or proxies for it.
    pub(crate) fn service(name: &str) -> String {
        format!("service/{name}")
    }
    /// Checks of a node.
    pub(crate) fn node(name: &str) -> String {
        format!("node/{name}")
    }
}

impl Snapshot {
    /// The index of a set of topics, never 0.
    pub(crate) fn index_of(&self, topics: &[&str]) -> u64 {
        topics.iter().filter_map(|t| self.touched.get(*t)).copied().max().unwrap_or(1).max(1)
    }

    /// The protocol a service speaks, from `service-defaults`, then `proxy-defaults`.
    pub(crate) fn protocol(&self, service: &str) -> Option<&str> {
        let text = |key: &str| self.entries.get(key).map(|e| &e.value);
        text(&format!("service-defaults/{service}"))
            .and_then(|v| v["Protocol"].as_str())
            .filter(|p| !p.is_empty())
            .or_else(|| {
                text("proxy-defaults/global")
                    .and_then(|v| v["Config"]["protocol"].as_str())
                    .filter(|p| !p.is_empty())
            })
    }

    /// Instances for the mesh (`connect`) or under the plain name, with node and checks.
    pub(crate) fn instances(&self, name: &str, connect: bool) -> Vec<(&Node, &Instance)> {
        let wanted = |service: &Service| {
            if connect {
                service.kind == "connect-proxy" && service.mesh_name() == name
            } else {
                service.service == name
            }
        };
        let all = self.nodes.values().flat_map(|n| n.services.values().map(move |i| (n, i)));
        all.filter(|(_, i)| wanted(&i.service)).collect()
    }
}

impl Node {
    /// The checks that count for a service: its own and the node's.
    pub(crate) fn checks_of(&self, service_id: &str) -> impl Iterator<Item = &Check> {
        self.checks.values().filter(move |c| c.service_id.is_empty() || c.service_id == service_id)
    }
}

/// The check that gossip keeps for each node.
pub(crate) const SERF_HEALTH: &str = "serfHealth";

/// The shared catalog.
pub(crate) struct Catalog {
    state: Mutex<Snapshot>,
    index: watch::Sender<u64>,
}

impl Catalog {
    /// A catalog that starts from `state`.
    pub(crate) fn new(state: Snapshot) -> Self {
        let index = watch::Sender::new(state.index);
        Self { state: Mutex::new(state), index }
    }

    fn lock(&self) -> MutexGuard<'_, Snapshot> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the current state.
    pub(crate) fn read<R>(&self, look: impl FnOnce(&Snapshot) -> R) -> R {
        look(&self.lock())
    }

    /// Wakes at every change.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.index.subscribe()
    }

    /// Changes the state under a new index, if anything is touched.
    pub(crate) fn change<R>(&self, alter: impl FnOnce(&mut Change<'_>) -> R) -> R {
        let mut state = self.lock();
        let index = state.index + 1;
        let mut change = Change::new(&mut state, index);
        let result = alter(&mut change);
        if change.is_touched() {
            state.index = index;
            drop(state);
            self.index.send_replace(index);
        }
        result
    }

    /// Takes over the server's snapshot.
    pub(crate) fn replace(&self, snapshot: Snapshot) {
        let index = snapshot.index;
        *self.lock() = snapshot;
        self.index.send_replace(index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(id: &str, name: &str) -> Service {
        Service { id: id.into(), service: name.into(), ..Service::default() }
    }

    #[test]
    fn only_real_changes_move_the_index_of_their_topic() {
        let catalog = Catalog::new(Snapshot::default());
        let put = |id: &str, name: &str| {
            catalog.change(|c| {
                c.put_node("n", "id", "127.0.0.1");
                c.put_service("n", service(id, name));
            });
        };
        put("a", "api");
        let first = catalog.read(|s| s.index_of(&[&topic::service("api")]));
        put("a", "api");
        put("w", "web");
        assert_eq!(catalog.read(|s| s.index_of(&[&topic::service("api")])), first);
        catalog.change(|c| c.put_serf_health("n", false));
        assert!(catalog.read(|s| s.index_of(&[&topic::service("api")])) > first);
        let before = catalog.read(|s| s.index);
        catalog.change(|c| c.remove_node("n"));
        assert_eq!(catalog.read(|s| s.index_of(&[&topic::service("web")])), before + 1);
        assert!(catalog.read(|s| s.instances("api", false).is_empty()));
    }
}
