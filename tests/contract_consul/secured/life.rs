//! A task's whole life: join, register, sync, come back, leave.

use super::view::{View, statuses};
use super::{PATIENCE, SERVICE, Steps, cluster, plan, until};
use crate::backend::Backend;
use serde_json::{Value, json};
use std::time::Duration;
use taskmesh::consul::node_id;
use taskmesh::timeline::Event;
use testbed::seen::{Seen, assert_started, assert_stopped};
use tokio::time::Instant;

/// What taskmesh promises: a lost registration is back by then.
const REPAIRED: Duration = Duration::from_secs(10);

pub(crate) async fn life(backend: Backend) {
    let mut steps = Steps::new(backend, "life");
    let Some(cluster) = cluster(backend).await else { return };
    steps.done("cluster", cluster.backend().name());
    let dir = tempfile::tempdir().expect("dir");
    let task = cluster.task(plan(&cluster, "life", SERVICE, dir.path())).await.expect("task");
    let id = task.ecs.id().to_owned();
    let node = format!("{SERVICE}-{id}");
    let view = View { cluster: &cluster, task: &task, node: node.clone() };

    task.wait_event(Event::AgentReady, PATIENCE).await.expect("agent ready");
    joined(&view).await;
    steps.done("join", format!("{node} is a member, of all that was asked for"));

    task.wait_event(Event::Registered, PATIENCE).await.expect("registered");
    registered(&view).await;
    steps.done("register", "service, proxy and 3 checks in the catalog");

    task.wait_event(Event::AppStarted, PATIENCE).await.expect("app started");
    view.until_app_is("critical").await;
    steps.done("sync: not yet healthy", "critical");
    std::fs::write(dir.path().join("healthy"), "").expect("file");
    view.until_app_is("passing").await;
    task.wait_event(Event::Offered, PATIENCE).await.expect("offered");
    view.until_all_pass().await;
    steps.done("sync: HEALTHY", "passing, and offered");
    std::fs::remove_file(dir.path().join("healthy")).expect("file");
    view.until_app_is("critical").await;
    steps.done("sync: UNHEALTHY", "critical");
    std::fs::write(dir.path().join("healthy"), "").expect("file");
    view.until_app_is("passing").await;
    steps.done("sync: HEALTHY again", "passing");

    // An old agent was started twice: the first time with keys that it did not know.
    let starts = view.places(Event::ChildRestarted).await.len();
    view.lose_agent(|| {}).await;
    view.until_all_pass().await;
    assert_eq!(view.nodes().await, view.own_node());
    steps.done("agent killed", "registered and passing, the same node");
    let data = dir.path().join("consul-data");
    view.lose_agent(|| std::fs::remove_dir_all(&data).expect("data folder")).await;
    view.until_all_pass().await;
    // Else the repair that is still on its way would be the next one's too.
    let repaired = async || {
        let restarted = view.places(Event::ChildRestarted).await;
        let repaired = view.places(Event::RegistrationRepaired).await;
        restarted.len() == starts + 2 && repaired.last() > restarted.last()
    };
    until("repaired", &task, repaired, |repaired| repaired.then_some(())).await;
    assert_eq!(view.nodes().await, view.own_node());
    steps.done("agent's data lost", "registered and passing, the same node");

    for lost in [format!("{SERVICE}-{id}"), format!("{SERVICE}-{id}-sidecar-proxy")] {
        let repairs = view.places(Event::RegistrationRepaired).await.len();
        steps.began = Instant::now();
        task.agent_put(&format!("/v1/agent/service/deregister/{lost}")).await.expect("deregister");
        assert!(view.agent("/v1/agent/services").await.get(&lost).is_none(), "{lost} is gone");
        let last = view.until_all_pass().await;
        let took = steps.done("deregistered by hand", format!("{lost} is back; last: {last}"));
        assert!(took < REPAIRED, "{took:?}, at the end for {last}");
        view.until_repaired(repairs).await;
    }

    task.ecs.stop();
    let (result, timeline) = task.wait_stopped(PATIENCE).await.expect("stopped");
    let seen = Seen(timeline);
    assert_started(&seen);
    assert_stopped(&seen);
    seen.cause(Event::PeersUpdated, "confirmed");
    assert_eq!(result.container("taskmesh").expect("taskmesh").exit_code, Some(0));
    let nodes = async || view.nodes().await;
    until("gone", &task, nodes, |nodes| nodes.is_empty().then_some(())).await;
    steps.done("leave", "exit code 0, the node is gone from the catalog");
    for line in seen.lines() {
        println!("    {line}");
    }
}

