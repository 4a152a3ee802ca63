//! `/v1/agent/service/*` and `/v1/agent/check/*`: the local state.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, timeout_at};

use super::agent::switch;
use super::{ApiError, Caller};
use crate::mesh::agent::Agent;
use crate::mesh::local::{LocalCheck, UpdateError};
use crate::mesh::model::{self, Service};
use crate::mesh::resolved::resolve;

type Mesh = State<Arc<Agent>>;
type Answer = Result<Json<Value>, ApiError>;

fn unknown_service(id: &str) -> ApiError {
    ApiError::missing(format!(
        "Unknown service ID \"{id}\". Ensure that the service ID is passed, not the service name."
    ))
}

fn unknown_check(id: &str) -> ApiError {
    ApiError::missing(format!(
        "Unknown check ID \"{id}\". Ensure that the check ID is passed, not the check name."
    ))
}

/// A service as the agent shows it, with what central configuration adds.
fn show(agent: &Agent, service: &Service) -> Map<String, Value> {
    let mut service = service.clone();
    if let Some(proxy) = &mut service.proxy {
        *proxy = agent.catalog.read(|s| resolve(proxy, s));
    }
    let mut value = match serde_json::to_value(service) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    };
    value.insert("Datacenter".into(), agent.config.datacenter.clone().into());
    value
}

pub(crate) async fn services(State(agent): Mesh, caller: Caller) -> Answer {
    let all: Vec<Service> =
        agent.local.read(|s| s.services.values().map(|s| s.service.clone()).collect());
    let visible = all.iter().filter(|s| caller.may_read("service", &s.service));
    Ok(Json(visible.map(|s| (s.id.clone(), Value::from(show(&agent, s)))).collect()))
}

fn check_json(agent: &Agent, check: &LocalCheck) -> Value {
    check.check.json(&agent.config.node_name)
}

pub(crate) async fn checks(State(agent): Mesh, caller: Caller) -> Answer {
    let visible = |check: &&LocalCheck| match check.check.service_name.as_str() {
        "" => caller.may_read("node", &agent.config.node_name),
        service => caller.may_read("service", service),
    };
    Ok(Json(agent.local.read(|s| {
        let list = s.checks.values().filter(visible);
        list.map(|c| (c.check.id.clone(), check_json(&agent, c))).collect()
    })))
}

/// One service; with `?hash=` it waits until the service is no longer the hashed one.
pub(crate) async fn service(
    State(agent): Mesh,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let deadline = Instant::now() + caller.wait()?;
    let asked = caller.query.get("hash").map_or("", String::as_str);
    let mut changes = agent.local.subscribe();
    loop {
        changes.mark_unchanged();
        let found = agent.local.read(|s| s.services.get(&id).map(|s| s.service.clone()));
        let Some(found) = found else {
            return Err(ApiError::missing(format!("unknown service ID: {id}")));
        };
        caller.need_read("service", &found.service)?;
        let mut shown = show(&agent, &found);
        let hash = content_hash(&shown);
        let waited = if hash == asked {
            timeout_at(deadline, changes.changed()).await.is_err()
        } else {
            true
        };
        if waited {
            shown.insert("ContentHash".into(), hash.clone().into());
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_str(&hash) {
                headers.insert(HeaderName::from_static("x-consul-contenthash"), value);
            }
            return Ok((headers, Json(Value::from(shown))).into_response());
        }
    }
}

fn content_hash(shown: &Map<String, Value>) -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    Value::from(shown.clone()).to_string().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

pub(crate) async fn register(
    State(agent): Mesh,
    caller: Caller,
    body: Bytes,
) -> Result<(), ApiError> {
    let registration = model::decode_registration(&body).map_err(ApiError::bad)?;
    let (service, checks) = registration.resolve().map_err(ApiError::bad)?;
    caller.need_write("service", &service.service)?;
    if service.kind == "connect-proxy" {
        caller.need_write("service", service.mesh_name())?;
    }
    // A new proxy needs what the servers know of its service (tried on Consul 1.8.7 and 1.23).
    let new = agent.local.read(|s| !s.services.contains_key(&service.id));
    if service.kind == "connect-proxy" && new && agent.joined.borrow().is_none() {
        let why = "could not retrieve initial service_defaults config for service";
        let text = format!("{why} \"{}\": No known Consul servers", service.id);
        return Err(ApiError::internal(text));
    }
    // Taking over another service's ID needs a right on that service too.
    let old = agent.local.read(|s| s.services.get(&service.id).map(|s| s.service.service.clone()));
    if let Some(old) = old {
        caller.need_write("service", &old)?;
    }
    kept(&agent)?;
    let replace = caller.flag("replace-existing-checks");
    agent.local.register(service, checks, &caller.token, replace);
    Ok(())
}

