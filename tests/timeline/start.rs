//! T0 to T2.

use crate::support::{LONG, Seen, assert_started, assert_stopped, cluster};
use serde_json::json;
use std::time::Duration;
use taskmesh::timeline::Event;
use testbed::cluster::TaskPlan;
use testbed::definitions::{unwrapped, wrapped};

#[tokio::test]
async fn a_wrapped_app_starts_at_t2_and_peers_reach_it_only_then() {
    let Some(cluster) = cluster().await else { return };
    let task =
        cluster.task(TaskPlan::new("api-1", "api", wrapped("api", &[]))).await.expect("task");
    // Never offered before the app accepts: from the first sight of the instance on, ask the servers.
    let began = tokio::time::Instant::now();
    let offered = loop {
        let timeline = task.timeline().await;
        let offered_by_us = timeline.as_ref().is_ok_and(|t| t.find(Event::AppStarted).is_some());
        let by_servers =
            cluster.offered("api").await.expect("server").iter().any(|(_, critical)| !critical);
        if by_servers {
            break offered_by_us
                || task.timeline().await.expect("timeline").find(Event::AppStarted).is_some();
        }
        assert!(began.elapsed() < LONG, "never offered: {}", task.last_lines(40));
    };
    assert!(offered, "the servers offered the instance before its app was started");
    task.wait_event(Event::Offered, LONG).await.expect("offered");
    let seen = Seen(task.timeline().await.expect("timeline"));
    assert_started(&seen);

    // `/ready` and the health check say the same.
    let ready = task.admin("/ready").await.expect("ready");
    assert_eq!(ready["ready"], true, "{ready}");
    assert_eq!(ready["healthy"], true, "{ready}");
    task.ecs.stop();
    let (result, timeline) = task.wait_stopped(LONG).await.expect("stopped");
    assert_stopped(&Seen(timeline));
    assert_eq!(result.container("taskmesh").expect("taskmesh").exit_code, Some(0));
}

#[tokio::test]
async fn an_unwrapped_app_is_started_by_ecs_once_the_health_check_passes() {
    let Some(cluster) = cluster().await else { return };
    let plan = TaskPlan::new("api-1", "api", unwrapped("api", &[]))
        .platform(|spec| spec.time_scale = 10.0);
    let task = cluster.task(plan).await.expect("task");
    task.wait_event(Event::Offered, LONG).await.expect("offered");
    let seen = Seen(task.timeline().await.expect("timeline"));
    seen.in_order(&[Event::EnvoyStarted, Event::Ready, Event::Offered]);
    task.ecs.stop();
    let (result, timeline) = task.wait_stopped(LONG).await.expect("stopped");
    let seen = Seen(timeline);
    seen.in_order(&[Event::StopNoticed, Event::EnvoyExited, Event::AgentLeft, Event::AllExited]);
    assert_eq!(result.container("taskmesh").expect("taskmesh").exit_code, Some(0));
}

#[tokio::test]
async fn requests_flow_through_the_mesh_and_back() {
    let Some(cluster) = cluster().await else { return };
    let api = cluster.task(TaskPlan::new("api-1", "api", wrapped("api", &[]))).await.expect("api");
    let web = cluster
        .task(
            TaskPlan::new(
                "web-1",
                "web",
                wrapped("web", &["--upstream", "http://127.0.0.1:{{upstream_port}}"]),
            )
            .upstream("api"),
        )
        .await
        .expect("web");
    for task in [&api, &web] {
        task.wait_event(Event::Offered, LONG).await.expect("offered");
    }
    let url = format!("http://127.0.0.1:{}/call", web.ports.app);
    let answer = testbed::cluster::get_until(web.ecs.host(), &url, LONG).await.expect("answer");
    assert!(answer.to_string().contains("api-1"), "{answer}");
}

#[tokio::test]
async fn a_stop_ends_the_tries_for_a_bootstrap() {
    let Some(cluster) = cluster().await else { return };
    let dir = tempfile::tempdir().expect("dir");
    let tries = dir.path().join("tries");
    // A Consul that cannot make one, and counts how often it was asked.
    let real = cluster.consul().display().to_string();
    let body = format!(
        "[ \"$1\" = connect ] || exec {real} \"$@\"\necho x >> {}; exit 1",
        tries.display()
    );
    let consul = script(dir.path(), "no-bootstrap-consul", &body);
    let count = || std::fs::read_to_string(&tries).unwrap_or_default().lines().count();
    let plan = TaskPlan::new("api-1", "api", wrapped("api", &[]))
        .config(json!({ "consul": { "binary": consul } }));
    let task = cluster.task(plan).await.expect("task");
    task.wait_event(Event::Registered, LONG).await.expect("registered");
    let began = tokio::time::Instant::now();
    while count() < 3 {
        assert!(began.elapsed() < LONG, "{}", task.last_lines(30));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    task.ecs.stop();
    task.wait_event(Event::StopNoticed, LONG).await.expect("stop noticed");
    let before = count();
    let (result, timeline) = task.wait_stopped(LONG).await.expect("stopped");
    // One may have been on its way. The agent's leave alone takes longer than several tries.
    assert!(count() <= before + 1, "{before} tries, then {}", count());
    Seen(timeline).in_order(&[Event::StopNoticed, Event::AgentLeft, Event::AllExited]);
    assert_eq!(result.container("taskmesh").expect("taskmesh").exit_code, Some(0));
}

/// An executable shell script.
pub(crate) fn script(dir: &std::path::Path, name: &str, body: &str) -> std::path::PathBuf {
    testbed::scratch::script(dir, name, body).expect("script")
}
