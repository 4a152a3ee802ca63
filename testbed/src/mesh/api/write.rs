//! Writes to what the server owns: config entries, intentions, policies and tokens.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ApiError, Caller};
use crate::mesh::acl::{self, Token};
use crate::mesh::agent::Agent;
use crate::mesh::catalog::{Entry, Intention, topic};
use crate::mesh::change::Change;
use crate::mesh::{model, random};

type Mesh = State<Arc<Agent>>;
type Answer = Result<Json<Value>, ApiError>;

/// At a client, sends the request on to the server as it is.
pub(crate) async fn forward(State(agent): Mesh, request: Request, next: Next) -> Response {
    if agent.authority.is_some() {
        return next.run(request).await;
    }
    pass(&agent, request).await.unwrap_or_else(IntoResponse::into_response)
}

async fn pass(agent: &Agent, request: Request) -> Result<Response, ApiError> {
    let server = *agent.joined.borrow();
    let server = server.ok_or_else(|| ApiError::internal("No known Consul servers"))?;
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |p| p.as_str());
    let body =
        axum::body::to_bytes(body, 1 << 20).await.map_err(|e| ApiError::bad(e.to_string()))?;
    let mut call = agent.http.request(parts.method, format!("http://{server}{path}")).body(body);
    if let Some(token) = parts.headers.get("x-consul-token") {
        call = call.header("x-consul-token", token);
    }
    let failed = |e: reqwest::Error| ApiError::internal(format!("rpc error making call: {e}"));
    let answer = call.send().await.map_err(failed)?;
    let (status, kind) = (answer.status(), answer.headers().get("content-type").cloned());
    let mut response = Body::from(answer.bytes().await.map_err(failed)?).into_response();
    *response.status_mut() = status;
    if let Some(kind) = kind {
        response.headers_mut().insert("content-type", kind);
    }
    Ok(response)
}

fn put_intention(change: &mut Change<'_>, source: &str, destination: &str, allow: bool) {
    let index = change.index;
    let old = change
        .state
        .intentions
        .iter_mut()
        .find(|i| i.source == source && i.destination == destination);
    match old {
        Some(old) => (old.allow, old.modify) = (allow, index),
        None => change.state.intentions.push(Intention {
            source: source.into(),
            destination: destination.into(),
            allow,
            create: index,
            modify: index,
        }),
    }
    change.touch(topic::INTENTIONS);
}

fn action(text: &str) -> Result<bool, ApiError> {
    match text {
        "allow" => Ok(true),
        "deny" => Ok(false),
        other => Err(ApiError::bad(format!(
            "Action must be set to 'allow' or 'deny', not '{other}' (no L7 in this mesh)"
        ))),
    }
}

pub(crate) async fn entry(State(agent): Mesh, caller: Caller, body: Bytes) -> Answer {
    let value: Value = model::decode(&body).map_err(ApiError::bad)?;
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let (kind, name) = (text("Kind"), text("Name"));
    match (kind.as_str(), name.as_str()) {
        (_, "") => return Err(ApiError::bad("Config entry has no Name")),
        ("service-defaults" | "service-intentions", _) => caller.need_write("service", &name)?,
        ("proxy-defaults", "global") => caller.need_write("mesh", "")?,
        // Without routes it only makes proxies fetch the route table by RDS, as in Consul.
        ("service-router", _) if value["Routes"].as_array().is_none_or(Vec::is_empty) => {
            caller.need_write("service", &name)?;
        }
        _ => return Err(ApiError::bad(format!("config entry {kind}/{name} is not in this mesh"))),
    }
    let protocol = match kind.as_str() {
        "proxy-defaults" => value["Config"]["protocol"].as_str(),
        _ => value["Protocol"].as_str(),
    };
    if let Some(other) = protocol.filter(|p| !["", "tcp", "http", "http2", "grpc"].contains(p)) {
        return Err(ApiError::bad(format!("invalid value for protocol: {other}")));
    }
    let mut intentions = Vec::new();
    if kind == "service-intentions" {
        for source in value["Sources"].as_array().into_iter().flatten() {
            let allow = action(source["Action"].as_str().unwrap_or_default())?;
            intentions.push((source["Name"].as_str().unwrap_or_default().to_owned(), allow));
        }
    }
    agent.catalog.change(|c| {
        if kind == "service-intentions" {
            c.state.intentions.retain(|i| i.destination != name);
            c.touch(topic::INTENTIONS);
        }
        for (source, allow) in &intentions {
            put_intention(c, source, &name, *allow);
        }
        let key = format!("{kind}/{name}");
        let index = c.index;
        let create = c.state.entries.get(&key).map_or(index, |e| e.create);
        c.state.entries.insert(key, Entry { value, create, modify: index });
        c.touch(topic::ENTRIES);
    });
    Ok(Json(true.into()))
}

