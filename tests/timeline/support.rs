//! What the scenarios share.

use serde_json::Value;
use std::time::Duration;
use taskmesh::timeline::Event;
use testbed::cluster::{Backend, Cluster, MeshTask, TaskPlan};
use testbed::ecs::{StopOrder, TaskResult};

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
