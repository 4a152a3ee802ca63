//! A stand-in for the `envoy` executable where no real one can be had: beside Debian's Consul 1.8.7, whose xDS (v2)
//! today's Envoy has dropped. It has no data plane at all; what it has is what `taskmesh::envoy` asks for: the command
//! line, `--version`, the admin interface that the bootstrap names, an open public listener, an exit at TERM.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::{Query, State};
use axum::routing::{get, post};
use clap::Parser;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

/// As Envoy's: `<commit>/<version>/<tree>/<build>/<TLS library>`.
const VERSION: &str = "0000000000000000000000000000000000000000/1.40.0/Clean/STUB/none";

/// FOR DEVELOPMENT AND TESTS ONLY: this is not Envoy and carries no traffic. It reads the bootstrap for the address of
/// the admin interface, answers what taskmesh asks there, and opens a port.
#[derive(Debug, Parser)]
#[command(name = "envoy-stub", disable_version_flag = true)]
struct Cli {
    /// Print the version, in Envoy's form
    #[arg(long)]
    version: bool,
    /// The bootstrap, JSON
    #[arg(short, long, required_unless_present = "version")]
    config_path: Option<PathBuf>,
    /// Port of the public listener: a real Envoy is told by xDS
    #[arg(long, required_unless_present = "version")]
    stub_listener: Option<u16>,
    /// Taken and ignored
    #[arg(long)]
    concurrency: Option<u32>,
    /// Taken and ignored
    #[arg(long)]
    drain_time_s: Option<u32>,
    /// Taken and ignored
    #[arg(long)]
    drain_strategy: Option<String>,
    /// Taken and ignored
    #[arg(long)]
    disable_hot_restart: bool,
    /// Taken and ignored
    #[arg(long)]
    log_level: Option<String>,
}

/// Runs it; the exit code is the process's.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let (Some(bootstrap), Some(port)) = (&cli.config_path, cli.stub_listener) else {
        println!(
            "\nenvoy-stub  version: {VERSION}\n\nFor development only: a stand-in, not Envoy."
        );
        return ExitCode::SUCCESS;
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let served = runtime.context("no runtime").and_then(|r| r.block_on(serve(bootstrap, port)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("envoy-stub: {error:#}");
            ExitCode::FAILURE
        }
    }
}

struct Stub {
    listener: SocketAddr,
    quit: Notify,
}

async fn serve(bootstrap: &Path, port: u16) -> Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))
        .await
        .with_context(|| format!("public listener on port {port}"))?;
    let admin = admin_address(bootstrap)?;
    let admin = TcpListener::bind(admin).await.with_context(|| format!("admin on {admin}"))?;
    let stub = Arc::new(Stub { listener: listener.local_addr()?, quit: Notify::new() });
    println!("envoy-stub: FOR DEVELOPMENT ONLY: no traffic is carried; public listener on {port}");
    let routes = Router::new()
        .route("/ready", get(async || "LIVE\n"))
        .route(
            "/server_info",
            get(async || json!({ "version": VERSION, "state": "LIVE" }).to_string()),
        )
        .route("/listeners", get(listeners))
        .route("/stats", get(stats))
        .route("/drain_listeners", post(async || "OK\n"))
        .route("/quitquitquit", post(async |State(stub): State<Arc<Stub>>| stub.quit.notify_one()))
        .with_state(stub.clone());
    let accepting = async {
        loop {
            // A probe of the port is answered by the kernel; there is nothing behind it.
            drop(listener.accept().await);
        }
    };
    tokio::select! {
        served = axum::serve(admin, routes).into_future() => served?,
        () = accepting => {}
        _ = term.recv() => {}
        () = stub.quit.notified() => {}
    }
    Ok(())
}

/// Where the bootstrap wants the admin interface.
fn admin_address(bootstrap: &Path) -> Result<SocketAddr> {
    let text = std::fs::read(bootstrap).with_context(|| bootstrap.display().to_string())?;
    let bootstrap: Value = serde_json::from_slice(&text).context("the bootstrap is not JSON")?;
    let socket = &bootstrap["admin"]["address"]["socket_address"];
    let address = socket["address"].as_str().context("the bootstrap has no admin address")?;
    let port = socket["port_value"].as_u64().context("the bootstrap has no admin port")?;
    Ok(SocketAddr::new(address.parse()?, u16::try_from(port)?))
}

/// Always JSON, as with `?format=json`.
async fn listeners(State(stub): State<Arc<Stub>>) -> String {
    let (address, port) = (stub.listener.ip(), stub.listener.port());
    let socket = json!({ "address": address, "port_value": port });
    let listener = json!({
        "name": format!("public_listener:{address}:{port}"),
        "local_address": { "socket_address": socket },
    });
    json!({ "listener_statuses": [listener] }).to_string()
}

#[derive(Deserialize)]
struct Filter {
    #[serde(default)]
    filter: String,
}

/// Nothing is ever in flight. The filter is no regular expression here: what it names at its end is shown.
async fn stats(State(stub): State<Arc<Stub>>, Query(Filter { filter }): Query<Filter>) -> String {
    let address = stub.listener.to_string().replace(':', "_");
    let all = [
        "http.public_listener.downstream_rq_active".to_owned(),
        format!("listener.{address}.downstream_cx_active"),
    ];
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let shown = all.iter().filter(|name| filter.is_empty() || filter.contains(&last(name)));
    shown.map(|name| format!("{name}: 0\n")).collect()
}
