//! ECS health and Consul's TTL checks.

use crate::support::{LONG, Seen, cluster, until_offered};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use taskmesh::timeline::Event;
use testbed::cluster::{Backend, Cluster, MeshTask, TaskPlan};
use testbed::definitions::wrapped;
use testbed::ecs::Fault;
use testbed::faults::{Kind, Witness};
use tokio::time::Instant;

/// A container is healthy while this file is there.
fn probe(file: &Path) -> Value {
    json!({ "command": ["CMD", "/usr/bin/test", "-e", file], "interval": 5, "timeout": 2, "retries": 2 })
}

/// A task whose app is healthy while the file `healthy` is there.
async fn task_with_health(cluster: &Cluster, containers: Value) -> (MeshTask, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("dir");
    let sync = json!({ "containers": containers });
    (start(cluster, sync, dir.path(), |_| {}).await, dir)
}

async fn start(
    cluster: &Cluster,
    sync: Value,
    dir: &Path,
    change: impl FnOnce(&mut Value),
) -> MeshTask {
    let mut definition = wrapped("api", &[]);
    definition["containerDefinitions"][1]["healthCheck"] = probe(&dir.join("healthy"));
    change(&mut definition);
    let plan = TaskPlan::new("api-1", "api", definition)
        .config(json!({ "healthSync": sync }))
        .platform(|spec| {
            spec.time_scale = 20.0;
            // In a service ECS would stop the task as soon as it is unhealthy.
            spec.service = None;
        });
    cluster.task(plan).await.expect("task")
}

/// Waits until the servers show the app's TTL check with this status.
async fn wait_check(cluster: &Cluster, task: &MeshTask, status: &str) {
    wait_output(cluster, task, "app", status, "").await;
}

