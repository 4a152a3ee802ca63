//! The environment of a v0.4.3 task, beside its document.

use super::*;
use taskmesh::config::{Acl, AclDefaultPolicy, AclDownPolicy, Secret};

const PEM: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";

fn loaded_with<const N: usize>(
    ours: Value,
    variables: [(&str, &str); N],
) -> Result<Loaded, ConfigErrors> {
    let mut all = env(variables);
    all.insert(OURS.to_owned(), ours.to_string());
    all.insert(LEGACY.to_owned(), service(json!({})).to_string());
    load(&Sources::default(), &all)
}

fn ours() -> Value {
    json!({"consul": {"retryJoin": ["10.0.0.10"]}})
}

fn secret(name: &str) -> Option<Secret> {
    Some(Secret::Env(name.to_owned()))
}

#[test]
fn all_of_it_is_taken_where_ours_says_nothing() {
    let loaded = loaded_with(
        ours(),
        [
            ("AGENT_TOKEN", "agent-secret"),
            ("CONSUL_HTTP_TOKEN", "service-secret"),
            ("CONSUL_CACERT", PEM),
            ("CONSUL_GOSSIP_ENCRYPTION_KEY", "gossip-secret"),
            ("CONSUL_DATACENTER", "dc2"),
            ("CONSUL_NAMESPACE", "team"),
            ("CONSUL_PARTITION", "east"),
        ],
    )
    .unwrap();
    let consul = &loaded.config.consul;
    assert_eq!(consul.datacenter, "dc2");
    assert_eq!(consul.agent_token, secret("AGENT_TOKEN"));
    assert_eq!(consul.service_token, secret("CONSUL_HTTP_TOKEN"));
    assert_eq!(consul.gossip_key, secret("CONSUL_GOSSIP_ENCRYPTION_KEY"));
    let same = load_value(&json!({
        "service": {"port": 9090},
        "consul": {"retryJoin": ["10.0.0.10"], "tls": {"ca": {"env": "CONSUL_CACERT"}, "autoEncrypt": true}}
    }));
    assert_eq!(consul.tls, same.unwrap().config.consul.tls);
    assert_eq!(
        consul.acl,
        Some(Acl {
            default_policy: AclDefaultPolicy::Deny,
            down_policy: AclDownPolicy::AsyncCache
        })
    );
    let (service, proxy) = registered(&loaded.config);
    for sent in [service, proxy] {
        assert_eq!((&sent["Namespace"], &sent["Partition"]), (&json!("team"), &json!("east")));
    }
    assert_eq!(loaded.warnings, [""; 0]);
    assert_eq!(
        loaded.notes[1],
        "taken from the environment, as consul-ecs 0.4.3 does: consul.datacenter by CONSUL_DATACENTER, \
         service.namespace by CONSUL_NAMESPACE, service.partition by CONSUL_PARTITION, consul.gossipKey by \
         CONSUL_GOSSIP_ENCRYPTION_KEY, consul.tls.ca by CONSUL_CACERT, consul.agentToken by AGENT_TOKEN, \
         consul.serviceToken by CONSUL_HTTP_TOKEN, consul.acl by AGENT_TOKEN"
    );
}

#[test]
fn no_secret_is_shown() {
    let mut variables = env([
        ("AGENT_TOKEN", "agent-secret"),
        ("CONSUL_HTTP_TOKEN", "service-secret"),
        ("CONSUL_CACERT", PEM),
        ("CONSUL_GOSSIP_ENCRYPTION_KEY", "gossip-secret"),
    ]);
    variables.insert(LEGACY.to_owned(), service(json!({})).to_string());
    variables.insert(OURS.to_owned(), ours().to_string());
    let (shown, code) = cli_check(&Sources::default(), true, &variables);
    assert_eq!(code, 0);
    assert!(shown.contains("\"env\": \"AGENT_TOKEN\"") && shown.contains("note: taken"), "{shown}");
    assert!(!shown.contains("-secret") && !shown.contains("MIIB"), "{shown}");
}

