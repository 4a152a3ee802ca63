//! Rules that span values, and rules that JSON Schema cannot say. All of them are checked; none stops another.

mod agent;
mod login;
mod names;
mod native;
mod ports;
mod refused;
pub(super) mod times;

use super::error::Finding;
use super::model::Config;
use super::path::Path;

/// What the rules found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) errors: Vec<Finding>,
    pub(super) warnings: Vec<String>,
}

/// Checks every rule that looks at none of the `spoiled` paths: what stands there is not what the user wrote.
pub(super) fn check(config: &Config, spoiled: &[Path]) -> Found {
    let mut rules = Rules { spoiled, found: Found::default() };
    service(config, &mut rules);
    native::check(config, &mut rules);
    refused::check(config, &mut rules);
    names::check(config, &mut rules);
    agent::check(config, &mut rules);
    login::check(config, &mut rules);
    ports::check(config, &mut rules);
    times::check(config, &mut rules);
    rules.found
}

struct Rules<'a> {
    spoiled: &'a [Path],
    found: Found,
}

impl Rules<'_> {
    /// An error at the first of the paths that its rule looked at.
    fn error<const N: usize>(&mut self, looked_at: [&Path; N], message: impl Into<String>) {
        if self.may_judge(&looked_at) {
            self.found.errors.push(Finding::new(looked_at[0].clone(), message));
        }
    }

    /// A warning at the first of the paths that its rule looked at.
    fn warn<const N: usize>(&mut self, looked_at: [&Path; N], message: &str) {
        if self.may_judge(&looked_at) {
            self.found.warnings.push(format!("{}: {message}", looked_at[0]));
        }
    }

    fn may_judge(&self, looked_at: &[&Path]) -> bool {
        !looked_at.iter().any(|path| self.spoiled.iter().any(|spoiled| spoiled.overlaps(path)))
    }
}

fn service(config: &Config, rules: &mut Rules<'_>) {
    let service = &config.service;
    let (port, inbound) = (Path::of("service.port"), Path::of("service.inbound"));
    match service.port {
        None if service.inbound => {
            rules
                .error([&port, &inbound], "required, but missing; or set service.inbound to false");
        }
        Some(_) if !service.inbound => {
            rules.warn([&port, &inbound], "not used: service.inbound is false");
        }
        _ => {}
    }
    let protocol = Path::of("proxy.config").key("protocol");
    match config.proxy.config.get("protocol") {
        Some(word) if !word.is_string() => rules.error([&protocol], "must be a string"),
        Some(_)
            if !["tcp", "http", "http2", "grpc"].contains(&config.proxy.protocol().as_str()) =>
        {
            rules.warn(
                [&protocol],
                "not a protocol that Consul knows (tcp, http, http2, grpc): treated as tcp",
            );
        }
        _ => {}
    }
    let join = Path::of("consul.retryJoin");
    if config.consul.retry_join.is_empty() {
        rules.error([&join], "must name at least one server");
    }
    // What Envoy's `--log-level` takes; it exits at anything else.
    let levels = ["trace", "debug", "info", "warning", "warn", "error", "critical", "off"];
    let level = &config.envoy.log_level;
    if !levels.contains(&level.as_str()) {
        let message = format!("must be one of {}, not {level:?}", levels.join(", "));
        rules.error([&Path::of("envoy.logLevel")], message);
    }
    if config.restart.budget == 0 {
        rules.warn([&Path::of("restart.budget")], "0: the first crash of Envoy spends it");
    }
}
