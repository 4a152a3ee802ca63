//! The HTTP server, for HTTP/1.1 and HTTP/2 on the same port.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::{HttpArgs, grpc, pause, term};

/// How long `/call` waits for the upstream.
const UPSTREAM_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) struct Server {
    args: HttpArgs,
    served: AtomicU64,
    client: reqwest::Client,
}

impl Server {
    /// Who answers and which request it was, after the delay.
    pub(super) async fn answer(&self, mut more: Value) -> Json<Value> {
        pause(self.args.delay).await;
        more["from"] = json!(self.args.name);
        more["n"] = json!(self.served.fetch_add(1, Ordering::Relaxed) + 1);
        Json(more)
    }
}

#[derive(Debug, Deserialize)]
struct Slow {
    #[serde(rename = "for", with = "duration")]
    time: Duration,
}

/// Durations such as `1s`, without a dependency for it.
pub(super) mod duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, de::Error};

    pub(in crate::apps) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Duration, D::Error> {
        humantime::parse_duration(&String::deserialize(from)?).map_err(D::Error::custom)
    }
}

/// Serves until TERM says otherwise.
pub(super) async fn serve(args: HttpArgs) -> io::Result<ExitCode> {
    // An error means that another part of the process has installed one.
    _ = rustls::crypto::ring::default_provider().install_default().is_ok();
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .timeout(UPSTREAM_TIMEOUT)
        .build()
        .map_err(io::Error::other)?;
    let on_term = args.term;
    let asked = term::asked(on_term)?;
    let delayed = async {
        sleep(args.listen_after).await;
        TcpListener::bind(args.listen).await
    };
    let mut asked = std::pin::pin!(asked);
    let listener = tokio::select! {
        () = &mut asked => return Ok(ExitCode::SUCCESS),
        listener = delayed => listener?,
    };
    println!("{} listens on {}", args.name, listener.local_addr()?);
    let server = Arc::new(Server { args, served: AtomicU64::new(0), client });
    let routes = Router::new()
        .route("/", get(root))
        .route("/healthy", get(root))
        .route("/slow", get(slow))
        .route("/call", get(call))
        .route("/testbed.Echo/Stream", post(grpc::stream))
        .with_state(server);
    let (drain, drained) = oneshot::channel::<()>();
    // An answer in several writes, such as gRPC's, would wait for the peer's delayed acknowledgement.
    let listener = listener.tap_io(|stream| _ = stream.set_nodelay(true).is_ok());
    let serving = axum::serve(listener, routes).with_graceful_shutdown(async {
        _ = drained.await.is_ok();
    });
    let mut serving = std::pin::pin!(serving.into_future());
    tokio::select! {
        () = &mut asked => {}
        ended = &mut serving => return ended.map(|()| ExitCode::SUCCESS),
    }
    if on_term.drains() {
        // Open connections get `Connection: close` with their last answer, or a GOAWAY.
        _ = drain.send(()).is_ok();
        serving.await?;
        println!("drained");
    }
    Ok(ExitCode::SUCCESS)
}

async fn root(State(server): State<Arc<Server>>) -> Json<Value> {
    server.answer(json!({})).await
}

async fn slow(State(server): State<Arc<Server>>, Query(slow): Query<Slow>) -> Json<Value> {
    sleep(slow.time).await;
    server.answer(json!({})).await
}

async fn call(State(server): State<Arc<Server>>) -> (StatusCode, Json<Value>) {
    let Some(upstream) = &server.args.upstream else {
        return (StatusCode::NOT_FOUND, Json(json!({"error": "no --upstream was given"})));
    };
    let asked = async {
        let response = server.client.get(upstream).send().await?.error_for_status()?;
        response.json::<Value>().await
    };
    match asked.await {
        Ok(answer) => (StatusCode::OK, server.answer(json!({"upstream": answer})).await),
        Err(error) => {
            let error = json!({"error": chain(&error)});
            (StatusCode::BAD_GATEWAY, server.answer(error).await)
        }
    }
}

/// An error with its causes: reqwest's own text leaves them out.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}
