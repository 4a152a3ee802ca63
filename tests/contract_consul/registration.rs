//! Registering a task's service and proxy.

use crate::bench::{Agent, Bench, PATIENCE, PROMPT};
use serde_json::{Value, json};
use taskmesh::config::Config;
use taskmesh::consul::{
    AgentSecrets, CheckStatus, HealthEntry, Version, differences, locality, maintenance_check_id,
    node_name, proxy, service,
};
use tokio::time::Instant;

impl Bench {
    /// Registers service and proxy as taskmesh does, with one synced container.
    pub(crate) async fn register(&self, agent: &Agent) {
        let synced = ["app".to_owned()];
        let service = service(&self.cfg, &self.task, &synced);
        agent.client.register(&service, false).await.expect("the service's registration");
        let proxy = proxy(&self.cfg, &self.task);
        agent.client.register(&proxy, false).await.expect("the proxy's registration");
    }
}

pub(crate) async fn before_the_join(bench: Bench) {
    let agent = bench.start_agent(&AgentSecrets::default()).await;
    let own = &agent.client;
    assert_eq!(own.leader().await, Ok(None));
    let synced = ["app".to_owned()];
    let service = service(&bench.cfg, &bench.task, &synced);
    own.register(&service, false).await.expect("the service's registration");
    assert!(own.service(&bench.ids.service).await.expect("service").is_some());
    own.update_check(&bench.ids.check("app"), CheckStatus::Passing, "").await.expect("update");
    // A proxy needs what the servers know of its service (`enable_central_service_config`).
    let proxy = proxy(&bench.cfg, &bench.task);
    let early = own.register(&proxy, false).await;
    assert!(early.as_ref().is_err_and(|e| e.is_server_error()), "{early:?}");
    assert_eq!(own.service(&bench.ids.proxy).await, Ok(None));
    assert_eq!(own.leader().await, Ok(None), "there is no server yet");

    bench.start_server(json!({})).await;
    agent.joined().await;
    own.register(&proxy, false).await.expect("the proxy's registration");
    let alias_passes = |entry: Option<&HealthEntry>| {
        let alias = bench.ids.alias_check();
        let of_alias = |e: &HealthEntry| e.checks.iter().find(|c| c.check_id == alias).cloned();
        entry.and_then(of_alias).is_some_and(|check| check.status == CheckStatus::Passing)
    };
    // Its alias shows that what was said of the service before the join is known too.
    bench.until_shown("there, its service passing", alias_passes).await;
    assert!(bench.node_in_catalog(&node_name(&bench.cfg, &bench.task)).await);
}

pub(crate) async fn read_back(bench: Bench) {
    let agent = bench.join().await;
    assert_eq!(agent.client.service(&bench.ids.service).await, Ok(None));
    bench.register(&agent).await;
    let Bench { ids, cfg, task, .. } = &bench;

    let service = agent.client.service(&ids.service).await.expect("service").expect("is there");
    assert_eq!((service.id, service.service), (ids.service.clone(), ids.name.clone()));
    assert_eq!((service.kind.as_str(), service.port), ("", cfg.service.port.unwrap()));
    assert_eq!(service.tags, ["blue"]);
    assert!(!service.content_hash.is_empty());
    for (key, value) in [
        ("task-id", task.task_id.as_str()),
        ("task-arn", task.task_arn.as_str()),
        ("source", "consul-ecs"),
        ("ecs-task-definition", &format!("{}:7", task.family)),
        ("team", "mesh"),
    ] {
        assert_eq!(service.meta.get(key).map(String::as_str), Some(value), "{key}");
    }
    let proxy = agent.client.service(&ids.proxy).await.expect("proxy").expect("is there");
    assert_eq!((proxy.id, proxy.service), (ids.proxy.clone(), ids.proxy_name.clone()));
    let port = cfg.proxy.public_listener_port;
    assert_eq!((proxy.kind.as_str(), proxy.port), ("connect-proxy", port));
    assert_eq!((proxy.tags, proxy.meta), (service.tags, service.meta));
    let both: Vec<_> = agent.client.services().await.expect("services").into_keys().collect();
    assert_eq!(both, [ids.service.clone(), ids.proxy.clone()]);

    let checks = agent.client.checks().await.expect("checks");
    let mut expected = [
        (ids.check("app"), "consul ecs synced", &ids.service),
        (ids.listener_check(), "Proxy Public Listener", &ids.proxy),
        (ids.alias_check(), "Destination Alias", &ids.proxy),
    ];
    expected.sort();
    let found = checks.values().map(|c| (c.check_id.clone(), c.name.as_str(), &c.service_id));
    assert_eq!(found.collect::<Vec<_>>(), expected);
    assert!(checks.values().all(|check| check.status == CheckStatus::Critical), "{checks:#?}");

    // The same from the servers, where the node's own check is beside the proxy's.
    bench
        .until_shown("there with its checks", |entry| entry.is_some_and(|e| e.checks.len() == 3))
        .await;
    let entry = bench.shown().await.expect("is there");
    assert_eq!(entry.node.name, node_name(cfg, task));
    assert_eq!(Some(entry.node.address.as_str()), task.ipv4.as_deref());
    assert_eq!((&entry.service.service, entry.service.port), (&ids.proxy_name, port));
    assert!(entry.is_critical());
    let of_proxy = entry.checks.iter().filter(|check| check.service_id == ids.proxy);
    let mut of_proxy: Vec<_> = of_proxy.map(|check| check.check_id.clone()).collect();
    of_proxy.sort();
    assert_eq!(of_proxy, [ids.alias_check(), ids.listener_check()]);
}

