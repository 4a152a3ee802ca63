//! What a task registers at its agent: the service and its sidecar proxy, with IDs, metadata and checks as consul-ecs
//! 0.4.3 has them, so that a cluster can move task by task.
//!
//! Deliberately different from 0.4.3: the TTL of synced checks comes from the config (there 100000 h, so a dead
//! supervisor left them passing for ever), their notes name the container, the proxy's checks have IDs of their own
//! (so that one can be replaced), the metadata names the task definition's revision, and an agent that knows localities
//! is told the task's.

use super::Version;
use super::types::{
    CheckDefinition, CheckStatus, Expose, ExposePath, Locality, MeshGateway, ProxyConfig,
    Registration, Upstream, Weights,
};
use crate::config::{self, Config};
use crate::ecs::TaskIdentity;
use std::collections::BTreeMap;
use std::time::Duration;

/// Names and IDs of a task's registrations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceIds {
    /// The service's name.
    pub name: String,
    /// `<name>-<taskID>`.
    pub service: String,
    /// `<serviceID>-sidecar-proxy`.
    pub proxy: String,
    /// `<name>-sidecar-proxy`.
    pub proxy_name: String,
}

impl ServiceIds {
    /// The IDs of this task.
    pub fn new(service: &config::Service, task: &TaskIdentity) -> Self {
        let name = service_name(service, task).to_owned();
        let id = format!("{name}-{}", task.task_id);
        Self {
            proxy: format!("{id}-sidecar-proxy"),
            proxy_name: format!("{name}-sidecar-proxy"),
            service: id,
            name,
        }
    }

    /// ID of the check that holds the ECS health of `container`.
    pub fn check(&self, container: &str) -> String {
        format!("{}-{container}-consul-ecs", self.service)
    }

    /// The container whose ECS health a check of that ID holds: the way back from [`ServiceIds::check`].
    pub fn container_of<'a>(&self, check_id: &'a str) -> Option<&'a str> {
        check_id.strip_prefix(&self.service)?.strip_prefix('-')?.strip_suffix("-consul-ecs")
    }

    /// ID of the check that tries the proxy's public listener.
    pub fn listener_check(&self) -> String {
        format!("{}-listener", self.proxy)
    }

    /// ID of the check that copies the service's health to the proxy.
    pub fn alias_check(&self) -> String {
        format!("{}-alias", self.proxy)
    }
}

/// The service's name: as configured, else the task's family, unchanged.
pub fn service_name<'a>(service: &'a config::Service, task: &'a TaskIdentity) -> &'a str {
    service.name.as_deref().filter(|name| !name.is_empty()).unwrap_or(&task.family)
}

/// ID of the check by which the agent shows that a service is in maintenance (`agent.ServiceMaintCheckPrefix` in
/// Consul).
pub fn maintenance_check_id(service_id: &str) -> String {
    format!("_service_maintenance:{service_id}")
}

/// From this version on an agent takes `Locality`; an older one refuses the whole registration for it (1.8.7: 400).
/// Consul's #16581 brought it after 1.15.
const LOCALITY_SINCE: Version = Version::new(1, 16, 0);

/// Where the task runs, in Consul's words: `None` if the agent cannot be told, or ECS does not say.
pub fn locality(task: &TaskIdentity, agent: Version) -> Option<Locality> {
    let (region, zone) = (task.region(), task.availability_zone.as_str());
    // Consul takes no zone without a region.
    let known = !region.is_empty() && !zone.is_empty();
    (known && agent >= LOCALITY_SINCE)
        .then(|| Locality { region: region.to_owned(), zone: zone.to_owned() })
}

/// The service's registration. `containers`: those whose ECS health is synced.
///
/// Say with [`Registration::located`] where it runs.
pub fn service(cfg: &Config, task: &TaskIdentity, containers: &[String]) -> Registration {
    let ids = ServiceIds::new(&cfg.service, task);
    let service = &cfg.service;
    let mut checks: Vec<_> = service.checks.iter().map(native_check).collect();
    if !containers.is_empty() {
        // The agent makes IDs by the place in the whole list. Where containers come and go beside them, that would
        // give a check another ID with each registration, and leave the old one behind: so they are told here, the
        // same as they are without containers.
        let all = checks.clone();
        for (i, check) in checks.iter_mut().enumerate() {
            check.check_id = check_id(&ids.service, &all, i);
        }
    }
    checks.extend(containers.iter().map(|c| synced_check(&ids, c, cfg.health_sync.ttl)));
    Registration {
        id: ids.service,
        name: ids.name,
        port: if service.inbound { service.port.unwrap_or(0) } else { 0 },
        checks: Some(checks).filter(|checks| !checks.is_empty()),
        ..common(cfg, task)
    }
}

