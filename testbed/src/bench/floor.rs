//! The floor's task: the same agent configuration, registrations and command lines as taskmesh's own, for a bash script
//! that does the least possible with them.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use taskmesh::config::Config;
use taskmesh::consul::{
    AgentSecrets, ServiceIds, Version, agent_args, agent_config, connect_envoy_args, proxy, service,
};
use taskmesh::ecs::TaskIdentity;
use taskmesh::envoy;

use crate::cluster::TaskPlan;
use crate::ecs::TaskSpec;

const SCRIPT: &str = include_str!("floor.sh");
/// No two tasks have the same ID: it is in the agent's name.
static NUMBER: AtomicU64 = AtomicU64::new(1);
/// The container's name.
pub(super) const FLOOR: &str = "floor";

/// A task of the script alone.
pub(super) fn plan(name: &str, consul: Version) -> TaskPlan {
    let definition = json!({
        "family": "api",
        "networkMode": "awsvpc",
        "containerDefinitions": [{
            "name": FLOOR,
            "image": "floor:dev",
            "essential": true,
            "entryPoint": ["bash", "{{dir}}/floor.sh", "{{dir}}/floor.conf"],
            "stopTimeout": 30
        }]
    });
    TaskPlan::new(name, super::life::SERVICE, definition).platform(move |spec| {
        // Fails where the folder cannot be written to; the script is then not there, and the task says so.
        if let Err(error) = prepare(spec, consul) {
            eprintln!("bench: {error:#}");
        }
    })
}

/// Writes what the script needs into the task's folder.
fn prepare(spec: &mut TaskSpec, version: Version) -> Result<()> {
    let var =
        |name: &str| spec.vars.get(name).cloned().with_context(|| format!("no {{{{{name}}}}}"));
    let (dir, name, testbed, port) = (var("dir")?, var("name")?, var("testbed")?, var("app_port")?);
    let cfg: Config = serde_json::from_str(&var("config")?)?;
    let task = identity(spec, &cfg);
    let ids = ServiceIds::new(&cfg.service, &task);
    let dir = Path::new(&dir);
    let file = |name: &str| dir.join(name);
    std::fs::create_dir_all(&cfg.consul.data_dir)?;
    let write = |name: &str, value: Value| std::fs::write(file(name), value.to_string());
    write("agent.json", agent_config(&cfg, &task, &AgentSecrets::default(), version))?;
    write("service.json", serde_json::to_value(service(&cfg, &task, &[]))?)?;
    write("proxy.json", serde_json::to_value(proxy(&cfg, &task))?)?;
    std::fs::write(file("floor.sh"), SCRIPT)?;
    let consul = cfg.consul.binary.display().to_string();
    let agent = agent_args(&file("agent.json"), &[] as &[&Path]);
    let bootstrap = connect_envoy_args(&ids, &cfg.consul, &cfg.service, &cfg.envoy);
    let app = ["app", "http", "--listen", &format!("0.0.0.0:{port}"), "--name", &name];
    let text = [
        array("agent", &consul, &agent),
        array("bootstrap", &consul, &bootstrap),
        array(
            "envoy",
            &cfg.envoy.binary.display().to_string(),
            &envoy::args(&cfg.envoy, &file("bootstrap.json")),
        ),
        array("app", &testbed, &app.map(str::to_owned)),
        format!("http={}\npublic={}\n", cfg.consul.http_port, cfg.proxy.public_listener_port),
        format!("service={}\n", quoted(&file("service.json").display().to_string())),
        format!("proxy={}\n", quoted(&file("proxy.json").display().to_string())),
        format!("out={}\n", quoted(&file("bootstrap.json").display().to_string())),
    ];
    std::fs::write(file("floor.conf"), text.concat())?;
    Ok(())
}

/// As the metadata would tell it; the task gets an ID now, so that it is known.
fn identity(spec: &mut TaskSpec, cfg: &Config) -> TaskIdentity {
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let id = format!("{:016x}{number:016x}", std::process::id());
    let task_id = spec.task_id.get_or_insert(id).clone();
    TaskIdentity {
        task_arn: format!(
            "arn:aws:ecs:{}:{}:task/{}/{task_id}",
            spec.region, spec.account, spec.cluster
        ),
        task_id,
        family: "api".to_owned(),
        revision: "1".to_owned(),
        cluster: spec.cluster.clone(),
        ipv4: cfg.consul.bind_address.clone(),
        availability_zone: format!("{}a", spec.region),
    }
}

/// A bash array.
fn array(name: &str, program: &str, args: &[String]) -> String {
    let words = std::iter::once(program).chain(args.iter().map(String::as_str)).map(quoted);
    format!("{name}=({})\n", words.collect::<Vec<_>>().join(" "))
}

/// One word for a shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
