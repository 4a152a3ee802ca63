//! What somebody takes from the agent is there again before long, with the right status, and nothing else is written.

use crate::faults::kill_child;
use crate::support::{LONG, Seen, cluster};
use serde_json::{Value, json};
use std::time::Duration;
use taskmesh::timeline::Event;
use testbed::cluster::{Backend, Cluster, MeshTask, TaskPlan};
use testbed::definitions::wrapped;
use testbed::faults::{Kind, Witness};
use tokio::time::Instant;

/// Within which a lost instance is back.
const BACK: Duration = Duration::from_secs(10);
/// Some looks of the watchdog.
const QUIET: Duration = Duration::from_secs(10);

async fn repairs(task: &MeshTask) -> usize {
    let timeline = task.timeline().await.expect("timeline");
    timeline.events.iter().filter(|r| r.event == Event::RegistrationRepaired).count()
}

/// Waits for one more repair and for what `whole` wants, and fails past [`BACK`].
async fn back<F: Future<Output = bool>>(
    what: &str,
    task: &MeshTask,
    before: usize,
    whole: impl Fn() -> F,
) {
    let lost = Instant::now();
    loop {
        let now = repairs(task).await;
        assert!(now <= before + 1, "{what}: repaired {} times", now - before);
        if now == before + 1 && whole().await {
            break;
        }
        assert!(lost.elapsed() < BACK, "{what}: not back: {}", task.last_lines(40));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A loss at the agent, as the table has it.
fn loss(what: &str) -> Witness {
    Witness::of(Kind::Registration, what)
}

/// It is mended, as all of them are.
fn repaired(mut loss: Witness) {
    loss.shows("timeline and log: `registration-repaired`, with what was lost");
    loss.mended("registered again as it was; written once");
}

async fn offered(cluster: &Cluster) -> bool {
    let proxies = cluster.offered("api").await.expect("server");
    proxies.len() == 1 && proxies.iter().all(|(_, critical)| !critical)
}

/// Everything that the servers keep about the service, its proxy and their checks, with the index of its last change.
async fn indexes(cluster: &Cluster) -> Vec<(String, u64)> {
    let mut all = Vec::new();
    for name in ["api", "api-sidecar-proxy"] {
        for (path, id) in [("catalog/service", "ServiceID"), ("health/checks", "CheckID")] {
            let list = cluster.server_get(&format!("/v1/{path}/{name}")).await.expect("server");
            for entry in list.as_array().expect("list") {
                let id = entry[id].as_str().expect("ID").to_owned();
                all.push((id, entry["ModifyIndex"].as_u64().expect("ModifyIndex")));
            }
        }
    }
    all
}

async fn quiet(cluster: &Cluster, task: &MeshTask) {
    // What was written last is on its way to the servers: a repair ends with the listener's check, taken out and put back.
    let began = Instant::now();
    let mut before = (indexes(cluster).await, repairs(task).await);
    loop {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let now = (indexes(cluster).await, repairs(task).await);
        if now == before && now.0.len() >= 4 {
            break;
        }
        assert!(began.elapsed() < LONG, "never quiet: {before:?} {now:?}");
        before = now;
    }
    tokio::time::sleep(QUIET).await;
    assert_eq!((indexes(cluster).await, repairs(task).await), before);
}

/// Somebody registers over ours.
async fn register_over(task: &MeshTask, service: &str, change: impl FnOnce(&mut Value)) {
    let view = task.agent_get(&format!("/v1/agent/service/{service}")).await.expect("service");
    let mut body = json!({
        "ID": view["ID"], "Name": view["Service"], "Kind": view["Kind"], "Port": view["Port"],
        "Tags": view["Tags"], "Meta": view["Meta"], "Weights": view["Weights"],
    });
    if let Some(proxy) = view.get("Proxy") {
        body["Proxy"] = json!({
            "DestinationServiceName": proxy["DestinationServiceName"],
            "DestinationServiceID": proxy["DestinationServiceID"],
        });
    }
    change(&mut body);
    task.agent_put_json("/v1/agent/service/register", body).await.expect("registration");
}

#[tokio::test]
async fn each_loss_at_a_living_agent_is_mended_and_the_instance_offered_again() {
    let Some(cluster) = cluster().await else { return };
    let mut definition = wrapped("api", &[]);
    definition["containerDefinitions"][1]["healthCheck"] = json!({
        "command": ["CMD", "/usr/bin/test", "-e", "/"], "interval": 5, "timeout": 2, "retries": 2
    });
    let plan = TaskPlan::new("api-1", "api", definition)
        .config(json!({
            "service": { "tags": ["blue"], "meta": { "team": "mesh" } },
            "healthSync": { "containers": ["app"] }
        }))
        .platform(|spec| spec.time_scale = 20.0);
    let task = cluster.task(plan).await.expect("task");
    task.wait_event(Event::Offered, LONG).await.expect("offered");
    let id = format!("api-{}", task.ecs.id());
    let proxy = format!("{id}-sidecar-proxy");
    quiet(&cluster, &task).await;
    for (what, call) in [
        ("The service is deregistered by mistake", format!("service/deregister/{id}")),
        ("Its proxy is deregistered by mistake", format!("service/deregister/{proxy}")),
        ("The listener's check is deregistered", format!("check/deregister/{proxy}-listener")),
        ("The proxy's alias check is deregistered", format!("check/deregister/{proxy}-alias")),
        ("A synced check is deregistered", format!("check/deregister/{id}-app-consul-ecs")),
    ] {
        let before = repairs(&task).await;
        let lost = loss(what);
        task.agent_put(&format!("/v1/agent/{call}")).await.expect("agent");
        back(&call, &task, before, async || offered(&cluster).await).await;
        repaired(lost);
    }
    for (what, service, field) in [
        ("Somebody registers over the service, another port", &id, "Port"),
        ("Somebody registers over the service, other tags", &id, "Tags"),
        ("Somebody registers over the proxy", &proxy, "Meta"),
    ] {
        let before = repairs(&task).await;
        let path = format!("/v1/agent/service/{service}");
        let ours = task.agent_get(&path).await.expect("service");
        register_over(&task, service, |body| {
            body[field] = match field {
                "Port" => json!(1),
                "Tags" => json!(["green"]),
                _ => json!({}),
            };
        })
        .await;
        let lost = loss(what);
        back(what, &task, before, async || {
            let now = task.agent_get(&path).await.expect("service");
            now[field] == ours[field]
                && now["Proxy"]["Config"] == ours["Proxy"]["Config"]
                && offered(&cluster).await
        })
        .await;
        repaired(lost);
    }
    quiet(&cluster, &task).await;

    // From the stop on nothing of it comes back.
    let before = repairs(&task).await;
    task.ecs.stop();
    task.wait_event(Event::SyncStopped, LONG).await.expect("sync stopped");
    // It may be past that already.
    let _gone = task.agent_put(&format!("/v1/agent/service/deregister/{id}")).await;
    let (result, timeline) = task.wait_stopped(LONG).await.expect("stopped");
    let after = timeline.events.iter().filter(|r| r.event == Event::RegistrationRepaired).count();
    assert_eq!(after, before);
    assert_eq!(result.container("taskmesh").expect("taskmesh").exit_code, Some(0));
}

#[tokio::test]
async fn native_checks_that_the_agent_named_are_missed_too() {
    let Some(cluster) = cluster().await else { return };
    let check = |port: u16| json!({ "tcp": format!("127.0.0.1:{port}"), "interval": "1s" });
    // The app's own port, known in a namespace of its own only; else the test is about nothing.
    let plan = TaskPlan::new("api-1", "api", wrapped("api", &[]))
        .config(json!({ "service": { "checks": [check(9090), { "checkId": "mine", "ttl": "1h", "status": "passing" }] } }));
    let task = cluster.task(plan).await.expect("task");
    if task.ports.app != 9090 {
        return testbed::skip::skip("hosts share their ports here");
    }
    task.wait_event(Event::Offered, LONG).await.expect("offered");
    let id = format!("api-{}", task.ecs.id());
    for (what, check) in [
        ("A native check is deregistered", "mine".to_owned()),
        ("A native check that the agent named is deregistered", format!("service:{id}:1")),
    ] {
        let before = repairs(&task).await;
        task.agent_put(&format!("/v1/agent/check/deregister/{check}")).await.expect("agent");
        let lost = loss(what);
        back(&format!("check/deregister/{check}"), &task, before, async || {
            let checks = task.agent_get("/v1/agent/checks").await.expect("checks");
            checks.get(&check).is_some_and(|check| check["Status"] == "passing")
                && offered(&cluster).await
        })
        .await;
        repaired(lost);
    }
}

#[tokio::test]
async fn an_agent_that_is_killed_comes_back_with_its_data_and_without() {
    let Some(cluster) = cluster().await else { return };
    let data = tempfile::tempdir().expect("dir");
    let dir = data.path().join("consul");
    let plan = TaskPlan::new("api-1", "api", wrapped("api", &[]))
        .config(json!({ "consul": { "dataDir": dir } }));
    let task = cluster.task(plan).await.expect("task");
    task.wait_event(Event::Offered, LONG).await.expect("offered");
    for (what, wiped) in [
        ("The agent is killed and has its data", false),
        ("The agent is killed and its data is gone", true),
    ] {
        let before = repairs(&task).await;
        let lost = loss(what);
        if wiped {
            std::fs::rename(&dir, data.path().join("gone")).expect("data folder");
        }
        kill_child(&task, "consul");
        back(what, &task, before, async || offered(&cluster).await).await;
        repaired(lost);
    }
    let seen = Seen(task.timeline().await.expect("timeline"));
    seen.cause(Event::RegistrationRepaired, "agent restarted");
    task.ecs.stop();
    let (result, _) = task.wait_stopped(LONG).await.expect("stopped");
    assert_eq!(result.container("taskmesh").expect("taskmesh").exit_code, Some(0));
}

/// Consul 1.8.7 speaks an xDS that today's Envoy has dropped, so the task is never ready; registered it is all the same.
#[tokio::test]
async fn on_consul_1_8_7_losses_are_mended_and_quiet_is_quiet() {
    let consul = match testbed::parts::consul187() {
        Ok(consul) => consul,
        Err(missing) => return testbed::skip::skip(&missing.to_string()),
    };
    if let Err(missing) = testbed::parts::envoy() {
        return testbed::skip::skip(&missing.to_string());
    }
    let cluster = Cluster::start(Backend::Consul(consul)).await.expect("cluster");
    let plan = TaskPlan::new("api-1", "api", wrapped("api", &[])).config(json!({
        "service": { "tags": ["blue"], "weights": { "passing": 3, "warning": 1 } },
        "proxy": {
            "upstreams": [{ "destinationName": "db", "localBindPort": 5432 }],
            "expose": { "paths": [{ "listenerPort": 21500, "path": "/x", "localPathPort": 9090 }] }
        },
        "lifecycle": { "startTimeout": "10m" }
    }));
    let task = cluster.task(plan).await.expect("task");
    task.wait_event(Event::Registered, LONG).await.expect("registered");
    let began = Instant::now();
    while indexes(&cluster).await.len() < 4 {
        assert!(began.elapsed() < LONG, "{}", task.last_lines(30));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // The held instance's checks are critical and stay so.
    tokio::time::sleep(Duration::from_secs(3)).await;
    quiet(&cluster, &task).await;
    let id = format!("api-{}", task.ecs.id());
    for call in [
        format!("service/deregister/{id}"),
        format!("service/deregister/{id}-sidecar-proxy"),
        format!("check/deregister/{id}-sidecar-proxy-alias"),
    ] {
        let before = repairs(&task).await;
        task.agent_put(&format!("/v1/agent/{call}")).await.expect("agent");
        back(&format!("1.8.7: {call}"), &task, before, async || {
            // Held as it was: two services, and critical.
            let proxies = cluster.offered("api").await.expect("server");
            proxies.len() == 1 && proxies.iter().all(|(_, critical)| *critical)
        })
        .await;
    }
    let before = repairs(&task).await;
    register_over(&task, &id, |body| body["Port"] = json!(1)).await;
    back("1.8.7: a foreign registration", &task, before, async || {
        let path = format!("/v1/agent/service/{id}");
        task.agent_get(&path).await.expect("service")["Port"] == task.ports.app
    })
    .await;
}