/// Waits until the servers show a container's TTL check with this status and these words.
async fn wait_output(
    cluster: &Cluster,
    task: &MeshTask,
    container: &str,
    status: &str,
    words: &str,
) {
    let id = format!("api-{}-{container}-consul-ecs", task.ecs.id());
    let began = Instant::now();
    loop {
        let checks = cluster.server_get("/v1/health/checks/api").await.expect("server");
        let ours = checks.as_array().expect("array").iter().find(|c| c["CheckID"] == *id);
        if ours.is_some_and(|check| {
            check["Status"] == status && check["Output"].as_str().is_some_and(|o| o.contains(words))
        }) {
            return;
        }
        assert!(
            began.elapsed() < LONG,
            "not {status} with {words:?}: {ours:?}\n{}",
            task.last_lines(30)
        );
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

#[tokio::test]
async fn a_container_that_is_restarted_or_ends_is_critical_while_the_task_goes_on() {
    let Some(cluster) = cluster().await else { return };
    let dir = tempfile::tempdir().expect("dir");
    let (healthy, end) = (dir.path().join("side-healthy"), dir.path().join("side-end"));
    // Each run waits to be called healthy anew, and ends when it is told to.
    let run = "rm -f \"$0\"; while [ ! -e \"$1\" ]; do sleep 0.05; done; rm \"$1\"";
    let mut check = probe(&healthy);
    // Until it was healthy it is never unhealthy.
    check["startPeriod"] = json!(300);
    check["retries"] = json!(10);
    let side = json!({
        "name": "side", "image": "side:dev", "essential": false, "healthCheck": check,
        "entryPoint": ["/bin/sh", "-c", run, &healthy, &end], "stopTimeout": 2,
        // Three seconds here.
        "restartPolicy": { "enabled": true, "restartAttemptPeriod": 60 },
    });
    // Which bears with a probe that fails, not with another run.
    let sync = json!({ "containers": ["app", "side"], "startGrace": "1h" });
    let task = start(&cluster, sync, dir.path(), |definition| {
        definition["containerDefinitions"].as_array_mut().expect("array").push(side);
    })
    .await;
    std::fs::write(dir.path().join("healthy"), "").expect("file");
    std::fs::write(&healthy, "").expect("file");
    wait_output(&cluster, &task, "app", "passing", "").await;
    let began = Instant::now();
    while !healthy.exists() {
        // The run removes it when it begins, which may be after it was written.
        assert!(began.elapsed() < LONG);
        std::fs::write(&healthy, "").expect("file");
    }
    wait_output(&cluster, &task, "side", "passing", "").await;

    // Longer than the restart policy asks for.
    tokio::time::sleep(Duration::from_secs(4)).await;
    std::fs::write(&end, "").expect("file");
    wait_output(&cluster, &task, "side", "critical", "has no health status since").await;
    std::fs::write(&healthy, "").expect("file");
    wait_output(&cluster, &task, "side", "passing", "").await;

    // Too soon after its restart for another one.
    std::fs::write(&end, "").expect("file");
    wait_output(&cluster, &task, "side", "critical", "container side has stopped").await;
    wait_check(&cluster, &task, "passing").await;
    Seen(task.timeline().await.expect("timeline")).has_no(Event::StopNoticed);
    task.ecs.stop();
    task.wait_stopped(LONG).await.expect("stopped");
}

#[tokio::test]
async fn a_metadata_outage_keeps_a_check_for_stale_after_and_then_says_why_it_is_critical() {
    let Some(cluster) = cluster().await else { return };
    let dir = tempfile::tempdir().expect("dir");
    std::fs::write(dir.path().join("healthy"), "").expect("file");
    let (ttl, stale_after) = (Duration::from_secs(6), Duration::from_secs(12));
    let sync = json!({ "containers": ["app"], "ttl": "6s", "staleAfter": "12s" });
    let task = start(&cluster, sync, dir.path(), |_| {}).await;
    task.wait_event(Event::Offered, LONG).await.expect("offered");
    wait_check(&cluster, &task, "passing").await;

    let mut fault = Witness::of(Kind::Ecs, "The metadata is away for long (staleAfter 12 s here)");
    task.ecs.metadata().set(Fault::Refused);
    let began = Instant::now();
    let words = "the task metadata could not be read for healthSync.staleAfter (12s)";
    wait_output(&cluster, &task, "app", "critical", words).await;
    // The last read may have been a moment before; without refreshes it would have been over after the TTL.
    assert!(began.elapsed() > stale_after - Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(stale_after - Duration::from_secs(2) > ttl);
    fault.told("the checks are critical, and their output says why");

    task.ecs.metadata().clear();
    fault.lifted();
    wait_check(&cluster, &task, "passing").await;
    fault.mended("by the next read");
    task.ecs.stop();
    task.wait_stopped(LONG).await.expect("stopped");
}

#[tokio::test]
async fn a_supervisor_that_hangs_is_critical_after_the_ttl_and_comes_back() {
    let Some(cluster) = cluster().await else { return };
    let dir = tempfile::tempdir().expect("dir");
    std::fs::write(dir.path().join("healthy"), "").expect("file");
    let sync = json!({ "containers": ["app"], "ttl": "3s" });
    let task = start(&cluster, sync, dir.path(), |_| {}).await;
    task.wait_event(Event::Offered, LONG).await.expect("offered");
    wait_check(&cluster, &task, "passing").await;

    let supervisor = task.ecs.container("taskmesh").expect("taskmesh");
    let mut fault = Witness::of(Kind::Process, "The supervisor hangs (ttl 3 s here)");
    assert!(supervisor.signal(Signal::SIGSTOP));
    // Its agent runs on.
    wait_output(&cluster, &task, "app", "critical", "TTL expired").await;
    assert!(cluster.offered("api").await.expect("server").iter().all(|(_, critical)| *critical));
    fault.told("peers: the app's check is critical, `TTL expired`");

    assert!(supervisor.signal(Signal::SIGCONT));
    fault.lifted();
    wait_check(&cluster, &task, "passing").await;
    fault.mended("by its next refresh; children are not blamed for its own pause");
    task.ecs.stop();
    let (result, _) = task.wait_stopped(LONG).await.expect("stopped");
    assert_eq!(result.container("taskmesh").expect("taskmesh").exit_code, Some(0));
}

#[tokio::test]
async fn the_instance_of_a_supervisor_that_is_killed_is_no_longer_offered() {
    let Some(cluster) = cluster().await else { return };
    let (task, dir) = task_with_health(&cluster, json!(["app"])).await;
    std::fs::write(dir.path().join("healthy"), "").expect("file");
    task.wait_event(Event::Offered, LONG).await.expect("offered");
    wait_check(&cluster, &task, "passing").await;

    // By its other checks, too, or what follows would prove nothing.
    until_offered(&cluster, &task).await;
    let mut fault = Witness::of(Kind::Process, "The supervisor is killed: what peers see");
    assert!(task.ecs.container("taskmesh").expect("taskmesh").signal(Signal::SIGKILL));
    // The agent dies with it: the servers hear of that by gossip.
    let began = Instant::now();
    while cluster.offered("api").await.expect("server").iter().any(|(_, critical)| !critical) {
        assert!(began.elapsed() < LONG, "still offered");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    fault.told("peers: the node is critical; its agent died too, which gossip tells");
    fault.ended("ECS replaces the task");
    tokio::time::timeout(LONG, task.ecs.wait_stopped()).await.expect("stopped");
}

#[tokio::test]
async fn nothing_of_a_task_is_written_at_the_servers_in_a_quiet_minute() {
    let Some(cluster) = cluster().await else { return };
    let dir = tempfile::tempdir().expect("dir");
    std::fs::write(dir.path().join("healthy"), "").expect("file");
    // Refreshed every second.
    let sync = json!({ "containers": ["app"], "ttl": "3s" });
    let task = start(&cluster, sync, dir.path(), |_| {}).await;
    task.wait_event(Event::Offered, LONG).await.expect("offered");
    wait_check(&cluster, &task, "passing").await;

    let written = async || {
        let mut found = Vec::new();
        for service in ["api", "api-sidecar-proxy"] {
            let entries = cluster.server_get(&format!("/v1/health/service/{service}")).await;
            for entry in entries.expect("server").as_array().expect("array") {
                found.push(entry["Service"]["ModifyIndex"].clone());
                let checks = entry["Checks"].as_array().expect("array").iter();
                found.extend(checks.map(|c| json!([c["CheckID"], c["ModifyIndex"]])));
            }
        }
        found
    };
    let began = Instant::now();
    let mut before = written().await;
    loop {
        // What came with the start may still be on its way.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let now = written().await;
        if now == before {
            break;
        }
        assert!(began.elapsed() < LONG, "it never ends: {now:?}");
        before = now;
    }
    // Two services; the synced check, the listener's, the alias, and the node's with both.
    assert_eq!(before.len(), 2 + 5, "{before:?}");
    // Once a minute an agent compares all it has with the servers' view; the stand-in's does not.
    let minute = *cluster.backend() != Backend::DevMesh;
    let quiet = Duration::from_secs(if minute { 60 } else { 5 });
    let began = Instant::now();
    while began.elapsed() < quiet {
        assert_eq!(written().await, before, "{:?} into the minute", began.elapsed());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    task.ecs.stop();
    task.wait_stopped(LONG).await.expect("stopped");
}
