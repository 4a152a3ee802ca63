//! Requests through real Envoys with mutual TLS: protocols, intentions, maintenance.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use serde_json::{Value, json};
use testbed::mesh::{Consul, Kind, free_ports};
use tokio::time::{Instant, sleep};

use crate::{Mesh, PATIENCE, executables};

/// An Envoy, killed on drop.
struct Envoy(Child);

impl Drop for Envoy {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// One node: an agent, an app or none, a proxy and its Envoy.
struct Node {
    agent: Consul,
    admin: u16,
    _envoy: Envoy,
    upstream: u16,
    public: u16,
}

struct Setup {
    mesh: Mesh,
    consul: PathBuf,
    envoy: PathBuf,
}

impl Setup {
    /// `None`, and the test counts as skipped, without an Envoy.
    async fn new() -> Option<Self> {
        let envoy = match testbed::parts::envoy() {
            Ok(envoy) => envoy,
            Err(missing) => {
                testbed::skip::skip(&missing.to_string());
                return None;
            }
        };
        // The data plane of 1.8.7 is xDS v2, which today's Envoy has dropped.
        let executable =
            executables().into_iter().rev().find(|(_, kind)| *kind != Kind::Old).unwrap();
        let consul = executable.0.clone();
        Some(Self { mesh: Mesh::start(executable, |_| {}).await, consul, envoy })
    }

    async fn node(&self, name: &str, service: &str, upstream: Option<&str>) -> Node {
        let (agent, ports) = self.mesh.agent(name, json!({})).await;
        let app = app(name).await;
        let [public, admin, bind] = free_ports().unwrap();
        let id = format!("{service}-{name}");
        let body = json!({"ID": id, "Name": service, "Port": app});
        agent.put("/v1/agent/service/register", "", &body).await.unwrap();
        let upstreams: Vec<Value> = upstream
            .map(|u| json!({"DestinationName": u, "LocalBindPort": bind}))
            .into_iter()
            .collect();
        let proxy_id = format!("{id}-sidecar-proxy");
        let body = json!({
            "Kind": "connect-proxy", "ID": proxy_id, "Name": format!("{service}-sidecar-proxy"),
            "Port": public,
            "Checks": [{"Name": "Alias", "AliasService": id}],
            "Proxy": {"DestinationServiceName": service, "DestinationServiceID": id,
                      "LocalServicePort": app, "Upstreams": upstreams},
        });
        agent.put("/v1/agent/service/register", "", &body).await.unwrap();
        let folder = self.mesh.folder.path();
        let bootstrap = folder.join(format!("{name}-bootstrap.json"));
        let output = Command::new(&self.consul)
            .args(["connect", "envoy", "-bootstrap", "-ignore-envoy-compatibility", "-proxy-id"])
            .arg(&proxy_id)
            .arg(format!("-grpc-addr=127.0.0.1:{}", ports.grpc))
            .arg(format!("-admin-bind=127.0.0.1:{admin}"))
            .env("CONSUL_HTTP_ADDR", agent.http().to_string())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::write(&bootstrap, output.stdout).unwrap();
        let envoy = run_envoy(&self.envoy, &bootstrap, &folder.join(format!("{name}-envoy.log")));
        Node { agent, admin, _envoy: envoy, upstream: bind, public }
    }
}

fn run_envoy(bin: &Path, bootstrap: &Path, log: &Path) -> Envoy {
    let child = Command::new(bin)
        .arg("-c")
        .arg(bootstrap)
        .args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(log).unwrap())
        .spawn()
        .unwrap();
    Envoy(child)
}

/// An app that answers with its node's name.
async fn app(name: &str) -> u16 {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let name = name.to_owned();
    let router = Router::new().fallback(get(async move || name));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    port
}

/// A fresh connection each time, so that tcp upstreams choose again.
async fn ask(port: u16) -> (u16, String) {
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .timeout(Duration::from_secs(5))
        .build()
        .unwrap();
    match client.get(format!("http://127.0.0.1:{port}/")).send().await {
        Ok(response) => (response.status().as_u16(), response.text().await.unwrap_or_default()),
        Err(error) => (0, error.to_string()),
    }
}

