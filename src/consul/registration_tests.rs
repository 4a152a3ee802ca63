use super::*;
use serde_json::{Value, json};

const ARN: &str =
    "arn:aws:ecs:us-west-2:111122223333:task/default/158d1c8083dd49d6b527399fd6414f5c";

fn task() -> TaskIdentity {
    TaskIdentity {
        task_arn: ARN.to_owned(),
        task_id: "158d1c8083dd49d6b527399fd6414f5c".to_owned(),
        family: "Web".to_owned(),
        revision: "26".to_owned(),
        cluster: "default".to_owned(),
        ipv4: Some("10.0.2.106".to_owned()),
        availability_zone: String::new(),
    }
}

fn config(text: Value) -> Config {
    let mut text = text;
    text["consul"] = json!({ "retryJoin": ["10.0.0.10"] });
    serde_json::from_value(text).unwrap()
}

fn both(cfg: &Config, containers: &[&str]) -> (Value, Value) {
    let containers: Vec<_> = containers.iter().map(|&name| name.to_owned()).collect();
    let service = serde_json::to_value(service(cfg, &task(), &containers)).unwrap();
    (service, serde_json::to_value(proxy(cfg, &task())).unwrap())
}

fn built_in_meta() -> Value {
    json!({
        "task-id": "158d1c8083dd49d6b527399fd6414f5c",
        "task-arn": ARN,
        "source": "consul-ecs",
        "ecs-task-definition": "Web:26",
    })
}

#[test]
fn the_least_service_is_named_after_its_family_unchanged() {
    let (service, proxy) = both(&config(json!({ "service": { "port": 9090 } })), &[]);
    assert_eq!(
        service,
        json!({
            "ID": "Web-158d1c8083dd49d6b527399fd6414f5c",
            "Name": "Web",
            "Port": 9090,
            "Meta": built_in_meta(),
            "Check": null,
            "Checks": null,
        })
    );
    assert_eq!(
        proxy,
        json!({
            "Kind": "connect-proxy",
            "ID": "Web-158d1c8083dd49d6b527399fd6414f5c-sidecar-proxy",
            "Name": "Web-sidecar-proxy",
            "Port": 20000,
            "Meta": built_in_meta(),
            "Check": null,
            "Checks": [
                {
                    "CheckID": "Web-158d1c8083dd49d6b527399fd6414f5c-sidecar-proxy-listener",
                    "Name": "Proxy Public Listener",
                    "TCP": "127.0.0.1:20000",
                    "Interval": "10s",
                    "DeregisterCriticalServiceAfter": "10m",
                },
                {
                    "CheckID": "Web-158d1c8083dd49d6b527399fd6414f5c-sidecar-proxy-alias",
                    "Name": "Destination Alias",
                    "AliasService": "Web-158d1c8083dd49d6b527399fd6414f5c",
                },
            ],
            "Proxy": {
                "DestinationServiceName": "Web",
                "DestinationServiceID": "Web-158d1c8083dd49d6b527399fd6414f5c",
                "LocalServicePort": 9090,
                "MeshGateway": {},
                "Expose": {},
            },
        })
    );
}

