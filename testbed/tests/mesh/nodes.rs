//! Joining, leaving, dying, and names that are taken.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use testbed::mesh::{AgentOptions, Kind, Ports};
use tokio::time::{Instant, sleep};

use crate::{Mesh, count, executables, until};

const NODES: &str = "/v1/catalog/nodes";

fn has(list: &Value, node: &str) -> bool {
    list.as_array().is_some_and(|l| l.iter().any(|n| n["Node"] == node))
}

#[tokio::test]
async fn a_leave_takes_seconds_and_the_catalog_learns_early() {
    for executable in executables() {
        let real = executable.1 != Kind::Dev;
        let mesh = Mesh::start(executable, |_| {}).await;
        let (mut agent, _) = mesh.agent("n1", json!({})).await;
        let body = json!({"Name": "api"});
        agent.put("/v1/agent/service/register", "", &body).await.unwrap();
        until(&mesh.server, "/v1/health/service/api", "", |l| count(l) == 1).await;
        // A full synchronisation in the first 3 s after a late join would bring the node back.
        sleep(Duration::from_secs(if real { 5 } else { 0 })).await;
        let begun = Instant::now();
        agent.signal(Signal::SIGTERM).unwrap();
        until(&mesh.server, NODES, "", |l| !has(l, "n1")).await;
        let told = begun.elapsed();
        let status = loop {
            if let Some(status) = agent.try_wait().unwrap() {
                break status;
            }
            sleep(Duration::from_millis(10)).await;
        };
        let whole = begun.elapsed();
        assert_eq!(status.code(), Some(0), "{}", agent.log());
        assert!(told < whole && whole > Duration::from_millis(2900), "{told:?} of {whole:?}");
        assert!(whole < Duration::from_secs(15), "{whole:?}");
        let (_, list) =
            mesh.server.call("GET", "/v1/health/service/api", "", &Value::Null).await.unwrap();
        assert_eq!(count(&list), 0, "{list} {}", agent.log());
    }
}

#[tokio::test]
async fn a_killed_agent_is_noticed_after_seconds_and_its_id_may_come_back() {
    for executable in executables() {
        // A real pool of two needs longer to agree that a member is gone.
        let real = executable.1 != Kind::Dev;
        let mesh = Mesh::start(executable, |_| {}).await;
        let id = json!({"node_id": "11111111-2222-4333-8444-555555555555"});
        let (agent, ports) = mesh.agent("n1", id.clone()).await;
        until(&mesh.server, NODES, "", |l| has(l, "n1")).await;
        drop(agent);
        let begun = Instant::now();
        let serf = |status: &'static str| {
            move |l: &Value| {
                l.as_array().is_some_and(|l| {
                    l.iter().any(|c| c["CheckID"] == "serfHealth" && c["Status"] == status)
                })
            }
        };
        until(&mesh.server, "/v1/health/node/n1", "", serf("critical")).await;
        let noticed = begun.elapsed();
        println!("noticed after {noticed:?}");
        assert!(real || noticed > Duration::from_secs(5), "{noticed:?}");
        assert!(noticed < Duration::from_secs(20), "{noticed:?}");
        let folder = tempfile::tempdir().unwrap();
        let mut options = AgentOptions::new(&mesh.server, "n1", ports, folder.path());
        options.extra = id;
        let agent = options.spawn().unwrap();
        agent.ready(crate::PATIENCE).await.unwrap();
        until(&mesh.server, "/v1/health/node/n1", "", serf("passing")).await;
    }
}

