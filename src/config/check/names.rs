//! Names: what Consul refuses, and what it takes but DNS does not.

use super::Rules;
use crate::config::model::{Config, Containers};
use crate::config::path::Path;

pub(super) fn check(config: &Config, rules: &mut Rules<'_>) {
    if let Some(name) = &config.service.name {
        service_name(name, rules);
    }
    datacenter(&config.consul.datacenter, rules);
    let mut not_empty = |path: Path, text: &str| {
        if text.trim().is_empty() {
            rules.error([&path], "must not be empty");
        }
    };
    for (i, server) in config.consul.retry_join.iter().enumerate() {
        not_empty(Path::of("consul.retryJoin").index(i), server);
    }
    for (i, upstream) in config.proxy.upstreams.iter().enumerate() {
        not_empty(
            Path::of("proxy.upstreams").index(i).key("destinationName"),
            &upstream.destination_name,
        );
    }
    for (path, text) in [
        ("consul.nodeName", &config.consul.node_name),
        ("consul.advertiseAddress", &config.consul.advertise_address),
        ("consul.bindAddress", &config.consul.bind_address),
    ] {
        text.iter().for_each(|text| not_empty(Path::of(path), text));
    }
    for (path, binary) in
        [("consul.binary", &config.consul.binary), ("envoy.binary", &config.envoy.binary)]
    {
        not_empty(Path::of(path), &binary.to_string_lossy());
    }
    if let Containers::Named(names) = &config.health_sync.containers {
        containers("healthSync.containers", names, rules);
    }
    if let Some(names) = &config.lifecycle.app_containers {
        containers("lifecycle.appContainers", names, rules);
    }
}

/// Consul takes any service name and only warns; but a name that is no DNS label (1 to 63 letters, digits, dashes) is
/// not found by DNS. Underscores are common, for ECS takes them in a family's name; a dot works within one mesh, and
/// consul-ecs 0.4.3 took it. What a URI escapes (a slash, a space) makes a certificate that no intention matches.
fn service_name(name: &str, rules: &mut Rules<'_>) {
    let path = Path::of("service.name");
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || !name.chars().all(allowed) {
        return rules
            .error([&path], format!("must consist of letters, digits and dashes, not {name:?}"));
    }
    if name.len() > 63 || name.contains(['_', '.']) || name.starts_with('-') || name.ends_with('-')
    {
        rules.warn(
            [&path],
            "not a DNS label (1 to 63 letters, digits, inner dashes): DNS will not find it",
        );
    }
    if name.chars().any(|c| c.is_ascii_uppercase()) {
        rules.warn(
            [&path],
            "lower case is better: intentions and policies compare names letter by letter",
        );
    }
}

/// Consul: "Datacenter must be alpha-numeric with underscores and hyphens only".
fn datacenter(name: &str, rules: &mut Rules<'_>) {
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    {
        let message =
            format!("must consist of letters, digits, dashes and underscores, not {name:?}");
        rules.error([&Path::of("consul.datacenter")], message);
    }
}

fn containers(path: &str, names: &[String], rules: &mut Rules<'_>) {
    let path = Path::of(path);
    for (i, name) in names.iter().enumerate() {
        if name.is_empty() {
            rules.error([&path.index(i)], "must not be empty");
        } else if names[..i].contains(name) {
            rules.error([&path.index(i)], format!("{name:?} is named twice"));
        }
    }
}
