use super::*;
use crate::consul::{Answer, HealthQuery};
use crate::wire::tests::{nobody, serve};
use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::{Value, json};
use std::sync::Mutex;

/// What the fake saw of one call.
#[derive(Debug, Clone, PartialEq)]
struct Call {
    line: String,
    token: Option<String>,
    body: Value,
}

type Calls = Arc<Mutex<Vec<Call>>>;

/// An agent that answers every call the same and records it.
async fn agent(status: u16, index: &'static str, answer: Value) -> (Client, Calls) {
    let calls = Calls::default();
    let recorded = calls.clone();
    let answer = match answer {
        Value::String(text) => text,
        json => json.to_string(),
    };
    let handler = async move |request: Request| {
        let line = format!("{} {}", request.method(), request.uri());
        let token = request.headers().get("x-consul-token");
        let token = token.map(|token| token.to_str().unwrap().to_owned());
        let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        recorded.lock().unwrap().push(Call { line, token, body });
        (StatusCode::from_u16(status).unwrap(), [("X-Consul-Index", index)], answer).into_response()
    };
    let base = serve(Router::new().fallback(handler)).await;
    (Client::new(&base, Some("sekrit".into())).unwrap(), calls)
}

fn lines(calls: &Calls) -> Vec<String> {
    calls.lock().unwrap().drain(..).map(|call| call.line).collect()
}

fn last(calls: &Calls) -> Call {
    calls.lock().unwrap().last().unwrap().clone()
}

#[tokio::test]
async fn every_write_is_a_put_with_token_and_encoded_ids() {
    let (client, calls) = agent(200, "", json!("")).await;
    let registration =
        Registration { id: "i".to_owned(), name: "n".to_owned(), ..Default::default() };
    client.register(&registration, false).await.unwrap();
    assert_eq!(last(&calls).body["ID"], "i");
    assert_eq!(last(&calls).token.as_deref(), Some("sekrit"));
    client.register(&registration, true).await.unwrap();
    client.deregister("a/b c").await.unwrap();
    client.service_maintenance("id", true, "why so?").await.unwrap();
    client.service_maintenance("id", false, "").await.unwrap();
    client.deregister_check("c").await.unwrap();
    client.update_check("c", CheckStatus::Critical, "out").await.unwrap();
    assert_eq!(last(&calls).body, json!({ "Status": "critical", "Output": "out" }));
    assert_eq!(
        lines(&calls),
        [
            "PUT /v1/agent/service/register",
            "PUT /v1/agent/service/register?replace-existing-checks=true",
            "PUT /v1/agent/service/deregister/a%2Fb%20c",
            "PUT /v1/agent/service/maintenance/id?enable=true&reason=why+so%3F",
            "PUT /v1/agent/service/maintenance/id?enable=false&reason=",
            "PUT /v1/agent/check/deregister/c",
            "PUT /v1/agent/check/update/c",
        ]
    );
}

#[tokio::test]
async fn a_check_by_itself_calls_its_id_id() {
    let (client, calls) = agent(200, "", json!("")).await;
    let check = CheckDefinition {
        check_id: "c".to_owned(),
        service_id: "s".to_owned(),
        tcp: "127.0.0.1:1".to_owned(),
        ..Default::default()
    };
    client.register_check(&check).await.unwrap();
    assert_eq!(last(&calls).line, "PUT /v1/agent/check/register");
    assert_eq!(last(&calls).body, json!({ "ID": "c", "ServiceID": "s", "TCP": "127.0.0.1:1" }));
}