#[tokio::test]
async fn a_name_with_another_id_is_reserved_while_its_node_lives() {
    for executable in executables() {
        let mesh = Mesh::start(executable, |_| {}).await;
        let (first, _) = mesh.agent("n1", json!({})).await;
        until(&mesh.server, NODES, "", |l| has(l, "n1")).await;
        let ports = Ports::free().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut options = AgentOptions::new(&mesh.server, "n1", ports, folder.path());
        options.extra = json!({"node_id": "11111111-2222-4333-8444-555555555555"});
        let second = options.spawn().unwrap();
        // Whether the join itself succeeds differs; the catalog must not follow the newcomer.
        drop(second.ready(Duration::from_secs(3)).await);
        let body = json!({"Name": "stranger"});
        let path = "/v1/agent/service/register";
        // A real agent may have ended over the clash.
        drop(second.call("PUT", path, "", &body).await);
        sleep(Duration::from_secs(2)).await;
        let stranger = "/v1/catalog/service/stranger";
        let (_, list) = mesh.server.call("GET", stranger, "", &Value::Null).await.unwrap();
        assert_eq!(count(&list), 0, "{list}");
        drop(first);
    }
}

#[tokio::test]
async fn another_gossip_key_cannot_join() {
    for executable in executables() {
        let key = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
        let mesh = Mesh::start(executable, |o| o.gossip_key = Some(key.into())).await;
        let (_agent, _) = mesh.agent("n1", json!({"encrypt": key})).await;
        let ports = Ports::free().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut options = AgentOptions::new(&mesh.server, "n2", ports, folder.path());
        options.extra = json!({"encrypt": "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY="});
        let stranger = options.spawn().unwrap();
        assert!(stranger.ready(Duration::from_secs(2)).await.is_err());
    }
}

#[tokio::test]
async fn agents_outlive_a_restart_of_the_server() {
    // The stand-in only: it keeps its authority and config entries as a real server does.
    let executable = executables().remove(0);
    let mut mesh = Mesh::start(executable.clone(), |_| {}).await;
    let (agent, _) = mesh.agent("n1", json!({})).await;
    let body = json!({"Name": "api", "Check": {"CheckID": "ttl", "TTL": "1h"}});
    agent.put("/v1/agent/service/register", "", &body).await.unwrap();
    let entry = json!({"Kind": "service-defaults", "Name": "api", "Protocol": "http"});
    agent.put("/v1/config", "", &entry).await.unwrap();
    let roots = until(&agent, "/v1/agent/connect/ca/roots", "", |_| true).await;
    let (http, join) = (mesh.server.http(), mesh.server.join_address());
    let mut options =
        testbed::mesh::ServerOptions::new(executable.0, executable.1, mesh.folder.path());
    let config = std::fs::read_to_string(mesh.folder.path().join("server.json")).unwrap();
    let config: Value = serde_json::from_str(&config).unwrap();
    options.ports = Ports {
        http: http.port(),
        serf: join.port(),
        server: u16::try_from(config["ports"]["server"].as_u64().unwrap()).unwrap(),
        grpc: u16::try_from(config["ports"]["grpc"].as_u64().unwrap()).unwrap(),
    };
    mesh.server.signal(Signal::SIGKILL).unwrap();
    while mesh.server.try_wait().unwrap().is_none() {
        sleep(Duration::from_millis(10)).await;
    }
    let leader = "/v1/status/leader";
    while agent.call("GET", leader, "", &Value::Null).await.unwrap().0 == 200 {
        sleep(Duration::from_millis(10)).await;
    }
    // Local calls go on without servers.
    let update = json!({"Status": "passing"});
    agent.put("/v1/agent/check/update/ttl", "", &update).await.unwrap();
    let server = options.spawn().unwrap();
    server.ready(crate::PATIENCE).await.unwrap();
    agent.ready(crate::PATIENCE).await.unwrap();
    let passing = |l: &Value| count(l) == 1;
    until(&server, "/v1/health/service/api?passing", "", passing).await;
    until(&server, "/v1/config/service-defaults/api", "", |e| e["Protocol"] == "http").await;
    let again = until(&agent, "/v1/agent/connect/ca/roots", "", |_| true).await;
    assert_eq!(roots["Roots"][0]["RootCert"], again["Roots"][0]["RootCert"]);
}
