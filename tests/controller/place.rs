//! What the scenarios share: Consul, AWS, and a controller between them.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use testbed::cluster::{Backend, Cluster};
use testbed::gate::Gate;
use testbed::moto::Moto;
use testbed::net::Process;
use tokio::time::Instant;

pub(crate) const REGION: &str = "us-east-1";
/// Long enough for two busy cores.
pub(crate) const LONG: Duration = Duration::from_secs(60);
/// Options that stand elsewhere than below `controller`.
const OUTSIDE: [&str; 2] = ["listen", "token"];
const MANAGEMENT: &str = "00000000-0000-4000-8000-000000000001";

/// Consul and AWS.
pub(crate) struct Place {
    pub(crate) consul: Cluster,
    pub(crate) moto: Moto,
}

/// On the Consul that `CONSUL_BIN` names, else on 1.8.7; `None` after having said what is missing here.
pub(crate) async fn place(clusters: &[&str]) -> Option<Place> {
    let backend = match testbed::parts::consul() {
        Ok(current) => Ok(Backend::Consul(current)),
        Err(_none) => testbed::parts::consul187().map(Backend::V187),
    };
    let (backend, _moto) = match (backend, testbed::parts::moto_server()) {
        (Ok(backend), Ok(moto)) => (backend, moto),
        (Err(missing), _) | (_, Err(missing)) => {
            testbed::skip::skip(&missing.to_string());
            return None;
        }
    };
    let (consul, _) = Cluster::start_with_acls(backend, "unrelated").await.expect("consul");
    let moto = Moto::start(consul.lan().hub()).await.expect("moto");
    for cluster in clusters {
        moto.create_cluster(REGION, cluster).await.expect("cluster");
    }
    for family in ["api", "web", "api-2"] {
        let definition = json!({
            "family": family, "cpu": "256", "memory": "512",
            "containerDefinitions": [{ "name": "app", "image": "app:1", "memory": 128 }]
        });
        moto.register_task_definition(REGION, &definition).await.expect("definition");
    }
    Some(Place { consul, moto })
}

impl Place {
    /// A controller of a cluster. Fast, so that grace periods and audits can be waited for.
    pub(crate) async fn controller(&self, cluster: &str, options: Value) -> Process {
        self.spawn(cluster, options, &[], None).await
    }

    /// A controller that reaches AWS and Consul through a gate.
    pub(crate) async fn controller_behind(&self, gate: &Gate, options: Value) -> Process {
        self.spawn("prod", options, &[], Some(gate)).await
    }

    /// A gate before this place's AWS and Consul.
    pub(crate) async fn gate(&self) -> Gate {
        let hub = self.consul.lan().hub();
        let consul = format!("http://{}:8500", hub.ip());
        Gate::start(hub, self.moto.url(), &consul).await.expect("gate")
    }

    /// What a controller would do.
    pub(crate) async fn dry_run(&self, cluster: &str) -> String {
        let process = self.spawn(cluster, json!({}), &["--dry-run"], None).await;
        let exit = tokio::time::timeout(LONG, process.wait()).await.expect("in time");
        let lines = said(&process);
        assert_eq!(exit.code(), 0, "{lines}");
        lines
    }

    async fn spawn(
        &self,
        cluster: &str,
        options: Value,
        args: &[&str],
        gate: Option<&Gate>,
    ) -> Process {
        let hub = self.consul.lan().hub();
        let mut controller = json!({
            "cluster": cluster, "interval": "200ms", "gracePeriod": "1s", "auditInterval": "1s",
        });
        for (key, value) in
            options.as_object().into_iter().flatten().filter(|(k, _)| !OUTSIDE.contains(&&***k))
        {
            controller[key] = value.clone();
        }
        let direct = format!("http://{}:8500", hub.ip());
        let consul = gate.map_or(&*direct, Gate::consul);
        let config = json!({
            "controller": controller,
            // Its own port serves one of them.
            "admin": { "listen": options.get("listen").cloned().unwrap_or(json!("127.0.0.1:0")) },
            "consul": { "address": consul, "token": { "env": "TOKEN" } },
        });
        let token = options["token"].as_str().unwrap_or(MANAGEMENT);
        let aws = gate.map_or(self.moto.url(), Gate::aws);
        let spec = Moto::controller(&config, token, aws, args).expect("taskmesh");
        hub.spawn_process(spec).await.expect("controller")
    }

