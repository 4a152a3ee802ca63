//! Reads of the catalog, blocking where Consul's are.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::{Value, json};

use super::{ApiError, Caller};
use crate::mesh::VERSION;
use crate::mesh::agent::Agent;
use crate::mesh::catalog::{Check, Entry, Instance, Intention, Node, Snapshot, topic};

type Mesh = State<Arc<Agent>>;
type Answer = Result<Response, ApiError>;

pub(crate) async fn leader(State(agent): Mesh) -> Result<Json<Value>, ApiError> {
    let server = *agent.joined.borrow();
    let server = server.ok_or_else(|| ApiError::internal("No known Consul servers"))?;
    Ok(Json(server.to_string().into()))
}

pub(crate) async fn peers(State(agent): Mesh) -> Result<Json<Value>, ApiError> {
    let Json(leader) = leader(State(agent)).await?;
    Ok(Json(json!([leader])))
}

fn tagged(address: &str) -> Value {
    json!({"lan": address, "lan_ipv4": address, "wan": address, "wan_ipv4": address})
}

fn node_json(datacenter: &str, node: &Node) -> Value {
    json!({
        "ID": node.id, "Node": node.name, "Address": node.address, "Datacenter": datacenter,
        "TaggedAddresses": tagged(&node.address),
        "Meta": {"consul-network-segment": "", "consul-version": VERSION},
        "CreateIndex": node.create, "ModifyIndex": node.modify,
    })
}

fn instance_json(snapshot: &Snapshot, node: &Node, instance: &Instance) -> Value {
    let mut service = serde_json::to_value(&instance.service).unwrap_or_default();
    service["Connect"] = json!({});
    service["PeerName"] = "".into();
    service["CreateIndex"] = instance.create.into();
    service["ModifyIndex"] = instance.modify.into();
    let checks: Vec<Value> =
        node.checks_of(&instance.service.id).map(|c| c.json(&node.name)).collect();
    json!({
        "Node": node_json(&snapshot.datacenter, node), "Service": service, "Checks": checks,
    })
}

async fn health(agent: &Agent, caller: &Caller, name: &str, connect: bool) -> Answer {
    caller.need_read("service", name)?;
    let (topic, passing) = (topic::service(name), caller.flag("passing"));
    caller
        .query(agent, |s| {
            let list = s.instances(name, connect).into_iter().filter(|(node, instance)| {
                let bad = |c: &Check| c.status != "passing";
                caller.may_read("service", &instance.service.service)
                    && caller.may_read("node", &node.name)
                    && !(passing && node.checks_of(&instance.service.id).any(bad))
            });
            let list: Vec<Value> = list.map(|(n, i)| instance_json(s, n, i)).collect();
            (s.index_of(&[&topic]), list.into())
        })
        .await
}

pub(crate) async fn health_service(
    State(agent): Mesh,
    caller: Caller,
    Path(name): Path<String>,
) -> Answer {
    health(&agent, &caller, &name, false).await
}

pub(crate) async fn health_connect(
    State(agent): Mesh,
    caller: Caller,
    Path(name): Path<String>,
) -> Answer {
    health(&agent, &caller, &name, true).await
}

pub(crate) async fn health_node(
    State(agent): Mesh,
    caller: Caller,
    Path(name): Path<String>,
) -> Answer {
    let topic = topic::node(&name);
    caller
        .query(&agent, |s| {
            let visible = caller.may_read("node", &name);
            let node = s.nodes.get(&name).filter(|_| visible);
            let list: Vec<Value> = node
                .map(|n| n.checks.values().map(|c| c.json(&n.name)).collect())
                .unwrap_or_default();
            (s.index_of(&[&topic]), list.into())
        })
        .await
}

pub(crate) async fn health_checks(
    State(agent): Mesh,
    caller: Caller,
    Path(name): Path<String>,
) -> Answer {
    caller.need_read("service", &name)?;
    let topic = topic::service(&name);
    caller
        .query(&agent, |s| {
            let of = |n: &Node| -> Vec<Value> {
                let own = n.checks.values().filter(|c| c.service_name == name);
                own.map(|c| c.json(&n.name)).collect()
            };
            let list: Vec<Value> = s.nodes.values().flat_map(of).collect();
            (s.index_of(&[&topic]), list.into())
        })
        .await
}

pub(crate) async fn nodes(State(agent): Mesh, caller: Caller) -> Answer {
    caller
        .query(&agent, |s| {
            let list = s.nodes.values().filter(|n| caller.may_read("node", &n.name));
            let list: Vec<Value> = list.map(|n| node_json(&s.datacenter, n)).collect();
            (s.index_of(&[topic::NODES]), list.into())
        })
        .await
}

