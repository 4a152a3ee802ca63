//! Golden bodies: what 1.8.7 and 1.23 answered to the same login by a signed token (`jwt`, which both have).

use super::*;
use crate::wire::tests::serve;
use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use serde_json::Value;
use std::sync::{Arc, Mutex};

const ANSWER_187: &str = r#"{"AccessorID":"ce20ff08-238e-2804-c515-e6d776ccd9ae",
    "SecretID":"5006f578-a137-39b8-a3db-a43a64eec1ee","Description":"token created via login: {\"a\":\"b\"}",
    "ServiceIdentities":[{"ServiceName":"api"}],"Local":true,"AuthMethod":"j",
    "ExpirationTime":"2026-11-25T08:55:53.732237681Z","CreateTime":"2026-11-25T08:53:53.732237681Z",
    "Hash":"0kJAuN+oRUF0m2gb9D4brn4aVway3f2iTtnxBra/wdM=","CreateIndex":13,"ModifyIndex":13}"#;
const ANSWER_123: &str = r#"{"AccessorID":"49c69f9c-1d74-74fb-ee16-52c08f651d47",
    "SecretID":"6f6e8b32-c8f9-4538-3eb8-7672134f48e9","Description":"token created via login: {\"a\":\"b\"}",
    "ServiceIdentities":[{"ServiceName":"api"}],"Local":true,"AuthMethod":"j",
    "ExpirationTime":"2026-11-25T08:55:53.90201532Z","CreateTime":"2026-11-25T08:53:53.90201532Z",
    "Hash":"0kJAuN+oRUF0m2gb9D4brn4aVway3f2iTtnxBra/wdM=","CreateIndex":27,"ModifyIndex":27}"#;
const WITHOUT_END: &str =
    r#"{"AccessorID":"a","SecretID":"s","Local":true,"CreateTime":"2026-11-25T08:53:53Z"}"#;

type Seen = Arc<Mutex<Vec<(String, Option<String>, Value)>>>;

/// An agent that answers every call the same; and what it is asked: line, token, body.
async fn agent(status: u16, answer: &'static str) -> (Client, Seen) {
    let seen = Seen::default();
    let calls = seen.clone();
    let handler = async move |request: Request| {
        let line = format!("{} {}", request.method(), request.uri());
        let token = request.headers().get("x-consul-token");
        let token = token.map(|token| token.to_str().unwrap().to_owned());
        let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        calls.lock().unwrap().push((line, token, body));
        (StatusCode::from_u16(status).unwrap(), answer)
    };
    let base = serve(Router::new().fallback(handler)).await;
    (Client::new(&base, None).unwrap(), seen)
}

async fn login(client: &Client) -> Result<Login> {
    let meta = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
    client.login("m", &"proof".into(), &meta).await
}

#[tokio::test]
async fn a_login_is_one_post_without_a_token_and_is_read_as_both_versions_answer() {
    for (answer, token, accessor) in [
        (
            ANSWER_187,
            "5006f578-a137-39b8-a3db-a43a64eec1ee",
            "ce20ff08-238e-2804-c515-e6d776ccd9ae",
        ),
        (
            ANSWER_123,
            "6f6e8b32-c8f9-4538-3eb8-7672134f48e9",
            "49c69f9c-1d74-74fb-ee16-52c08f651d47",
        ),
    ] {
        let (client, seen) = agent(200, answer).await;
        let login = login(&client).await.unwrap();
        assert_eq!((login.token.expose_secret(), login.accessor.as_str()), (token, accessor));
        let life = login.expires.unwrap().duration_since(login.issued);
        assert_eq!(life.as_secs(), 120);
        let body = json!({ "AuthMethod": "m", "BearerToken": "proof", "Meta": { "a": "b" } });
        assert_eq!(*seen.lock().unwrap(), [("POST /v1/acl/login".to_owned(), None, body)]);
    }
    let (client, _) = agent(200, WITHOUT_END).await;
    assert_eq!(login(&client).await.unwrap().expires, None);
}

#[tokio::test]
async fn what_is_shown_of_a_login_is_no_token() {
    let (client, _) = agent(200, ANSWER_123).await;
    let shown = format!("{:?}", login(&client).await.unwrap());
    assert!(!shown.contains("6f6e8b32") && shown.contains("49c69f9c"), "{shown}");
}

#[tokio::test]
async fn a_method_that_is_not_there_is_told_from_one_that_refuses() {
    // 1.8.7 knows no aws-iam methods at all, so none can be there.
    for words in ["ACL not found", r#"ACL not found: auth method "m" not found"#] {
        let (client, _) = agent(403, words).await;
        let error = login(&client).await.unwrap_err();
        assert!(error.is_unknown_token() && error.is_forbidden(), "{error}");
    }
    for (status, words) in [(403, "Permission denied"), (500, "IAM principal x is not trusted")] {
        let (client, _) = agent(status, words).await;
        let error = login(&client).await.unwrap_err();
        assert!(!error.is_unknown_token(), "{error}");
        assert_eq!(error.refusal(), Some((status, words)));
    }
}

#[tokio::test]
async fn a_logout_ends_the_clients_own_token_and_may_come_late() {
    let (client, seen) = agent(200, "true").await;
    let client = client.with_token(Some("mine".into())).unwrap();
    client.logout().await.unwrap();
    let line = "POST /v1/acl/logout".to_owned();
    assert_eq!(*seen.lock().unwrap(), [(line, Some("mine".to_owned()), Value::Null)]);
    // 1.8.7 and 1.23 say the same of a token that has ended.
    agent(403, "ACL not found").await.0.logout().await.unwrap();
    for words in ["Permission denied", "Permission denied: token wasn't created via login"] {
        assert!(agent(403, words).await.0.logout().await.unwrap_err().is_forbidden());
    }
}

#[test]
fn a_token_is_renewed_before_it_ends_and_not_in_step_with_others() {
    let issued: Timestamp = "2026-11-25T08:53:53Z".parse().unwrap();
    let ends = |seconds| Some(issued + Duration::from_secs(seconds));
    let after = |seconds, jitter| renew_at(issued, ends(seconds), jitter).unwrap().as_millis();
    assert_eq!((after(100, 0.0), after(100, 0.5), after(100, 1.0)), (60_000, 70_000, 80_000));
    // Whatever the jitter is: never later than at 80 %, nor at once.
    assert_eq!((after(100, 7.0), after(100, -1.0), after(100, f64::NAN)), (80_000, 60_000, 60_000));
    assert_eq!(renew_at(issued, None, 0.5), None);
    let past = Some(issued - Duration::from_secs(5));
    assert_eq!(renew_at(issued, past, 0.5), Some(Duration::ZERO));
}
