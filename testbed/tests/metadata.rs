//! The metadata endpoint answers as the ECS agent does, and badly when told so.

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::{after, get, host, json_of, obedient, shell, spec, with};
use testbed::ecs::{EcsTask, Fault, Health, Status};
use testbed::net::Host;

fn containers(task: &Value) -> Vec<&Value> {
    task["Containers"].as_array().expect("containers").iter().collect()
}

fn named<'a>(task: &'a Value, name: &str) -> Option<&'a Value> {
    containers(task).into_iter().find(|container| container["Name"] == name)
}

fn keys(object: &Value) -> Vec<&str> {
    object.as_object().expect("an object").keys().map(String::as_str).collect()
}

async fn task_of(host: &Host, task: &EcsTask, container: &str) -> Value {
    let uri = task.container(container).expect("there").metadata_uri();
    json_of(host, &format!("{uri}/task")).await
}

#[tokio::test]
async fn ec2_shows_names_pause_and_no_container_that_waits() {
    let (_lan, host) = host();
    let check = json!({"healthCheck": {"command": ["CMD", "true"], "interval": 5}});
    let spec = spec(json!([
        with(obedient("mesh"), check),
        with(obedient("app"), after("mesh", "HEALTHY")),
    ]));
    let task = EcsTask::start(&host, spec).await.expect("started");
    let (mesh, app) = (task.container("mesh").expect("mesh"), task.container("app").expect("app"));
    assert!(mesh.wait_running().await);
    let body = task_of(&host, &task, "mesh").await;
    assert_eq!(body["Cluster"], "test");
    assert_eq!(
        body["TaskARN"],
        format!("arn:aws:ecs:us-east-1:123456789012:task/test/{}", task.id())
    );
    assert_eq!((&body["Revision"], &body["LaunchType"]), (&json!("26"), &json!("EC2")));
    assert_eq!((&body["DesiredStatus"], &body["KnownStatus"]), (&json!("RUNNING"), &json!("NONE")));
    assert_eq!(body["Limits"], json!({"CPU": 0.25, "Memory": 512}));
    assert_eq!(body["FaultInjectionEnabled"], false);
    assert!(body.get("VPCID").is_some() && body.get("ClockDrift").is_none());
    assert_eq!(named(&body, "app"), None, "it waits, so it is not there");
    let pause = named(&body, "~internal~ecs~pause").expect("the pause container");
    assert_eq!(pause["Type"], "CNI_PAUSE");
    assert_eq!(pause["KnownStatus"], "RESOURCES_PROVISIONED");
    let shown = named(&body, "mesh").expect("mesh");
    assert_eq!(shown["Health"], json!({}), "unknown health has no status");
    assert_eq!((shown.get("ExitCode"), shown.get("FinishedAt")), (None, None));
    assert_eq!(shown["Limits"], json!({"CPU": 2, "Memory": 0}));
    assert_eq!(shown["Networks"][0]["IPv4Addresses"], json!([host.ip().to_string()]));
    for hidden in ["Essential", "essential", "DependsOn", "dependsOn"] {
        assert_eq!(shown.get(hidden), None);
    }

    assert!(app.wait_running().await);
    let body = task_of(&host, &task, "app").await;
    assert_eq!(body["KnownStatus"], "RUNNING");
    let app = named(&body, "app").expect("app");
    assert_eq!(app.get("Health"), None, "no healthCheck, no Health");
    let mesh = named(&body, "mesh").expect("mesh");
    assert_eq!(mesh["Health"]["status"], "HEALTHY");
    assert!(mesh["Health"].get("statusSince").is_some());
    let own = json_of(&host, &task.container("app").expect("app").metadata_uri()).await;
    assert_eq!(keys(&own), keys(app));
    assert_eq!(own["DockerId"], app["DockerId"]);
}

#[tokio::test]
async fn the_order_of_containers_on_ec2_changes() {
    let (_lan, host) = host();
    let all = json!([obedient("a"), obedient("b"), obedient("c"), obedient("d")]);
    let task = EcsTask::start(&host, spec(all)).await.expect("started");
    task.container("d").expect("d").wait_running().await;
    let mut orders = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let body = task_of(&host, &task, "a").await;
        let names = containers(&body).iter().map(|c| c["Name"].to_string()).collect::<Vec<_>>();
        assert_eq!(names.len(), 5);
        orders.insert(names);
    }
    assert!(orders.len() > 1, "20 answers in one order");
}

