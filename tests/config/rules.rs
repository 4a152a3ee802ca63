//! Rules that span values.

use crate::*;

#[test]
fn each_broken_rule_is_one_error() {
    let check = json!([{"tcp": "127.0.0.1:9090", "status": "fine"}]);
    let table = [
        (
            "/service",
            json!({}),
            "service.port: required, but missing; or set service.inbound to false",
        ),
        (
            "/service/checks",
            check,
            r#"service.checks[0].status: must be "passing", "warning", "critical" or "maintenance", not "fine""#,
        ),
        (
            "/service/name",
            json!(""),
            "service.name: must consist of letters, digits and dashes, not \"\"",
        ),
        ("/consul/retryJoin", json!([]), "consul.retryJoin: must name at least one server"),
        ("/consul/retryJoin", json!(["a", " "]), "consul.retryJoin[1]: must not be empty"),
        (
            "/consul/datacenter",
            json!("eu.west"),
            "consul.datacenter: must consist of letters, digits, dashes and underscores, not \"eu.west\"",
        ),
        ("/consul/gossipKey", json!({"env": ""}), "consul.gossipKey.env: must not be empty"),
        ("/consul/httpPort", json!(9090), "consul.httpPort: port 9090 is taken by service.port"),
        ("/envoy/adminPort", json!(8502), "envoy.adminPort: port 8502 is taken by consul.grpcPort"),
        (
            "/admin/listen",
            json!("127.0.0.1:20000"),
            "admin.listen: port 20000 is taken by proxy.publicListenerPort",
        ),
        (
            "/admin/listen",
            json!("0.0.0.0:19100"),
            "admin.listen: must be a loopback address, not 0.0.0.0",
        ),
        (
            "/proxy/upstreams",
            json!([
                {"destinationName": "a", "localBindPort": 1},
                {"destinationName": "b", "localBindPort": 1, "localBindAddress": "127.0.0.2"},
                {"destinationName": "c", "localBindPort": 1},
            ]),
            "proxy.upstreams[2].localBindPort: port 1 is taken by proxy.upstreams[0].localBindPort",
        ),
        (
            "/proxy/upstreams",
            json!([{"destinationName": "a", "localBindPort": 1, "localBindAddress": "localhost"}]),
            "proxy.upstreams[0].localBindAddress: must be an IP address",
        ),
        (
            "/proxy/expose",
            json!({"paths": [{"listenerPort": 21500, "path": "/m", "localPathPort": 1, "protocol": "grpc"}]}),
            "proxy.expose.paths[0].protocol: must be \"http\" or \"http2\", not \"grpc\"",
        ),
        ("/proxy/config/protocol", json!(2), "proxy.config.protocol: must be a string"),
        ("/healthSync/ttl", json!("2s"), "healthSync.ttl: must be at least 3s, not 2s"),
        (
            "/healthSync/containers",
            json!(["a", "a"]),
            "healthSync.containers[1]: \"a\" is named twice",
        ),
        (
            "/lifecycle/propagation/dwell",
            json!("100ms"),
            "lifecycle.propagation.dwell: must be at least 500ms, not 100ms",
        ),
        (
            "/lifecycle/metadataInterval",
            json!("11s"),
            "lifecycle.metadataInterval: must be at most 10s, not 11s",
        ),
        (
            "/restart/unresponsiveAfter",
            json!("500ms"),
            "restart.unresponsiveAfter: must be 0s (never), or 1s to 1h, not 500ms",
        ),
        (
            "/restart/unresponsiveAfter",
            json!("61m"),
            "restart.unresponsiveAfter: must be 0s (never), or 1s to 1h, not 1h 1m",
        ),
        (
            "/restart/backoff/max",
            json!("50ms"),
            "restart.backoff.max: must be at least backoff.min, 100ms, not 50ms",
        ),
        (
            "/lifecycle/stopTimeout",
            json!("20s"),
            "lifecycle.stopTimeout: 20s is too short: the steps of a stop need 21s 500ms \
             (propagation 5s + dwell 500ms + drain 10s + leave 5s + kill 1s)",
        ),
        (
            "/lifecycle/propagation/minDelay",
            json!("10s"),
            "lifecycle.stopTimeout: 30s is too short: the steps of a stop need 31s \
             (propagation 5s + minDelay 10s + drain 10s + leave 5s + kill 1s)",
        ),
    ];
    for (pointer, value, line) in table {
        assert_eq!(errors_of(&minimal_with(pointer, value)), [line]);
    }
}

#[test]
fn what_every_agent_refuses_is_an_error() {
    let many: serde_json::Map<String, Value> =
        (0..61).map(|i| (format!("k{i}"), json!(""))).collect();
    let check = |id: &str| json!({"checkId": id, "ttl": "10s"});
    let table = [
        ("/service/meta", json!({"a.b": ""}), "service.meta[\"a.b\"]: Consul takes only letters"),
        ("/service/meta", json!({"": ""}), "service.meta[\"\"]: Consul takes only letters"),
        ("/service/meta", json!({"k".repeat(129): ""}), "service.meta.kkk"),
        ("/service/meta", json!({"consul-x": ""}), "service.meta.consul-x: Consul keeps keys"),
        (
            "/service/meta",
            json!({"a": "b".repeat(513)}),
            "service.meta.a: Consul takes at most 512",
        ),
        ("/service/meta", json!(many), "service.meta: Consul takes at most 64 pairs: 61 and 4"),
        (
            "/service/checks",
            json!([check("a"), check("b"), check("a")]),
            "service.checks[2].checkId: \"a\" is given twice",
        ),
        (
            "/service/checks",
            json!([check("_service_maintenance:x")]),
            "service.checks[0].checkId: \"_service_maintenance:x\" is a check of the agent's own",
        ),
        (
            "/service/checks",
            json!([check("api-1-app-consul-ecs")]),
            "service.checks[0].checkId: IDs of taskmesh's own checks end with",
        ),
    ];
    for (pointer, value, line) in table {
        let lines = errors_of(&minimal_with(pointer, value));
        assert!(lines.len() == 1 && lines[0].starts_with(line), "{line}: {lines:?}");
    }
    let mut most = many;
    most.remove("k60");
    let harmless = [json!(most), json!({"k".repeat(128): "v".repeat(512), "Source_-9": "ü"})];
    for meta in harmless {
        assert!(load_value(&minimal_with("/service/meta", meta)).is_ok());
    }
}

