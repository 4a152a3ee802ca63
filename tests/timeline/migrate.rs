//! A task as a consul-ecs 0.4.3 user has it, with one container in the place of four: its document, its environment and
//! its app's entry point are what they were.

use crate::support::{LONG, Seen, assert_started, assert_stopped};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use taskmesh::timeline::Event;
use testbed::cluster::{Backend, Cluster, TaskPlan};
use testbed::definitions::unwrapped;
use testbed::ecs::{StopOrder, TaskSpec};

/// The delay in the app's entry point: longer than the peers need to know.
const DELAY: Duration = Duration::from_secs(2);

/// What 0.4.3's containers have in their environment; the last three are no use to `consul` or Envoy, and harm them.
const VARIABLES: [&str; 6] = [
    "CONSUL_DATACENTER",
    "CONSUL_ECS_CONFIG_JSON",
    "TASKMESH_CONFIG_JSON",
    "CONSUL_CACERT",
    "AGENT_TOKEN",
    "CONSUL_HTTP_TOKEN",
];

/// The task definition: the app waits for HEALTHY, as it did for `sidecar-proxy`, and starts from the shared folder.
fn definition() -> Value {
    let mut definition = unwrapped("api", &[]);
    let containers = &mut definition["containerDefinitions"];
    containers[0]["environment"].as_array_mut().expect("list").extend([
        json!({ "name": "CONSUL_ECS_CONFIG_JSON", "value": "{{legacy}}" }),
        json!({ "name": "CONSUL_DATACENTER", "value": "dc1" }),
        // Text, where Consul's own programs read a path.
        json!({
            "name": "CONSUL_CACERT",
            "value": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
        }),
    ]);
    containers[1]["entryPoint"] =
        json!(["{{dir}}/shared/consul-ecs", "app-entrypoint", "-shutdown-delay", "2s", "--"]);
    containers[1]["healthCheck"] =
        json!({ "command": ["CMD", "/usr/bin/test", "-e", "/"], "interval": 5, "timeout": 2 });
    definition
}

/// Moves what 0.4.3's document says out of ours, so that ours is the small one.
fn split(spec: &mut TaskSpec) {
    let mut ours: Value = serde_json::from_str(&spec.vars["config"]).expect("config");
    let mut legacy = json!({
        "bootstrapDir": format!("{}/shared", spec.vars["dir"]),
        "healthSyncContainers": ["app"]
    });
    for section in ["service", "proxy"] {
        legacy[section] = ours.as_object_mut().expect("object").remove(section).expect("section");
    }
    // What Terraform writes for whatever it was not given.
    for key in ["tags", "meta", "weights", "checks", "namespace", "partition"] {
        legacy["service"][key] = Value::Null;
    }
    // The servers of this mesh speak no TLS; the certificate is there all the same.
    ours["consul"]["tls"] = Value::Null;
    spec.vars.insert("config".to_owned(), ours.to_string());
    spec.vars.insert("legacy".to_owned(), legacy.to_string());
}

