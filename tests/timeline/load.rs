//! Load on the helper itself: what it is given is large, what asks it is many, what it runs is noisy.

use crate::start::script;
use crate::stop::assert_full_stop;
use crate::support::{
    LONG, Seen, assert_ended, assert_started, assert_stopped, cluster, serving, stopped,
};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use taskmesh::timeline::Event::{AllExited, Offered, StopNoticed};
use testbed::cluster::{MeshTask, TaskPlan};
use testbed::definitions::wrapped;
use testbed::ecs::Fault;
use testbed::faults::{Kind, Witness};
use testbed::vitals;
use tokio::time::Instant;

/// What a supervisor may have in memory at the most, in KiB: a debug build with everything below at once needs a third.
const MEMORY: u64 = 64 * 1024;

/// A figure of `/proc/PID/status`, in KiB.
fn kib(task: &MeshTask, name: &str) -> u64 {
    let pid = task.ecs.container("taskmesh").and_then(|c| c.pid()).expect("it runs");
    vitals::status(pid, name).expect(name)
}

#[tokio::test]
async fn a_task_of_200_containers_in_bodies_of_1_mb_is_read_and_synced() {
    let Some(cluster) = cluster().await else { return };
    let plan = TaskPlan::new("api-1", "api", wrapped("api", &[]))
        // The crowd never stops.
        .config(json!({ "lifecycle": { "appContainers": ["app"] } }))
        .platform(|spec| spec.pull_time = Duration::from_millis(300));
    let task = cluster.task(plan).await.expect("task");
    let mut fault = Witness::of(Kind::Machine, "200 containers, in bodies of 1 MB, twice a second");
    // Twice a second, and a TTL check for each container.
    task.ecs.metadata().set(Fault::Crowd(200));
    task.wait_event(Offered, 2 * LONG).await.expect("offered");
    let status = task.admin("/v1/status").await.expect("status");
    let synced = status["healthSync"]["containers"].as_array().map_or(0, Vec::len);
    assert_eq!(synced, 200, "{}", status["healthSync"]);
    ends_in_order(&task).await;
    fault.shows("all are synced");
    fault.ended("start and stop in order, below 64 MiB in a debug build");
}

#[tokio::test]
async fn a_task_of_200_upstreams_starts_and_stops_in_order() {
    let Some(cluster) = cluster().await else { return };
    let upstreams: Vec<Value> = (0..200)
        .map(|n| json!({ "destinationName": format!("db-{n}"), "localBindPort": 22000 + n }))
        .collect();
    let plan = TaskPlan::new("api-1", "api", wrapped("api", &[]))
        .config(json!({ "proxy": { "upstreams": upstreams } }));
    let mut fault = Witness::of(Kind::Machine, "200 upstreams");
    let task = cluster.task(plan).await.expect("task");
    task.wait_event(Offered, 2 * LONG).await.expect("offered");
    ends_in_order(&task).await;
    fault.shows("an Envoy that is busy with them is not taken for dead");
    fault.ended("start and stop in order, below 64 MiB in a debug build");
}

/// The order is ours; how long an agent takes with so much is its own affair.
async fn ends_in_order(task: &MeshTask) {
    assert!(kib(task, "VmHWM:") < MEMORY, "{} KiB", kib(task, "VmHWM:"));
    task.ecs.stop();
    let (result, seen) = stopped(task).await;
    assert_started(&seen);
    assert_stopped(&seen);
    assert_ended(&result, &[("taskmesh", 0), ("app", 0)], &seen);
}

/// Clients that ask for the status as fast as they can, in the task, until told to stop; counts the answers.
async fn scrape(task: &MeshTask, clients: usize, over: Arc<AtomicBool>) -> Arc<AtomicU64> {
    let answers = Arc::new(AtomicU64::new(0));
    for n in 0..clients {
        let path = ["/v1/status", "/ready", "/v1/timeline"][n % 3];
        let url = format!("http://127.0.0.1:{}{path}", task.ports.admin);
        let (over, answers, client) = (over.clone(), answers.clone(), testbed::cluster::client());
        let asking = move || async move {
            while !over.load(Relaxed) {
                let Ok(answer) = client.get(&url).send().await else { return };
                // Read to its end, so that the connection can be used again.
                if answer.bytes().await.is_ok() {
                    answers.fetch_add(1, Relaxed);
                }
            }
        };
        drop(task.ecs.host().spawn(asking));
    }
    answers
}

