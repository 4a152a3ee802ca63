use super::*;
use crate::ecs::Status;
use crate::wire::tests::{nobody, serve};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use std::sync::Mutex;

async fn answering(status: u16, body: String) -> MetadataClient {
    let answer = async move || (StatusCode::from_u16(status).unwrap(), body);
    MetadataClient::new(&serve(Router::new().fallback(answer)).await)
}

#[tokio::test]
async fn task_and_own_container_are_read_without_a_slash_at_the_end() {
    // As in the ECS agent, a slash at the end matches nothing.
    let router = Router::new()
        .route("/v4/abc", get(async || r#"{"Name":"taskmesh","Type":"NORMAL"}"#))
        .route("/v4/abc/task", get(async || r#"{"TaskARN":"a/b/c","Containers":[{"Name":"x"}]}"#));
    let base = serve(router).await;
    for uri in [format!("{base}/v4/abc"), format!("{base}/v4/abc/")] {
        let client = MetadataClient::new(&uri);
        assert_eq!(client.task().await.unwrap().task_id(), "c");
        assert_eq!(client.own_container().await.unwrap().name, "taskmesh");
    }
}

#[tokio::test]
async fn an_answer_is_read_anew_only_when_it_has_changed() {
    let status = Arc::new(Mutex::new("RUNNING"));
    let told = status.clone();
    let body = async move || format!(r#"{{"KnownStatus":"{}"}}"#, told.lock().unwrap());
    let client = MetadataClient::new(&serve(Router::new().route("/task", get(body))).await);
    let mut last = LastTask::default();
    let first = client.task_again(&mut last).await.unwrap();
    assert!(Arc::ptr_eq(&first, &client.task_again(&mut last).await.unwrap()));
    *status.lock().unwrap() = "STOPPED";
    let second = client.task_again(&mut last).await.unwrap();
    assert_eq!((first.known_status, second.known_status), (Status::Running, Status::Stopped));
    // What cannot be read does not count as the last.
    *status.lock().unwrap() = "\"";
    assert!(matches!(client.task_again(&mut last).await, Err(MetadataError::NotJson { .. })));
    assert!(matches!(client.task_again(&mut last).await, Err(MetadataError::NotJson { .. })));
    *status.lock().unwrap() = "STOPPED";
    assert!(Arc::ptr_eq(&second, &client.task_again(&mut last).await.unwrap()));
}

#[tokio::test]
async fn throttling_is_told_from_other_refusals() {
    let throttled = answering(429, "You have reached maximum request limit.".to_owned()).await;
    assert_eq!(throttled.task().await, Err(MetadataError::Throttled));
    let body = "\"V4 task metadata handler: unable to get task arn\"";
    let missing = answering(404, body.to_owned()).await;
    let expected = MetadataError::Status { status: 404, body: body.to_owned() };
    assert_eq!(missing.task().await, Err(expected));
}

#[tokio::test]
async fn what_is_not_the_json_that_it_should_be_says_where() {
    let client = answering(200, r#"{"Containers":[{"Name":5}]}"#.to_owned()).await;
    let error = client.task().await.unwrap_err();
    assert!(error.to_string().contains("Containers[0].Name"), "{error}");
    let client = answering(200, "<html>".to_owned()).await;
    assert!(matches!(client.task().await, Err(MetadataError::NotJson { .. })));
}

#[tokio::test]
async fn an_endpoint_that_is_gone_hangs_or_talks_too_much() {
    let gone = MetadataClient::new(&nobody().await).task().await;
    assert!(matches!(gone, Err(MetadataError::Unreachable { .. })), "{gone:?}");

    let hanging = Router::new().fallback(async || std::future::pending::<String>().await);
    let limit = Duration::from_millis(50);
    let client = MetadataClient::new(&serve(hanging).await).with_timeout(limit);
    assert_eq!(client.task().await, Err(MetadataError::Timeout(limit)));

    let client = answering(200, " ".repeat(BODY_LIMIT + 1)).await;
    assert_eq!(client.task().await, Err(MetadataError::TooLarge { limit: BODY_LIMIT }));
}

#[tokio::test]
async fn a_task_of_200_containers_and_1_mb_is_read_and_a_half_of_it_is_not() {
    let label = "x".repeat(5000);
    let containers: Vec<_> = (0..200)
        .map(|n| serde_json::json!({ "Name": format!("c{n}"), "Labels": { "long": label } }))
        .collect();
    let body = serde_json::json!({ "TaskARN": "a/b/c", "Containers": containers }).to_string();
    assert!(body.len() > 1_000_000);
    let half = answering(200, body[..body.len() / 2].to_owned()).await;
    assert!(matches!(half.task().await, Err(MetadataError::NotJson { .. })));
    let task = answering(200, body).await.task().await.unwrap();
    assert_eq!(task.containers.len(), 200);
}
