//! A bug in an actor of a task with real children: everything is stopped in order, nothing is left, exit code 3.
//!
//! No code of the product panics on demand. So the supervisor runs in this test binary, whole, with one more listener to
//! its log, which panics at a line that one actor logs: that is a panic in the middle of that actor's own work.

use crate::faults::kill_child;
use crate::signals::assert_nothing_left;
use crate::support::{LONG, cluster, serving};
use serde_json::json;
use std::fmt;
use taskmesh::config::{ProcessEnv, Sources};
use taskmesh::timeline::Event::*;
use testbed::cluster::{Cluster, MeshTask, TaskPlan};
use testbed::definitions::wrapped;
use testbed::ecs::Fault;
use testbed::faults::{Kind, Witness};
use testbed::seen::Seen;
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// Names the line, and tells the helper from a test.
const PANICS_AT: &str = "TASKMESH_TEST_PANICS_AT";
const BUG: &str = "a bug, for this test";

/// Panics at a line of the log.
struct Bug(String);

impl<S: tracing::Subscriber> Layer<S> for Bug {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        struct Message(String);
        impl Visit for Message {
            fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
                if field.name() == "message" {
                    self.0 = format!("{value:?}");
                }
            }
        }
        let mut message = Message(String::new());
        event.record(&mut message);
        assert!(message.0 != self.0, "{BUG}");
    }
}

#[test]
#[ignore = "helper: runs in a process of its own, started by another test"]
fn helper_supervisor() {
    let Ok(line) = std::env::var(PANICS_AT) else { return };
    let log = tracing_subscriber::fmt::layer().json().flatten_event(true);
    let info = tracing::level_filters::LevelFilter::INFO;
    tracing_subscriber::registry().with(info).with(log).with(Bug(line)).init();
    let code = taskmesh::app::run(&Sources::default(), &ProcessEnv);
    // The harness would make its own of it.
    #[allow(clippy::disallowed_methods, reason = "this is the whole process")]
    std::process::exit(code.into());
}

/// A task whose supervisor panics where it logs this line. Its container outlives it.
async fn with_a_bug(cluster: &Cluster, at: &str, binary: serde_json::Value) -> MeshTask {
    let mut definition = wrapped("api", &[]);
    let own = std::env::current_exe().expect("own path");
    let args = "--exact panics::helper_supervisor --ignored --nocapture --test-threads=1";
    let helper = &mut definition["containerDefinitions"][0];
    helper["entryPoint"] = json!(["/bin/sh", "-c"]);
    helper["command"] = json!([format!("{} {args}; echo ended with $?; sleep 60", own.display())]);
    let variable = json!({ "name": PANICS_AT, "value": at });
    helper["environment"].as_array_mut().expect("environment").push(variable);
    serving(cluster, TaskPlan::new("api-1", "api", definition).config(binary)).await
}

/// The stop is whole, and of the bug.
async fn assert_stopped_for_the_bug(cluster: &Cluster, task: &MeshTask, actor: &str) {
    let shell = task.ecs.container("taskmesh").expect("taskmesh");
    let said = tokio::time::timeout(LONG, shell.wait_line("ended with")).await;
    let said = said.ok().flatten().map(|line| line.text).unwrap_or_default();
    assert_eq!(said, "ended with 3", "{}", task.last_lines(60));
    assert_nothing_left(cluster, task).await;
    let text = std::fs::read(task.dir().join("timeline.json")).expect("timeline");
    let seen = Seen(serde_json::from_slice(&text).expect("timeline"));
    seen.cause(StopNoticed, "actor-failed");
    seen.in_order(&[StopNoticed, ChecksCritical, AppsReleased, AgentLeft, AllExited]);
    for never in [Deadline, Killed] {
        seen.has_no(never);
    }
    assert_eq!(cluster.offered("api").await.expect("server"), []);
    // Why stands at the end, where people look first.
    let lines = task.last_lines(usize::MAX);
    let why = format!("actor {actor} failed: ");
    let last = lines.lines().rfind(|line| line.contains("gave up")).unwrap_or_default();
    assert!(last.contains(&why) && last.contains(BUG), "{last}");
}

#[tokio::test]
async fn a_panic_in_what_an_actor_does_beside_its_messages_stops_the_task_in_order() {
    let Some(cluster) = cluster().await else { return };
    let task = with_a_bug(&cluster, "task metadata cannot be read", json!({})).await;
    let mut fault = Witness::of(Kind::Process, "A bug: a part of the supervisor panics");
    task.ecs.metadata().set(Fault::ServerError);
    assert_stopped_for_the_bug(&cluster, &task, "task_watch").await;
    fault.told("exit code 3; the last log line names the actor and the panic");
    fault.ended("an orderly stop, nothing is left behind; ECS replaces the task");
}

#[tokio::test]
async fn a_panic_of_the_actor_of_a_child_that_is_down_stops_the_task_in_order() {
    let Some(cluster) = cluster().await else { return };
    let dir = tempfile::tempdir().expect("dir");
    let binary = dir.path().join("envoy");
    std::os::unix::fs::symlink(testbed::parts::envoy().expect("envoy"), &binary).expect("link");
    let config = json!({ "envoy": { "binary": binary } });
    let task = with_a_bug(&cluster, "cannot start", config).await;
    std::fs::remove_file(&binary).expect("link");
    kill_child(&task, "envoy");
    assert_stopped_for_the_bug(&cluster, &task, "envoy").await;
}
