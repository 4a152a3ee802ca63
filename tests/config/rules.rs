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
fn native_checks_and_named_containers_exclude_each_other() {
    let mut document =
        minimal_with("/service/checks", json!([{"tcp": "127.0.0.1:9090", "interval": "5s"}]));
    document["healthSync"] = json!({"containers": ["app"]});
    assert_eq!(
        errors_of(&document),
        ["service.checks: native checks and healthSync.containers exclude each other"]
    );
    for harmless in [json!("auto"), json!([])] {
        document["healthSync"] = json!({"containers": harmless});
        assert!(load_value(&document).is_ok());
    }
}

#[test]
fn what_is_probably_not_meant_is_a_warning() {
    let table = [
        ("/service/name", json!("my_api"), "service.name: not a DNS label"),
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
