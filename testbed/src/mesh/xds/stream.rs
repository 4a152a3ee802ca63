//! One Envoy's delta stream: what it asked for, what it was sent, what it refused.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource as WireResource,
};
use tokio::sync::{mpsc, watch};
use tokio::time::interval;
use tonic::{Status, Streaming};

use super::view::{Resource, Resources, Views};
use super::{CLUSTER, ENDPOINT, LISTENER, ROUTE};
use crate::mesh::acl::Access;
use crate::mesh::agent::Agent;

/// How often a token is looked at again; xDS of a deleted one dies about 30 s later (measured).
const RECHECK: Duration = Duration::from_secs(30);

/// The order of updates: what is needed comes before what needs it, removals of it after.
const ORDER: [(&str, bool, bool); 6] = [
    (CLUSTER, true, false),
    (ENDPOINT, true, false),
    (LISTENER, true, true),
    (ROUTE, true, true),
    (CLUSTER, false, true),
    (ENDPOINT, false, true),
];

/// The state of one resource type on one stream.
#[derive(Default)]
struct Subscription {
    wildcard: bool,
    names: BTreeSet<String>,
    sent: HashMap<String, String>,
    /// Names that were asked for since the last answer, to be answered even with nothing.
    asked: BTreeSet<String>,
    answered: bool,
    pending: BTreeSet<String>,
}

impl Subscription {
    fn wants(&self, name: &str) -> bool {
        self.wildcard || self.names.contains(name)
    }

    /// What is new or changed for this subscriber, and what is gone.
    fn difference(
        &mut self,
        now: &BTreeMap<String, Resource>,
        (upsert, remove): (bool, bool),
    ) -> (Vec<WireResource>, Vec<String>) {
        let (mut changed, mut removed) = (Vec::new(), Vec::new());
        if upsert {
            for (name, resource) in now {
                if self.wants(name) && self.sent.get(name) != Some(&resource.version) {
                    changed.push(WireResource {
                        name: name.clone(),
                        version: resource.version.clone(),
                        resource: Some(resource.body.clone()),
                        ..WireResource::default()
                    });
                    self.sent.insert(name.clone(), resource.version.clone());
                }
            }
        }
        if remove {
            let unknown = self.asked.iter().filter(|n| !now.contains_key(*n));
            removed.extend(unknown.cloned());
            removed.extend(self.sent.keys().filter(|n| !now.contains_key(*n)).cloned());
            self.sent.retain(|name, _| now.contains_key(name));
            self.asked.clear();
        }
        (changed, removed)
    }
}

/// Serves one stream until Envoy goes (`Ok`) or must be turned away (`Err`).
pub(super) async fn run(
    agent: &Agent,
    views: &Views,
    token: &str,
    mut requests: Streaming<DeltaDiscoveryRequest>,
    responses: &mpsc::Sender<Result<DeltaDiscoveryResponse, Status>>,
) -> Result<(), Status> {
    let mut stream = Stream { agent, token, responses, nonce: 0, types: HashMap::new() };
    let mut latest: Option<watch::Receiver<Option<Arc<Resources>>>> = None;
    let mut recheck = interval(RECHECK);
    loop {
        tokio::select! {
            // An error is how the end of Envoy looks.
            request = requests.message() => match request {
                Ok(Some(request)) => {
                    if latest.is_none() {
                        latest = Some(subscribe(agent, views, &request)?);
                    }
                    if stream.receive(request) {
                        continue;
                    }
                }
                Ok(None) | Err(_) => return Ok(()),
            },
            // A view's sender lives as long as the agent.
            Ok(()) = changed(&mut latest) => {}
            _ = recheck.tick() => {}
        }
        let resources = latest.as_mut().and_then(|l| l.borrow_and_update().clone());
        if let Some(resources) = resources {
            stream.send_news(&resources).await?;
        }
    }
}

fn subscribe(
    agent: &Agent,
    views: &Views,
    request: &DeltaDiscoveryRequest,
) -> Result<watch::Receiver<Option<Arc<Resources>>>, Status> {
    let Some(node) = &request.node else {
        return Err(Status::invalid_argument("node is required in the first request"));
    };
    let known = agent.local.read(|s| s.services.contains_key(&node.id));
    if !known && agent.authority.is_some() {
        return Err(Status::internal(format!(
            "failed to watch proxy: proxy service {} not found",
            node.id
        )));
    }
    // At a client agent Consul lets the stream wait for the registration.
    tracing::info!(proxy = node.id, known, "xDS stream");
    Ok(views.follow(&node.id))
}

async fn changed(
    latest: &mut Option<watch::Receiver<Option<Arc<Resources>>>>,
) -> Result<(), watch::error::RecvError> {
    match latest {
        Some(latest) => latest.changed().await,
        None => std::future::pending().await,
    }
}

