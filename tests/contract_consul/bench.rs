//! The server, the task whose registrations are tried, and the task's agent.

use crate::backend::{Backend, Consul};
use reqwest::Method;
use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;
use taskmesh::config::Config;
use taskmesh::consul::{
    AgentSecrets, Client, HealthEntry, HealthQuery, ServiceIds, agent_args, agent_config,
    agent_env, http_address,
};
use taskmesh::ecs::TaskIdentity;
use testbed::cluster::start_server;
use testbed::mesh::{Kind, ServerOptions};
use testbed::net::{Host, Lan, Process, ProcessSpec};
use testbed::skip::skip;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

/// A test that waits longer than this for one thing has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// At once, on a busy machine: far below what would happen by itself.
pub(crate) const PROMPT: Duration = Duration::from_secs(5);
/// Between two looks at what no query can wait for.
const GLANCE: Duration = Duration::from_millis(20);

/// A network and the server on its hub.
struct Site {
    // Fields are dropped in this order: processes before the folder they write to.
    server: std::sync::Mutex<Option<Process>>,
    lan: Lan,
    consul: Consul,
    dir: tempfile::TempDir,
}

/// The sites that tests of one backend share while at least one of them runs; nothing is left when they have ended.
static SHARED: [Mutex<Weak<Site>>; 3] = [const { Mutex::const_new(Weak::new()) }; 3];

/// What a scenario has. It runs on the task's host: its client reaches the agent over that host's loopback.
pub(crate) struct Bench {
    site: Arc<Site>,
    host: Host,
    /// Which Consul.
    pub(crate) consul: Consul,
    /// The task's configuration; change it before the agent starts.
    pub(crate) cfg: Config,
    /// Who the task is.
    pub(crate) task: TaskIdentity,
    /// Its names and IDs.
    pub(crate) ids: ServiceIds,
    /// With which the test looks at the servers.
    pub(crate) server_token: Option<&'static str>,
}

/// Runs a scenario beside others on one server.
pub(crate) async fn shared<F>(backend: Backend, name: &str, scenario: fn(Bench) -> F)
where
    F: Future<Output = ()> + 'static,
{
    let binary = match backend.binary() {
        Ok(binary) => binary,
        Err(why) => return skip(&why),
    };
    let mut slot = SHARED[backend as usize].lock().await;
    let site = match slot.upgrade() {
        Some(site) => site,
        None => {
            let site = Arc::new(Site::new(Consul::at(binary)));
            site.start_server(json!({})).await;
            *slot = Arc::downgrade(&site);
            site
        }
    };
    drop(slot);
    run(site, name, scenario).await;
}

/// Runs a scenario that starts the server itself, with [`Bench::start_server`].
pub(crate) async fn alone<F>(backend: Backend, name: &str, scenario: fn(Bench) -> F)
where
    F: Future<Output = ()> + 'static,
{
    match backend.binary() {
        Ok(binary) => run(Arc::new(Site::new(Consul::at(binary))), name, scenario).await,
        Err(why) => skip(&why),
    }
}

async fn run<F>(site: Arc<Site>, name: &str, scenario: fn(Bench) -> F)
where
    F: Future<Output = ()> + 'static,
{
    // Made in the test's own thread, so that what the host's thread says is shown with this test.
    let host = site.lan.host(name).expect("host");
    let bench = Bench::new(site.clone(), host.clone(), name);
    let whole = 4 * PATIENCE;
    let ended = timeout(whole, host.spawn(move || scenario(bench))).await;
    ended
        .unwrap_or_else(|_| panic!("not done in {whole:?}"))
        .expect("the scenario failed: see above");
}

impl Site {
    fn new(consul: Consul) -> Self {
        let dir = tempfile::TempDir::with_prefix("taskmesh-contract-").expect("folder");
        let lan = Lan::new().expect("network");
        Self { server: std::sync::Mutex::new(None), lan, consul, dir }
    }

