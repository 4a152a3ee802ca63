//! What an agent refuses only when the service is registered: told before anything is started.
//!
//! Errors are what no agent takes and consul-ecs 0.4.3 would have tried for ever; where a document of 0.4.3 is known to
//! be about (a check with every field), it is a warning, for the agent has the last word.

use super::Rules;
use crate::config::model::{Check, Config, DestinationType, Upstream};
use crate::config::path::Path;
use std::collections::BTreeSet;

/// Consul's limits of a service's metadata (`validateMetadata` in `agent/structs`; the same in 1.8.7).
const META_PAIRS: usize = 64;
const META_KEY: usize = 128;
const META_VALUE: usize = 512;
/// Keys that Consul keeps for itself begin so.
const META_RESERVED: &str = "consul-";
/// What each registration brings along, unless the user sets it.
const META_BUILT_IN: [&str; 4] = ["task-id", "task-arn", "source", "ecs-task-definition"];

pub(super) fn check(config: &Config, rules: &mut Rules<'_>) {
    meta(config, rules);
    check_ids(config, rules);
    let scripts = config.consul.extra_config.as_ref();
    let scripts = !config.consul.extra_config_files.is_empty()
        || scripts.is_some_and(|text| text.contains("enable_script_checks"));
    for (i, check) in config.service.checks.iter().enumerate() {
        let path = Path::of("service.checks").index(i);
        if let Some(why) = not_a_check(check) {
            rules.warn([&path], why);
        }
        if !check.args.is_empty() && !scripts {
            rules.warn(
                [&path.key("args"), &Path::of("consul.extraConfig")],
                "the agent runs no scripts: enable_script_checks in consul.extraConfig allows them",
            );
        }
    }
    upstreams(&config.proxy.upstreams, rules);
}

fn meta(config: &Config, rules: &mut Rules<'_>) {
    let path = Path::of("service.meta");
    let meta = &config.service.meta;
    for (key, value) in meta {
        let path = path.key(key);
        if key.is_empty()
            || !key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        {
            rules.error(
                [&path],
                "Consul takes only letters, digits, dashes and underscores in a key",
            );
        }
        if key.len() > META_KEY {
            let message = format!("Consul takes at most {META_KEY} characters in a key");
            rules.error([&path], message);
        }
        if key.starts_with(META_RESERVED) {
            rules.error([&path], format!("Consul keeps keys that begin with {META_RESERVED:?}"));
        }
        if value.len() > META_VALUE {
            let message =
                format!("Consul takes at most {META_VALUE} bytes, this is {}", value.len());
            rules.error([&path], message);
        }
    }
    let built_in = META_BUILT_IN.iter().filter(|&&key| !meta.contains_key(key)).count();
    if meta.len() + built_in > META_PAIRS {
        let message = format!(
            "Consul takes at most {META_PAIRS} pairs: {} and {built_in} of our own are too many",
            meta.len()
        );
        rules.error([&path], message);
    }
}

/// An ID that is given twice would leave one check unregistered; one of ours or of the agent's own would replace that.
fn check_ids(config: &Config, rules: &mut Rules<'_>) {
    let mut seen = BTreeSet::new();
    for (i, check) in config.service.checks.iter().enumerate() {
        let Some(id) = check.check_id.as_deref().filter(|id| !id.is_empty()) else { continue };
        let path = Path::of("service.checks").index(i).key("checkId");
        if !seen.insert(id) {
            rules.error([&path], format!("{id:?} is given twice"));
        }
        let agents = matches!(id, "serfHealth" | "_node_maintenance")
            || id.starts_with("_service_maintenance:");
        if agents {
            rules.error([&path], format!("{id:?} is a check of the agent's own"));
        }
        let ours = ["-consul-ecs", "-sidecar-proxy-listener", "-sidecar-proxy-alias"];
        if let Some(end) = ours.into_iter().find(|end| id.ends_with(end)) {
            rules.error([&path], format!("IDs of taskmesh's own checks end with {end:?}"));
        }
    }
}

/// `CheckType.Validate` in Consul.
fn not_a_check(check: &Check) -> Option<&'static str> {
    let given = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    let probes = !check.args.is_empty()
        || [&check.http, &check.tcp, &check.grpc, &check.h2ping].into_iter().any(given);
    let alias = given(&check.alias_node) || given(&check.alias_service);
    Some(if check.status.as_deref() == Some("maintenance") {
        "Consul refuses the status \"maintenance\" of a check"
    } else if given(&check.interval) && given(&check.ttl) {
        "Consul refuses a check with both an interval and a ttl"
    } else if probes && !given(&check.interval) {
        "Consul refuses a check that probes without an interval"
    } else if probes && alias {
        "Consul refuses an alias that probes"
    } else if alias && given(&check.ttl) {
        "Consul refuses an alias with a ttl"
    } else if !probes && !alias && !given(&check.ttl) {
        "Consul refuses a check that neither probes (http, tcp, grpc, h2ping, args) nor is an alias, nor has a ttl"
    } else {
        return None;
    })
}

fn upstreams(upstreams: &[Upstream], rules: &mut Rules<'_>) {
    let mut seen = BTreeSet::new();
    for (i, upstream) in upstreams.iter().enumerate() {
        let path = Path::of("proxy.upstreams").index(i);
        if upstream.destination_name == "*" {
            rules.warn([&path.key("destinationName")], "Consul refuses a wildcard");
        }
        if upstream.destination_peer.is_some() && upstream.datacenter.is_some() {
            rules.warn([&path], "Consul refuses an upstream with both a peer and a datacenter");
        }
        let target = (
            upstream.destination_type == Some(DestinationType::PreparedQuery),
            &upstream.destination_name,
            &upstream.destination_namespace,
            &upstream.destination_partition,
            &upstream.destination_peer,
            &upstream.datacenter,
        );
        if !seen.insert(target) {
            rules.warn([&path], "Consul refuses a second upstream to the same destination");
        }
    }
}