    /// What a controller answers on its own port.
    pub(crate) async fn asked(&self, path: &str) -> Option<(u16, String)> {
        self.asked_at(19101, path).await
    }

    /// The state of the controller on this port.
    pub(crate) async fn status_at(&self, port: u16) -> Option<Value> {
        serde_json::from_str(&self.asked_at(port, "/v1/status").await?.1).ok()
    }

    async fn asked_at(&self, port: u16, path: &str) -> Option<(u16, String)> {
        let url = format!("http://127.0.0.1:{port}{path}");
        let ask = move || async move {
            let answer = testbed::cluster::client().get(url).send().await.ok()?;
            Some((answer.status().as_u16(), answer.text().await.ok()?))
        };
        self.consul.lan().hub().spawn(ask).await.ok()?
    }

    /// A task of the mesh; gives its ARN.
    pub(crate) async fn run(&self, cluster: &str, family: &str, tags: &[(&str, &str)]) -> String {
        let mut all = vec![("consul.hashicorp.com/mesh", "true")];
        all.extend(tags);
        self.moto.run_task(REGION, cluster, family, &all).await.expect("task")
    }

    /// Policies by name, with their rules.
    pub(crate) async fn policies(&self) -> BTreeMap<String, Value> {
        let list = self.consul.server_get("/v1/acl/policies").await.expect("policies");
        let mut all = BTreeMap::new();
        for policy in list.as_array().expect("list") {
            let id = policy["ID"].as_str().expect("ID");
            let whole = self.consul.server_get(&format!("/v1/acl/policy/{id}")).await;
            all.insert(policy["Name"].as_str().expect("name").to_owned(), whole.expect("policy"));
        }
        all
    }

    /// Tokens whose description begins so.
    pub(crate) async fn tokens(&self, about: &str) -> Vec<Value> {
        let list = self.consul.server_get("/v1/acl/tokens").await.expect("tokens");
        let all = list.as_array().expect("list").iter();
        let begins =
            |t: &&Value| t["Description"].as_str().is_some_and(|text| text.starts_with(about));
        all.filter(begins).cloned().collect()
    }

    /// Whether a service has all that it needs, and it fits together: the secret's pair is a token with the policy.
    pub(crate) async fn is_whole(&self, service: &str) -> bool {
        let Ok(Some(pair)) = self.moto.secret(REGION, &format!("mesh-{service}")).await else {
            return false;
        };
        let accessor = pair["accessor_id"].as_str().unwrap_or_default().to_owned();
        let path = format!("/v1/acl/token/{accessor}");
        if accessor.is_empty() {
            return false;
        }
        let Ok(token) = self.consul.server_get(&path).await else { return false };
        let policy = format!("{service}-service");
        let linked = token["Policies"].as_array().into_iter().flatten();
        let linked = linked.into_iter().any(|link| link["Name"] == *policy);
        let policies = self.policies().await;
        let rules = policies.get(&policy).and_then(|p| p["Rules"].as_str()).unwrap_or_default();
        linked
            && token["SecretID"] == pair["token"]
            && rules.contains(&format!("service \"{service}\""))
    }

    /// Waits until a service is whole.
    pub(crate) async fn until_whole(&self, service: &str, controller: &Process) {
        until(&format!("{service} is whole"), controller, async || self.is_whole(service).await)
            .await;
    }

    /// Waits until nothing of a service is left but its secret.
    pub(crate) async fn until_gone(&self, service: &str, controller: &Process) {
        let about = format!("Token for {service} service");
        until(&format!("{service} is gone"), controller, async || {
            let policy = format!("{service}-service");
            self.tokens(&about).await.is_empty() && !self.policies().await.contains_key(&policy)
        })
        .await;
    }
}

/// Polls until it is so.
pub(crate) async fn until(what: &str, controller: &Process, so: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !so().await {
        assert!(began.elapsed() < LONG, "not so: {what}: {}", said(controller));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// All that a controller has printed.
pub(crate) fn said(controller: &Process) -> String {
    let lines = controller.output().snapshot();
    lines.into_iter().map(|line| line.text).collect::<Vec<_>>().join("\n")
}

/// The changes that it has logged.
pub(crate) fn writes(controller: &Process) -> Vec<String> {
    let lines = said(controller);
    let changes = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    changes
        .filter(|line| line.get("service").is_some() && line["level"] == "INFO")
        .map(|line| line["message"].as_str().unwrap_or_default().to_owned())
        .collect()
}
