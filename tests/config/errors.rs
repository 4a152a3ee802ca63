//! What the schema refuses.

use crate::*;

#[test]
fn every_error_is_reported_at_once_each_with_its_path() {
    let document = json!({
        "service": {"name": "my api", "prot": 9090, "tags": "blue", "weights": {"passing": 1}},
        "proxy": {
            "publicListenerPort": 70000,
            "meshGateway": {"mode": "remot"},
            "upstreams": [{"destinationName": "db", "localBindPort": 0}, {"localBindPort": 1, "datacentre": "dc2"}],
        },
        "healthSync": {"containers": "all", "ttl": "1s"},
        "consul": {
            "retry_join": ["10.0.0.10"],
            "httpPort": 8500.5,
            "gossipKey": "s3cret",
            "agentToken": {"env": "A", "file": "B"},
            "tls": {"ca": {"vault": "x"}},
        },
        "envoy": {"onBudgetSpent": "die"},
        "lifecycle": {"stopTimeout": "5 parsecs", "drainTimeout": 10, "leave": "never"},
        "restart": {"budget": -1},
        "admin": {"listen": "localhost:19100"},
        "log": {"level": "loud"},
        "banana": {},
        "upstreams": [],
    });
    let expected = [
        r#"admin.listen: not an IP address and port: "localhost:19100"; write "127.0.0.1:19100""#,
        r#"banana: unknown key"#,
        r#"consul.agentToken: must be an object with exactly one key, "env", "file" or "secretsManager""#,
        r#"consul.gossipKey: must be an object with exactly one key, "env", "file" or "secretsManager", not a string"#,
        r#"consul.httpPort: must be a whole number from 1 to 65535, not 8500.5"#,
        r#"consul.retryJoin: required, but missing"#,
        r#"consul.retry_join: unknown key; did you mean "retryJoin"?"#,
        r#"consul.tls.ca.vault: unknown key; known here: "env", "file" or "secretsManager""#,
        r#"envoy.onBudgetSpent: must be "stop" or "keep", not "die""#,
        r#"healthSync.containers: must be "auto" or a list, not "all""#,
        r#"healthSync.ttl: must be at least 3s, not 1s"#,
        r#"lifecycle.drainTimeout: must be a duration such as "30s", not 10"#,
        r#"lifecycle.leave: must be "last" or "first", not "never""#,
        r#"lifecycle.stopTimeout: not a duration: "5 parsecs"; write "500ms", "30s", "1m 50s""#,
        r#"log.level: must be "error", "warn", "info", "debug" or "trace", not "loud""#,
        r#"proxy.meshGateway.mode: must be "none", "local" or "remote", not "remot""#,
        r#"proxy.publicListenerPort: must be a whole number from 1 to 65535, not 70000"#,
        r#"proxy.upstreams[0].localBindPort: must be a whole number from 1 to 65535, not 0"#,
        r#"proxy.upstreams[1].datacentre: unknown key; did you mean "datacenter"?"#,
        r#"proxy.upstreams[1].destinationName: required, but missing"#,
        r#"restart.budget: must be a whole number from 0 to 4294967295, not -1"#,
        r#"service.name: must consist of letters, digits and dashes, not "my api""#,
        r#"service.prot: unknown key; did you mean "port"?"#,
        r#"service.tags: must be a list, not a string"#,
        r#"service.weights.warning: required, but missing"#,
        r#"upstreams: unknown key; did you mean "proxy.upstreams"?"#,
    ];
    assert_eq!(errors_of(&document), expected);
}

#[test]
fn a_secret_where_its_reference_belongs_is_not_repeated() {
    for value in
        [json!("s3cret"), json!(["s3cret"]), json!({"value": "s3cret"}), json!({"env": ["s3cret"]})]
    {
        let lines = errors_of(&minimal_with("/consul/agentToken", value));
        assert!(lines[0].starts_with("consul.agentToken"), "{lines:?}");
        assert!(!lines.join("\n").contains("s3cret"), "{lines:?}");
    }
}

#[test]
fn a_mistyped_key_does_not_cause_a_second_error_about_its_default() {
    // With the default stopTimeout of 30 s a drain of 1 m would not fit; but the user gave 2 m, by a wrong key.
    let mut document = minimal_with("/lifecycle/stopTimout", json!("2m"));
    document["lifecycle"]["drainTimeout"] = json!("1m");
    assert_eq!(
        errors_of(&document),
        ["lifecycle.stopTimout: unknown key; did you mean \"stopTimeout\"?"]
    );
}

#[test]
fn null_is_taken_for_an_optional_value_only() {
    assert!(load_value(&minimal_with("/service/name", Value::Null)).is_ok());
    assert!(load_value(&minimal_with("/proxy/meshGateway", Value::Null)).is_ok());
    assert_eq!(
        errors_of(&minimal_with("/proxy/publicListenerPort", Value::Null)),
        ["proxy.publicListenerPort: must be a whole number from 1 to 65535, not null"]
    );
    assert_eq!(
        errors_of(&minimal_with("/lifecycle", Value::Null)),
        ["lifecycle: must be an object, not null"]
    );
}
