//! A gate between the controller and what it talks to, AWS and Consul: it counts calls, and is slow, refuses or holds a
//! call back where it is told to.

mod bucket;
mod fleet;

pub use fleet::Fleet;

use crate::net::{Host, HostTask};
use anyhow::{Context, Result};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bucket::Bucket;
use serde_json::json;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// On which side of the servers a held call stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// They never hear of it.
    Before,
    /// They have done it, and their answer does not arrive.
    After,
}

/// A call that has arrived.
#[derive(Debug, Clone)]
pub struct Call {
    /// `ListTasks`, `PUT acl/token`.
    pub name: String,
    /// When it came.
    pub arrived: Instant,
    /// When it was answered.
    pub answered: Option<Instant>,
}

#[derive(Default)]
struct Shared {
    latency: Duration,
    delays: Vec<(&'static str, Duration)>,
    /// Calls with this name get their answers later.
    kept: Option<&'static str>,
    calls: Vec<Call>,
    writes: u64,
    refused: u64,
    limits: Vec<(Vec<&'static str>, Bucket)>,
    /// At the write with this number, counted from 1.
    hold: Option<(u64, Hold)>,
    /// Every write with a number that this divides is cut.
    cut: Option<(u64, Edge)>,
    fleet: Option<Fleet>,
}

/// See the module's text. Ends when it is dropped.
pub struct Gate {
    shared: Arc<Mutex<Shared>>,
    aws: String,
    consul: String,
    tasks: [HostTask<()>; 2],
}

impl Gate {
    /// Opens one on a host, before AWS and Consul at these URLs.
    ///
    /// # Errors
    /// If it cannot listen.
    pub async fn start(host: &Host, aws: &str, consul: &str) -> Result<Self> {
        let shared = Arc::<Mutex<Shared>>::default();
        let (aws, of_aws) = side(host, &shared, aws).await?;
        let (consul, of_consul) = side(host, &shared, consul).await?;
        Ok(Self { shared, aws, consul, tasks: [of_aws, of_consul] })
    }

    /// For `AWS_ENDPOINT_URL`.
    pub fn aws(&self) -> &str {
        &self.aws
    }

    /// For `CONSUL_HTTP_ADDR`.
    pub fn consul(&self) -> &str {
        &self.consul
    }

    /// Every call takes so much longer.
    pub fn latency(&self, latency: Duration) {
        self.shared().latency = latency;
    }

    /// Calls of this name take so much longer besides.
    pub fn delay(&self, call: &'static str, by: Duration) {
        self.shared().delays.push((call, by));
    }

    /// Keeps the answers of calls with this name, those under way too; with `None` of none any more.
    pub fn keep_answers(&self, of: Option<&'static str>) {
        self.shared().kept = of;
    }

    /// These calls of AWS share a bucket of so many a second, and so many at once; beyond it they are refused as AWS does.
    pub fn limit(&self, calls: &[&'static str], rate: f64, burst: f64) {
        self.shared().limits.push((calls.to_vec(), Bucket::new(rate, burst)));
    }

    /// From now on these are the tasks that ECS lists, whatever there is behind the gate.
    pub fn fleet(&self, change: impl FnOnce(&mut Fleet)) {
        change(self.shared().fleet.get_or_insert_default());
    }

    /// Calls in the order in which they came, without the first ones.
    pub fn calls_after(&self, first: usize) -> Vec<Call> {
        self.shared().calls.get(first..).unwrap_or_default().to_vec()
    }

    /// How many have come.
    pub fn count(&self) -> usize {
        self.shared().calls.len()
    }

    /// Calls that change secrets, policies or tokens.
    pub fn writes(&self) -> u64 {
        self.shared().writes
    }

    /// Calls of this name that have come and are not answered.
    pub fn under_way(&self, call: &str) -> usize {
        let waits = |known: &&Call| known.answered.is_none() && known.name == call;
        self.shared().calls.iter().filter(waits).count()
    }

    /// Calls that were refused as too many.
    pub fn refused(&self) -> u64 {
        self.shared().refused
    }

    /// Holds the `n`-th write from now on, for ever, and tells which one it is.
    pub fn hold(&self, n: u64, edge: Edge) -> oneshot::Receiver<String> {
        let (tell, told) = oneshot::channel();
        let mut shared = self.shared();
        shared.hold = Some((shared.writes + n, Hold::For { edge, tell }));
        told
    }

    /// Cuts the connection of every `n`-th write; with `None` of none any more.
    pub fn cut(&self, every: Option<(u64, Edge)>) {
        self.shared().cut = every;
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        lock(&self.shared)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.tasks.iter_mut().for_each(HostTask::abort);
    }
}

/// A poisoned lock only means that a test has failed elsewhere.
fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a side needs to pass a call on.
#[derive(Clone)]
struct Side {
    shared: Arc<Mutex<Shared>>,
    to: String,
    client: reqwest::Client,
}

impl Side {
    /// The number of the next call: nothing comes between, for a host has one thread.
    fn calls_so_far(&self) -> usize {
        lock(&self.shared).calls.len()
    }

    fn answered(&self, number: usize) {
        if let Some(call) = lock(&self.shared).calls.get_mut(number) {
            call.answered = Some(Instant::now());
        }
    }
}

async fn side(
    host: &Host,
    shared: &Arc<Mutex<Shared>>,
    to: &str,
) -> Result<(String, HostTask<()>)> {
    let side = Side {
        shared: Arc::clone(shared),
        to: to.trim_end_matches('/').to_owned(),
        // No deadline: a blocking query waits.
        client: reqwest::Client::builder().no_proxy().tls_certs_only([]).build()?,
    };
    host.serve(Router::new().fallback(pass).with_state(side)).await
}

async fn pass(State(side): State<Side>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, 1 << 20).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let name = name(&head.method, head.uri.path(), &head.headers);
    let number = side.calls_so_far();
    let (latency, fault, answer) = arrives(&side.shared, &name, &body);
    tokio::time::sleep(latency).await;
    if let Some(answer) = answer {
        side.answered(number);
        return answer;
    }
    let fault = match fault {
        Some(fault) if fault.edge() == Edge::Before => return fault.happens(name).await,
        fault => fault,
    };
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let url = format!("{}{path}", side.to);
    let answer = forward(&side.client, head.method, url, head.headers, body).await;
    if let Some(fault) = fault {
        return fault.happens(name).await;
    }
    while lock(&side.shared).kept == Some(name.as_str()) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    side.answered(number);
    answer.unwrap_or_else(|e| (StatusCode::BAD_GATEWAY, format!("{e:#}")).into_response())
}

/// What becomes of a call besides being slow.
enum Hold {
    /// It is held for ever, and somebody is told of it.
    For { edge: Edge, tell: oneshot::Sender<String> },
    /// Its connection is cut.
    Cut { edge: Edge },
}

impl Hold {
    fn edge(&self) -> Edge {
        match self {
            Self::For { edge, .. } | Self::Cut { edge } => *edge,
        }
    }

    async fn happens(self, name: String) -> Response {
        match self {
            Self::For { tell, .. } => {
                _ = tell.send(name).is_ok();
                std::future::pending().await
            }
            // An answer that breaks off before it has begun is all that a handler can do: the connection ends with it.
            Self::Cut { .. } => {
                let broken = futures_util::stream::once(async {
                    Err::<Bytes, _>(std::io::Error::other("cut"))
                });
                ([(header::CONTENT_LENGTH, "1000")], Body::from_stream(broken)).into_response()
            }
        }
    }
}

/// Counts a call, and decides what becomes of it: how late, held back, answered here.
fn arrives(
    shared: &Mutex<Shared>,
    name: &str,
    body: &[u8],
) -> (Duration, Option<Hold>, Option<Response>) {
    let mut shared = lock(shared);
    let delays = shared.delays.iter().filter(|(call, _)| *call == name);
    let latency = shared.latency + delays.map(|(_, by)| *by).sum::<Duration>();
    shared.calls.push(Call { name: name.to_owned(), arrived: Instant::now(), answered: None });
    let mut limits = shared.limits.iter_mut();
    if limits.any(|(calls, bucket)| calls.contains(&name) && !bucket.take()) {
        shared.refused += 1;
        return (latency, None, Some(throttled()));
    }
    let mut fault = None;
    if is_write(name) {
        shared.writes += 1;
        let now = shared.writes;
        let cut = shared.cut.filter(|(every, _)| now.is_multiple_of(*every));
        let held = shared.hold.take_if(|(at, _)| *at == now).map(|(_, held)| held);
        fault = held.or(cut.map(|(_, edge)| Hold::Cut { edge }));
    }
    let answer = shared.fleet.as_ref().and_then(|fleet| fleet.answer(name, body));
    (latency, fault, answer.map(|json| aws(StatusCode::OK, json.to_string())))
}

async fn forward(
    client: &reqwest::Client,
    method: Method,
    url: String,
    mut headers: HeaderMap,
    body: Bytes,
) -> Result<Response> {
    for of_the_connection in [header::HOST, header::CONTENT_LENGTH, header::CONNECTION] {
        headers.remove(of_the_connection);
    }
    let sent = client.request(method, url).headers(headers).body(body).send();
    let answer = sent.await.context("no answer")?;
    let (status, mut headers) = (answer.status(), answer.headers().clone());
    for of_the_connection in [header::TRANSFER_ENCODING, header::CONTENT_LENGTH, header::CONNECTION]
    {
        headers.remove(of_the_connection);
    }
    let body = answer.bytes().await.context("no whole answer")?;
    Ok((status, headers, Body::from(body)).into_response())
}

/// AWS names its calls in a header; Consul's have their path, without what is one object's own.
fn name(method: &Method, path: &str, headers: &HeaderMap) -> String {
    let target = headers.get("x-amz-target").and_then(|value| value.to_str().ok());
    match target.and_then(|target| target.split('.').nth(1)) {
        Some(action) => action.to_owned(),
        None => {
            let path = path.trim_start_matches("/v1/");
            // A key is one object's own from its beginning.
            let fixed = if path.starts_with("kv/") { 1 } else { 2 };
            format!("{method} {}", path.split('/').take(fixed).collect::<Vec<_>>().join("/"))
        }
    }
}

fn is_write(name: &str) -> bool {
    ["CreateSecret", "UpdateSecret", "PutSecretValue"].contains(&name)
        || name.starts_with("PUT acl/")
        || name.starts_with("DELETE acl/")
}

fn throttled() -> Response {
    let body = json!({ "__type": "ThrottlingException", "message": "Rate exceeded" });
    aws(StatusCode::BAD_REQUEST, body.to_string())
}

fn aws(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/x-amz-json-1.1")], body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_named_without_what_is_one_objects_own() {
        let mut headers = HeaderMap::new();
        assert_eq!(name(&Method::PUT, "/v1/acl/policy/0123", &headers), "PUT acl/policy");
        assert_eq!(name(&Method::GET, "/v1/kv/taskmesh%2Fprod", &headers), "GET kv");
        headers.insert("x-amz-target", "secretsmanager.GetSecretValue".parse().expect("header"));
        assert_eq!(name(&Method::POST, "/", &headers), "GetSecretValue");
        for (name, writes) in [
            ("CreateSecret", true),
            ("DELETE acl/token", true),
            ("GET acl/tokens", false),
            ("PUT session/renew", false),
        ] {
            assert_eq!(is_write(name), writes, "{name}");
        }
    }
}
