//! The environment of a consul-ecs v0.4.3 task: what its Terraform module gave the agent's container, and what Consul's
//! Go client reads in the others.
//!
//! It is read only beside a v0.4.3 document, and only where our own configuration says nothing.

use super::super::env::Env;
use super::Preset;
use serde_json::{Value, json};

/// Variables of Consul's Go client that say how to reach an agent. Ours is our own child, on loopback.
const HOW_TO_REACH_IT: [&str; 8] = [
    "CONSUL_HTTP_ADDR",
    "CONSUL_HTTP_AUTH",
    "CONSUL_HTTP_SSL",
    "CONSUL_HTTP_SSL_VERIFY",
    "CONSUL_CAPATH",
    "CONSUL_CLIENT_CERT",
    "CONSUL_CLIENT_KEY",
    "CONSUL_TLS_SERVER_NAME",
];

/// What a variable's name and value say in our terms.
type Meaning = fn(&'static str, &str) -> Value;

/// What the environment says, in our terms. Secrets stay references.
pub(super) fn presets(env: &dyn Env) -> Vec<Preset> {
    let mut found = Vec::new();
    // The first of several variables that say the same thing.
    let mut take = |path: &'static str, variables: &[(&'static str, Meaning)]| {
        let (from, value) = variables.iter().find_map(|(name, meaning)| {
            let value = text(env, name)?;
            Some((*name, meaning(name, value.trim())))
        })?;
        found.push(Preset { path, value, from: Some(from) });
        Some(from)
    };
    take("consul.datacenter", &[("CONSUL_DATACENTER", itself)]);
    // The Go client sends them with every call, so they decide where a service without its own is registered.
    take("service.namespace", &[("CONSUL_NAMESPACE", itself)]);
    take("service.partition", &[("CONSUL_PARTITION", itself)]);
    take("consul.gossipKey", &[("CONSUL_GOSSIP_ENCRYPTION_KEY", secret)]);
    // 0.5 gave the text a name of its own, because Consul's client reads CONSUL_CACERT as a path.
    take("consul.tls.ca", &[("CONSUL_CACERT_PEM", secret), ("CONSUL_CACERT", text_or_file)]);
    let agent = take("consul.agentToken", &[("AGENT_TOKEN", secret)]);
    // In the Go client the file wins over the token.
    let service = take(
        "consul.serviceToken",
        &[("CONSUL_HTTP_TOKEN_FILE", file), ("CONSUL_HTTP_TOKEN", secret)],
    );
    // The module gave tokens where it had switched ACLs on: default policy deny, down policy async-cache.
    if let Some(from) = agent.or(service) {
        found.push(Preset { path: "consul.acl", value: json!({}), from: Some(from) });
    }
    found
}

fn itself(_: &'static str, value: &str) -> Value {
    json!(value)
}

fn secret(variable: &'static str, _: &str) -> Value {
    json!({"env": variable})
}

fn file(_: &'static str, path: &str) -> Value {
    json!({"file": path})
}

fn text_or_file(variable: &'static str, value: &str) -> Value {
    if value.contains("-----BEGIN") { secret(variable, value) } else { file(variable, value) }
}

/// One sentence for each variable that meant something to 0.4.3 and means nothing here.
pub(super) fn ignored(env: &dyn Env) -> impl Iterator<Item = String> {
    HOW_TO_REACH_IT
        .into_iter()
        .filter(|name| text(env, name).is_some())
        .map(|name| format!("{name} is ignored: the agent runs in this container, on loopback"))
}

/// A variable that holds something. What is not text is nothing that 0.4.3's tasks hold.
fn text(env: &dyn Env, name: &str) -> Option<String> {
    let text = env.var(name)?.into_string().ok()?;
    (!text.trim().is_empty()).then_some(text)
}