#[test]
fn a_full_service_carries_everything_to_both_registrations() {
    let cfg = config(json!({
        "service": {
            "name": "api", "port": 8080, "tags": ["v1", "eu"], "meta": { "source": "mine", "team": "a" },
            "weights": { "passing": 3, "warning": 0 }, "enableTagOverride": true,
            "namespace": "ns1", "partition": "p1",
        },
        "proxy": {
            "publicListenerPort": 21000,
            "config": { "protocol": "http" },
            "meshGateway": { "mode": "local" },
            "expose": { "checks": true, "paths": [
                { "listenerPort": 20001, "path": "/health", "localPathPort": 8080, "protocol": "http2" },
            ] },
            "upstreams": [
                { "destinationName": "db", "localBindPort": 5432 },
                {
                    "destinationType": "prepared_query", "destinationName": "q", "destinationNamespace": "n",
                    "destinationPartition": "p", "datacenter": "dc2", "localBindAddress": "127.0.0.2",
                    "localBindPort": 1, "config": { "connect_timeout_ms": 5 }, "meshGateway": { "mode": "none" },
                },
                { "destinationType": "service", "destinationPeer": "other", "destinationName": "x", "localBindPort": 2 },
            ],
        },
        "healthSync": { "ttl": "1500ms" },
    }));
    let (service, proxy) = both(&cfg, &["app", "side"]);
    let meta = json!({
        "task-id": "158d1c8083dd49d6b527399fd6414f5c", "task-arn": ARN,
        "source": "mine", "team": "a", "ecs-task-definition": "Web:26",
    });
    let check = |container: &str| {
        json!({
            "CheckID": format!("api-158d1c8083dd49d6b527399fd6414f5c-{container}-consul-ecs"),
            "Name": "consul ecs synced",
            "TTL": "1500ms",
            "Notes": format!("taskmesh keeps this check equal to the ECS health of container {container}"),
        })
    };
    assert_eq!(
        service,
        json!({
            "ID": "api-158d1c8083dd49d6b527399fd6414f5c", "Name": "api", "Tags": ["v1", "eu"], "Port": 8080,
            "EnableTagOverride": true, "Meta": meta, "Weights": { "Passing": 3, "Warning": 0 },
            "Check": null, "Checks": [check("app"), check("side")], "Namespace": "ns1", "Partition": "p1",
        })
    );
    for key in ["Tags", "EnableTagOverride", "Meta", "Weights", "Namespace", "Partition"] {
        assert_eq!(proxy[key], service[key], "{key}");
    }
    assert_eq!(proxy["Port"], 21000);
    assert_eq!(proxy["Checks"][0]["TCP"], "127.0.0.1:21000");
    assert_eq!(
        proxy["Proxy"],
        json!({
            "DestinationServiceName": "api",
            "DestinationServiceID": "api-158d1c8083dd49d6b527399fd6414f5c",
            "LocalServicePort": 8080,
            "Config": { "protocol": "http" },
            "MeshGateway": { "Mode": "local" },
            "Expose": { "Checks": true, "Paths": [{
                "ListenerPort": 20001, "Path": "/health", "LocalPathPort": 8080, "Protocol": "http2",
                "ParsedFromCheck": false,
            }] },
            "Upstreams": [
                { "DestinationName": "db", "LocalBindPort": 5432, "MeshGateway": {} },
                {
                    "DestinationType": "prepared_query", "DestinationPartition": "p", "DestinationNamespace": "n",
                    "DestinationName": "q", "Datacenter": "dc2", "LocalBindAddress": "127.0.0.2", "LocalBindPort": 1,
                    "Config": { "connect_timeout_ms": 5 }, "MeshGateway": { "Mode": "none" },
                },
                {
                    "DestinationType": "service", "DestinationPeer": "other", "DestinationName": "x",
                    "LocalBindPort": 2, "MeshGateway": {},
                },
            ],
        })
    );
}

#[test]
fn a_service_that_only_calls_others_has_no_port() {
    let cfg = config(json!({ "service": { "name": "batch", "inbound": false, "port": 1 } }));
    let (service, proxy) = both(&cfg, &["job"]);
    assert_eq!(service.get("Port"), None);
    assert_eq!(proxy["Proxy"].get("LocalServicePort"), None);
    assert_eq!(proxy["Port"], 20000);
}

#[test]
fn native_checks_get_consuls_names_and_lose_what_is_empty() {
    let cfg = config(json!({ "service": { "name": "api", "port": 1, "checks": [
        {
            "checkId": "c", "name": "n", "args": ["a"], "interval": "1s", "timeout": "2s", "ttl": "3s", "http": "h",
            "header": { "X": ["y"] }, "method": "M", "body": "b", "tcp": "t", "status": "passing", "notes": "o",
            "tlsServerName": "s", "tlsSkipVerify": true, "grpc": "g", "grpcUseTls": true, "h2ping": "p",
            "h2pingUseTls": true, "aliasNode": "an", "aliasService": "as", "successBeforePassing": 4,
            "failuresBeforeCritical": 5,
        },
        { "http": "http://127.0.0.1:1/", "interval": "5s", "tlsSkipVerify": false, "name": "" },
    ] } }));
    let (service, _) = both(&cfg, &[]);
    assert_eq!(
        service["Checks"],
        json!([
            {
                "CheckID": "c", "Name": "n", "ScriptArgs": ["a"], "Interval": "1s", "Timeout": "2s", "TTL": "3s",
                "HTTP": "h", "Header": { "X": ["y"] }, "Method": "M", "Body": "b", "TCP": "t", "Status": "passing",
                "Notes": "o", "TLSServerName": "s", "TLSSkipVerify": true, "GRPC": "g", "GRPCUseTLS": true,
                "H2PING": "p", "H2PingUseTLS": true, "AliasNode": "an", "AliasService": "as",
                "SuccessBeforePassing": 4, "FailuresBeforeCritical": 5,
            },
            { "HTTP": "http://127.0.0.1:1/", "Interval": "5s" },
        ])
    );
}