fn need_service(agent: &Agent, caller: &Caller, id: &str) -> Result<(), ApiError> {
    let name = agent.local.read(|s| s.services.get(id).map(|s| s.service.service.clone()));
    caller.need_write("service", &name.ok_or_else(|| unknown_service(id))?)
}

pub(crate) async fn deregister(
    State(agent): Mesh,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<(), ApiError> {
    need_service(&agent, &caller, &id)?;
    agent.local.deregister(&id);
    Ok(())
}

pub(crate) async fn maintenance(
    State(agent): Mesh,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<(), ApiError> {
    let (on, reason) = switch(&caller)?;
    need_service(&agent, &caller, &id)?;
    let check = format!("_service_maintenance:{id}");
    if agent.local.read(|s| s.checks.contains_key(&check)) == on {
        return Ok(());
    }
    agent.local.maintenance(Some(&id), on, reason, &caller.token);
    kept(&agent)
}

pub(crate) async fn check_register(
    State(agent): Mesh,
    caller: Caller,
    body: Bytes,
) -> Result<(), ApiError> {
    let mut check = model::decode_check(&body).map_err(ApiError::bad)?;
    if check.name.is_empty() {
        return Err(ApiError::bad("Missing check name"));
    }
    check.validate().map_err(ApiError::bad)?;
    check.check_id = if check.id.is_empty() { check.name.clone() } else { check.id.clone() };
    if check.service_id.is_empty() {
        caller.need_write("node", &agent.config.node_name)?;
    } else {
        let id = &check.service_id;
        let name = agent.local.read(|s| s.services.get(id).map(|s| s.service.service.clone()));
        let missing = || ApiError::missing(format!("ServiceID \"{id}\" does not exist"));
        caller.need_write("service", &name.ok_or_else(missing)?)?;
    }
    agent.local.add_check(check, &caller.token).map_err(ApiError::missing)?;
    kept(&agent)
}

/// A change of a check that cannot be kept in the data folder is made and refused (seen on Consul 1.8.7 and 1.23).
fn kept(agent: &Agent) -> Result<(), ApiError> {
    agent.local.can_keep().map_err(ApiError::internal)
}

fn need_check(agent: &Agent, caller: &Caller, id: &str) -> Result<(), ApiError> {
    let service = agent.local.read(|s| s.checks.get(id).map(|c| c.check.service_name.clone()));
    match service.ok_or_else(|| unknown_check(id))?.as_str() {
        "" => caller.need_write("node", &agent.config.node_name),
        service => caller.need_write("service", service),
    }
}

pub(crate) async fn check_deregister(
    State(agent): Mesh,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<(), ApiError> {
    need_check(&agent, &caller, &id)?;
    agent.local.remove_check(&id);
    kept(&agent)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
#[derive(Default)]
struct Update {
    status: String,
    output: String,
}

pub(crate) async fn check_update(
    State(agent): Mesh,
    caller: Caller,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<(), ApiError> {
    let update: Update = model::decode(&body).map_err(ApiError::bad)?;
    if !matches!(update.status.as_str(), "passing" | "warning" | "critical") {
        return Err(ApiError::bad(format!("Invalid check status: '{}'", update.status)));
    }
    need_check(&agent, &caller, &id)?;
    agent.local.update_ttl(&id, &update.status, &update.output).map_err(|e| match e {
        UpdateError::Unknown => unknown_check(&id),
        UpdateError::NoTtl => {
            ApiError::internal(format!("CheckID \"{id}\" does not have associated TTL"))
        }
    })
}

pub(crate) async fn health(
    State(agent): Mesh,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let found = agent.local.read(|s| s.services.get(&id).map(|s| s.service.clone()));
    let Some(found) = found else {
        return Err(ApiError::missing(format!("ServiceId {id} not found")));
    };
    caller.need_read("service", &found.service)?;
    let shown = show(&agent, &found);
    let (status, checks) = agent.local.read(|s| {
        let own =
            s.checks.values().filter(|c| c.check.service_id == id || c.check.service_id.is_empty());
        let own: Vec<&LocalCheck> = own.collect();
        let any = |status: &str| own.iter().any(|c| c.check.status == status);
        let status = if own.iter().any(|c| c.check.kind == "maintenance") {
            "maintenance"
        } else if any("critical") {
            "critical"
        } else if any("warning") {
            "warning"
        } else {
            "passing"
        };
        (status, own.iter().map(|c| check_json(&agent, c)).collect::<Vec<_>>())
    });
    let code = match status {
        "passing" => StatusCode::OK,
        "warning" => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    let body = json!({"AggregatedStatus": status, "Service": shown, "Checks": checks});
    Ok((code, Json(body)))
}