/// The agent is a member, with all that the cluster asks for.
async fn joined(view: &View<'_>) {
    let &View { cluster, task, ref node } = view;
    let alive = |members: &Value| {
        let mut members = members.as_array()?.iter();
        members.find(|member| member["Name"] == node.as_str() && member["Status"] == 1).map(|_| ())
    };
    until("a member", task, async || view.server("/v1/agent/members").await, alive).await;
    // Without a token nobody may do anything.
    let url = format!("http://127.0.0.1:{}/v1/agent/self", task.ports.http);
    let anonymous = testbed::cluster::get_until(task.ecs.host(), &url, Duration::ZERO).await;
    assert!(anonymous.is_err_and(|e| format!("{e:#}").contains("403")));
    if cluster.security().ca.is_none() {
        return;
    }
    let own = view.agent("/v1/agent/self").await;
    assert_eq!(own["Config"]["NodeID"], node_id(task.ecs.id()));
    assert_eq!(own["DebugConfig"]["AutoEncryptTLS"], true, "{own:#}");
    // RPC works, and the server takes none without TLS.
    until(
        "joined",
        task,
        async || view.agent("/v1/status/leader").await,
        |leader| leader.as_str().filter(|leader| !leader.is_empty()).map(|_| ()),
    )
    .await;
    let server = view.server("/v1/agent/self").await;
    let debug = &server["DebugConfig"];
    let verifies = [&debug["VerifyIncomingRPC"], &debug["TLS"]["InternalRPC"]["VerifyIncoming"]];
    assert!(verifies.iter().any(|verify| **verify == true), "{debug:#}");
    // Every member holds the key, so nobody gossips in clear; one that is just coming or going does not answer.
    let key = cluster.security().gossip_key.as_deref().expect("gossip key");
    let held_by_all = |rings: &Value| {
        let lan = rings.as_array()?.iter().find(|ring| ring["WAN"] != true)?;
        let nodes = lan["NumNodes"].as_u64().filter(|nodes| *nodes >= 2)?;
        (lan["Keys"] == json!({ key: nodes })).then_some(())
    };
    let rings = async || cluster.server_get("/v1/operator/keyring").await.unwrap_or_default();
    until("held by all", task, rings, held_by_all).await;
}

/// Service and proxy are in the servers' catalog, with what 0.4.3's users look for.
async fn registered(view: &View<'_>) {
    let &View { task, ref node, .. } = view;
    let id = task.ecs.id();
    let (service_id, proxy_id) =
        (format!("{SERVICE}-{id}"), format!("{SERVICE}-{id}-sidecar-proxy"));
    for (name, service, kind, port) in [
        (SERVICE.to_owned(), &service_id, "", task.ports.app),
        (format!("{SERVICE}-sidecar-proxy"), &proxy_id, "connect-proxy", task.ports.public),
    ] {
        let path = format!("/v1/catalog/service/{name}");
        let ours = |found: &Value| {
            found.as_array()?.iter().find(|entry| entry["ServiceID"] == service.as_str()).cloned()
        };
        let entry = until("in the catalog", task, async || view.server(&path).await, ours).await;
        assert_eq!(entry["Node"], node.as_str());
        assert_eq!(entry["Address"], task.ecs.host().ip().to_string());
        assert_eq!(entry["ServicePort"], port);
        assert_eq!(entry["ServiceKind"], kind);
        let meta = &entry["ServiceMeta"];
        assert_eq!(
            [&meta["task-id"], &meta["task-arn"], &meta["source"], &meta["ecs-task-definition"]],
            [id, &task.ecs.arn(), "consul-ecs", &format!("{SERVICE}:1")],
            "{entry:#}"
        );
        if kind == "connect-proxy" {
            assert_eq!(entry["ServiceProxy"]["DestinationServiceID"], service_id);
            assert_eq!(entry["ServiceProxy"]["DestinationServiceName"], SERVICE);
        }
    }
    let mut expected = [
        format!("{service_id}-app-consul-ecs"),
        format!("{proxy_id}-listener"),
        format!("{proxy_id}-alias"),
    ];
    expected.sort();
    let ids = |checks: &Value| {
        let found = statuses(task, checks).into_iter().map(|(id, _)| id);
        found.eq(expected.iter().cloned()).then_some(())
    };
    until("with its checks", task, async || view.checks_at_server().await, ids).await;
}
