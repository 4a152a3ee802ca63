//! `healthSync.containers: "auto"` by the task definition, as the ECS API of moto tells it.

use crate::support::{LONG, cluster};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use taskmesh::timeline::Event;
use testbed::cluster::{Cluster, MeshTask, TaskPlan};
use testbed::definitions::wrapped;
use testbed::faults::{Kind, Witness};
use testbed::moto::Moto;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Duration, Instant};

const REGION: &str = "us-east-1";
/// A port of the hub that nobody else uses.
const DOOR: u16 = 5001;

/// A mesh in namespaces, where a task's role has its credentials at the address that ECS gives them; `None` after
/// having said why not.
async fn cluster_with_roles() -> Option<Cluster> {
    if let Err(missing) = testbed::parts::moto_server() {
        testbed::skip::skip(&missing.to_string());
        return None;
    }
    let cluster = cluster().await?;
    if let Some(why) = cluster.lan().loopback_reason() {
        testbed::skip::skip(&format!("no address of its own for the role's credentials: {why}"));
        return None;
    }
    Some(cluster)
}

/// Lets every connection to `door` through to `target`, until it is dropped.
async fn open_door(door: SocketAddr, target: String) {
    let listener = TcpListener::bind(door).await.expect("door");
    loop {
        let (mut outside, _) = listener.accept().await.expect("connection");
        let mut inside = TcpStream::connect(&target).await.expect("target");
        // One connection after the other will do; that either side closes it is its normal end.
        let _ended = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
    }
}

/// We ourselves and the app are essential and have a health check; of the others each lacks one of the two.
fn definition() -> Value {
    let check =
        json!({ "command": ["CMD", "/bin/true"], "interval": 5, "timeout": 60, "retries": 2 });
    let idle = |name: &str, essential: bool| {
        json!({
            "name": name, "image": "busybox", "essential": essential, "memory": 32,
            "command": ["/bin/sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"],
        })
    };
    let mut definition = wrapped("api", &[]);
    let containers = definition["containerDefinitions"].as_array_mut().expect("containers");
    containers[0]["healthCheck"] = json!({
        "command": ["CMD", "{{taskmesh}}", "healthcheck"], "interval": 5, "timeout": 60, "retries": 10
    });
    containers[1]["healthCheck"] = check.clone();
    containers.extend([idle("side", false), idle("plain", true)]);
    containers[2]["healthCheck"] = check;
    for container in containers {
        container["memory"] = json!(32);
    }
    definition
}

async fn task(cluster: &Cluster, env: &[(&str, &str)], role: bool) -> MeshTask {
    task_of(cluster, definition(), json!({}), env, role).await
}

async fn task_of(
    cluster: &Cluster,
    definition: Value,
    config: Value,
    env: &[(&str, &str)],
    role: bool,
) -> MeshTask {
    let env: Vec<_> = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let url = Moto::url_on(cluster.lan().hub());
    let plan = TaskPlan::new("api-1", "api", definition).config(config).platform(move |spec| {
        spec.time_scale = 20.0;
        // In a service ECS would stop the task as soon as it is unhealthy, and here a busy machine makes it so.
        spec.service = None;
        spec.region = REGION.to_owned();
        spec.task_role = role;
        spec.env.insert("AWS_ENDPOINT_URL".to_owned(), url);
        spec.env.extend(env);
    });
    cluster.task(plan).await.expect("task")
}

/// Containers with a TTL check, in the servers' catalog.
async fn checked(cluster: &Cluster, task: &MeshTask) -> BTreeSet<String> {
    let checks = cluster.server_get("/v1/health/checks/api").await.expect("server");
    let prefix = format!("api-{}-", task.ecs.id());
    let ids = checks.as_array().expect("array").iter().filter_map(|c| c["CheckID"].as_str());
    ids.filter_map(|id| id.strip_prefix(&prefix)?.strip_suffix("-consul-ecs").map(str::to_owned))
        .collect()
}