#[tokio::test]
async fn fargate_shows_arns_waiting_containers_and_its_lag() {
    let (_lan, host) = host();
    let check = json!({"healthCheck": {"command": ["CMD", "false"], "interval": 300}});
    let mut spec = spec(json!([
        with(obedient("mesh"), check),
        with(obedient("app"), after("mesh", "HEALTHY")),
    ]))
    .fargate();
    spec.metadata_lag = Duration::from_secs(8);
    let task = EcsTask::start(&host, spec).await.expect("started");
    let mesh = task.container("mesh").expect("mesh");
    assert!(mesh.wait_running().await);
    let body = task_of(&host, &task, "mesh").await;
    assert_eq!(body["Cluster"], "arn:aws:ecs:us-east-1:123456789012:cluster/test");
    assert_eq!((&body["LaunchType"], &body["KnownStatus"]), (&json!("FARGATE"), &json!("NONE")));
    assert_eq!(containers(&body).len(), 2, "no pause container");
    let shown = named(&body, "mesh").expect("mesh");
    assert_eq!(shown["KnownStatus"], "PULLED", "it runs, but that is not known yet");
    assert_eq!(shown.get("StartedAt"), None);
    let id = shown["DockerId"].as_str().expect("an id");
    assert!(id.starts_with(&format!("{}-", task.id())) && mesh.metadata_uri().ends_with(id));
    assert_eq!((&shown["DockerName"], &shown["Limits"]), (&json!("mesh"), &json!({"CPU": 0})));
    assert_eq!(shown["Snapshotter"], "overlayfs");
    assert_eq!(named(&body, "app").expect("app")["KnownStatus"], "PULLED");
    assert!(body.get("ClockDrift").is_some() && body.get("VPCID").is_none());

    tokio::time::sleep(Duration::from_millis(450)).await;
    let body = task_of(&host, &task, "mesh").await;
    assert_eq!(named(&body, "mesh").expect("mesh")["KnownStatus"], "RUNNING");
}

#[tokio::test]
async fn desired_status_flips_for_all_before_the_first_signal_and_known_stays() {
    let (_lan, host) = host();
    let slow =
        "trap 'echo got TERM; sleep 0.3; exit 4' TERM; echo up; while :; do sleep 60 & wait; done";
    let spec = spec(json!([
        obedient("mesh"),
        with(shell("app", slow), after("mesh", "START")),
        with(shell("migrate", "exit 0"), json!({"essential": false})),
    ]));
    let task = EcsTask::start(&host, spec).await.expect("started");
    let (mesh, app) = (task.container("mesh").expect("mesh"), task.container("app").expect("app"));
    for container in [&mesh, &app] {
        container.wait_line("up").await.expect("up");
    }
    task.container("migrate").expect("migrate").wait_stopped().await;
    let before = task_of(&host, &task, "mesh").await;
    let migrate = named(&before, "migrate").expect("migrate");
    assert_eq!((&migrate["KnownStatus"], &migrate["ExitCode"]), (&json!("STOPPED"), &json!(0)));
    assert_eq!(migrate["DesiredStatus"], "RUNNING", "it ended by itself");
    task.stop();
    app.wait_line("got TERM").await.expect("TERM");
    let during = task_of(&host, &task, "mesh").await;
    assert_eq!(during["DesiredStatus"], "STOPPED");
    assert_eq!(during["KnownStatus"], "RUNNING");
    for name in ["mesh", "app"] {
        let shown = named(&during, name).expect("there");
        assert_eq!(shown["DesiredStatus"], "STOPPED", "{name}");
        assert_eq!(shown["KnownStatus"], "RUNNING", "{name}");
    }
    let result = task.wait_stopped().await;
    assert_eq!(result.container("app").expect("app").exit_code, Some(4));
    let after = task_of(&host, &task, "mesh").await;
    assert_eq!(after["KnownStatus"], "STOPPED");
    assert_eq!(named(&after, "app").expect("app")["ExitCode"], 4);
    assert!(after.get("ExecutionStoppedAt").is_some());
}

#[tokio::test]
async fn unknown_ids_and_paths_are_404_in_the_agents_words() {
    let (_lan, host) = host();
    let task = EcsTask::start(&host, spec(json!([obedient("app")]))).await.expect("started");
    let app = task.container("app").expect("app");
    assert!(app.wait_running().await);
    let base = task.metadata().base().to_owned();
    let (status, head, body) = get(&host, &format!("{base}/v4/nobody/task")).await.expect("answer");
    assert_eq!(status, 404);
    assert!(head.contains("Content-Type: application/json"), "{head}");
    let text: String = serde_json::from_str(&body).expect("a JSON string");
    assert!(text.starts_with("V4 task metadata handler: unable to get task arn"), "{text}");
    let slash = format!("{}/task/", app.metadata_uri());
    let (status, head, body) = get(&host, &slash).await.expect("an answer");
    assert_eq!((status, body.as_str()), (404, "404 page not found\n"));
    assert!(head.contains("Content-Type: text/plain"), "{head}");
}

