use super::*;
use crate::ecs::TaskIdentity;

#[test]
fn versions_with_and_without_a_suffix() {
    let version = |text: &str| parse_version(text);
    assert_eq!(version("Consul v1.8.7\nProtocol 2 spoken"), Some(Version::new(1, 8, 7)));
    assert_eq!(version("Consul v1.23.0-dev\n"), Some(Version::new(1, 23, 0)));
    assert_eq!(version("Consul v1.16.2+ent\nRevision 1"), Some(Version::new(1, 16, 2)));
    assert_eq!(version("Consul v1.9\n"), Some(Version::new(1, 9, 0)));
    assert_eq!(version("Consul vX"), None);
    assert_eq!(version("sh: consul: not found"), None);
    assert!(Version::new(1, 9, 0) < Version::new(1, 23, 0));
}

#[test]
fn our_config_comes_first_for_a_later_file_wins() {
    assert_eq!(
        agent_args(Path::new("/d/agent.json"), &["/d/a.hcl", "/d/b.json"]),
        ["agent", "-config-file=/d/agent.json", "-config-file=/d/a.hcl", "-config-file=/d/b.json"]
    );
}

#[test]
fn the_bootstrap_command_names_every_address_and_the_tenancy_only_if_given() {
    let consul = serde_json::from_str(r#"{"retryJoin":["x"],"httpPort":8600,"grpcPort":8602}"#);
    let mut consul: config::Consul = consul.unwrap();
    let mut service = config::Service { name: Some("api".to_owned()), ..Default::default() };
    let task = TaskIdentity { task_id: "t1".to_owned(), ..Default::default() };
    let envoy = config::Envoy::default();
    let ids = ServiceIds::new(&service, &task);
    let args = connect_envoy_args(&ids, &consul, &service, &envoy);
    assert_eq!(
        args.join(" "),
        "connect envoy -bootstrap -proxy-id=api-t1-sidecar-proxy -http-addr=http://127.0.0.1:8600 \
         -grpc-addr=127.0.0.1:8602 -admin-bind=127.0.0.1:19000"
    );
    service.partition = Some("p".to_owned());
    service.namespace = Some("n".to_owned());
    let args = connect_envoy_args(&ids, &consul, &service, &envoy);
    assert_eq!(args[7..], ["-partition=p", "-namespace=n"]);
    consul.http_socket = Some("/run/consul/http.sock".into());
    consul.grpc_socket = Some("/run/consul/grpc.sock".into());
    let args = connect_envoy_args(&ids, &consul, &service, &envoy);
    assert_eq!(args[4], "-http-addr=unix:///run/consul/http.sock");
    assert_eq!(args[5], "-grpc-addr=unix:///run/consul/grpc.sock");
}

#[test]
fn a_child_gets_its_own_token_and_none_of_ours() {
    let ours = [
        ("PATH", "/bin"),
        ("AWS_REGION", "eu-west-1"),
        ("CONSUL_CACERT", "-----BEGIN CERTIFICATE-----"),
        ("CONSUL_HTTP_TOKEN", "service"),
        ("AGENT_TOKEN", "agent"),
        ("MESH_KEY", "gossip, under a name that only the configuration knows"),
        ("TASKMESH_CONFIG_JSON", "{}"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let names = |env: &[(String, String)]| {
        env.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names(&agent_env(ours.clone(), &["MESH_KEY"])), "PATH AWS_REGION");
    assert_eq!(names(&command_env(ours.clone(), None)), "PATH");
    let token = SecretString::from("mine");
    let env = command_env(ours, Some(&token));
    assert_eq!(names(&env), "PATH CONSUL_HTTP_TOKEN");
    assert_eq!(env[1].1, "mine");
}
