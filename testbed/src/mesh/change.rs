//! Changes of the catalog: each names the topics that it touches, and only real ones move indexes.

use super::catalog::{Check, Instance, SERF_HEALTH, Snapshot, topic};
use super::model::Service;

/// A change in progress: what is touched wakes the readers when it is done.
pub(crate) struct Change<'a> {
    /// The catalog under change.
    pub(crate) state: &'a mut Snapshot,
    /// The index of this change.
    pub(crate) index: u64,
    touched: bool,
}

impl<'a> Change<'a> {
    pub(crate) fn new(state: &'a mut Snapshot, index: u64) -> Self {
        Self { state, index, touched: false }
    }

    pub(crate) fn is_touched(&self) -> bool {
        self.touched
    }

    pub(crate) fn touch(&mut self, topic: &str) {
        self.touched = true;
        self.state.touched.insert(topic.to_owned(), self.index);
    }

    fn touch_service(&mut self, service: &Service) {
        self.touch(&topic::service(&service.service));
        self.touch(&topic::service(service.mesh_name()));
    }

    /// A node-wide check counts for every service on the node.
    fn touch_services_of(&mut self, node: &str) {
        let services: Vec<Service> = self
            .state
            .nodes
            .get(node)
            .map(|n| n.services.values().map(|i| i.service.clone()).collect())
            .unwrap_or_default();
        for service in &services {
            self.touch_service(service);
        }
    }

    /// Makes sure a node exists, with this ID and address.
    pub(crate) fn put_node(&mut self, name: &str, id: &str, address: &str) {
        let index = self.index;
        let node = self.state.nodes.entry(name.to_owned()).or_default();
        if node.id == id && node.address == address && node.create != 0 {
            return;
        }
        node.create = if node.create == 0 { index } else { node.create };
        (node.name, node.id, node.address) = (name.into(), id.into(), address.into());
        node.modify = index;
        self.touch(topic::NODES);
        self.touch_services_of(name);
    }

    /// Removes a node and all that is on it.
    pub(crate) fn remove_node(&mut self, name: &str) {
        self.touch_services_of(name);
        if self.state.nodes.remove(name).is_some() {
            self.touch(topic::NODES);
            self.touch(topic::SERVICES);
            self.touch(&topic::node(name));
        }
    }

    /// Adds or changes a service; an equal one changes no index.
    pub(crate) fn put_service(&mut self, node: &str, service: Service) {
        let index = self.index;
        let Some(entry) = self.state.nodes.get_mut(node) else { return };
        let old = entry.services.get(&service.id).cloned();
        if old.as_ref().is_some_and(|o| o.service == service) {
            return;
        }
        let create = old.as_ref().map_or(index, |o| o.create);
        let id = service.id.clone();
        entry.services.insert(id, Instance { service: service.clone(), create, modify: index });
        if let Some(old) = old {
            self.touch_service(&old.service);
        }
        self.touch_service(&service);
        self.touch(topic::SERVICES);
        self.touch(&topic::node(node));
    }

    /// Removes a service and its checks.
    pub(crate) fn remove_service(&mut self, node: &str, id: &str) {
        let Some(entry) = self.state.nodes.get_mut(node) else { return };
        entry.checks.retain(|_, c| c.service_id != id);
        if let Some(old) = entry.services.remove(id) {
            self.touch_service(&old.service);
            self.touch(topic::SERVICES);
            self.touch(&topic::node(node));
        }
    }

    fn touch_check(&mut self, node: &str, service_id: &str) {
        self.touch(&topic::node(node));
        if service_id.is_empty() {
            return self.touch_services_of(node);
        }
        let service = self.state.nodes.get(node).and_then(|n| n.services.get(service_id));
        if let Some(service) = service.map(|i| i.service.clone()) {
            self.touch_service(&service);
        }
    }

    /// Adds or changes a check; an equal one changes no index.
    pub(crate) fn put_check(&mut self, node: &str, mut check: Check) {
        let index = self.index;
        let Some(entry) = self.state.nodes.get_mut(node) else { return };
        let old = entry.checks.get(&check.id);
        if old.is_some_and(|o| o.same(&check)) {
            return;
        }
        (check.create, check.modify) = (old.map_or(index, |o| o.create), index);
        let service_id = check.service_id.clone();
        entry.checks.insert(check.id.clone(), check);
        self.touch_check(node, &service_id);
    }

    /// Removes a check.
    pub(crate) fn remove_check(&mut self, node: &str, id: &str) {
        let Some(entry) = self.state.nodes.get_mut(node) else { return };
        if let Some(old) = entry.checks.remove(id) {
            self.touch_check(node, &old.service_id);
        }
    }

    /// Sets the gossip's own check of a node.
    pub(crate) fn put_serf_health(&mut self, node: &str, alive: bool) {
        let (status, output) = if alive {
            ("passing", "Agent alive and reachable")
        } else {
            ("critical", "Agent not live or unreachable")
        };
        let check = Check {
            id: SERF_HEALTH.into(),
            name: "Serf Health Status".into(),
            status: status.into(),
            output: output.into(),
            ..Check::default()
        };
        self.put_check(node, check);
    }
}
