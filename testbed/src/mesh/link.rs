//! The client agent's side of the private protocol: join, follow the server, push, leave.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::agent::Agent;
use super::ca::Leaf;
use super::catalog::Snapshot;
use super::random;
use super::rpc::{Joined, Sync};

/// The server sends a line at least this often, a blank one if there is no news.
pub(crate) const HEARTBEAT: Duration = SECOND;

const SECOND: Duration = Duration::from_secs(1);

/// Joins, follows the server until the connection breaks, and starts over.
pub(crate) async fn join_forever(agent: Arc<Agent>) {
    if agent.config.dev.never_join {
        return;
    }
    let leaving = agent.leaving.subscribe();
    let mut known: Option<SocketAddr> = None;
    loop {
        let server = match known {
            Some(server) => server,
            None => match join(&agent).await {
                Ok(server) => server,
                Err(error) => {
                    tracing::warn!(
                        "(LAN) couldn't join: number_of_nodes=0\n  error=\n  | errors occurred:\n{error}\n"
                    );
                    sleep(agent.config.retry_interval).await;
                    continue;
                }
            },
        };
        let error = follow(&agent, server).await;
        if *leaving.borrow() {
            return;
        }
        let had = agent.joined.send_replace(None).is_some();
        if had {
            tracing::warn!(%server, error, "lost the server");
        }
        // Gossip remembers a server for as long as it lives; a first connection need not succeed.
        known = (had || known.is_some()).then_some(server);
        sleep(Duration::from_millis(100) + random::below(Duration::from_millis(100))).await;
    }
}

/// Tries each `retry_join` address on its gossip port; the answer names the server.
async fn join(agent: &Agent) -> Result<SocketAddr, String> {
    let mut errors = Vec::new();
    for target in &agent.config.retry_join {
        let default = agent.config.serf_port;
        let target = match target.parse::<std::net::IpAddr>() {
            Ok(ip) => SocketAddr::new(ip, default).to_string(),
            Err(_) if target.contains(':') => target.clone(),
            Err(_) => format!("{target}:{default}"),
        };
        match ask_to_join(agent, &target).await {
            Ok(server) => return Ok(server),
            // Worded and laid out as Consul's.
            Err(error) if error.contains("dns error") => {
                errors.push(format!("  | \\t* Failed to resolve {target}: lookup: {error}"));
            }
            Err(error) => errors.push(format!("  | \\t* Failed to join {target}: {error}")),
        }
    }
    if errors.is_empty() { Err("no retry_join".into()) } else { Err(errors.join("\n")) }
}

async fn ask_to_join(agent: &Agent, target: &str) -> Result<SocketAddr, String> {
    let config = &agent.config;
    let request = agent
        .http
        .get(format!("http://{target}/devmesh/join"))
        .query(&[("datacenter", &config.datacenter), ("key", &config.encrypt)])
        .timeout(Duration::from_secs(3));
    let response = request.send().await.map_err(|e| chain(&e))?;
    let peer = response.remote_addr();
    if !response.status().is_success() {
        return Err(response.text().await.unwrap_or_default());
    }
    let joined: Joined = response.json().await.map_err(|e| chain(&e))?;
    match (joined.server, peer) {
        (Some(server), _) => Ok(server),
        (None, Some(peer)) => Ok(SocketAddr::new(peer.ip(), joined.port)),
        (None, None) => Err("no peer address".into()),
    }
}

/// An error with its causes, since reqwest's own text hides them.
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Copies the server's catalog as it changes; returns why that ended.
async fn follow(agent: &Agent, server: SocketAddr) -> String {
    let config = &agent.config;
    let request = agent.http.get(format!("http://{server}/devmesh/session")).query(&[
        ("node", config.node_name.clone()),
        ("id", config.node_id.clone()),
        ("address", agent.address().to_string()),
        ("port", config.serf_port.to_string()),
    ]);
    let mut response = match request.send().await {
        Ok(response) if response.status().is_success() => response,
        Ok(response) => return response.text().await.unwrap_or_default(),
        Err(error) => return chain(&error),
    };
    let mut buffer = Vec::new();
    let mut pinged = Instant::now();
    loop {
        match timeout(HEARTBEAT * 5, response.chunk()).await {
            Ok(Ok(Some(chunk))) => buffer.extend_from_slice(&chunk),
            Ok(Ok(None)) => return "the server closed the connection".into(),
            Ok(Err(error)) => return chain(&error),
            Err(_) => return "the server is silent".into(),
        }
        while let Some(end) = buffer.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            if line.len() == 1 {
                continue;
            }
            match serde_json::from_slice::<Snapshot>(&line) {
                Ok(snapshot) => agent.catalog.replace(snapshot),
                Err(error) => return format!("not a snapshot: {error}"),
            }
            // Only a change wakes the waiting, not each snapshot.
            let news = agent.joined.send_if_modified(|j| j.replace(server) != Some(server));
            if news {
                tracing::info!(%server, "joined");
            }
        }
        if pinged.elapsed() >= HEARTBEAT {
            pinged = Instant::now();
            let ping = agent.http.put(format!("http://{server}/devmesh/ping/{}", config.node_name));
            tokio::spawn(ping.timeout(HEARTBEAT).send());
        }
    }
}