pub(crate) async fn again(bench: Bench) {
    let agent = bench.join().await;
    bench.register(&agent).await;
    let check = bench.ids.check("app");
    let maintenance = maintenance_check_id(&bench.ids.service);
    let own = &agent.client;
    own.update_check(&check, CheckStatus::Passing, "well").await.expect("update");
    own.service_maintenance(&bench.ids.service, true, "trying").await.expect("maintenance");

    bench.register(&agent).await;
    let checks = own.checks().await.expect("checks");
    assert_eq!(checks[&check].status, CheckStatus::Passing);
    assert_eq!(checks[&maintenance].status, CheckStatus::Critical);

    // Over the old check, a first status means nothing.
    let listener = bench.ids.listener_check();
    own.register_check(&bench.passing_listener_check()).await.expect("check");
    assert_eq!(own.checks().await.expect("checks")[&listener].status, CheckStatus::Critical);

    let only = service(&bench.cfg, &bench.task, &["app".to_owned()]);
    own.register(&only, true).await.expect("registration");
    let checks = own.checks().await.expect("checks");
    assert_eq!(checks[&check].status, CheckStatus::Passing);
    assert!(!checks.contains_key(&maintenance), "{checks:#?}");
    assert!(checks.contains_key(&listener), "the proxy's checks are another service's");
}

pub(crate) async fn unknown_field(bench: Bench) {
    let agent = bench.join().await;
    let good = serde_json::to_value(proxy(&bench.cfg, &bench.task)).expect("JSON");
    let call = "/v1/agent/service/register";
    for place in ["", "/Proxy", "/Proxy/Upstreams/0", "/Checks/0"] {
        let mut bad = good.clone();
        bad.pointer_mut(place).expect(place)["Surprise"] = json!(1);
        let (status, body) = bench.agent_put(call, &bad).await;
        assert_eq!(status, 400, "{place}: {body}");
        assert!(body.contains("Surprise"), "{place}: {body}");
    }
    assert_eq!(agent.client.service(&bench.ids.proxy).await, Ok(None));
    assert_eq!(bench.agent_put(call, &good).await.0, 200);
}

