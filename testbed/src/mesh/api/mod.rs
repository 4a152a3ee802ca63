//! The HTTP API, one router for servers and clients: agent endpoints act on the local state,
//! reads come from the catalog copy, writes to the catalog are forwarded to the server.

mod agent;
mod catalog;
mod login;
mod reply;
mod service;
mod write;

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{delete, get, post, put};

pub(crate) use reply::{ApiError, Caller};

use super::agent::Agent;

/// The whole public API.
pub(crate) fn router(agent: Arc<Agent>) -> Router {
    let local = Router::new()
        .route("/v1/agent/self", get(agent::whoami))
        .route("/v1/agent/members", get(agent::members))
        .route("/v1/agent/metrics", get(agent::metrics))
        .route("/v1/agent/reload", put(agent::reload))
        .route("/v1/agent/leave", put(agent::leave))
        .route("/v1/agent/token/{kind}", put(agent::token))
        .route("/v1/agent/maintenance", put(agent::maintenance))
        .route("/v1/agent/connect/ca/roots", get(agent::roots))
        .route("/v1/agent/connect/ca/leaf/{service}", get(agent::leaf))
        .route("/v1/connect/ca/roots", get(agent::roots))
        .route("/v1/agent/services", get(service::services))
        .route("/v1/agent/checks", get(service::checks))
        .route("/v1/agent/service/{id}", get(service::service))
        .route("/v1/agent/service/register", put(service::register))
        .route("/v1/agent/service/deregister/{id}", put(service::deregister))
        .route("/v1/agent/service/maintenance/{id}", put(service::maintenance))
        .route("/v1/agent/check/register", put(service::check_register))
        .route("/v1/agent/check/deregister/{id}", put(service::check_deregister))
        .route("/v1/agent/check/update/{id}", put(service::check_update))
        .route("/v1/agent/health/service/id/{id}", get(service::health));
    let reads = Router::new()
        .route("/v1/status/leader", get(catalog::leader))
        .route("/v1/status/peers", get(catalog::peers))
        .route("/v1/health/service/{name}", get(catalog::health_service))
        .route("/v1/health/connect/{name}", get(catalog::health_connect))
        .route("/v1/health/node/{node}", get(catalog::health_node))
        .route("/v1/health/checks/{name}", get(catalog::health_checks))
        .route("/v1/catalog/nodes", get(catalog::nodes))
        .route("/v1/catalog/services", get(catalog::services))
        .route("/v1/catalog/service/{name}", get(catalog::service))
        .route("/v1/catalog/connect/{name}", get(catalog::connect))
        .route("/v1/acl/tokens", get(login::tokens))
        .route("/v1/config/{kind}", get(catalog::entries))
        .route("/v1/config/{kind}/{name}", get(catalog::entry))
        .route("/v1/connect/intentions", get(catalog::intentions))
        .route("/v1/connect/intentions/exact", get(catalog::intention));
    let writes = Router::new()
        .route("/v1/config", put(write::entry))
        .route("/v1/config/{kind}/{name}", delete(write::delete_entry))
        .route("/v1/connect/intentions/exact", put(write::intention))
        .route("/v1/connect/intentions/exact", delete(write::delete_intention))
        .route("/v1/catalog/deregister", put(write::deregister))
        .route("/v1/acl/policy", put(write::policy))
        .route("/v1/acl/login", post(login::login))
        .route("/v1/acl/logout", post(login::logout))
        .route("/v1/acl/token", put(write::token))
        .route("/v1/acl/token/self", get(login::own))
        .route("/v1/acl/token/{accessor}", delete(write::delete_token))
        .route_layer(axum::middleware::from_fn_with_state(agent.clone(), write::forward));
    local.merge(reads).merge(writes).fallback(unknown).with_state(agent)
}

async fn unknown() -> (StatusCode, &'static str) {
    (StatusCode::NOT_FOUND, "Invalid URL path: not a recognized HTTP API endpoint\n")
}
