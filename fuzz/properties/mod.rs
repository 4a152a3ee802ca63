//! What must hold for any bytes that come from outside: shared by the fuzz targets and, with fixed seeds, by `make test`
//! (`tests/fuzzed.rs`).
//!
//! | file | what |
//! |---|---|
//! | `config` | a configuration, ours and a v0.4.3 one |
//! | `metadata` | the body of the task metadata endpoint |
//! | `consul` | the agent's answers: itself, services, checks, health, a service to compare, the index |
//! | `envoy` | the admin interface's answers: statistics, listeners, server info |
//! | `wrapper` | HTTP answers and the stream's lines, as a wrapper reads them |
//! | `admin` | what wrappers send |
//! | `bootstrap` | what `consul connect envoy -bootstrap` prints |
//! | `agent_text` | `consul.extraConfig` |
//! | `timeline` | a file for `taskmesh timeline` |
//! | `mutate` | documents that are nearly right |
//!
//! Nothing here may run what a configuration names, or read its files: the documents come from a fuzzer.

pub(crate) mod admin;
pub(crate) mod agent_text;
pub(crate) mod bootstrap;
pub(crate) mod config;
pub(crate) mod consul;
pub(crate) mod envoy;
pub(crate) mod metadata;
pub(crate) mod mutate;
pub(crate) mod timeline;
pub(crate) mod wrapper;

use taskmesh::config::{Config, Loaded};
use taskmesh::consul::{self as agent, AgentSecrets, ServiceIds, Version};
use taskmesh::ecs::TaskIdentity;
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
    let service = serde_json::to_value(agent::service(config, task, &containers)).unwrap();
    let proxy = serde_json::to_value(agent::proxy(config, task)).unwrap();
    assert_eq!(service["ID"], ids.service);
    assert_eq!(proxy["ID"], ids.proxy);
    assert_eq!(proxy["Proxy"]["DestinationServiceID"], ids.service);
    assert_eq!(proxy["Port"], config.proxy.public_listener_port);
    assert!(config.service.inbound || service.get("Port").is_none(), "{service}");
    for version in VERSIONS {
        let agent = agent::agent_config(config, task, &AgentSecrets::default(), version);
        assert!(agent.is_object());
        assert_eq!(agent::redacted(agent.clone())["node_id"], agent["node_id"]);
    }
    node_names(config, task);
    agent::connect_envoy_args(&ids, &config.consul, &config.service, &config.envoy);
    taskmesh::envoy::args(&config.envoy, "/x/bootstrap.json".as_ref());
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
    let name = agent::node_name(config, task);
    if config.consul.node_name.is_none() {
        let of_label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(name.chars().all(of_label), "{name:?}");
        assert!((1..=63).contains(&name.len()), "{name:?}");
        assert!(!name.starts_with('-') && !name.ends_with('-'), "{name:?}");
    }
    let id = agent::node_id(&task.task_id);
    let parts: Vec<_> = id.split('-').map(str::len).collect();
    assert_eq!(parts, [8, 4, 4, 4, 12], "{id:?}");
    assert!(id.chars().all(|c| c == '-' || c.is_ascii_hexdigit()), "{id:?}");
}