pub(crate) async fn services(State(agent): Mesh, caller: Caller) -> Answer {
    caller
        .query(&agent, |s| {
            let mut list = serde_json::Map::new();
            let all = s.nodes.values().flat_map(|n| n.services.values());
            for service in all.map(|i| &i.service) {
                if caller.may_read("service", &service.service) {
                    let tags = list.entry(&service.service).or_insert_with(|| json!([]));
                    let Some(tags) = tags.as_array_mut() else { continue };
                    for tag in &service.tags {
                        if !tags.iter().any(|t| t == tag) {
                            tags.push(tag.clone().into());
                        }
                    }
                }
            }
            (s.index_of(&[topic::SERVICES]), list.into())
        })
        .await
}

fn flat(snapshot: &Snapshot, node: &Node, instance: &Instance) -> Value {
    let service = &instance.service;
    json!({
        "ID": node.id, "Node": node.name, "Address": node.address,
        "Datacenter": snapshot.datacenter, "TaggedAddresses": tagged(&node.address),
        "NodeMeta": {"consul-version": VERSION}, "ServiceKind": service.kind,
        "ServiceID": service.id, "ServiceName": service.service, "ServiceTags": service.tags,
        "ServiceAddress": service.address, "ServiceMeta": service.meta,
        "ServiceWeights": service.weights, "ServicePort": service.port,
        "ServiceEnableTagOverride": service.enable_tag_override,
        "ServiceProxy": service.proxy, "ServiceConnect": {},
        "CreateIndex": instance.create, "ModifyIndex": instance.modify,
    })
}

async fn list(agent: &Agent, caller: &Caller, name: &str, connect: bool) -> Answer {
    let topic = topic::service(name);
    caller
        .query(agent, |s| {
            let list = s.instances(name, connect).into_iter().filter(|(n, i)| {
                caller.may_read("service", &i.service.service) && caller.may_read("node", &n.name)
            });
            let list: Vec<Value> = list.map(|(n, i)| flat(s, n, i)).collect();
            (s.index_of(&[&topic]), list.into())
        })
        .await
}

pub(crate) async fn service(
    State(agent): Mesh,
    caller: Caller,
    Path(name): Path<String>,
) -> Answer {
    list(&agent, &caller, &name, false).await
}

pub(crate) async fn connect(
    State(agent): Mesh,
    caller: Caller,
    Path(name): Path<String>,
) -> Answer {
    list(&agent, &caller, &name, true).await
}

fn entry_json(entry: &Entry) -> Value {
    let mut value = entry.value.clone();
    value["CreateIndex"] = entry.create.into();
    value["ModifyIndex"] = entry.modify.into();
    value
}

pub(crate) async fn entries(
    State(agent): Mesh,
    caller: Caller,
    Path(kind): Path<String>,
) -> Answer {
    let prefix = format!("{kind}/");
    caller
        .query(&agent, |s| {
            let all = s.entries.iter().filter(|(key, _)| key.starts_with(&prefix));
            let list: Vec<Value> = all.map(|(_, e)| entry_json(e)).collect();
            (s.index_of(&[topic::ENTRIES]), list.into())
        })
        .await
}

pub(crate) async fn entry(
    State(agent): Mesh,
    caller: Caller,
    Path((kind, name)): Path<(String, String)>,
) -> Answer {
    if kind == "service-defaults" {
        caller.need_read("service", &name)?;
    }
    let key = format!("{kind}/{name}");
    if !agent.catalog.read(|s| s.entries.contains_key(&key)) {
        return Err(ApiError::missing(format!(
            "Config entry not found for \"{kind}\" / \"{name}\""
        )));
    }
    caller
        .query(&agent, |s| {
            let found = s.entries.get(&key).map_or(Value::Null, entry_json);
            (s.index_of(&[topic::ENTRIES]), found)
        })
        .await
}

fn intention_json(intention: &Intention) -> Value {
    json!({
        "SourceNS": "default", "SourceName": intention.source, "DestinationNS": "default",
        "DestinationName": intention.destination, "SourceType": "consul",
        "Action": if intention.allow { "allow" } else { "deny" },
        "Precedence": intention.precedence(),
        "CreateIndex": intention.create, "ModifyIndex": intention.modify,
    })
}

pub(crate) async fn intentions(State(agent): Mesh, caller: Caller) -> Answer {
    caller
        .query(&agent, |s| {
            let list: Vec<Value> = s.intentions.iter().map(intention_json).collect();
            (s.index_of(&[topic::INTENTIONS]), list.into())
        })
        .await
}

pub(crate) async fn intention(State(agent): Mesh, caller: Caller) -> Result<Json<Value>, ApiError> {
    let (source, destination) = super::write::ends(&caller)?;
    let found = agent.catalog.read(|s| {
        s.intentions
            .iter()
            .find(|i| i.source == source && i.destination == destination)
            .map(intention_json)
    });
    found.map(Json).ok_or_else(|| ApiError::missing("Intention not found"))
}
