//! What v0.4.3 accepts in `proxy`, and as text.

use super::*;

pub(super) fn of_proxy() -> Vec<Case> {
    let sent = |says, given: Value, settings: Value| {
        case(says, proxy(given), json!({"Port": 9090}), json!({"Port": 20000, "Proxy": settings}))
    };
    let exposed =
        json!([{"listenerPort": 21500, "path": "/m", "localPathPort": 9090, "protocol": null}]);
    vec![
        sent("an empty proxy", json!({}), json!({"LocalServicePort": 9090, "Config": null})),
        sent("listener port 0 is the default", json!({"publicListenerPort": 0}), json!({})),
        case(
            "a listener port of its own",
            proxy(json!({"publicListenerPort": 21000})),
            json!({"Port": 9090}),
            json!({"Port": 21000, "Checks": [{"TCP": "127.0.0.1:21000"}, {}]}),
        ),
        sent(
            "opaque config goes through untouched, nulls and empty texts too",
            json!({"config": {"protocol": "grpc", "a": {"b": [1, 2.5, null, {"c": ""}]}, "d": null, "e": 1e3}}),
            json!({"Config": {"protocol": "grpc", "a": {"b": [1, 2.5, null, {"c": ""}]}, "e": 1e3}}),
        ),
        sent(
            "a protocol that Consul does not know",
            json!({"config": {"protocol": "redis"}}),
            json!({"Config": {"protocol": "redis"}}),
        )
        .warns(&[
            "proxy.config.protocol: not a protocol that Consul knows (tcp, http, http2, grpc): treated as tcp",
        ]),
        sent(
            "a protocol that is a number is text to Consul",
            json!({"config": {"protocol": 2}}),
            json!({"Config": {"protocol": "2"}}),
        )
        .warns(&[
            "proxy.config.protocol: not a protocol that Consul knows (tcp, http, http2, grpc): treated as tcp",
        ]),
        sent(
            "a protocol of null is none",
            json!({"config": {"protocol": null, "a": null}}),
            json!({"Config": {"protocol": null, "a": null}}),
        ),
        sent("mesh gateway none", json!({"meshGateway": {"mode": "none"}}), json!({"MeshGateway": {"Mode": "none"}})),
        sent(
            "mesh gateway remote; the object is open",
            json!({"meshGateway": {"mode": "remote", "region": "x"}}),
            json!({"MeshGateway": {"Mode": "remote"}}),
        )
        .warns(&["proxy.meshGateway.region is ignored, as consul-ecs ignored it: unknown key"]),
        sent("unknown keys of the proxy are ignored", json!({"mode": "transparent"}), json!({})).warns(&[
            "proxy.mode is ignored, as consul-ecs ignored it: unknown key",
        ]),
        case(
            "optional keys of the proxy are found in any case",
            proxy(json!({"PublicListenerPort": 21000, "UPSTREAMS": [{"destinationName": "a", "localBindPort": 1}]})),
            json!({}),
            json!({"Port": 21000, "Proxy": {"Upstreams": [{"DestinationName": "a"}]}}),
        )
        .warns(&[
            "proxy.PublicListenerPort is read as \"publicListenerPort\", as consul-ecs did",
            "proxy.UPSTREAMS is read as \"upstreams\", as consul-ecs did",
        ]),
        sent("nothing exposed", json!({"expose": {}}), json!({"Expose": {"Checks": null, "Paths": null}})),
        sent(
            "exposed nulls",
            json!({"expose": {"checks": null, "paths": null}}),
            json!({"Expose": {"Checks": null, "Paths": null}}),
        ),
        sent(
            "an exposed path without a protocol",
            json!({"expose": {"checks": false, "paths": exposed}}),
            json!({"Expose": {"Paths": [{
                "ListenerPort": 21500, "Path": "/m", "LocalPathPort": 9090, "Protocol": null, "ParsedFromCheck": false
            }]}}),
        ),
        sent(
            "exposed keys in any case, unknown ones, and a protocol that Consul writes small",
            json!({"expose": {"PATHS": [
                {"ListenerPort": 21500, "path": "m", "localpathport": 9090, "protocol": "HTTP", "x": 1}
            ]}}),
            json!({"Expose": {"Paths": [{"ListenerPort": 21500, "Path": "m", "LocalPathPort": 9090, "Protocol": "http"}]}}),
        )
        .warns(&[
            "proxy.expose.PATHS is read as \"paths\", as consul-ecs did",
            "proxy.expose.paths[0].ListenerPort is read as \"listenerPort\", as consul-ecs did",
            "proxy.expose.paths[0].localpathport is read as \"localPathPort\", as consul-ecs did",
            "proxy.expose.paths[0].x is ignored, as consul-ecs ignored it: unknown key",
            "proxy.expose.paths[0].path: does not begin with a slash: no request's path is like that",
        ]),
    ]
}