#[tokio::test]
async fn sixty_four_scrapers_hold_up_neither_the_ttls_nor_the_stop() {
    let Some(cluster) = cluster().await else { return };
    let mut definition = wrapped("api", &[]);
    definition["containerDefinitions"][1]["healthCheck"] =
        json!({ "command": ["CMD", "/bin/true"], "interval": 5, "timeout": 2, "retries": 2 });
    let plan = TaskPlan::new("api-1", "api", definition)
        .config(json!({ "healthSync": { "containers": ["app"], "ttl": "3s" } }))
        .platform(|spec| spec.time_scale = 20.0);
    let task = serving(&cluster, plan).await;
    let mut fault = Witness::of(Kind::Machine, "64 clients ask the admin API as fast as they can");
    let over = Arc::new(AtomicBool::new(false));
    let answers = scrape(&task, 64, over.clone()).await;
    // Longer than the TTL: a refresh that is held up shows as critical.
    let began = Instant::now();
    let mut looks = 0;
    while began.elapsed() < Duration::from_secs(4) {
        let offered = cluster.offered("api").await.expect("server");
        assert!(matches!(&offered[..], [(_, false)]), "after {:?}: {offered:?}", began.elapsed());
        looks += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(looks > 10 && answers.load(Relaxed) > 200, "{looks} {}", answers.load(Relaxed));
    assert!(kib(&task, "VmHWM:") < MEMORY, "{} KiB", kib(&task, "VmHWM:"));
    // The wrapper, too, is heard through the crowd.
    task.ecs.stop();
    let (result, seen) = stopped(&task).await;
    over.store(true, Relaxed);
    assert_full_stop(&seen);
    assert_ended(&result, &[("taskmesh", 0), ("app", 0)], &seen);
    fault.shows("peers: the instance passes all the time");
    fault.ended("no TTL runs out, and a stop is in order");
}

/// Lines that the noisy Envoy prints, in portions of a second's twentieth.
const PORTIONS: u64 = 40;
const PORTION: u64 = 2500;

#[tokio::test]
async fn an_envoy_that_floods_the_log_blocks_nothing_and_every_line_is_counted() {
    let Some(cluster) = cluster().await else { return };
    let dir = tempfile::tempdir().expect("dir");
    let done = dir.path().join("done");
    let envoy = testbed::parts::envoy().expect("envoy");
    let noise = "flood ".repeat(16);
    let body = format!(
        "[ \"$1\" = --version ] && exec {envoy} \"$@\"\n\
         ( n=0; while [ $n -lt {PORTIONS} ]; do yes '{noise}' | head -n {PORTION}; n=$((n+1)); \
         sleep 0.05; done; echo > {done} ) &\n\
         exec {envoy} \"$@\"",
        envoy = envoy.display(),
        done = done.display(),
    );
    let binary = script(dir.path(), "noisy-envoy", &body);
    let plan = TaskPlan::new("api-1", "api", wrapped("api", &[]))
        .config(json!({ "envoy": { "binary": binary } }))
        .platform(|spec| spec.time_scale = 10.0);
    let mut fault = Witness::of(Kind::Machine, "Envoy prints 50,000 lines a second");
    // It starts, is ready and offered in the middle of the flood.
    let task = serving(&cluster, plan).await;
    let began = Instant::now();
    while !done.exists() {
        assert!(began.elapsed() < LONG, "the child is blocked");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(kib(&task, "VmHWM:") < MEMORY, "{} KiB", kib(&task, "VmHWM:"));
    task.ecs.stop();
    let (result, seen) = stopped(&task).await;
    assert_ended(&result, &[("taskmesh", 0), ("app", 0)], &seen);
    assert!(seen.between(StopNoticed, AllExited) < Duration::from_secs(15));

    let (mut kept, mut dropped) = (0, 0);
    for line in task.ecs.output("taskmesh") {
        let line: Value = serde_json::from_str(&line.text).unwrap_or_default();
        let message = line["message"].as_str().unwrap_or_default();
        kept += u64::from(message.starts_with("flood "));
        dropped += line["dropped"].as_u64().unwrap_or(0);
        // Ours are never dropped for a child's; what is told is told once.
        assert!(line["dropped"].is_null() || message.starts_with("log lines dropped"), "{line}");
    }
    // Among what was dropped may be lines that Envoy and the agent said besides.
    let all = PORTIONS * PORTION;
    assert!((all..all + 2000).contains(&(kept + dropped)), "{kept} kept, {dropped} dropped");
    fault.shows("log: `log lines dropped`, with how many, of each child");
    fault.ended("neither Envoy nor the timeline is held up");
    Seen(task.timeline().await.expect("timeline")).at(Offered);
}