/// The ID that the agent gives to a check of a registration: its own, else by its place (`addServiceInternal` in
/// Consul's agent; the same in 1.8.7).
fn check_id(service_id: &str, checks: &[CheckDefinition], place: usize) -> String {
    match checks.get(place).map(|check| check.check_id.as_str()) {
        Some("") | None if checks.len() > 1 => format!("service:{service_id}:{}", place + 1),
        Some("") | None => format!("service:{service_id}"),
        Some(id) => id.to_owned(),
    }
}

impl Registration {
    /// The same, at this place.
    #[must_use]
    pub fn located(self, locality: Option<Locality>) -> Self {
        Self { locality, ..self }
    }

    /// The IDs under which the agent holds its checks.
    pub fn check_ids(&self) -> impl Iterator<Item = String> {
        let checks = self.checks.as_deref().unwrap_or_default();
        (0..checks.len()).map(|place| check_id(&self.id, checks, place))
    }
}

/// The sidecar proxy's registration. Say with [`Registration::located`] where it runs.
pub fn proxy(cfg: &Config, task: &TaskIdentity) -> Registration {
    let ids = ServiceIds::new(&cfg.service, task);
    let checks = vec![listener_check(&ids, cfg.proxy.public_listener_port), alias_check(&ids)];
    let settings = ProxyConfig {
        destination_service_name: ids.name,
        destination_service_id: ids.service,
        local_service_port: if cfg.service.inbound { cfg.service.port.unwrap_or(0) } else { 0 },
        config: cfg.proxy.config.clone(),
        upstreams: cfg.proxy.upstreams.iter().map(upstream).collect(),
        mesh_gateway: mesh_gateway(cfg.proxy.mesh_gateway.as_ref()),
        expose: cfg.proxy.expose.as_ref().map(expose).unwrap_or_default(),
    };
    Registration {
        kind: "connect-proxy".to_owned(),
        id: ids.proxy,
        name: ids.proxy_name,
        port: cfg.proxy.public_listener_port,
        checks: Some(checks),
        proxy: Some(settings),
        ..common(cfg, task)
    }
}

/// The check that tries the proxy's public listener. It starts critical and the agent first runs it at a random moment
/// of its interval; to be offered at once, deregister it and register it alone, with [`CheckDefinition::started_as`]
/// and [`CheckDefinition::of_service`].
pub fn listener_check(ids: &ServiceIds, port: u16) -> CheckDefinition {
    CheckDefinition {
        check_id: ids.listener_check(),
        name: "Proxy Public Listener".to_owned(),
        tcp: format!("127.0.0.1:{port}"),
        interval: "10s".to_owned(),
        deregister_critical_service_after: "10m".to_owned(),
        ..CheckDefinition::default()
    }
}

/// The check that copies the service's health to the proxy.
pub fn alias_check(ids: &ServiceIds) -> CheckDefinition {
    CheckDefinition {
        check_id: ids.alias_check(),
        name: "Destination Alias".to_owned(),
        alias_service: ids.service.clone(),
        ..CheckDefinition::default()
    }
}

impl CheckDefinition {
    /// For a check that is registered by itself: the service it belongs to, and where that lives.
    #[must_use]
    pub fn of_service(self, service_id: &str, service: &config::Service) -> Self {
        Self {
            service_id: service_id.to_owned(),
            namespace: service.namespace.clone(),
            partition: service.partition.clone(),
            ..self
        }
    }

    /// Body of `PUT /v1/agent/check/register`, where a check calls its ID `ID`; within a service's registration it is
    /// `CheckID`.
    ///
    /// # Errors
    /// None that is known: every field is plain text, a number or a boolean.
    pub fn alone(&self) -> serde_json::Result<serde_json::Value> {
        let mut body = serde_json::to_value(self)?;
        if let Some(object) = body.as_object_mut()
            && let Some(id) = object.remove("CheckID")
        {
            object.insert("ID".to_owned(), id);
        }
        Ok(body)
    }

    /// Its first status, until the agent has run it.
    #[must_use]
    pub fn started_as(self, status: CheckStatus) -> Self {
        Self { status: status.as_str().to_owned(), ..self }
    }
}

