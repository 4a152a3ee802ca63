use super::*;
use crate::envoy::{Edit, TokenFile, args, edit, sds_token_file};
use crate::wire::tests::serve;
use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use tokio::time::Instant;

type Calls = Arc<Mutex<Vec<String>>>;

/// An admin interface that gives each path's prepared answer and records what was asked.
async fn fake(answers: &'static [(&'static str, u16, &'static str)]) -> (AdminClient, Calls) {
    let calls = Calls::default();
    let recorded = calls.clone();
    let handler = async move |request: Request| {
        recorded.lock().unwrap().push(format!("{} {}", request.method(), request.uri()));
        let found = answers.iter().find(|(path, ..)| *path == request.uri().path());
        let (_, status, body) = found.unwrap_or(&("", 404, "invalid path"));
        (StatusCode::from_u16(*status).unwrap(), *body)
    };
    let base = serve(Router::new().fallback(handler)).await;
    let port = base.rsplit(':').next().unwrap().parse().unwrap();
    (AdminClient::new(port), calls)
}

fn calls(calls: &Calls) -> Vec<String> {
    std::mem::take(&mut calls.lock().unwrap())
}

#[tokio::test]
async fn state_and_readiness() {
    let (admin, _) = fake(&[
        ("/server_info", 200, r#"{"version":"c/1.40.0/Clean/RELEASE/BoringSSL","state":"PRE_INITIALIZING","uptime_current_epoch":"1s"}"#),
        ("/ready", 503, "PRE_INITIALIZING\n"),
    ])
    .await;
    assert_eq!(admin.server_info().await.unwrap().state, State::PreInitializing);
    assert!(!admin.ready().await.unwrap());

    let (admin, _) = fake(&[("/ready", 200, "LIVE\n")]).await;
    assert!(admin.ready().await.unwrap());
    let missing = admin.server_info().await;
    assert!(matches!(missing, Err(AdminError::Status { status: 404, .. })), "{missing:?}");
}

#[tokio::test]
async fn a_listener_counts_by_its_port() {
    let (admin, recorded) = fake(&[(
        "/listeners",
        200,
        r#"{"listener_statuses":[
            {"name":"public_listener:0.0.0.0:20000","local_address":{"socket_address":{"address":"0.0.0.0","port_value":20000}}},
            {"name":"db:127.0.0.1:5432","local_address":{"socket_address":{"address":"127.0.0.1","port_value":5432}}},
            {"name":"pipe","local_address":{"pipe":{"path":"/x"}}}]}"#,
    )])
    .await;
    assert!(admin.listens_on(20000).await.unwrap());
    assert!(!admin.listens_on(20001).await.unwrap());
    assert_eq!(calls(&recorded)[0], "GET /listeners?format=json");
    let listeners = admin.listeners().await.unwrap();
    assert_eq!(listeners[1].name, "db:127.0.0.1:5432");
    assert_eq!(listeners[2].address, None);

    let (empty, _) = fake(&[("/listeners", 200, "{}")]).await;
    assert!(!empty.listens_on(20000).await.unwrap());
}

#[tokio::test]
async fn the_drain_is_graceful_inbound_only_and_keeps_accepting() {
    let (admin, recorded) = fake(&[("/drain_listeners", 200, "OK\n")]).await;
    admin.drain_inbound().await.unwrap();
    assert_eq!(calls(&recorded), ["POST /drain_listeners?inboundonly=&graceful=&skip_exit="]);
}

#[tokio::test]
async fn quit_is_a_post() {
    let (admin, recorded) = fake(&[("/quitquitquit", 200, "OK\n")]).await;
    admin.quit().await.unwrap();
    assert_eq!(calls(&recorded), ["POST /quitquitquit"]);
}

#[tokio::test]
async fn requests_in_flight_are_none_without_an_http_listener() {
    let (admin, recorded) =
        fake(&[("/stats", 200, "http.public_listener.downstream_rq_active: 3\n")]).await;
    assert_eq!(admin.rq_active().await.unwrap(), Some(3));
    // RE2 with its dots escaped, percent-encoded: `^(?:http\.public_listener\.downstream_rq_active)$`.
    assert_eq!(
        calls(&recorded),
        ["GET /stats?filter=%5E%28%3F%3Ahttp%5C.public_listener%5C.downstream_rq_active%29%24"]
    );
    let (empty, _) = fake(&[("/stats", 200, "")]).await;
    assert_eq!(empty.rq_active().await.unwrap(), None);
}