async fn until_answer(port: u16, good: impl Fn(&(u16, String)) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = ask(port).await;
        if good(&answer) {
            return;
        }
        assert!(Instant::now() < deadline, "stays at {answer:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

async fn stat(admin: u16, name: &str) -> u64 {
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
    let url = format!("http://127.0.0.1:{admin}/stats?filter=^{name}$");
    let text = client.get(url).send().await.unwrap().text().await.unwrap();
    text.rsplit(": ").next().and_then(|n| n.trim().parse().ok()).unwrap_or(0)
}

async fn no_rejects(node: &Node) {
    for name in ["cluster_manager.cds.update_rejected", "listener_manager.lds.update_rejected"] {
        assert_eq!(stat(node.admin, name).await, 0, "{name}");
    }
}

async fn traffic(protocol: &str) {
    let Some(setup) = Setup::new().await else { return };
    let server = &setup.mesh.server;
    for service in ["api", "web"] {
        let entry = json!({"Kind": "service-defaults", "Name": service, "Protocol": protocol});
        server.put("/v1/config", "", &entry).await.unwrap();
    }
    let web = setup.node("web-1", "web", Some("api")).await;
    let first = setup.node("api-1", "api", None).await;
    until_answer(web.upstream, |a| *a == (200, "api-1".into())).await;

    // Without a certificate of the mesh nobody gets in.
    assert_ne!(ask(first.public).await.0, 200);

    let intention = "/v1/connect/intentions/exact?source=web&destination=api";
    server.put(intention, "", &json!({"SourceType": "consul", "Action": "deny"})).await.unwrap();
    let denied = if protocol == "tcp" { 0 } else { 403 };
    until_answer(web.upstream, |a| a.0 == denied).await;
    server.call("DELETE", intention, "", &Value::Null).await.unwrap();
    until_answer(web.upstream, |a| *a == (200, "api-1".into())).await;

    let second = setup.node("api-2", "api", None).await;
    until_answer(web.upstream, |a| *a == (200, "api-2".into())).await;
    let path = "/v1/agent/service/maintenance/api-api-1?enable=true";
    first.agent.put(path, "", &Value::Null).await.unwrap();
    // Consul gathers updates for 200 ms; then nothing more may reach the first.
    sleep(Duration::from_secs(2)).await;
    for _ in 0..20 {
        assert_eq!(ask(web.upstream).await, (200, "api-2".into()));
    }
    // With every endpoint critical there is no panic: none is used.
    let path = "/v1/agent/service/maintenance/api-api-2?enable=true";
    second.agent.put(path, "", &Value::Null).await.unwrap();
    until_answer(web.upstream, |a| a.0 == if protocol == "tcp" { 0 } else { 503 }).await;
    let members = "cluster.api.default.dc1.internal.*membership_total";
    assert_eq!(stat(web.admin, members).await, 2, "critical endpoints stay");
    let path = "/v1/agent/service/deregister/api-api-1-sidecar-proxy";
    first.agent.put(path, "", &Value::Null).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    while stat(web.admin, members).await != 1 {
        assert!(Instant::now() < deadline, "a deregistered endpoint stays");
        sleep(Duration::from_millis(50)).await;
    }
    for node in [&web, &first, &second] {
        no_rejects(node).await;
    }
}

#[tokio::test]
async fn http_goes_through_the_mesh_and_follows_it() {
    traffic("http").await;
}

#[tokio::test]
async fn tcp_goes_through_the_mesh_and_follows_it() {
    traffic("tcp").await;
}

#[tokio::test]
async fn a_router_makes_the_route_table_come_by_rds() {
    let Some(setup) = Setup::new().await else { return };
    let server = &setup.mesh.server;
    for service in ["api", "web"] {
        let entry = json!({"Kind": "service-defaults", "Name": service, "Protocol": "http"});
        server.put("/v1/config", "", &entry).await.unwrap();
    }
    let entry = json!({"Kind": "service-router", "Name": "api"});
    server.put("/v1/config", "", &entry).await.unwrap();
    let web = setup.node("web-1", "web", Some("api")).await;
    let _api = setup.node("api-1", "api", None).await;
    until_answer(web.upstream, |a| *a == (200, "api-1".into())).await;
    let updates = "http.upstream.*rds.api.update_success";
    assert!(stat(web.admin, updates).await >= 1);
    no_rejects(&web).await;
}