/// What service and proxy have in common.
fn common(cfg: &Config, task: &TaskIdentity) -> Registration {
    let service = &cfg.service;
    Registration {
        tags: service.tags.clone(),
        enable_tag_override: service.enable_tag_override,
        meta: meta(service, task),
        weights: service
            .weights
            .as_ref()
            .map(|w| Weights { passing: w.passing, warning: w.warning }),
        namespace: service.namespace.clone(),
        partition: service.partition.clone(),
        ..Registration::default()
    }
}

fn meta(service: &config::Service, task: &TaskIdentity) -> BTreeMap<String, String> {
    let mut meta = BTreeMap::from([
        ("task-id".to_owned(), task.task_id.clone()),
        ("task-arn".to_owned(), task.task_arn.clone()),
        ("source".to_owned(), "consul-ecs".to_owned()),
    ]);
    if !task.family.is_empty() && !task.revision.is_empty() {
        let definition = format!("{}:{}", task.family, task.revision);
        meta.insert("ecs-task-definition".to_owned(), definition);
    }
    meta.extend(service.meta.clone());
    meta
}

fn synced_check(ids: &ServiceIds, container: &str, ttl: Duration) -> CheckDefinition {
    CheckDefinition {
        check_id: ids.check(container),
        name: "consul ecs synced".to_owned(),
        ttl: go_duration(ttl),
        notes: format!(
            "taskmesh keeps this check equal to the ECS health of container {container}"
        ),
        ..CheckDefinition::default()
    }
}

fn native_check(check: &config::Check) -> CheckDefinition {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    CheckDefinition {
        check_id: text(&check.check_id),
        name: text(&check.name),
        args: check.args.clone(),
        interval: text(&check.interval),
        timeout: text(&check.timeout),
        ttl: text(&check.ttl),
        http: text(&check.http),
        header: check.header.clone(),
        method: text(&check.method),
        body: text(&check.body),
        tcp: text(&check.tcp),
        status: text(&check.status),
        notes: text(&check.notes),
        tls_server_name: text(&check.tls_server_name),
        tls_skip_verify: check.tls_skip_verify.unwrap_or(false),
        grpc: text(&check.grpc),
        grpc_use_tls: check.grpc_use_tls.unwrap_or(false),
        h2ping: text(&check.h2ping),
        h2ping_use_tls: check.h2ping_use_tls.unwrap_or(false),
        alias_node: text(&check.alias_node),
        alias_service: text(&check.alias_service),
        success_before_passing: check.success_before_passing.unwrap_or(0),
        failures_before_critical: check.failures_before_critical.unwrap_or(0),
        ..CheckDefinition::default()
    }
}

fn upstream(upstream: &config::Upstream) -> Upstream {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    Upstream {
        destination_type: match upstream.destination_type {
            None => "",
            Some(config::DestinationType::Service) => "service",
            Some(config::DestinationType::PreparedQuery) => "prepared_query",
        },
        destination_partition: text(&upstream.destination_partition),
        destination_namespace: text(&upstream.destination_namespace),
        destination_peer: text(&upstream.destination_peer),
        destination_name: upstream.destination_name.clone(),
        datacenter: text(&upstream.datacenter),
        local_bind_address: text(&upstream.local_bind_address),
        local_bind_port: upstream.local_bind_port,
        config: upstream.config.clone(),
        mesh_gateway: mesh_gateway(upstream.mesh_gateway.as_ref()),
    }
}

fn mesh_gateway(gateway: Option<&config::MeshGateway>) -> MeshGateway {
    let mode = match gateway.map(|gateway| gateway.mode) {
        None => "",
        Some(config::MeshGatewayMode::None) => "none",
        Some(config::MeshGatewayMode::Local) => "local",
        Some(config::MeshGatewayMode::Remote) => "remote",
    };
    MeshGateway { mode }
}

fn expose(expose: &config::Expose) -> Expose {
    let path = |path: &config::ExposePath| ExposePath {
        listener_port: path.listener_port,
        path: path.path.clone(),
        local_path_port: path.local_path_port,
        protocol: path.protocol.clone().unwrap_or_default(),
        parsed_from_check: false,
    };
    Expose { checks: expose.checks, paths: expose.paths.iter().map(path).collect() }
}

/// A duration as Go reads it.
pub(super) fn go_duration(duration: Duration) -> String {
    if duration.subsec_nanos() == 0 {
        format!("{}s", duration.as_secs())
    } else {
        format!("{}ms", duration.as_millis())
    }
}

#[cfg(test)]
#[path = "registration_tests.rs"]
mod tests;