#[test]
fn a_check_that_is_registered_alone_says_whose_it_is_and_how_it_starts() {
    let cfg = config(json!({ "service": { "name": "api", "port": 1, "partition": "p1" } }));
    let ids = ServiceIds::new(&cfg.service, &task());
    let check = listener_check(&ids, 20000)
        .of_service(&ids.proxy, &cfg.service)
        .started_as(CheckStatus::Passing);
    assert_eq!(
        serde_json::to_value(check).unwrap(),
        json!({
            "CheckID": "api-158d1c8083dd49d6b527399fd6414f5c-sidecar-proxy-listener",
            "Name": "Proxy Public Listener",
            "ServiceID": "api-158d1c8083dd49d6b527399fd6414f5c-sidecar-proxy",
            "TCP": "127.0.0.1:20000",
            "Interval": "10s",
            "Status": "passing",
            "DeregisterCriticalServiceAfter": "10m",
            "Partition": "p1",
        })
    );
}

#[test]
fn durations_are_gos() {
    assert_eq!(go_duration(Duration::from_secs(30)), "30s");
    assert_eq!(go_duration(Duration::from_secs(3600)), "3600s");
    assert_eq!(go_duration(Duration::from_millis(500)), "500ms");
}

#[test]
fn an_agent_that_knows_localities_is_told_the_tasks() {
    let known = TaskIdentity { availability_zone: "us-west-2d".to_owned(), ..task() };
    let (old, new) = (Version::new(1, 15, 9), Version::new(1, 16, 0));
    let here = Locality { region: "us-west-2".to_owned(), zone: "us-west-2d".to_owned() };
    assert_eq!(locality(&known, new), Some(here.clone()));
    assert_eq!(locality(&known, old), None);
    assert_eq!(locality(&task(), new), None, "the metadata does not say");
    let nowhere = TaskIdentity { task_arn: "something".to_owned(), ..known };
    assert_eq!(locality(&nowhere, new), None, "Consul takes no zone without a region");

    let cfg = config(json!({ "service": { "name": "api", "port": 1 } }));
    for registration in [service(&cfg, &task(), &[]), proxy(&cfg, &task())] {
        let plain = serde_json::to_value(&registration).unwrap();
        let mut located = serde_json::to_value(registration.located(Some(here.clone()))).unwrap();
        assert_eq!(located["Locality"], json!({ "Region": "us-west-2", "Zone": "us-west-2d" }));
        located.as_object_mut().unwrap().remove("Locality");
        assert_eq!(located, plain);
    }
}

#[test]
fn check_ids_are_the_agents_own_and_do_not_move_when_containers_come() {
    let ids = |checks: Value, containers: &[&str]| -> Vec<String> {
        let cfg = config(json!({ "service": { "name": "api", "port": 1, "checks": checks } }));
        let task = TaskIdentity { task_id: "t".to_owned(), ..task() };
        let containers: Vec<_> = containers.iter().map(|&name| name.to_owned()).collect();
        service(&cfg, &task, &containers).check_ids().collect()
    };
    let tcp = json!({ "tcp": "x", "interval": "1s" });
    assert_eq!(ids(json!([tcp]), &[]), ["service:api-t"]);
    assert_eq!(ids(json!([tcp]), &["app"]), ["service:api-t", "api-t-app-consul-ecs"]);
    let named = json!([tcp, { "checkId": "mine", "ttl": "1s" }, tcp]);
    let natives = ["service:api-t:1", "mine", "service:api-t:3"];
    assert_eq!(ids(named.clone(), &[]), natives);
    assert_eq!(ids(named, &["app"])[..3], natives);
    assert_eq!(ids(json!([]), &["a", "b"]), ["api-t-a-consul-ecs", "api-t-b-consul-ecs"]);
    assert_eq!(ids(json!([]), &[]), [] as [&str; 0]);

    // As 0.4.3 has it: where no container is beside them, the agent makes the IDs.
    let cfg = config(json!({ "service": { "name": "api", "port": 1, "checks": [tcp] } }));
    let sent = serde_json::to_value(service(&cfg, &task(), &[])).unwrap();
    assert_eq!(sent["Checks"], json!([{ "TCP": "x", "Interval": "1s" }]));
}

#[path = "golden_tests.rs"]
mod golden;