struct Stream<'a> {
    agent: &'a Agent,
    token: &'a str,
    responses: &'a mpsc::Sender<Result<DeltaDiscoveryResponse, Status>>,
    nonce: u64,
    types: HashMap<String, Subscription>,
}

impl Stream<'_> {
    /// Takes a request in; `true` for a refusal, after which the same must not be sent again.
    fn receive(&mut self, request: DeltaDiscoveryRequest) -> bool {
        let fresh = !self.types.contains_key(&request.type_url);
        let subscription = self.types.entry(request.type_url.clone()).or_default();
        if fresh {
            subscription.wildcard = request.resource_names_subscribe.is_empty();
            subscription.sent = request.initial_resource_versions;
        }
        let mut refused = false;
        if !request.response_nonce.is_empty() {
            subscription.pending.remove(&request.response_nonce);
            if let Some(error) = &request.error_detail {
                refused = true;
                tracing::error!(
                    type_url = request.type_url,
                    nonce = request.response_nonce,
                    code = error.code,
                    message = error.message,
                    "NACK from Envoy"
                );
            }
        }
        for name in request.resource_names_subscribe {
            if name == "*" {
                subscription.wildcard = true;
            } else {
                // A repeated subscription is answered again.
                subscription.sent.remove(&name);
                subscription.asked.insert(name.clone());
                subscription.names.insert(name);
            }
        }
        for name in request.resource_names_unsubscribe {
            subscription.wildcard &= name != "*";
            subscription.names.remove(&name);
            subscription.asked.remove(&name);
            subscription.sent.remove(&name);
        }
        refused
    }

    fn waiting(&self, kind: &str) -> bool {
        self.types.get(kind).is_some_and(|s| !s.pending.is_empty())
    }

    /// Sends what changed, in order; listeners and routes wait for clusters and endpoints.
    async fn send_news(&mut self, resources: &Resources) -> Result<(), Status> {
        let authz = self.agent.authz(self.token);
        let authz = authz.ok_or_else(|| Status::unauthenticated("ACL not found"))?;
        authz
            .check("service", &resources.service, Access::Write)
            .map_err(|e| Status::permission_denied(format!("permission denied: {e}")))?;
        let none = BTreeMap::new();
        for (kind, upsert, remove) in ORDER {
            if [LISTENER, ROUTE].contains(&kind)
                && (self.waiting(CLUSTER) || self.waiting(ENDPOINT))
            {
                break;
            }
            let now = resources.types.get(kind).unwrap_or(&none);
            let Some(subscription) = self.types.get_mut(kind) else { continue };
            let (changed, removed) = subscription.difference(now, (upsert, remove));
            let first = upsert && !subscription.answered;
            if changed.is_empty() && removed.is_empty() && !first {
                continue;
            }
            subscription.answered = true;
            self.nonce += 1;
            let nonce = format!("{:08x}", self.nonce);
            subscription.pending.insert(nonce.clone());
            // Envoy forgets a cluster's endpoints and a listener's routes when it is updated.
            let child = match kind {
                CLUSTER => Some(ENDPOINT),
                LISTENER => Some(ROUTE),
                _ => None,
            };
            let parents: Vec<String> = changed.iter().map(|r| r.name.clone()).collect();
            if let Some(child) = child.and_then(|c| self.types.get_mut(c)) {
                let is_child = |name: &str| match kind {
                    CLUSTER => parents.iter().any(|p| p == name),
                    // `<upstream>:<address>:<port>` holds the table `<upstream>`.
                    _ => parents.iter().any(|p| p.split(':').next() == Some(name)),
                };
                child.sent.retain(|name, _| !is_child(name));
            }
            let response = DeltaDiscoveryResponse {
                type_url: kind.into(),
                resources: changed,
                removed_resources: removed,
                nonce,
                ..DeltaDiscoveryResponse::default()
            };
            if self.responses.send(Ok(response)).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(version: &str) -> Resource {
        Resource { version: version.into(), body: Default::default() }
    }

    #[test]
    fn only_differences_are_sent_and_unknown_names_are_answered_as_removed() {
        let mut subscription = Subscription::default();
        subscription.names.extend(["a".to_owned(), "x".to_owned()]);
        subscription.asked.extend(["a".to_owned(), "x".to_owned()]);
        let mut now = BTreeMap::from([("a".to_owned(), resource("1"))]);
        let (changed, removed) = subscription.difference(&now, (true, true));
        assert_eq!((changed.len(), removed), (1, vec!["x".to_owned()]));
        let (changed, removed) = subscription.difference(&now, (true, true));
        assert_eq!((changed.len(), removed.len()), (0, 0));
        now.insert("a".into(), resource("2"));
        assert_eq!(subscription.difference(&now, (true, true)).0.len(), 1);
        now.clear();
        assert_eq!(subscription.difference(&now, (true, true)).1, ["a"]);
    }
}
