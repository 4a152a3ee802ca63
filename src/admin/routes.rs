//! Paths, bodies and answers. Every answer is JSON, also an error: `{"error": "a sentence"}`.

use super::app::{Attached, Feed, Registry};
use super::guard;
use super::{Attach, Exited, ReadyView, Request, Source, Status, StatusView};
use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Path, State, rejection::PathRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::stream;
use serde::de::DeserializeOwned;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

/// Requests are a name and a number; anything longer is a mistake.
pub(super) const MAX_BODY: usize = 8 * 1024;

/// Within which a request's body must have arrived.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// Docker's own limit is 63, ECS's 255.
const MAX_NAME: usize = 255;

/// Streams of wrappers at the same time: ECS gives a task ten containers, and a wrapper that was restarted may attach
/// before the end of its old stream is seen.
const MAX_STREAMS: usize = 32;

/// Of one connection: which port it came to, and whether others want in.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) port: u16,
    /// What is left of the connections that may be open.
    pub(super) slots: Arc<Semaphore>,
    /// From so few on a connection is closed after its answer.
    pub(super) scarce: usize,
}

/// Of one connection: set by a stream that may stay open for as long as the task lives.
#[derive(Clone, Default)]
pub(super) struct LongLived(Arc<AtomicBool>);

impl LongLived {
    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Clone)]
struct Api {
    source: Source,
    apps: Registry,
    streams: Arc<Semaphore>,
}

/// The whole API. Every request must carry a [`LongLived`] and a [`Connection`] extension.
pub(super) fn router(source: Source) -> Router {
    Router::new()
        .route("/ready", get(ready))
        .route("/v1/status", get(status))
        .route("/v1/timeline", get(timeline))
        .route("/v1/stop", post(stop))
        .route("/v1/apps", post(attach))
        .route("/v1/apps/{container}/started", post(started))
        .route("/v1/apps/{container}/term", post(term))
        .route("/v1/apps/{container}/exited", post(exited))
        .fallback(|| async { error(StatusCode::NOT_FOUND, "there is no such path") })
        .method_not_allowed_fallback(|| async {
            error(StatusCode::METHOD_NOT_ALLOWED, "this path has another method")
        })
        .layer(from_fn(guarded))
        .with_state(Api {
            source,
            apps: Registry::default(),
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
        })
}

