//! Envoy's admin interface (<https://www.envoyproxy.io/docs/envoy/latest/operations/admin>).

use crate::wire::{self, Failure, Reply};
use reqwest::{Method, RequestBuilder};
use serde::Deserialize;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Answered by Envoy's main thread, which a large update can hold for a while.
const TIMEOUT: Duration = Duration::from_secs(2);
const BODY_LIMIT: usize = 8 << 20;
const LISTENERS: &str = "/listeners";
/// A connect over loopback is answered by the kernel.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(250);

/// Why a call failed. `call` is the path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// Nobody answered: not yet up, or gone.
    #[error("{call}: no answer from Envoy: {why}")]
    Unreachable {
        /// The call.
        call: &'static str,
        /// The reason.
        why: String,
    },
    /// No whole answer in time.
    #[error("{call}: no answer from Envoy in time")]
    Timeout {
        /// The call.
        call: &'static str,
    },
    /// Envoy refused.
    #[error("{call}: Envoy answered with status {status}: {body}")]
    Status {
        /// The call.
        call: &'static str,
        /// HTTP status.
        status: u16,
        /// The beginning of the answer.
        body: String,
    },
    /// An answer of another form, or too long a one.
    #[error("{call}: cannot read Envoy's answer: {why}")]
    Decode {
        /// The call.
        call: &'static str,
        /// Where and why.
        why: String,
    },
}

/// Envoy's state (`envoy.admin.v3.ServerInfo.State`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// Serving: the first clusters and listeners have come and are warm.
    Live,
    /// Health checks fail on purpose.
    Draining,
    /// Before the clusters.
    PreInitializing,
    /// Clusters are there, listeners are not.
    Initializing,
}

/// What we read of `GET /server_info`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ServerInfo {
    /// Commit and version.
    #[serde(default)]
    pub version: String,
    /// Its state.
    pub state: State,
}

/// An active listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Its name, for example `public_listener:0.0.0.0:20000`.
    pub name: String,
    /// Where it listens; `None` if it is not a socket address.
    pub address: Option<SocketAddr>,
}

/// Envoy's admin interface on loopback. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AdminClient {
    http: reqwest::Client,
    base: String,
}

impl AdminClient {
    /// The admin interface on this port of 127.0.0.1.
    pub fn new(port: u16) -> Self {
        Self { http: wire::client(), base: format!("http://127.0.0.1:{port}") }
    }

    /// Version and state.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn server_info(&self) -> Result<ServerInfo, AdminError> {
        const CALL: &str = "/server_info";
        json(CALL, &self.call(CALL, self.request(Method::GET, CALL)).await?.body)
    }

    /// Whether Envoy is LIVE.
    ///
    /// # Errors
    /// [`AdminError`]; a refusal (503) is no error.
    pub async fn ready(&self) -> Result<bool, AdminError> {
        const CALL: &str = "/ready";
        match self.call(CALL, self.request(Method::GET, CALL)).await {
            Ok(_) => Ok(true),
            Err(AdminError::Status { status: 503, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The active listeners; those that are still warming are not among them.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn listeners(&self) -> Result<Vec<Listener>, AdminError> {
        let request = self.request(Method::GET, LISTENERS).query(&[("format", "json")]);
        read_listeners(&self.call(LISTENERS, request).await?.body)
    }

    /// Whether an active listener listens on `port`. One that is active has a certificate and routes.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn listens_on(&self, port: u16) -> Result<bool, AdminError> {
        let listeners = self.listeners().await?;
        Ok(listeners.iter().any(|l| l.address.is_some_and(|address| address.port() == port)))
    }

    /// Begins the drain of inbound listeners: HTTP clients are told to take their connections elsewhere. The
    /// listeners keep accepting, so a late peer is still served. Envoy before 1.33 does not know `inboundonly` and
    /// `graceful` together.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn drain_inbound(&self) -> Result<(), AdminError> {
        const CALL: &str = "/drain_listeners";
        let mut request = self.request(Method::POST, CALL);
        for flag in ["inboundonly", "graceful", "skip_exit"] {
            request = request.query(&[(flag, "")]);
        }
        self.call(CALL, request).await.map(drop)
    }

    /// Makes Envoy exit at once.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn quit(&self) -> Result<(), AdminError> {
        const CALL: &str = "/quitquitquit";
        self.call(CALL, self.request(Method::POST, CALL)).await.map(drop)
    }

    /// Counters and gauges whose whole name matches `regex` (RE2), as name and value.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn stats(&self, regex: &str) -> Result<Vec<(String, u64)>, AdminError> {
        const CALL: &str = "/stats";
        let filter = format!("^(?:{regex})$");
        let request = self.request(Method::GET, CALL).query(&[("filter", filter.as_str())]);
        let reply = self.call(CALL, request).await?;
        Ok(read_stats(&reply.body))
    }

    /// One counter or gauge, `None` while Envoy has none of this name.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn stat(&self, name: &str) -> Result<Option<u64>, AdminError> {
        let found = self.stats(&name.replace('.', r"\.")).await?;
        Ok(found.into_iter().find(|(found, _)| found == name).map(|(_, value)| value))
    }

    /// Inbound requests in flight (http, http2, grpc); `None` if the public listener does not speak HTTP.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn rq_active(&self) -> Result<Option<u64>, AdminError> {
        self.stat("http.public_listener.downstream_rq_active").await
    }

    /// Open connections of the listeners on `port`, whatever their address; `None` if there is none. A peer's idle
    /// pooled connection counts.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn cx_active(&self, port: u16) -> Result<Option<u64>, AdminError> {
        // `listener.0.0.0.0_20000.downstream_cx_active`; not those of single workers (`.worker_0.`).
        let stats = self.stats(&format!(r"listener\.[^/]*_{port}\.downstream_cx_active")).await?;
        let whole = stats.iter().filter(|(name, _)| !name.contains(".worker_"));
        Ok(whole.map(|(_, value)| *value).reduce(|sum, value| sum + value))
    }

    async fn call(&self, call: &'static str, request: RequestBuilder) -> Result<Reply, AdminError> {
        let reply = match wire::exchange(request, TIMEOUT, BODY_LIMIT).await {
            Ok(reply) => reply,
            Err(Failure::Unreachable(why)) => return Err(AdminError::Unreachable { call, why }),
            Err(Failure::Timeout) => return Err(AdminError::Timeout { call }),
            Err(Failure::TooLarge) => {
                let why = format!("longer than {BODY_LIMIT} bytes");
                return Err(AdminError::Decode { call, why });
            }
        };
        if !reply.is_success() {
            return Err(AdminError::Status { call, status: reply.status, body: reply.excerpt() });
        }
        Ok(reply)
    }

    fn request(&self, method: Method, path: &'static str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }
}

