//! The `consul` executable: its arguments, its environment, its version.

use super::ServiceIds;
use crate::config;
use secrecy::{ExposeSecret, SecretString};
use std::path::Path;

/// Version of Consul, without what follows it (`-dev`, `+ent`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub struct Version {
    pub major: u32,
    pub minor: u32,
    pub patch: u32,
}

impl Version {
    /// What is taken for the version of a Consul that has not said it: one that knows every key that ours do.
    pub const NEWEST: Self = Self::new(u32::MAX, 0, 0);

    /// This version.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch }
    }

    /// Reads `1.16.2+ent`, `1.23.0-dev` or the like.
    pub fn parse(text: &str) -> Option<Self> {
        let numbers = text.split(|c: char| c != '.' && !c.is_ascii_digit()).next()?;
        let mut numbers = numbers.split('.').map(str::parse);
        let mut next = || numbers.next()?.ok();
        Some(Self { major: next()?, minor: next()?, patch: next().unwrap_or(0) })
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// Reads the output of `consul version`: its first line is `Consul v1.16.2+ent`, `Consul v1.23.0-dev` or the like.
pub fn parse_version(output: &str) -> Option<Version> {
    Version::parse(output.lines().find_map(|line| line.trim().strip_prefix("Consul v"))?)
}

/// Arguments of the agent: our config first, for a later file wins.
pub fn agent_args<P: AsRef<Path>>(config_file: &Path, extra: &[P]) -> Vec<String> {
    let mut args = vec!["agent".to_owned()];
    for file in std::iter::once(config_file).chain(extra.iter().map(AsRef::as_ref)) {
        args.push(format!("-config-file={}", file.display()));
    }
    args
}

/// Where the agent's HTTP API is, as [`Client::new`](super::Client::new) and `-http-addr` take it.
pub fn http_address(consul: &config::Consul) -> String {
    match &consul.http_socket {
        Some(socket) => format!("unix://{}", socket.display()),
        None => format!("http://127.0.0.1:{}", consul.http_port),
    }
}

/// Where the agent's gRPC API is, as `-grpc-addr` takes it.
pub fn grpc_address(consul: &config::Consul) -> String {
    match &consul.grpc_socket {
        Some(socket) => format!("unix://{}", socket.display()),
        None => format!("127.0.0.1:{}", consul.grpc_port),
    }
}

/// Arguments that make `consul` print the bootstrap of Envoy. `-grpc-addr` must be given: without it old versions
/// fail and current ones warn and guess.
pub fn connect_envoy_args(
    ids: &ServiceIds,
    consul: &config::Consul,
    service: &config::Service,
    envoy: &config::Envoy,
) -> Vec<String> {
    let mut args = vec![
        "connect".to_owned(),
        "envoy".to_owned(),
        "-bootstrap".to_owned(),
        format!("-proxy-id={}", ids.proxy),
        format!("-http-addr={}", http_address(consul)),
        format!("-grpc-addr={}", grpc_address(consul)),
        format!("-admin-bind=127.0.0.1:{}", envoy.admin_port),
    ];
    if let Some(partition) = &service.partition {
        args.push(format!("-partition={partition}"));
    }
    if let Some(namespace) = &service.namespace {
        args.push(format!("-namespace={namespace}"));
    }
    args
}

/// The environment of the agent: of `ours`, only what is not meant for a Consul client (it reads `CONSUL_CACERT` as a
/// path, where 0.4.3's tasks put PEM text, and `CONSUL_HTTP_TOKEN` as its token, where two tokens meet) and is none of
/// `secrets`, the variables that our configuration takes its secrets from. The rest may be for its cloud auto-join.
pub fn agent_env(
    ours: impl IntoIterator<Item = (String, String)>,
    secrets: &[&str],
) -> Vec<(String, String)> {
    let meant_for_us = |name: &str| {
        name.starts_with("CONSUL_")
            || name.starts_with("TASKMESH_")
            || name == "AGENT_TOKEN"
            || secrets.contains(&name)
    };
    ours.into_iter().filter(|(name, _)| !meant_for_us(name)).collect()
}

/// The environment of a `consul` command: what any program needs, and `token` if it calls the agent. Variables that
/// `consul.extraConfig` names may hold secrets too, and are no business of a command.
pub fn command_env(
    ours: impl IntoIterator<Item = (String, String)>,
    token: Option<&SecretString>,
) -> Vec<(String, String)> {
    let common = ["PATH", "HOME", "TMPDIR", "LANG", "TZ"];
    let mut env: Vec<_> =
        ours.into_iter().filter(|(name, _)| common.contains(&name.as_str())).collect();
    if let Some(token) = token {
        env.push(("CONSUL_HTTP_TOKEN".to_owned(), token.expose_secret().to_owned()));
    }
    env
}

#[cfg(test)]
#[path = "cli_tests.rs"]
mod tests;