pub(super) fn of_upstreams() -> Vec<Case> {
    let one = |says, keys: Value, sent: Value| {
        case(says, upstream(keys), json!({"Port": 9090}), json!({"Proxy": {"Upstreams": [sent]}}))
    };
    vec![
        one(
            "the least upstream",
            json!({}),
            json!({
                "DestinationName": "db", "LocalBindPort": 5432, "DestinationType": null, "Datacenter": null,
                "LocalBindAddress": null, "Config": null, "MeshGateway": {"Mode": null}
            }),
        ),
        one(
            "every field of an upstream",
            json!({
                "destinationType": "service", "destinationNamespace": "ns", "destinationPartition": "ap",
                "datacenter": "dc2", "localBindAddress": "127.0.0.2", "config": {"connect_timeout_ms": 100, "x": null},
                "meshGateway": {"mode": "local"}
            }),
            json!({
                "DestinationType": "service", "DestinationNamespace": "ns", "DestinationPartition": "ap",
                "Datacenter": "dc2", "LocalBindAddress": "127.0.0.2", "Config": {"connect_timeout_ms": 100},
                "MeshGateway": {"Mode": "local"}
            }),
        ),
        one(
            "every optional field of an upstream null",
            json!({
                "destinationType": null, "destinationNamespace": null, "destinationPartition": null,
                "datacenter": null, "localBindAddress": null, "config": null, "meshGateway": null
            }),
            json!({"DestinationName": "db", "DestinationType": null, "Config": null}),
        ),
        one(
            "empty texts of an upstream are none",
            json!({"datacenter": "", "localBindAddress": "", "destinationNamespace": ""}),
            json!({"Datacenter": null, "LocalBindAddress": null, "DestinationNamespace": null}),
        ),
        one(
            "a prepared query",
            json!({"destinationType": "prepared_query", "destinationName": "nearest-db"}),
            json!({"DestinationType": "prepared_query", "DestinationName": "nearest-db"}),
        ),
        one(
            "an IPv6 address to bind to",
            json!({"localBindAddress": "::1"}),
            json!({"LocalBindAddress": "::1"}),
        ),
        one(
            "an upstream's mesh gateway is open too",
            json!({"meshGateway": {"mode": "none", "Via": "x"}}),
            json!({"MeshGateway": {"Mode": "none"}}),
        )
        .warns(&[
            "proxy.upstreams[0].meshGateway.Via is ignored, as consul-ecs ignored it: unknown key",
        ]),
        case(
            "one port on two addresses",
            proxy(json!({"upstreams": [
                {"destinationName": "a", "localBindPort": 1002},
                {"destinationName": "b", "localBindPort": 1002, "localBindAddress": "127.0.0.2"}
            ]})),
            json!({}),
            json!({"Proxy": {"Upstreams": [
                {"LocalBindPort": 1002, "LocalBindAddress": null},
                {"LocalBindPort": 1002, "LocalBindAddress": "127.0.0.2"}
            ]}}),
        ),
    ]
}

pub(super) fn of_text() -> Vec<Case> {
    let port = json!({"Port": 9090});
    let many: Vec<_> = (0..500)
        .map(|i| json!({"destinationName": format!("s{i}"), "localBindPort": 1 + i}))
        .collect();
    vec![
        text(
            "white space around the document",
            " \t\r\n{\"bootstrapDir\": \"/consul\",\r\n\t\"service\": {\"port\": 9090}, \"proxy\": {} }\n ".to_owned(),
            port.clone(),
            json!({}),
        ),
        text(
            "escapes in texts and keys",
            r#"{"bootstrapDir": "\/consul", "service": {"p\u006frt": 9090, "meta": {"k": "\u00e9\ud83d\ude00"}}}"#.to_owned(),
            json!({"Port": 9090, "Meta": {"k": "é😀"}}),
            json!({}),
        ),
        text(
            "a key that stands twice: the last one counts",
            r#"{"bootstrapDir": "/a", "service": {"port": 1, "port": 9090, "tags": ["x"], "tags": ["y"]}}"#.to_owned(),
            json!({"Port": 9090, "Tags": ["y"]}),
            json!({}),
        )
        .warns(&[
            "CONSUL_ECS_CONFIG_JSON service.port: stands twice; the last one counts, as in consul-ecs",
            "CONSUL_ECS_CONFIG_JSON service.tags: stands twice; the last one counts, as in consul-ecs",
        ]),
        case(
            "500 upstreams",
            proxy(json!({"upstreams": many})),
            port.clone(),
            json!({"Proxy": {"Upstreams": many.iter().map(|u| json!({
                "DestinationName": u["destinationName"], "LocalBindPort": u["localBindPort"]
            })).collect::<Vec<_>>()}}),
        ),
        case(
            "a megabyte of opaque config",
            proxy(json!({"config": {"envoy_extra_static_clusters_json": "x".repeat(1 << 20)}})),
            port.clone(),
            json!({"Proxy": {"Config": {"envoy_extra_static_clusters_json": "x".repeat(1 << 20)}}}),
        ),
        text(
            "opaque config 100 levels deep",
            format!(
                r#"{{"bootstrapDir": "/c", "service": {{"port": 9090}}, "proxy": {{"config": {{"a": {}{}}}}}}}"#,
                "[".repeat(100),
                "]".repeat(100)
            ),
            port,
            json!({}),
        ),
    ]
}
