//! Logging in and out. Neither looks at the rights of a caller: the proof, and the token itself, are the rights.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{ApiError, Caller};
use crate::mesh::acl::Token;
use crate::mesh::agent::Agent;
use crate::mesh::model;

type Mesh = State<Arc<Agent>>;
type Answer = Result<Json<Value>, ApiError>;

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default, deny_unknown_fields)]
struct Login {
    auth_method: String,
    bearer_token: String,
    meta: Map<String, Value>,
}

/// What taskmesh says of each token of its own accord; Consul itself asks for nothing there.
const META: [&str; 2] = ["consul.hashicorp.com/task-id", "consul.hashicorp.com/cluster"];

fn forbidden(text: impl Into<String>) -> ApiError {
    ApiError(StatusCode::FORBIDDEN, text.into())
}

fn shown(token: &Token) -> Value {
    let mut shown = json!({
        "AccessorID": token.accessor, "Description": token.description, "Local": true,
        "AuthMethod": token.method, "CreateTime": token.created,
    });
    if let Some(end) = token.expires {
        shown["ExpirationTime"] = json!(end);
    }
    shown
}

pub(crate) async fn login(State(agent): Mesh, body: Bytes) -> Answer {
    let asked: Login = model::decode(&body).map_err(ApiError::bad)?;
    let method = agent.config.dev.auth_methods.iter().find(|m| m.name == asked.auth_method);
    let method = method.ok_or_else(|| {
        forbidden(format!("ACL not found: auth method \"{}\" not found", asked.auth_method))
    })?;
    if let Some(key) = META.iter().find(|key| !asked.meta.contains_key(**key)) {
        return Err(ApiError::bad(format!("devmesh: Meta lacks {key}")));
    }
    let token = method.token(&asked.bearer_token, &asked.meta).map_err(ApiError::internal)?;
    let mut answer = shown(&token);
    answer["SecretID"] = json!(token.secret);
    agent.catalog.change(|c| {
        c.state.acl.tokens.insert(token.secret.clone(), token);
        c.touch("acl");
    });
    Ok(Json(answer))
}

pub(crate) async fn logout(State(agent): Mesh, headers: HeaderMap) -> Answer {
    let secret = headers.get("x-consul-token").and_then(|value| value.to_str().ok());
    let secret = secret.filter(|secret| !secret.is_empty()).ok_or_else(|| {
        ApiError(StatusCode::UNAUTHORIZED, "Supplied token does not exist".to_owned())
    })?;
    let by_login =
        agent.catalog.read(|s| s.acl.tokens.get(secret).map(|token| !token.method.is_empty()));
    match by_login {
        None => return Err(forbidden("ACL not found")),
        Some(false) => {
            return Err(forbidden("Permission denied: token wasn't created via login"));
        }
        Some(true) => {}
    }
    agent.catalog.change(|c| {
        c.state.acl.tokens.remove(secret);
        c.touch("acl");
    });
    Ok(Json(true.into()))
}

/// All tokens, without their secrets.
/// The caller's own token, as the servers know it.
pub(crate) async fn own(State(agent): Mesh, caller: Caller) -> Answer {
    let known = agent.catalog.read(|s| s.acl.tokens.get(&caller.token).map(shown));
    known.map(Json).ok_or_else(|| forbidden("ACL not found"))
}

pub(crate) async fn tokens(State(agent): Mesh, caller: Caller) -> Answer {
    caller.need_read("acl", "")?;
    Ok(Json(agent.catalog.read(|s| s.acl.tokens.values().map(shown).collect())))
}
