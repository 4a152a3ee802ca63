//! `/v1/agent/*`: the agent itself.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ApiError, Caller};
use crate::mesh::VERSION;
use crate::mesh::acl::Access;
use crate::mesh::agent::{Agent, lock};
use crate::mesh::catalog::Member;
use crate::mesh::model;

type Mesh = State<Arc<Agent>>;
type Answer = Result<Json<Value>, ApiError>;

fn member(member: &Member) -> Value {
    json!({
        "Name": member.name, "Addr": member.address, "Port": member.port,
        "Tags": {
            "id": member.id, "role": if member.server { "consul" } else { "node" },
            "dc": "", "build": format!("{VERSION}:"), "vsn": "2",
        },
        "Status": member.status, "ProtocolMin": 1, "ProtocolMax": 5, "ProtocolCur": 2,
        "DelegateMin": 2, "DelegateMax": 5, "DelegateCur": 4,
    })
}

pub(crate) async fn whoami(State(agent): Mesh, caller: Caller) -> Answer {
    let config = &agent.config;
    caller.need_read("agent", &config.node_name)?;
    let own = agent.catalog.read(|s| s.members.get(&config.node_name).map(member));
    let own = own.unwrap_or_else(|| {
        member(&Member {
            name: config.node_name.clone(),
            id: config.node_id.clone(),
            address: agent.address().to_string(),
            port: config.serf_port,
            server: config.server,
            status: 1,
        })
    });
    let grpc = config.grpc.as_ref().map_or(-1, |g| i32::from(g.port));
    Ok(Json(json!({
        "Config": {
            "Datacenter": config.datacenter, "PrimaryDatacenter": config.datacenter,
            "NodeName": config.node_name, "NodeID": config.node_id, "Revision": "",
            "Server": config.server, "Version": VERSION,
            "BuildDate": "1970-01-01T00:00:01Z", "BindAddr": config.bind_addr,
        },
        "DebugConfig": {
            "ACLsEnabled": config.acl.enabled, "ServerMode": config.server,
            "LeaveOnTerm": config.leave_on_terminate, "GRPCPort": grpc,
        },
        "Member": own,
        "Stats": {
            "agent": {"checks": agent.local.read(|s| s.checks.len()).to_string(),
                      "services": agent.local.read(|s| s.services.len()).to_string()},
            "consul": {"server": config.server.to_string(),
                       "known_servers": u8::from(agent.joined.borrow().is_some()).to_string()},
        },
        "Meta": {"consul-network-segment": "", "consul-version": VERSION},
        "xDS": {
            "SupportedProxies": {"envoy": ["1.35.6", "1.34.7", "1.33.9", "1.32.12"]},
            "Port": grpc, "Ports": {"Plaintext": grpc, "TLS": -1},
        },
    })))
}

pub(crate) async fn members(State(agent): Mesh, caller: Caller) -> Answer {
    let visible = |m: &&Member| caller.may_read("node", &m.name);
    Ok(Json(agent.catalog.read(|s| s.members.values().filter(visible).map(member).collect())))
}

pub(crate) async fn metrics(State(agent): Mesh, caller: Caller) -> Answer {
    caller.need_read("agent", &agent.config.node_name)?;
    Ok(Json(json!({
        "Timestamp": jiff::Timestamp::now().to_string(),
        "Gauges": [], "Points": [], "Counters": [], "Samples": [],
    })))
}

pub(crate) async fn reload(State(agent): Mesh, caller: Caller) -> Result<(), ApiError> {
    caller.need_write("agent", &agent.config.node_name)?;
    agent.reload().map_err(ApiError::internal)
}

pub(crate) async fn leave(State(agent): Mesh, caller: Caller) -> Result<(), ApiError> {
    caller.need_write("agent", &agent.config.node_name)?;
    let mut left = agent.left.subscribe();
    agent.ask_to_leave();
    // The sender lives as long as the agent.
    drop(left.wait_for(|left| *left).await);
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NewToken {
    token: String,
}

pub(crate) async fn token(
    State(agent): Mesh,
    caller: Caller,
    Path(kind): Path<String>,
    body: Bytes,
) -> Result<(), ApiError> {
    caller.need_write("agent", &agent.config.node_name)?;
    let NewToken { token } = model::decode(&body).map_err(ApiError::bad)?;
    let mut tokens = agent.tokens.write().unwrap_or_else(std::sync::PoisonError::into_inner);
    match kind.as_str() {
        "agent" | "acl_agent_token" => tokens.agent = token,
        "default" | "acl_token" => tokens.default = token,
        "agent_recovery" | "agent_master" | "recovery" => tokens.agent_recovery = token,
        "replication" | "acl_replication_token" => tokens.replication = token,
        _ => return Err(ApiError::missing(format!("Token \"{kind}\" is unknown"))),
    }
    Ok(())
}

pub(crate) async fn maintenance(State(agent): Mesh, caller: Caller) -> Result<(), ApiError> {
    caller.need_write("node", &agent.config.node_name)?;
    let (on, reason) = switch(&caller)?;
    agent.local.maintenance(None, on, reason, &caller.token);
    Ok(())
}

/// `?enable=` and `?reason=` of a maintenance request.
pub(crate) fn switch(caller: &Caller) -> Result<(bool, &str), ApiError> {
    let reason = caller.query.get("reason").map_or("", String::as_str);
    match caller.query.get("enable").map(String::as_str) {
        Some("true" | "1") => Ok((true, reason)),
        Some("false" | "0") => Ok((false, reason)),
        Some(other) => Err(ApiError::bad(format!("Invalid value for enable: \"{other}\""))),
        None => Err(ApiError::bad("Missing value for enable")),
    }
}

pub(crate) async fn roots(
    State(agent): Mesh,
    caller: Caller,
) -> Result<axum::response::Response, ApiError> {
    caller
        .query(&agent, |s| {
            let id = "de:5e:10:00";
            let root = json!({
                "ID": id, "Name": "Development mesh CA", "SerialNumber": 1,
                "ExternalTrustDomain": s.root.trust_domain.trim_end_matches(".consul"),
                "RootCert": s.root.cert_pem, "IntermediateCerts": null, "Active": true,
                "PrivateKeyType": "ec", "PrivateKeyBits": 256, "CreateIndex": 1, "ModifyIndex": 1,
            });
            let trust_domain = &s.root.trust_domain;
            let list = json!({"ActiveRootID": id, "TrustDomain": trust_domain, "Roots": [root]});
            // The root never changes, so a blocking query runs into its wait.
            (1, list)
        })
        .await
}

pub(crate) async fn leaf(
    State(agent): Mesh,
    caller: Caller,
    Path(service): Path<String>,
) -> Answer {
    // Consul 1.23 answers from the agent's cache to whoever may read the service (measured).
    let cached = lock(&agent.leaves).contains_key(&service);
    if !(cached && caller.authz.may("service", &service, Access::Read)) {
        caller.need_write("service", &service)?;
    }
    let leaf = agent.leaf(&service).await.map_err(ApiError::internal)?;
    Ok(Json(serde_json::to_value(leaf).unwrap_or_default()))
}
