//! A consul-ecs v0.4.3 document.

use crate::*;

fn consul() -> Value {
    json!({"consul": {"retryJoin": ["10.0.0.10"]}})
}

#[test]
fn a_v0_4_3_document_fills_service_proxy_and_health_sync() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/consul-ecs-0.4.3.json");
    let document = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let config = with_legacy(&consul(), &document).unwrap().config;
    let mut same = consul();
    same["service"] = json!({"port": 8080, "meta": {"version": "2"}});
    same["proxy"] = json!({
        "config": {"protocol": "http"},
        "meshGateway": {"mode": "none"},
        "upstreams": [{"destinationName": "api", "localBindPort": 1234}],
    });
    same["healthSync"] = json!({"containers": ["web"]});
    same["lifecycle"] = json!({"appBinDir": "/consul", "consulEcsDir": "/consul"});
    assert_eq!(config, load_value(&same).unwrap().config);
}

#[test]
fn ours_and_theirs_may_say_different_things_of_one_section() {
    let mut ours = consul();
    ours["healthSync"] = json!({"ttl": "9s"});
    ours["service"] = json!({"name": "api"});
    let legacy =
        json!({"service": {"port": 80}, "healthSyncContainers": ["a"], "bootstrapDir": "/consul"});
    let loaded = with_legacy(&ours, &legacy).unwrap();
    assert_eq!(loaded.config.service.name.as_deref(), Some("api"));
    assert_eq!(loaded.config.service.port, Some(80));
    assert_eq!(loaded.config.health_sync.ttl.as_secs(), 9);
    assert_eq!(loaded.warnings, [""; 0]);
}

#[test]
fn the_binary_goes_to_the_bootstrap_dir_unless_ours_says_otherwise() {
    let legacy = json!({"service": {"port": 80}, "bootstrapDir": "/shared"});
    let loaded = with_legacy(&consul(), &legacy).unwrap();
    let lifecycle = loaded.config.lifecycle;
    assert_eq!(lifecycle.consul_ecs_dir.as_deref(), Some(Path::new("/shared")));
    assert_eq!(lifecycle.app_bin_dir.as_deref(), Some(Path::new("/shared")));
    assert!(loaded.notes[0].contains("\"/shared\" gets our binary"), "{:?}", loaded.notes);

    let mut ours = consul();
    ours["lifecycle"] = json!({"appBinDir": "/bin-for-apps", "consulEcsDir": null});
    let lifecycle = with_legacy(&ours, &legacy).unwrap().config.lifecycle;
    assert_eq!(lifecycle.app_bin_dir.as_deref(), Some(Path::new("/bin-for-apps")));
    assert_eq!(lifecycle.consul_ecs_dir, None);
}

#[test]
fn our_containers_hold_where_theirs_name_none() {
    let mut ours = consul();
    ours["healthSync"] = json!({"containers": "auto"});
    for none in [json!(null), json!([])] {
        let legacy =
            json!({"service": {"port": 80}, "healthSyncContainers": none, "bootstrapDir": "/c"});
        let config = with_legacy(&ours, &legacy).unwrap().config;
        assert_eq!(config.health_sync.containers, taskmesh::config::Containers::Auto);
    }
}

#[test]
fn the_same_key_in_both_is_an_error_even_with_the_same_value() {
    let mut ours = consul();
    ours["service"] = json!({"port": 80});
    let errors = with_legacy(&ours, &json!({"service": {"port": 80}, "bootstrapDir": "/consul"}))
        .unwrap_err();
    assert_eq!(
        lines(&errors),
        ["service.port: is set here and in CONSUL_ECS_CONFIG_JSON; keep one"]
    );
}

#[test]
fn every_error_of_both_documents_is_told_each_in_its_own_terms() {
    let ours = json!({"consul": {"retryJoin": ["10.0.0.10"], "datacentre": "dc2"}});
    let legacy = json!({
        "service": {"port": "80", "weights": {"passing": 1}},
        "healthSyncContainers": [1],
        "proxy": {"upstreams": [{"destinationName": "db", "localBindport": 1}]},
        "gateway": {},
    });
    assert_eq!(
        lines(&with_legacy(&ours, &legacy).unwrap_err()),
        [
            "consul.datacentre: unknown key; did you mean \"datacenter\"?",
            "CONSUL_ECS_CONFIG_JSON bootstrapDir: required, but missing",
            "CONSUL_ECS_CONFIG_JSON gateway: unknown key; known here: \"bootstrapDir\", \"healthSyncContainers\", \"proxy\" or \"service\"",
            "CONSUL_ECS_CONFIG_JSON healthSyncContainers[0]: must be a string, not 1",
            "CONSUL_ECS_CONFIG_JSON proxy.upstreams[0].localBindPort: required, but missing",
            "CONSUL_ECS_CONFIG_JSON proxy.upstreams[0].localBindport: unknown key; did you mean \"localBindPort\"?",
            "CONSUL_ECS_CONFIG_JSON service.port: must be a whole number from 0 to 65535, not a string",
            "CONSUL_ECS_CONFIG_JSON service.weights.warning: required, but missing",
        ]
    );
}

#[test]
fn alone_it_does_not_say_where_the_servers_are() {
    let legacy = json!({"service": {"port": 80}, "bootstrapDir": "/consul"}).to_string();
    let errors = load(&Sources::default(), &env([(LEGACY, &legacy)])).unwrap_err();
    assert_eq!(
        lines(&errors),
        [
            "consul.retryJoin: required, but missing; CONSUL_ECS_CONFIG_JSON does not say where the servers are: give this \
          one key by --config FILE or TASKMESH_CONFIG_JSON"
        ]
    );
}
