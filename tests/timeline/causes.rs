//! Every cause of a stop, in each order in which ECS may stop containers, where the cause can come first there.
//!
//! `task-stopped` cannot where everybody gets TERM at once: our own comes with it. `app-term` of an ordinary stop and
//! our own TERM are then a matter of milliseconds, so there the app alone is told, as somebody could by hand.

use crate::faults::kill_child;
use crate::stop::assert_full_stop;
use crate::support::{
    LONG, assert_ended, assert_stopped, cluster, in_both_orders, ordered, serving, stopped,
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::time::Duration;
use taskmesh::timeline::Event::*;
use testbed::cluster::{Cluster, MeshTask, TaskPlan};
use testbed::definitions::{unwrapped, wrapped};
use testbed::ecs::StopOrder;

/// The metadata is read so rarely that something else tells first.
fn blind() -> Value {
    json!({ "lifecycle": { "metadataInterval": "10s" } })
}

/// An unwrapped app that takes 1.5 s to end.
fn slow_to_end() -> Value {
    let mut definition = unwrapped("api", &[]);
    let body = "trap 'sleep 1.5; exit 0' TERM; while :; do sleep 0.05; done";
    definition["containerDefinitions"][1]["command"] = json!(["/bin/sh", "-c", body]);
    definition
}

/// Nobody calls it, so it can be offered before its app is started.
async fn running(cluster: &Cluster, plan: TaskPlan) -> MeshTask {
    let task = serving(cluster, plan).await;
    task.wait_event(AppStarted, LONG).await.expect("started");
    task
}

fn no_inbound() -> Value {
    json!({ "service": { "inbound": false, "port": null } })
}

#[tokio::test]
async fn task_stopped_is_all_that_tells_of_a_stop_in_which_our_term_comes_last() {
    let Some(cluster) = cluster().await else { return };
    let plan = ordered(StopOrder::ReverseDependsOn, slow_to_end()).config(no_inbound());
    let task = running(&cluster, plan).await;
    task.ecs.stop();
    let (result, seen) = stopped(&task).await;
    seen.cause(StopNoticed, "task-stopped");
    assert_stopped(&seen);
    // The app's outgoing requests have Envoy to the end: it was told well before.
    let (app, ours) = (result.container("app").unwrap(), result.container("taskmesh").unwrap());
    assert!(ours.signalled_at > app.finished_at);
    assert!(seen.between(StopNoticed, AppsStopped) >= Duration::from_millis(500));
    assert_ended(&result, &[("taskmesh", 0), ("app", 0)], &seen);
}

#[tokio::test]
async fn our_own_term_tells_where_it_is_the_first() {
    let Some(cluster) = cluster().await else { return };
    in_both_orders(async |order| {
        let mut definition = slow_to_end();
        // Where nobody depends on us, our TERM comes with the app's whatever the order.
        definition["containerDefinitions"][1]["dependsOn"] = json!([]);
        let plan = ordered(order, definition).config(no_inbound()).config(blind());
        let task = running(&cluster, plan).await;
        task.ecs.stop();
        let (result, seen) = stopped(&task).await;
        seen.cause(StopNoticed, "term");
        assert_stopped(&seen);
        assert!(seen.between(StopNoticed, AppsStopped) >= Duration::from_secs(1));
        assert_ended(&result, &[("taskmesh", 0), ("app", 0)], &seen);
    })
    .await;
}

#[tokio::test]
async fn the_term_of_a_wrapped_app_tells() {
    let Some(cluster) = cluster().await else { return };
    in_both_orders(async |order| {
        let plan = ordered(order, wrapped("api", &[])).config(blind());
        let task = serving(&cluster, plan).await;
        match order {
            StopOrder::ReverseDependsOn => task.ecs.stop(),
            StopOrder::AllAtOnce => {
                assert!(task.ecs.container("app").expect("app").signal(Signal::SIGTERM));
            }
        }
        let (result, seen) = stopped(&task).await;
        seen.cause(StopNoticed, "app-term");
        assert_full_stop(&seen);
        assert_ended(&result, &[("taskmesh", 0), ("app", 0)], &seen);
    })
    .await;
}

#[tokio::test]
async fn post_stop_ends_the_task_and_tells_the_wrapped_app() {
    let Some(cluster) = cluster().await else { return };
    in_both_orders(async |order| {
        let task = serving(&cluster, ordered(order, wrapped("api", &[]))).await;
        assert_eq!(task.admin_post("/v1/stop").await.expect("stop"), 202);
        let (result, seen) = stopped(&task).await;
        seen.cause(StopNoticed, "api");
        assert_full_stop(&seen);
        assert_ended(&result, &[("taskmesh", 0), ("app", 0)], &seen);
    })
    .await;
}

#[tokio::test]
async fn a_batch_task_that_ends_by_itself_leaves_in_order_with_code_0() {
    let Some(cluster) = cluster().await else { return };
    in_both_orders(async |order| {
        let mut definition = wrapped("batch", &[]);
        let app = &mut definition["containerDefinitions"][1];
        app["command"] = json!(["{{testbed}}", "app", "exit", "--code", "0", "--after", "1s"]);
        app["essential"] = json!(false);
        let task = cluster.task(ordered(order, definition).config(no_inbound())).await;
        let (result, seen) = stopped(&task.expect("task")).await;
        seen.cause(StopNoticed, "apps-finished");
        assert_stopped(&seen);
        seen.in_order(&[Ready, AppStarted, StopNoticed]);
        // Nobody is left to wait for.
        seen.has_no(PeersUpdated);
        seen.has_no(InboundDrained);
        assert_ended(&result, &[("taskmesh", 0), ("app", 0)], &seen);
    })
    .await;
}

#[tokio::test]
async fn an_envoy_that_dies_once_too_often_ends_a_serving_task_in_order() {
    let Some(cluster) = cluster().await else { return };
    in_both_orders(async |order| {
        let plan =
            ordered(order, wrapped("api", &[])).config(json!({ "restart": { "budget": 0 } }));
        let task = serving(&cluster, plan).await;
        kill_child(&task, "envoy");
        let (result, seen) = stopped(&task).await;
        seen.cause(StopNoticed, "restart-budget");
        seen.cause(ChildExited, "envoy: killed by SIGKILL");
        // Peers hear of it and the app is told, though there is nothing left to drain.
        seen.in_order(&[ChildExited, StopNoticed, ChecksCritical, PeersUpdated, AppsReleased]);
        seen.in_order(&[AppsReleased, AppsStopped, AgentLeft, AllExited]);
        for never in [InboundDrained, EnvoyExited, ChildRestarted, Deadline, Killed] {
            seen.has_no(never);
        }
        assert_ended(&result, &[("taskmesh", 3), ("app", 0)], &seen);
    })
    .await;
}

#[tokio::test]
async fn an_agent_that_never_joins_is_given_up_after_the_start_timeout() {
    let Some(cluster) = cluster().await else { return };
    in_both_orders(async |order| {
        let plan = ordered(order, wrapped("api", &[])).config(json!({
            "consul": { "retryJoin": ["127.0.0.1:1"] },
            "lifecycle": { "startTimeout": "3s" }
        }));
        let task = cluster.task(plan).await.expect("task");
        let (result, seen) = stopped(&task).await;
        seen.cause(StopNoticed, "start-timeout");
        assert!(seen.at(StopNoticed).ms >= 3000.0);
        seen.in_order(&[StopNoticed, SyncStopped, AppsReleased, AgentLeft, AllExited]);
        for never in [Ready, AppStarted, Deadline, Killed] {
            seen.has_no(never);
        }
        assert!(seen.between(StopNoticed, AllExited) < Duration::from_secs(30));
        // The wrapper was sent home; its command never ran.
        assert_ended(&result, &[("taskmesh", 1), ("app", 143)], &seen);
    })
    .await;
}

#[tokio::test]
async fn a_start_that_fails_at_once_sends_the_app_home() {
    let Some(cluster) = cluster().await else { return };
    in_both_orders(async |order| {
        let plan = ordered(order, wrapped("api", &[]))
            .config(json!({ "envoy": { "binary": "/no/such/envoy" } }));
        let task = cluster.task(plan).await.expect("task");
        let (result, seen) = stopped(&task).await;
        seen.cause(StopNoticed, "start-failed");
        seen.in_order(&[StopNoticed, SyncStopped, AppsReleased, AllExited]);
        for never in [Ready, AppStarted, EnvoyExited, Deadline, Killed] {
            seen.has_no(never);
        }
        assert!(task.last_lines(100).contains("/no/such/envoy"), "{}", task.last_lines(100));
        assert_ended(&result, &[("taskmesh", 1), ("app", 143)], &seen);
    })
    .await;
}

#[tokio::test]
async fn a_stop_that_ecs_takes_over_still_waits_for_the_unwrapped_app() {
    let Some(cluster) = cluster().await else { return };
    let plan = ordered(StopOrder::ReverseDependsOn, slow_to_end()).config(no_inbound());
    let task = running(&cluster, plan).await;
    assert_eq!(task.admin_post("/v1/stop").await.expect("stop"), 202);
    task.wait_event(StopNoticed, LONG).await.expect("noticed");
    task.ecs.stop();
    let (result, seen) = stopped(&task).await;
    seen.cause(StopNoticed, "api");
    assert_stopped(&seen);
    assert_eq!(seen.at(AppsStopped).cause, None, "{:#?}", seen.lines());
    assert_ended(&result, &[("taskmesh", 0), ("app", 0)], &seen);
}
