//! Ports: all containers of an awsvpc task share one network namespace, so no two listeners may share a port.

use super::Rules;
use crate::config::model::Config;
use crate::config::path::Path;
use std::net::{IpAddr, Ipv4Addr};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const EVERYWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Something that listens: where it stands in the configuration, and on what.
struct Listener {
    path: Path,
    address: IpAddr,
    port: u16,
}

pub(super) fn check(config: &Config, rules: &mut Rules<'_>) {
    let admin = Path::of("admin.listen");
    if !config.admin.listen.ip().is_loopback() {
        rules.error(
            [&admin],
            format!("must be a loopback address, not {}", config.admin.listen.ip()),
        );
    }
    if config.admin.listen.port() == 0 {
        rules.warn([&admin], "port 0 is a random one: healthcheck and app cannot find it");
    }
    let listeners = listeners(config, rules);
    for (i, later) in listeners.iter().enumerate() {
        if let Some(first) = listeners[..i].iter().find(|first| clash(first, later)) {
            let message = format!("port {} is taken by {}", later.port, first.path);
            rules.error([&later.path, &first.path], message);
        }
    }
}

/// Every listener, the ones that a user most likely chose deliberately first. Not `consul.serverPort`: an agent that is
/// no server does not listen there.
fn listeners(config: &Config, rules: &mut Rules<'_>) -> Vec<Listener> {
    let mut all = Vec::new();
    let mut add =
        |path: Path, address: IpAddr, port: u16| all.push(Listener { path, address, port });
    if let Some(port) = config.service.port.filter(|_| config.service.inbound) {
        // Envoy reaches the app on loopback, wherever else it may listen.
        add(Path::of("service.port"), LOOPBACK, port);
    }
    add(Path::of("proxy.publicListenerPort"), EVERYWHERE, config.proxy.public_listener_port);
    if config.consul.http_socket.is_none() {
        add(Path::of("consul.httpPort"), LOOPBACK, config.consul.http_port);
    }
    if config.consul.grpc_socket.is_none() {
        add(Path::of("consul.grpcPort"), LOOPBACK, config.consul.grpc_port);
    }
    add(Path::of("consul.serfPort"), EVERYWHERE, config.consul.serf_port);
    add(Path::of("envoy.adminPort"), LOOPBACK, config.envoy.admin_port);
    if config.admin.listen.port() != 0 {
        add(Path::of("admin.listen"), config.admin.listen.ip(), config.admin.listen.port());
    }
    for (i, exposed) in config.proxy.expose.iter().flat_map(|expose| &expose.paths).enumerate() {
        let path = Path::of("proxy.expose.paths").index(i);
        if let Some(protocol) = &exposed.protocol
            && !["http", "http2"].contains(&protocol.as_str())
        {
            let message = format!("must be \"http\" or \"http2\", not {protocol:?}");
            rules.error([&path.key("protocol")], message);
        }
        if !exposed.path.starts_with('/') {
            let message = "does not begin with a slash: no request's path is like that";
            rules.warn([&path.key("path")], message);
        }
        add(path.key("listenerPort"), EVERYWHERE, exposed.listener_port);
    }
    for (i, upstream) in config.proxy.upstreams.iter().enumerate() {
        let path = Path::of("proxy.upstreams").index(i);
        let address = match upstream.local_bind_address.as_deref().map(str::parse) {
            None => LOOPBACK,
            Some(Ok(address)) => address,
            Some(Err(_)) => {
                rules.error([&path.key("localBindAddress")], "must be an IP address");
                continue;
            }
        };
        add(path.key("localBindPort"), address, upstream.local_bind_port);
    }
    all
}

fn clash(a: &Listener, b: &Listener) -> bool {
    a.port == b.port
        && (a.address == b.address || a.address.is_unspecified() || b.address.is_unspecified())
}
