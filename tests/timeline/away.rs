//! Servers that hang, refuse or have no name: at the start they are named and waited for, later traffic goes on without.

use crate::faults::kill_child;
use crate::support::{
    LONG, call, caller, cluster, code, problem, serving, stopped, until, until_counted, until_held,
    until_offered, until_ready, within,
};
use nix::sys::signal::Signal;
use serde_json::json;
use taskmesh::timeline::Event::*;
use testbed::cluster::{Cluster, MeshTask, TaskPlan};
use testbed::definitions::wrapped;
use testbed::faults::{Kind, Witness};
use testbed::seen::Seen;

fn plan(name: &str) -> TaskPlan {
    TaskPlan::new(name, "api", wrapped("api", &[]))
        .config(json!({ "restart": { "backoff": { "min": "100ms", "max": "1s" } } }))
}

/// Ready, and nothing was restarted or stopped for it.
async fn ready_after_the_wait(cluster: &Cluster, task: &MeshTask, fault: Witness) {
    task.wait_event(Ready, LONG).await.expect("ready");
    fault.mended("the agent joins by itself (`consul.retryInterval`), and the start goes on");
    task.wait_event(Offered, LONG).await.expect("offered");
    let seen = Seen(task.timeline().await.expect("timeline"));
    for never in [ChildExited, StopNoticed] {
        seen.has_no(never);
    }
    task.ecs.stop();
    let (result, _) = stopped(task).await;
    assert_eq!(code(&result, "taskmesh"), Some(0));
    assert_eq!(cluster.offered("api").await.expect("server"), []);
}

#[tokio::test]
async fn servers_that_hang_or_refuse_at_the_start_are_named_and_waited_for() {
    let Some(mut cluster) = cluster().await else { return };
    let mut fault = Witness::of(Kind::Servers, "The servers hang at the start");
    assert!(cluster.server().signal(Signal::SIGSTOP));
    let task = cluster.task(plan("api-1")).await.expect("task");
    until_held(&task, "consul servers", "no server answers yet").await;
    fault.told("`/ready`: `consul servers`, `no server answers yet`");
    assert!(cluster.server().signal(Signal::SIGCONT));
    fault.lifted();
    ready_after_the_wait(&cluster, &task, fault).await;

    cluster.kill_server().await;
    let mut fault = Witness::of(Kind::Servers, "The servers refuse connections at the start");
    let task = cluster.task(plan("api-2")).await.expect("task");
    let why = until_held(&task, "consul servers", "no server answers yet; it says: ").await;
    let told = why.contains("Failed to join") && why.to_lowercase().contains("connection refused");
    assert!(told, "{why}");
    fault.told("`/ready`: the agent's own words, `Failed to join ..: connection refused`");
    cluster.restart_server().await.expect("server");
    fault.lifted();
    ready_after_the_wait(&cluster, &task, fault).await;
}

#[tokio::test]
async fn while_servers_are_gone_traffic_flows_children_come_back_and_it_is_said_once() {
    let Some(mut cluster) = cluster().await else { return };
    let (task, web) = tokio::join!(serving(&cluster, plan("api-1")), caller(&cluster));
    call(&web).await;
    let mut fault = Witness::of(Kind::Servers, "The servers are gone, and the children die");
    cluster.kill_server().await;
    let said = until("named", &task, async || problem(&task, "consul servers").await).await;
    assert!(said["why"].as_str().expect("why").contains("no server answers"), "{said:#}");
    assert!(said["forSeconds"].is_number(), "{said:#}");
    fault.told("`/v1/status`: `consul servers: no server answers`; `/ready` stays 200");
    assert_eq!(task.admin("/ready").await.expect("ready")["ready"], true);
    call(&web).await;
    kill_child(&task, "envoy");
    until_counted(&task, ChildRestarted, 1).await;
    until_ready(&task).await;
    // An agent that starts without servers is held for them, in its own words, and Envoy serves on.
    kill_child(&task, "consul");
    until_counted(&task, ChildRestarted, 2).await;
    until_held(&task, "consul servers", "it says: Failed to join").await;
    let url = format!("http://127.0.0.1:{}/ready", task.ports.envoy_admin);
    let live = task.ecs.host().spawn(move || async move {
        testbed::cluster::client().get(url).send().await.map(|answer| answer.status())
    });
    assert_eq!(live.await.expect("host").expect("Envoy answers"), 200);
    let warned = task.last_lines(usize::MAX).matches("peers are not told of changes").count();
    assert_eq!(warned, 1, "said once: {}", task.last_lines(40));

    // Over, and whole again.
    cluster.restart_server().await.expect("server");
    fault.lifted();
    until_ready(&task).await;
    until("over", &task, async || problem(&task, "consul servers").await.is_none().then_some(()))
        .await;
    until_offered(&cluster, &task).await;
    fault.mended("children come back, the agent joins and is told of us; traffic flows");
    call(&web).await;
    let seen = Seen(task.timeline().await.expect("timeline"));
    seen.has_no(StopNoticed);
    task.ecs.stop();
    let (result, _) = stopped(&task).await;
    assert_eq!(code(&result, "taskmesh"), Some(0));
}

#[tokio::test]
async fn a_name_that_cannot_be_resolved_is_named_and_waited_for() {
    let Some(cluster) = cluster().await else { return };
    if let Some(reason) = cluster.lan().loopback_reason() {
        return testbed::skip::skip(&format!("no namespaces: {reason}"));
    }
    // The container's own: its hosts can be added to, and its name server refuses.
    let own = "cp /etc/hosts {{dir}}/hosts && mount --bind {{dir}}/hosts /etc/hosts && \
               echo nameserver 127.0.0.1 > {{dir}}/resolv.conf && \
               mount --bind {{dir}}/resolv.conf /etc/resolv.conf";
    let mut definition = wrapped("api", &[]);
    let helper = &mut definition["containerDefinitions"][0];
    helper["entryPoint"] = json!(["/bin/sh", "-c"]);
    helper["command"] = json!([format!("{own} && exec {{{{taskmesh}}}} run")]);
    let plan = TaskPlan::new("api-1", "api", definition)
        .config(json!({ "consul": { "retryJoin": ["servers.example.internal"] } }));
    let mut fault = Witness::of(Kind::Servers, "The servers' name cannot be resolved at the start");
    let task = cluster.task(plan).await.expect("task");
    let why = until_held(&task, "consul servers", "servers.example.internal").await;
    assert!(why.contains("it says: Failed to resolve servers.example.internal"), "{why}");
    fault.told("`/ready`: the agent's own words, `Failed to resolve ..`");
    let ip = cluster.lan().hub().ip();
    within(&task, &format!("echo {ip} servers.example.internal >> {{{{dir}}}}/hosts")).await;
    fault.lifted();
    ready_after_the_wait(&cluster, &task, fault).await;
}
