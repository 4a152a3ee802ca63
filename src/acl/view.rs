//! What the controller says of itself: `/ready`, `/v1/status`, `/metrics`.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use tokio::sync::watch;

/// The state of the controller. Times are in seconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Status {
    pub(crate) cluster: String,
    /// One round was whole, and the agents' own token is there; or another controller leads.
    pub(crate) ready: bool,
    /// It writes: it leads, or has no others beside it.
    pub(crate) leader: bool,
    /// What the leader calls itself, if it is another one.
    pub(crate) follows: Option<String>,
    /// Tasks that ECS lists, on the mesh or not.
    pub(crate) tasks: usize,
    /// Services that have tasks.
    pub(crate) services: usize,
    pub(crate) rounds: u64,
    /// How long the last whole round took.
    pub(crate) round_seconds: f64,
    /// Changes made, by kind.
    pub(crate) changes: BTreeMap<&'static str, u64>,
    /// Calls of AWS and Consul.
    pub(crate) calls: BTreeMap<&'static str, u64>,
    /// Those that failed, as `CALL: KIND`.
    pub(crate) errors: BTreeMap<String, u64>,
    /// What is wrong now.
    pub(crate) problems: Vec<Problem>,
}

/// What is wrong with one service, or with the rounds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Problem {
    pub(crate) what: String,
    pub(crate) why: String,
    pub(crate) for_seconds: f64,
}

type Published = watch::Receiver<Arc<Status>>;

/// The API.
pub(crate) fn router(published: Published) -> Router {
    Router::new()
        .route("/ready", get(ready))
        .route("/v1/status", get(status))
        .route("/metrics", get(metrics))
        .with_state(published)
}

async fn ready(State(published): State<Published>) -> impl IntoResponse {
    let status = Arc::clone(&published.borrow());
    let code = if status.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (
        code,
        // The form that `taskmesh healthcheck` reads: whoever answers lives. What is wrong at AWS or Consul, a new task
        // of the controller would not mend.
        Json(json!({
            "healthy": true, "phase": "controller", "pending": [], "ready": status.ready,
            "leader": status.leader, "follows": status.follows, "problems": status.problems,
        })),
    )
}

async fn status(State(published): State<Published>) -> impl IntoResponse {
    let status = Arc::clone(&published.borrow());
    Json((*status).clone())
}

async fn metrics(State(published): State<Published>) -> impl IntoResponse {
    let status = Arc::clone(&published.borrow());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text(&status))
}

/// The status in Prometheus's text format
/// (<https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>).
fn text(status: &Status) -> String {
    let mut out = String::new();
    let mut family = |name: &str, kind: &str, help: &str, values: &[(String, f64)]| {
        let _never = writeln!(out, "# HELP taskmesh_controller_{name} {help}");
        let _never = writeln!(out, "# TYPE taskmesh_controller_{name} {kind}");
        for (labels, value) in values {
            let _never = writeln!(out, "taskmesh_controller_{name}{labels} {value}");
        }
    };
    let one = |value: f64| [(String::new(), value)];
    let by = |label: &str, values: &mut dyn Iterator<Item = (&str, u64)>| {
        let line = |(key, n): (&str, u64)| (format!("{{{label}=\"{}\"}}", escaped(key)), n as f64);
        values.map(line).collect::<Vec<_>>()
    };
    family("ready", "gauge", "One round was whole", &one(f64::from(u8::from(status.ready))));
    family("leader", "gauge", "It writes", &one(f64::from(u8::from(status.leader))));
    family("tasks", "gauge", "Tasks that ECS lists", &one(status.tasks as f64));
    family("services", "gauge", "Services that have tasks", &one(status.services as f64));
    family("rounds_total", "counter", "Rounds", &one(status.rounds as f64));
    family("round_seconds", "gauge", "Length of the last whole round", &one(status.round_seconds));
    let changes = by("kind", &mut status.changes.iter().map(|(kind, n)| (*kind, *n)));
    family("changes_total", "counter", "Changes made", &changes);
    let calls = by("call", &mut status.calls.iter().map(|(call, n)| (*call, *n)));
    family("calls_total", "counter", "Calls of AWS and Consul", &calls);
    let errors = by("error", &mut status.errors.iter().map(|(error, n)| (error.as_str(), *n)));
    family("errors_total", "counter", "Calls that failed", &errors);
    family("problems", "gauge", "What is wrong now", &one(status.problems.len() as f64));
    out
}

/// A label's value.
fn escaped(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metrics_are_in_prometheus_format() {
        let status = Status {
            tasks: 3,
            changes: [("create-token", 2)].into(),
            errors: [("acl/tokens: \"x\"\n".to_owned(), 1)].into(),
            ..Status::default()
        };
        let text = text(&status);
        for line in [
            "# TYPE taskmesh_controller_tasks gauge",
            "taskmesh_controller_tasks 3",
            "taskmesh_controller_changes_total{kind=\"create-token\"} 2",
            r#"taskmesh_controller_errors_total{error="acl/tokens: \"x\"\n"} 1"#,
        ] {
            assert!(text.lines().any(|l| l == line), "{line}: {text}");
        }
    }
}
