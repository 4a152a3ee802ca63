//! Registration, checks, maintenance and blocking queries.

use std::time::Duration;

use serde_json::{Value, json};
use testbed::mesh::{Consul, Kind};
use tokio::time::Instant;

use crate::{Mesh, count, executables, until};

const OFFERED: &str = "/v1/health/connect/api?passing";
const ALL: &str = "/v1/health/connect/api";

fn service() -> Value {
    json!({"ID": "api-1", "Name": "api", "Port": 9090,
           "Checks": [{"CheckID": "ttl", "Name": "synced", "TTL": "1h"}]})
}

fn proxy() -> Value {
    json!({
        "Kind": "connect-proxy", "ID": "api-1-sidecar-proxy", "Name": "api-sidecar-proxy",
        "Port": 20000, "Check": null,
        "Checks": [
            {"CheckID": "port", "Name": "Proxy Public Listener", "TCP": "127.0.0.1:1",
             "Interval": "1h"},
            {"Name": "Destination Alias", "AliasService": "api-1"},
        ],
        "Proxy": {"DestinationServiceName": "api", "DestinationServiceID": "api-1",
                  "LocalServicePort": 9090},
    })
}

async fn register(agent: &Consul, body: &Value) {
    agent.put("/v1/agent/service/register", "", body).await.unwrap();
}

async fn pass(agent: &Consul) {
    let body = json!({"Status": "passing", "Output": "ok"});
    agent.put("/v1/agent/check/update/ttl", "", &body).await.unwrap();
}

/// An instance whose TCP check would first run within the hour is offered at once when the check
/// is deregistered and registered again as passing.
async fn offer(agent: &Consul) {
    agent.put("/v1/agent/check/deregister/port", "", &Value::Null).await.unwrap();
    // Here it is `ID`; in a service's registration `CheckID`. The other one is a 400.
    let check = json!({"ID": "port", "Name": "Proxy Public Listener",
        "ServiceID": "api-1-sidecar-proxy", "TCP": "127.0.0.1:1", "Interval": "1h",
        "Status": "passing"});
    agent.put("/v1/agent/check/register", "", &check).await.unwrap();
}

#[tokio::test]
async fn an_instance_is_offered_only_when_all_its_checks_pass() {
    for executable in executables() {
        let mesh = Mesh::start(executable, |_| {}).await;
        let (agent, _) = mesh.agent("n1", json!({})).await;
        register(&agent, &service()).await;
        register(&agent, &proxy()).await;
        until(&mesh.server, ALL, "", |l| count(l) == 1).await;
        pass(&agent).await;
        // The port's check still has its initial status.
        let alias = |l: &Value| l.to_string().contains("All checks passing");
        until(&mesh.server, ALL, "", alias).await;
        let (_, list) = agent.call("GET", OFFERED, "", &Value::Null).await.unwrap();
        assert_eq!(count(&list), 0, "{list}");
        // Registering it again as passing does not help: the old status stays.
        let mut again = proxy();
        again["Checks"][0]["Status"] = "passing".into();
        register(&agent, &again).await;
        let (_, checks) = agent.call("GET", "/v1/agent/checks", "", &Value::Null).await.unwrap();
        assert_eq!(checks["port"]["Status"], "critical");
        assert_eq!(checks["service:api-1-sidecar-proxy:2"]["Status"], "passing");
        offer(&agent).await;
        let list = until(&agent, OFFERED, "", |l| count(l) == 1).await;
        let instance = &list[0];
        assert_eq!(instance["Service"]["ID"], "api-1-sidecar-proxy");
        assert_eq!(instance["Service"]["Proxy"]["DestinationServiceID"], "api-1");
        assert_eq!(instance["Node"]["Node"], "n1");
    }
}

#[tokio::test]
async fn maintenance_survives_a_plain_registration_and_not_a_replacing_one() {
    for executable in executables() {
        let mesh = Mesh::start(executable, |_| {}).await;
        let (agent, _) = mesh.agent("n1", json!({})).await;
        register(&agent, &service()).await;
        let path = "/v1/agent/service/maintenance/api-1?enable=true&reason=stop";
        agent.put(path, "", &Value::Null).await.unwrap();
        pass(&agent).await;
        register(&agent, &service()).await;
        let kept = |l: &Value| l["_service_maintenance:api-1"]["Notes"] == "stop";
        let checks = until(&agent, "/v1/agent/checks", "", kept).await;
        assert_eq!(checks["ttl"]["Status"], "passing");
        let path = "/v1/agent/service/register?replace-existing-checks=true";
        agent.put(path, "", &service()).await.unwrap();
        let gone = |l: &Value| l["_service_maintenance:api-1"].is_null();
        let checks = until(&agent, "/v1/agent/checks", "", gone).await;
        assert_eq!(checks["ttl"]["Status"], "passing");
    }
}