#[tokio::test]
async fn a_health_query_carries_what_was_asked_for_and_gives_the_index() {
    let entry = json!([{
        "Node": { "Node": "n1", "Address": "10.0.0.1" },
        "Service": { "ID": "web-1-sidecar-proxy", "Service": "web-sidecar-proxy", "Tags": null, "Port": 20000 },
        "Checks": [
            { "CheckID": "serfHealth", "Status": "passing", "ServiceID": "" },
            { "CheckID": "c", "Status": "critical", "ServiceID": "web-1-sidecar-proxy" },
        ],
    }, {
        "Node": { "Node": "n2" }, "Service": { "ID": "x", "Service": "y" }, "Checks": null,
    }]);
    let (client, calls) = agent(200, "42", entry).await;
    let wait = Some(Duration::from_millis(1500));
    let query = HealthQuery { index: 41, wait, consistent: true, passing: true };
    let answer = client.health_connect("web", query).await.unwrap();
    assert_eq!(answer.index, 42);
    assert!(answer.value[0].is_critical());
    assert!(!answer.value[1].is_critical());
    assert_eq!(answer.value[0].service.id, "web-1-sidecar-proxy");
    client.health_connect("web", HealthQuery::default()).await.unwrap();
    client.health_connect("web", HealthQuery { index: 1, ..Default::default() }).await.unwrap();
    assert_eq!(
        lines(&calls),
        [
            "GET /v1/health/connect/web?consistent=&passing=true&index=41&wait=1500ms",
            "GET /v1/health/connect/web",
            "GET /v1/health/connect/web?index=1&wait=60000ms",
        ]
    );
}

#[test]
fn an_index_that_went_back_starts_anew() {
    let answer = Answer { index: 7, value: () };
    assert_eq!(answer.next_index(6), 7);
    assert_eq!(answer.next_index(7), 7);
    assert_eq!(answer.next_index(8), 0);
    assert_eq!(Answer { index: 0, value: () }.next_index(3), 0);
}

#[tokio::test]
async fn a_blocking_query_may_take_its_wait_and_a_plain_call_may_not() {
    let slow = async || {
        tokio::time::sleep(Duration::from_millis(400)).await;
        "[]"
    };
    let base = serve(Router::new().fallback(slow)).await;
    let client = Client::new(&base, None).unwrap().with_timeout(Duration::from_millis(100));
    let wait = Some(Duration::from_secs(10));
    let blocking = HealthQuery { index: 1, wait, ..Default::default() };
    assert_eq!(client.health_connect("web", blocking).await.unwrap().value, []);
    let plain = client.health_connect("web", HealthQuery::default()).await;
    let after = Duration::from_millis(100);
    assert_eq!(plain, Err(Error::Timeout { call: "health/connect", after }));
}

#[tokio::test]
async fn no_leader_is_no_error() {
    let (client, calls) = agent(200, "", json!("\"10.0.0.1:8300\"")).await;
    assert_eq!(client.leader().await.unwrap().as_deref(), Some("10.0.0.1:8300"));
    assert_eq!(lines(&calls), ["GET /v1/status/leader"]);
    let (client, _) = agent(200, "", json!("\"\"")).await;
    assert_eq!(client.leader().await.unwrap(), None);
    let (client, _) = agent(500, "", json!("No known Consul servers")).await;
    assert_eq!(client.leader().await.unwrap(), None);
    let (client, _) = agent(403, "", json!("Permission denied")).await;
    assert!(client.leader().await.unwrap_err().is_forbidden());
}

#[tokio::test]
async fn what_agents_tell_of_themselves_and_their_services() {
    let (client, calls) = agent(
        200,
        "",
        json!({ "Config": { "Datacenter": "dc1", "NodeName": "n", "NodeID": "i", "Server": false, "Version": "1.23.0" },
                "Member": {} }),
    )
    .await;
    assert_eq!(client.agent_self().await.unwrap().config.version, "1.23.0");
    assert_eq!(lines(&calls), ["GET /v1/agent/self"]);

    let service = json!({ "ID": "i", "Service": "n", "Tags": null, "Meta": null, "Port": 0, "ContentHash": "ab" });
    let (client, calls) = agent(200, "", service.clone()).await;
    assert_eq!(client.service("i").await.unwrap().unwrap().content_hash, "ab");
    assert_eq!(lines(&calls), ["GET /v1/agent/service/i"]);

    let (client, calls) = agent(200, "", json!({ "i": service })).await;
    assert_eq!(client.services().await.unwrap()["i"].service, "n");
    assert_eq!(lines(&calls), ["GET /v1/agent/services"]);

    let check = json!({ "CheckID": "c", "Name": "x", "Status": "warning", "Output": "o", "ServiceID": "i" });
    let (client, calls) = agent(200, "", json!({ "c": check })).await;
    assert_eq!(client.checks().await.unwrap()["c"].status, CheckStatus::Warning);
    assert_eq!(lines(&calls), ["GET /v1/agent/checks"]);
}

