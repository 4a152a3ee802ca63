//! Registering a task's service and proxy.

use crate::bench::{Agent, Bench};
use serde_json::json;
use taskmesh::consul::{
    AgentSecrets, CheckStatus, HealthEntry, maintenance_check_id, node_name, proxy, service,
};

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
