use super::*;
use crate::consul::redacted;
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
        ..AgentSecrets::default()
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
    expected["advertise_reconnect_timeout"] = json!("900s");
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
    map.insert("advertise_reconnect_timeout".to_owned(), json!("900s"));
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
fn an_own_certificate_is_for_the_servers_and_not_for_grpc() {
    let cfg = config(json!({
        "retryJoin": ["x"],
        "tls": {
            "ca": { "env": "CA" }, "cert": { "env": "CERT" }, "key": { "env": "KEY" }, "autoEncrypt": false,
            "verifyServerHostname": true,
        },
    }));
    let secrets = AgentSecrets {
        ca_file: Some("/ca.pem".into()),
        cert_file: Some("/cert.pem".into()),
        key_file: Some("/key.pem".into()),
        ..AgentSecrets::default()
    };
    let new = agent_config(&cfg, &task(), &secrets, TLS_BLOCK);
    let own =
        json!({ "cert_file": "/cert.pem", "key_file": "/key.pem", "verify_server_hostname": true });
    let common = json!({ "verify_outgoing": true, "ca_file": "/ca.pem" });
    assert_eq!(new["tls"], json!({ "defaults": common, "internal_rpc": own }));
    assert_eq!(new.get("auto_encrypt"), None);
    let old = agent_config(&cfg, &task(), &secrets, Version::new(1, 11, 9));
    assert_eq!(old.get("tls"), None);
    for (key, value) in common.as_object().into_iter().chain(own.as_object()).flatten() {
        assert_eq!(&old[key], value, "{key}");
    }
}

#[test]
fn sockets_stand_in_for_the_ports_and_are_ours_alone() {
    let cfg = config(json!({
        "retryJoin": ["x"], "httpSocket": "/run/c/http.sock", "grpcSocket": "/run/c/grpc.sock",
    }));
    for version in [OLD, NEW] {
        let out = agent_config(&cfg, &task(), &AgentSecrets::default(), version);
        assert_eq!(out["addresses"]["http"], "unix:///run/c/http.sock");
        assert_eq!(out["addresses"]["grpc"], "unix:///run/c/grpc.sock");
        assert_eq!(out["unix_sockets"], json!({ "mode": "0600" }));
        assert_eq!((&out["ports"]["http"], &out["ports"]["grpc"]), (&json!(8500), &json!(8502)));
    }
    let one = config(json!({ "retryJoin": ["x"], "grpcSocket": "/run/c/grpc.sock" }));
    let out = agent_config(&one, &task(), &AgentSecrets::default(), NEW);
    assert_eq!(out["addresses"]["http"], "127.0.0.1");
}

#[test]
fn telemetry_partition_and_times_are_the_users() {
    let mut cfg = config(json!({
        "retryJoin": ["x"], "retryInterval": "500ms", "reconnectTimeout": "1h",
        "telemetry": { "dogstatsd_addr": "127.0.0.1:8125", "disable_compat_1.9": false },
    }));
    cfg.service.partition = Some("team-a".to_owned());
    let of = |version| agent_config(&cfg, &task(), &AgentSecrets::default(), version);
    let between = of(COMPAT_FROM);
    let given = json!({ "dogstatsd_addr": "127.0.0.1:8125", "disable_compat_1.9": false });
    assert_eq!(between["telemetry"], given);
    assert_eq!(between["retry_interval"], "500ms");
    assert_eq!(between["advertise_reconnect_timeout"], "3600s");
    assert_eq!(between["partition"], "team-a");
    assert_eq!(of(OLD).get("advertise_reconnect_timeout"), None);
    // Without a word of the user's, ours stays.
    cfg.consul.telemetry.remove("disable_compat_1.9");
    let ours = agent_config(&cfg, &task(), &AgentSecrets::default(), COMPAT_FROM);
    assert_eq!(ours["telemetry"]["disable_compat_1.9"], true);
    assert_eq!(ours["telemetry"]["dogstatsd_addr"], "127.0.0.1:8125");
}

#[test]
fn what_servers_to_join_is_passed_on_as_it_is_written() {
    let join = [
        "10.0.0.10",
        "[2001:db8::1]:8301",
        "consul.example.com:8301",
        "provider=aws tag_key=consul tag_value=\"server one\" region=eu-west-1",
        "provider=k8s label_selector=\"app=consul,component=server\"",
    ];
    let cfg = config(json!({ "retryJoin": join }));
    let out = agent_config(&cfg, &task(), &AgentSecrets::default(), NEW);
    assert_eq!(out["retry_join"], json!(join));
}

