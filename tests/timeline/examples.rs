//! Every file in `config/` serves: it is started as it stands, save for what must differ here (programs, folders, the
//! servers' address, the values of secrets), and stopped. A new file is started without a word here, or fails.

use crate::support::{LONG, Seen};
use futures_util::future::join_all;
use serde_json::{Map, Value, json};
use std::path::Path;
use taskmesh::timeline::Event;
use testbed::cluster::{Backend, Cluster, ClusterPlan, TaskPlan, merge};
use testbed::definitions::wrapped;
use testbed::mesh::Token;
use testbed::moto::Moto;
use testbed::skip::skip;

/// A configuration from `config/`.
struct Example {
    /// The file's name without `.json`.
    name: String,
    /// Our own document.
    ours: Value,
    /// A document of consul-ecs 0.4.3, which `ours` is the rest of.
    legacy: Option<Value>,
}

/// All of them. A document of ours that cannot stand alone, for it has no port and is not outbound-only, is the rest
/// of those of consul-ecs.
fn examples() -> Vec<Example> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let (mut examples, mut rest) = (Vec::new(), None);
    for entry in std::fs::read_dir(folder).expect("config/") {
        let file = entry.expect("a file").path();
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        // Folders are other commands' examples.
        if name == "schema" || file.is_dir() {
            continue;
        }
        let text = std::fs::read_to_string(&file).expect("a file");
        let document: Value =
            serde_json::from_str(&text).unwrap_or_else(|e| panic!("{file:?} is no JSON: {e}"));
        if document.get("bootstrapDir").is_some() {
            examples.push(Example { name, ours: json!({}), legacy: Some(document) });
        } else if !document["service"]["port"].is_null() || document["service"]["inbound"] == false
        {
            examples.push(Example { name, ours: document, legacy: None });
        } else {
            let first = rest.replace(document).is_none();
            assert!(first, "{name}: two files have no port: which is whose rest?");
        }
    }
    if let Some(rest) = rest {
        let mut legacy: Vec<_> = examples.iter_mut().filter(|e| e.legacy.is_some()).collect();
        assert!(!legacy.is_empty(), "a file has no port, and is the rest of nothing");
        legacy.iter_mut().for_each(|example| example.ours = rest.clone());
    }
    examples.sort_by(|a, b| a.name.cmp(&b.name));
    examples
}

impl Example {
    /// What the two documents say together.
    fn whole(&self) -> Value {
        let mut whole = self.legacy.clone().unwrap_or_else(|| json!({}));
        if let Some(containers) = whole.get("healthSyncContainers").cloned() {
            whole["healthSync"] = json!({ "containers": containers });
        }
        merge(&mut whole, self.ours.clone());
        whole
    }

    /// It speaks of a mesh that lets nobody in without a key or a token.
    fn is_secured(&self) -> bool {
        let consul = &self.ours["consul"];
        ["tls", "acl", "gossipKey"].iter().any(|key| consul.get(key).is_some_and(|v| !v.is_null()))
    }

    /// It asks for secrets in Secrets Manager.
    fn has_stored_secrets(&self) -> bool {
        self.ours.to_string().contains("secretsManager")
    }

    /// Starts it, waits until it serves, stops it.
    async fn serves(self, number: usize, cluster: &Cluster, moto: Option<&Moto>) {
        let Self { name, ours, legacy } = &self;
        let whole = self.whole();
        let service = whole["service"]["name"].as_str().unwrap_or(name).to_owned();
        let port = whole["service"]["port"].as_u64().filter(|port| *port != 0);
        let inbound = port.is_some() && whole["service"]["inbound"] != false;
        let synced = whole["healthSync"]["containers"].as_array();
        let apps = whole["lifecycle"]["appContainers"].as_array();
        let app = synced.or(apps).and_then(|names| names[0].as_str()).unwrap_or("app");

        let mut definition = wrapped(&service, &[]);
        let [helper, container] = [0, 1].map(|i| format!("/containerDefinitions/{i}"));
        let container = definition.pointer_mut(&container).expect("the app");
        container["name"] = json!(app);
        if synced.is_some() {
            let check = json!({ "command": ["CMD", "/bin/true"], "interval": 5 });
            container["healthCheck"] = check;
        }
        if !inbound {
            container["command"] = json!(["{{testbed}}", "app", "sleep"]);
        }
        let mut variables = Vec::new();
        if let Some(legacy) = legacy {
            let helper = definition.pointer_mut(&helper).expect("the helper");
            let environment = helper["environment"].as_array_mut().expect("environment");
            environment.push(json!({ "name": "CONSUL_ECS_CONFIG_JSON", "value": "{{legacy}}" }));
            variables.push(("legacy", legacy.to_string()));
        }
        variables.extend(port.map(|port| ("app_port", port.to_string())));

        let dir = tempfile::tempdir().expect("dir");
        let mut secrets = Secrets::new(name, cluster, dir.path());
        if self.is_secured() {
            let token = format!("00000000-0000-4000-8000-0000000001{number:02x}");
            cluster.make_token(name, Token::service(&token, &service)).await.expect("token");
            secrets.values.push(("serviceToken", token));
        }
        let consul = secrets.give(&ours["consul"]);
        if let Some(moto) = moto {
            secrets.store(moto).await;
        }
        let env = secrets.env;
        let mut plan = TaskPlan::new(name, &service, definition)
            .example(ours.clone())
            .config(json!({ "consul": consul }))
            .platform(move |spec| {
                spec.time_scale = 20.0;
                spec.env.extend(env);
            });
        for (name, value) in variables {
            plan = plan.var(name, value);
        }
        let task = cluster.task(plan).await.expect("task");
        let serving = if inbound { Event::Offered } else { Event::Ready };
        task.wait_event(Event::Ready, LONG).await.expect("ready");
        task.wait_event(serving, LONG).await.expect("offered");
        task.ecs.stop();
        let (result, timeline) = task.wait_stopped(LONG).await.expect("stopped");
        let seen = Seen(timeline);
        seen.in_order(&[Event::Ready, Event::StopNoticed, Event::AgentLeft, Event::AllExited]);
        let code = result.container("taskmesh").expect("taskmesh").exit_code;
        assert_eq!(code, Some(0), "{name}: {:#?}\n{}", seen.lines(), task.last_lines(30));
        println!("{name}: {} after {:.1} s, stopped", serving.name(), seen.at(serving).ms / 1000.0);
    }
}