    async fn start_server(&self, more: Value) {
        let ip = self.lan.hub().ip().into();
        let binary = &self.consul.binary;
        let kind = Kind::of(binary).expect("version");
        let options = ServerOptions {
            bind: ip,
            client: ip,
            extra: more,
            ..ServerOptions::new(binary, kind, self.dir.path().join("server"))
        };
        let server = start_server(self.lan.hub(), &options).await.expect("server");
        *self.server.lock().expect("lock") = Some(server);
    }

    async fn start(&self, host: &Host, config: &std::path::Path) -> Process {
        let ours = std::env::vars();
        let env = agent_env(ours, &[]).into_iter().map(|(k, v)| (k.into(), v.into())).collect();
        let args = agent_args(config, &[] as &[PathBuf]);
        let spec =
            ProcessSpec { clear_env: true, env, ..ProcessSpec::new(&self.consul.binary, args) };
        host.spawn_process(spec).await.expect("consul agent")
    }
}

/// A running agent of the task.
pub(crate) struct Agent {
    /// The process.
    pub(crate) process: Process,
    /// taskmesh's client of it, without a token.
    pub(crate) client: Client,
}

impl Bench {
    fn new(site: Arc<Site>, host: Host, name: &str) -> Self {
        let [http, grpc, public, app] = ports(&host);
        let dir = site.dir.path().join(name);
        let cfg: Config = serde_json::from_value(json!({
            "service": {
                "name": name, "port": app, "tags": ["blue"], "meta": { "team": "mesh" },
                "weights": { "passing": 3, "warning": 1 },
            },
            "proxy": {
                "publicListenerPort": public,
                "config": { "protocol": "http" },
                "upstreams": [{ "destinationName": "db", "localBindPort": 5432 }],
            },
            "consul": {
                "binary": site.consul.binary,
                "dataDir": dir.join("data"),
                "retryJoin": [site.lan.hub().ip()],
                "bindAddress": host.ip(),
                "httpPort": http,
                "grpcPort": grpc,
            },
        }))
        .expect("configuration");
        let mut task = TaskIdentity {
            cluster: "mesh".to_owned(),
            family: name.to_owned(),
            revision: "7".to_owned(),
            ipv4: Some(host.ip().to_string()),
            availability_zone: "eu-west-1b".to_owned(),
            ..TaskIdentity::default()
        };
        // Every task of the network has an ID of its own, as every host has an address.
        task.task_id = format!("{:032x}", u32::from(host.ip()));
        task.task_arn = format!("arn:aws:ecs:eu-west-1:123456789012:task/mesh/{}", task.task_id);
        let ids = ServiceIds::new(&cfg.service, &task);
        Self { consul: site.consul.clone(), site, host, cfg, task, ids, server_token: None }
    }

    /// Starts the server of a scenario that runs [`alone`], with further keys for its config.
    pub(crate) async fn start_server(&self, more: Value) {
        self.site.start_server(more).await;
    }

    /// Starts an agent with the configuration that taskmesh writes; it answers, and may not have joined yet.
    pub(crate) async fn start_agent(&self, secrets: &AgentSecrets) -> Agent {
        let config = agent_config(&self.cfg, &self.task, secrets, self.consul.version);
        let dir = &self.cfg.consul.data_dir;
        std::fs::create_dir_all(dir).expect("data folder");
        let file = dir.with_extension("json");
        std::fs::write(&file, config.to_string()).expect("config");
        let process = self.site.start(&self.host, &file).await;
        let url = http_address(&self.cfg.consul);
        // Not what is tried here: a call that takes longer than taskmesh waits for it.
        let client = Client::new(&url, None).expect("client").with_timeout(PATIENCE);
        let agent = Agent { process, client };
        let began = Instant::now();
        while let Err(error) = agent.client.leader().await {
            assert!(error.is_unreachable(), "{error}");
            let lines = || agent.lines();
            assert_eq!(agent.process.exit(), None, "the agent does not take this: {:#?}", lines());
            assert!(began.elapsed() < PATIENCE, "the agent does not answer: {:#?}", lines());
            sleep(GLANCE).await;
        }
        agent
    }

    /// The same, joined.
    pub(crate) async fn join(&self) -> Agent {
        let agent = self.start_agent(&AgentSecrets::default()).await;
        agent.joined().await;
        agent
    }

