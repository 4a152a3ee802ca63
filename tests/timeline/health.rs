//! ECS health and Consul's TTL checks.

use crate::support::{LONG, Seen, cluster};
use serde_json::{Value, json};
use std::time::Duration;
use taskmesh::timeline::Event;
use testbed::cluster::{Cluster, MeshTask, TaskPlan};
use testbed::definitions::wrapped;
use tokio::time::Instant;

/// A task whose app is healthy while a file is there.
async fn task_with_health(cluster: &Cluster, containers: Value) -> (MeshTask, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("dir");
    let mut definition = wrapped("api", &[]);
    definition["containerDefinitions"][1]["healthCheck"] = json!({
        "command": ["CMD", "/usr/bin/test", "-e", dir.path().join("healthy")],
        "interval": 5, "timeout": 2, "retries": 2
    });
    let plan = TaskPlan::new("api-1", "api", definition)
        .config(json!({ "healthSync": { "containers": containers } }))
        .platform(|spec| {
            spec.time_scale = 20.0;
            // In a service ECS would stop the task as soon as it is unhealthy.
            spec.service = None;
        });
    (cluster.task(plan).await.expect("task"), dir)
}

/// Waits until the servers show the app's TTL check with this status.
async fn wait_check(cluster: &Cluster, task: &MeshTask, status: &str) {
    let id = format!("api-{}-app-consul-ecs", task.ecs.id());
    let began = Instant::now();
    loop {
        let checks = cluster.server_get("/v1/health/checks/api").await.expect("server");
        let ours = checks.as_array().expect("array").iter().find(|c| c["CheckID"] == *id);
        if ours.is_some_and(|check| check["Status"] == status) {
            return;
        }
        assert!(began.elapsed() < LONG, "not {status}: {ours:?}\n{}", task.last_lines(30));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn follows_the_ecs_health(containers: Value) {
    let Some(cluster) = cluster().await else { return };
    let (task, dir) = task_with_health(&cluster, containers).await;
    task.wait_event(Event::AppStarted, LONG).await.expect("app started");
    wait_check(&cluster, &task, "critical").await;
    // The app runs and accepts, but ECS does not call it healthy: nobody may be sent there.
    Seen(task.timeline().await.expect("timeline")).has_no(Event::Offered);

    std::fs::write(dir.path().join("healthy"), "").expect("file");
    wait_check(&cluster, &task, "passing").await;
    task.wait_event(Event::Offered, LONG).await.expect("offered");

    std::fs::remove_file(dir.path().join("healthy")).expect("file");
    wait_check(&cluster, &task, "critical").await;
    // Our own verdict for ECS does not depend on the app's.
    assert_eq!(task.admin("/ready").await.expect("ready")["healthy"], true);

    task.ecs.stop();
    let (result, timeline) = task.wait_stopped(LONG).await.expect("stopped");
    Seen(timeline).in_order(&[Event::StopNoticed, Event::ChecksCritical, Event::AllExited]);
    assert_eq!(result.container("taskmesh").expect("taskmesh").exit_code, Some(0));
}

#[tokio::test]
async fn a_named_container_is_offered_while_ecs_calls_it_healthy() {
    follows_the_ecs_health(json!(["app"])).await;
}

#[tokio::test]
async fn a_container_with_a_health_check_is_found_by_itself() {
    follows_the_ecs_health(json!("auto")).await;
}

#[tokio::test]
async fn a_named_container_that_nobody_is_called_is_named() {
    let Some(cluster) = cluster().await else { return };
    let (task, _dir) = task_with_health(&cluster, json!(["app", "misspelt"])).await;
    let began = Instant::now();
    loop {
        // Before T0 is over the API may not be there yet.
        let ready = task.admin("/ready").await.unwrap_or_default();
        if ready["problems"].to_string().contains("is called misspelt") {
            break;
        }
        assert!(began.elapsed() < LONG, "{ready}\n{}", task.last_lines(30));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    task.ecs.stop();
    task.wait_stopped(LONG).await.expect("stopped");
}