/// The values for the secrets of an example, each given in the way that the example asks for.
struct Secrets<'a> {
    /// Of the example: they share one Secrets Manager.
    name: &'a str,
    dir: &'a Path,
    values: Vec<(&'static str, String)>,
    env: Vec<(String, String)>,
    /// What Secrets Manager must hold: name, key in it, value.
    stored: Vec<(String, Option<String>, String)>,
}

const REGION: &str = "us-east-1";

impl<'a> Secrets<'a> {
    fn new(name: &'a str, cluster: &Cluster, dir: &'a Path) -> Self {
        let security = cluster.security();
        let ca = security.ca.as_ref().map(|ca| std::fs::read_to_string(ca).expect("CA"));
        let tokens = security.tokens.as_ref();
        let values = [
            ("ca", ca),
            ("gossipKey", security.gossip_key.clone()),
            ("agentToken", tokens.map(|tokens| tokens.agent.clone())),
        ];
        let values = values.into_iter().filter_map(|(key, value)| Some((key, value?)));
        Self { name, dir, values: values.collect(), env: Vec::new(), stored: Vec::new() }
    }

    /// Sets the variables that a section names; gives what to change where it names files.
    fn give(&mut self, section: &Value) -> Value {
        let mut change = Map::new();
        for (key, value) in section.as_object().into_iter().flatten() {
            let (env, file) = (value["env"].as_str(), value["file"].as_str());
            let id = value["secretsManager"]["secretId"].as_str();
            if env.or(file).or(id).is_none() {
                let inner = self.give(value);
                if inner.as_object().is_some_and(|inner| !inner.is_empty()) {
                    change.insert(key.clone(), inner);
                }
                continue;
            }
            let secret = self.values.iter().find(|(name, _)| name == key);
            let (_, secret) = secret.unwrap_or_else(|| panic!("no value for the secret {key}"));
            if let Some(name) = env {
                self.env.push((name.to_owned(), secret.clone()));
            } else if let Some(id) = id {
                let part = value["secretsManager"]["jsonKey"].as_str().map(str::to_owned);
                let id = format!("{}/{id}", self.name);
                self.stored.push((id.clone(), part, secret.clone()));
                change.insert(key.clone(), json!({ "secretsManager": { "secretId": id } }));
            } else {
                let path = self.dir.join(key);
                // Most files end in a line break.
                std::fs::write(&path, format!("{secret}\n")).expect("file");
                change.insert(key.clone(), json!({ "file": path }));
            }
        }
        Value::Object(change)
    }

    /// Makes the secrets, and lets the task ask for them.
    async fn store(&mut self, moto: &Moto) {
        for (id, key, secret) in std::mem::take(&mut self.stored) {
            let text = key.map_or(secret.clone(), |key| json!({ (key): secret }).to_string());
            moto.create_secret_text(REGION, &id, &text).await.expect("secret");
        }
        for (name, value) in [
            ("AWS_ENDPOINT_URL", moto.url()),
            ("AWS_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ] {
            self.env.push((name.to_owned(), value.to_owned()));
        }
    }
}

async fn all_serve(cluster: &Cluster, secured: bool) {
    let mut chosen: Vec<_> = examples().into_iter().filter(|e| e.is_secured() == secured).collect();
    assert!(!chosen.is_empty());
    let moto = match testbed::parts::moto_server() {
        Ok(_) if secured => Some(Moto::start(cluster.lan().hub()).await.expect("moto")),
        Ok(_) => None,
        Err(missing) => {
            skip(&missing.to_string());
            None
        }
    };
    chosen.retain(|example| moto.is_some() || !example.has_stored_secrets());
    let moto = moto.as_ref();
    let runs = chosen.into_iter().enumerate();
    join_all(runs.map(|(number, example)| example.serves(number, cluster, moto))).await;
}

#[tokio::test]
async fn every_example_for_an_open_mesh_serves_and_stops() {
    let Some(cluster) = crate::support::cluster().await else { return };
    all_serve(&cluster, false).await;
}

async fn every_secured_example(backend: Backend) {
    let plan = ClusterPlan::new(backend).tls().gossip_key().acl("api");
    let cluster = plan.start().await.expect("cluster");
    all_serve(&cluster, true).await;
}

#[tokio::test]
async fn every_example_for_a_secured_mesh_serves_and_stops_on_187() {
    match testbed::parts::consul187() {
        Ok(consul) => every_secured_example(Backend::V187(consul)).await,
        Err(missing) => skip(&missing.to_string()),
    }
}

#[tokio::test]
async fn every_example_for_a_secured_mesh_serves_and_stops_on_consul_bin() {
    match testbed::parts::consul().and_then(|consul| testbed::parts::envoy().map(|_| consul)) {
        Ok(consul) => every_secured_example(Backend::Consul(consul)).await,
        Err(missing) => skip(&missing.to_string()),
    }
}
