//! What v0.4.3 accepts.

mod proxy;

use super::*;

fn case(says: &'static str, document: Value, service: Value, proxy: Value) -> Case {
    text(says, document.to_string(), service, proxy)
}

fn text(says: &'static str, document: String, service: Value, proxy: Value) -> Case {
    Case { says, document, expected: Expected::Registered { service, proxy, warnings: vec![] } }
}

impl Case {
    fn warns(mut self, lines: &[&'static str]) -> Self {
        if let Expected::Registered { warnings, .. } = &mut self.expected {
            warnings.extend(lines);
        }
        self
    }
}

pub(super) fn cases() -> Vec<Case> {
    let mut all = whole();
    all.extend(of_service());
    all.extend(of_checks());
    all.extend(proxy::of_proxy());
    all.extend(proxy::of_upstreams());
    all.extend(proxy::of_text());
    all
}

fn whole() -> Vec<Case> {
    let nulls = json!({
        "bootstrapDir": "/consul",
        "healthSyncContainers": null,
        "service": {
            "name": null, "tags": null, "port": 9090, "enableTagOverride": null, "meta": null, "weights": null,
            "checks": null, "namespace": null, "partition": null
        },
        "proxy": {
            "config": null, "publicListenerPort": null, "upstreams": null, "meshGateway": null, "expose": null
        }
    });
    let full = json!({
        "bootstrapDir": "/consul",
        "healthSyncContainers": ["app", "cache"],
        "service": {
            "name": "api", "tags": ["a", "b"], "port": 9090, "enableTagOverride": true, "meta": {"k": "v"},
            "weights": {"passing": 3, "warning": 2}, "namespace": "team", "partition": "east"
        },
        "proxy": {
            "config": {"protocol": "http"},
            "publicListenerPort": 21000,
            "upstreams": [{"destinationName": "db", "localBindPort": 5432}],
            "meshGateway": {"mode": "local"},
            "expose": {"checks": true, "paths": [
                {"listenerPort": 21500, "path": "/metrics", "localPathPort": 9090, "protocol": "http2"}
            ]}
        }
    });
    let copied = json!({
        "Tags": ["a", "b"], "EnableTagOverride": true, "Namespace": "team", "Partition": "east",
        "Weights": {"Passing": 3, "Warning": 2},
        "Meta": {"k": "v", "task-id": ID, "task-arn": ARN, "source": "consul-ecs"}
    });
    let with = |more: Value| {
        let mut whole = copied.clone();
        whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        whole
    };
    let synced = |container: &str| json!({"CheckID": format!("api-{ID}-{container}-consul-ecs"), "Name": "consul ecs synced", "Status": null});
    vec![
        case(
            "the least: the family names the service, unchanged",
            json!({"bootstrapDir": "/consul", "service": {"port": 9090}, "proxy": {}}),
            json!({
                "ID": format!("Web_App-{ID}"), "Name": "Web_App", "Port": 9090, "Checks": null, "Tags": null,
                "Weights": null, "Namespace": null, "Partition": null, "Kind": null, "Proxy": null,
                "Meta": {"task-id": ID, "task-arn": ARN, "source": "consul-ecs"}
            }),
            json!({
                "Kind": "connect-proxy", "ID": format!("Web_App-{ID}-sidecar-proxy"),
                "Name": "Web_App-sidecar-proxy", "Port": 20000,
                "Proxy": {
                    "DestinationServiceName": "Web_App", "DestinationServiceID": format!("Web_App-{ID}"),
                    "LocalServicePort": 9090, "Config": null, "Upstreams": null, "MeshGateway": {}, "Expose": {}
                },
                "Checks": [
                    {
                        "Name": "Proxy Public Listener", "TCP": "127.0.0.1:20000", "Interval": "10s",
                        "DeregisterCriticalServiceAfter": "10m"
                    },
                    {"Name": "Destination Alias", "AliasService": format!("Web_App-{ID}")}
                ]
            }),
        ),
        case(
            "every optional field null",
            nulls,
            json!({"Name": "Web_App", "Port": 9090, "Tags": null, "Checks": null}),
            json!({"Port": 20000, "Proxy": {"Config": null, "Upstreams": null, "MeshGateway": {}}}),
        ),
        case(
            "every kind of field at once",
            full,
            with(json!({
                "ID": format!("api-{ID}"), "Name": "api", "Port": 9090,
                "Checks": [synced("app"), synced("cache")]
            })),
            with(json!({
                "ID": format!("api-{ID}-sidecar-proxy"), "Name": "api-sidecar-proxy", "Port": 21000,
                "Proxy": {
                    "Config": {"protocol": "http"}, "MeshGateway": {"Mode": "local"},
                    "Upstreams": [{"DestinationName": "db", "LocalBindPort": 5432}],
                    "Expose": {"Checks": true, "Paths": [{
                        "ListenerPort": 21500, "Path": "/metrics", "LocalPathPort": 9090, "Protocol": "http2",
                        "ParsedFromCheck": false
                    }]}
                },
                "Checks": [{"TCP": "127.0.0.1:21000"}, {"AliasService": format!("api-{ID}")}]
            })),
        ),
        case(
            "no proxy: 0.4.3 crashes after it has registered the service",
            json!({"bootstrapDir": "/consul", "service": {"port": 9090}}),
            json!({"Port": 9090}),
            json!({"Port": 20000, "Proxy": {"LocalServicePort": 9090}}),
        ),
        case(
            "a proxy of null: the same crash",
            json!({"bootstrapDir": "/consul", "service": {"port": 9090}, "proxy": null}),
            json!({"Port": 9090}),
            json!({"Port": 20000, "Proxy": {"LocalServicePort": 9090}}),
        ),
        case(
            "native checks and synced containers, which 0.4.3 cannot have together",
            json!({
                "bootstrapDir": "/consul", "healthSyncContainers": ["app"], "proxy": {},
                "service": {"port": 9090, "checks": [{"name": "tcp", "tcp": "127.0.0.1:9090", "interval": "5s"}]}
            }),
            json!({"Checks": [
                {"Name": "tcp", "TCP": "127.0.0.1:9090", "Interval": "5s"},
                {"CheckID": format!("Web_App-{ID}-app-consul-ecs")}
            ]}),
            json!({}),
        ),
        case(
            "an empty list of containers",
            json!({"bootstrapDir": "/consul", "healthSyncContainers": [], "service": {"port": 9090}, "proxy": {}}),
            json!({"Checks": null}),
            json!({}),
        ),
        case(
            "any folder to share",
            json!({"bootstrapDir": "any where/at all", "service": {"port": 9090}, "proxy": {}}),
            json!({"Port": 9090}),
            json!({}),
        ),
    ]
}

fn of_service() -> Vec<Case> {
    let same = |says, keys: Value, sent: Value| case(says, service(keys), sent.clone(), sent);
    vec![
        case(
            "an empty name is none",
            service(json!({"name": ""})),
            json!({"Name": "Web_App"}),
            json!({"Name": "Web_App-sidecar-proxy"}),
        ),
        case(
            "a name with a dot works, though DNS cannot find it",
            service(json!({"name": "api.v1"})),
            json!({"ID": format!("api.v1-{ID}"), "Name": "api.v1"}),
            json!({"Name": "api.v1-sidecar-proxy"}),
        )
        .warns(&["service.name: not a DNS label (1 to 63 letters, digits, inner dashes): DNS will not find it",
        ]),
        case(
            "upper case in a name is kept",
            service(json!({"name": "API"})),
            json!({"ID": format!("API-{ID}"), "Name": "API"}),
            json!({"ID": format!("API-{ID}-sidecar-proxy")}),
        )
        .warns(&[
            "service.name: lower case is better: intentions and policies compare names letter by letter",
        ]),
        case(
            "port 0 is a task that only calls others",
            service(json!({"port": 0})),
            json!({"Port": null}),
            json!({"Port": 20000, "Proxy": {"LocalServicePort": null}}),
        ),
        case(
            "the highest port",
            service(json!({"port": 65535})),
            json!({"Port": 65535}),
            json!({"Proxy": {"LocalServicePort": 65535}}),
        ),
        same("tags, the empty one too", json!({"tags": ["", "a", "A"]}), json!({"Tags": ["", "a", "A"]})),
        same("no tags", json!({"tags": []}), json!({"Tags": null})),
        same(
            "the user's metadata wins over the built-in keys",
            json!({"meta": {"source": "mine", "task-id": "1", "empty": ""}}),
            json!({"Meta": {"source": "mine", "task-id": "1", "task-arn": ARN, "empty": ""}}),
        ),
        same(
            "metadata keys in any case are keys of their own",
            json!({"meta": {"Team": "a", "team": "b"}}),
            json!({"Meta": {"Team": "a", "team": "b"}}),
        ),
        same("no metadata", json!({"meta": {}}), json!({"Meta": {"source": "consul-ecs"}})),
        same("the tag override on", json!({"enableTagOverride": true}), json!({"EnableTagOverride": true})),
        same("the tag override off", json!({"enableTagOverride": false}), json!({"EnableTagOverride": null})),
        same(
            "the least weights",
            json!({"weights": {"passing": 1, "warning": 0}}),
            json!({"Weights": {"Passing": 1, "Warning": 0}}),
        ),
        same(
            "a namespace and a partition",
            json!({"namespace": "ns", "partition": "ap"}),
            json!({"Namespace": "ns", "Partition": "ap"}),
        ),
        same(
            "an empty namespace and partition are none",
            json!({"namespace": "", "partition": ""}),
            json!({"Namespace": null, "Partition": null}),
        ),
        same("unknown keys are ignored", json!({"tgas": ["a"], "zone": {"b": 1}}), json!({"Tags": null})).warns(&[
            "service.tgas is ignored, as consul-ecs ignored it: unknown key; did you mean \"tags\"?",
            "service.zone is ignored, as consul-ecs ignored it: unknown key",
        ]),
        case(
            "a key of ours is an unknown one there",
            service(json!({"inbound": false})),
            json!({"Port": 9090}),
            json!({"Proxy": {"LocalServicePort": 9090}}),
        )
        .warns(&["service.inbound is ignored, as consul-ecs ignored it: unknown key"]),
        case(
            "optional keys are found in any case",
            service(json!({"NAME": "api", "Tags": ["a"], "enabletagoverride": true})),
            json!({"Name": "api", "Tags": ["a"], "EnableTagOverride": true}),
            json!({"Name": "api-sidecar-proxy", "Tags": ["a"]}),
        )
        .warns(&[
            "service.NAME is read as \"name\", as consul-ecs did",
            "service.Tags is read as \"tags\", as consul-ecs did",
            "service.enabletagoverride is read as \"enableTagOverride\", as consul-ecs did",
        ]),
    ]
}

fn of_checks() -> Vec<Case> {
    let one = |says, keys: Value, sent: Value| {
        case(says, check(keys), json!({"Checks": [sent]}), json!({"Checks": [{}, {}]}))
    };
    vec![
        // All 23 fields, in checks that Consul takes.
        one(
            "a check over HTTP",
            json!({
                "checkId": "c", "name": "n", "interval": "10s", "timeout": "2s", "http": "https://127.0.0.1:9090/",
                "header": {"A": ["x", "y"], "B": []}, "method": "PUT", "body": "b", "status": "passing",
                "notes": "text", "tlsServerName": "s", "tlsSkipVerify": true, "successBeforePassing": 2,
                "failuresBeforeCritical": 3
            }),
            json!({
                "CheckID": "c", "Name": "n", "Interval": "10s", "Timeout": "2s", "HTTP": "https://127.0.0.1:9090/",
                "Header": {"A": ["x", "y"], "B": []}, "Method": "PUT", "Body": "b", "Status": "passing",
                "Notes": "text", "TLSServerName": "s", "TLSSkipVerify": true, "SuccessBeforePassing": 2,
                "FailuresBeforeCritical": 3
            }),
        ),
        one(
            "a script",
            json!({"args": ["/bin/check", ""], "interval": "1m30s"}),
            json!({"ScriptArgs": ["/bin/check", ""], "Interval": "1m30s", "CheckID": null, "Name": null}),
        )
        .warns(&[
            "service.checks[0].args: the agent runs no scripts: enable_script_checks in consul.extraConfig allows them",
        ]),
        one(
            "a check over TCP",
            json!({"tcp": "127.0.0.1:9090", "interval": "5s", "status": "critical"}),
            json!({"TCP": "127.0.0.1:9090", "Interval": "5s", "Status": "critical"}),
        ),
        one(
            "a check that somebody refreshes",
            json!({"ttl": "1h", "status": "warning"}),
            json!({"TTL": "1h", "Status": "warning", "Interval": null}),
        ),
        one(
            "a check over gRPC",
            json!({"grpc": "127.0.0.1:9090/api", "grpcUseTls": true, "interval": "5s"}),
            json!({"GRPC": "127.0.0.1:9090/api", "GRPCUseTLS": true}),
        ),
        one(
            "a ping over HTTP/2; the decoder spells its key otherwise",
            json!({"h2ping": "127.0.0.1:9090", "h2pingUseTls": true, "interval": "5s"}),
            json!({"H2PING": "127.0.0.1:9090", "H2PingUseTLS": true}),
        ),
        one(
            "an alias",
            json!({"aliasNode": "node", "aliasService": "other"}),
            json!({"AliasNode": "node", "AliasService": "other", "Interval": null}),
        ),
        one(
            "all fields of a check null, but for its name",
            json!({
                "checkId": null, "name": "n", "args": null, "interval": null, "timeout": null, "ttl": "9s",
                "http": null, "header": null, "method": null, "body": null, "tcp": null, "status": null,
                "notes": null, "tlsServerName": null, "tlsSkipVerify": null, "grpc": null, "grpcUseTls": null,
                "h2ping": null, "h2pingUseTls": null, "aliasNode": null, "aliasService": null,
                "successBeforePassing": null, "failuresBeforeCritical": null
            }),
            json!({"Name": "n", "TTL": "9s", "HTTP": null, "Header": null, "Status": null, "CheckID": null}),
        ),
        one(
            "empty text in a check is none",
            json!({"name": "", "tcp": "127.0.0.1:1", "interval": "5s", "timeout": "", "method": ""}),
            json!({"Name": null, "TCP": "127.0.0.1:1", "Timeout": null, "Method": null}),
        ),
        one(
            "a threshold below 0 is as good as 0",
            json!({"ttl": "1s", "successBeforePassing": -1, "failuresBeforeCritical": 0}),
            json!({"SuccessBeforePassing": null, "FailuresBeforeCritical": null}),
        ),
        one(
            "headers without values",
            json!({"http": "http://a", "interval": "1s", "header": {"A": null, "B": ["b"]}}),
            json!({"Header": {"A": null, "B": ["b"]}}),
        ),
        case(
            "several checks keep their order",
            service(
                json!({"checks": [{"name": "b", "ttl": "1s"}, {"name": "a", "ttl": "2s"}, {"name": "b", "ttl": "1s"}]}),
            ),
            json!({"Checks": [{"Name": "b"}, {"Name": "a"}, {"Name": "b"}]}),
            json!({}),
        ),
        case("no checks", service(json!({"checks": []})), json!({"Checks": null}), json!({})),
    ]
}
