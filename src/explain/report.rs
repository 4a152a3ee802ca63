//! The explanation as one value, for machines as it is and for people through `text`.

use super::calls::{Call, Subject};
use super::inputs::{Inputs, SecretSeen, TaskSource, VersionSource};
use super::stop::{self, Stop};
use crate::config::{self, Config, Given, Loaded, hide};
use crate::consul::{self, AgentSecrets, ServiceIds, Version};
use crate::ecs::{self, TaskIdentity};
use crate::envoy;
use crate::supervisor::{Plan, Synced};
use secrecy::SecretString;
use serde::Serialize;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// What `run` would do.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// Which source gave which values.
    pub given: Vec<Given>,
    /// What was accepted, but is probably not meant.
    pub warnings: Vec<String>,
    /// What was done without being asked for, and is as it should be.
    pub notes: Vec<String>,
    /// The secrets it refers to.
    pub secrets: Vec<SecretSeen>,
    /// Who the task is.
    pub task: TaskNote,
    /// The agent.
    pub agent: Agent,
    /// What is registered.
    pub registration: Registration,
    /// Envoy and its bootstrap.
    pub envoy: Commands,
    /// The stop.
    pub stop: Stop,
}

/// Who the task is.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskNote {
    /// From the task's metadata; else all of it is made up.
    pub is_real: bool,
    /// Why it is made up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why_not: Option<String>,
    /// ARN of the task.
    pub arn: String,
    /// ID of the task.
    pub id: String,
    /// `family:revision` of its task definition.
    pub definition: String,
    /// Its address.
    pub ipv4: Option<String>,
}

/// A command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Program {
    /// As configured.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
}

/// The Consul agent.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Agent {
    /// The version that the config is written for; absent if unknown: then for the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consul_version: Option<String>,
    /// Who told the version, or why nobody did.
    pub consul_version_from: String,
    /// How it is started.
    pub command: Program,
    /// The config file that taskmesh writes, secrets hidden.
    pub config: Value,
    /// `consul.extraConfigFiles`, merged after it.
    pub extra_config_files: Vec<PathBuf>,
    /// What is said of `consul.extraConfig`, which is merged last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra_config: Option<String>,
}

/// What is registered, and by which calls.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Registration {
    /// Where the agent's API is.
    pub api: String,
    /// Whose token the calls carry, or that they carry none.
    pub token: String,
    /// ID of the service.
    pub service_id: String,
    /// ID of the proxy.
    pub proxy_id: String,
    /// Containers whose ECS health is synced, as far as that is known here.
    pub synced_containers: Vec<String>,
    /// IDs of their TTL checks.
    pub ttl_checks: Vec<String>,
    /// Who decides which containers those are.
    pub containers_note: String,
    /// In maintenance until the app's port accepts, so that peers do not see it before its app.
    pub held_until_port_accepts: bool,
    /// The calls, in their order.
    pub calls: Vec<Call>,
}

/// Envoy and its bootstrap.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Commands {
    /// Prints the bootstrap, which taskmesh then edits.
    pub bootstrap: Program,
    /// How the token gets to both.
    pub token: String,
    /// Envoy itself.
    pub run: Program,
}

impl Explanation {
    /// Puts it together. Pure; no secret's value can be in it, for none is in `inputs`.
    pub fn new(loaded: &Loaded, inputs: &Inputs) -> Self {
        let config = &loaded.config;
        let (task, note) = identity(config, &inputs.task);
        let ids = ServiceIds::new(&config.service, &task);
        let dir = config.envoy.config_dir.clone().unwrap_or_else(|| inputs.temporary_dir.clone());
        Self {
            given: loaded.given.clone(),
            warnings: loaded.warnings.iter().map(|warning| hide::text(warning)).collect(),
            notes: loaded.notes.iter().map(|note| hide::text(note)).collect(),
            secrets: inputs.secrets.clone(),
            agent: agent(config, &task, &inputs.consul, &dir),
            registration: registration(config, &task, &ids, inputs),
            envoy: commands(config, &ids, &dir),
            stop: stop::stop(config),
            task: note,
        }
    }
}

/// The task's identity, or one that is plainly made up: the address is of a range for documentation (RFC 5737).
fn identity(config: &Config, source: &TaskSource) -> (TaskIdentity, TaskNote) {
    let (task, why_not) = match source {
        TaskSource::Metadata(task, _) => (task.identity().unwrap_or_default(), None),
        TaskSource::Unknown(why) => (placeholder(config), Some(why.clone())),
    };
    let note = TaskNote {
        is_real: why_not.is_none(),
        why_not,
        arn: task.task_arn.clone(),
        id: task.task_id.clone(),
        definition: format!("{}:{}", task.family, task.revision),
        ipv4: task.ipv4.clone(),
    };
    (task, note)
}

fn placeholder(config: &Config) -> TaskIdentity {
    let task_id = "0".repeat(32);
    TaskIdentity {
        task_arn: format!("arn:aws:ecs:REGION:000000000000:task/CLUSTER/{task_id}"),
        task_id,
        family: config.service.name.clone().unwrap_or_else(|| "FAMILY".to_owned()),
        revision: "1".to_owned(),
        ipv4: Some("192.0.2.1".to_owned()),
        ..TaskIdentity::default()
    }
}

