//! One running agent, client or server: its parts, its listeners, its signals and its leave.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};

use super::acl::Authz;
use super::ca::{Authority, Leaf};
use super::catalog::{Catalog, Snapshot};
use super::config::{self, Config, Tokens};
use super::local::Local;
use super::{api, link, random, rpc, state, xds};

/// What every part of an agent shares.
pub(crate) struct Agent {
    pub(crate) config: Config,
    /// The tokens can change while running (reload, token API).
    pub(crate) tokens: RwLock<Tokens>,
    sources: (Vec<PathBuf>, Map<String, Value>),
    pub(crate) catalog: Catalog,
    pub(crate) local: Arc<Local>,
    /// Present at the server only.
    pub(crate) authority: Option<Authority>,
    /// The address of the server, while there is a connection to one.
    pub(crate) joined: watch::Sender<Option<SocketAddr>>,
    pub(crate) sessions: Mutex<BTreeMap<String, rpc::Session>>,
    pub(crate) leaves: Mutex<BTreeMap<String, Leaf>>,
    pub(crate) http: reqwest::Client,
    /// Set when a leave begins; the synchronisation stops then.
    pub(crate) leaving: watch::Sender<bool>,
    pub(crate) left: watch::Sender<bool>,
    leave_asked: mpsc::Sender<()>,
}

/// A guard over state that a panicking holder cannot have left half-changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Agent {
    /// This agent's address as others see it.
    pub(crate) fn address(&self) -> IpAddr {
        let bind = self.config.bind_addr;
        let fallback = if bind.is_unspecified() { IpAddr::from([127, 0, 0, 1]) } else { bind };
        self.config.advertise_addr.unwrap_or(fallback)
    }

    pub(crate) fn tokens(&self) -> Tokens {
        self.tokens.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Resolves a secret; `None`: there is no such token.
    pub(crate) fn authz(&self, secret: &str) -> Option<Authz> {
        let tokens = self.tokens();
        let enabled = self.config.acl.enabled || self.catalog.read(|s| s.acl.enabled);
        if !enabled {
            return Some(Authz::all());
        }
        let secret = if secret.is_empty() { &tokens.default } else { secret };
        if !secret.is_empty() && secret == tokens.agent_recovery {
            return Some(Authz::recovery(&self.config.node_name));
        }
        if self.catalog.read(|s| s.index == 0) {
            return Some(Authz::unknown());
        }
        self.catalog.read(|s| s.acl.authz(secret))
    }

    /// Asks for a graceful leave; `left` tells when it is done.
    pub(crate) fn ask_to_leave(&self) {
        if self.leave_asked.try_send(()).is_err() {
            tracing::debug!("a leave was asked for already");
        }
    }

    /// Reads the configuration files again; only the tokens take effect.
    pub(crate) fn reload(&self) -> Result<(), String> {
        let (files, cli) = &self.sources;
        let fresh = config::load(files, cli.clone()).map_err(|e| e.to_string())?;
        *self.tokens.write().unwrap_or_else(PoisonError::into_inner) = fresh.acl.tokens;
        tracing::info!("configuration reloaded");
        Ok(())
    }

    /// The leaf certificate of a service, from the cache, the authority or the server.
    pub(crate) async fn leaf(&self, service: &str) -> Result<Leaf, String> {
        if let Some(leaf) = lock(&self.leaves).get(service) {
            return Ok(leaf.clone());
        }
        let leaf = match &self.authority {
            Some(authority) => authority
                .leaf(&self.config.datacenter, service)
                .map_err(|e| format!("cannot sign: {e}"))?,
            None => link::fetch_leaf(self, service).await?,
        };
        // Two askers at the same time must agree on one leaf.
        Ok(lock(&self.leaves).entry(service.to_owned()).or_insert(leaf).clone())
    }
}

async fn bind(address: SocketAddr, what: &str) -> Result<TcpListener, String> {
    TcpListener::bind(address)
        .await
        .map_err(|e| format!("failed to start {what} on {address}: {e}"))
}

/// As Consul does: whatever is there is replaced, and the socket is the owner's alone (`unix_sockets.mode`).
fn bind_socket(path: &Path, what: &str) -> Result<UnixListener, String> {
    let failed = |e: std::io::Error| format!("failed to start {what} on {}: {e}", path.display());
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed(e)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(listener)
}

