//! What v0.4.3 refuses in `proxy`, and as text.

use super::*;

pub(super) fn of_proxy() -> Vec<Case> {
    let one = |says, given: Value, line: &'static str| case(says, proxy(given), &[line]);
    vec![
        one(
            "opaque config that is no object",
            json!({"config": []}),
            "proxy.config: must be an object or null, not a list",
        ),
        one(
            "a protocol that is no text (0.4.3 accepts it; Consul cannot read the config then)",
            json!({"config": {"protocol": ["http"]}}),
            "proxy.config.protocol: must be a string",
        ),
        one(
            "a listener port as text",
            json!({"publicListenerPort": "20000"}),
            "proxy.publicListenerPort: must be a whole number from 0 to 65535 or null, not a string",
        ),
        one(
            "a listener port that is too high (0.4.3 accepts it; nothing can listen there)",
            json!({"publicListenerPort": 70000}),
            "proxy.publicListenerPort: must be a whole number from 0 to 65535 or null, not 70000",
        ),
        one(
            "the listener on the app's port (0.4.3 accepts it; only one of them can listen)",
            json!({"publicListenerPort": 9090}),
            "proxy.publicListenerPort: port 9090 is taken by service.port",
        ),
        one(
            "a mesh gateway without a mode",
            json!({"meshGateway": {}}),
            "proxy.meshGateway.mode: required, but missing",
        ),
        one(
            "a mesh gateway's mode in another case",
            json!({"meshGateway": {"Mode": "local"}}),
            "proxy.meshGateway.mode: required, but missing; \"Mode\" is another key",
        ),
        one(
            "a mesh gateway's mode that is none",
            json!({"meshGateway": {"mode": "LOCAL"}}),
            "proxy.meshGateway.mode: must be \"none\", \"local\" or \"remote\", not \"LOCAL\"",
        ),
        one(
            "expose of a wrong type, which only 0.4.3's decoder sees",
            json!({"expose": {"checks": "yes"}}),
            "proxy.expose.checks: must be true or false or null, not a string",
        ),
        one(
            "an exposed port as text",
            json!({"expose": {"paths": [{"listenerPort": "1", "path": "/", "localPathPort": 2}]}}),
            "proxy.expose.paths[0].listenerPort: must be a whole number from 1 to 65535, not a string",
        ),
        one(
            "an exposed path without a port (0.4.3 accepts it; Consul never does)",
            json!({"expose": {"paths": [{"path": "/", "localPathPort": 2}]}}),
            "proxy.expose.paths[0].listenerPort: required, but missing",
        ),
        one(
            "an exposed protocol that is none (0.4.3 accepts it; Consul never does)",
            json!({"expose": {"paths": [
                {"listenerPort": 1, "path": "/", "localPathPort": 2, "protocol": "tcp"}
            ]}}),
            "proxy.expose.paths[0].protocol: must be \"http\" or \"http2\", not \"tcp\"",
        ),
    ]
}

pub(super) fn of_upstreams() -> Vec<Case> {
    let one = |says, keys: Value, line: &'static str| case(says, upstream(keys), &[line]);
    vec![
        case(
            "an upstream without its two required keys",
            proxy(json!({"upstreams": [{}]})),
            &[
                "proxy.upstreams[0].destinationName: required, but missing",
                "proxy.upstreams[0].localBindPort: required, but missing",
            ],
        ),
        case(
            "an upstream with a key in another case",
            proxy(json!({"upstreams": [{"destinationName": "db", "localBindport": 1}]})),
            &[
                "proxy.upstreams[0].localBindPort: required, but missing",
                "proxy.upstreams[0].localBindport: unknown key; did you mean \"localBindPort\"?",
            ],
        ),
        one(
            "an upstream's peer, which came later",
            json!({"destinationPeer": "east"}),
            "proxy.upstreams[0].destinationPeer: unknown key; did you mean \"destinationName\"?",
        ),
        one(
            "an upstream's type that is none",
            json!({"destinationType": "query"}),
            "proxy.upstreams[0].destinationType: must be \"service\", \"prepared_query\" or null, not \"query\"",
        ),
        one(
            "an upstream's name of null",
            json!({"destinationName": null}),
            "proxy.upstreams[0].destinationName: must be a string, not null",
        ),
        one(
            "an upstream's port of null",
            json!({"localBindPort": null}),
            "proxy.upstreams[0].localBindPort: must be a whole number from 1 to 65535, not null",
        ),
        one(
            "an upstream without a name (0.4.3 accepts it; Consul never does)",
            json!({"destinationName": ""}),
            "proxy.upstreams[0].destinationName: must not be empty",
        ),
        one(
            "an upstream on port 0 (0.4.3 accepts it; Consul never does)",
            json!({"localBindPort": 0}),
            "proxy.upstreams[0].localBindPort: must be a whole number from 1 to 65535, not 0",
        ),
        one(
            "an upstream on a name (0.4.3 accepts it; Envoy never does)",
            json!({"localBindAddress": "localhost"}),
            "proxy.upstreams[0].localBindAddress: must be an IP address",
        ),
        one(
            "an upstream's mesh gateway without a mode",
            json!({"meshGateway": {}}),
            "proxy.upstreams[0].meshGateway.mode: required, but missing",
        ),
        case(
            "an upstream of null",
            proxy(json!({"upstreams": [null]})),
            &["proxy.upstreams[0]: must be an object, not null"],
        ),
        case(
            "two upstreams on one port (0.4.3 accepts it; Consul never does)",
            proxy(json!({"upstreams": [
                {"destinationName": "a", "localBindPort": 1}, {"destinationName": "b", "localBindPort": 1}
            ]})),
            &[
                "proxy.upstreams[1].localBindPort: port 1 is taken by proxy.upstreams[0].localBindPort",
            ],
        ),
    ]
}

pub(super) fn of_text() -> Vec<Case> {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    vec![
        text(
            "no JSON",
            "service: {}",
            &["CONSUL_ECS_CONFIG_JSON: not JSON: expected value at line 1 column 1"],
        ),
        text(
            "a document that is cut off",
            "{\"service\": {",
            &["CONSUL_ECS_CONFIG_JSON: not JSON: EOF while parsing an object at line 1 column 13"],
        ),
        text(
            "a comma too many",
            "{\"bootstrapDir\": \"/c\",}",
            &["CONSUL_ECS_CONFIG_JSON: not JSON: trailing comma at line 1 column 23"],
        ),
        text(
            "something behind the document",
            "{} {}",
            &["CONSUL_ECS_CONFIG_JSON: not JSON: trailing characters at line 1 column 4"],
        ),
        text(
            "a byte order mark",
            "\u{feff}{}",
            &[
                "CONSUL_ECS_CONFIG_JSON: not JSON: begins with a byte order mark; save it as UTF-8 without one",
            ],
        ),
        text(
            "a number that no computer holds",
            r#"{"bootstrapDir": "/c", "service": {"port": 1e999}}"#,
            &["CONSUL_ECS_CONFIG_JSON: not JSON: number out of range at line 1 column 48"],
        ),
        text(
            "a hundred thousand levels",
            &deep,
            &["CONSUL_ECS_CONFIG_JSON: not JSON: recursion limit exceeded at line 1 column 128"],
        ),
        text(
            "an object that stands twice (0.4.3 checks the last one, and uses a mixture of both)",
            r#"{"bootstrapDir": "/c", "service": {"port": 1, "name": "a"}, "service": {"port": 2}}"#,
            &["service: stands twice in the same object"],
        ),
    ]
}
