//! Which token may do what, where nothing is allowed by default.

use crate::bench::{Bench, PATIENCE};
use serde_json::{Value, json};
use std::time::Duration;
use taskmesh::config::Acl;
use taskmesh::consul::{AgentSecrets, CheckStatus, HealthQuery, Result, node_name, proxy, service};
use testbed::mesh::Token;
use tokio::time::{Instant, sleep, timeout};

const MANAGEMENT: &str = "00000000-0000-4000-8000-000000000001";
/// The token of the agent itself, with the rights of 0.4.3's client token.
const AGENT: &str = "00000000-0000-4000-8000-000000000002";
/// The token of the service, with the rights of 0.4.3's service token.
const SERVICE: &str = "00000000-0000-4000-8000-000000000003";
/// The token that only this agent knows.
const LOCAL: &str = "00000000-0000-4000-8000-000000000004";

/// Whether it was allowed; another failure is none of a right.
#[track_caller]
fn allowed<T: std::fmt::Debug>(result: Result<T>) -> bool {
    match result {
        Ok(_) => true,
        Err(error) => {
            assert!(error.is_forbidden(), "{error}");
            false
        }
    }
}

pub(crate) async fn table(mut bench: Bench) {
    bench.cfg.consul.acl = Some(Acl::default());
    bench.server_token = Some(MANAGEMENT);
    let secrets = AgentSecrets {
        agent_token: Some(AGENT.into()),
        recovery_token: Some(LOCAL.into()),
        ..AgentSecrets::default()
    };
    before_the_join(&bench, &secrets).await;

    let tokens = json!({ bench.consul.management_key(): MANAGEMENT, "agent": MANAGEMENT });
    let acl = json!({ "enabled": true, "default_policy": "deny", "tokens": tokens });
    bench.start_server(json!({ "acl": acl })).await;
    create_tokens(&bench).await;
    let agent = bench.start_agent(&secrets).await;
    agent.joined().await;

    // Columns: the agent's token, the service's, the local one.
    let clients = [AGENT, SERVICE, LOCAL].map(|token| agent.with_token(token));
    macro_rules! row {
        ($name:literal, $expected:expr, |$client:ident| $call:expr) => {
            let mut found = Vec::new();
            for $client in &clients {
                found.push(allowed($call.await));
            }
            assert_eq!(found, $expected, $name);
        };
    }
    const NOBODY: [bool; 3] = [false, false, false];
    const ONLY_SERVICE: [bool; 3] = [false, true, false];
    const ALL_BUT_LOCAL: [bool; 3] = [true, true, false];
    let ids = &bench.ids;
    let own = service(&bench.cfg, &bench.task, &["app".to_owned()]);
    let sidecar = proxy(&bench.cfg, &bench.task);
    let mut foreign = own.clone();
    (foreign.name, foreign.id) = ("other".to_owned(), "other-1".to_owned());
    let (check, listener) = (ids.check("app"), ids.listener_check());
    let opened = bench.passing_listener_check();
    let query = HealthQuery { consistent: true, ..HealthQuery::default() };

    row!("agent/self", [false, false, true], |c| c.agent_self());
    row!("register the service", ONLY_SERVICE, |c| c.register(&own, false));
    row!("register the proxy", ONLY_SERVICE, |c| c.register(&sidecar, false));
    row!("register another service", NOBODY, |c| c.register(&foreign, false));
    row!("read a service", ALL_BUT_LOCAL, |c| c.service(&ids.proxy));
    row!("health/connect", ALL_BUT_LOCAL, |c| c.health_connect(&ids.name, query));
    row!("update a check", ONLY_SERVICE, |c| c.update_check(&check, CheckStatus::Passing, ""));
    // The service's token is not the last column: what it removed, the local one finds no more.
    for (client, may) in clients.iter().zip([false, true]) {
        let removed = allowed(client.deregister_check(&listener).await);
        let added = allowed(client.register_check(&opened).await);
        assert_eq!((removed, added), (may, may), "replace a check");
    }
    bench.until_shown("offered", |entry| entry.is_some_and(|e| !e.is_critical())).await;
    assert!(bench.node_in_catalog(&node_name(&bench.cfg, &bench.task)).await);
    for id in [&ids.service, &ids.proxy] {
        row!("maintenance", ONLY_SERVICE, |c| c.service_maintenance(id, true, "stopping"));
    }
    bench.until_shown("critical", |entry| entry.is_some_and(|e| e.is_critical())).await;

    // Without a token old ones show an empty list where later ones refuse: it proves nothing.
    let anonymous = agent.client.health_connect(&ids.name, query).await;
    if bench.consul.refuses_anonymous_queries() {
        assert!(!allowed(anonymous));
    } else {
        assert_eq!(anonymous.map(|answer| answer.value), Ok(vec![]));
    }
    for id in [&ids.proxy, &ids.service] {
        let [of_agent, of_service, of_local] = &clients;
        assert!(!allowed(of_agent.deregister(id).await));
        assert!(!allowed(of_local.deregister(id).await));
        assert!(allowed(of_service.deregister(id).await));
    }
    bench.until_shown("gone", |entry| entry.is_none()).await;
}

/// Whoever registers too early learns nothing of its rights: 403 means "not joined yet", as `leader` tells.
async fn before_the_join(bench: &Bench, secrets: &AgentSecrets) {
    let agent = bench.start_agent(secrets).await;
    assert_eq!(agent.client.leader().await, Ok(None));
    let own = service(&bench.cfg, &bench.task, &[]);
    assert!(!allowed(agent.with_token(SERVICE).register(&own, false).await));
    // The local token needs no server.
    assert!(allowed(agent.with_token(LOCAL).agent_self().await));
    agent.process.kill();
    timeout(PATIENCE, agent.process.wait()).await.expect("killed");
}

/// The policies and tokens that 0.4.3's controller makes.
async fn create_tokens(bench: &Bench) {
    let tokens =
        [("client", Token::agent(AGENT)), ("service", Token::service(SERVICE, &bench.ids.name))];
    for (policy, Token { secret, rules }) in tokens {
        create(bench, "/v1/acl/policy", &json!({ "Name": policy, "Rules": rules })).await;
        let policies = [json!({ "Name": policy })];
        create(bench, "/v1/acl/token", &json!({ "SecretID": secret, "Policies": policies })).await;
    }
}

/// A new leader takes a moment until it has its management token.
async fn create(bench: &Bench, call: &str, body: &Value) {
    let began = Instant::now();
    loop {
        let (status, answer) = bench.server_put(call, body).await;
        if status == 200 {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{call}: {status}: {answer}");
        sleep(Duration::from_millis(50)).await;
    }
}
