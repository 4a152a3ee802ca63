//! The client and the registrations against a real agent in `-dev` mode, named by `CONSUL_BIN`; held to what both
//! 1.8.7 and current versions do.

use super::*;
use crate::config::Config;
use crate::ecs::TaskIdentity;
use serde_json::json;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::time::Instant;

/// Kills the agent when a test ends, however it ends.
struct Agent(Child, #[allow(dead_code, reason = "its folder goes with it")] tempfile::TempDir);

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

async fn free_port() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

async fn start(binary: &std::path::Path) -> (Client, Agent) {
    let dir = tempfile::tempdir().unwrap();
    let version = Command::new(binary).arg("version").output().unwrap();
    let version = parse_version(&String::from_utf8_lossy(&version.stdout)).unwrap();
    let http = free_port().await;
    let mut ports = json!({ "http": http, "grpc": -1, "dns": -1, "serf_wan": -1 });
    ports["server"] = json!(free_port().await);
    ports["serf_lan"] = json!(free_port().await);
    if version >= Version::new(1, 14, 0) {
        ports["grpc_tls"] = json!(-1);
    }
    let config = json!({ "ports": ports, "disable_update_check": true, "bind_addr": "127.0.0.1" });
    let path = dir.path().join("agent.json");
    std::fs::write(&path, config.to_string()).unwrap();
    let mut command = Command::new(binary);
    command.args(["agent", "-dev", "-config-file"]).arg(&path);
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let agent = Agent(child, dir);

    let client = Client::new(&format!("http://127.0.0.1:{http}"), None).unwrap();
    let started = Instant::now();
    loop {
        match client.leader().await {
            Ok(Some(_)) => return (client, agent),
            Ok(None) => {}
            Err(error) => assert!(error.is_unreachable(), "{error}"),
        }
        assert!(started.elapsed() < Duration::from_secs(30), "the agent did not start");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_tasks_life_at_a_real_agent() {
    let binary = match testbed::parts::consul() {
        Ok(binary) => binary,
        Err(missing) => return testbed::skip::skip(&missing.to_string()),
    };
    let (client, _agent) = start(&binary).await;
    let own = client.agent_self().await.unwrap().config;
    assert!(own.server && !own.version.is_empty(), "{own:?}");

    let cfg: Config = serde_json::from_value(json!({
        "service": { "name": "api", "port": 9090, "tags": ["t"] },
        "proxy": {
            "config": { "protocol": "http" }, "meshGateway": { "mode": "local" },
            "expose": { "paths": [
                { "listenerPort": 20001, "path": "/h", "localPathPort": 9090, "protocol": "http" },
            ] },
            "upstreams": [{ "destinationName": "db", "localBindPort": 5432 }],
        },
        "consul": { "retryJoin": ["x"] },
    }))
    .unwrap();
    let task = TaskIdentity { task_id: "t1".to_owned(), ..TaskIdentity::default() };
    let ids = ServiceIds::new(&cfg.service, &task);

    // Nothing is there yet, and each kind of "not there" is told as such.
    assert_eq!(client.service(&ids.service).await, Ok(None));
    let check = ids.check("app");
    let missing = [
        client.deregister(&ids.service).await,
        client.deregister_check(&check).await,
        client.update_check(&check, CheckStatus::Passing, "").await,
        client.service_maintenance(&ids.service, true, "").await,
    ];
    for (call, result) in missing.into_iter().enumerate() {
        // 1.8.7 answers the deregistration of nothing with 200.
        let told = result.as_ref().map_or_else(Error::is_not_found, |()| call < 2);
        assert!(told, "{call}: {result:?}");
    }

    client.register(&service(&cfg, &task, &["app".to_owned()]), true).await.unwrap();
    client.register(&proxy(&cfg, &task), true).await.unwrap();
    let found = client.service(&ids.proxy).await.unwrap().unwrap();
    assert_eq!((found.kind.as_str(), found.port), ("connect-proxy", 20000));
    assert_eq!(client.services().await.unwrap().len(), 2);
    let checks = client.checks().await.unwrap();
    let mut expected = [check.clone(), ids.alias_check(), ids.listener_check()];
    expected.sort();
    assert_eq!(checks.keys().cloned().collect::<Vec<_>>(), expected);
    assert_eq!(checks[&check].status, CheckStatus::Critical);

    // Offered: the app passes, and the listener's check is replaced by one that starts passing.
    client.update_check(&check, CheckStatus::Passing, "ok").await.unwrap();
    client.deregister_check(&ids.listener_check()).await.unwrap();
    let passing = listener_check(&ids, 20000)
        .of_service(&ids.proxy, &cfg.service)
        .started_as(CheckStatus::Passing);
    client.register_check(&passing).await.unwrap();
    let listener = &client.checks().await.unwrap()[&ids.listener_check()];
    assert_eq!(listener.status, CheckStatus::Passing);
    assert_eq!(listener.service_id, ids.proxy);

    let mut query = HealthQuery { consistent: true, ..HealthQuery::default() };
    query.wait = Some(Duration::from_secs(5));
    let started = Instant::now();
    let offered = loop {
        let answer = client.health_connect("api", query).await.unwrap();
        query.index = answer.next_index(query.index);
        let ours = answer.value.iter().find(|entry| entry.service.id == ids.proxy);
        if ours.is_some_and(|entry| !entry.is_critical()) {
            break answer;
        }
        assert!(started.elapsed() < Duration::from_secs(10), "never offered: {answer:?}");
    };
    assert!(offered.index > 0);

    // Maintenance is a critical check of its own, and wakes the blocked query.
    let (changed, put) = tokio::join!(client.health_connect("api", query), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        client.service_maintenance(&ids.proxy, true, "stopping").await
    });
    put.unwrap();
    assert!(changed.unwrap().value[0].is_critical());
    let maintenance = &client.checks().await.unwrap()[&maintenance_check_id(&ids.proxy)];
    assert_eq!((maintenance.status, &maintenance.service_id), (CheckStatus::Critical, &ids.proxy));
    client.service_maintenance(&ids.proxy, false, "").await.unwrap();

    client.deregister(&ids.proxy).await.unwrap();
    client.deregister(&ids.service).await.unwrap();
    assert_eq!(client.services().await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_lock_changes_hands_at_a_real_agent() {
    let binary = match testbed::parts::consul().or_else(|_| testbed::parts::consul187()) {
        Ok(binary) => binary,
        Err(missing) => return testbed::skip::skip(&missing.to_string()),
    };
    let (client, _agent) = start(&binary).await;
    const KEY: &str = "taskmesh/prod/leader";
    let (ttl, delay, wait) =
        (Duration::from_secs(10), Duration::from_secs(1), Duration::from_secs(5));
    let session = async || client.session_create("taskmesh", ttl, delay).await.unwrap();
    assert_eq!(client.lock_key(KEY, 0, wait).await.unwrap().value, None);
    let (one, two) = (session().await, session().await);
    assert!(client.lock_acquire(KEY, &one, "a").await.unwrap());
    assert!(!client.lock_acquire(KEY, &two, "b").await.unwrap());
    let held = client.lock_key(KEY, 0, wait).await.unwrap();
    let key = held.value.clone().unwrap();
    assert_eq!((&key.session, key.text()), (&one, "a".to_owned()));

    // Given back: whoever waits hears of it, and may have it at once.
    let (freed, released) = tokio::join!(client.lock_key(KEY, held.index, wait), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        client.lock_release(KEY, &one).await
    });
    assert_eq!((released, freed.unwrap().value), (Ok(true), Some(LockKey::default())));
    assert!(client.lock_acquire(KEY, &two, "b").await.unwrap());

    // Its session ends: first comes the delay.
    client.session_destroy(&two).await.unwrap();
    assert_eq!(client.session_renew(&two).await, Ok(false));
    assert_eq!(client.session_renew(&one).await, Ok(true));
    let began = Instant::now();
    while !client.lock_acquire(KEY, &one, "a").await.unwrap() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let took = began.elapsed();
    assert!(took > Duration::from_millis(500) && took < Duration::from_secs(5), "{took:?}");
}