pub(crate) async fn ends(bench: Bench) {
    let agent = bench.join().await;
    let own = &agent.client;
    bench.register(&agent).await;
    bench.until_shown("there", |entry| entry.is_some()).await;
    own.deregister(&bench.ids.proxy).await.expect("the proxy's deregistration");
    own.deregister(&bench.ids.service).await.expect("the service's deregistration");
    assert!(own.services().await.expect("services").is_empty());
    assert!(own.checks().await.expect("checks").is_empty());
    bench.until_shown("gone", |entry| entry.is_none()).await;

    // Now that nothing is there, each call says so, ..
    let check = bench.ids.check("app");
    for result in [
        own.update_check(&check, CheckStatus::Passing, "").await,
        own.service_maintenance(&bench.ids.service, true, "").await,
    ] {
        assert!(result.as_ref().is_err_and(|e| e.is_not_found()), "{result:?}");
    }
    // .. save that old agents deregister nothing with success.
    for result in [own.deregister(&bench.ids.service).await, own.deregister_check(&check).await] {
        if bench.consul.tells_unknown_on_deregister() {
            assert!(result.as_ref().is_err_and(|e| e.is_not_found()), "{result:?}");
        } else {
            assert_eq!(result, Ok(()));
        }
    }
}

/// Configurations whose registrations must look at the agent as they were written, whatever it fills in: all that
/// both Consuls take (namespaces, peers, localities and newer checks are golden bodies only), and the least.
fn documents(bench: &Bench) -> Vec<(&'static str, Config)> {
    let mut documents = vec![("as the other tests have it", bench.cfg.clone())];
    let mut add = |name, service: Value, proxy: Value| {
        let mut document = serde_json::to_value(&bench.cfg).expect("JSON");
        document["service"] = service;
        document["proxy"] = proxy;
        document["proxy"]["publicListenerPort"] = json!(bench.cfg.proxy.public_listener_port);
        documents.push((name, serde_json::from_value(document).expect(name)));
    };
    let name = &bench.ids.name;
    add("the least", json!({ "name": name, "port": 9090 }), json!({}));
    add("outbound only", json!({ "name": name, "inbound": false }), json!({}));
    add(
        "exposed checks",
        json!({ "name": name, "port": 9090, "checks": [
            { "http": "http://127.0.0.1:9090/health", "interval": "10s", "timeout": "1s" },
        ] }),
        json!({ "expose": { "checks": true } }),
    );
    add(
        "everything",
        json!({
            "name": name, "port": 9090, "tags": ["b", "a", "B"],
            "meta": { "source": "mine", "empty": "", "k_-9": "a b" },
            "weights": { "passing": 7, "warning": 0 },
            "checks": [
                { "name": "by name", "http": "http://127.0.0.1:9090/", "method": "GET", "interval": "10s",
                  "timeout": "1s", "header": { "X-A": ["1", "2"] }, "tlsSkipVerify": true, "body": "x", "notes": "n", "successBeforePassing": 2, "failuresBeforeCritical": 3 },
                { "tcp": "127.0.0.1:9090", "interval": "10s", "status": "warning" },
                { "checkId": format!("{name}-of-mine"), "ttl": "1m", "status": "passing" },
                { "grpc": "127.0.0.1:9090/api", "grpcUseTls": true, "interval": "1m" },
                { "aliasService": "other" }
            ],
        }),
        json!({
            "config": { "protocol": "http", "local_connect_timeout_ms": 500, "ratio": 0.5, "flag": false,
                        "deep": { "list": [1, "x", { "k": [] }], "empty": {} } },
            "meshGateway": { "mode": "local" },
            "expose": { "paths": [
                { "listenerPort": 21500, "path": "/health", "localPathPort": 9090, "protocol": "http2" },
                { "listenerPort": 21501, "path": "/metrics", "localPathPort": 9091 },
            ] },
            "upstreams": [
                { "destinationName": "db", "localBindPort": 5432 },
                { "destinationType": "prepared_query", "destinationName": "q", "localBindPort": 5433,
                  "localBindAddress": "127.0.0.2", "config": { "connect_timeout_ms": 5 },
                  "meshGateway": { "mode": "none" } },
                { "destinationType": "service", "destinationName": "far", "datacenter": "dc2",
                  "localBindPort": 5434, "meshGateway": { "mode": "remote" },
                  "config": { "protocol": "grpc", "limits": { "max_connections": 3 } } },
            ],
        }),
    );
    documents
}

