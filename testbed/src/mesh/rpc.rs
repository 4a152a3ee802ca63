//! The server's side of the private protocol, and the state that only the server owns.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path as UrlPath, Query, State as Shared};
use axum::http::StatusCode;
use axum::routing::{get, put};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, sleep};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use super::acl::Access;
use super::agent::{Agent, lock};
use super::api;
use super::catalog::{Check, Member, SERF_HEALTH, topic};
use super::link::HEARTBEAT;
use super::local::State;
use super::login;
use super::model::Service;
use super::state;

/// A killed agent is noticed by gossip after about this long, a frozen one after
/// [`FROZEN`] (measured on Consul 1.23).
const KILLED: Duration = Duration::from_secs(6);
const FROZEN: Duration = Duration::from_secs(30);

/// A connected agent.
pub(crate) struct Session {
    generation: u64,
    seen: Instant,
    left: bool,
}

/// The answer to a join.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Joined {
    /// The server, when a client answered.
    pub(crate) server: Option<SocketAddr>,
    /// The server port, when the server itself answered.
    pub(crate) port: u16,
}

/// What an agent pushes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Sync {
    pub(crate) id: String,
    pub(crate) address: String,
    pub(crate) state: State,
}

/// Puts the server itself into the catalog and starts what it does by itself.
pub(crate) fn start(agent: &Arc<Agent>) {
    let config = &agent.config;
    let address = agent.address();
    agent.catalog.change(|c| {
        let (name, id) = (&config.node_name, &config.node_id);
        c.put_node(name, id, &address.to_string());
        c.put_serf_health(name, true);
        let service = Service {
            id: "consul".into(),
            service: "consul".into(),
            port: config.server_port,
            ..Service::default()
        };
        c.put_service(name, service);
        let member = Member {
            name: name.clone(),
            id: id.clone(),
            address: address.to_string(),
            port: config.serf_port,
            server: true,
            status: 1,
        };
        c.state.members.insert(name.clone(), member);
        c.touch(topic::NODES);
        // Agents of an earlier life of this server have yet to come back.
        let others: Vec<String> = c.state.nodes.keys().filter(|n| *n != name).cloned().collect();
        for other in others {
            lock(&agent.sessions).insert(other, Session::new(0));
        }
    });
    for (node, session) in &*lock(&agent.sessions) {
        tokio::spawn(notice_death(agent.clone(), node.clone(), session.generation));
    }
    agent.joined.send_replace(Some(SocketAddr::new(address, config.server_port)));
    tokio::spawn(sync_own(agent.clone()));
    tokio::spawn(login::reap(agent.clone()));
    if let Some(folder) = config.data_dir.clone() {
        tokio::spawn(state::keep(agent.clone(), folder));
    }
}