#[test]
fn ours_wins_without_an_error_key_by_key() {
    let ours = json!({
        "service": {"namespace": "mine"},
        "consul": {
            "retryJoin": ["10.0.0.10"], "datacenter": "dc1", "acl": {"defaultPolicy": "allow"}, "agentToken": {"file": "/run/agent"},
            "tls": {"ca": {"file": "/run/ca.pem"}}
        }
    });
    let loaded = loaded_with(
        ours,
        [
            ("AGENT_TOKEN", "a"),
            ("CONSUL_HTTP_TOKEN", "b"),
            ("CONSUL_CACERT", PEM),
            ("CONSUL_DATACENTER", "dc2"),
            ("CONSUL_NAMESPACE", "team"),
        ],
    )
    .unwrap();
    let consul = &loaded.config.consul;
    assert_eq!(consul.datacenter, "dc1");
    assert_eq!(consul.acl.as_ref().map(|acl| acl.default_policy), Some(AclDefaultPolicy::Allow));
    assert_eq!(consul.agent_token, Some(Secret::File("/run/agent".into())));
    assert_eq!(consul.service_token, secret("CONSUL_HTTP_TOKEN"));
    assert!(!consul.secret_variables().contains(&"CONSUL_CACERT"));
    assert_eq!(loaded.config.service.namespace.as_deref(), Some("mine"));
    assert_eq!(
        loaded.notes[1],
        "taken from the environment, as consul-ecs 0.4.3 does: consul.serviceToken by CONSUL_HTTP_TOKEN"
    );
}

#[test]
fn a_ca_may_be_text_under_either_name_or_a_path() {
    let ca = |variables: [(&str, &str); 2]| {
        let config = loaded_with(ours(), variables).unwrap().config;
        serde_json::to_value(config.consul.tls).unwrap()["ca"].clone()
    };
    assert_eq!(ca([("CONSUL_CACERT", PEM), ("x", "")]), json!({"env": "CONSUL_CACERT"}));
    assert_eq!(
        ca([("CONSUL_CACERT", " /consul/ca.pem\n"), ("x", "")]),
        json!({"file": "/consul/ca.pem"})
    );
    let both = [("CONSUL_CACERT_PEM", PEM), ("CONSUL_CACERT", "/consul/ca.pem")];
    assert_eq!(ca(both), json!({"env": "CONSUL_CACERT_PEM"}));
}

#[test]
fn a_token_file_wins_over_the_token_as_in_consuls_own_client() {
    let variables = [("CONSUL_HTTP_TOKEN", "a"), ("CONSUL_HTTP_TOKEN_FILE", "/run/token")];
    let consul = loaded_with(ours(), variables).unwrap().config.consul;
    assert_eq!(consul.service_token, Some(Secret::File("/run/token".into())));
    assert!(consul.acl.is_some());
}

#[test]
fn an_empty_variable_is_none() {
    let variables = [("AGENT_TOKEN", ""), ("CONSUL_CACERT", " \n"), ("CONSUL_DATACENTER", "")];
    let loaded = loaded_with(ours(), variables).unwrap();
    assert_eq!(loaded.config.consul, load_value(&minimal()).unwrap().config.consul);
    assert_eq!(loaded.notes.len(), 1, "{:?}", loaded.notes);
}

#[test]
fn without_a_v0_4_3_document_the_environment_is_not_looked_at() {
    let mut variables =
        env([("AGENT_TOKEN", "a"), ("CONSUL_DATACENTER", "dc2"), ("CONSUL_HTTP_ADDR", "x")]);
    variables.insert(OURS.to_owned(), minimal().to_string());
    let loaded = load(&Sources::default(), &variables).unwrap();
    assert_eq!(loaded, load_value(&minimal()).unwrap());
}

#[test]
fn a_wrong_value_is_told_with_its_variable() {
    let errors = loaded_with(ours(), [("CONSUL_DATACENTER", "dc 2")]).unwrap_err();
    assert_eq!(
        lines(&errors),
        [
            "consul.datacenter (from CONSUL_DATACENTER): must consist of letters, digits, dashes and underscores, not \"dc 2\""
        ]
    );
}

#[test]
fn how_to_reach_another_agent_is_ignored_and_said() {
    let loaded =
        loaded_with(ours(), [("CONSUL_HTTP_ADDR", "10.0.0.1:8500"), ("CONSUL_HTTP_SSL", "true")]);
    assert_eq!(
        loaded.unwrap().warnings,
        [
            "CONSUL_HTTP_ADDR is ignored: the agent runs in this container, on loopback",
            "CONSUL_HTTP_SSL is ignored: the agent runs in this container, on loopback",
        ]
    );
}

#[test]
fn none_of_it_reaches_a_child() {
    let ours = [
        "AGENT_TOKEN",
        "CONSUL_HTTP_TOKEN",
        "CONSUL_HTTP_TOKEN_FILE",
        "CONSUL_CACERT",
        "CONSUL_CACERT_PEM",
        "CONSUL_GOSSIP_ENCRYPTION_KEY",
        "CONSUL_DATACENTER",
        "CONSUL_ECS_CONFIG_JSON",
        "CONSUL_HTTP_ADDR",
        "PATH",
    ];
    let ours = ours.map(|name| (name.to_owned(), "x".to_owned()));
    let left = consul::agent_env(ours, &[]);
    assert_eq!(left, [("PATH".to_owned(), "x".to_owned())]);
}
