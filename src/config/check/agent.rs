//! The agent: TLS, ACLs, sockets, and what users add to its configuration themselves.

use super::Rules;
use crate::agent_text::{self, Piece};
use crate::config::model::{AclDefaultPolicy, Config, Secret};
use crate::config::path::Path;
use std::os::unix::ffi::OsStrExt;

/// A socket's path and the zero byte behind it must fit into 108 bytes (unix(7), `sun_path`).
const SOCKET_PATH: usize = 107;
/// The ports that are not used beside a socket, with their defaults.
const HTTP_PORT: u16 = 8500;
const GRPC_PORT: u16 = 8502;

/// Keys of the agent on which taskmesh relies, and what to do instead of setting them.
const OURS: [(&str, &str); 17] = [
    ("acl.enabled", "use consul.acl"),
    ("acl.tokens.agent", "use consul.agentToken"),
    ("acl.tokens.agent_master", "taskmesh makes one of its own for each agent"),
    ("acl.tokens.agent_recovery", "taskmesh makes one of its own for each agent"),
    ("addresses.grpc", "use consul.grpcSocket, or leave it on loopback: Envoy is told where it is"),
    ("addresses.http", "use consul.httpSocket, or leave it on loopback: taskmesh calls it there"),
    ("client_addr", "HTTP and gRPC stay on loopback, whatever it says"),
    ("data_dir", "use consul.dataDir"),
    ("datacenter", "use consul.datacenter"),
    ("enable_central_service_config", "without it service-defaults do not reach Envoy"),
    ("leave_on_terminate", "without it a stopped task stays in the catalog as failed"),
    ("node_id", "it is made of the task ID, so that an agent that lost its data is known again"),
    ("node_name", "use consul.nodeName"),
    ("partition", "use service.partition"),
    ("ports.grpc", "use consul.grpcPort"),
    ("ports.http", "use consul.httpPort"),
    ("server", "taskmesh runs a client agent, which ends with its task"),
];

pub(super) fn check(config: &Config, rules: &mut Rules<'_>) {
    tls(config, rules);
    acl(config, rules);
    stored(config, rules);
    sockets(config, rules);
    extra(config, rules);
}

fn tls(config: &Config, rules: &mut Rules<'_>) {
    let Some(tls) = &config.consul.tls else { return };
    let at = Path::of("consul.tls");
    let (cert, key, auto) = (at.key("cert"), at.key("key"), at.key("autoEncrypt"));
    match (&tls.cert, &tls.key) {
        (Some(_), None) => rules.error([&key, &cert], "required, but missing: cert is given"),
        (None, Some(_)) => rules.error([&cert, &key], "required, but missing: key is given"),
        (Some(_), Some(_)) if tls.auto_encrypt => rules.error(
            [&cert, &auto],
            "set consul.tls.autoEncrypt to false, or leave out cert and key: an agent has a certificate of its \
             own or one from the servers, not both",
        ),
        _ => {}
    }
}

fn acl(config: &Config, rules: &mut Rules<'_>) {
    let consul = &config.consul;
    let acl = Path::of("consul.acl");
    let (agent, service) = (Path::of("consul.agentToken"), Path::of("consul.serviceToken"));
    let login = consul.login.as_ref();
    let agent_logs_in = login.is_some_and(|login| login.agent_method.is_some());
    match &consul.acl {
        Some(policy) if policy.default_policy == AclDefaultPolicy::Deny => {
            if consul.agent_token.is_none() && !agent_logs_in {
                let message = "consul.agentToken is missing: unless extraConfig gives one, the servers let the agent \
                               join, but not write its node";
                rules.warn([&acl, &agent], message);
            }
            if consul.service_token.is_none() && login.is_none() {
                let message = "consul.serviceToken is missing: nothing can be registered, unless the servers let \
                               the anonymous token do it";
                rules.warn([&acl, &service], message);
            }
        }
        Some(_) => {}
        None => {
            if consul.agent_token.is_some() {
                let message = "not used without consul.acl; to use it, add \"acl\": {}";
                rules.error([&agent, &acl], message);
            }
            if consul.service_token.is_some() {
                let message = "without consul.acl only the servers check it, not the agent; probably \"acl\": {} is \
                               missing";
                rules.warn([&service, &acl], message);
            }
        }
    }
}

/// A secret that this build cannot ask for is none.
fn stored(config: &Config, rules: &mut Rules<'_>) {
    if crate::stored::Store::AVAILABLE {
        return;
    }
    for (item, secret) in config.consul.secrets() {
        if matches!(secret, Secret::SecretsManager(_)) {
            let message = "this taskmesh was built without the AWS parts; use env or file";
            rules.error([&Path::of(item.path())], message);
        }
    }
}

fn sockets(config: &Config, rules: &mut Rules<'_>) {
    let consul = &config.consul;
    let (http, grpc) = (Path::of("consul.httpSocket"), Path::of("consul.grpcSocket"));
    for (path, socket, port_path, port, default) in [
        (&http, &consul.http_socket, "consul.httpPort", consul.http_port, HTTP_PORT),
        (&grpc, &consul.grpc_socket, "consul.grpcPort", consul.grpc_port, GRPC_PORT),
    ] {
        let Some(socket) = socket else { continue };
        let port_path = Path::of(port_path);
        let bytes = socket.as_os_str().as_bytes();
        let text = socket.to_string_lossy();
        if !socket.is_absolute() || socket.file_name().is_none() || bytes.ends_with(b"/") {
            rules.error([path], format!("must be the absolute path of a socket, not {text:?}"));
        } else if bytes.len() > SOCKET_PATH {
            let message = format!("must be at most {SOCKET_PATH} bytes long, not {}", bytes.len());
            rules.error([path], message);
        } else if text.contains(char::is_whitespace) || text.contains("{{") {
            // The agent takes a list of addresses there, and templates.
            rules.error([path], "must hold no white space and no {{");
        }
        if port != default {
            rules.error([path, &port_path], format!("{port_path} is given too; keep one"));
        }
    }
    if consul.http_socket.is_some() && consul.http_socket == consul.grpc_socket {
        rules.error([&grpc, &http], "is consul.httpSocket too: each needs a socket of its own");
    }
}

fn extra(config: &Config, rules: &mut Rules<'_>) {
    let files = Path::of("consul.extraConfigFiles");
    for (i, file) in config.consul.extra_config_files.iter().enumerate() {
        let path = files.index(i);
        if file.as_os_str().is_empty() {
            rules.error([&path], "must not be empty");
        } else if file.extension().is_none_or(|extension| extension != "hcl" && extension != "json")
        {
            rules.warn([&path], "Consul takes files whose names end in .hcl or .json, no others");
        }
    }
    let Some(text) = &config.consul.extra_config else { return };
    let path = Path::of("consul.extraConfig");
    let mut shell: Vec<_> = agent_text::pieces(text)
        .into_iter()
        .filter_map(|piece| match piece {
            Piece::Shell(what) => Some(what),
            Piece::Text(_) | Piece::Variable(_) => None,
        })
        .collect();
    shell.sort_unstable();
    shell.dedup();
    if !shell.is_empty() {
        let message = format!(
            "no shell runs: {} stays as it is; only $NAME and ${{NAME}} are replaced",
            shell.join(" and ")
        );
        rules.warn([&path], &message);
    }
    let keys = agent_text::keys(text);
    for (key, instead) in OURS {
        if keys.iter().any(|given| given == key) {
            rules.warn([&path], &format!("sets {key}, on which taskmesh relies: {instead}"));
        }
    }
}