/// Runs an agent until it has left or was interrupted; `Ok(true)` after a graceful leave.
pub(crate) async fn run(
    files: Vec<PathBuf>,
    cli: Map<String, Value>,
    config: Config,
) -> Result<bool, String> {
    // As the real one: a TERM that comes before everything is open is taken, and forgotten where the start succeeds.
    let _deaf = signal(SignalKind::terminate()).map_err(|e| e.to_string())?;
    let (mut catalog, mut authority) = (Snapshot::default(), None);
    if config.server {
        let (snapshot, owner) = state::open_state(&config)?;
        (catalog, authority) = (snapshot, Some(owner));
    }
    let local_file = config.data_dir.as_ref().map(|d| d.join("services.json"));
    let (leave_asked, mut leave_asks) = mpsc::channel(1);
    let agent = Arc::new(Agent {
        tokens: RwLock::new(config.acl.tokens.clone()),
        sources: (files, cli),
        catalog: Catalog::new(catalog),
        local: Local::open(local_file)?,
        authority,
        joined: watch::Sender::new(None),
        sessions: Mutex::default(),
        leaves: Mutex::default(),
        http: super::http::client().map_err(|e| e.to_string())?,
        leaving: watch::Sender::new(false),
        left: watch::Sender::new(false),
        leave_asked,
        config,
    });
    listen(&agent).await?;
    tracing::info!(node = agent.config.node_name, id = agent.config.node_id, "agent running");

    let mut terms = signal(SignalKind::terminate()).map_err(|e| e.to_string())?;
    let mut interrupts = signal(SignalKind::interrupt()).map_err(|e| e.to_string())?;
    let mut hangups = signal(SignalKind::hangup()).map_err(|e| e.to_string())?;
    let graceful = loop {
        tokio::select! {
            _ = terms.recv() => break agent.config.leave_on_terminate,
            _ = interrupts.recv() => break agent.config.leave_on_interrupt,
            _ = leave_asks.recv() => break true,
            _ = hangups.recv() => {
                if let Err(error) = agent.reload() {
                    tracing::error!(error, "reload failed");
                }
            }
        }
    };
    if !graceful {
        tracing::info!("shutting down without a leave");
        return Ok(false);
    }
    tracing::info!("starting graceful leave");
    tokio::select! {
        () = leave(&agent) => Ok(true),
        _ = terms.recv() => Ok(false),
        _ = interrupts.recv() => Ok(false),
    }
}

/// Opens every listener and starts the tasks behind them.
async fn listen(agent: &Arc<Agent>) -> Result<(), String> {
    let config = &agent.config;
    // The gossip port is where others join, at servers and clients alike.
    let gossip = bind((config.bind_addr, config.serf_port).into(), "gossip").await?;
    serve(gossip, rpc::join_router(agent.clone()));
    if let Some(endpoint) = &config.http {
        let router = api::router(agent.clone());
        match &endpoint.socket {
            Some(socket) => serve(bind_socket(socket, "HTTP")?, router),
            None => serve(bind((endpoint.ip, endpoint.port).into(), "HTTP").await?, router),
        }
    }
    if let Some(endpoint) = &config.grpc {
        match &endpoint.socket {
            Some(socket) => {
                let incoming = UnixListenerStream::new(bind_socket(socket, "gRPC")?);
                tokio::spawn(xds::serve(agent.clone(), incoming));
            }
            None => {
                let listener = bind((endpoint.ip, endpoint.port).into(), "gRPC").await?;
                tokio::spawn(xds::serve(agent.clone(), TcpListenerStream::new(listener)));
            }
        }
    }
    if config.server {
        let listener = bind((config.bind_addr, config.server_port).into(), "RPC").await?;
        serve(listener, rpc::router(agent.clone()));
        rpc::start(agent);
    } else {
        tokio::spawn(link::join_forever(agent.clone()));
        tokio::spawn(link::sync_forever(agent.clone()));
    }
    tokio::spawn(reap(agent.clone()));
    if std::env::var_os("DEVMESH_DIE_WITH_PARENT").is_some() {
        tokio::spawn(die_with_parent());
    }
    Ok(())
}

fn serve<L>(listener: L, router: axum::Router)
where
    L: axum::serve::Listener,
    L::Addr: std::fmt::Debug,
{
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "listener failed");
        }
    });
}

/// A test that is killed cannot stop its meshes: they notice that they became orphans.
async fn die_with_parent() {
    let parent = nix::unistd::getppid();
    while nix::unistd::getppid() == parent {
        sleep(Duration::from_millis(500)).await;
    }
    tracing::warn!("the parent is gone, ending");
    // As if killed: no leave.
    if nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL).is_err() {
        tracing::error!("could not end");
    }
}

/// `DeregisterCriticalServiceAfter`; Consul looks every 30 s.
async fn reap(agent: Arc<Agent>) {
    loop {
        sleep(Duration::from_secs(30)).await;
        for service in agent.local.overdue() {
            tracing::info!(service, "critical for too long, deregistered");
            agent.local.deregister(&service);
        }
    }
}

/// Leaves as slowly as Consul: out of the catalog after 0.5-1.0 s, the process gone after 3-4 s
/// (`DEVMESH_LEAVE_MS` sets the whole; the catalog part shrinks with it).
async fn leave(agent: &Arc<Agent>) {
    let begun = Instant::now();
    agent.leaving.send_replace(true);
    let whole = std::env::var("DEVMESH_LEAVE_MS").ok().and_then(|t| t.parse().ok()).map_or_else(
        || Duration::from_secs(3) + random::below(Duration::from_secs(1)),
        Duration::from_millis,
    );
    let announce = Duration::from_millis(500) + random::below(Duration::from_millis(500));
    sleep_until(begun + announce.min(whole / 4)).await;
    if agent.authority.is_none() {
        link::announce_leave(agent).await;
    }
    sleep_until(begun + whole).await;
    agent.left.send_replace(true);
    tracing::info!("leave complete");
    // Lets an answer to `/v1/agent/leave` go out.
    sleep(Duration::from_millis(30)).await;
}