#[tokio::test]
async fn connections_are_summed_over_listeners_and_not_over_workers() {
    let (admin, _) = fake(&[(
        "/stats",
        200,
        "listener.0.0.0.0_20000.downstream_cx_active: 2\n\
         listener.0.0.0.0_20000.worker_0.downstream_cx_active: 2\n\
         listener.[__]_20000.downstream_cx_active: 1\n",
    )])
    .await;
    assert_eq!(admin.cx_active(20000).await.unwrap(), Some(3));
}

#[tokio::test]
async fn an_envoy_that_is_gone_is_unreachable() {
    let base = crate::wire::tests::nobody().await;
    let port = base.rsplit(':').next().unwrap().parse().unwrap();
    let result = AdminClient::new(port).ready().await;
    assert!(matches!(result, Err(AdminError::Unreachable { .. })), "{result:?}");
    assert!(!port_open(port).await);
}

#[tokio::test]
async fn an_open_port_is_seen() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    assert!(port_open(listener.local_addr().unwrap().port()).await);
}

/// Kills Envoy when a test ends, however it ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

async fn free_port() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

async fn until<F: Future<Output = bool>>(
    what: &str,
    within: Duration,
    mut probe: impl FnMut() -> F,
) {
    let start = Instant::now();
    while !probe().await {
        assert!(start.elapsed() < within, "not within {within:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A real Envoy, named by `ENVOY_BIN`, with the edited bootstrap and no agent: it is not ready, tries for its agent at
/// least every second, reads a new token when the file is renamed, drains, and quits.
#[tokio::test]
async fn a_real_envoy_without_an_agent() {
    let binary = match testbed::parts::envoy() {
        Ok(binary) => binary,
        Err(missing) => return testbed::skip::skip(&missing.to_string()),
    };
    let dir = tempfile::tempdir().unwrap();
    let (token, path) = (dir.path().join("token.json"), dir.path().join("envoy.json"));
    let put_token = |text: &str| {
        crate::private::write_private(&token, sds_token_file(text).to_string().as_bytes()).unwrap();
    };
    put_token("one");
    let admin_port = free_port().await;
    let printed = include_str!("testdata/bootstrap-1.23.json")
        .replace("\"port_value\": 8502", &format!("\"port_value\": {}", free_port().await));
    let printed = serde_json::from_str(&printed).unwrap();
    let bootstrap = edit(printed, &Edit { token: TokenFile::Watched(&token), admin_port }).unwrap();
    crate::private::write_private(&path, bootstrap.to_string().as_bytes()).unwrap();

    let config = crate::config::Envoy { concurrency: 1, ..Default::default() };
    let mut command = Command::new(binary);
    command.args(args(&config, &path)).stdout(Stdio::null()).stderr(Stdio::null());
    let mut envoy = Running(command.spawn().unwrap());
    let admin = &AdminClient::new(admin_port);
    let stat = async |name: &str| admin.stat(name).await.ok().flatten().unwrap_or(0);

    let up = || async move { admin.server_info().await.is_ok() };
    until("admin answers", Duration::from_secs(20), up).await;
    let state = admin.server_info().await.unwrap().state;
    assert!(matches!(state, State::PreInitializing | State::Initializing), "{state:?}");
    assert!(!admin.ready().await.unwrap());
    assert_eq!(admin.listeners().await.unwrap(), []);
    assert_eq!(admin.rq_active().await.unwrap(), None);
    assert_eq!(admin.cx_active(20000).await.unwrap(), None);

    // Envoy's own backoff made 6 attempts in 15 s here, ours 31.
    const FAILED: &str = "cluster.local_agent.upstream_cx_connect_fail";
    let tried = || async move { stat(FAILED).await >= 12 };
    until("12 attempts", Duration::from_secs(15), tried).await;

    let updates = async || stat("sds.consul-token.update_success").await;
    let before = updates().await;
    assert!(before >= 1);
    put_token("two");
    let read = || async move { updates().await > before };
    until("the new token is read", Duration::from_secs(5), read).await;
    assert_eq!(stat("sds.consul-token.update_rejected").await, 0);

    admin.drain_inbound().await.unwrap();
    admin.quit().await.unwrap();
    let start = Instant::now();
    while envoy.0.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < Duration::from_secs(10), "Envoy did not quit");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn an_answer_with_something_behind_it_is_none() {
    // Found by a fuzzer's property: the first document was taken, and the rest not looked at.
    let body = r#"{"listener_statuses": []}"#;
    assert_eq!(read_listeners(body.as_bytes()), Ok(Vec::new()));
    assert_eq!(read_listeners(format!("{body}\n").as_bytes()), Ok(Vec::new()));
    let torn = read_listeners(format!("{body}{body}").as_bytes());
    assert!(matches!(torn, Err(AdminError::Decode { .. })), "{torn:?}");
}