#[test]
fn what_is_printed_holds_no_secret() {
    let mut cfg = full();
    cfg.consul.retry_join.push("provider=azure secret_access_key=join-key".to_owned());
    let telemetry = json!({ "circonus_api_token": "metrics-token", "statsd_address": "10.0.0.1" });
    cfg.consul.telemetry = telemetry.as_object().cloned().unwrap();
    for version in [OLD, NEW] {
        let config = agent_config(&cfg, &task(), &secrets("/ca.pem"), version);
        let shown = redacted(config.clone());
        let shown_text = shown.to_string();
        for secret in ["agent-token", "recovery-token", "metrics-token", "join-key", GOSSIP] {
            assert!(config.to_string().contains(secret));
            assert!(!shown_text.contains(secret), "{shown_text}");
        }
        // Everything else is there.
        assert_eq!(shown["acl"]["tokens"]["agent"], "(hidden)");
        assert_eq!(shown["retry_join"][0], config["retry_join"][0]);
        assert_eq!(shown["telemetry"]["statsd_address"], "10.0.0.1");
        assert_eq!(shown.as_object().unwrap().len(), config.as_object().unwrap().len());
        assert!(shown_text.contains("/ca.pem"));
    }
    assert!(!format!("{:?}", secrets("/ca.pem")).contains("agent-token"));
}

/// Real agents accept the keys chosen for their versions: 1.8.7, and the one named by `CONSUL_BIN`.
#[test]
fn a_real_consul_accepts_every_key() {
    for consul in [testbed::parts::consul187(), testbed::parts::consul()] {
        match consul {
            Ok(consul) => accepts_every_key(&consul),
            Err(missing) => testbed::skip::skip(&missing.to_string()),
        }
    }
}

fn accepts_every_key(consul: &Path) {
    let version = Command::new(consul).arg("version").output().unwrap();
    let version = crate::consul::parse_version(&String::from_utf8_lossy(&version.stdout)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    for args in [["tls", "ca", "create"], ["tls", "cert", "create"]] {
        let mut command = Command::new(consul);
        command.args(args).args((args[1] == "cert").then_some("-client"));
        let made = command.current_dir(&dir).output().unwrap();
        assert!(made.status.success(), "{made:?}");
    }
    let validate = |config: &Value| {
        std::fs::write(file("agent.json"), config.to_string()).unwrap();
        let out = Command::new(consul).arg("validate").arg(file("agent.json")).output().unwrap();
        let text = [out.stdout, out.stderr].concat();
        (out.status.success(), String::from_utf8_lossy(&text).into_owned())
    };

    let mut cfg = full();
    cfg.consul.bind_address = None;
    cfg.consul.data_dir = file("data");
    cfg.consul.telemetry.insert("statsd_address".to_owned(), json!("127.0.0.1:8125"));
    let auto = secrets(file("consul-agent-ca.pem").to_str().unwrap());
    let mut own = cfg.clone();
    let tls = own.consul.tls.as_mut().unwrap();
    tls.auto_encrypt = false;
    tls.verify_server_hostname = true;
    own.consul.http_socket = Some(file("http.sock"));
    own.consul.grpc_socket = Some(file("grpc.sock"));
    let mut with_cert = secrets(file("consul-agent-ca.pem").to_str().unwrap());
    with_cert.cert_file = Some(file("dc1-client-consul-0.pem"));
    with_cert.key_file = Some(file("dc1-client-consul-0-key.pem"));
    for (cfg, secrets) in [(&cfg, &auto), (&own, &with_cert)] {
        let (valid, text) = validate(&agent_config(cfg, &task(), secrets, version));
        assert!(valid, "{version}: {text}");
        assert!(!text.to_lowercase().contains("deprecat"), "{version}: {text}");
    }

    // What it would refuse, it does refuse: the test can fail.
    let other = if version < AGENT_RECOVERY { NEW } else { Version::new(1, 10, 2) };
    let (valid, text) = validate(&agent_config(&cfg, &task(), &auto, other));
    assert!(!valid || text.to_lowercase().contains("deprecat"), "{version}: {text}");
}
