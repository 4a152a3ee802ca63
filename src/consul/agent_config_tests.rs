use super::*;
use std::process::Command;

const OLD: Version = Version::new(1, 8, 7);
const NEW: Version = Version::new(1, 23, 0);
const ID: &str = "158d1c8083dd49d6b527399fd6414f5c";
const GOSSIP: &str = "pUqJrVyVRj5jsiYEkM/tFQYfWyJIv4s3XkvDwy7Cu5s=";

fn task() -> TaskIdentity {
    TaskIdentity {
        task_id: ID.to_owned(),
        family: "Web_App".to_owned(),
        ipv4: Some("10.0.2.106".to_owned()),
        ..TaskIdentity::default()
    }
}

fn config(consul: Value) -> Config {
    serde_json::from_value(json!({ "service": { "port": 1 }, "consul": consul })).unwrap()
}

fn full() -> Config {
    config(json!({
        "retryJoin": ["10.0.0.10", "provider=aws tag_key=x"], "datacenter": "eu", "dataDir": "/d", "httpPort": 9500,
        "grpcPort": 9502, "serfPort": 9301, "serverPort": 9300, "nodeName": "n1", "advertiseAddress": "10.9.9.9",
        "bindAddress": "10.0.0.1", "acl": { "defaultPolicy": "allow", "downPolicy": "extend-cache" },
        "tls": { "ca": { "env": "CA" } },
    }))
}

fn secrets(ca_file: &str) -> AgentSecrets {
    AgentSecrets {
        agent_token: Some("agent-token".into()),
        recovery_token: Some("recovery-token".into()),
        gossip_key: Some(GOSSIP.into()),
        ca_file: Some(ca_file.into()),
    }
}

fn least() -> Value {
    json!({
        "node_name": "web-app-158d1c8083dd49d6b527399fd6414f5c",
        "node_id": "158d1c80-83dd-49d6-b527-399fd6414f5c",
        "datacenter": "dc1",
        "data_dir": "/consul/data",
        "bind_addr": "0.0.0.0",
        "advertise_addr": "10.0.2.106",
        "client_addr": "127.0.0.1",
        "addresses": { "dns": "127.0.0.1", "grpc": "127.0.0.1", "http": "127.0.0.1" },
        "ports": {
            "http": 8500, "grpc": 8502, "dns": -1, "serf_lan": 8301, "serf_wan": -1, "server": 8300,
        },
        "retry_join": ["10.0.0.10"],
        "retry_interval": "1s",
        "leave_on_terminate": true,
        "disable_update_check": true,
        "enable_central_service_config": true,
    })
}

#[test]
fn the_least_config_for_an_old_and_a_current_agent() {
    let cfg = config(json!({ "retryJoin": ["10.0.0.10"] }));
    assert_eq!(agent_config(&cfg, &task(), &AgentSecrets::default(), OLD), least());
    let mut expected = least();
    expected["advertise_reconnect_timeout"] = json!("15m");
    assert_eq!(agent_config(&cfg, &task(), &AgentSecrets::default(), NEW), expected);
    expected["telemetry"] = json!({ "disable_compat_1.9": true });
    let between = Version::new(1, 10, 2);
    assert_eq!(agent_config(&cfg, &task(), &AgentSecrets::default(), between), expected);
}

#[test]
fn a_full_config_for_an_old_and_a_current_agent() {
    let mut expected = json!({
        "node_name": "n1",
        "node_id": "158d1c80-83dd-49d6-b527-399fd6414f5c",
        "datacenter": "eu",
        "data_dir": "/d",
        "bind_addr": "10.0.0.1",
        "advertise_addr": "10.9.9.9",
        "client_addr": "127.0.0.1",
        "addresses": { "dns": "127.0.0.1", "grpc": "127.0.0.1", "http": "127.0.0.1" },
        "ports": {
            "http": 9500, "grpc": 9502, "dns": -1, "serf_lan": 9301, "serf_wan": -1, "server": 9300,
        },
        "retry_join": ["10.0.0.10", "provider=aws tag_key=x"],
        "retry_interval": "1s",
        "leave_on_terminate": true,
        "disable_update_check": true,
        "enable_central_service_config": true,
        "encrypt": GOSSIP,
        "auto_encrypt": { "tls": true, "ip_san": ["10.9.9.9"] },
        "verify_outgoing": true,
        "ca_file": "/ca.pem",
        "acl": {
            "enabled": true, "default_policy": "allow", "down_policy": "extend-cache",
            "tokens": { "agent": "agent-token", "agent_master": "recovery-token" },
        },
    });
    assert_eq!(agent_config(&full(), &task(), &secrets("/ca.pem"), OLD), expected);

    let map = expected.as_object_mut().unwrap();
    map.remove("verify_outgoing");
    map.remove("ca_file");
    let tls = json!({ "defaults": { "verify_outgoing": true, "ca_file": "/ca.pem" } });
    map.insert("tls".to_owned(), tls);
    map.insert("advertise_reconnect_timeout".to_owned(), json!("15m"));
    expected["acl"]["tokens"] =
        json!({ "agent": "agent-token", "agent_recovery": "recovery-token" });
    assert_eq!(agent_config(&full(), &task(), &secrets("/ca.pem"), NEW), expected);
}