/// Services registered at the server's own agent.
async fn sync_own(agent: Arc<Agent>) {
    let mut changes = agent.local.subscribe();
    loop {
        changes.mark_unchanged();
        let sync = Sync {
            id: agent.config.node_id.clone(),
            address: agent.address().to_string(),
            state: agent.local.read(Clone::clone),
        };
        if let Err(error) = apply(&agent, &agent.config.node_name, sync, true) {
            tracing::warn!(error, "own services are not in the catalog");
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// What the gossip port answers.
pub(crate) fn join_router(agent: Arc<Agent>) -> Router {
    Router::new().route("/devmesh/join", get(join)).with_state(agent)
}

/// What the server port answers; writes of the public API are forwarded here by clients.
pub(crate) fn router(agent: Arc<Agent>) -> Router {
    Router::new()
        .route("/devmesh/session", get(session))
        .route("/devmesh/sync/{node}", put(sync))
        .route("/devmesh/ping/{node}", put(ping))
        .route("/devmesh/leave/{node}", put(leave))
        .route("/devmesh/leaf/{service}", get(leaf))
        .route("/devmesh/index", get(index))
        .with_state(agent.clone())
        .merge(api::router(agent))
}

#[derive(Deserialize)]
struct JoinQuery {
    datacenter: String,
    #[serde(default)]
    key: String,
}

async fn join(
    Shared(agent): Shared<Arc<Agent>>,
    Query(query): Query<JoinQuery>,
) -> Result<Json<Joined>, (StatusCode, String)> {
    let config = &agent.config;
    let refuse = |text: &str| Err((StatusCode::FORBIDDEN, text.to_owned()));
    if query.key != config.encrypt {
        return refuse("the gossip keys differ: no installed keys could decrypt the message");
    }
    if query.datacenter != config.datacenter {
        return refuse("member is in another datacenter");
    }
    let server = if config.server { None } else { *agent.joined.borrow() };
    if !config.server && server.is_none() {
        return refuse("knows no server yet");
    }
    Ok(Json(Joined { server, port: config.server_port }))
}

#[derive(Deserialize)]
struct SessionQuery {
    node: String,
    id: String,
    address: String,
    port: u16,
}

impl Session {
    fn new(generation: u64) -> Self {
        Self { generation, seen: Instant::now(), left: false }
    }
}

async fn session(Shared(agent): Shared<Arc<Agent>>, Query(query): Query<SessionQuery>) -> Body {
    let generation = {
        let mut sessions = lock(&agent.sessions);
        let generation = sessions.get(&query.node).map_or(1, |s| s.generation + 1);
        sessions.insert(query.node.clone(), Session::new(generation));
        generation
    };
    agent.catalog.change(|c| {
        // The member is alive whoever it is; only the catalog cares about the ID.
        let free = c.state.nodes.get(&query.node).is_none_or(|n| n.id == query.id);
        if free {
            c.put_node(&query.node, &query.id, &query.address);
        }
        c.put_serf_health(&query.node, true);
        let member = Member {
            name: query.node.clone(),
            id: query.id.clone(),
            address: query.address.clone(),
            port: query.port,
            server: false,
            status: 1,
        };
        c.state.members.insert(query.node.clone(), member);
        c.touch(topic::NODES);
    });
    tracing::info!(node = query.node, address = query.address, "EventMemberJoin");
    let (lines, body) = mpsc::channel::<Bytes>(1);
    tokio::spawn(async move {
        feed(&agent, &query.node, lines).await;
        notice_death(agent, query.node, generation).await;
    });
    Body::from_stream(ReceiverStream::new(body).map(Ok::<_, std::convert::Infallible>))
}

/// Sends the catalog at every change and a blank line as heartbeat, until the agent is gone.
async fn feed(agent: &Agent, node: &str, lines: mpsc::Sender<Bytes>) {
    let mut changes = agent.catalog.subscribe();
    changes.mark_changed();
    let mut beat = interval(HEARTBEAT);
    loop {
        let changed = tokio::select! {
            changed = changes.changed() => changed.is_ok(),
            _ = beat.tick() => false,
            () = lines.closed() => return,
        };
        let Ok(room) = lines.reserve().await else { return };
        let mut line = Vec::new();
        if changed {
            changes.mark_unchanged();
            // A snapshot of plain maps and strings always serialises.
            line = agent.catalog.read(|s| serde_json::to_vec(s).unwrap_or_default());
        }
        line.push(b'\n');
        room.send(line.into());
        let frozen =
            lock(&agent.sessions).get(node).is_some_and(|s| !s.left && s.seen.elapsed() > FROZEN);
        if frozen {
            set_alive(agent, node, false);
        }
    }
}

/// After a broken connection: the node fails unless it came back, or had left.
async fn notice_death(agent: Arc<Agent>, node: String, generation: u64) {
    sleep(KILLED).await;
    let gone =
        lock(&agent.sessions).get(&node).is_some_and(|s| s.generation == generation && !s.left);
    if gone {
        tracing::warn!(node, "EventMemberFailed");
        set_alive(&agent, &node, false);
    }
}

fn set_alive(agent: &Agent, node: &str, alive: bool) {
    agent.catalog.change(|c| {
        c.put_serf_health(node, alive);
        let status = if alive { 1 } else { 4 };
        if let Some(member) = c.state.members.get_mut(node)
            && member.status != status
        {
            member.status = status;
            c.touch(topic::NODES);
        }
    });
}

async fn ping(Shared(agent): Shared<Arc<Agent>>, UrlPath(node): UrlPath<String>) {
    let alive = {
        let mut sessions = lock(&agent.sessions);
        let session = sessions.get_mut(&node).filter(|s| !s.left);
        session.map(|s| s.seen = Instant::now()).is_some()
    };
    if alive {
        set_alive(&agent, &node, true);
    }
}

async fn leave(Shared(agent): Shared<Arc<Agent>>, UrlPath(node): UrlPath<String>) {
    if let Some(session) = lock(&agent.sessions).get_mut(&node) {
        session.left = true;
    }
    tracing::info!(node, "EventMemberLeave");
    agent.catalog.change(|c| {
        c.remove_node(&node);
        if let Some(member) = c.state.members.get_mut(&node) {
            member.status = 3;
            c.touch(topic::NODES);
        }
    });
}

async fn leaf(
    Shared(agent): Shared<Arc<Agent>>,
    UrlPath(service): UrlPath<String>,
) -> Result<Json<super::ca::Leaf>, (StatusCode, String)> {
    let Some(authority) = &agent.authority else {
        return Err((StatusCode::NOT_FOUND, "not a server".into()));
    };
    authority
        .leaf(&agent.config.datacenter, &service)
        .map(Json)
        .map_err(|e| (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()))
}

async fn index(Shared(agent): Shared<Arc<Agent>>) -> Json<u64> {
    Json(agent.catalog.read(|s| s.index))
}

async fn sync(
    Shared(agent): Shared<Arc<Agent>>,
    UrlPath(node): UrlPath<String>,
    Json(sync): Json<Sync>,
) -> Result<(), (StatusCode, String)> {
    // Who has left may still write; Consul's catalog takes it too.
    let Some(left) = lock(&agent.sessions).get(&node).map(|s| s.left) else {
        return Err((StatusCode::CONFLICT, "not a member".into()));
    };
    apply(&agent, &node, sync, !left).map_err(|e| (StatusCode::INTERNAL_SERVER_ERROR, e))
}

/// Makes the catalog's part of a node equal to what its agent holds. Each service and check is
/// written with the token it was registered with, as anti-entropy does.
fn apply(agent: &Agent, node: &str, sync: Sync, alive: bool) -> Result<(), String> {
    // Decided first: the catalog is locked while it changes.
    let may = |token: &str, service: &str| {
        service.is_empty()
            || agent.authz(token).is_some_and(|a| a.may("service", service, Access::Write))
    };
    let State { services, checks } = sync.state;
    let known_services: BTreeSet<String> = services.keys().cloned().collect();
    let known_checks: BTreeSet<String> = checks.keys().cloned().collect();
    let services: Vec<Service> = services
        .into_values()
        .filter(|s| may(&s.token, &s.service.service))
        .map(|s| s.service)
        .collect();
    let checks: Vec<Check> = checks
        .into_values()
        .filter(|c| may(&c.token, &c.check.service_name))
        .map(|c| c.check)
        .collect();
    if services.len() + checks.len() < known_services.len() + known_checks.len() {
        tracing::warn!(node, "Service or check sync blocked by ACLs");
    }
    agent.catalog.change(|c| {
        if let Some(owner) = c.state.nodes.get(node).filter(|n| n.id != sync.id) {
            let lives = owner.checks.get(SERF_HEALTH).is_some_and(|c| c.status == "passing");
            if lives {
                return Err(format!(
                    "Node name {node} is reserved by node {} with name {node} ({})",
                    owner.id, owner.address
                ));
            }
            c.remove_node(node);
        }
        c.put_node(node, &sync.id, &sync.address);
        if alive {
            c.put_serf_health(node, true);
        }
        let (old_services, old_checks): (Vec<String>, Vec<String>) = match c.state.nodes.get(node) {
            Some(n) => (n.services.keys().cloned().collect(), n.checks.keys().cloned().collect()),
            None => Default::default(),
        };
        for id in old_services.iter().filter(|id| !known_services.contains(*id) && *id != "consul")
        {
            c.remove_service(node, id);
        }
        for id in old_checks.iter().filter(|id| !known_checks.contains(*id) && *id != SERF_HEALTH) {
            c.remove_check(node, id);
        }
        for service in services {
            c.put_service(node, service);
        }
        for check in checks {
            let owned = c.state.nodes.get(node).is_some_and(|n| {
                check.service_id.is_empty() || n.services.contains_key(&check.service_id)
            });
            if owned {
                c.put_check(node, check);
            }
        }
        Ok(())
    })
}
