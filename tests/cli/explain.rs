//! `taskmesh check-config --explain`: it says what `run` does, needs nothing of the real task, and shows no secret.

use crate::{stderr, taskmesh};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use taskmesh::config::{self, Config, Sources};
use taskmesh::consul::{self, AgentSecrets, ServiceIds, Version};
use taskmesh::ecs::TaskIdentity;
use taskmesh::envoy;
use tokio::time::Instant;

pub(crate) const OURS: &str = "TASKMESH_CONFIG_JSON";
const LEGACY: &str = "CONSUL_ECS_CONFIG_JSON";
pub(crate) const METADATA: &str = "ECS_CONTAINER_METADATA_URI_V4";

pub(crate) fn example(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name);
    std::fs::read_to_string(file).expect("example")
}

/// The documents, each as the environment that gives it.
fn documents() -> Vec<(&'static str, Vec<(&'static str, String)>)> {
    let mut documents: Vec<_> = [
        "minimal.json",
        "full.json",
        "secure.json",
        "outbound-only.json",
        "http-with-upstream.json",
    ]
    .into_iter()
    .map(|name| (name, vec![(OURS, example(name))]))
    .collect();
    let consul = json!({ "consul": { "retryJoin": ["10.0.0.10"] } }).to_string();
    let legacy = "consul-ecs-0.4.3.json";
    documents.push((legacy, vec![(OURS, consul), (LEGACY, example(legacy))]));
    documents
}

fn explained(args: &[&str], env: &[(&str, &str)]) -> String {
    let output = taskmesh(&[&["check-config", "--explain"], args].concat(), env);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stderr(&output), "");
    String::from_utf8(output.stdout).expect("UTF-8")
}

pub(crate) fn as_json(args: &[&str], env: &[(&str, &str)]) -> Value {
    let text = explained(&[&["--json"], args].concat(), env);
    serde_json::from_str(&text).expect("one JSON object")
}