fn agent(config: &Config, task: &TaskIdentity, version: &VersionSource, dir: &Path) -> Agent {
    let consul = &config.consul;
    // In every secret's place: so it stays hidden even where `redacted` knew nothing of a key.
    let hidden = |given: bool| given.then(|| SecretString::from(hide::HIDDEN));
    let own_file = |given: fn(&config::Tls) -> bool, name: &str| {
        consul.tls.as_ref().filter(|tls| given(tls)).map(|_| dir.join(name))
    };
    let secrets = AgentSecrets {
        agent_token: hidden(consul.agent_token.is_some()),
        recovery_token: hidden(consul.acl.is_some()),
        gossip_key: hidden(consul.gossip_key.is_some()),
        ca_file: consul.tls.as_ref().map(|_| dir.join("consul-ca.pem")),
        cert_file: own_file(|tls| tls.cert.is_some(), "consul-cert.pem"),
        key_file: own_file(|tls| tls.key.is_some(), "consul-key.pem"),
    };
    let (known, from) = match version {
        VersionSource::Binary(version) => {
            (Some(*version), format!("{} version", consul.binary.display()))
        }
        VersionSource::Given(version) => (Some(*version), "--consul-version".to_owned()),
        VersionSource::Unknown(why) => (None, why.clone()),
    };
    let written = consul::redacted(consul::agent_config(
        config,
        task,
        &secrets,
        known.unwrap_or(Version::NEWEST),
    ));
    let mut extra = consul.extra_config_files.clone();
    let extra_config = consul.extra_config.as_ref().map(|text| {
        let path = dir.join(consul::extra_config_file_name(text));
        let size = text.len();
        let told = format!(
            "{size} bytes of consul.extraConfig in {}, not shown: they may hold secrets",
            path.display()
        );
        extra.push(path);
        told
    });
    Agent {
        consul_version: known.map(|version| version.to_string()),
        consul_version_from: from,
        command: Program {
            program: consul.binary.clone(),
            args: consul::agent_args(&dir.join("agent.json"), &extra),
        },
        config: hidden_value(written),
        extra_config_files: consul.extra_config_files.clone(),
        extra_config,
    }
}

fn hidden_value(mut value: Value) -> Value {
    hide::value(&mut value);
    value
}

fn registration(
    config: &Config,
    task: &TaskIdentity,
    ids: &ServiceIds,
    inputs: &Inputs,
) -> Registration {
    let plan = Plan::new(config, 0);
    let (synced_containers, containers_note) = synced(&plan, &inputs.task);
    let version = match inputs.consul {
        VersionSource::Binary(version) | VersionSource::Given(version) => Some(version),
        VersionSource::Unknown(_) => None,
    };
    let subject = Subject {
        config,
        task,
        ids,
        containers: &synced_containers,
        held: plan.held_until_port_accepts(&[]),
        locality: consul::locality(task, version.unwrap_or(Version::NEWEST)),
    };
    Registration {
        api: consul::http_address(&config.consul),
        token: match &config.consul.service_token {
            Some(_) => "each call carries the token of consul.serviceToken".to_owned(),
            None if config.consul.login.is_some() => {
                "each call carries the token that the login of consul.login gives".to_owned()
            }
            None => "no call carries a token: consul.serviceToken is not set".to_owned(),
        },
        service_id: ids.service.clone(),
        proxy_id: ids.proxy.clone(),
        ttl_checks: synced_containers.iter().map(|container| ids.check(container)).collect(),
        held_until_port_accepts: subject.held,
        calls: subject.calls(),
        containers_note,
        synced_containers,
    }
}

/// Containers whose health is synced, and who says so.
fn synced(plan: &Plan, source: &TaskSource) -> (Vec<String>, String) {
    match (&plan.own_checks.synced, source) {
        (Synced::Named(names), _) if names.is_empty() && plan.own_checks.native => {
            (Vec::new(), "service.checks: Consul's own checks, no ECS health is synced".to_owned())
        }
        (Synced::Named(names), _) => (names.clone(), "healthSync.containers names them".to_owned()),
        (Synced::Auto, TaskSource::Metadata(task, own_name)) => (
            ecs::reporting_containers(task, own_name),
            "healthSync.containers is \"auto\": these report ECS health in the task's metadata now. \
             `run` reads the task definition through the ECS API and takes the essential ones with \
             a healthCheck; where it may not, these, and the list can grow"
                .to_owned(),
        ),
        (Synced::Auto, TaskSource::Unknown(_)) => (
            Vec::new(),
            "healthSync.containers is \"auto\": decided in the running task. Every container that is \
             essential and has a healthCheck in the task definition gets a TTL check, but taskmesh \
             itself and those that ECS injects; so more checks than shown here are registered there"
                .to_owned(),
        ),
    }
}

fn commands(config: &Config, ids: &ServiceIds, dir: &Path) -> Commands {
    let consul = &config.consul;
    let source = consul.service_token.as_ref().map(|_| "consul.serviceToken");
    let token = match source.or(consul.login.as_ref().map(|_| "consul.login")) {
        Some(source) => format!(
            "{source}, to consul as CONSUL_HTTP_TOKEN, to Envoy in {} (before Envoy \
             1.34: in the bootstrap)",
            dir.join("consul-token.json").display()
        ),
        None => "none: consul.serviceToken is not set".to_owned(),
    };
    Commands {
        bootstrap: Program {
            program: consul.binary.clone(),
            args: consul::connect_envoy_args(ids, consul, &config.service, &config.envoy),
        },
        token,
        run: Program {
            program: config.envoy.binary.clone(),
            args: envoy::args(&config.envoy, &dir.join("envoy-bootstrap.json"))
                .iter()
                .map(|arg| hide::text(arg))
                .collect(),
        },
    }
}
