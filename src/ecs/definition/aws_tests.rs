//! The SDK against a server that answers as the ECS API does.

use super::*;
use crate::wire::tests::{nobody, serve};
use aws_sdk_ecs::config::Credentials;
use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

async fn api(url: &str) -> Api {
    let credentials = Credentials::new("AKIATEST", "secret", None, None, "test");
    let loader = aws_config::defaults(aws_config::BehaviorVersion::latest())
        .credentials_provider(credentials)
        .endpoint_url(url);
    Api(Client::new(&aws::config(loader, "eu-west-1".to_owned()).load().await))
}

async fn answering(status: u16, body: Value) -> Api {
    let router = Router::new()
        .fallback(async move || (StatusCode::from_u16(status).expect("status"), body.to_string()));
    api(&serve(router).await).await
}

#[tokio::test]
async fn a_definition_as_the_api_describes_it() {
    let body = json!({ "taskDefinition": {
        "taskDefinitionArn": "arn:aws:ecs:eu-west-1:123456789012:task-definition/web:26",
        "family": "web", "revision": 26, "status": "ACTIVE", "networkMode": "awsvpc",
        "containerDefinitions": [
            { "name": "taskmesh", "image": "taskmesh:1", "cpu": 0, "essential": true,
              "healthCheck": { "command": ["CMD", "/taskmesh", "healthcheck"], "interval": 5 },
              "stopTimeout": 45, "dependsOn": [{ "containerName": "logs", "condition": "START" }] },
            { "name": "app", "essential": true,
              "healthCheck": { "command": ["CMD-SHELL", "true"], "interval": 30, "timeout": 5, "retries": 3 } },
            { "name": "side", "essential": false, "healthCheck": { "command": ["CMD", "true"] } },
            { "name": "plain", "essential": true },
            { "name": "silent", "healthCheck": { "command": ["NONE"] } },
            { "name": "logs", "firelensConfiguration": { "type": "fluentbit" } },
        ],
        "aFieldOfTomorrow": { "x": 1 },
    }, "tags": [] });
    let asked = std::sync::Arc::new(std::sync::Mutex::new(None));
    let seen = asked.clone();
    let router = Router::new().fallback(async move |headers: HeaderMap, asked_for: String| {
        *seen.lock().expect("lock") = Some((headers, asked_for));
        body.to_string()
    });
    let definition = api(&serve(router).await).await.describe("web:26").await.expect("definition");
    let container = |name: &str, essential, health_check, routes_logs| DefinedContainer {
        name: name.to_owned(),
        essential,
        health_check,
        routes_logs,
        ..DefinedContainer::default()
    };
    let ours = DefinedContainer {
        stop_timeout: Some(Duration::from_secs(45)),
        depends_on: vec!["logs".to_owned()],
        ..container("taskmesh", true, true, false)
    };
    assert_eq!(ours.time_to_stop(), Duration::from_secs(45));
    assert_eq!(container("app", true, true, false).time_to_stop(), Duration::from_secs(30));
    assert_eq!(
        definition.containers,
        [
            ours,
            container("app", true, true, false),
            container("side", false, true, false),
            container("plain", true, false, false),
            container("silent", true, false, false),
            container("logs", true, false, true),
        ]
    );
    let (headers, asked_for) = asked.lock().expect("lock").take().expect("a request");
    let asked_for: Value = serde_json::from_str(&asked_for).expect("JSON");
    assert_eq!(asked_for["taskDefinition"], "web:26");
    let header = |name: &str| headers[name].to_str().expect("text").to_owned();
    assert_eq!(header("x-amz-target"), "AmazonEC2ContainerServiceV20141113.DescribeTaskDefinition");
    assert!(header("authorization").contains("/eu-west-1/ecs/aws4_request"));
}

#[tokio::test]
async fn a_refusal_is_final_and_says_what_was_refused() {
    let message = "User: arn:aws:sts::1:assumed-role/task/x is not authorized to perform: \
                   ecs:DescribeTaskDefinition on resource: *";
    for (code, status) in [("AccessDeniedException", 400), ("UnrecognizedClientException", 403)] {
        let api = answering(status, json!({ "__type": code, "message": message })).await;
        let Err(DefinitionError::Refused(why)) = api.describe("web:26").await else {
            panic!("{code} is not final");
        };
        assert_eq!(why, format!("the ECS API answered {status} {code}: {message}"));
    }
    let unknown =
        json!({ "__type": "ClientException", "message": "Unable to describe task definition." });
    let unknown = answering(400, unknown).await.describe("web:26").await;
    assert!(matches!(unknown, Err(DefinitionError::Refused(_))), "{unknown:?}");
}

#[tokio::test]
async fn a_refusal_by_somebody_on_the_way_is_final_too() {
    let words = "<html>\n<h1>403 Forbidden by the proxy</h1>";
    let router = Router::new().fallback(async move || (StatusCode::FORBIDDEN, words));
    let answer = api(&serve(router).await).await.describe("web:26").await;
    let Err(DefinitionError::Refused(why)) = answer else { panic!("{answer:?}") };
    assert_eq!(why, format!("the ECS API answered 403 {words}"));
}

#[tokio::test]
async fn what_may_pass_is_not_final() {
    for (status, code) in [
        (400, "ThrottlingException"),
        (429, "WhoKnows"),
        (400, "ExpiredTokenException"),
        (500, "ServerException"),
        (503, "ServiceUnavailable"),
    ] {
        let answer = answering(status, json!({ "__type": code })).await.describe("web:26").await;
        assert!(matches!(answer, Err(DefinitionError::Failing(_))), "{code}: {answer:?}");
    }
    let gone = api(&nobody().await).await.describe("web:26").await;
    let Err(DefinitionError::Failing(why)) = gone else { panic!("{gone:?}") };
    assert!(why.contains("refused"), "{why}");
    let garbage = answering(200, json!("text")).await.describe("web:26").await;
    assert!(matches!(garbage, Err(DefinitionError::Failing(_))), "{garbage:?}");
}

#[tokio::test]
async fn one_that_never_answers_is_not_waited_for() {
    let router = Router::new().fallback(async || std::future::pending::<String>().await);
    let api = api(&serve(router).await).await;
    let began = tokio::time::Instant::now();
    let answer = api.describe("web:26").await;
    let Err(DefinitionError::Failing(why)) = answer else { panic!("{answer:?}") };
    assert!(why.contains("does not answer"), "{why}");
    assert!(began.elapsed() >= TIMEOUT);
}
