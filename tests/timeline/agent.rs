//! The agent: behind sockets, and with a data folder that it cannot use.

use crate::faults::kill_child;
use crate::support::{LONG, Seen, assert_started, assert_stopped, cluster};
use serde_json::json;
use std::path::Path;
use taskmesh::timeline::Event;
use testbed::cluster::{Backend, Cluster, TaskPlan};
use testbed::definitions::wrapped;
use testbed::parts;

#[tokio::test]
async fn an_agent_behind_sockets_serves_envoy_and_us_from_t0_to_t3() {
    let Some(cluster) = cluster().await else { return };
    let dir = tempfile::tempdir().expect("dir");
    let socket = |name: &str| dir.path().join("sockets").join(name);
    // As a life before this one left it.
    std::fs::create_dir(dir.path().join("sockets")).expect("dir");
    drop(std::os::unix::net::UnixListener::bind(socket("http")).expect("socket"));
    let plan = TaskPlan::new("api-1", "api", wrapped("api", &[])).config(json!({ "consul": {
        "httpPort": null, "grpcPort": null,
        "httpSocket": socket("http"), "grpcSocket": socket("grpc"),
    }}));
    let task = cluster.task(plan).await.expect("task");
    task.wait_event(Event::Offered, LONG).await.expect("offered");
    // An agent that dies comes back there, and is called there again.
    kill_child(&task, "consul").await;
    task.wait_event(Event::ChildRestarted, LONG).await.expect("restarted");
    let began = tokio::time::Instant::now();
    while !cluster.offered("api").await.expect("server").iter().any(|(_, critical)| !critical) {
        assert!(began.elapsed() < LONG, "not offered again: {}", task.last_lines(40));
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }

    task.ecs.stop();
    let (result, timeline) = task.wait_stopped(LONG).await.expect("stopped");
    let seen = Seen(timeline);
    assert_started(&seen);
    assert_stopped(&seen);
    assert_eq!(result.container("taskmesh").expect("taskmesh").exit_code, Some(0));
}

/// On real Consuls: the stand-in keeps no keyring.
#[tokio::test]
async fn a_data_folder_that_the_agent_cannot_use_is_wiped_and_the_task_is_registered_again() {
    for consul in [parts::consul187(), parts::consul()] {
        match (consul, parts::envoy()) {
            (Ok(consul), Ok(_)) => is_wiped(Backend::Consul(consul)).await,
            (Err(missing), _) | (_, Err(missing)) => testbed::skip::skip(&missing.to_string()),
        }
    }
}

async fn is_wiped(backend: Backend) {
    const KEY: &str = "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s=";
    let name = backend.name();
    let cluster = Cluster::start_with(backend, json!({ "encrypt": KEY })).await.expect("cluster");
    let dir = tempfile::tempdir().expect("dir");
    let data = dir.path().join("data");
    // What an earlier life left: a key that the mesh has replaced since. The agent would prefer it to the configured one.
    let keyring = data.join("serf/local.keyring");
    std::fs::create_dir_all(data.join("serf")).expect("dir");
    std::fs::write(&keyring, "[\"AAAAAAAAAAAAAAAAAAAAAA==\"]").expect("keyring");
    let plan = TaskPlan::new("api-1", "api", wrapped("api", &[]))
        .config(json!({ "consul": { "dataDir": data, "gossipKey": { "env": "GOSSIP" } } }))
        .platform(|spec| {
            spec.env.insert("GOSSIP".to_owned(), KEY.to_owned());
        });
    let task = cluster.task(plan).await.expect("task");
    task.wait_event(Event::Registered, LONG).await.unwrap_or_else(|e| panic!("{name}: {e}"));
    let wiped = |why: &str| {
        let lines = task.last_lines(usize::MAX);
        lines.lines().any(|line| line.contains("data folder wiped") && line.contains(why))
    };
    assert!(wiped("an earlier agent left it"), "{name}: {}", task.last_lines(40));
    until_shown(&cluster, &name).await;

    // A disk that lost a write, and an agent that is killed.
    std::fs::write(&keyring, "gar\0bage").expect("keyring");
    kill_child(&task, "consul").await;
    task.wait_event(Event::RegistrationRepaired, LONG)
        .await
        .unwrap_or_else(|e| panic!("{name}: {e}"));
    assert!(wiped("Failed to configure keyring"), "{name}: {}", task.last_lines(60));
    assert!(good_keyring(&keyring), "{name}");
    until_shown(&cluster, &name).await;
    task.ecs.stop();
    task.wait_stopped(LONG).await.expect("stopped");
}

fn good_keyring(path: &Path) -> bool {
    std::fs::read(path).is_ok_and(|text| serde_json::from_slice::<Vec<String>>(&text).is_ok())
}

async fn until_shown(cluster: &Cluster, name: &str) {
    let began = tokio::time::Instant::now();
    while cluster.offered("api").await.expect("server").is_empty() {
        assert!(began.elapsed() < LONG, "{name}: the servers do not show it");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