/// Looks at a request before anything else does.
async fn guarded(
    Extension(connection): Extension<Connection>,
    request: axum::extract::Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    let mut response = match guard::refusal(connection.port, &parts) {
        Some((code, why)) => error(code, why),
        None => next.run(axum::extract::Request::from_parts(parts, body)).await,
    };
    // A client that keeps its connection keeps others out, where there are many.
    if connection.slots.available_permits() < connection.scarce {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

impl Api {
    fn now_ms(&self) -> f64 {
        self.source.epoch.elapsed().as_secs_f64() * 1000.0
    }

    fn status(&self) -> Arc<Status> {
        Arc::clone(&self.source.status.borrow())
    }

    /// Hands all of `requests` on, or none.
    fn hand_on<const N: usize>(&self, requests: [Request; N]) -> Result<(), Box<Response>> {
        use mpsc::error::TrySendError::{Closed, Full};
        let why = match self.source.requests.try_reserve_many(N) {
            Ok(permits) => {
                permits.zip(requests).for_each(|(permit, request)| permit.send(request));
                return Ok(());
            }
            Err(Full(())) => "the supervisor is busy; ask again",
            Err(Closed(())) => "the supervisor is ending",
        };
        Err(Box::new(error(StatusCode::SERVICE_UNAVAILABLE, why)))
    }
}

async fn ready(State(api): State<Api>) -> Response {
    let status = api.status();
    let code = if status.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json(code, &ReadyView::new(&status, api.now_ms()))
}

async fn status(State(api): State<Api>) -> Response {
    json(StatusCode::OK, &StatusView::new(&api.status(), api.now_ms()))
}

async fn timeline(State(api): State<Api>) -> Response {
    json(StatusCode::OK, &api.source.timeline.snapshot())
}

async fn stop(State(api): State<Api>) -> Response {
    accepted(api.hand_on([Request::Stop]))
}

async fn attach(
    State(api): State<Api>,
    Extension(long_lived): Extension<LongLived>,
    body: Body,
) -> Response {
    let Attach { container, pid, started } = match read(body).await {
        Ok(attach) => attach,
        Err(refused) => return *refused,
    };
    if let Err(refused) = check_name(&container) {
        return *refused;
    }
    let Ok(stream) = Arc::clone(&api.streams).try_acquire_owned() else {
        return error(StatusCode::SERVICE_UNAVAILABLE, "too many wrappers are attached");
    };
    let here = Request::AppAttached { container: container.clone(), pid };
    let handed_on = if started {
        api.hand_on([here, Request::AppStarted { container: container.clone() }])
    } else {
        api.hand_on([here])
    };
    if let Err(refused) = handed_on {
        return *refused;
    }
    let lines = Lines {
        feed: Feed::new(&container, started),
        status: api.source.status.clone(),
        _attached: api.apps.attach(&container, api.source.requests.clone()),
        _stream: stream,
    };
    long_lived.0.store(true, Ordering::Relaxed);
    let ndjson = HeaderValue::from_static("application/x-ndjson");
    let body = Body::from_stream(stream::unfold(lines, Lines::next));
    ([(header::CONTENT_TYPE, ndjson)], body).into_response()
}

/// The stream of one wrapper. Dropped by the connection when the wrapper is gone.
struct Lines {
    feed: Feed,
    status: watch::Receiver<Arc<Status>>,
    _attached: Attached,
    _stream: OwnedSemaphorePermit,
}

impl Lines {
    /// The next line; the end once the supervisor is gone.
    async fn next(mut self) -> Option<(Result<Vec<u8>, Infallible>, Self)> {
        loop {
            let line = self.feed.next(&self.status.borrow_and_update());
            // A value of plain strings and booleans always has a JSON form.
            if let Some(mut bytes) = line.and_then(|line| serde_json::to_vec(&line).ok()) {
                bytes.push(b'\n');
                return Some((Ok(bytes), self));
            }
            self.status.changed().await.ok()?;
        }
    }
}

type Container = Result<Path<String>, PathRejection>;

async fn started(State(api): State<Api>, container: Container) -> Response {
    match name(container) {
        Ok(container) => accepted(api.hand_on([Request::AppStarted { container }])),
        Err(refused) => *refused,
    }
}

async fn term(State(api): State<Api>, container: Container) -> Response {
    match name(container) {
        Ok(container) => accepted(api.hand_on([Request::AppTerm { container }])),
        Err(refused) => *refused,
    }
}

async fn exited(State(api): State<Api>, container: Container, body: Body) -> Response {
    let container = match name(container) {
        Ok(container) => container,
        Err(refused) => return *refused,
    };
    let Exited { code } = match read(body).await {
        Ok(exited) => exited,
        Err(refused) => return *refused,
    };
    let handed_on = api.hand_on([Request::AppExited { container: container.clone(), code }]);
    if handed_on.is_ok() {
        api.apps.exited(&container);
    }
    accepted(handed_on)
}

fn name(container: Container) -> Result<String, Box<Response>> {
    let Path(container) =
        container.map_err(|e| Box::new(error(StatusCode::BAD_REQUEST, &e.body_text())))?;
    check_name(&container)?;
    Ok(container)
}

fn check_name(container: &str) -> Result<(), Box<Response>> {
    let why = if container.is_empty() {
        "the container's name is empty"
    } else if container.len() > MAX_NAME {
        "the container's name is longer than 255 bytes"
    } else if container.chars().any(char::is_control) {
        "the container's name has control characters"
    } else {
        return Ok(());
    };
    Err(Box::new(error(StatusCode::BAD_REQUEST, why)))
}

/// Reads a small JSON body, whatever its content type says: `curl -d` sends a form's.
async fn read<T: DeserializeOwned>(body: Body) -> Result<T, Box<Response>> {
    let refuse = |code, why: &str| Err(Box::new(error(code, why)));
    let bytes = match tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(body, MAX_BODY)).await
    {
        Ok(Ok(bytes)) => bytes,
        // Too long, or cut off; in the second case nobody reads the answer.
        Ok(Err(_)) => return refuse(StatusCode::PAYLOAD_TOO_LARGE, "the body is over 8 KiB"),
        Err(_) => return refuse(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in 5 s"),
    };
    match serde_json::from_slice(&bytes) {
        Ok(value) => Ok(value),
        Err(e) => refuse(StatusCode::BAD_REQUEST, &format!("the body is not what it must be: {e}")),
    }
}

fn accepted(handed_on: Result<(), Box<Response>>) -> Response {
    match handed_on {
        Ok(()) => json(StatusCode::ACCEPTED, &serde_json::json!({"accepted": true})),
        Err(refused) => *refused,
    }
}

fn error(code: StatusCode, why: &str) -> Response {
    json(code, &serde_json::json!({"error": why}))
}

fn json<T: serde::Serialize>(code: StatusCode, value: &T) -> Response {
    (code, axum::Json(value)).into_response()
}