#[tokio::test]
async fn refusals_are_sorted_by_what_can_be_done() {
    let refused = async |status, body: &str| {
        let (client, _) = agent(status, "", json!(body)).await;
        client.deregister("x").await.unwrap_err()
    };
    let forbidden = refused(403, "Permission denied").await;
    assert!(forbidden.is_forbidden() && forbidden.is_client_error());
    assert!(!forbidden.is_not_found() && !forbidden.is_unreachable());
    assert!(refused(404, "x").await.is_not_found());
    let old = refused(500, "Unknown service \"x\"").await;
    assert!(old.is_not_found() && !old.is_server_error());
    assert!(refused(500, "CheckID \"x\" does not have associated TTL").await.is_not_found());
    let leaderless = refused(500, "rpc error: No cluster leader").await;
    assert!(leaderless.is_server_error() && !leaderless.is_client_error());
    let bad = refused(400, &"x".repeat(600)).await;
    let Error::Status { body, .. } = &bad else { panic!("{bad:?}") };
    assert_eq!(body.len(), 512);

    let (client, _) = agent(404, "", json!("unknown service ID: x")).await;
    assert_eq!(client.service("x").await, Ok(None));
}

#[tokio::test]
async fn an_agent_that_is_gone_and_one_that_answers_nonsense() {
    let client = Client::new(&nobody().await, None).unwrap();
    assert!(client.services().await.unwrap_err().is_unreachable());
    let (client, _) = agent(200, "", json!({ "c": { "CheckID": "c", "Status": "odd" } })).await;
    let error = client.checks().await.unwrap_err();
    assert!(matches!(&error, Error::Decode { why, .. } if why.contains("c.Status")), "{error}");
}

#[tokio::test]
async fn clones_share_a_new_token_and_a_copy_with_its_own_keeps_it() {
    let (client, calls) = agent(200, "", json!({})).await;
    let (clone, other) = (client.clone(), client.with_token(Some("other".into())).unwrap());
    client.set_token(Some("new".into())).unwrap();
    for each in [&clone, &other] {
        each.services().await.unwrap();
    }
    client.set_token(None).unwrap();
    clone.services().await.unwrap();
    let tokens: Vec<_> = calls.lock().unwrap().drain(..).map(|call| call.token).collect();
    assert_eq!(tokens, [Some("new".to_owned()), Some("other".to_owned()), None]);

    assert_eq!(
        client.set_token(Some("a\nb".into())),
        Err(Error::Invalid("the Consul token holds characters that no header can hold"))
    );
    assert!(!format!("{other:?}").contains("\"other\""));
}

#[tokio::test]
async fn tenancy_goes_with_what_lives_in_one() {
    let (client, calls) = agent(200, "", json!("{}")).await;
    let client = client.with_tenancy(Some("n"), Some("p"));
    client.deregister("s").await.unwrap();
    client.services().await.unwrap();
    client.register(&Registration::default(), false).await.unwrap();
    assert_eq!(
        lines(&calls),
        [
            "PUT /v1/agent/service/deregister/s?ns=n&partition=p",
            "GET /v1/agent/services?ns=n&partition=p",
            "PUT /v1/agent/service/register",
        ]
    );
}

#[test]
fn a_base_url_may_have_a_path_and_must_be_one() {
    assert!(matches!(Client::new("127.0.0.1:8500", None), Err(Error::Invalid(_))));
    assert!(matches!(Client::new("mailto:x", None), Err(Error::Invalid(_))));
    let client = Client::new("http://127.0.0.1:8500/consul/", None).unwrap();
    let request = client.request(Method::GET, "status/leader", None).build().unwrap();
    assert_eq!(request.url().as_str(), "http://127.0.0.1:8500/consul/v1/status/leader");
}

#[tokio::test]
async fn an_agent_behind_a_socket_is_called_there() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("http.sock");
    let client = Client::new(&format!("unix://{}", socket.display()), None).unwrap();
    // Nobody there yet is told as with a port: the agent is still coming up.
    assert!(client.leader().await.unwrap_err().is_unreachable());
    let router = axum::Router::new()
        .route("/v1/status/leader", axum::routing::get(async || axum::Json("10.0.0.10:8300")));
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    assert_eq!(client.leader().await, Ok(Some("10.0.0.10:8300".to_owned())));
    for none in ["unix://", "unix://relative"] {
        assert!(matches!(Client::new(none, None), Err(Error::Invalid(_))), "{none}");
    }
}
