//! What cannot be started, metadata that fails, children that die.

use crate::start::script;
use crate::support::{LONG, Seen, cluster, until_offered, until_ready};
use nix::sys::signal::Signal;
use serde_json::json;
use std::time::Duration;
use taskmesh::timeline::Event;
use testbed::cluster::TaskPlan;
use testbed::definitions::wrapped;
use testbed::ecs::Fault;
use testbed::faults::{Kind, Witness};

#[tokio::test]
async fn a_consul_that_is_not_there_is_named_and_the_exit_code_is_1() {
    let Some(cluster) = cluster().await else { return };
    let plan = TaskPlan::new("api-1", "api", wrapped("api", &[]))
        .config(json!({ "consul": { "binary": "/no/such/consul" } }));
    let mut fault = Witness::of(Kind::Process, "The consul binary is not there");
    let task = cluster.task(plan).await.expect("task");
    let (result, timeline) = task.wait_stopped(LONG).await.expect("stopped");
    let seen = Seen(timeline);
    seen.cause(Event::StopNoticed, "start-failed");
    let lines = task.last_lines(100);
    assert!(lines.contains("/no/such/consul"), "{lines}");
    assert_eq!(result.container("taskmesh").expect("taskmesh").exit_code, Some(1));
    fault.told("exit code 1; the log names the path; cause `start-failed`");
    fault.ended("it does not: waiting would hide it; ECS replaces the task");
}

#[tokio::test]
async fn an_envoy_that_is_not_executable_is_named_and_the_agent_leaves() {
    let Some(cluster) = cluster().await else { return };
    let dir = tempfile::tempdir().expect("dir");
    let plain = dir.path().join("plain-envoy");
    std::fs::write(&plain, "not a program").expect("file");
    let plan = TaskPlan::new("api-1", "api", wrapped("api", &[]))
        .config(json!({ "envoy": { "binary": plain } }));
    let mut fault = Witness::of(Kind::Process, "Envoy's binary cannot be executed");
    let task = cluster.task(plan).await.expect("task");
    let (result, timeline) = task.wait_stopped(LONG).await.expect("stopped");
    let seen = Seen(timeline);
    seen.in_order(&[Event::Registered, Event::StopNoticed, Event::AgentLeft, Event::AllExited]);
    seen.cause(Event::StopNoticed, "start-failed");
    let lines = task.last_lines(100);
    assert!(lines.contains("plain-envoy"), "{lines}");
    assert_eq!(result.container("taskmesh").expect("taskmesh").exit_code, Some(1));
    fault.told("exit code 1; the log names the path; cause `start-failed`");
    fault.ended("it does not: the agent leaves; ECS replaces the task");
}

