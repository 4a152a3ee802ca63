//! `taskmesh check-config` and `taskmesh schema`: what an operator sees of the configuration.

use super::check::times;
use super::controller::controller_schema;
use super::env::Env;
use super::load::{Loaded, Sources, load};
use super::model::{Config, Containers};
use super::schema;
use crate::agent_text;
use crate::exit;
use serde_json::Value;

/// Checks the configuration as `run` would, and says in words what came out: the text to print and the exit code (0,
/// or 64 with every error on a line). `print` adds the effective configuration, defaults included, as JSON.
/// Secrets are not read, and cannot be in the output: a configuration holds only references to them, and what it holds
/// for the agent in the agent's own words is shown without what its keys call secret.
pub fn cli_check(sources: &Sources, print: bool, env: &dyn Env) -> (String, u8) {
    match load(sources, env) {
        Ok(loaded) => (accepted(&loaded, print), exit::OK),
        Err(errors) => (format!("{errors}\n"), exit::USAGE),
    }
}

/// The JSON schema of the configuration, as `taskmesh schema` prints it and `config/schema.json` holds it.
pub fn schema_text() -> String {
    format!("{:#}\n", schema())
}

/// The same of the controller's configuration, as `config/controller/schema.json` holds it.
pub fn controller_schema_text() -> String {
    format!("{:#}\n", controller_schema())
}

fn accepted(loaded: &Loaded, print: bool) -> String {
    let mut out = format!("config ok: {}\n", summary(&loaded.config));
    out.push_str(&format!(
        "stop: {} of stopTimeout {}: {}; {} left for the apps\n",
        show(loaded.config.lifecycle.stop_timeout - times::left_for_apps(&loaded.config)),
        show(loaded.config.lifecycle.stop_timeout),
        times::parts(&loaded.config),
        show(times::left_for_apps(&loaded.config)),
    ));
    for warning in &loaded.warnings {
        out.push_str(&format!("warning: {warning}\n"));
    }
    for note in &loaded.notes {
        out.push_str(&format!("note: {note}\n"));
    }
    if print {
        let mut effective = serde_json::to_value(&loaded.config).unwrap_or(Value::Null);
        hide_what_is_the_agents(&mut effective);
        out.push_str(&format!("{effective:#}\n"));
    }
    out
}

/// What goes to the agent as it is written may hold secrets, unlike everything else.
fn hide_what_is_the_agents(effective: &mut Value) {
    for key in ["retryJoin", "telemetry"] {
        effective["consul"].get_mut(key).map(agent_text::hide_in_value);
    }
    if let Some(Value::String(text)) = effective.pointer_mut("/consul/extraConfig") {
        *text = agent_text::hide_in_text(text);
    }
}

fn summary(config: &Config) -> String {
    let service = config.service.name.as_deref().unwrap_or("(the task's family)");
    let port = match config.service.port {
        Some(port) if config.service.inbound => {
            format!("port {port} ({})", config.proxy.protocol())
        }
        _ => "no inbound".to_owned(),
    };
    let upstreams = match config.proxy.upstreams.len() {
        0 => "no upstreams".to_owned(),
        _ => {
            let each = config.proxy.upstreams.iter();
            let each = each.map(|u| format!("{} on {}", u.destination_name, u.local_bind_port));
            format!("upstreams {}", each.collect::<Vec<_>>().join(", "))
        }
    };
    let native = match config.service.checks.len() {
        0 => None,
        1 => Some("1 native check".to_owned()),
        n => Some(format!("{n} native checks")),
    };
    let synced = match &config.health_sync.containers {
        Containers::Auto if native.is_some() => None,
        Containers::Auto => {
            Some("health of the essential containers with a health check".to_owned())
        }
        Containers::Named(names) if names.is_empty() => None,
        Containers::Named(names) => Some(format!("health of {}", names.join(", "))),
    };
    let sync = match (native, synced) {
        (None, None) => "no health sync".to_owned(),
        (Some(one), None) | (None, Some(one)) => one,
        (Some(native), Some(synced)) => format!("{native}, {synced}"),
    };
    let mut join = Value::from(config.consul.retry_join.clone());
    agent_text::hide_in_value(&mut join);
    let join = join.as_array().into_iter().flatten().filter_map(Value::as_str);
    let join = join.collect::<Vec<_>>().join(", ");
    let datacenter = &config.consul.datacenter;
    format!("service {service}, {port}, {upstreams}, {sync}, datacenter {datacenter} by {join}")
}

/// A duration as a configuration writes it.
pub(crate) fn show(duration: std::time::Duration) -> String {
    humantime::format_duration(duration).to_string()
}
