//! One proxy's view of the mesh, rebuilt 200 ms after the first of a batch of changes.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::google::protobuf::Any;
use prost::Name;
use tokio::sync::watch;
use tokio::time::sleep;

use super::{CLUSTER, ENDPOINT, LISTENER, ROUTE, clusters, listeners};
use crate::mesh::agent::{Agent, lock};
use crate::mesh::ca::{Leaf, Root};
use crate::mesh::catalog::{Intention, Snapshot};
use crate::mesh::model::{Service, Upstream};
use crate::mesh::resolved::{Protocol, resolve};

/// Consul gathers changes for this long before it makes a new snapshot of a proxy's config.
const COALESCE: Duration = Duration::from_millis(200);

/// One instance of an upstream.
pub(super) struct Endpoint {
    pub(super) address: String,
    pub(super) port: u16,
    pub(super) healthy: bool,
    pub(super) weight: u32,
}

/// One upstream with all that its cluster and listener need.
pub(super) struct UpstreamView {
    pub(super) upstream: Upstream,
    pub(super) protocol: Protocol,
    pub(super) cluster: String,
    pub(super) spiffe: String,
    pub(super) endpoints: Vec<Endpoint>,
    /// The route table is fetched by RDS (there is a `service-router`), else it is inline.
    pub(super) rds: bool,
}

/// Everything about one proxy.
pub(super) struct View {
    pub(super) service: Service,
    pub(super) destination: String,
    pub(super) local: (String, u16),
    pub(super) bind: String,
    pub(super) protocol: Protocol,
    pub(super) upstreams: Vec<UpstreamView>,
    pub(super) leaf: Leaf,
    pub(super) root: Root,
    pub(super) intentions: Vec<Intention>,
    pub(super) default_allow: bool,
    pub(super) datacenter: String,
}

/// A resource ready to send.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Resource {
    pub(super) version: String,
    pub(super) body: Any,
}

/// All resources of a proxy, by type and name.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Resources {
    /// The service whose write right a stream needs.
    pub(super) service: String,
    pub(super) types: BTreeMap<&'static str, BTreeMap<String, Resource>>,
}

type Latest = watch::Sender<Option<Arc<Resources>>>;

/// The views of all proxies of an agent.
pub(super) struct Views {
    latest: Mutex<HashMap<String, Latest>>,
}

impl Views {
    /// Starts to keep a view of each proxy that is, or will be, registered.
    pub(super) fn start(agent: Arc<Agent>) -> Arc<Self> {
        let views = Arc::new(Self { latest: Mutex::default() });
        tokio::spawn(keep_all(agent, views.clone()));
        views
    }

    /// Follows a proxy; an unregistered one has no resources until it is registered, as in Consul.
    pub(super) fn follow(&self, proxy: &str) -> watch::Receiver<Option<Arc<Resources>>> {
        self.sender(proxy).subscribe()
    }

    fn sender(&self, proxy: &str) -> Latest {
        let mut latest = lock(&self.latest);
        latest.entry(proxy.to_owned()).or_insert_with(|| watch::Sender::new(None)).clone()
    }
}