async fn wait_checked(cluster: &Cluster, task: &MeshTask, wanted: &[&str]) {
    let wanted: BTreeSet<_> = wanted.iter().map(|&name| name.to_owned()).collect();
    let began = Instant::now();
    loop {
        let checked = checked(cluster, task).await;
        if checked == wanted {
            return;
        }
        let status = task.admin("/v1/status").await.unwrap_or_default();
        let lines = task.last_lines(40);
        assert!(began.elapsed() < LONG, "{checked:?}, not {wanted:?}: {status}\n{lines}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn chosen(task: &MeshTask) -> Value {
    task.admin("/v1/status").await.expect("status")["healthSync"].clone()
}

/// What the supervisor said about the definition.
fn said(task: &MeshTask) -> String {
    let lines = task.ecs.output("taskmesh").into_iter().map(|line| line.text);
    lines.filter(|line| line.contains("task definition")).collect::<Vec<_>>().join("\n")
}

async fn stop(task: &MeshTask) {
    task.ecs.stop();
    let (result, _) = task.wait_stopped(LONG).await.expect("stopped");
    assert_eq!(result.container("taskmesh").expect("taskmesh").exit_code, Some(0));
}

#[tokio::test]
async fn only_essential_containers_with_a_health_check_get_a_check() {
    let Some(cluster) = cluster_with_roles().await else { return };
    let moto = Moto::start(cluster.lan().hub()).await.expect("moto");
    moto.register_task_definition(REGION, &definition()).await.expect("definition");
    let task = task(&cluster, &[], true).await;
    task.wait_event(Event::Offered, LONG).await.expect("offered");
    wait_checked(&cluster, &task, &["app"]).await;
    let chosen = chosen(&task).await;
    assert_eq!(chosen, json!({ "containers": ["app"], "chosenBy": "task definition" }));
    assert!(said(&task).contains("read the task definition"), "{}", said(&task));
    stop(&task).await;
}

#[tokio::test]
async fn without_the_permission_it_falls_back_and_says_what_to_allow() {
    let Some(cluster) = cluster_with_roles().await else { return };
    let moto = Moto::start(cluster.lan().hub()).await.expect("moto");
    moto.register_task_definition(REGION, &definition()).await.expect("definition");
    let (id, secret) = moto.user_without_rights("task").await.expect("user");
    moto.enforce_rights().await.expect("rights");
    let env = [("AWS_ACCESS_KEY_ID", id.as_str()), ("AWS_SECRET_ACCESS_KEY", &secret)];
    let task = task(&cluster, &env, false).await;
    task.wait_event(Event::Offered, LONG).await.expect("offered");
    wait_checked(&cluster, &task, &["app", "side"]).await;
    let chosen = chosen(&task).await;
    assert_eq!(chosen["chosenBy"], "task metadata", "{chosen}");
    let why = chosen["why"].as_str().expect("why");
    assert!(why.contains("not authorized to perform: ecs:DescribeTaskDefinition"), "{why}");
    let said = said(&task);
    for words in ["ecs:DescribeTaskDefinition", "healthSync.containers", "not authorized"] {
        assert!(said.contains(words), "no {words} in {said}");
    }
    let all: Vec<_> = task.ecs.output("taskmesh").into_iter().map(|line| line.text).collect();
    assert!(!all.join("\n").contains(&secret), "the secret is in the log");
    let mut fault = Witness::of(Kind::Ecs, "The task role may not read the task definition");
    fault.shows("log and `taskmesh status`: what to allow, with AWS's own words");
    fault.ended("every container that reports health is synced");
    stop(&task).await;
}

#[tokio::test]
async fn without_a_role_nobody_is_asked_and_nothing_waits() {
    let Some(cluster) = cluster_with_roles().await else { return };
    let task = task(&cluster, &[], false).await;
    task.wait_event(Event::Offered, LONG).await.expect("offered");
    wait_checked(&cluster, &task, &["app", "side"]).await;
    let chosen = chosen(&task).await;
    assert!(chosen["why"].as_str().is_some_and(|why| why.contains("no task role")), "{chosen}");
    stop(&task).await;
}

#[tokio::test]
async fn an_answer_that_comes_late_corrects_the_checks() {
    let Some(cluster) = cluster_with_roles().await else { return };
    // The API knows the answer, but nobody listens yet where the task asks.
    let hub = cluster.lan().hub();
    let moto = Moto::start(hub).await.expect("moto");
    moto.register_task_definition(REGION, &definition()).await.expect("definition");
    let door = SocketAddr::from((hub.ip(), DOOR));
    let endpoint = format!("http://{door}");
    let task = task(&cluster, &[("AWS_ENDPOINT_URL", endpoint.as_str())], true).await;
    task.wait_event(Event::Offered, LONG).await.expect("offered");
    wait_checked(&cluster, &task, &["app", "side"]).await;
    let before = chosen(&task).await;
    assert_eq!(before["chosenBy"], "task metadata", "{before}");

    let url = moto.url().strip_prefix("http://").expect("http").to_owned();
    let mut fault = Witness::of(Kind::Ecs, "The ECS API is away at the start, and comes back");
    fault.shows("`/v1/status`: who was synced by what, and why");
    fault.lifted();
    let _open = hub.spawn(move || open_door(door, url));
    wait_checked(&cluster, &task, &["app"]).await;
    fault.mended("nothing waits for it; the late answer corrects the checks");
    assert_eq!(chosen(&task).await["chosenBy"], "task definition");
    let timeline = task.timeline().await.expect("timeline");
    // That is no loss, and nothing to repair.
    assert!(timeline.find(Event::RegistrationRepaired).is_none(), "{timeline:?}");
    stop(&task).await;
}

#[tokio::test]
async fn a_stop_timeout_of_the_definition_that_is_shorter_than_ours_counts() {
    let Some(cluster) = cluster_with_roles().await else { return };
    let mut definition = definition();
    definition["containerDefinitions"][0]["stopTimeout"] = json!(20);
    definition["containerDefinitions"][1]["stopTimeout"] = json!(6);
    let moto = Moto::start(cluster.lan().hub()).await.expect("moto");
    moto.register_task_definition(REGION, &definition).await.expect("definition");
    // The peers are given more time than the app has.
    let config = json!({ "lifecycle": {
        "drainTimeout": "2s", "propagation": { "minDelay": "9s" }
    }});
    let task = task_of(&cluster, definition, config, &[], true).await;
    task.wait_event(Event::Offered, LONG).await.expect("offered");
    let status = task.admin("/v1/status").await.expect("status");
    let problem = &status["problems"][0];
    let why = "lifecycle.stopTimeout is 30s, but ECS kills this container 20s after its TERM";
    assert_eq!(problem["what"], "task definition", "{status}");
    assert!(problem["why"].as_str().is_some_and(|words| words.starts_with(why)), "{status}");
    assert!(said(&task).contains(why), "{}", said(&task));

    task.ecs.stop();
    let app = task.ecs.container("app").expect("app").wait_stopped().await;
    let lines: Vec<_> = app.output.iter().map(|line| line.text.as_str()).collect();
    let held = "holding the stop back until the peers know, 4s at most (its stopTimeout is 6s";
    assert!(lines.iter().any(|line| line.contains(held)), "{lines:#?}");
    let took = app.stop_took().expect("it was told");
    assert!(took >= Duration::from_millis(3900), "{took:?}");
    assert_eq!((app.exit_code, app.killed), (Some(0), false), "{took:?} {lines:#?}");
    let (result, timeline) = task.wait_stopped(LONG).await.expect("stopped");
    let ours = result.container("taskmesh").expect("taskmesh");
    assert_eq!((ours.exit_code, ours.killed), (Some(0), false), "{timeline:?}");
}