#[tokio::test]
async fn past_the_limit_there_is_429_and_no_json() {
    let (_lan, host) = host();
    let task = EcsTask::start(&host, spec(json!([obedient("app")]))).await.expect("started");
    let app = task.container("app").expect("app");
    assert!(app.wait_running().await);
    let mut refused = None;
    for n in 0..2000 {
        let (status, head, body) = get(&host, &app.metadata_uri()).await.expect("an answer");
        if status == 429 {
            assert_eq!(body, "You have reached maximum request limit.");
            assert!(head.contains("X-Rate-Limit-Limit: 40.00"), "{head}");
            refused = Some(n);
            break;
        }
    }
    assert!(refused.expect("2000 requests passed") >= 60);
    let other = format!("{}/task", app.metadata_uri());
    assert_eq!(get(&host, &other).await.expect("an answer").0, 200, "another path, another bucket");
}

#[tokio::test]
async fn every_fault_can_be_had_and_ends() {
    let (_lan, host) = host();
    let task = EcsTask::start(&host, spec(json!([obedient("app")]))).await.expect("started");
    let app = task.container("app").expect("app");
    assert!(app.wait_running().await);
    let uri = format!("{}/task", app.metadata_uri());
    let metadata = task.metadata();

    for (fault, wanted) in
        [(Fault::NotFound, 404), (Fault::TooManyRequests, 429), (Fault::ServerError, 500)]
    {
        metadata.set(fault);
        assert_eq!(get(&host, &uri).await.expect("an answer").0, wanted);
    }
    metadata.set(Fault::NotJson);
    let (status, _, body) = get(&host, &uri).await.expect("an answer");
    assert!(status == 200 && serde_json::from_str::<Value>(&body).is_err());
    metadata.set(Fault::Truncated);
    get(&host, &uri).await.expect_err("cut short");
    metadata.set(Fault::Refused);
    let refused = async {
        while get(&host, &uri).await.map_err(|e| e.kind())
            != Err(std::io::ErrorKind::ConnectionRefused)
        {}
    };
    tokio::time::timeout(Duration::from_secs(5), refused).await.expect("refused");
    metadata.clear();
    let back = async { while get(&host, &uri).await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(5), back).await.expect("back");
    metadata.set(Fault::Slow(Duration::from_millis(200)));
    let begun = tokio::time::Instant::now();
    json_of(&host, &uri).await;
    assert!(begun.elapsed() >= Duration::from_millis(200));
    metadata.set(Fault::Huge(300_000));
    assert!(json_of(&host, &uri).await["Filler"].as_str().expect("filler").len() == 300_000);
    metadata.set(Fault::UnknownKeys);
    let body = json_of(&host, &uri).await;
    assert!(body["FutureKey"] == true && body["Containers"][0].get("FutureKey").is_some());
    metadata.clear();
    metadata.next([Fault::ServerError, Fault::Reset]);
    assert_eq!(get(&host, &uri).await.expect("an answer").0, 500);
    get(&host, &uri).await.expect_err("no answer");
    json_of(&host, &uri).await;
    let log = metadata.requests().snapshot();
    let last: Vec<_> = log[log.len() - 3..].iter().map(|request| request.status).collect();
    assert_eq!(last, [Some(500), None, Some(200)]);
}

#[tokio::test]
async fn health_recovers_and_keeps_its_quirks() {
    let (_lan, host) = host();
    let mark = std::env::temp_dir().join(format!("testbed-health-{}", std::process::id()));
    let script = "echo probe; test -e {{mark}}";
    let check = json!({"healthCheck": {"command": ["CMD-SHELL", script], "interval": 1,
                                       "retries": 2}});
    let spec = spec(json!([with(obedient("app"), check)])).var("mark", mark.to_string_lossy());
    let task = EcsTask::start(&host, spec).await.expect("started");
    let app = task.container("app").expect("app");
    assert!(app.wait_health(Health::Unhealthy).await);
    assert_eq!(app.status(), Status::Running, "outside a service nobody stops it");
    std::fs::write(&mark, "").expect("written");
    assert!(app.wait_health(Health::Healthy).await);
    std::fs::remove_file(&mark).expect("removed");
    let health = &json_of(&host, &app.metadata_uri()).await["Health"];
    assert_eq!((&health["status"], &health["output"]), (&json!("HEALTHY"), &json!("probe\n")));
    assert_eq!(health["exitCode"], 1, "the agent never clears it");
}

#[tokio::test]
async fn role_credentials_are_served_until_the_task_is_over() {
    let (_lan, host) = host();
    let app = "trap 'exit 0' TERM; echo $AWS_CONTAINER_CREDENTIALS_RELATIVE_URI; \
               while :; do sleep 60 & wait; done";
    let mut spec = spec(json!([shell("app", app)]));
    spec.task_role = true;
    let task = EcsTask::start(&host, spec).await.expect("started");
    let path = task.container("app").expect("app").wait_line("/v2/").await.expect("a path").text;
    let uri = format!("{}{path}", task.metadata().base());
    assert!(json_of(&host, &uri).await.get("AccessKeyId").is_some());
    task.stop();
    task.wait_stopped().await;
    assert_eq!(get(&host, &uri).await.expect("an answer").0, 400);
}
