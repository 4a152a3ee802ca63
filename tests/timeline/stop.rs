//! Stop T0 to T4.

use crate::start::script;
use crate::support::{
    LONG, Seen, assert_ended, assert_started, assert_stopped, cluster, code, in_both_orders,
    ordered, serving, stopped,
};
use serde_json::{Value, json};
use std::time::Duration;
use taskmesh::timeline::Event;
use testbed::cluster::TaskPlan;
use testbed::definitions::{unwrapped, wrapped};
use testbed::ecs::StopOrder;

fn plan(order: StopOrder) -> TaskPlan {
    plan_with(order, &[], json!({}))
}

fn plan_with(order: StopOrder, app: &[&str], config: Value) -> TaskPlan {
    TaskPlan::new("api-1", "api", wrapped("api", app))
        .config(config)
        .platform(move |spec| spec.stop_order = order)
}

/// The wrapped http stop in full: peers know before anything drains, and the app ends last of all.
pub(crate) fn assert_full_stop(seen: &Seen) {
    use Event::*;
    assert_started(seen);
    assert_stopped(seen);
    seen.in_order(&[ChecksCritical, PeersUpdated, InboundDrained, AppsReleased, AppsStopped]);
    seen.cause(PeersUpdated, "confirmed");
    // The dwell after the servers' word.
    assert!(seen.between(PeersUpdated, AppsReleased) >= Duration::from_millis(500));
    assert!(seen.between(StopNoticed, AllExited) < Duration::from_secs(15));
}

#[tokio::test]
async fn term_to_all_at_once() {
    let Some(cluster) = cluster().await else { return };
    let task = serving(&cluster, plan(StopOrder::AllAtOnce)).await;
    task.ecs.stop();
    let (result, seen) = stopped(&task).await;
    assert_full_stop(&seen);
    assert_eq!((code(&result, "taskmesh"), code(&result, "app")), (Some(0), Some(0)));
    // The servers have forgotten the instance.
    assert_eq!(cluster.offered("api").await.expect("server"), []);
}

#[tokio::test]
async fn term_in_reverse_depends_on_order_reaches_us_last() {
    let Some(cluster) = cluster().await else { return };
    let task = serving(&cluster, plan(StopOrder::ReverseDependsOn)).await;
    task.ecs.stop();
    let (result, seen) = stopped(&task).await;
    assert_full_stop(&seen);
    // Our own TERM comes only after the app is gone, so something else told us.
    let cause = seen.at(Event::StopNoticed).cause.clone().unwrap_or_default();
    assert!(["app-term", "task-stopped"].contains(&cause.as_str()), "{cause}");
    let app = result.container("app").expect("app");
    let ours = result.container("taskmesh").expect("taskmesh");
    assert!(ours.signalled_at > app.finished_at);
    assert_eq!((code(&result, "taskmesh"), code(&result, "app")), (Some(0), Some(0)));
}

#[tokio::test]
async fn an_unwrapped_app_that_exits_at_term_leaves_nobody_to_protect() {
    let Some(cluster) = cluster().await else { return };
    let plan = TaskPlan::new("api-1", "api", unwrapped("api", &[]))
        .platform(|spec| spec.time_scale = 10.0);
    let task = serving(&cluster, plan).await;
    task.ecs.stop();
    let (result, seen) = stopped(&task).await;
    seen.in_order(&[
        Event::StopNoticed,
        Event::ChecksCritical,
        Event::AppsStopped,
        Event::EnvoyExited,
        Event::AgentLeft,
        Event::AllExited,
    ]);
    seen.has_no(Event::Deadline);
    assert_eq!(code(&result, "taskmesh"), Some(0));
}

#[tokio::test]
async fn the_agent_leaves_first_if_told_so() {
    let Some(cluster) = cluster().await else { return };
    in_both_orders(async |order| {
        let plan = ordered(order, wrapped("api", &[]))
            .config(json!({ "lifecycle": { "leave": "first" } }));
        let task = serving(&cluster, plan).await;
        task.ecs.stop();
        let (result, seen) = stopped(&task).await;
        use Event::*;
        seen.in_order(&[StopNoticed, SyncStopped, AgentLeaveBegun, AgentLeft, AllExited]);
        // The app is protected as ever, beside the leave.
        seen.in_order(&[AgentLeaveBegun, AppsReleased, AppsStopped, EnvoyExited, AllExited]);
        seen.in_order(&[AgentLeaveBegun, InboundDrained, AppsReleased]);
        seen.has_no(Deadline);
        seen.has_no(Killed);
        assert_ended(&result, &[("taskmesh", 0), ("app", 0)], &seen);
    })
    .await;
}

#[tokio::test]
async fn tcp_apps_are_released_before_the_drain_can_end() {
    let Some(cluster) = cluster().await else { return };
    let task = serving(&cluster, plan(StopOrder::AllAtOnce).protocol("tcp")).await;
    task.ecs.stop();
    let (result, seen) = stopped(&task).await;
    use Event::*;
    assert_stopped(&seen);
    seen.in_order(&[ChecksCritical, PeersUpdated, AppsReleased, AppsStopped]);
    assert_eq!(code(&result, "taskmesh"), Some(0));
}