fn borrowed<'a>(env: &'a [(&'a str, String)]) -> Vec<(&'a str, &'a str)> {
    env.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

fn loaded(env: &[(&str, String)]) -> Config {
    let env: std::collections::BTreeMap<String, String> =
        env.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    config::load(&Sources::default(), &env).expect("an example").config
}

/// The task that an explanation says it is for.
fn task_of(explained: &Value) -> TaskIdentity {
    let text = |key: &str| explained["task"][key].as_str().unwrap_or_default().to_owned();
    let definition = text("definition");
    let (family, revision) = definition.split_once(':').expect("family:revision");
    TaskIdentity {
        task_arn: text("arn"),
        task_id: text("id"),
        family: family.to_owned(),
        revision: revision.to_owned(),
        ipv4: Some(text("ipv4")).filter(|ipv4| !ipv4.is_empty()),
        ..TaskIdentity::default()
    }
}

/// Bodies of the calls to one path, in their order.
fn bodies(explained: &Value, path: &str) -> Vec<Value> {
    let calls = explained["registration"]["calls"].as_array().expect("calls");
    calls.iter().filter(|call| call["path"] == path).map(|call| call["body"].clone()).collect()
}

pub(crate) fn strings(value: &Value) -> Vec<String> {
    serde_json::from_value(value.clone()).expect("texts")
}

#[test]
fn the_payloads_and_commands_are_those_that_run_sends() {
    for (name, env) in documents() {
        let config = loaded(&env);
        let explained = as_json(&["--consul-version", "1.12.0"], &borrowed(&env));
        let task = task_of(&explained);
        let containers = strings(&explained["registration"]["syncedContainers"]);
        let expected = if name.starts_with("http-") || name.starts_with("consul-ecs") {
            vec!["web"]
        } else {
            Vec::new()
        };
        assert_eq!(containers, expected, "{name}");

        let registered = bodies(&explained, "/v1/agent/service/register");
        let service = serde_json::to_value(consul::service(&config, &task, &containers));
        let proxy = serde_json::to_value(consul::proxy(&config, &task));
        assert_eq!(registered, [service.expect("body"), proxy.expect("body")], "{name}");

        let hidden = || Some("(hidden)".into());
        let secure = config.consul.acl.is_some();
        let secrets = AgentSecrets {
            agent_token: hidden().filter(|_| secure),
            recovery_token: hidden().filter(|_| secure),
            gossip_key: hidden().filter(|_| config.consul.gossip_key.is_some()),
            ca_file: config
                .consul
                .tls
                .as_ref()
                .map(|_| std::env::temp_dir().join("taskmesh-XXXXXX/consul-ca.pem")),
            ..AgentSecrets::default()
        };
        let agent = consul::agent_config(&config, &task, &secrets, Version::new(1, 12, 0));
        assert_eq!(explained["agent"]["config"], consul::redacted(agent), "{name}");

        let ids = ServiceIds::new(&config.service, &task);
        assert_eq!(
            strings(&explained["envoy"]["bootstrap"]["args"]),
            consul::connect_envoy_args(&ids, &config.consul, &config.service, &config.envoy),
            "{name}"
        );
        let bootstrap = std::env::temp_dir().join("taskmesh-XXXXXX/envoy-bootstrap.json");
        assert_eq!(
            strings(&explained["envoy"]["run"]["args"]),
            envoy::args(&config.envoy, &bootstrap),
            "{name}"
        );
    }
}

#[test]
fn the_text_has_the_same_payloads_under_headings_and_fits_80_columns() {
    for (name, env) in documents() {
        let env = borrowed(&env);
        let args = ["--consul-version", "1.12.0"];
        let (text, machine) = (explained(&args, &env), as_json(&args, &env));
        let lines: Vec<_> = text.lines().collect();
        let headings: Vec<_> = (1..lines.len())
            .filter(|i| !lines[*i].is_empty() && lines[*i].chars().all(|c| c == '='))
            .map(|i| lines[i - 1])
            .collect();
        assert_eq!(
            headings,
            ["Configuration", "Task", "Consul agent", "Registration", "Envoy", "Stop"],
            "{name}"
        );
        let mut blocks: Vec<Value> = Vec::new();
        let mut block = None::<String>;
        for line in lines {
            match &mut block {
                Some(open) => {
                    open.push_str(line);
                    if line == "  }" {
                        blocks.push(serde_json::from_str(&block.take().unwrap()).expect(&text));
                    }
                }
                None if line == "  {" => block = Some(line.to_owned()),
                // A word that is longer than the line stays whole, and so does a call's path.
                None => assert!(
                    line.chars().count() <= 80
                        || line.split_whitespace().any(|word| word.len() > 60),
                    "{name}: {line}"
                ),
            }
        }
        let mut expected = vec![machine["agent"]["config"].clone()];
        let calls = machine["registration"]["calls"].as_array().expect("calls");
        expected.extend(calls.iter().filter_map(|call| call.get("body").cloned()));
        assert_eq!(blocks, expected, "{name}");
    }
}

#[test]
fn it_says_which_source_gave_what() {
    let consul = r#"{"consul": {"retryJoin": ["10.0.0.10"]}}"#;
    let legacy = example("consul-ecs-0.4.3.json");
    let explained = as_json(&[], &[(OURS, consul), (LEGACY, &legacy)]);
    assert_eq!(
        explained["given"],
        json!([
            { "source": OURS, "keys": ["consul.retryJoin"] },
            { "source": LEGACY, "keys": [
                "bootstrapDir", "healthSyncContainers",
                "proxy.config", "proxy.meshGateway", "proxy.upstreams",
                "service.meta", "service.port",
            ] },
        ])
    );
    assert!(explained["notes"][0].as_str().unwrap().contains("bootstrapDir"), "{explained}");
}

#[test]
fn the_stop_is_told_for_each_kind_of_inbound() {
    let order = |env: &[(&str, String)]| {
        let stop = as_json(&[], &borrowed(env))["stop"].clone();
        let steps = stop["steps"].as_array().expect("steps").clone();
        let events: Vec<_> = steps.iter().map(|s| s["step"].as_str().unwrap().to_owned()).collect();
        (stop["inbound"].as_str().unwrap().to_owned(), events.join(" "))
    };
    let told = |inbound: &str, middle: &str| {
        let steps = format!(
            "sync-stopped checks-critical peers-updated dwell {middle} apps-stopped envoy-exited \
             agent-left all-exited deadline"
        );
        (inbound.to_owned(), steps)
    };
    let document = |name: &str| vec![(OURS, example(name))];
    assert_eq!(order(&document("minimal.json")), told("tcp", "apps-released inbound-drained"));
    assert_eq!(order(&document("full.json")), told("http", "inbound-drained apps-released"));
    assert_eq!(order(&document("outbound-only.json")), told("none", "apps-released"));

    let first = r#"{"service": {"port": 1}, "consul": {"retryJoin": ["a"]}, "lifecycle": {"leave": "first"}}"#;
    let (_, steps) = order(&[(OURS, first.to_owned())]);
    assert!(steps.starts_with("sync-stopped checks-critical agent-leave-begun"), "{steps}");
    let text = explained(&[], &[(OURS, first)]);
    let budget = "21s 500ms of stopTimeout 30s are spoken for; 8s 500ms are left for the apps.";
    assert!(text.contains(budget), "{text}");
}

#[test]
fn what_is_missing_here_is_said_and_fails_nothing() {
    let document = example("secure.json");
    let text =
        explained(&[], &[(OURS, &document)]).split_whitespace().collect::<Vec<_>>().join(" ");
    for sentence in [
        "env AGENT_TOKEN, not readable here: environment variable AGENT_TOKEN is not set",
        "not readable here: file /run/secrets/service-token: No such file",
        "Not known here: ECS_CONTAINER_METADATA_URI_V4 is not set. What follows is written for a made-up task",
        "Written for the newest Consul, for the version is not known here: there is no consul here.",
        "\"auto\": decided in the running task",
    ] {
        assert!(text.contains(sentence), "{sentence}: {text}");
    }
    let output = taskmesh(&["check-config", "--explain", "--json"], &[(OURS, "{}")]);
    assert_eq!(output.status.code(), Some(64));
    assert!(output.stdout.is_empty());
    assert!(stderr(&output).contains("consul: required"), "{}", stderr(&output));
}

#[test]
fn a_metadata_endpoint_that_does_not_answer_is_given_up() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("port");
    let uri = format!("http://{}/v4/x", silent.local_addr().expect("addr"));
    let began = Instant::now();
    let explained = as_json(&[], &[(OURS, &example("minimal.json")), (METADATA, &uri)]);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(explained["task"]["isReal"], false);
    let why = explained["task"]["whyNot"].as_str().unwrap();
    assert!(why.contains("within 2s"), "{why}");
}

#[test]
fn no_secret_is_shown_nor_given_to_the_version_command() {
    let dir = tempfile::tempdir().expect("dir");
    let witness = dir.path().join("environment");
    let consul = script(
        dir.path(),
        "consul",
        &format!("env > {}\necho 'Consul v1.16.2'", witness.display()),
    );
    let file = dir.path().join("token");
    std::fs::write(&file, "MARKER-in-file\n").expect("token");
    let mut document: Value = serde_json::from_str(&example("secure.json")).expect("JSON");
    document["consul"]["binary"] = json!(consul);
    document["consul"]["serviceToken"] = json!({ "file": file });
    document["consul"]["retryJoin"] = json!(["provider=aws secret_access_key=MARKER-join tag=x"]);
    document["consul"]["extraConfig"] = json!("encrypt = \"MARKER-extra\"");
    document["service"]["checks"] = json!([{
        "http": "http://u:MARKER-url@127.0.0.1/x?token=MARKER-query", "interval": "5s",
        "header": { "Authorization": ["Bearer MARKER-header"] },
    }]);
    let document = document.to_string();
    let env = [
        (OURS, document.as_str()),
        ("CONSUL_CA_PEM", "MARKER-ca"),
        ("CONSUL_GOSSIP_ENCRYPTION_KEY", "MARKER-gossip"),
        ("AGENT_TOKEN", "MARKER-agent"),
        ("PATH", "/usr/bin:/bin"),
    ];
    let (text, machine) = (explained(&[], &env), as_json(&[], &env));
    assert_eq!(machine["agent"]["consulVersion"], "1.16.2");
    let secrets = machine["secrets"].as_array().expect("secrets");
    assert_eq!(secrets.len(), 4);
    assert!(secrets.iter().all(|secret| secret["unreadable"].is_null()), "{secrets:?}");
    let summary = taskmesh(&["check-config"], &env);
    let summary = String::from_utf8_lossy(&summary.stdout).into_owned();
    let environment = std::fs::read_to_string(&witness).expect("witness");
    for shown in [&text, &machine.to_string(), &summary, &environment] {
        assert!(!shown.contains("MARKER"), "{shown}");
    }
    assert!(text.contains("(hidden)"), "{text}");
}

#[test]
fn it_is_written_for_the_consul_that_is_here_or_for_the_one_that_is_named() {
    let dir = tempfile::tempdir().expect("dir");
    let consul = script(dir.path(), "consul", "echo 'Consul v1.8.7'");
    let mut document: Value = serde_json::from_str(&example("secure.json")).expect("JSON");
    document["consul"]["binary"] = json!(consul);
    let document = document.to_string();
    let here = as_json(&[], &[(OURS, &document)]);
    assert_eq!(here["agent"]["consulVersion"], "1.8.7");
    let config = &here["agent"]["config"];
    assert!(config["ca_file"].is_string() && config["tls"].is_null(), "{config}");
    let named = as_json(&["--consul-version", "1.16.2"], &[(OURS, &document)]);
    assert_eq!(named["agent"]["consulVersionFrom"], "--consul-version");
    let config = &named["agent"]["config"];
    assert!(config["tls"]["defaults"]["ca_file"].is_string(), "{config}");
}

pub(crate) fn script(dir: &Path, name: &str, lines: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{lines}\n")).expect("script");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("mode");
    path
}
