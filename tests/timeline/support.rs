//! What the scenarios share.

use serde_json::Value;
use std::time::Duration;
use taskmesh::timeline::Event;
use testbed::cluster::{Backend, Cluster, MeshTask, TaskPlan, get_until};
use testbed::definitions::wrapped;
use testbed::ecs::{StopOrder, TaskResult};
use tokio::time::Instant;

pub(crate) use testbed::seen::{Seen, assert_started, assert_stopped};

/// Long enough for two busy cores; a scenario that needs it is broken.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// A mesh to try things on; `None` after having said why not.
pub(crate) async fn cluster() -> Option<Cluster> {
    if let Err(missing) = testbed::parts::envoy() {
        testbed::skip::skip(&missing.to_string());
        return None;
    }
    let backend = Backend::best().expect("CONSUL_BIN");
    Some(Cluster::start(backend).await.expect("cluster"))
}

/// A task of `api` in which containers get their stop signal in this order. The platform is ten times as quick, but
/// for stop timeouts. One task of each order fits into one mesh.
pub(crate) fn ordered(order: StopOrder, definition: Value) -> TaskPlan {
    let name = match order {
        StopOrder::AllAtOnce => "api-1",
        StopOrder::ReverseDependsOn => "api-2",
    };
    TaskPlan::new(name, "api", definition).platform(move |spec| {
        spec.stop_order = order;
        spec.time_scale = 10.0;
    })
}

/// Plays a scenario in both stop orders, at the same time.
pub(crate) async fn in_both_orders(scenario: impl AsyncFn(StopOrder)) {
    tokio::join!(scenario(StopOrder::AllAtOnce), scenario(StopOrder::ReverseDependsOn));
}

/// A task that peers may call.
pub(crate) async fn serving(cluster: &Cluster, plan: TaskPlan) -> MeshTask {
    let task = cluster.task(plan).await.expect("task");
    task.wait_event(Event::Offered, LONG).await.expect("offered");
    task
}

pub(crate) async fn stopped(task: &MeshTask) -> (TaskResult, Seen) {
    let (result, timeline) = task.wait_stopped(LONG).await.expect("stopped");
    (result, Seen(timeline))
}

#[track_caller]
pub(crate) fn code(result: &TaskResult, container: &str) -> Option<i32> {
    result.container(container).expect("container").exit_code
}

/// ECS killed none of the containers, and each ended with its code.
#[track_caller]
pub(crate) fn assert_ended(result: &TaskResult, codes: &[(&str, i32)], seen: &Seen) {
    let all: Vec<_> = result
        .containers
        .iter()
        .map(|c| (c.name.as_str(), c.exit_code.unwrap_or(-1), c.killed))
        .collect();
    for (name, code) in codes {
        assert!(all.contains(&(*name, *code, false)), "{name} {code}: {all:?} {:#?}", seen.lines());
    }
    assert!(all.iter().all(|(.., killed)| !killed), "killed by ECS: {all:?} {:#?}", seen.lines());
}

/// Polls until `so` gives something.
pub(crate) async fn until<T>(what: &str, task: &MeshTask, so: impl AsyncFn() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = so().await {
            return found;
        }
        assert!(began.elapsed() < LONG, "{what}: {}", task.last_lines(40));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Until `/ready` says 200.
pub(crate) async fn until_ready(task: &MeshTask) {
    until("ready", task, async || {
        let ready = task.admin("/ready").await.ok()?;
        (ready["ready"] == true).then_some(())
    })
    .await;
}

/// What `/v1/status` says is wrong with `what`.
pub(crate) async fn problem(task: &MeshTask, what: &str) -> Option<Value> {
    let status = task.admin("/v1/status").await.ok()?;
    status["problems"].as_array()?.iter().find(|problem| problem["what"] == what).cloned()
}

/// Waits until `/ready` holds this latch for a reason with these words, whatever their case, and `/v1/status` names the
/// problem with them, too; gives the reason.
pub(crate) async fn until_held(task: &MeshTask, latch: &str, words: &str) -> String {
    let words = words.to_lowercase();
    let says = |text: &Value| text.as_str().is_some_and(|t| t.to_lowercase().contains(&words));
    until(&format!("{latch}: {words}"), task, async || {
        let ready = task.admin("/ready").await.ok()?;
        let held = ready["pending"].as_array()?.iter().find(|held| held["latch"] == latch)?.clone();
        let status = task.admin("/v1/status").await.ok()?;
        let problem = status["problems"].as_array()?.iter().find(|it| says(&it["why"]))?.clone();
        let since = [&held, &problem].iter().all(|it| it["forSeconds"].is_number());
        (says(&held["reason"]) && since).then(|| held["reason"].as_str().map(str::to_owned))?
    })
    .await
}

/// Waits until an event has been on the timeline so often.
pub(crate) async fn until_counted(task: &MeshTask, event: Event, times: usize) {
    until(event.name(), task, async || (count(task, event).await >= times).then_some(())).await;
}

/// How often an event is on the timeline.
pub(crate) async fn count(task: &MeshTask, event: Event) -> usize {
    let timeline = task.timeline().await.map(|timeline| timeline.events).unwrap_or_default();
    timeline.iter().filter(|record| record.event == event).count()
}

/// Does something in the task's helper container.
pub(crate) async fn within(task: &MeshTask, script: &str) {
    let supervisor = task.ecs.container("taskmesh").expect("taskmesh");
    let done = supervisor.exec(&["/bin/sh", "-c", script]).await.expect("exec");
    let exit = done.finished().await;
    assert_eq!(exit.code(), 0, "{script}: {:?}", done.output().snapshot());
}

/// A task that calls `api` through the mesh, see [`call`].
pub(crate) async fn caller(cluster: &Cluster) -> MeshTask {
    let upstream = ["--upstream", "http://127.0.0.1:{{upstream_port}}"];
    serving(cluster, TaskPlan::new("web-1", "web", wrapped("web", &upstream)).upstream("api")).await
}

/// One call, repeated until it comes through.
pub(crate) async fn call(web: &MeshTask) {
    let url = format!("http://127.0.0.1:{}/call", web.ports.app);
    get_until(web.ecs.host(), &url, LONG).await.expect("an answer through the mesh");
}

/// Until peers are sent to the one instance of `api`.
pub(crate) async fn until_offered(cluster: &Cluster, task: &MeshTask) {
    until("offered", task, async || {
        let proxies = cluster.offered("api").await.ok()?;
        (proxies.len() == 1 && proxies.iter().all(|(_, critical)| !critical)).then_some(())
    })
    .await;
}
