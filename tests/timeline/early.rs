//! A stop before T2: what was not reached is skipped, nobody is killed, the app never runs.

use crate::start::script;
use crate::support::{LONG, assert_ended, cluster, code, in_both_orders, ordered, stopped};
use serde_json::{Value, json};
use std::path::Path;
use taskmesh::timeline::Event::{self, *};
use testbed::cluster::Cluster;
use testbed::definitions::wrapped;
use testbed::ecs::StopOrder;

/// Stops a task at `point`, which `hold` does not let it get far past; the events of `never` are not reached.
async fn stop_at(cluster: &Cluster, order: StopOrder, point: Event, hold: &Value, never: &[Event]) {
    let plan = ordered(order, wrapped("api", &[])).config(hold.clone());
    let task = cluster.task(plan).await.expect("task");
    task.wait_event(point, LONG).await.expect("the point");
    let ready = task.admin("/ready").await.expect("ready");
    assert_eq!(ready["ready"], false, "{ready}");
    task.ecs.stop();
    let (result, seen) = stopped(&task).await;
    seen.in_order(&[point, StopNoticed, SyncStopped, AgentLeft, AllExited]);
    for never in never.iter().chain(&[Ready, AppStarted, AppsStopped, Offered, Deadline, Killed]) {
        seen.has_no(*never);
    }
    assert_eq!(code(&result, "app"), Some(143));
    assert_ended(&result, &[("taskmesh", 0), ("app", 143)], &seen);
    // The app says this first of all.
    let app = result.container("app").expect("app");
    let ran = app.output.iter().find(|line| line.text.contains("listens on"));
    assert!(ran.is_none(), "{ran:?}");
}

/// A Consul whose `command` never comes to an end.
fn consul_without(cluster: &Cluster, dir: &Path, command: &str) -> Value {
    let real = cluster.consul().display().to_string();
    let body = format!("[ \"$1\" = {command} ] || exec {real} \"$@\"\nexec sleep 100");
    json!({ "consul": { "binary": script(dir, "slow-consul", &body) } })
}

#[tokio::test]
async fn a_stop_at_t0_before_the_agent_has_joined_skips_what_was_not_reached() {
    let Some(cluster) = cluster().await else { return };
    // Nobody answers there.
    let hold = json!({ "consul": { "retryJoin": ["127.0.0.1:1"] } });
    in_both_orders(async |order| {
        stop_at(&cluster, order, AgentReady, &hold, &[PeersUpdated, InboundDrained]).await;
    })
    .await;
}

#[tokio::test]
async fn a_stop_at_t0_takes_back_what_is_registered() {
    let Some(cluster) = cluster().await else { return };
    let dir = tempfile::tempdir().expect("dir");
    let hold = consul_without(&cluster, dir.path(), "connect");
    in_both_orders(async |order| {
        let never = [BootstrapWritten, EnvoyStarted, EnvoyExited, InboundDrained];
        stop_at(&cluster, order, Registered, &hold, &never).await;
    })
    .await;
    assert_eq!(cluster.offered("api").await.expect("server"), []);
}

#[tokio::test]
async fn a_stop_at_t1_stops_an_envoy_that_is_not_ready() {
    let Some(cluster) = cluster().await else { return };
    let dir = tempfile::tempdir().expect("dir");
    // Starts, and never becomes LIVE.
    let mute = script(dir.path(), "mute-envoy", "trap 'exit 0' TERM; while :; do sleep 0.05; done");
    let hold = json!({ "envoy": { "binary": mute } });
    in_both_orders(async |order| {
        stop_at(&cluster, order, EnvoyStarted, &hold, &[]).await;
    })
    .await;
    assert_eq!(cluster.offered("api").await.expect("server"), []);
}