pub(crate) async fn shown_as_registered(bench: Bench) {
    bench.start_server(json!({})).await;
    let agent = bench.join().await;
    let own = &agent.client;
    let here = locality(&bench.task, bench.consul.version);
    assert_eq!(here.is_some(), bench.consul.version >= Version::new(1, 16, 0));
    // What operators configure for all proxies is merged into what the agent shows.
    let defaults = json!({
        "Kind": "proxy-defaults", "Name": "global", "MeshGateway": { "Mode": "local" },
        "Config": { "protocol": "tcp", "of_the_servers": 1, "deep": { "more": 1 } }
    });
    for (name, document) in documents(&bench) {
        for synced in [&[][..], &["app".to_owned()]] {
            let both = [
                service(&document, &bench.task, synced).located(here.clone()),
                proxy(&document, &bench.task).located(here.clone()),
            ];
            for registration in &both {
                let done = own.register(registration, true).await;
                done.unwrap_or_else(|e| panic!("{name}: {e}: {:#?}", agent.lines()));
                let view = own.service_view(&registration.id, None).await.expect("view");
                let view = view.expect("is there");
                assert_eq!(differences(registration, &view), [], "{name}: {view:#}");
                let checks = own.checks().await.expect("checks");
                for id in registration.check_ids() {
                    let owner = checks.get(&id).map(|check| check.service_id.as_str());
                    assert_eq!(owner, Some(registration.id.as_str()), "{name}: {id}: {checks:#?}");
                }
                let theirs = checks.values().filter(|check| check.service_id == registration.id);
                assert_eq!(theirs.count(), registration.check_ids().count(), "{name}: {checks:#?}");
            }
            own.deregister(&bench.ids.service).await.expect("deregistration");
        }
    }
    let (name, document) = documents(&bench).pop().expect("everything");
    let last = proxy(&document, &bench.task).located(here);
    let (status, body) = bench.server_put("/v1/config", &defaults).await;
    assert_eq!(status, 200, "{body}");
    own.register(&last, false).await.expect("the proxy's registration");
    for _ in 0..50 {
        // It comes when it comes; no view of it may be another registration.
        let view = own.service_view(&last.id, None).await.expect("view").expect("is there");
        assert_eq!(differences(&last, &view), [], "{name}: {view:#}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(bench.server_delete("/v1/config/proxy-defaults/global").await, 200);
}

pub(crate) async fn change_wakes(bench: Bench) {
    let agent = bench.join().await;
    bench.register(&agent).await;
    let own = &agent.client;
    let id = &bench.ids.service;
    let hash = |view: &Value| view["ContentHash"].as_str().expect("a hash").to_owned();
    let before = own.service_view(id, None).await.expect("view").expect("is there");
    let before = hash(&before);

    // Nothing changes, so the answer is held back, and is the same.
    let began = Instant::now();
    let wait = std::time::Duration::from_millis(700);
    let same = own.service_view(id, Some((&before, wait))).await.expect("view").expect("is there");
    assert!(began.elapsed() >= wait, "held back for {:?} only", began.elapsed());
    assert_eq!(hash(&same), before);

    // Somebody registers it with another port: it wakes at once, and tells the difference.
    let mut foreign = service(&bench.cfg, &bench.task, &["app".to_owned()]);
    let ours = foreign.clone();
    foreign.port += 1;
    let meanwhile = async {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        own.register(&foreign, false).await.expect("a foreign registration");
    };
    let began = Instant::now();
    let (woken, ()) = tokio::join!(own.service_view(id, Some((&before, PATIENCE))), meanwhile);
    assert!(began.elapsed() < PROMPT, "{:?}", began.elapsed());
    let woken = woken.expect("view").expect("is there");
    let found = differences(&ours, &woken);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].path.as_str(), found[0].seen.clone()), ("Port", foreign.port.to_string()));

    // It is deregistered: that wakes too.
    let meanwhile = async {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        own.deregister(id).await.expect("a deregistration by mistake");
    };
    let began = Instant::now();
    let hash = hash(&woken);
    let (gone, ()) = tokio::join!(own.service_view(id, Some((&hash, PATIENCE))), meanwhile);
    assert!(began.elapsed() < PROMPT, "{:?}", began.elapsed());
    assert_eq!(gone, Ok(None));
}