/// Whether something accepts TCP connections on this port of 127.0.0.1.
pub async fn port_open(port: u16) -> bool {
    let connect = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port));
    matches!(tokio::time::timeout(CONNECT_TIMEOUT, connect).await, Ok(Ok(_)))
}

/// What `GET /listeners?format=json` says.
///
/// # Errors
/// [`AdminError::Decode`].
pub fn read_listeners(body: &[u8]) -> Result<Vec<Listener>, AdminError> {
    let statuses: ListenerStatuses = json(LISTENERS, body)?;
    Ok(statuses.listener_statuses.into_iter().map(Listener::from).collect())
}

/// The counters and gauges of `GET /stats`.
pub fn read_stats(body: &[u8]) -> Vec<(String, u64)> {
    // `name: value`; text readouts and histograms have no plain number.
    let parse = |line: &str| {
        let (name, value) = line.rsplit_once(": ")?;
        Some((name.to_owned(), value.trim().parse().ok()?))
    };
    String::from_utf8_lossy(body).lines().filter_map(parse).collect()
}

fn json<T: serde::de::DeserializeOwned>(call: &'static str, body: &[u8]) -> Result<T, AdminError> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json)
        .map_err(|e| AdminError::Decode { call, why: e.to_string() })?;
    json.end().map_err(|e| AdminError::Decode { call, why: e.to_string() })?;
    Ok(value)
}

/// `envoy.admin.v3.Listeners`.
#[derive(Deserialize)]
struct ListenerStatuses {
    #[serde(default)]
    listener_statuses: Vec<ListenerStatus>,
}

#[derive(Deserialize)]
struct ListenerStatus {
    #[serde(default)]
    name: String,
    #[serde(default)]
    local_address: Address,
}

#[derive(Default, Deserialize)]
struct Address {
    socket_address: Option<SocketAddress>,
}

#[derive(Deserialize)]
struct SocketAddress {
    #[serde(default)]
    address: String,
    #[serde(default)]
    port_value: u16,
}

impl From<ListenerStatus> for Listener {
    fn from(status: ListenerStatus) -> Self {
        let socket = status.local_address.socket_address;
        let parse = |s: SocketAddress| Some(SocketAddr::new(s.address.parse().ok()?, s.port_value));
        Self { name: status.name, address: socket.and_then(parse) }
    }
}

#[cfg(test)]
#[path = "admin_tests.rs"]
mod tests;
