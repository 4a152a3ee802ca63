//! The HTTP app, and how the load client sees it.

use std::time::Duration;

use serde_json::json;
use testbed::ecs::EcsTask;
use testbed::load::{Load, LoadSpec};
use testbed::net::{Lan, ProcessSpec};
use tokio::time::timeout;

use crate::support::{json_of, spec};
use crate::{failures_of_an_end, server};

async fn start(lan: &Lan, name: &str, more: &[&str]) -> (EcsTask, String) {
    let (task, authority) = crate::start(lan, "http", name, more).await;
    (task, format!("http://{authority}"))
}

#[tokio::test]
async fn load_sees_who_answers_and_how_a_stop_fails() {
    let lan = Lan::new().expect("a network");
    let (task, url) = start(&lan, "api-1", &["--delay", "20ms"]).await;
    let load = Load::start(lan.hub(), LoadSpec::new(&url).expect("a url").connections(3));
    timeout(Duration::from_secs(10), load.wait_ok(20)).await.expect("it answers");
    let before = load.report();
    assert_eq!((before.failed, before.responders.len()), (0, 1), "{before}");
    assert!(before.responders["api-1"] >= 20 && before.latency(0.5) >= Duration::from_millis(20));
    task.stop();
    let result = task.wait_stopped().await;
    assert_eq!(result.container("api-1").expect("it").exit_code, Some(0));
    failures_of_an_end(&load, "head: ").await;
    load.stop().await;
}

#[tokio::test]
async fn an_app_that_ignores_term_is_killed() {
    let lan = Lan::new().expect("a network");
    let host = lan.host("api-1").expect("a host");
    let mut app = server("http", "api-1", &["--term", "ignore"]);
    app["stopTimeout"] = json!(0.2);
    let task = EcsTask::start(&host, spec(json!([app]))).await.expect("started");
    let app = task.container("api-1").expect("it");
    app.wait_line("listens").await.expect("up");
    task.stop();
    let result = task.wait_stopped().await;
    let app = result.container("api-1").expect("it");
    assert_eq!((app.exit_code, app.killed), (Some(137), true));
    assert!(app.output.iter().any(|line| line.text == "TERM ignored"));
}

#[tokio::test]
async fn call_asks_the_upstream_and_tells_its_failure() {
    let lan = Lan::new().expect("a network");
    let (db, db_url) = start(&lan, "db-1", &[]).await;
    let (_api, url) = start(&lan, "api-1", &["--upstream", &db_url]).await;
    let call = format!("{url}/call");
    let body = json_of(lan.hub(), &call).await;
    assert_eq!((&body["from"], &body["upstream"]["from"]), (&json!("api-1"), &json!("db-1")));
    let load = Load::start(lan.hub(), LoadSpec::new(&call).expect("a url").connections(1));
    timeout(Duration::from_secs(5), load.wait_ok(3)).await.expect("it answers");
    load.pause();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let paused = load.report();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(load.report().ok, paused.ok, "nothing is sent in a pause");
    db.stop();
    db.wait_stopped().await;
    load.resume();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let report = load.stop().await;
    assert_eq!(report.responders.keys().collect::<Vec<_>>(), ["db-1"], "{report}");
    assert!(report.reasons.keys().all(|reason| reason.starts_with("status 502")), "{report}");
    assert!(report.failed > 0, "{report}");
}

#[tokio::test]
async fn exit_and_sleep_end_as_asked() {
    let lan = Lan::new().expect("a network");
    let app = |args: &[&str]| {
        let args = ["app"].iter().chain(args).map(|&arg| arg.to_owned());
        lan.hub().spawn_process(ProcessSpec::new(env!("CARGO_BIN_EXE_testbed"), args))
    };
    let exit = app(&["exit", "--code", "7", "--after", "50ms"]).await.expect("started");
    assert_eq!(exit.finished().await.code(), 7);
    let sleep = app(&["sleep", "--for", "50ms"]).await.expect("started");
    assert_eq!(sleep.finished().await.code(), 0);
}