#[tokio::test]
async fn a_consistent_blocking_query_wakes_at_the_change() {
    for executable in executables() {
        let mesh = Mesh::start(executable, |_| {}).await;
        let (agent, _) = mesh.agent("n1", json!({})).await;
        register(&agent, &service()).await;
        register(&agent, &proxy()).await;
        pass(&agent).await;
        offer(&agent).await;
        until(&mesh.server, OFFERED, "", |l| count(l) == 1).await;
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        let url = format!("http://{}{ALL}", agent.http());
        let read = client.get(format!("{url}?consistent")).send().await.unwrap();
        let index = read.headers()["x-consul-index"].to_str().unwrap().to_owned();
        let waiting = client.get(format!("{url}?consistent&index={index}&wait=30s")).send();
        let change = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let path = "/v1/agent/service/maintenance/api-1-sidecar-proxy?enable=true";
            agent.put(path, "", &Value::Null).await.unwrap();
            Instant::now()
        };
        let (answer, changed) = tokio::join!(waiting, change);
        let (answer, late) = (answer.unwrap(), changed.elapsed());
        assert!(late < Duration::from_secs(3), "woke {late:?} after the change");
        let text = answer.text().await.unwrap();
        assert!(text.contains("_service_maintenance:api-1-sidecar-proxy"), "{text}");
        // Nothing new: the wait runs out, with its jitter of a sixteenth.
        let read = client.get(&url).send().await.unwrap();
        let index = read.headers()["x-consul-index"].to_str().unwrap().to_owned();
        let begun = Instant::now();
        client.get(format!("{url}?index={index}&wait=1s")).send().await.unwrap();
        assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_hash_waits_for_the_service_to_change() {
    for executable in executables() {
        let mesh = Mesh::start(executable, |_| {}).await;
        let (agent, _) = mesh.agent("n1", json!({})).await;
        register(&agent, &service()).await;
        let path = "/v1/agent/service/api-1";
        let (_, first) = agent.call("GET", path, "", &Value::Null).await.unwrap();
        let hash = first["ContentHash"].as_str().unwrap();
        let path = format!("{path}?hash={hash}&wait=30s");
        let waiting = agent.call("GET", &path, "", &Value::Null);
        let mut changed = service();
        changed["Port"] = 9999.into();
        let change = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            register(&agent, &changed).await;
        };
        let begun = Instant::now();
        let (answer, ()) = tokio::join!(waiting, change);
        assert_eq!(answer.unwrap().1["Port"], 9999);
        assert!(begun.elapsed() < Duration::from_secs(10));
        agent.put("/v1/agent/service/deregister/api-1", "", &Value::Null).await.unwrap();
        let gone = agent.call("GET", "/v1/agent/service/api-1", "", &Value::Null).await.unwrap();
        assert_eq!(gone, (404, "unknown service ID: api-1".into()));
    }
}

#[tokio::test]
async fn mistakes_are_refused_as_consul_does() {
    for executable in executables() {
        let old = executable.1 == Kind::Old;
        let mesh = Mesh::start(executable, |_| {}).await;
        let (agent, _) = mesh.agent("n1", json!({})).await;
        let register = "/v1/agent/service/register";
        let call =
            async |path: &str, body: Value| agent.call("PUT", path, "", &body).await.unwrap();
        let (code, text) = call(register, json!({"Name": "x", "Bogus": 1})).await;
        assert!(code == 400 && text.to_string().contains("Bogus"), "{code} {text}");
        let (code, text) = call(register, json!({"Name": "x", "Check": {"Bogus": 1}})).await;
        assert!(code == 400 && text.to_string().contains("Bogus"), "{code} {text}");
        let (code, text) = call(register, json!({"Port": 1})).await;
        assert_eq!((code, text), (400, "Missing service name".into()));
        let (code, _) = call(register, json!({"Name": "q", "Kind": "connect-proxy"})).await;
        assert_eq!(code, 400);
        let no_interval = json!({"Name": "x", "Check": {"TCP": "a:1"}});
        assert_eq!(call(register, no_interval).await.0, 400);
        let id = json!({"Name": "x", "Check": {"ID": "a", "TTL": "1s"}});
        assert_eq!(call(register, id).await.0, 400);
        let check_id = json!({"Name": "x", "CheckID": "a", "TTL": "1s"});
        assert_eq!(call("/v1/agent/check/register", check_id).await.0, 400);
        // 1.8.7 answers this with 500.
        let missing = if old { 500 } else { 404 };
        let passing = json!({"Status": "passing"});
        assert_eq!(call("/v1/agent/check/update/nope", passing).await.0, missing);
        assert_eq!(call("/v1/agent/check/update/nope", json!({"Status": "x"})).await.0, 400);
        // 1.8.7 has nothing against this one.
        let missing = if old { 200 } else { 404 };
        assert_eq!(call("/v1/agent/service/deregister/nope", Value::Null).await.0, missing);
        let (code, _) = call("/v1/agent/service/maintenance/nope?enable=true", Value::Null).await;
        assert_eq!(code, 404);
    }
}