#[test]
fn a_task_without_an_address_leaves_it_to_the_agent() {
    let cfg = config(json!({ "retryJoin": ["x"] }));
    let task = TaskIdentity { ipv4: None, ..task() };
    let out = agent_config(&cfg, &task, &AgentSecrets::default(), NEW);
    assert_eq!(out.get("advertise_addr"), None);
}

#[test]
fn what_is_printed_holds_no_secret() {
    let config = agent_config(&full(), &task(), &secrets("/ca.pem"), NEW);
    for secret in ["agent-token", "recovery-token", GOSSIP] {
        assert!(config.to_string().contains(secret));
        assert!(!redacted(config.clone()).to_string().contains(secret));
    }
    assert!(!format!("{:?}", secrets("/ca.pem")).contains("agent-token"));
}

#[test]
fn a_default_node_name_is_a_dns_label_that_ends_with_the_whole_task_id() {
    let name = |service: &str, id: &str| {
        let mut cfg = config(json!({ "retryJoin": ["x"] }));
        cfg.service.name = Some(service.to_owned());
        node_name(&cfg, &TaskIdentity { task_id: id.to_owned(), ..task() })
    };
    assert_eq!(name("api", ID), format!("api-{ID}"));
    let long = name("a-service.with_a-name-of-Characters-far-too-long", ID);
    assert_eq!(long, format!("a-service-with-a-name-of-chara-{ID}"));
    assert_eq!(long.len(), LABEL);
    // The cut falls behind a hyphen.
    assert_eq!(
        name("a-service-with-a-name-of-char-x", ID),
        format!("a-service-with-a-name-of-char-{ID}")
    );
    assert_eq!(name("___", ID), ID);
    let strange = "x".repeat(70);
    assert_eq!(name("api", &strange), format!("api-{}", node_id(&strange)));
}

#[test]
fn a_node_id_is_the_task_id_as_a_uuid() {
    let uuid = "158d1c80-83dd-49d6-b527-399fd6414f5c";
    assert_eq!(node_id(ID), uuid);
    assert_eq!(node_id(&uuid.to_uppercase()), uuid);
    // FNV-1a 128 of "foobar", from the test vectors of its authors.
    assert_eq!(node_id("foobar"), "343e1662-793c-64bf-6f0d-3597ba446f18");
    assert_ne!(node_id("task-1"), node_id("task-2"));
}

/// A real agent accepts the keys chosen for its version. It needs a Consul, named by `CONSUL_BIN`.
#[test]
fn a_real_consul_accepts_every_key() {
    let consul = match testbed::parts::consul() {
        Ok(consul) => consul,
        Err(missing) => return testbed::skip::skip(&missing.to_string()),
    };
    let version = Command::new(&consul).arg("version").output().unwrap();
    let version = crate::consul::parse_version(&String::from_utf8_lossy(&version.stdout)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    let path = dir.path().join("agent.json");
    let made = Command::new(&consul).args(["tls", "ca", "create"]).current_dir(&dir).output();
    assert!(made.unwrap().status.success());
    std::fs::rename(dir.path().join("consul-agent-ca.pem"), &ca).unwrap();
    let validate = |config: &Value| {
        std::fs::write(&path, config.to_string()).unwrap();
        let out = Command::new(&consul).arg("validate").arg(&path).output().unwrap();
        let text = [out.stdout, out.stderr].concat();
        (out.status.success(), String::from_utf8_lossy(&text).into_owned())
    };

    let mut cfg = full();
    cfg.consul.bind_address = None;
    cfg.consul.data_dir = dir.path().join("data");
    let secrets = secrets(ca.to_str().unwrap());
    let (valid, text) = validate(&agent_config(&cfg, &task(), &secrets, version));
    assert!(valid, "{text}");
    assert!(!text.to_lowercase().contains("deprecat"), "{text}");

    // What it would refuse, it does refuse: the test can fail.
    let other = if version < AGENT_RECOVERY { NEW } else { Version::new(1, 10, 2) };
    let (valid, text) = validate(&agent_config(&cfg, &task(), &secrets, other));
    assert!(!valid || text.to_lowercase().contains("deprecat"), "{text}");
}
