//! A stand-in for Consul Enterprise's API of partitions, namespaces, policies and tokens. It enforces nothing: it keeps
//! what it gets, as the API's documentation has it, and writes down every change, to be compared with golden bodies.

use crate::net::{Host, HostTask};
use anyhow::Result;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A change: `PUT acl/policy?ns=default&partition=p1`, and its body.
pub type Change = (String, Value);

#[derive(Default)]
struct Kept {
    partitions: Vec<Value>,
    namespaces: Vec<Value>,
    policies: Vec<Value>,
    tokens: Vec<Value>,
    changes: Vec<Change>,
}

/// See the module's text. Ends when it is dropped.
pub struct Enterprise {
    kept: Arc<Mutex<Kept>>,
    url: String,
    task: HostTask<()>,
}

impl Enterprise {
    /// Starts it, without any partition.
    ///
    /// # Errors
    /// If it cannot listen.
    pub async fn start(host: &Host) -> Result<Self> {
        let kept = Arc::<Mutex<Kept>>::default();
        let router = Router::new().fallback(answer).with_state(Arc::clone(&kept));
        let (url, task) = host.serve(router).await?;
        Ok(Self { kept, url, task })
    }

    /// For `consul.address`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// All changes, in their order.
    pub fn changes(&self) -> Vec<Change> {
        lock(&self.kept).changes.clone()
    }
}

impl Drop for Enterprise {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(State(kept): State<Arc<Mutex<Kept>>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, 1 << 20).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let path = head.uri.path().trim_start_matches("/v1/").to_owned();
    let mut kept = lock(&kept);
    if head.method == Method::GET {
        return match kept.read(&path) {
            Some(value) => value.to_string().into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        };
    }
    let query = head.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let value: Value = serde_json::from_slice(&body).unwrap_or_default();
    kept.changes.push((format!("{} {path}{query}", head.method), value.clone()));
    kept.write(&path, value).to_string().into_response()
}

impl Kept {
    fn read(&self, path: &str) -> Option<Value> {
        let find =
            |all: &[Value], key: &str, id: &str| all.iter().find(|value| value[key] == id).cloned();
        match path.rsplit_once('/') {
            Some(("acl", "policies")) => Some(json!(self.policies)),
            Some(("acl", "tokens")) => Some(json!(self.tokens)),
            Some(("acl/policy", id)) => find(&self.policies, "ID", id),
            Some(("acl/token", id)) => find(&self.tokens, "AccessorID", id),
            Some(("partition", name)) => find(&self.partitions, "Name", name),
            None if path == "namespaces" => Some(json!(self.namespaces)),
            _ => None,
        }
    }

    fn write(&mut self, path: &str, mut value: Value) -> Value {
        match path {
            "acl/policy" => {
                value["ID"] = json!(format!("policy-{}", self.policies.len()));
                value["Hash"] = json!("h");
                self.policies.push(value.clone());
            }
            "acl/token" => self.tokens.push(value.clone()),
            "partition" => {
                self.namespaces.push(json!({ "Name": "default" }));
                self.partitions.push(value.clone());
            }
            "namespace" => self.namespaces.push(value.clone()),
            _ => {}
        }
        value
    }
}
