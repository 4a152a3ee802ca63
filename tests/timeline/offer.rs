//! An instance is offered when its app accepts connections, and never before.

use crate::support::{LONG, cluster};
use serde_json::{Value, json};
use std::time::Duration;
use taskmesh::timeline::Event;
use testbed::cluster::{Cluster, MeshTask, TaskPlan};
use testbed::definitions::wrapped;
use tokio::time::Instant;

/// An app that takes its time before it listens.
fn slow(family: &str) -> Value {
    let mut definition = wrapped(family, &[]);
    let app = &mut definition["containerDefinitions"][1];
    let command: Vec<&str> =
        app["command"].as_array().expect("command").iter().filter_map(Value::as_str).collect();
    app["command"] = json!(["/bin/sh", "-c", format!("sleep 2; exec {}", command.join(" "))]);
    definition
}

async fn accepts(task: &MeshTask) -> bool {
    let port = task.ports.app;
    let connect =
        move || async move { tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() };
    task.ecs.host().spawn(connect).await.expect("host")
}

/// Asks the servers without a pause from the start on. An app that accepts once does so from then on, so whoever is
/// offered must accept a moment later.
async fn never_offered_too_early(cluster: &Cluster, task: &MeshTask, what: &str) {
    let began = Instant::now();
    let mut looks = 0;
    loop {
        let offered = cluster.offered("api").await.expect("server");
        looks += 1;
        if offered.iter().any(|(_, critical)| !critical) {
            assert!(accepts(task).await, "{what}: offered before the app accepts");
            break;
        }
        assert!(began.elapsed() < LONG, "{what}: never offered: {}", task.last_lines(40));
    }
    assert!(looks > 10, "{what}: looked {looks} times only");
    // The critical moment was seen: Envoy listened while the app did not.
    let ready = task.wait_event(Event::Ready, LONG).await.expect("ready");
    let offered = task.wait_event(Event::Offered, LONG).await.expect("offered");
    assert!(offered.ms - ready.ms > 1000.0, "{what}: {} {}", offered.ms, ready.ms);
}

#[tokio::test]
async fn peers_are_not_sent_to_an_app_that_does_not_accept_whatever_its_checks() {
    let Some(cluster) = cluster().await else { return };
    for (number, (what, checks)) in [
        ("no check", json!([])),
        ("a native check", json!([{ "tcp": "127.0.0.1:9090", "interval": "500ms" }])),
        (
            "a native check that starts passing",
            json!([{ "tcp": "127.0.0.1:9090", "interval": "1h", "status": "passing" }]),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let plan = TaskPlan::new(&format!("api-{number}"), "api", slow("api"))
            .config(json!({ "service": { "checks": checks } }));
        let task = cluster.task(plan).await.expect("task");
        if task.ports.app != 9090 {
            return testbed::skip::skip("hosts share their ports here");
        }
        never_offered_too_early(&cluster, &task, what).await;
        task.ecs.stop();
        task.wait_stopped(LONG).await.expect("stopped");
        let began = Instant::now();
        while !cluster.offered("api").await.expect("server").is_empty() {
            assert!(began.elapsed() < LONG, "still in the catalog");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