async fn keep_all(agent: Arc<Agent>, views: Arc<Views>) {
    let mut changes = agent.local.subscribe();
    let mut running: HashMap<String, tokio::task::JoinHandle<()>> = HashMap::new();
    loop {
        changes.mark_unchanged();
        running.retain(|_, task| !task.is_finished());
        let proxies: Vec<String> = agent.local.read(|s| {
            let proxies = s.services.values().filter(|s| s.service.kind == "connect-proxy");
            proxies.map(|s| s.service.id.clone()).collect()
        });
        for id in proxies {
            let sender = views.sender(&id);
            let agent = agent.clone();
            running
                .entry(id.clone())
                .or_insert_with(|| tokio::spawn(async move { keep(&agent, &id, &sender).await }));
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// Rebuilds one proxy's resources until it is deregistered.
async fn keep(agent: &Agent, id: &str, latest: &Latest) {
    let mut local = agent.local.subscribe();
    let mut catalog = agent.catalog.subscribe();
    loop {
        sleep(COALESCE).await;
        local.mark_unchanged();
        catalog.mark_unchanged();
        let service = agent.local.read(|s| s.services.get(id).map(|s| s.service.clone()));
        let Some(service) = service else { return };
        match build(agent, service).await {
            Ok(resources) => {
                latest.send_if_modified(|old| {
                    let differs = old.as_deref() != Some(&resources);
                    if differs {
                        *old = Some(Arc::new(resources));
                    }
                    differs
                });
            }
            Err(error) => tracing::debug!(id, error, "no proxy config yet"),
        }
        tokio::select! {
            end = local.changed() => if end.is_err() { return },
            end = catalog.changed() => if end.is_err() { return },
        }
    }
}

async fn build(agent: &Agent, service: Service) -> Result<Resources, String> {
    if agent.catalog.read(|s| s.index == 0) {
        return Err("never joined".into());
    }
    let destination = service.mesh_name().to_owned();
    let leaf = agent.leaf(&destination).await?;
    let view = agent.catalog.read(|s| View::new(agent, s, service, destination, leaf));
    let mut types: BTreeMap<&'static str, BTreeMap<String, Resource>> = BTreeMap::new();
    types.insert(
        CLUSTER,
        clusters::clusters(&view).into_iter().map(pack::<Cluster>(|c| &c.name)).collect(),
    );
    let endpoints = clusters::endpoints(&view)
        .into_iter()
        .map(pack::<ClusterLoadAssignment>(|e| &e.cluster_name));
    types.insert(ENDPOINT, endpoints.collect());
    let listeners = listeners::listeners(&view).into_iter().map(pack::<Listener>(|l| &l.name));
    types.insert(LISTENER, listeners.collect());
    let routes =
        listeners::route_tables(&view).into_iter().map(pack::<RouteConfiguration>(|r| &r.name));
    types.insert(ROUTE, routes.collect());
    Ok(Resources { service: view.destination, types })
}

fn pack<T: Name>(name: fn(&T) -> &String) -> impl Fn(T) -> (String, Resource) {
    use std::hash::{DefaultHasher, Hash, Hasher};
    move |message| {
        let name = name(&message).clone();
        let body = envoy_types::util::pack_any(message);
        let mut hasher = DefaultHasher::new();
        body.value.hash(&mut hasher);
        (name, Resource { version: format!("{:016x}", hasher.finish()), body })
    }
}

impl View {
    fn new(
        agent: &Agent,
        snapshot: &Snapshot,
        service: Service,
        destination: String,
        leaf: Leaf,
    ) -> Self {
        let registered = service.proxy.clone().unwrap_or_default();
        let proxy = resolve(&registered, snapshot);
        let text = |key: &str| proxy.config.get(key).and_then(|v| v.as_str());
        let bind = match (text("bind_address"), service.address.as_str()) {
            (Some(bind), _) => bind.to_owned(),
            (None, "") => "0.0.0.0".to_owned(),
            (None, own) => own.to_owned(),
        };
        let local_address = match proxy.local_service_address.as_str() {
            "" => "127.0.0.1".to_owned(),
            address => address.to_owned(),
        };
        let (root, datacenter) = (snapshot.root.clone(), agent.config.datacenter.clone());
        let upstreams = proxy
            .upstreams
            .iter()
            .filter(|u| u.destination_type == "service")
            .map(|u| UpstreamView::new(snapshot, u, &root, &datacenter))
            .collect();
        Self {
            protocol: Protocol::of(text("protocol")),
            local: (local_address, proxy.local_service_port),
            bind,
            upstreams,
            leaf,
            intentions: snapshot.intentions.clone(),
            default_allow: !(snapshot.acl.enabled && snapshot.acl.default_deny),
            service,
            destination,
            root,
            datacenter,
        }
    }
}

impl UpstreamView {
    fn new(snapshot: &Snapshot, upstream: &Upstream, root: &Root, datacenter: &str) -> Self {
        let name = &upstream.destination_name;
        let endpoints = snapshot.instances(name, true).into_iter().map(|(node, instance)| {
            let service = &instance.service;
            let any = |status: &str| node.checks_of(&service.id).any(|c| c.status == status);
            let address = if service.address.is_empty() { &node.address } else { &service.address };
            let weights = &service.weights;
            let weight = if any("warning") { weights.warning } else { weights.passing };
            Endpoint {
                address: address.clone(),
                port: service.port,
                healthy: !any("critical") && weight > 0,
                weight: weight.clamp(1, 128),
            }
        });
        Self {
            protocol: Protocol::of(upstream.config.get("protocol").and_then(|v| v.as_str())),
            cluster: format!("{name}.default.{datacenter}.internal.{}", root.trust_domain),
            spiffe: crate::mesh::ca::spiffe(&root.trust_domain, datacenter, name),
            endpoints: endpoints.collect(),
            rds: snapshot.entries.contains_key(&format!("service-router/{name}")),
            upstream: upstream.clone(),
        }
    }
}
