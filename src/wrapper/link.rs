//! The connection to the supervisor: one task that stays attached ([`attach`]), and one that tells it things in
//! order ([`tell`]).

use super::client::{self, AskError, Reply, Stream};
use super::decide::{Event, Told};
use super::http;
use crate::admin::{Attach, Exited};
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;

/// The supervisor answers an attach at once; it has this long.
const ATTACH_TIMEOUT: Duration = Duration::from_secs(2);

/// One telling; the supervisor is on loopback.
const TELL_TIMEOUT: Duration = Duration::from_secs(1);

/// Between two tries to tell a supervisor that is busy (503).
const TELL_AGAIN: Duration = Duration::from_millis(50);

/// The metadata endpoint is asked for our own name this often, then the host's name must do.
const NAME_TRIES: u32 = 3;

const NAME_TIMEOUT: Duration = Duration::from_secs(1);

/// Between two connects: from the first to the last.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// What both tasks share.
pub(super) struct Shared {
    /// The supervisor's address.
    pub(super) admin: SocketAddr,
    /// This container's name, once known.
    pub(super) name: OnceLock<String>,
    /// CMD was started: an attach says so.
    pub(super) started: AtomicBool,
}

/// Stays attached until the release, and reports what happens. A supervisor that is not there yet, or was
/// replaced, is found again.
pub(super) async fn attach(shared: &Shared, events: mpsc::Sender<Event>) {
    if shared.name.get().is_none() {
        let found = own_name().await;
        shared.name.get_or_init(|| found);
    }
    let mut backoff = BACKOFF.0;
    loop {
        let (lost, nobody) = match open(shared).await {
            Ok(mut stream) => {
                backoff = BACKOFF.0;
                if events.send(Event::Attached).await.is_err() {
                    return;
                }
                while let Some(line) = stream.next().await {
                    let released = line.release;
                    if events.send(Event::Line(line)).await.is_err() {
                        return;
                    }
                    if released {
                        // Held open until we exit, so that our end is seen; nothing more is said on it.
                        while stream.next().await.is_some() {}
                        return;
                    }
                }
                ("the stream ended".to_owned(), false)
            }
            Err(Refused { why, nobody }) => (why, nobody),
        };
        let lost = format!("the supervisor at {}: {lost}", shared.admin);
        let event = if nobody { Event::Nobody(lost) } else { Event::Lost(lost) };
        if events.send(event).await.is_err() {
            return;
        }
        tokio::time::sleep(jitter(backoff)).await;
        backoff = (backoff * 3 / 2).min(BACKOFF.1);
    }
}

/// Why there is no stream.
struct Refused {
    why: String,
    /// Nobody listens there.
    nobody: bool,
}

impl Refused {
    fn by_somebody(why: String) -> Self {
        Self { why, nobody: false }
    }
}

async fn open(shared: &Shared) -> Result<Stream, Refused> {
    let body = Attach {
        container: shared.name.get().cloned().unwrap_or_default(),
        pid: std::process::id().cast_signed(),
        started: shared.started.load(Ordering::Relaxed),
    };
    let body = serde_json::to_string(&body).map_err(|e| Refused::by_somebody(e.to_string()))?;
    match Stream::open(shared.admin, "/v1/apps", &body, ATTACH_TIMEOUT).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(reply)) => Err(Refused::by_somebody(refusal(&reply))),
        Err(AskError::Io(e)) if e.kind() == std::io::ErrorKind::ConnectionRefused => {
            // In words, without the errno's number.
            Err(Refused { why: "connection refused".to_owned(), nobody: true })
        }
        Err(e) => Err(Refused::by_somebody(e.to_string())),
    }
}

fn refusal(reply: &Reply) -> String {
    let body: Option<serde_json::Value> = serde_json::from_slice(&reply.body).ok();
    match body.as_ref().and_then(|b| b["error"].as_str()) {
        Some(error) => format!("HTTP {}: {error}", reply.status),
        None => format!("HTTP {}", reply.status),
    }
}

/// Tells the supervisor what comes through `told`, one after the other. A busy supervisor is asked again; one
/// that is not there learns it when it is attached to again, or never.
pub(super) async fn tell(shared: &Shared, mut told: mpsc::UnboundedReceiver<Told>) {
    while let Some(what) = told.recv().await {
        let Some(name) = shared.name.get() else { continue };
        let name = http::segment(name);
        let (path, body) = match what {
            Told::Started => (format!("/v1/apps/{name}/started"), None),
            Told::Term => (format!("/v1/apps/{name}/term"), None),
            Told::Exited(code) => {
                let body = serde_json::to_string(&Exited { code: code.into() }).ok();
                (format!("/v1/apps/{name}/exited"), body)
            }
        };
        let body = body.as_deref().unwrap_or("{}");
        while let Ok(Reply { status: 503, .. }) =
            client::exchange(shared.admin, "POST", &path, Some(body), TELL_TIMEOUT).await
        {
            tokio::time::sleep(TELL_AGAIN).await;
        }
    }
}

/// Our container's name from its own task metadata (`$ECS_CONTAINER_METADATA_URI_V4`, key `Name`), else the
/// host's name.
async fn own_name() -> String {
    let uri = std::env::var("ECS_CONTAINER_METADATA_URI_V4").unwrap_or_default();
    if let Some((addr, path)) = split_uri(&uri) {
        for attempt in 0..NAME_TRIES {
            let reply = client::exchange(addr, "GET", path, None, NAME_TIMEOUT).await;
            let name = reply.ok().filter(|r| r.status == 200).and_then(|r| {
                let own: serde_json::Value = serde_json::from_slice(&r.body).ok()?;
                own["Name"].as_str().map(str::to_owned)
            });
            match name {
                Some(name) => return name,
                None => tokio::time::sleep(jitter(BACKOFF.0 * 4_u32.pow(attempt))).await,
            }
        }
    }
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if host.trim().is_empty() { "app".to_owned() } else { host.trim().to_owned() }
}

/// ECS gives `http://169.254.170.2/v4/<id>`: an address, never a name.
fn split_uri(uri: &str) -> Option<(SocketAddr, &str)> {
    let rest = uri.strip_prefix("http://")?;
    let (host, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let addr = host.parse().or_else(|_| host.parse().map(|ip| SocketAddr::new(ip, 80))).ok()?;
    Some((addr, path))
}

/// Half to one and a half of `around`: containers of one task start together. std's hash keys are random enough.
fn jitter(around: Duration) -> Duration {
    let random = RandomState::new().hash_one(0) % 1000;
    around / 2 + around.mul_f64(random as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_uris() {
        let (addr, path) = split_uri("http://169.254.170.2/v4/abc-1").unwrap();
        assert_eq!((addr.to_string().as_str(), path), ("169.254.170.2:80", "/v4/abc-1"));
        assert_eq!(split_uri("http://127.0.0.1:8080").unwrap().1, "/");
        for uri in ["", "https://169.254.170.2/v4", "http://metadata/v4", "/v4"] {
            assert_eq!(split_uri(uri), None, "{uri}");
        }
    }

    #[test]
    fn jitter_stays_around() {
        for _ in 0..100 {
            let d = jitter(Duration::from_millis(20));
            assert!((10..=30).contains(&d.as_millis()), "{d:?}");
        }
    }
}