#[tokio::test]
async fn an_app_that_ignores_term_is_killed_by_ecs_and_we_are_not() {
    let Some(cluster) = cluster().await else { return };
    let mut definition = wrapped("api", &["--term", "ignore"]);
    definition["containerDefinitions"][1]["stopTimeout"] = json!(5);
    let plan = TaskPlan::new("api-1", "api", definition)
        .platform(|spec| spec.stop_order = StopOrder::ReverseDependsOn);
    let task = serving(&cluster, plan).await;
    task.ecs.stop();
    let (result, seen) = stopped(&task).await;
    assert_stopped(&seen);
    assert_eq!((code(&result, "taskmesh"), code(&result, "app")), (Some(0), Some(137)));
    assert!(!result.container("taskmesh").expect("taskmesh").killed);
}

#[tokio::test]
async fn an_app_that_outlasts_our_stop_timeout_is_cut_and_the_agent_still_leaves() {
    let Some(cluster) = cluster().await else { return };
    let mut definition = wrapped("api", &["--term", "ignore"]);
    definition["containerDefinitions"][0]["stopTimeout"] = json!(14);
    let plan = TaskPlan::new("api-1", "api", definition)
        .config(json!({ "lifecycle": {
            "stopTimeout": "14s", "drainTimeout": "2s", "leaveReserve": "6s",
            "propagation": { "timeout": "2s" }
        }}))
        .platform(|spec| spec.stop_order = StopOrder::AllAtOnce);
    let task = serving(&cluster, plan).await;
    task.ecs.stop();
    let (result, seen) = stopped(&task).await;
    use Event::*;
    seen.in_order(&[StopNoticed, ChecksCritical, Deadline, EnvoyExited, AgentLeft, AllExited]);
    seen.has_no(Killed);
    assert!(seen.between(StopNoticed, AllExited) < Duration::from_secs(14));
    assert_eq!(code(&result, "taskmesh"), Some(4));
    assert!(!result.container("taskmesh").expect("taskmesh").killed, "by ECS");
}

#[tokio::test]
async fn an_envoy_that_ignores_term_is_killed_by_us() {
    let Some(cluster) = cluster().await else { return };
    let dir = tempfile::tempdir().expect("dir");
    let envoy = testbed::parts::envoy().expect("envoy");
    let body = format!("trap '' TERM\n{} \"$@\" &\nwhile :; do sleep 0.1; done", envoy.display());
    let deaf = script(dir.path(), "deaf-envoy", &body);
    let task = serving(
        &cluster,
        plan_with(StopOrder::AllAtOnce, &[], json!({ "envoy": { "binary": deaf } })),
    )
    .await;
    task.ecs.stop();
    let (result, seen) = stopped(&task).await;
    use Event::*;
    seen.in_order(&[AppsStopped, Killed, EnvoyExited, AgentLeft, AllExited]);
    seen.cause(Killed, "envoy");
    assert_eq!(code(&result, "taskmesh"), Some(4));
}

#[tokio::test]
async fn an_agent_that_ignores_term_is_killed_at_the_deadline() {
    let Some(cluster) = cluster().await else { return };
    let dir = tempfile::tempdir().expect("dir");
    // Deaf only as an agent; `version` and `connect envoy` must work.
    let real = cluster.consul().display().to_string();
    let body = format!(
        "[ \"$1\" = agent ] || exec {real} \"$@\"\ntrap '' TERM\n{real} \"$@\" &\n\
         while :; do sleep 0.1; done"
    );
    let deaf = script(dir.path(), "deaf-consul", &body);
    let mut definition = wrapped("api", &[]);
    definition["containerDefinitions"][0]["stopTimeout"] = json!(10);
    let plan = TaskPlan::new("api-1", "api", definition)
        .config(json!({
            "consul": { "binary": deaf },
            "lifecycle": {
                "stopTimeout": "10s", "drainTimeout": "2s", "leaveReserve": "4s",
                "propagation": { "timeout": "2s" }
            }
        }))
        .platform(|spec| spec.stop_order = StopOrder::AllAtOnce);
    let task = serving(&cluster, plan).await;
    task.ecs.stop();
    let (result, seen) = stopped(&task).await;
    use Event::*;
    seen.in_order(&[EnvoyExited, Deadline, Killed, AgentLeft, AllExited]);
    seen.cause(Killed, "consul");
    assert_eq!(code(&result, "taskmesh"), Some(4));
    assert!(!result.container("taskmesh").expect("taskmesh").killed, "by ECS");
}

#[tokio::test]
async fn a_second_term_means_now() {
    let Some(cluster) = cluster().await else { return };
    let task =
        serving(&cluster, plan_with(StopOrder::AllAtOnce, &["--term", "ignore"], json!({}))).await;
    task.ecs.stop();
    task.wait_event(Event::AppsReleased, LONG).await.expect("released");
    let supervisor = task.ecs.container("taskmesh").expect("taskmesh");
    assert!(supervisor.signal(nix::sys::signal::Signal::SIGTERM));
    let (_, timeline) = {
        // The app goes on until ECS kills it; the supervisor does not wait for that.
        let began = tokio::time::Instant::now();
        supervisor.wait_stopped().await;
        assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
        ((), task.timeline().await.expect("timeline"))
    };
    let seen = Seen(timeline);
    seen.cause(Event::Deadline, "second-term");
    seen.in_order(&[Event::Deadline, Event::EnvoyExited, Event::AgentLeft, Event::AllExited]);
}
