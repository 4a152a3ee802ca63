//! Bodies as a whole. Consul's community edition takes no namespace and 1.8.7 neither a locality, a peer nor H2PING, so
//! only their spelling is tried here (`api/agent.go` of Consul).

use super::*;

/// Every field that there is, each with a value of its own.
#[test]
fn everything_that_can_be_set_is_on_the_wire() {
    let cfg = config(json!({
        "service": {
            "name": "api", "port": 8080, "tags": ["v1", "eu"], "meta": { "task-id": "mine", "team": "a" },
            "weights": { "passing": 3, "warning": 2 }, "enableTagOverride": true,
            "namespace": "ns1", "partition": "p1",
            "checks": [{
                "checkId": "c", "name": "n", "args": ["a"], "interval": "1s", "timeout": "2s", "ttl": "3s",
                "http": "h", "header": { "X": ["y", "z"] }, "method": "M", "body": "b", "tcp": "t",
                "status": "passing", "notes": "o", "tlsServerName": "s", "tlsSkipVerify": true, "grpc": "g",
                "grpcUseTls": true, "h2ping": "p", "h2pingUseTls": true, "aliasNode": "an", "aliasService": "as",
                "successBeforePassing": 4, "failuresBeforeCritical": 5,
            }],
        },
        "proxy": {
            "publicListenerPort": 21000,
            "config": { "protocol": "http", "deep": { "null": null, "list": [1, "x"] } },
            "meshGateway": { "mode": "remote" },
            "expose": { "checks": true, "paths": [
                { "listenerPort": 20001, "path": "/h", "localPathPort": 8081, "protocol": "http" },
            ] },
            "upstreams": [{
                "destinationType": "service", "destinationName": "db", "destinationNamespace": "n",
                "destinationPartition": "p", "destinationPeer": "other", "datacenter": "dc2",
                "localBindAddress": "127.0.0.2", "localBindPort": 1, "config": { "connect_timeout_ms": 5 },
                "meshGateway": { "mode": "local" },
            }],
        },
    }));
    let task = TaskIdentity { availability_zone: "us-west-2d".to_owned(), ..task() };
    let here = locality(&task, Version::new(1, 23, 0));
    let id = "api-158d1c8083dd49d6b527399fd6414f5c";
    let meta = json!({
        "task-id": "mine", "task-arn": ARN, "source": "consul-ecs", "ecs-task-definition": "Web:26", "team": "a",
    });
    assert_eq!(
        serde_json::to_value(service(&cfg, &task, &[]).located(here.clone())).unwrap(),
        json!({
            "ID": id, "Name": "api", "Tags": ["v1", "eu"], "Port": 8080, "EnableTagOverride": true, "Meta": meta,
            "Weights": { "Passing": 3, "Warning": 2 }, "Check": null,
            "Checks": [{
                "CheckID": "c", "Name": "n", "ScriptArgs": ["a"], "Interval": "1s", "Timeout": "2s", "TTL": "3s",
                "HTTP": "h", "Header": { "X": ["y", "z"] }, "Method": "M", "Body": "b", "TCP": "t",
                "Status": "passing", "Notes": "o", "TLSServerName": "s", "TLSSkipVerify": true, "GRPC": "g",
                "GRPCUseTLS": true, "H2PING": "p", "H2PingUseTLS": true, "AliasNode": "an", "AliasService": "as",
                "SuccessBeforePassing": 4, "FailuresBeforeCritical": 5,
            }],
            "Namespace": "ns1", "Partition": "p1", "Locality": { "Region": "us-west-2", "Zone": "us-west-2d" },
        })
    );
    assert_eq!(
        serde_json::to_value(super::proxy(&cfg, &task).located(here)).unwrap(),
        json!({
            "Kind": "connect-proxy", "ID": format!("{id}-sidecar-proxy"), "Name": "api-sidecar-proxy",
            "Tags": ["v1", "eu"], "Port": 21000, "EnableTagOverride": true, "Meta": meta,
            "Weights": { "Passing": 3, "Warning": 2 }, "Check": null,
            "Checks": [
                {
                    "CheckID": format!("{id}-sidecar-proxy-listener"), "Name": "Proxy Public Listener",
                    "TCP": "127.0.0.1:21000", "Interval": "10s", "DeregisterCriticalServiceAfter": "10m",
                },
                {
                    "CheckID": format!("{id}-sidecar-proxy-alias"), "Name": "Destination Alias", "AliasService": id,
                },
            ],
            "Proxy": {
                "DestinationServiceName": "api", "DestinationServiceID": id, "LocalServicePort": 8080,
                "Config": { "protocol": "http", "deep": { "null": null, "list": [1, "x"] } },
                "MeshGateway": { "Mode": "remote" },
                "Expose": { "Checks": true, "Paths": [{
                    "ListenerPort": 20001, "Path": "/h", "LocalPathPort": 8081, "Protocol": "http",
                    "ParsedFromCheck": false,
                }] },
                "Upstreams": [{
                    "DestinationType": "service", "DestinationPartition": "p", "DestinationNamespace": "n",
                    "DestinationPeer": "other", "DestinationName": "db", "Datacenter": "dc2",
                    "LocalBindAddress": "127.0.0.2", "LocalBindPort": 1, "Config": { "connect_timeout_ms": 5 },
                    "MeshGateway": { "Mode": "local" },
                }],
            },
            "Namespace": "ns1", "Partition": "p1", "Locality": { "Region": "us-west-2", "Zone": "us-west-2d" },
        })
    );
}

