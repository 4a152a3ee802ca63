//! The agent: behind sockets, with what users add, with its own certificate, with a data folder that it cannot use.

use crate::faults::kill_child;
use crate::support::{LONG, Seen, assert_started, assert_stopped, cluster};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use taskmesh::timeline::Event;
use testbed::cluster::{Backend, Cluster, TaskPlan};
use testbed::definitions::wrapped;
use testbed::faults::{Kind, Witness};
use testbed::parts;

#[tokio::test]
async fn an_agent_behind_sockets_serves_envoy_and_us_from_t0_to_t3() {
    let Some(cluster) = cluster().await else { return };
    let dir = tempfile::tempdir().expect("dir");
    let socket = |name: &str| dir.path().join("sockets").join(name);
    // As a life before this one left it.
    std::fs::create_dir(dir.path().join("sockets")).expect("dir");
    drop(std::os::unix::net::UnixListener::bind(socket("http")).expect("socket"));
    let plan = TaskPlan::new("api-1", "api", wrapped("api", &[])).config(json!({ "consul": {
        "httpPort": null, "grpcPort": null,
        "httpSocket": socket("http"), "grpcSocket": socket("grpc"),
    }}));
    let task = cluster.task(plan).await.expect("task");
    task.wait_event(Event::Offered, LONG).await.expect("offered");
    // An agent that dies comes back there, and is called there again.
    kill_child(&task, "consul");
    task.wait_event(Event::ChildRestarted, LONG).await.expect("restarted");
    let began = tokio::time::Instant::now();
    while !cluster.offered("api").await.expect("server").iter().any(|(_, critical)| !critical) {
        assert!(began.elapsed() < LONG, "not offered again: {}", task.last_lines(40));
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }

    task.ecs.stop();
    let (result, timeline) = task.wait_stopped(LONG).await.expect("stopped");
    let seen = Seen(timeline);
    assert_started(&seen);
    assert_stopped(&seen);
    assert_eq!(result.container("taskmesh").expect("taskmesh").exit_code, Some(0));
}

/// The real Consuls of this machine: the stand-in keeps no keyring, reads no HCL and speaks no TLS. Of 1.8.7 only the
/// agent is tried: no Envoy of today takes its configuration.
fn real_consuls() -> Vec<Backend> {
    let found = [parts::consul187(), parts::consul()].into_iter().filter_map(|consul| match consul
        .and_then(|consul| parts::envoy().map(|_| consul))
    {
        Ok(consul) => Some(Backend::Consul(consul)),
        Err(missing) => {
            testbed::skip::skip(&missing.to_string());
            None
        }
    });
    found.collect()
}

#[tokio::test]
async fn what_a_user_adds_reaches_the_agent_with_its_variables_replaced() {
    for backend in real_consuls() {
        let name = backend.name();
        let cluster = Cluster::start(backend).await.expect("cluster");
        let dir = tempfile::tempdir().expect("dir");
        let file = dir.path().join("more.hcl");
        std::fs::write(&file, "node_meta { file = \"$TEAM\" team = \"theirs\" }").expect("file");
        let text = r#"
            # In the words of consul-ecs 0.4.3's users.
            bind_addr = "{{ GetPrivateInterfaces | include \"address\" \"$ECS_IPV4\" | attr \"address\" }}"
            node_meta {
              address = "$ECS_IPV4"
              datacenter = "${CONSUL_DATACENTER}"
              literal = "\$TEAM $(id)"
              team = "$TEAM"
            }"#;
        let plan = |host: &str| {
            TaskPlan::new(host, "api", wrapped("api", &[]))
                .config(json!({ "consul": { "extraConfigFiles": [file], "extraConfig": text } }))
                .platform(|spec| {
                    spec.env.insert("TEAM".to_owned(), "mesh".to_owned());
                })
        };
        // Two tasks of one service: neither may claim the other's name.
        let tasks = [
            cluster.task(plan("api-1")).await.expect("task"),
            cluster.task(plan("api-2")).await.expect("task"),
        ];
        let began = tokio::time::Instant::now();
        let nodes = loop {
            let nodes = cluster.server_get("/v1/catalog/nodes").await.expect("server");
            let nodes = nodes.as_array().cloned().unwrap_or_default();
            let ours: Vec<_> = nodes.into_iter().filter(|node| node["Node"] != "server").collect();
            // A node is there at once when it joins, its meta data a moment later.
            if ours.iter().filter(|node| node["Meta"]["team"].is_string()).count() == tasks.len() {
                break ours;
            }
            assert!(began.elapsed() < LONG, "{name}: {ours:#?}\n{}", tasks[0].last_lines(40));
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        };
        for node in &nodes {
            let meta = &node["Meta"];
            assert_eq!(meta["address"], node["Address"], "{name}: {node:#}");
            assert_eq!((&meta["datacenter"], &meta["team"]), (&json!("dc1"), &json!("mesh")));
            assert_eq!(meta["literal"], "$TEAM $(id)");
            assert_eq!(meta["file"], "$TEAM", "files are left as they are");
            let id = node["ID"].as_str().expect("ID").replace('-', "");
            assert_eq!(node["Node"], format!("api-{id}"));
        }
        assert_ne!(nodes[0]["Node"], nodes[1]["Node"]);
        for task in &tasks {
            let lines = task.last_lines(usize::MAX);
            assert!(lines.contains("no shell runs"), "{name}: {lines}");
        }
    }
}