    /// A call that taskmesh's client does not have, at the server.
    pub(crate) async fn server_put(&self, path: &str, body: &Value) -> (u16, String) {
        let url = format!("{}{path}", self.server_url());
        ask(Method::PUT, &url, self.server_token, Some(body)).await
    }

    /// The same to take something away; gives the status.
    pub(crate) async fn server_delete(&self, path: &str) -> u16 {
        let url = format!("{}{path}", self.server_url());
        ask(Method::DELETE, &url, self.server_token, None).await.0
    }

    /// A call that taskmesh's client does not have, at the agent.
    pub(crate) async fn agent_put(&self, path: &str, body: &Value) -> (u16, String) {
        let url = format!("http://127.0.0.1:{}{path}", self.cfg.consul.http_port);
        ask(Method::PUT, &url, None, Some(body)).await
    }

    fn server_url(&self) -> String {
        format!("http://{}:8500", self.site.lan.hub().ip())
    }

    /// What the server answers to a call that taskmesh's client does not have.
    pub(crate) async fn server_get(&self, path: &str) -> Value {
        let url = format!("{}{path}", self.server_url());
        let (status, body) = ask(Method::GET, &url, self.server_token, None).await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).expect(&body)
    }

    /// Whether the servers' catalog has the task's node.
    pub(crate) async fn node_in_catalog(&self, name: &str) -> bool {
        let nodes = self.server_get("/v1/catalog/nodes").await;
        nodes.as_array().expect("array").iter().any(|node| node["Node"] == name)
    }

    /// What the servers show of the task's proxy.
    pub(crate) async fn shown(&self) -> Option<HealthEntry> {
        let query = HealthQuery { consistent: true, ..HealthQuery::default() };
        let server = Client::new(&self.server_url(), self.server_token.map(Into::into));
        let server = server.expect("client").with_timeout(PATIENCE);
        let found = server.health_connect(&self.ids.name, query).await;
        let entries = found.expect("health_connect").value;
        entries.into_iter().find(|entry| entry.service.id == self.ids.proxy)
    }

    /// Waits until the servers show the task's proxy as wanted; gives how long that took.
    #[track_caller]
    pub(crate) fn until_shown(
        &self,
        what: &'static str,
        wanted: impl Fn(Option<&HealthEntry>) -> bool,
    ) -> impl Future<Output = Duration> {
        let caller = std::panic::Location::caller();
        async move {
            let began = Instant::now();
            loop {
                let shown = self.shown().await;
                if wanted(shown.as_ref()) {
                    return began.elapsed();
                }
                assert!(began.elapsed() < PATIENCE, "{caller}: not {what}: {shown:#?}");
                sleep(GLANCE).await;
            }
        }
    }
}

impl Agent {
    /// Waits until it knows the servers' leader.
    pub(crate) async fn joined(&self) {
        let began = Instant::now();
        while self.client.leader().await.expect("leader").is_none() {
            assert!(began.elapsed() < PATIENCE, "not joined: {:#?}", self.lines());
            sleep(GLANCE).await;
        }
    }

    /// The same agent for another token.
    pub(crate) fn with_token(&self, token: &str) -> Client {
        self.client.with_token(Some(token.into())).expect("token")
    }

    /// What it said.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.process.output().snapshot().into_iter().map(|line| line.text).collect()
    }
}

/// A task's own namespace has every port free; on a shared loopback four are looked for.
fn ports(host: &Host) -> [u16; 4] {
    if host.isolated() {
        return [8500, 8502, 20000, 9090];
    }
    let held = [(); 4].map(|()| TcpListener::bind("127.0.0.1:0").expect("port"));
    held.map(|listener| listener.local_addr().expect("port").port())
}

async fn ask(
    method: Method,
    url: &str,
    token: Option<&str>,
    body: Option<&Value>,
) -> (u16, String) {
    // A provider that was installed before is as good.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().expect("client");
    let mut request = client.request(method, url).timeout(PATIENCE);
    if let Some(token) = token {
        request = request.header("X-Consul-Token", token);
    }
    if let Some(body) = body {
        request = request.json(body);
    }
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    (status, answer.text().await.expect("a body"))
}