/// The bodies as consul-ecs 0.4.3 sends them, key by key, but for what this module's text says.
#[test]
fn the_bodies_of_an_old_task_are_kept() {
    let cfg = config(json!({
        "service": {
            "name": "api", "port": 9090, "tags": ["v1"], "meta": { "a": "b" }, "enableTagOverride": false,
            "checks": [{ "checkId": "c1", "http": "http://localhost:9090/health", "interval": "10s", "timeout": "5s" }],
        },
        "proxy": {
            "upstreams": [{ "destinationName": "asdf", "localBindPort": 543, "meshGateway": { "mode": "local" } }],
            "config": { "data": "some-config-data" },
        },
    }));
    let (service, proxy) = both(&cfg, &[]);
    let id = "api-158d1c8083dd49d6b527399fd6414f5c";
    let meta = json!({
        "task-id": "158d1c8083dd49d6b527399fd6414f5c", "task-arn": ARN, "source": "consul-ecs", "a": "b",
        "ecs-task-definition": "Web:26",
    });
    assert_eq!(
        service,
        json!({
            "ID": id, "Name": "api", "Tags": ["v1"], "Port": 9090, "Meta": meta, "Check": null,
            "Checks": [{
                "CheckID": "c1", "HTTP": "http://localhost:9090/health", "Interval": "10s", "Timeout": "5s",
            }],
        })
    );
    assert_eq!(
        proxy,
        json!({
            "Kind": "connect-proxy", "ID": format!("{id}-sidecar-proxy"), "Name": "api-sidecar-proxy", "Tags": ["v1"],
            "Port": 20000, "Meta": meta, "Check": null,
            "Checks": [
                {
                    "CheckID": format!("{id}-sidecar-proxy-listener"), "Name": "Proxy Public Listener",
                    "TCP": "127.0.0.1:20000", "Interval": "10s", "DeregisterCriticalServiceAfter": "10m",
                },
                {
                    "CheckID": format!("{id}-sidecar-proxy-alias"), "Name": "Destination Alias", "AliasService": id,
                },
            ],
            "Proxy": {
                "DestinationServiceName": "api", "DestinationServiceID": id, "LocalServicePort": 9090,
                "Config": { "data": "some-config-data" },
                "Upstreams": [
                    { "DestinationName": "asdf", "LocalBindPort": 543, "MeshGateway": { "Mode": "local" } },
                ],
                "MeshGateway": {}, "Expose": {},
            },
        })
    );
}
