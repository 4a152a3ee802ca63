//! A task that has no token, and gets its own by the IAM role that it runs with.

use crate::support::{LONG, Seen, count, serving, until_counted, until_held};
use serde_json::{Value, json};
use taskmesh::timeline::Event;
use testbed::cluster::{Backend, Cluster, ClusterPlan, TaskPlan};
use testbed::definitions::wrapped;
use testbed::moto::{Moto, RoleKeys};

const REGION: &str = "us-east-1";
const TASK: &str = "158d1c8083dd49d6b527399fd6414f5c";

/// A mesh with ACLs, AWS, and the keys of a task whose role is `api`; `None` after having said what is missing.
async fn place() -> Option<(Cluster, Moto, RoleKeys)> {
    let missing = testbed::parts::envoy().err().or(testbed::parts::moto_server().err());
    if let Some(missing) = missing {
        testbed::skip::skip(&missing.to_string());
        return None;
    }
    // Tokens that end soon: a current Consul has none that end sooner than after a minute.
    let methods = json!([
        { "name": "iam-service", "kind": "service", "service": "api", "ttl_ms": 6000 },
        { "name": "iam-agent", "kind": "agent", "ttl_ms": 6000 }
    ]);
    let backend = Backend::best().expect("CONSUL_BIN");
    let real = matches!(backend, Backend::Consul(_));
    let mut plan = ClusterPlan::new(backend).acl("api");
    if !real {
        plan = plan.server(json!({ "devmesh": { "auth_methods": methods } }));
    }
    let cluster = plan.start().await.expect("cluster");
    let moto = Moto::start(cluster.lan().hub()).await.expect("moto");
    let read = json!([{ "Effect": "Allow", "Action": "iam:GetRole", "Resource": "*" }]);
    let keys = moto.role("/mesh/", "api", &read, TASK).await.expect("role");
    if real {
        declare(&cluster, &moto).await;
    }
    Some((cluster, moto, keys))
}

/// The same two auth methods, on a current Consul, which asks moto who the task is.
async fn declare(cluster: &Cluster, moto: &Moto) {
    for (name, kind, bound) in
        [("iam-service", "service", "${entity_name}"), ("iam-agent", "policy", "client")]
    {
        let method = json!({
            "Name": name, "Type": "aws-iam", "MaxTokenTTL": "1m",
            "Config": {
                "BoundIAMPrincipalARNs": ["arn:aws:iam::123456789012:role/mesh/*"],
                "EnableIAMEntityDetails": true,
                "STSEndpoint": moto.url(), "IAMEndpoint": moto.url(),
            }
        });
        cluster.server_put("/v1/acl/auth-method", method).await.expect("auth method");
        let rule = json!({ "AuthMethod": name, "BindType": kind, "BindName": bound });
        cluster.server_put("/v1/acl/binding-rule", rule).await.expect("binding rule");
    }
}

fn plan(moto: &Moto, keys: &RoleKeys, login: Value) -> TaskPlan {
    let env = [
        ("AWS_ENDPOINT_URL", moto.url()),
        ("AWS_REGION", REGION),
        ("AWS_ACCESS_KEY_ID", &keys.id),
        ("AWS_SECRET_ACCESS_KEY", &keys.secret),
        ("AWS_SESSION_TOKEN", &keys.session),
    ];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
    TaskPlan::new("api-1", "api", wrapped("api", &[]))
        .config(json!({ "consul": { "acl": {}, "login": login } }))
        .platform(move |spec| spec.env.extend(env))
}

/// Tokens at the servers that a login has made.
async fn made(cluster: &Cluster) -> usize {
    let tokens = cluster.server_get("/v1/acl/tokens").await.expect("tokens");
    let list = tokens.as_array().expect("list").iter();
    list.filter(|token| token["Description"].as_str().is_some_and(|text| text.contains("login")))
        .count()
}

#[tokio::test]
async fn a_task_without_a_token_logs_in_renews_and_logs_out() {
    let Some((cluster, moto, keys)) = place().await else { return };
    let login = json!({ "method": "iam-service", "agentMethod": "iam-agent" });
    let task = serving(&cluster, plan(&moto, &keys, login)).await;
    crate::support::until_offered(&cluster, &task).await;
    assert_eq!(made(&cluster).await, 2);
    assert_eq!(count(&task, Event::TokenReplaced).await, 0);
    // Both, before they end.
    until_counted(&task, Event::TokenReplaced, 2).await;
    crate::support::until_offered(&cluster, &task).await;
    task.ecs.stop();
    let (result, timeline) = task.wait_stopped(LONG).await.expect("stopped");
    let seen = Seen(timeline);
    seen.cause(Event::PeersUpdated, "confirmed");
    seen.has_no(Event::RegistrationRepaired);
    assert_eq!(result.container("taskmesh").expect("taskmesh").exit_code, Some(0));
    assert_eq!(made(&cluster).await, 0, "{}", task.last_lines(60));
}

#[tokio::test]
async fn a_login_that_is_refused_says_what_to_do_and_is_tried_again() {
    let Some((cluster, moto, keys)) = place().await else { return };
    let plan = plan(&moto, &keys, json!({ "method": "nobodys", "agentMethod": "iam-agent" }));
    let task = cluster.task(plan).await.expect("task");
    let why = until_held(&task, "secrets", "no auth method \"nobodys\"").await;
    assert!(why.starts_with("consul.login: Consul has no auth method"), "{why}");
    task.ecs.stop();
    let (result, timeline) = task.wait_stopped(LONG).await.expect("stopped");
    Seen(timeline).has_no(Event::Registered);
    assert_eq!(result.container("taskmesh").expect("taskmesh").exit_code, Some(0));
    assert_eq!(made(&cluster).await, 0, "the agent's own is ended, too");
}
