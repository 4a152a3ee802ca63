//! What must hold for any bytes that come from outside: shared by the fuzz targets and, with fixed seeds, by `make test`
//! (`tests/config/fuzzed.rs`).
//!
//! | file | what |
//! |---|---|
//! | `config` | a configuration, ours and a v0.4.3 one |
//! | `metadata` | the body of the task metadata endpoint |
//! | `mutate` | documents that are nearly right |
//!
//! Nothing here may run what a configuration names, or read its files: the documents come from a fuzzer.

pub(crate) mod config;
pub(crate) mod metadata;
pub(crate) mod mutate;

use taskmesh::config::{Config, Loaded};
use taskmesh::consul::{self, AgentSecrets, ServiceIds, Version};
use taskmesh::ecs::TaskIdentity;
use taskmesh::envoy;
use taskmesh::explain::{Explanation, Inputs, TaskSource, VersionSource};
use taskmesh::supervisor::Plan;

/// Layouts of the agent's config that differ.
const VERSIONS: [Version; 4] = [
    Version::new(1, 8, 7),
    Version::new(1, 9, 0),
    Version::new(1, 12, 0),
    Version::new(u32::MAX, 0, 0),
];

/// Everything that is made of an accepted configuration and a task can be made, and hangs together.
fn payloads(loaded: &Loaded, task: &TaskIdentity, source: TaskSource) {
    let config = &loaded.config;
    let ids = ServiceIds::new(&config.service, task);
    let containers = ["app".to_owned()];
    let service = serde_json::to_value(consul::service(config, task, &containers)).unwrap();
    let proxy = serde_json::to_value(consul::proxy(config, task)).unwrap();
    assert_eq!(service["ID"], ids.service);
    assert_eq!(proxy["ID"], ids.proxy);
    assert_eq!(proxy["Proxy"]["DestinationServiceID"], ids.service);
    assert_eq!(proxy["Port"], config.proxy.public_listener_port);
    assert!(config.service.inbound || service.get("Port").is_none(), "{service}");
    for version in VERSIONS {
        let agent = consul::agent_config(config, task, &AgentSecrets::default(), version);
        assert!(agent.is_object());
        assert_eq!(consul::redacted(agent.clone())["node_id"], agent["node_id"]);
    }
    node_names(config, task);
    consul::connect_envoy_args(&ids, &config.consul, &config.service, &config.envoy);
    envoy::args(&config.envoy, "/x/bootstrap.json".as_ref());
    Plan::new(config, 1).held_until_port_accepts(&[]);
    let inputs = Inputs {
        secrets: Vec::new(),
        task: source,
        consul: VersionSource::Unknown("not asked".to_owned()),
        temporary_dir: "/x".into(),
    };
    let explained = serde_json::to_value(Explanation::new(loaded, &inputs)).unwrap();
    assert!(explained["registration"]["calls"].as_array().is_some_and(|calls| calls.len() >= 6));
}

/// The node's name is a DNS label (where the user did not choose it), and its ID a UUID.
fn node_names(config: &Config, task: &TaskIdentity) {
    let name = consul::node_name(config, task);
    if config.consul.node_name.is_none() {
        let of_label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(name.chars().all(of_label), "{name:?}");
        assert!((1..=63).contains(&name.len()), "{name:?}");
        assert!(!name.starts_with('-') && !name.ends_with('-'), "{name:?}");
    }
    let id = consul::node_id(&task.task_id);
    let parts: Vec<_> = id.split('-').map(str::len).collect();
    assert_eq!(parts, [8, 4, 4, 4, 12], "{id:?}");
    assert!(id.chars().all(|c| c == '-' || c.is_ascii_hexdigit()), "{id:?}");
}