#[test]
fn what_an_agent_will_refuse_is_warned_of() {
    let upstream = |more: Value| {
        let mut upstream = json!({"destinationName": "a", "localBindPort": 1});
        upstream.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        upstream
    };
    for (pointer, value, warning) in [
        (
            "/service/checks",
            json!([{"http": "x", "interval": "1s", "ttl": "1s"}]),
            "both an interval",
        ),
        ("/service/checks", json!([{"http": "x"}]), "without an interval"),
        ("/service/checks", json!([{"name": "x"}]), "neither probes"),
        (
            "/service/checks",
            json!([{"tcp": "x", "interval": "1s", "aliasNode": "n"}]),
            "that probes",
        ),
        ("/service/checks", json!([{"aliasService": "x", "ttl": "1s"}]), "alias with a ttl"),
        ("/service/checks", json!([{"ttl": "1s", "status": "maintenance"}]), "the status"),
        ("/service/checks", json!([{"args": ["x"], "interval": "1s"}]), "runs no scripts"),
        ("/proxy/upstreams", json!([upstream(json!({"destinationName": "*"}))]), "wildcard"),
        (
            "/proxy/upstreams",
            json!([upstream(json!({"destinationPeer": "p", "datacenter": "d"}))]),
            "both a peer",
        ),
        (
            "/proxy/upstreams",
            json!([upstream(json!({})), upstream(json!({"localBindPort": 2}))]),
            "same destination",
        ),
    ] {
        let warnings = load_value(&minimal_with(pointer, value.clone())).unwrap().warnings;
        assert!(warnings.iter().any(|w| w.contains(warning)), "{value}: {warnings:?}");
    }
    for harmless in [
        json!([{"ttl": "10s"}, {"aliasService": "x"}, {"grpc": "x", "interval": "10s"}]),
        json!([{"checkId": "a", "ttl": "10s"}, {"checkId": "b", "ttl": "10s", "status": "passing"}]),
    ] {
        let warnings = load_value(&minimal_with("/service/checks", harmless)).unwrap().warnings;
        assert_eq!(warnings, [] as [&str; 0]);
    }
}

#[test]
fn native_checks_and_synced_containers_go_together() {
    let mut document =
        minimal_with("/service/checks", json!([{"tcp": "127.0.0.1:9090", "interval": "5s"}]));
    for containers in [json!(["app"]), json!("auto"), json!([])] {
        document["healthSync"] = json!({"containers": containers});
        let loaded = load_value(&document).unwrap();
        assert_eq!(loaded.config.service.checks.len(), 1);
        assert_eq!(loaded.warnings.len(), 0, "{:?}", loaded.warnings);
    }
}

#[test]
fn what_is_probably_not_meant_is_a_warning() {
    let table = [
        ("/service/name", json!("my_api"), "service.name: not a DNS label"),
        ("/service/name", json!("api.v1"), "service.name: not a DNS label"),
        (
            "/proxy/expose",
            json!({"paths": [{"listenerPort": 21500, "path": "m", "localPathPort": 1}]}),
            "proxy.expose.paths[0].path: does not begin with a slash",
        ),
        ("/service/name", json!("Api"), "service.name: lower case is better"),
        ("/service/inbound", json!(false), "service.port: not used"),
        ("/proxy/config/protocol", json!("udp"), "proxy.config.protocol: not a protocol"),
        (
            "/lifecycle/stopTimeout",
            json!("121s"),
            "lifecycle.stopTimeout: Fargate gives at most 2m",
        ),
        (
            "/lifecycle/stopTimeout",
            json!("115s"),
            "lifecycle.totalStop: is shorter than stopTimeout",
        ),
        (
            "/lifecycle/stopTimeout",
            json!("25s"),
            "lifecycle.propagation.dwellUnacked: does not fit",
        ),
        ("/lifecycle/propagation/dwellUnacked", json!("500ms"), ""),
    ];
    for (pointer, value, warning) in table {
        let warnings = load_value(&minimal_with(pointer, value)).unwrap().warnings;
        if warning.is_empty() {
            assert!(warnings.is_empty(), "{pointer}: {warnings:?}");
        } else {
            assert!(warnings.iter().any(|w| w.starts_with(warning)), "{pointer}: {warnings:?}");
        }
    }
}

#[test]
fn the_longest_duration_does_not_overflow_the_stop_budget() {
    let longest = format!("{}s", u64::MAX);
    let mut document = minimal_with("/lifecycle/drainTimeout", json!(longest));
    document["lifecycle"]["propagation"] = json!({"timeout": longest});
    let lines = errors_of(&document);
    assert!(lines[0].contains("more than can be counted"), "{lines:?}");
}

#[test]
fn native_checks_go_with_any_containers() {
    let mut document =
        minimal_with("/service/checks", json!([{"tcp": "127.0.0.1:9090", "interval": "5s"}]));
    for containers in [json!(["app"]), json!("auto"), json!([])] {
        document["healthSync"] = json!({"containers": containers});
        assert!(load_value(&document).is_ok(), "{containers}");
    }
}
