//! Rules for the Consul agent: TLS, ACLs, sockets, and what users add in its own words.

use crate::*;

/// The minimal document with these keys in `consul`.
fn consul(keys: Value) -> Value {
    let mut document = minimal();
    document["consul"].as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    document
}

fn warnings_of(keys: Value) -> Vec<String> {
    load_value(&consul(keys)).unwrap().warnings
}

#[test]
fn what_cannot_work_is_an_error_that_says_what_to_do() {
    let secret = json!({ "env": "A" });
    let tls = |more: Value| {
        let mut tls = json!({ "ca": { "env": "CA" } });
        tls.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "tls": tls })
    };
    let long = format!("/{}", "s".repeat(107));
    let table = [
        (
            tls(json!({ "cert": secret, "autoEncrypt": false })),
            "consul.tls.key: required, but missing: cert is given",
        ),
        (
            tls(json!({ "key": secret, "autoEncrypt": false })),
            "consul.tls.cert: required, but missing: key is given",
        ),
        (
            tls(json!({ "cert": secret, "key": secret })),
            "consul.tls.cert: set consul.tls.autoEncrypt to false, or leave out cert and key: an agent has a \
             certificate of its own or one from the servers, not both",
        ),
        (
            json!({ "agentToken": secret }),
            "consul.agentToken: not used without consul.acl; to use it, add \"acl\": {}",
        ),
        (
            json!({ "httpSocket": "http.sock" }),
            "consul.httpSocket: must be the absolute path of a socket, not \"http.sock\"",
        ),
        (
            json!({ "grpcSocket": "/run/" }),
            "consul.grpcSocket: must be the absolute path of a socket, not \"/run/\"",
        ),
        (
            json!({ "grpcSocket": long }),
            "consul.grpcSocket: must be at most 107 bytes long, not 108",
        ),
        (
            json!({ "httpSocket": "/run/a b" }),
            "consul.httpSocket: must hold no white space and no {{",
        ),
        (
            json!({ "httpSocket": "/run/http.sock", "httpPort": 8501 }),
            "consul.httpSocket: consul.httpPort is given too; keep one",
        ),
        (
            json!({ "httpSocket": "/run/a.sock", "grpcSocket": "/run/a.sock" }),
            "consul.grpcSocket: is consul.httpSocket too: each needs a socket of its own",
        ),
        (
            json!({ "reconnectTimeout": "30s" }),
            "consul.reconnectTimeout: must be at least 1m, not 30s",
        ),
        (json!({ "retryInterval": "0s" }), "consul.retryInterval: must be at least 100ms, not 0s"),
        (json!({ "extraConfigFiles": [""] }), "consul.extraConfigFiles[0]: must not be empty"),
    ];
    for (keys, line) in table {
        assert_eq!(errors_of(&consul(keys)), [line]);
    }
}

#[test]
fn what_works_is_accepted_without_a_word() {
    let secret = json!({ "env": "A" });
    for keys in [
        json!({ "tls": { "ca": secret } }),
        // The servers are checked, and ask for no certificate.
        json!({ "tls": { "ca": secret, "autoEncrypt": false } }),
        json!({ "tls": {
            "ca": secret, "cert": secret, "key": secret, "autoEncrypt": false, "verifyServerHostname": true,
        }}),
        json!({ "acl": {}, "agentToken": secret, "serviceToken": secret }),
        json!({ "acl": { "defaultPolicy": "allow" } }),
        json!({ "httpSocket": format!("/{}", "s".repeat(106)), "grpcSocket": "/run/grpc.sock" }),
        json!({ "extraConfigFiles": ["/etc/a.hcl", "/etc/b.json"] }),
        json!({ "extraConfig": "bind_addr = \"$ECS_IPV4\"\nlog_level = \"${LEVEL}\"\nlimits { http_max_conns_per_client = 1 }" }),
        json!({ "telemetry": { "dogstatsd_addr": "127.0.0.1:8125" } }),
    ] {
        assert_eq!(warnings_of(keys.clone()), [""; 0], "{keys}");
    }
}

#[test]
fn a_port_beside_a_socket_is_free() {
    let socket = json!({ "httpSocket": "/run/http.sock", "grpcSocket": "/run/grpc.sock" });
    let mut document = consul(socket);
    document["service"]["port"] = json!(8500);
    document["envoy"] = json!({ "adminPort": 8502 });
    assert!(load_value(&document).is_ok());
}

#[test]
fn missing_and_useless_tokens_are_told() {
    let secret = json!({ "env": "A" });
    let begins = |keys: Value, lines: &[&str]| {
        let warnings = warnings_of(keys);
        assert_eq!(warnings.len(), lines.len(), "{warnings:?}");
        for (warning, line) in warnings.iter().zip(lines) {
            assert!(warning.starts_with(line), "{warning}");
        }
    };
    begins(
        json!({ "acl": {} }),
        &["consul.acl: consul.agentToken is missing", "consul.acl: consul.serviceToken is missing"],
    );
    begins(
        json!({ "acl": {}, "agentToken": secret }),
        &["consul.acl: consul.serviceToken is missing"],
    );
    begins(json!({ "serviceToken": secret }), &["consul.serviceToken: without consul.acl"]);
}

#[test]
fn what_a_user_takes_from_us_in_the_agents_words_is_named() {
    let one = |text: &str| {
        let warnings = warnings_of(json!({ "extraConfig": text }));
        assert_eq!(warnings.len(), 1, "{text}: {warnings:?}");
        warnings[0].clone()
    };
    for (text, key) in [
        (r#"{"node_id": "x"}"#, "node_id"),
        (r#"{"ports": {"dns": 53, "http": 8501}}"#, "ports.http"),
        (r#"{"acl": {"tokens": {"agent_recovery": "x"}}}"#, "acl.tokens.agent_recovery"),
        ("leave_on_terminate = false", "leave_on_terminate"),
        ("ports { grpc = 8503 }", "ports.grpc"),
        ("addresses = {\n  http = \"0.0.0.0\"\n}", "addresses.http"),
        ("client_addr = \"0.0.0.0\" # why not", "client_addr"),
    ] {
        let warning = one(text);
        let begins = format!("consul.extraConfig: sets {key}, on which taskmesh relies: ");
        assert!(warning.starts_with(&begins) && warning.len() > begins.len(), "{warning}");
    }
    assert_eq!(
        one("bind_addr = \"$(hostname -i)\" # `id`"),
        "consul.extraConfig: no shell runs: $( and ` stays as it is; only $NAME and ${NAME} are replaced"
    );
    assert!(one("a = \"${B:-c}\"").contains("${B stays"));
    let file = warnings_of(json!({ "extraConfigFiles": ["/etc/agent.conf"] }));
    assert!(file[0].starts_with("consul.extraConfigFiles[0]: Consul takes files"), "{file:?}");
}

#[test]
fn a_printed_configuration_has_no_secret_of_the_agents_words() {
    let document = consul(json!({
        "retryJoin": ["provider=aws tag_key=a secret_access_key=s3cret"],
        "telemetry": { "circonus_api_token": "s3cret", "statsd_address": "10.0.0.1:8125" },
        "extraConfig": "encrypt = \"s3cret\"\nlog_level = \"$LEVEL\"",
    }));
    let env = env([(OURS, &document.to_string())]);
    let (out, code) = cli_check(&Sources::default(), true, &env);
    assert_eq!(code, 0, "{out}");
    assert!(!out.contains("s3cret"), "{out}");
    for shown in ["tag_key=a", "10.0.0.1:8125", "$LEVEL"] {
        assert!(out.contains(shown), "{out}");
    }
}
