//! The app that calls others.

use serde_json::{Value, json};
use testbed::ecs::{EcsTask, TaskResult};
use testbed::net::Lan;

use crate::support::spec;
use crate::{container, server, start, stopped};

async fn caller(lan: &Lan, authority: &str) -> EcsTask {
    let host = lan.host("job-1").expect("a host");
    let upstream = format!("http://{authority}/");
    let more = ["--upstream", &upstream, "--linger", "300ms", "--pause", "1ms"];
    let job = container("call", "job-1", &more);
    EcsTask::start(&host, spec(json!([job]))).await.expect("started")
}

fn summary(result: &TaskResult) -> (Option<i32>, Value) {
    let app = result.container("job-1").expect("it");
    let line = &app.output.last().expect("a line").text;
    (app.exit_code, serde_json::from_str(line).expect("JSON"))
}

#[tokio::test]
async fn calls_that_come_too_early_do_not_count_and_those_after_term_do() {
    let lan = Lan::new().expect("a network");
    let host = lan.host("api-1").expect("a host");
    let job = caller(&lan, &format!("{}:9090", host.ip())).await;
    // Nothing listens yet.
    let api = server("http", "api-1", &["--listen-after", "200ms"]);
    let _api = EcsTask::start(&host, spec(json!([api]))).await.expect("started");
    let app = job.container("job-1").expect("it");
    app.wait_line("api-1 answers").await.expect("it calls");
    job.stop();
    let (code, summary) = summary(&stopped(&job).await);
    assert_eq!((code, &summary["failed"]), (Some(0), &json!(0)), "{summary}");
    let count = |key: &str| summary[key].as_u64().expect("a number");
    assert!(count("after_term") > 0 && count("calls") > count("after_term"), "{summary}");
    assert_eq!(summary["reasons"], json!({}));
}

#[tokio::test]
async fn calls_that_fail_are_told() {
    let lan = Lan::new().expect("a network");
    let (api, authority) = start(&lan, "http", "api-1", &[]).await;
    let job = caller(&lan, &authority).await;
    let app = job.container("job-1").expect("it");
    app.wait_line("api-1 answers").await.expect("it calls");
    api.stop();
    stopped(&api).await;
    job.stop();
    let (code, summary) = summary(&stopped(&job).await);
    assert_eq!(code, Some(1), "{summary}");
    assert!(summary["reasons"]["connect: connection refused"].as_u64() > Some(0), "{summary}");
    let reasons = summary["reasons"].as_object().expect("an object");
    let sum: u64 = reasons.values().filter_map(Value::as_u64).sum();
    assert_eq!(summary["failed"], sum);
}
