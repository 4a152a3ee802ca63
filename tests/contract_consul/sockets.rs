//! HTTP and gRPC on unix sockets.

use crate::backend::Backend;
use crate::bench::{Bench, PATIENCE, PROMPT, alone};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use taskmesh::config::Envoy;
use taskmesh::consul::{AgentSecrets, Version, connect_envoy_args};
use taskmesh::envoy::{BootstrapError, Edit, TokenFile, edit};
use tokio::time::timeout;

async fn sockets(mut bench: Bench) {
    let dir = tempfile::tempdir().expect("folder");
    let [http, grpc] = ["http.sock", "grpc.sock"].map(|name| dir.path().join(name));
    bench.cfg.consul.http_socket = Some(http.clone());
    bench.cfg.consul.grpc_socket = Some(grpc.clone());
    bench.start_server(json!({})).await;
    let agent = bench.join().await;
    bench.register(&agent).await;
    bench.until_shown("there", |entry| entry.is_some()).await;
    for socket in [&http, &grpc] {
        let mode = std::fs::metadata(socket).expect("socket").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", socket.display());
    }

    let args =
        connect_envoy_args(&bench.ids, &bench.cfg.consul, &bench.cfg.service, &Envoy::default());
    let printed = Command::new(&bench.consul.binary).args(args).output().expect("consul");
    assert!(printed.status.success(), "{printed:?}");
    let printed: Value = serde_json::from_slice(&printed.stdout).expect("JSON");
    let token_file = dir.path().join("token.json");
    let change = Edit { token: TokenFile::Watched(&token_file), admin_port: 19000 };
    let edited = edit(printed.clone(), &change);
    if bench.consul.version < Version::new(1, 10, 0) {
        assert!(matches!(edited, Err(BootstrapError::NotV3 { .. })), "{edited:?}");
    }
    let bootstrap = edited.unwrap_or(printed).to_string();
    let pipe = json!({ "pipe": { "path": grpc } }).to_string();
    assert!(bootstrap.contains(&pipe), "{bootstrap}");

    // Killed, it leaves its sockets behind; the next one is not hindered by them.
    agent.process.kill();
    timeout(PATIENCE, agent.process.wait()).await.expect("killed");
    assert!(http.exists() && grpc.exists());
    assert!(agent.client.leader().await.is_err_and(|e| e.is_unreachable()));
    bench.cfg.proxy.public_listener_port += 1;
    let port = bench.cfg.proxy.public_listener_port;
    let agent = bench.start_agent(&AgentSecrets::default()).await;
    agent.joined().await;
    bench.register(&agent).await;
    let took =
        bench.until_shown("back", |entry| entry.is_some_and(|e| e.service.port == port)).await;
    assert!(took < PROMPT, "{took:?}");
}

macro_rules! on {
    ($module:ident, $backend:expr) => {
        #[tokio::test]
        async fn $module() {
            alone($backend, "sockets", sockets).await;
        }
    };
}

on!(sockets_stand_in_for_ports_on_187, Backend::V187);
on!(sockets_stand_in_for_ports_on_consul_bin, Backend::Given);