#[tokio::test]
async fn a_task_of_0_4_3_runs_with_one_container() {
    if let Err(missing) = testbed::parts::envoy() {
        return testbed::skip::skip(&missing.to_string());
    }
    let backend = Backend::best().expect("CONSUL_BIN");
    let (cluster, tokens) = Cluster::start_with_acls(backend, "api").await.expect("cluster");
    let plan = TaskPlan::new("api-1", "api", definition()).platform(move |spec| {
        split(spec);
        spec.time_scale = 10.0;
        spec.stop_order = StopOrder::ReverseDependsOn;
        // ECS fills them in from two secrets.
        spec.env.insert("AGENT_TOKEN".to_owned(), tokens.agent);
        spec.env.insert("CONSUL_HTTP_TOKEN".to_owned(), tokens.service);
    });
    let task = cluster.task(plan).await.expect("task");
    task.wait_event(Event::Offered, LONG).await.expect("offered");

    let supervisor = task.ecs.container("taskmesh").expect("taskmesh");
    let mut children = Vec::new();
    for process in supervisor.processes() {
        let read = |file: &str| std::fs::read(format!("/proc/{}/{file}", process.pid));
        let (Ok(environ), Ok(line)) = (read("environ"), read("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&line).into_owned();
        if line.contains("taskmesh\0run") {
            continue;
        }
        let environ = String::from_utf8_lossy(&environ).into_owned();
        let names: Vec<_> =
            environ.split('\0').filter_map(|entry| entry.split_once('=')).map(|(n, _)| n).collect();
        let leaked: Vec<_> = VARIABLES.iter().filter(|name| names.contains(name)).collect();
        assert!(leaked.is_empty(), "{leaked:?} of {line}");
        children.push(line);
    }
    assert!(children.len() >= 2, "the agent and Envoy: {children:?}");

    let told = task.last_lines(usize::MAX);
    for told_of in ["consul.agentToken by AGENT_TOKEN", "consul-ecs", "consul.acl by"] {
        assert!(told.contains(told_of), "{told_of}: {told}");
    }

    task.ecs.stop();
    let (result, timeline) = task.wait_stopped(LONG).await.expect("stopped");
    let seen = Seen(timeline);
    assert_started(&seen);
    assert_stopped(&seen);
    seen.in_order(&[
        Event::PeersUpdated,
        Event::AppsReleased,
        Event::AppsStopped,
        Event::EnvoyExited,
    ]);
    // The app's own TERM came only after its delay, though the peers knew earlier.
    let app = result.container("app").expect("app");
    let ran_on = app.finished_at.zip(app.signalled_at).map(|(end, term)| end.duration_since(term));
    assert!(ran_on.is_some_and(|ran_on| ran_on >= DELAY), "{ran_on:?}");
    assert!(seen.between(Event::AppsReleased, Event::AppsStopped) > Duration::ZERO);
    assert_eq!(app.exit_code, Some(0));
    assert_eq!(result.container("taskmesh").expect("taskmesh").exit_code, Some(0));
}

#[tokio::test]
async fn a_shared_folder_that_cannot_be_written_stops_nobody_but_the_apps_that_start_from_it() {
    let Some(cluster) = crate::support::cluster().await else { return };
    let plan = TaskPlan::new("api-1", "api", testbed::definitions::wrapped("api", &[])).config(
        json!({ "lifecycle": { "consulEcsDir": "/proc/none", "appBinDir": "{{dir}}/bin" } }),
    );
    let task = cluster.task(plan).await.expect("task");
    task.wait_event(Event::Offered, LONG).await.expect("offered");
    let told = task.last_lines(usize::MAX);
    assert!(told.contains("lifecycle.consulEcsDir: cannot put `consul-ecs` there"), "{told}");
    assert!(told.contains("binary for the apps is in place"), "the other folder: {told}");
}

/// What was put into a folder is a whole program.
#[tokio::test]
async fn the_binary_is_in_place_before_any_app_can_want_it() {
    let Some(cluster) = crate::support::cluster().await else { return };
    let dir = tempfile::tempdir().expect("dir");
    let plan = TaskPlan::new("api-1", "api", testbed::definitions::wrapped("api", &[]))
        .config(json!({ "lifecycle": { "consulEcsDir": dir.path(), "appBinDir": dir.path() } }));
    let task = cluster.task(plan).await.expect("task");
    task.wait_event(Event::Started, LONG).await.expect("started");
    for name in ["consul-ecs", "taskmesh"] {
        let file = dir.path().join(name);
        let mode = std::fs::metadata(&file).expect(name).permissions().mode();
        assert_eq!(mode & 0o777, 0o755, "{name}");
        let version = std::process::Command::new(&file).arg("version").output().expect(name);
        assert!(String::from_utf8_lossy(&version.stdout).starts_with("taskmesh "), "{version:?}");
    }
}
