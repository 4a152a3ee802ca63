//! Disks that are full or read-only: what stands on them is used on, what cannot be written is named and tried again.

use crate::faults::kill_child;
use crate::support::{
    LONG, call, caller, cluster, code, count, serving, until_counted, until_held, until_offered,
    until_ready, within,
};
use serde_json::json;
use taskmesh::timeline::Event::{self, *};
use testbed::cluster::{Cluster, MeshTask, TaskPlan};
use testbed::definitions::wrapped;
use testbed::faults::{Kind, Witness};

/// Fills the disk to its last page. `dd` ends with an error, which is the point.
const FILL: &str = "dd if=/dev/zero of={{dir}}/ballast bs=4k 2>/dev/null || true";
const FREE: &str = "rm {{dir}}/ballast";
/// A file that an agent holds open keeps its disk from being made read-only; what is mounted over it is no such thing.
const READ_ONLY: &str = "mount --bind {{dir}} {{dir}} && mount -o remount,bind,ro {{dir}}";
const WRITABLE: &str = "umount -l {{dir}}";

/// A task whose folder, with all that the supervisor and its children write, is a small disk of its container's own.
/// `before` is done on it before the supervisor is there.
fn on_a_disk(name: &str, before: &str) -> TaskPlan {
    let mut definition = wrapped("api", &[]);
    let helper = &mut definition["containerDefinitions"][0];
    helper["entryPoint"] = json!(["/bin/sh", "-c"]);
    let mount = "mount -t tmpfs -o size=1m,mode=700 disk {{dir}}";
    helper["command"] = json!([format!("{mount} && {{ {before}; exec {{{{taskmesh}}}} run; }}")]);
    TaskPlan::new(name, "api", definition)
        .config(json!({ "restart": { "backoff": { "min": "100ms", "max": "1s" }, "budget": 50 } }))
}

/// Hosts must have mounts of their own.
async fn cluster_with_mounts() -> Option<Cluster> {
    let cluster = cluster().await?;
    if let Some(reason) = cluster.lan().loopback_reason() {
        testbed::skip::skip(&format!("no namespaces: {reason}"));
        return None;
    }
    Some(cluster)
}

/// It needs nothing but what is there.
async fn envoy_comes_back(task: &MeshTask, web: &MeshTask) {
    kill_child(task, "envoy");
    until_counted(task, ChildRestarted, 1).await;
    until_ready(task).await;
    call(web).await;
}

#[tokio::test]
async fn on_a_full_disk_children_come_back_and_what_cannot_be_kept_is_named() {
    let Some(cluster) = cluster_with_mounts().await else { return };
    let (task, web) = tokio::join!(serving(&cluster, on_a_disk("api-1", ":")), caller(&cluster));
    call(&web).await;

    let mut fault = Witness::of(Kind::Machine, "The disk is full, and the children die");
    within(&task, FILL).await;
    envoy_comes_back(&task, &web).await;
    kill_child(&task, "consul");
    until_counted(&task, ChildRestarted, 2).await;
    // Seen: the agent runs, and cannot keep what it is told.
    until_held(&task, "registration", "no space left on device").await;
    assert!(task.child("consul").is_some(), "{}", task.last_lines(40));
    fault.told("both come back; `/ready`: `registration`, `.. no space left on device`");
    call(&web).await;
    let lines = task.last_lines(usize::MAX);
    let said = lines.matches(r#""message":"registration: trying again""#).count();
    assert!((1..=5).contains(&said), "said {said} times: {lines}");

    // Lifted, and whole again.
    within(&task, FREE).await;
    fault.lifted();
    until_ready(&task).await;
    until_offered(&cluster, &task).await;
    fault.mended("it is tried again; traffic flows all the time");
    call(&web).await;
    assert_eq!(count(&task, ChildExited).await, 2, "the two that were killed");

    // Nothing that a stop needs has to be written.
    within(&task, FILL).await;
    task.ecs.stop();
    let result = tokio::time::timeout(LONG, task.ecs.wait_stopped()).await.expect("stopped");
    assert_eq!(code(&result, "taskmesh"), Some(0), "{}", task.last_lines(40));
    assert_eq!(cluster.offered("api").await.expect("server"), []);
}

#[tokio::test]
async fn on_a_read_only_disk_envoy_comes_back_and_the_agent_says_why_it_cannot() {
    let Some(cluster) = cluster_with_mounts().await else { return };
    let (task, web) = tokio::join!(serving(&cluster, on_a_disk("api-1", ":")), caller(&cluster));

    let mut fault = Witness::of(Kind::Machine, "The disk is read-only, and the children die");
    within(&task, READ_ONLY).await;
    envoy_comes_back(&task, &web).await;
    kill_child(&task, "consul");
    // Seen, in the agent's own words; what it does for Envoy is done without it.
    let why = until_held(&task, "consul agent", "exit code 1; it last printed").await;
    assert!(why.to_lowercase().contains("read-only file system"), "{why}");
    fault.told("Envoy comes back; `/ready`: the agent's last error, `read-only file system`");
    call(&web).await;
    until_counted(&task, ChildExited, 5).await;
    assert!(task.timeline().await.expect("timeline").find(Event::StopNoticed).is_none());
    let lines = task.last_lines(usize::MAX);
    assert!(!lines.contains("data folder wiped"), "an empty folder would not help: {lines}");

    // Lifted, and whole again.
    within(&task, WRITABLE).await;
    fault.lifted();
    until_ready(&task).await;
    until_offered(&cluster, &task).await;
    fault.mended("the agent is started again and again; Envoy serves on");
    call(&web).await;
    task.ecs.stop();
    let result = tokio::time::timeout(LONG, task.ecs.wait_stopped()).await.expect("stopped");
    assert_eq!(code(&result, "taskmesh"), Some(0));
}

#[tokio::test]
async fn a_disk_that_is_full_or_read_only_at_the_start_is_named_and_waited_for() {
    let Some(cluster) = cluster_with_mounts().await else { return };
    let cluster = &cluster;
    let read_only = format!("mkdir {{{{dir}}}}/private; {READ_ONLY}");
    let scenario = async |name, title, before: &str, words, lift| {
        let mut fault = Witness::of(Kind::Machine, title);
        let task = cluster.task(on_a_disk(name, before)).await.expect("task");
        until_held(&task, "consul agent", words).await;
        fault.told(&format!("`/ready`: `consul agent`, `.. {words}`"));
        within(&task, lift).await;
        fault.lifted();
        task.wait_event(Ready, LONG).await.expect("ready once it can write");
        until_ready(&task).await;
        fault.mended("it is tried again, with the restarts' backoff");
    };
    let full = "The disk is full at the start";
    let no_writes = "The disk is read-only at the start";
    tokio::join!(
        scenario("api-1", full, FILL, "no space left on device", FREE),
        scenario("api-2", no_writes, &read_only, "read-only file system", WRITABLE),
    );
}