/// A certificate for this name by the authority, and its key.
fn leaf(issuer: &Issuer<'_, KeyPair>, name: &str) -> [String; 2] {
    let key = KeyPair::generate().expect("key");
    let params = CertificateParams::new([name.to_owned()]).expect("name");
    [params.signed_by(&key, issuer).expect("leaf").pem(), key.serialize_pem()]
}

#[tokio::test]
async fn an_own_certificate_from_text_and_files_joins_servers_that_ask_for_one() {
    let key = KeyPair::generate().expect("key");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = params.self_signed(&key).expect("root").pem();
    let issuer = Issuer::new(params, key);
    let ([server_cert, server_key], [cert, key]) =
        (leaf(&issuer, "server.dc1.consul"), leaf(&issuer, "client.dc1.consul"));
    for backend in real_consuls() {
        let name = backend.name();
        let dir = tempfile::tempdir().expect("dir");
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).expect("file");
            path
        };
        // At the top, where 1.8.7 wants it and 1.23 still takes it.
        let tls = json!({
            "ca_file": file("ca.pem", &ca), "verify_incoming": true, "verify_outgoing": true,
            "cert_file": file("server.pem", &server_cert), "key_file": file("server-key.pem", &server_key),
            "ports": { "grpc": -1 },
        });
        let cluster = Cluster::start_with(backend, tls).await.expect("cluster");
        let private = dir.path().join("private");
        let plan = TaskPlan::new("api-1", "api", wrapped("api", &[]))
            .config(json!({
                "consul": { "tls": {
                    "ca": { "env": "CONSUL_CACERT" }, "autoEncrypt": false, "verifyServerHostname": true,
                    "cert": { "file": file("cert.pem", &cert) }, "key": { "env": "AGENT_KEY" },
                }},
                "envoy": { "configDir": private },
            }))
            .platform({
                let (ca, key) = (ca.clone(), key.clone());
                |spec| {
                    spec.env.insert("CONSUL_CACERT".to_owned(), ca);
                    spec.env.insert("AGENT_KEY".to_owned(), key);
                }
            });
        let task = cluster.task(plan).await.expect("task");
        task.wait_event(Event::Registered, LONG).await.unwrap_or_else(|e| panic!("{name}: {e}"));
        until_shown(&cluster, &name).await;
        let mode =
            |path: &Path| std::fs::metadata(path).expect("file").permissions().mode() & 0o777;
        for file in ["consul-ca.pem", "consul-cert.pem", "consul-key.pem", "agent.json"] {
            assert_eq!(mode(&private.join(file)), 0o600, "{file}");
        }
        assert_eq!(mode(&private), 0o700);
        task.ecs.stop();
        task.wait_stopped(LONG).await.expect("stopped");
    }
}

#[tokio::test]
async fn a_data_folder_that_the_agent_cannot_use_is_wiped_and_the_task_is_registered_again() {
    for backend in real_consuls() {
        is_wiped(backend).await;
    }
}

async fn is_wiped(backend: Backend) {
    const KEY: &str = "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s=";
    let name = backend.name();
    let cluster = Cluster::start_with(backend, json!({ "encrypt": KEY })).await.expect("cluster");
    let dir = tempfile::tempdir().expect("dir");
    let data = dir.path().join("data");
    // What an earlier life left: a key that the mesh has replaced since. The agent would prefer it to the configured
    // one.
    let keyring = data.join("serf/local.keyring");
    std::fs::create_dir_all(data.join("serf")).expect("dir");
    std::fs::write(&keyring, "[\"AAAAAAAAAAAAAAAAAAAAAA==\"]").expect("keyring");
    let plan = TaskPlan::new("api-1", "api", wrapped("api", &[]))
        .config(json!({ "consul": { "dataDir": data, "gossipKey": { "env": "GOSSIP" } } }))
        .platform(|spec| {
            spec.env.insert("GOSSIP".to_owned(), KEY.to_owned());
        });
    let task = cluster.task(plan).await.expect("task");
    task.wait_event(Event::Registered, LONG).await.unwrap_or_else(|e| panic!("{name}: {e}"));
    let wiped = |why: &str| {
        let lines = task.last_lines(usize::MAX);
        lines.lines().any(|line| line.contains("data folder wiped") && line.contains(why))
    };
    assert!(wiped("an earlier agent left it"), "{name}: {}", task.last_lines(40));
    until_shown(&cluster, &name).await;

    // A disk that lost a write, and an agent that is killed.
    let mut fault = Witness::of(Kind::Machine, "The agent's data is damaged");
    std::fs::write(&keyring, "gar\0bage").expect("keyring");
    kill_child(&task, "consul");
    task.wait_event(Event::RegistrationRepaired, LONG)
        .await
        .unwrap_or_else(|e| panic!("{name}: {e}"));
    assert!(wiped("Failed to configure keyring"), "{name}: {}", task.last_lines(60));
    assert!(good_keyring(&keyring), "{name}");
    until_shown(&cluster, &name).await;
    fault.shows("log: `data folder wiped`, with the agent's own last words");
    fault.mended("wiped before the next start; registered again under the same node ID");
    task.ecs.stop();
    task.wait_stopped(LONG).await.expect("stopped");
}

fn good_keyring(path: &Path) -> bool {
    std::fs::read(path).is_ok_and(|text| serde_json::from_slice::<Vec<String>>(&text).is_ok())
}

async fn until_shown(cluster: &Cluster, name: &str) {
    let began = tokio::time::Instant::now();
    while cluster.offered("api").await.expect("server").is_empty() {
        assert!(began.elapsed() < LONG, "{name}: the servers do not show it");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
