//! Tasks with more containers than us and one app: who is waited for, and whose end is a stop cause.

use crate::stop::assert_full_stop;
use crate::support::{
    LONG, assert_ended, assert_stopped, cluster, in_both_orders, ordered, serving, stopped,
};
use serde_json::{Value, json};
use std::time::Duration;
use taskmesh::timeline::Event::*;
use testbed::definitions::{unwrapped, wrapped};
use testbed::ecs::{Status, StopOrder};

fn with(mut definition: Value, more: &[Value]) -> Value {
    let containers = definition["containerDefinitions"].as_array_mut().expect("containers");
    containers.extend(more.iter().cloned());
    definition
}

fn container(name: &str, command: &[&str]) -> Value {
    let command: Vec<_> = ["{{testbed}}", "app"].iter().chain(command).collect();
    json!({ "name": name, "image": "x:1", "essential": false, "command": command })
}

/// The same, wrapped.
fn wrapped_container(name: &str, command: &[&str]) -> Value {
    let mut container = container(name, command);
    container["entryPoint"] = json!(["{{taskmesh}}", "app", "--"]);
    container["dependsOn"] = json!([{ "containerName": "taskmesh", "condition": "START" }]);
    container
}

#[tokio::test]
async fn a_log_router_that_waits_for_us_is_stopped_after_us_and_not_awaited() {
    let Some(cluster) = cluster().await else { return };
    let mut router = container("shipper", &["sleep"]);
    router["image"] = json!("public.ecr.aws/aws-observability/aws-for-fluent-bit:stable");
    router["essential"] = json!(true);
    let mut definition = with(wrapped("api", &[]), &[router]);
    definition["containerDefinitions"][0]["dependsOn"] =
        json!([{ "containerName": "shipper", "condition": "START" }]);
    let task = serving(&cluster, ordered(StopOrder::ReverseDependsOn, definition)).await;
    task.ecs.stop();
    let (result, seen) = stopped(&task).await;
    assert_full_stop(&seen);
    let end = |name| result.container(name).expect("container");
    assert!(end("shipper").signalled_at > end("taskmesh").finished_at);
    assert_ended(&result, &[("taskmesh", 0), ("app", 0), ("shipper", 0)], &seen);
}

#[tokio::test]
async fn an_injected_agent_that_runs_until_it_is_killed_is_not_awaited() {
    let Some(cluster) = cluster().await else { return };
    in_both_orders(async |order| {
        let guard = container("aws-guardduty-agent-xyz", &["sleep", "--term", "ignore"]);
        // Unwrapped, so that every container that may be an app counts as one.
        let task = serving(&cluster, ordered(order, with(unwrapped("api", &[]), &[guard]))).await;
        task.ecs.stop();
        let ours = task.ecs.container("taskmesh").expect("taskmesh").wait_stopped().await;
        let guard = task.ecs.container("aws-guardduty-agent-xyz").expect("guard");
        assert_eq!(guard.status(), Status::Running, "it proves nothing");
        guard.kill();
        let (result, seen) = stopped(&task).await;
        assert_stopped(&seen);
        assert!(seen.between(StopNoticed, AppsStopped) < Duration::from_secs(5));
        assert_eq!(ours.exit_code, Some(0));
        assert_ended(&result, &[("taskmesh", 0), ("app", 0)], &seen);
    })
    .await;
}

#[tokio::test]
async fn a_migration_that_ends_before_the_app_starts_ends_nothing() {
    let Some(cluster) = cluster().await else { return };
    // Beside the start of the mesh, or through the mesh.
    let exit = ["exit", "--code", "0", "--after", "300ms"];
    let before = container("migrate", &exit);
    let through = wrapped_container("migrate", &exit);
    let scenario = async |order, migration| {
        let mut definition = with(wrapped("api", &[]), &[migration]);
        definition["containerDefinitions"][1]["dependsOn"] = json!([
            { "containerName": "taskmesh", "condition": "START" },
            { "containerName": "migrate", "condition": "SUCCESS" }
        ]);
        let task = serving(&cluster, ordered(order, definition)).await;
        let timeline = task.timeline().await.expect("timeline");
        assert!(timeline.find(StopNoticed).is_none(), "{timeline:?}");
        task.ecs.stop();
        let (result, seen) = stopped(&task).await;
        assert_stopped(&seen);
        seen.in_order(&[AppsReleased, AppsStopped]);
        let end = |name| result.container(name).expect("container");
        assert!(end("app").started_at > end("migrate").finished_at);
        assert_ended(&result, &[("taskmesh", 0), ("app", 0), ("migrate", 0)], &seen);
    };
    tokio::join!(
        scenario(StopOrder::AllAtOnce, before),
        scenario(StopOrder::ReverseDependsOn, through)
    );
}

#[tokio::test]
async fn wrapped_apps_are_released_together_and_the_end_of_one_is_no_stop() {
    let Some(cluster) = cluster().await else { return };
    in_both_orders(async |order| {
        let more = [
            wrapped_container("worker", &["sleep"]),
            wrapped_container("job", &["exit", "--code", "3", "--after", "100ms"]),
        ];
        let task = serving(&cluster, ordered(order, with(wrapped("api", &[]), &more))).await;
        let job = task.ecs.container("job").expect("job");
        assert_eq!(job.wait_stopped().await.exit_code, Some(3));
        // The supervisor knows it, and thinks nothing of it.
        let began = tokio::time::Instant::now();
        let status = loop {
            let status = task.admin("/v1/status").await.expect("status");
            let apps = status["apps"].as_array().expect("apps");
            if apps.iter().any(|app| app["container"] == "job" && app["state"] == "exited") {
                break status;
            }
            assert!(began.elapsed() < LONG, "{status}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert_eq!((&status["ready"], &status["stop"]), (&json!(true), &Value::Null));

        task.ecs.stop();
        let released = task.wait_event(AppsReleased, LONG).await.expect("released");
        let (result, seen) = stopped(&task).await;
        assert_full_stop(&seen);
        // Both got their TERM long before, and both were held until then.
        let noticed = seen.at(StopNoticed).ms;
        let held = Duration::from_secs_f64((released.ms - noticed) / 1000.0);
        for name in ["app", "worker"] {
            let end = result.container(name).expect("container");
            let took = end.stop_took().expect("stopped by a signal");
            // Told at about the time of the notice, and gone soon after the release.
            assert!(took + Duration::from_millis(300) > held, "{name}: {took:?} of {held:?}");
            assert!(took < held + Duration::from_secs(3), "{name}: {took:?} of {held:?}");
        }
        assert_ended(&result, &[("taskmesh", 0), ("app", 0), ("worker", 0), ("job", 3)], &seen);
    })
    .await;
}
