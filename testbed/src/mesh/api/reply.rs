//! Who asks, how long they wait, and how Consul words its answers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, http::HeaderValue};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::mesh::acl::{Access, Authz};
use crate::mesh::agent::Agent;
use crate::mesh::catalog::Snapshot;
use crate::mesh::{link, model, random};

/// An error answer: plain text, as Consul's.
#[derive(Debug)]
pub(crate) struct ApiError(pub(crate) StatusCode, pub(crate) String);

impl ApiError {
    pub(crate) fn bad(text: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, text.into())
    }

    pub(crate) fn missing(text: impl Into<String>) -> Self {
        Self(StatusCode::NOT_FOUND, text.into())
    }

    pub(crate) fn internal(text: impl Into<String>) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, text.into())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.0, self.1).into_response()
    }
}

/// The caller of a request: its rights and its query.
pub(crate) struct Caller {
    pub(crate) authz: Authz,
    /// The token as given, or the agent's default one.
    pub(crate) token: String,
    pub(crate) query: HashMap<String, String>,
}

impl FromRequestParts<Arc<Agent>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, agent: &Arc<Agent>) -> Result<Self, ApiError> {
        let Query(query) = Query::<HashMap<String, String>>::try_from_uri(&parts.uri)
            .map_err(|e| ApiError::bad(e.to_string()))?;
        if query.contains_key("filter") {
            return Err(ApiError::bad("filter expressions are not in the development mesh"));
        }
        for key in ["ns", "partition"] {
            if query.contains_key(key) {
                return Err(ApiError::bad(format!(
                    "Invalid query parameter: \"{key}\" - Consul Enterprise feature"
                )));
            }
        }
        let header = |name: &str| parts.headers.get(name).and_then(|v| v.to_str().ok());
        let bearer = header("authorization").and_then(|v| v.strip_prefix("Bearer "));
        let given = header("x-consul-token").or(bearer).or(query.get("token").map(String::as_str));
        let token = match given {
            Some(token) if !token.is_empty() => token.to_owned(),
            _ => agent.tokens().default,
        };
        let authz = agent
            .authz(&token)
            .ok_or_else(|| ApiError(StatusCode::FORBIDDEN, "ACL not found".into()))?;
        Ok(Self { authz, token, query })
    }
}

impl Caller {
    fn need(&self, resource: &str, name: &str, access: Access) -> Result<(), ApiError> {
        let denied = |text| ApiError(StatusCode::FORBIDDEN, text);
        self.authz.check(resource, name, access).map_err(denied)
    }

    pub(crate) fn need_read(&self, resource: &str, name: &str) -> Result<(), ApiError> {
        self.need(resource, name, Access::Read)
    }

    pub(crate) fn need_write(&self, resource: &str, name: &str) -> Result<(), ApiError> {
        self.need(resource, name, Access::Write)
    }

    pub(crate) fn may_read(&self, resource: &str, name: &str) -> bool {
        self.authz.may(resource, name, Access::Read)
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.query.get(name).is_some_and(|v| matches!(v.as_str(), "" | "1" | "true"))
    }

    /// How long a blocking query may wait: 5 minutes unless told, 10 at most, and a jitter.
    pub(crate) fn wait(&self) -> Result<Duration, ApiError> {
        let wait = match self.query.get("wait") {
            Some(text) => {
                model::duration(text).ok_or_else(|| ApiError::bad("Invalid wait time"))?
            }
            None => Duration::from_secs(300),
        };
        let wait = if wait.is_zero() { Duration::from_secs(300) } else { wait };
        let wait = wait.min(Duration::from_secs(600));
        Ok(wait + random::below(wait / 16))
    }

    fn index(&self) -> Result<u64, ApiError> {
        let text = self.query.get("index").map_or("0", String::as_str);
        text.parse().map_err(|_| ApiError::bad("Invalid index"))
    }

    /// A blocking query over the catalog: `look` gives the index of what it read and the answer.
    pub(crate) async fn query(
        &self,
        agent: &Agent,
        look: impl Fn(&Snapshot) -> (u64, Value),
    ) -> Result<Response, ApiError> {
        let deadline = Instant::now() + self.wait()?;
        if agent.joined.borrow().is_none() {
            return Err(ApiError::internal("No known Consul servers"));
        }
        if self.flag("consistent") {
            link::barrier(agent).await.map_err(ApiError::internal)?;
        }
        let asked = self.index()?;
        let mut changes = agent.catalog.subscribe();
        loop {
            changes.mark_unchanged();
            let (index, answer) = agent.catalog.read(&look);
            // An index from another life of the server must not block for ever.
            if asked == 0 || index > asked || agent.catalog.read(|s| s.index) < asked {
                return Ok(indexed(index, answer));
            }
            let changed = timeout_at(deadline, changes.changed()).await;
            if !matches!(changed, Ok(Ok(()))) {
                return Ok(indexed(index, answer));
            }
        }
    }
}

/// An answer with the headers of a catalog read.
fn indexed(index: u64, answer: Value) -> Response {
    let mut headers = HeaderMap::new();
    let mut put = |name: &'static str, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    put("x-consul-index", index.to_string());
    put("x-consul-knownleader", "true".into());
    put("x-consul-lastcontact", "0".into());
    put("x-consul-effective-consistency", "leader".into());
    (headers, Json(answer)).into_response()
}
