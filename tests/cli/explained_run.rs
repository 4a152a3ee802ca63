//! What was explained, against what a run does: a real supervisor, whose Consul and Envoy only keep their arguments.

use crate::explain::{METADATA, OURS, as_json, script, strings};
use crate::recorder::Recorder;
use serde_json::json;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use taskmesh::consul;
use tokio::time::Instant;

#[test]
fn a_real_run_does_what_was_explained() {
    let dir = tempfile::tempdir().expect("dir");
    let seen = |name: &str| dir.path().join(name);
    let bootstrap =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src/envoy/testdata/bootstrap-1.23.json");
    // Whole or not there.
    let keep = |name: &str| {
        let file = seen(name).display().to_string();
        format!("printf '%s\\n' \"$@\" > {file}.new; mv {file}.new {file}")
    };
    let consul = script(
        dir.path(),
        "consul",
        &format!(
            "case $1 in\nversion) echo 'Consul v1.23.0';;\nagent) {}; exec sleep 60;;\n\
             *) {}; cat {};;\nesac",
            keep("agent"),
            keep("connect"),
            bootstrap.display()
        ),
    );
    let envoy = script(
        dir.path(),
        "envoy",
        &format!("[ \"$1\" = --version ] || {{ {}; exec sleep 60; }}", keep("started")),
    );
    let recorder = Recorder::start();
    let free =
        std::net::TcpListener::bind("127.0.0.1:0").expect("port").local_addr().expect("addr");
    let document = json!({
        "service": { "port": 9090, "tags": ["v2"], "meta": { "team": "payments" } },
        "proxy": { "upstreams": [{ "destinationName": "db", "localBindPort": 5432 }] },
        "consul": {
            "binary": consul, "dataDir": seen("data"), "retryJoin": ["127.0.0.1"], "acl": {},
            "httpPort": recorder.port, "serviceToken": { "env": "SERVICE_TOKEN" },
        },
        "envoy": { "binary": envoy, "configDir": seen("private") },
        "admin": { "listen": free.to_string() },
    });
    let document = document.to_string();
    let uri = recorder.metadata_uri();
    let env = [
        (OURS, document.as_str()),
        (METADATA, uri.as_str()),
        ("SERVICE_TOKEN", "s3cret"),
        ("PATH", "/usr/bin:/bin"),
    ];
    let explained = as_json(&[], &env);
    assert_eq!(explained["task"]["isReal"], true);
    assert_eq!(explained["registration"]["syncedContainers"], json!(["app"]));

    let mut supervisor = Command::new(env!("CARGO_BIN_EXE_taskmesh"))
        .arg("run")
        .env_clear()
        .envs(env)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("run");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !seen("started").exists() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
    let args = |name: &str| {
        let text = std::fs::read_to_string(seen(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let (agent, connect, started) = (args("agent"), args("connect"), args("started"));
    let config = std::fs::read(seen("private/agent.json")).unwrap_or_default();
    // Its children get KILL with it.
    supervisor.kill().expect("kill");
    supervisor.wait().expect("wait");

    assert_eq!(strings(&explained["agent"]["command"]["args"]), agent);
    assert_eq!(strings(&explained["envoy"]["bootstrap"]["args"]), connect);
    assert_eq!(strings(&explained["envoy"]["run"]["args"]), started);
    let config = serde_json::from_slice(&config).expect("agent.json");
    assert_eq!(explained["agent"]["config"], consul::redacted(config));

    // The calls before Envoy, in their order; others (a watchdog's reads) may come between.
    let made = recorder.requests();
    let mut made = made.iter();
    let startup = explained["registration"]["calls"].as_array().expect("calls").iter();
    for call in startup.take_while(|call| call["when"].as_str().unwrap().starts_with("T0")) {
        let target = call["path"].as_str().unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let body = call.get("body").cloned().unwrap_or_default();
        let found = made.any(|request| {
            request.method == call["method"]
                && request.path == path
                && request.query.contains(query)
                && request.body == body
        });
        assert!(found, "not made: {call:#}\n{:#?}", recorder.requests());
    }
}
