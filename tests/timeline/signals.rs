//! Signals by hand, at any moment; and what is left when the supervisor is gone.

use crate::start::script;
use crate::stop::assert_full_stop;
use crate::support::{LONG, assert_ended, cluster, code, serving, stopped};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;
use taskmesh::timeline::Event::{self, *};
use testbed::cluster::{Cluster, MeshTask, TaskPlan};
use testbed::definitions::wrapped;
use testbed::ecs::StopOrder;
use testbed::faults::{Kind, Witness};
use testbed::net::{Proc, listeners};
use testbed::seen::Seen;
use tokio::time::Instant;

fn plan(name: &str) -> TaskPlan {
    TaskPlan::new(name, "api", wrapped("api", &[])).platform(|spec| spec.time_scale = 10.0)
}

fn send(task: &MeshTask, signal: Signal) {
    let supervisor = task.ecs.container("taskmesh").expect("taskmesh");
    assert!(supervisor.signal(signal), "{signal}: nobody to signal");
}

/// ECS sends the STOPSIGNAL of the image.
async fn stops_in_order_by(cluster: &Cluster, name: &str, signal: Signal) {
    let plan = TaskPlan::new(name, "api", wrapped("api", &[])).platform(move |spec| {
        spec.time_scale = 10.0;
        spec.stop_order = StopOrder::AllAtOnce;
        spec.stop_signals.insert("taskmesh".to_owned(), signal);
    });
    let task = serving(cluster, plan).await;
    task.ecs.stop();
    let (result, seen) = stopped(&task).await;
    assert_full_stop(&seen);
    assert_ended(&result, &[("taskmesh", 0), ("app", 0)], &seen);
    let said = format!(r#""signal":"{signal}""#);
    assert!(task.last_lines(usize::MAX).contains(&said), "{said}: {}", task.last_lines(30));
}

#[tokio::test]
async fn int_and_quit_stop_a_task_in_order_as_term_does() {
    let Some(cluster) = cluster().await else { return };
    tokio::join!(
        stops_in_order_by(&cluster, "api-1", Signal::SIGINT),
        stops_in_order_by(&cluster, "api-2", Signal::SIGQUIT),
    );
}

#[tokio::test]
async fn a_second_signal_of_another_kind_means_now() {
    let Some(cluster) = cluster().await else { return };
    let mut definition = wrapped("api", &["--term", "ignore"]);
    definition["containerDefinitions"][1]["stopTimeout"] = json!(10);
    let plan = TaskPlan::new("api-1", "api", definition).platform(|spec| {
        spec.stop_order = StopOrder::AllAtOnce;
        spec.stop_signals.insert("taskmesh".to_owned(), Signal::SIGINT);
    });
    let task = serving(&cluster, plan).await;
    task.ecs.stop();
    task.wait_event(AppsReleased, LONG).await.expect("released");
    send(&task, Signal::SIGTERM);
    let (result, seen) = stopped(&task).await;
    seen.cause(Deadline, "second-term");
    seen.in_order(&[StopNoticed, AppsReleased, Deadline, EnvoyExited, AgentLeft, AllExited]);
    let ours = result.container("taskmesh").expect("taskmesh");
    assert!(!ours.killed && ours.exit_code != Some(137), "{ours:?}");
}

#[tokio::test]
async fn hup_is_answered_once_and_pipe_is_ignored() {
    let Some(cluster) = cluster().await else { return };
    let task = serving(&cluster, plan("api-1")).await;
    let words = "nothing can be reloaded";
    send(&task, Signal::SIGHUP);
    let supervisor = task.ecs.container("taskmesh").expect("taskmesh");
    let said = tokio::time::timeout(LONG, supervisor.wait_line(words)).await;
    said.expect("in time").expect("a line");
    for _ in 0..20 {
        send(&task, Signal::SIGHUP);
        send(&task, Signal::SIGPIPE);
        assert_eq!(task.admin("/ready").await.expect("it lives on")["ready"], true);
    }
    task.ecs.stop();
    let (result, seen) = stopped(&task).await;
    assert_ended(&result, &[("taskmesh", 0), ("app", 0)], &seen);
    let lines = task.last_lines(usize::MAX);
    assert_eq!(lines.lines().filter(|line| line.contains(words)).count(), 1, "{lines}");
}

#[tokio::test]
async fn a_stop_at_any_moment_of_the_start_ends_in_order() {
    let Some(cluster) = cluster().await else { return };
    let cluster = &cluster;
    // Moments, not waits: whatever has been reached by then is the scenario.
    let tasks = (0..10u32).map(|n| async move {
        let task = cluster.task(plan(&format!("api-{n}"))).await.expect("task");
        let supervisor = task.ecs.container("taskmesh").expect("taskmesh");
        assert!(supervisor.wait_running().await);
        tokio::time::sleep(Duration::from_millis(7) * n * n).await;
        task.ecs.stop();
        let (result, seen) = stopped(&task).await;
        assert_eq!(code(&result, "taskmesh"), Some(0), "{n}: {:#?}", seen.lines());
        assert_eq!(seen.0.events.last().map(|r| r.event), Some(AllExited), "{n}");
        for never in [Deadline, Killed, ChildExited] {
            seen.has_no(never);
        }
    });
    futures_util::future::join_all(tasks).await;
    assert_eq!(cluster.offered("api").await.expect("server"), [], "nobody is left in the catalog");
}

/// A task whose supervisor is not PID 1: the container lives on without it.
async fn outlived(cluster: &Cluster, name: &str) -> (MeshTask, Proc) {
    let mut definition = wrapped("api", &[]);
    let helper = &mut definition["containerDefinitions"][0];
    helper["entryPoint"] = json!(["/bin/sh", "-c"]);
    helper["command"] = json!(["{{taskmesh}} run; echo ended with $?; sleep 60"]);
    let task = serving(cluster, TaskPlan::new(name, "api", definition)).await;
    let supervisor = processes(&task).into_iter().find(|p| p.comm == "taskmesh");
    (task, supervisor.expect("supervisor"))
}

fn processes(task: &MeshTask) -> Vec<Proc> {
    task.ecs.container("taskmesh").map(|c| c.processes()).unwrap_or_default()
}

/// Waits until nothing but the shell and its `sleep` is left in the container, and the supervisor's ports are free.
pub(crate) async fn assert_nothing_left(cluster: &Cluster, task: &MeshTask) {
    let isolated = cluster.lan().loopback_reason().is_none();
    let began = Instant::now();
    loop {
        let left: BTreeSet<String> = processes(task).into_iter().map(|p| p.comm).collect();
        let ours = [task.ports.admin, task.ports.envoy_admin, task.ports.http, task.ports.grpc]
            .into_iter()
            .chain([task.ports.public, 8301])
            .map(|port| format!(":{port}"));
        let pid = task.ecs.container("taskmesh").and_then(|c| c.pid()).expect("the shell runs");
        let open = if isolated { listeners(&pid.to_string()) } else { BTreeSet::new() };
        let open: Vec<_> =
            ours.filter(|port| open.iter().any(|listener| listener.ends_with(port))).collect();
        if left == BTreeSet::from(["sh".to_owned(), "sleep".to_owned()]) && open.is_empty() {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "left: {left:?}, open: {open:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn nothing_is_left_after_an_orderly_end_and_after_a_kill() {
    let Some(cluster) = cluster().await else { return };
    let (orderly, _) = outlived(&cluster, "api-1").await;
    let (killed, supervisor) = outlived(&cluster, "api-2").await;
    // A stop that the apps are told of.
    assert_eq!(orderly.admin_post("/v1/stop").await.expect("stop"), 202);
    kill(Pid::from_raw(supervisor.pid), Signal::SIGKILL).expect("kill");
    for (task, ending) in [(&orderly, "ended with 0"), (&killed, "ended with 137")] {
        let shell = task.ecs.container("taskmesh").expect("taskmesh");
        let said = tokio::time::timeout(LONG, shell.wait_line(ending)).await;
        assert!(said.is_ok_and(|line| line.is_some()), "{}", task.last_lines(20));
        assert_nothing_left(&cluster, task).await;
    }
}

#[tokio::test]
async fn pid_1_reaps_strangers_and_still_learns_how_its_children_ended() {
    let Some(cluster) = cluster().await else { return };
    let dir = tempfile::tempdir().expect("dir");
    let envoy = testbed::parts::envoy().expect("envoy");
    // Leaves orphans behind from time to time, some of which end at the moment that Envoy itself does.
    let body = format!(
        "[ \"$1\" = --version ] && exec {0} \"$@\"\n\
         for n in 1 2 3 4 5 6 7 8 9; do setsid -f sleep 0.$n; setsid -f sh -c 'exit 3'; done\n\
         exec {0} \"$@\"",
        envoy.display()
    );
    let binary = script(dir.path(), "envoy-with-orphans", &body);
    let plan = plan("api-1").config(json!({ "envoy": { "binary": binary } }));
    let task = serving(&cluster, plan).await;
    let mut fault = Witness::of(Kind::Process, "Orphans end beside Envoy");
    crate::faults::kill_child(&task, "envoy");
    task.wait_event(ChildRestarted, LONG).await.expect("restarted");
    let seen = Seen(task.timeline().await.expect("timeline"));
    seen.cause(Event::ChildExited, "envoy: killed by SIGKILL");

    let supervisor = task.ecs.container("taskmesh").and_then(|c| c.pid()).expect("it runs");
    let began = Instant::now();
    loop {
        let children = testbed::net::children(supervisor);
        let strangers: Vec<_> =
            children.iter().filter(|p| p.zombie || ["sleep", "sh"].contains(&&*p.comm)).collect();
        if strangers.is_empty() {
            break;
        }
        assert!(began.elapsed() < LONG, "{strangers:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    fault.shows("no zombie; Envoy's own exit is told");
    fault.ended("orphans are reaped as they end, as PID 1 has to");
    task.ecs.stop();
    let (result, seen) = stopped(&task).await;
    assert_ended(&result, &[("taskmesh", 0), ("app", 0)], &seen);
}