/// Pushes the local state at once when it changes, and all of it from time to time.
///
/// It goes on while the agent leaves, as Consul's does: a full synchronisation that falls into the
/// seconds of a leave brings the node back into the catalog without its gossip check, for ever
/// (seen on Consul 1.23). Whoever deregisters first leaves an empty node at worst.
pub(crate) async fn sync_forever(agent: Arc<Agent>) {
    let mut local = agent.local.subscribe();
    let mut joined = agent.joined.subscribe();
    let mut full = next_full_sync();
    let begun = Instant::now();
    loop {
        local.mark_unchanged();
        let server = *joined.borrow_and_update();
        let mut wake = full;
        if let Some(server) = server
            && let Err(error) = push(&agent, server).await
        {
            tracing::warn!(error, "sync failed, will retry");
            wake = Instant::now() + Duration::from_millis(500) + random::below(SECOND / 2);
        }
        tokio::select! {
            changed = local.changed() => if changed.is_err() { return },
            changed = joined.changed() => {
                if changed.is_err() {
                    return;
                }
                // A server that appears later than at the start makes every agent stagger, and
                // nothing is synchronised meanwhile.
                if begun.elapsed() > SECOND / 2 && joined.borrow().is_some() {
                    sleep(random::below(SECOND * 3)).await;
                }
            }
            () = sleep_until(wake) => if Instant::now() >= full {
                full = next_full_sync();
            },
        }
    }
}

/// One to two minutes from now.
fn next_full_sync() -> Instant {
    Instant::now() + SECOND * 60 + random::below(SECOND * 60)
}

async fn push(agent: &Agent, server: SocketAddr) -> Result<(), String> {
    let sync = Sync {
        id: agent.config.node_id.clone(),
        address: agent.address().to_string(),
        state: agent.local.read(Clone::clone),
    };
    let url = format!("http://{server}/devmesh/sync/{}", agent.config.node_name);
    let request = agent.http.put(url).json(&sync).timeout(Duration::from_secs(5));
    let response = request.send().await.map_err(|e| chain(&e))?;
    if response.status().is_success() {
        return Ok(());
    }
    Err(response.text().await.unwrap_or_default())
}

/// Tells the server that this node leaves; best effort, for servers may be away.
pub(crate) async fn announce_leave(agent: &Agent) {
    let Some(server) = *agent.joined.borrow() else { return };
    let url = format!("http://{server}/devmesh/leave/{}", agent.config.node_name);
    if let Err(error) = agent.http.put(url).timeout(Duration::from_secs(1)).send().await {
        tracing::warn!(error = chain(&error), "could not announce the leave");
    }
}

/// Has the server sign a leaf.
pub(crate) async fn fetch_leaf(agent: &Agent, service: &str) -> Result<Leaf, String> {
    let server = agent.joined.borrow().ok_or("No known Consul servers")?;
    let url = format!("http://{server}/devmesh/leaf/{service}");
    let request = agent.http.get(url).timeout(Duration::from_secs(5));
    let response = request.send().await.map_err(|e| chain(&e))?;
    response.json().await.map_err(|e| chain(&e))
}

/// Waits until the copy is as new as the server's catalog is now (`?consistent`).
pub(crate) async fn barrier(agent: &Agent) -> Result<(), String> {
    let Some(server) = *agent.joined.borrow() else { return Err("No known Consul servers".into()) };
    if agent.authority.is_some() {
        return Ok(());
    }
    let url = format!("http://{server}/devmesh/index");
    let request = agent.http.get(url).timeout(Duration::from_secs(5));
    let response = request.send().await.map_err(|e| format!("rpc error: {}", chain(&e)))?;
    let index: u64 = response.json().await.map_err(|e| chain(&e))?;
    let mut seen = agent.catalog.subscribe();
    let reached = timeout(Duration::from_secs(5), seen.wait_for(|i| *i >= index)).await;
    reached.map(|_| ()).map_err(|_| "rpc error: no answer from the server".into())
}