pub(crate) async fn delete_entry(
    State(agent): Mesh,
    caller: Caller,
    Path((kind, name)): Path<(String, String)>,
) -> Answer {
    caller.need_write("service", &name)?;
    agent.catalog.change(|c| {
        if c.state.entries.remove(&format!("{kind}/{name}")).is_some() {
            c.touch(topic::ENTRIES);
        }
        if kind == "service-intentions" {
            c.state.intentions.retain(|i| i.destination != name);
            c.touch(topic::INTENTIONS);
        }
    });
    Ok(Json(json!({})))
}

/// `?source=` and `?destination=`.
pub(crate) fn ends(caller: &Caller) -> Result<(String, String), ApiError> {
    let get = |key: &str| {
        let missing = || ApiError::bad(format!("required query parameter '{key}' not set"));
        caller.query.get(key).cloned().ok_or_else(missing)
    };
    Ok((get("source")?, get("destination")?))
}

pub(crate) async fn intention(State(agent): Mesh, caller: Caller, body: Bytes) -> Answer {
    let (source, destination) = ends(&caller)?;
    caller.need_write("intention", &destination)?;
    let value: Value = model::decode(&body).map_err(ApiError::bad)?;
    let allow = action(value["Action"].as_str().unwrap_or_default())?;
    agent.catalog.change(|c| put_intention(c, &source, &destination, allow));
    Ok(Json(true.into()))
}

pub(crate) async fn delete_intention(State(agent): Mesh, caller: Caller) -> Answer {
    let (source, destination) = ends(&caller)?;
    caller.need_write("intention", &destination)?;
    agent.catalog.change(|c| {
        c.state.intentions.retain(|i| i.source != source || i.destination != destination);
        c.touch(topic::INTENTIONS);
    });
    Ok(Json(true.into()))
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Deregistration {
    node: String,
    #[serde(rename = "ServiceID")]
    service_id: String,
    #[serde(rename = "CheckID")]
    check_id: String,
}

/// Takes something out of the catalog behind the back of its agent, whose next full
/// synchronisation brings it back.
pub(crate) async fn deregister(State(agent): Mesh, caller: Caller, body: Bytes) -> Answer {
    let what: Deregistration = model::decode(&body).map_err(ApiError::bad)?;
    caller.need_write("node", &what.node)?;
    agent.catalog.change(|c| match (what.service_id.as_str(), what.check_id.as_str()) {
        ("", "") => c.remove_node(&what.node),
        ("", check) => c.remove_check(&what.node, check),
        (service, _) => c.remove_service(&what.node, service),
    });
    Ok(Json(true.into()))
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct NewPolicy {
    name: String,
    rules: String,
}

pub(crate) async fn policy(State(agent): Mesh, caller: Caller, body: Bytes) -> Answer {
    caller.need_write("acl", "")?;
    let NewPolicy { name, rules } = model::decode(&body).map_err(ApiError::bad)?;
    let parsed = acl::parse_rules(&rules).map_err(ApiError::bad)?;
    agent.catalog.change(|c| {
        c.state.acl.policies.insert(name.clone(), parsed);
        c.touch("acl");
    });
    Ok(Json(json!({"ID": random::uuid(), "Name": name, "Rules": rules})))
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Link {
    name: String,
    service_name: String,
    node_name: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct NewToken {
    #[serde(rename = "AccessorID")]
    accessor: String,
    #[serde(rename = "SecretID")]
    secret: String,
    policies: Vec<Link>,
    service_identities: Vec<Link>,
    node_identities: Vec<Link>,
}

pub(crate) async fn token(State(agent): Mesh, caller: Caller, body: Bytes) -> Answer {
    caller.need_write("acl", "")?;
    let new: NewToken = model::decode(&body).map_err(ApiError::bad)?;
    let or_new = |text: String| if text.is_empty() { random::uuid() } else { text };
    let token = Token {
        accessor: or_new(new.accessor),
        secret: or_new(new.secret),
        policies: new.policies.into_iter().map(|l| l.name).collect(),
        services: new.service_identities.into_iter().map(|l| l.service_name).collect(),
        nodes: new.node_identities.into_iter().map(|l| l.node_name).collect(),
        ..Token::default()
    };
    let known = |p: &String| {
        p == acl::MANAGEMENT || { agent.catalog.read(|s| s.acl.policies.contains_key(p)) }
    };
    if let Some(policy) = token.policies.iter().find(|p| !known(p)) {
        return Err(ApiError::internal(format!("No such ACL policy with name \"{policy}\"")));
    }
    let answer = json!({"AccessorID": token.accessor, "SecretID": token.secret});
    agent.catalog.change(|c| {
        c.state.acl.tokens.insert(token.secret.clone(), token);
        c.touch("acl");
    });
    Ok(Json(answer))
}

pub(crate) async fn delete_token(
    State(agent): Mesh,
    caller: Caller,
    Path(accessor): Path<String>,
) -> Answer {
    caller.need_write("acl", "")?;
    agent.catalog.change(|c| {
        c.state.acl.tokens.retain(|_, t| t.accessor != accessor);
        c.touch("acl");
    });
    Ok(Json(true.into()))
}
