use super::super::types::{
    Expose, ExposePath, Locality, MeshGateway, ProxyConfig, Registration, Upstream,
};
use super::*;
use serde_json::json;

fn proxy() -> Registration {
    let upstream = |name: &str, port| Upstream {
        destination_name: name.to_owned(),
        local_bind_port: port,
        ..Upstream::default()
    };
    let json = |value: Value| value.as_object().unwrap().clone();
    Registration {
        kind: "connect-proxy".to_owned(),
        id: "api-1-sidecar-proxy".to_owned(),
        name: "api-sidecar-proxy".to_owned(),
        tags: vec!["a".to_owned(), "b".to_owned()],
        port: 20000,
        meta: [("team".to_owned(), "x".to_owned())].into(),
        locality: Some(Locality { region: "r".to_owned(), zone: "r-a".to_owned() }),
        proxy: Some(ProxyConfig {
            destination_service_name: "api".to_owned(),
            destination_service_id: "api-1".to_owned(),
            local_service_port: 9090,
            config: json(json!({ "protocol": "http", "n": 1, "deep": { "a": [1] } })),
            upstreams: vec![
                upstream("db", 5432),
                Upstream {
                    destination_type: "prepared_query",
                    local_bind_address: "127.0.0.2".to_owned(),
                    datacenter: "dc2".to_owned(),
                    mesh_gateway: MeshGateway { mode: "none" },
                    config: json(json!({ "limits": { "max_connections": 3 } })),
                    ..upstream("q", 5433)
                },
            ],
            mesh_gateway: MeshGateway::default(),
            expose: Expose {
                checks: true,
                paths: vec![ExposePath {
                    listener_port: 21500,
                    path: "/h".to_owned(),
                    local_path_port: 9090,
                    ..ExposePath::default()
                }],
            },
        }),
        ..Registration::default()
    }
}

/// As an agent shows it: what is filled in and what the servers add is there.
fn view() -> Value {
    json!({
        "Kind": "connect-proxy", "ID": "api-1-sidecar-proxy", "Service": "api-sidecar-proxy", "Tags": ["a", "b"],
        "Meta": { "team": "x" }, "Port": 20000, "Address": "", "Weights": { "Passing": 1, "Warning": 1 },
        "EnableTagOverride": false, "ContentHash": "1", "Datacenter": "dc1",
        "Locality": { "Region": "r", "Zone": "r-a" },
        "Proxy": {
            "DestinationServiceName": "api", "DestinationServiceID": "api-1", "LocalServicePort": 9090,
            "LocalServiceAddress": "127.0.0.1", "Mode": "",
            "Config": { "protocol": "http", "n": 1.0, "deep": { "a": [1], "more": 2 }, "of_the_servers": true },
            "MeshGateway": { "Mode": "local" },
            "Expose": { "Checks": true, "Paths": [
                { "ListenerPort": 21500, "Path": "/h", "LocalPathPort": 9090, "Protocol": "http" },
            ] },
            "Upstreams": [
                {
                    "DestinationType": "service", "DestinationNamespace": "default", "DestinationName": "db",
                    "DestinationPartition": "default", "LocalBindPort": 5432, "MeshGateway": { "Mode": "local" },
                    "Config": { "connect_timeout_ms": 1 },
                },
                {
                    "DestinationType": "prepared_query", "DestinationName": "q", "Datacenter": "dc2",
                    "LocalBindAddress": "127.0.0.2", "LocalBindPort": 5433, "MeshGateway": { "Mode": "none" },
                    "Config": { "limits": { "max_connections": 3 }, "protocol": "tcp" },
                },
            ],
        },
    })
}

#[test]
fn what_agents_fill_in_and_servers_add_is_no_difference() {
    assert_eq!(differences(&proxy(), &view()), []);
    let least = Registration { name: "x".to_owned(), ..Registration::default() };
    let view = json!({ "Service": "x", "Tags": [], "Meta": {}, "Port": 0, "Weights": { "Passing": 1, "Warning": 1 } });
    assert_eq!(differences(&least, &view), []);
}

#[test]
fn whatever_another_registration_changes_is_told_by_its_place() {
    for (pointer, value, path) in [
        ("/Kind", json!(""), "Kind"),
        ("/Service", json!("other"), "Service"),
        ("/Tags", json!(["b", "a"]), "Tags"),
        ("/Meta", json!({}), "Meta"),
        ("/Meta", json!({ "team": "x", "extra": "y" }), "Meta"),
        ("/Port", json!(1), "Port"),
        ("/Weights", json!({ "Passing": 10, "Warning": 1 }), "Weights"),
        ("/EnableTagOverride", json!(true), "EnableTagOverride"),
        ("/Locality", Value::Null, "Locality"),
        ("/Proxy", Value::Null, "Proxy.DestinationServiceName"),
        ("/Proxy/DestinationServiceName", json!("web"), "Proxy.DestinationServiceName"),
        ("/Proxy/DestinationServiceID", json!("api-2"), "Proxy.DestinationServiceID"),
        ("/Proxy/LocalServicePort", json!(1), "Proxy.LocalServicePort"),
        ("/Proxy/Config/protocol", json!("tcp"), "Proxy.Config.protocol"),
        ("/Proxy/Config/deep", json!({ "a": [2] }), "Proxy.Config.deep.a"),
        ("/Proxy/Expose/Checks", json!(false), "Proxy.Expose.Checks"),
        ("/Proxy/Expose/Paths/0/Path", json!("/x"), "Proxy.Expose.Paths[0].Path"),
        ("/Proxy/Expose/Paths", json!([]), "Proxy.Expose.Paths"),
        ("/Proxy/Upstreams", json!([]), "Proxy.Upstreams"),
        ("/Proxy/Upstreams/0/DestinationName", json!("db2"), "Proxy.Upstreams[0].DestinationName"),
        (
            "/Proxy/Upstreams/0/DestinationType",
            json!("prepared_query"),
            "Proxy.Upstreams[0].DestinationType",
        ),
        (
            "/Proxy/Upstreams/0/DestinationNamespace",
            json!("n"),
            "Proxy.Upstreams[0].DestinationNamespace",
        ),
        ("/Proxy/Upstreams/0/LocalBindPort", json!(1), "Proxy.Upstreams[0].LocalBindPort"),
        ("/Proxy/Upstreams/1/Datacenter", json!(""), "Proxy.Upstreams[1].Datacenter"),
        ("/Proxy/Upstreams/1/MeshGateway", json!({}), "Proxy.Upstreams[1].MeshGateway.Mode"),
        (
            "/Proxy/Upstreams/1/Config",
            json!({}),
            "Proxy.Upstreams[1].Config.limits.max_connections",
        ),
    ] {
        let mut view = view();
        *view.pointer_mut(pointer).expect(pointer) = value;
        let paths: Vec<String> =
            differences(&proxy(), &view).into_iter().map(|found| found.path).collect();
        assert_eq!(paths.first().map(String::as_str), Some(path), "{pointer}: {paths:?}");
        assert!(paths.len() == 1 || pointer == "/Proxy", "{pointer}: {paths:?}");
    }
}

#[test]
fn tags_that_others_may_change_are_theirs() {
    let intent = Registration { enable_tag_override: true, ..proxy() };
    let mut view = view();
    view["EnableTagOverride"] = json!(true);
    view["Tags"] = json!(["theirs"]);
    assert_eq!(differences(&intent, &view), []);
}