#[tokio::test]
async fn metadata_that_fails_in_every_way_is_named_and_waited_for() {
    let Some(cluster) = cluster().await else { return };
    let mut longest = Duration::ZERO;
    let mut row = Witness::of(Kind::Ecs, "The metadata fails at the start, in eight ways");
    for (number, (fault, words)) in [
        (Fault::NotFound, "404"),
        (Fault::TooManyRequests, "throttles"),
        (Fault::ServerError, "500"),
        (Fault::NotJson, "cannot read"),
        (Fault::Truncated, "no answer"),
        (Fault::Hang, "within 2s"),
        (Fault::Huge(8 << 20), "longer than"),
        (Fault::Refused, "no answer"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("api-{number}");
        let plan = TaskPlan::new(&name, "api", wrapped("api", &[]))
            // Time to put the fault in place before the first read.
            .platform(|spec| spec.pull_time = Duration::from_millis(300));
        let task = cluster.task(plan).await.expect("task");
        task.ecs.metadata().set(fault);
        let began = tokio::time::Instant::now();
        let reason = loop {
            if let Ok(ready) = task.admin("/ready").await {
                let first = &ready["pending"][0];
                if first["latch"] == "task metadata"
                    && first["reason"].as_str().is_some_and(|r| r.contains(words))
                {
                    break first["reason"].clone();
                }
            }
            assert!(began.elapsed() < LONG, "{words}: {}", task.last_lines(30));
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert!(reason.is_string());
        task.ecs.metadata().clear();
        let lifted = tokio::time::Instant::now();
        task.wait_event(Event::Ready, LONG).await.expect("ready after the fault");
        longest = longest.max(lifted.elapsed());
    }
    row.shows("`/ready`: `task metadata`, with the status, the time-out or what cannot be read");
    row.mended_after(longest, "it is asked again, with a jittered backoff of up to 250 ms");
}

#[tokio::test]
async fn an_envoy_that_dies_comes_back_on_the_same_ports() {
    let Some(cluster) = cluster().await else { return };
    let task =
        cluster.task(TaskPlan::new("api-1", "api", wrapped("api", &[]))).await.expect("task");
    task.wait_event(Event::Offered, LONG).await.expect("offered");
    let mut fault = Witness::of(Kind::Process, "Envoy is killed");
    kill_child(&task, "envoy");
    task.wait_event(Event::ChildExited, LONG).await.expect("exited");
    fault.told("timeline and log: `envoy: killed by SIGKILL`; `/ready` 503");
    task.wait_event(Event::ChildRestarted, LONG).await.expect("restarted");
    until_ready(&task).await;
    fault.mended("started again after a jittered backoff, on the same ports");
    let seen = Seen(task.timeline().await.expect("timeline"));
    seen.cause(Event::ChildExited, "envoy: killed by SIGKILL");
    // 0.4 s on an idle machine, of which the backoff is 0.05 to 0.1.
    let back = seen.at(Event::ChildRestarted).ms - seen.at(Event::ChildExited).ms;
    assert!(back < 2000.0, "started again after {back} ms");
    task.ecs.stop();
    let (result, _) = task.wait_stopped(LONG).await.expect("stopped");
    assert_eq!(result.container("taskmesh").expect("taskmesh").exit_code, Some(0));
}

#[tokio::test]
async fn while_envoy_is_down_peers_are_told_at_once_and_again_when_it_listens() {
    let Some(cluster) = cluster().await else { return };
    let plan = TaskPlan::new("api-1", "api", wrapped("api", &[]))
        .config(json!({ "restart": { "backoff": { "min": "6s", "max": "6s" } } }));
    let task = cluster.task(plan).await.expect("task");
    task.wait_event(Event::Offered, LONG).await.expect("offered");
    let critical = async || {
        let proxies = cluster.offered("api").await.expect("server");
        proxies.is_empty() || proxies.iter().any(|(_, critical)| *critical)
    };
    assert!(!critical().await);
    let mut fault = Witness::of(Kind::Process, "Envoy is down for seconds (backoff 3 to 6 s here)");
    kill_child(&task, "envoy");
    let exited = task.wait_event(Event::ChildExited, LONG).await.expect("exited");
    let began = tokio::time::Instant::now();
    while !critical().await {
        assert!(began.elapsed() < LONG, "{}", task.last_lines(40));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    fault.told("peers: the proxy is critical, `taskmesh: Envoy is down`; `/ready` 503");
    // Envoy is away for 3 s at the least: the word of it came from its death, not from its return.
    let seen = Seen(task.timeline().await.expect("timeline"));
    seen.has_no(Event::ChildRestarted);
    let checks = task.agent_get("/v1/agent/checks").await.expect("checks");
    let reasons: Vec<_> =
        checks.as_object().expect("checks").values().map(|c| &c["Notes"]).collect();
    assert!(reasons.iter().any(|notes| **notes == "taskmesh: Envoy is down"), "{checks:#}");
    let ready = task.admin("/ready").await.expect("ready");
    assert_eq!(ready["ready"], false, "{ready:#}");

    let back = task.wait_event(Event::ChildRestarted, LONG).await.expect("restarted");
    fault.lifted();
    assert!(back.ms - exited.ms >= 3000.0);
    while critical().await {
        assert!(began.elapsed() < LONG, "{}", task.last_lines(40));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    fault.mended("from its restart: offered again as soon as its listener is open");
    task.ecs.stop();
    let (result, _) = task.wait_stopped(LONG).await.expect("stopped");
    assert_eq!(result.container("taskmesh").expect("taskmesh").exit_code, Some(0));
}

#[tokio::test]
async fn an_agent_that_dies_comes_back_and_is_registered_again() {
    let Some(cluster) = cluster().await else { return };
    let task =
        cluster.task(TaskPlan::new("api-1", "api", wrapped("api", &[]))).await.expect("task");
    task.wait_event(Event::Offered, LONG).await.expect("offered");
    let mut fault = Witness::of(Kind::Process, "The Consul agent is killed");
    kill_child(&task, "consul");
    task.wait_event(Event::ChildExited, LONG).await.expect("exited");
    fault.told("timeline and log: `consul: killed by SIGKILL`; `/ready` 503");
    task.wait_event(Event::RegistrationRepaired, LONG).await.expect("repaired");
    until_offered(&cluster, &task).await;
    fault.mended("started again, for ever; registered again; Envoy serves on meanwhile");
    task.ecs.stop();
    let (result, _) = task.wait_stopped(LONG).await.expect("stopped");
    assert_eq!(result.container("taskmesh").expect("taskmesh").exit_code, Some(0));
}

#[tokio::test]
async fn an_envoy_that_keeps_dying_ends_the_task_with_code_3() {
    let Some(cluster) = cluster().await else { return };
    let dir = tempfile::tempdir().expect("dir");
    let dying = script(dir.path(), "dying-envoy", "echo 'no such extension' >&2; exit 7");
    let plan = TaskPlan::new("api-1", "api", wrapped("api", &[])).config(json!({
        "envoy": { "binary": dying },
        "restart": { "budget": 2, "backoff": { "min": "20ms", "max": "100ms" } }
    }));
    let mut fault = Witness::of(Kind::Process, "Envoy dies again and again (a budget of 2 here)");
    let task = cluster.task(plan).await.expect("task");
    let (result, timeline) = task.wait_stopped(LONG).await.expect("stopped");
    let seen = Seen(timeline);
    seen.cause(Event::StopNoticed, "restart-budget");
    seen.cause(Event::ChildExited, "envoy: exit code 7");
    seen.in_order(&[Event::StopNoticed, Event::AgentLeft, Event::AllExited]);
    assert_eq!(result.container("taskmesh").expect("taskmesh").exit_code, Some(3));
    // Where people look first: the very last line.
    let last = task.last_lines(1);
    for words in ["envoy died 3 times", "exit code 7", "no such extension"] {
        assert!(last.contains(words), "{last}");
    }
    fault.told("the very last log line: how often, how, and what it printed");
    fault.ended("an orderly stop, exit code 3; ECS replaces the task");
}

#[tokio::test]
async fn a_supervisor_that_is_killed_leaves_no_child_behind() {
    let Some(cluster) = cluster().await else { return };
    let mut definition = wrapped("api", &[]);
    // The container lives on without it, so nothing but PDEATHSIG can end the children.
    definition["containerDefinitions"][0]["entryPoint"] = json!(["/bin/sh", "-c"]);
    definition["containerDefinitions"][0]["command"] = json!(["{{taskmesh}} run; sleep 60"]);
    let task = cluster.task(TaskPlan::new("api-1", "api", definition)).await.expect("task");
    task.wait_event(Event::Offered, LONG).await.expect("offered");
    let container = task.ecs.container("taskmesh").expect("taskmesh");
    let named = |name: &str| container.processes().into_iter().find(|p| p.comm.contains(name));
    let supervisor = named("taskmesh").expect("supervisor");
    for child in ["consul", "envoy"] {
        assert_eq!(named(child).map(|p| p.ppid), Some(supervisor.pid), "{child}");
    }
    let mut fault = Witness::of(Kind::Process, "The supervisor is killed");
    sigkill(supervisor.pid);
    let began = tokio::time::Instant::now();
    while let Some(left) = named("consul").or_else(|| named("envoy")) {
        assert!(began.elapsed() < Duration::from_secs(10), "{left:?} is still there");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    fault.told("none of its processes is left");
    fault.ended("its children die with it; ECS replaces the task");
    // The shell may not have come to its next command yet; a container that ended never does.
    while named("sleep").is_none() {
        let left = container.processes();
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "the container ended, so this proved nothing: {left:?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_child_that_is_alive_but_stopped_is_killed_and_comes_back() {
    let Some(cluster) = cluster().await else { return };
    let plan = TaskPlan::new("api-1", "api", wrapped("api", &[]))
        .config(json!({ "restart": { "unresponsiveAfter": "3s" } }));
    let task = cluster.task(plan).await.expect("task");
    task.wait_event(Event::Offered, LONG).await.expect("offered");
    for (number, (name, title)) in [
        ("envoy", "Envoy is alive and does not answer (limit 3 s here)"),
        ("consul", "The agent is alive and does not answer (limit 3 s here)"),
    ]
    .into_iter()
    .enumerate()
    {
        let stopped = task.child(name).expect("child").pid;
        let mut fault = Witness::of(Kind::Process, title);
        signal(stopped, Signal::SIGSTOP);
        let began = tokio::time::Instant::now();
        let timeline = loop {
            let timeline = task.timeline().await.expect("timeline");
            let restarted = timeline.events.iter().filter(|r| r.event == Event::ChildRestarted);
            if restarted.count() > number {
                break timeline;
            }
            assert!(began.elapsed() < LONG, "{name}: {}", task.last_lines(40));
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        fault.told("timeline: `killed by us: it was alive, but had not answered for N s`");
        let words: Vec<_> = timeline.events.iter().filter_map(|r| r.cause.as_deref()).collect();
        let killed = format!("{name}: killed by us: it was alive, but had not answered for ");
        assert!(words.iter().any(|words| words.starts_with(&killed)), "{words:#?}");
        assert_ne!(task.child(name).expect("a new child").pid, stopped);
        until_ready(&task).await;
        until_offered(&cluster, &task).await;
        fault.mended("killed after `restart.unresponsiveAfter`, and started again");
    }
    // The one that answers was left alone.
    let timeline = task.timeline().await.expect("timeline");
    let exits = timeline.events.iter().filter(|r| r.event == Event::ChildExited).count();
    assert_eq!(exits, 2, "{timeline:#?}");
    task.ecs.stop();
    let (result, _) = task.wait_stopped(LONG).await.expect("stopped");
    assert_eq!(result.container("taskmesh").expect("taskmesh").exit_code, Some(0));
}

#[tokio::test]
async fn children_have_their_oom_scores_and_all_the_files_that_there_are() {
    let Some(cluster) = cluster().await else { return };
    let task =
        cluster.task(TaskPlan::new("api-1", "api", wrapped("api", &[]))).await.expect("task");
    task.wait_event(Event::Ready, LONG).await.expect("ready");
    // The smaller ones outlive the larger: the agent goes first, then Envoy, we last.
    for (name, more) in [("taskmesh", 0), ("envoy", 200), ("consul", 500)] {
        let process = task.child(name).expect("process");
        let read = |file: &str| {
            std::fs::read_to_string(format!("/proc/{}/{file}", process.pid)).expect("proc")
        };
        let ours: i32 = read("oom_score_adj").trim().parse().expect("score");
        let expected = if more == 0 { own_oom_score() } else { more };
        assert_eq!(ours, expected, "{name}");
        let limits = read("limits");
        let files: Vec<_> = limits
            .lines()
            .find_map(|line| line.strip_prefix("Max open files"))
            .expect("limit")
            .split_whitespace()
            .collect();
        assert_eq!(files[0], files[1], "{name}: soft and hard");
    }
}

/// What a process has that nobody gave one.
fn own_oom_score() -> i32 {
    let text = std::fs::read_to_string("/proc/self/oom_score_adj").expect("proc");
    text.trim().parse().expect("score")
}

pub(crate) fn kill_child(task: &testbed::cluster::MeshTask, name: &str) {
    let child = task.child(name).unwrap_or_else(|| panic!("no {name}"));
    sigkill(child.pid);
}

fn sigkill(pid: i32) {
    signal(pid, Signal::SIGKILL);
}

fn signal(pid: i32, signal: Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).expect("kill");
}
