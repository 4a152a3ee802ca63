//! The checks an agent runs itself: TTL, TCP and HTTP. Alias checks follow `local`.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::local::Local;
use super::model::CheckDef;
use super::random;

/// Starts the runner of a check, if its kind has one here.
pub(crate) fn start(local: &Arc<Local>, def: &CheckDef) -> Option<AbortHandle> {
    let (weak, def) = (Arc::downgrade(local), def.clone());
    let task = match def.kind() {
        "ttl" => tokio::spawn(expire(weak, def)),
        "tcp" | "http" => tokio::spawn(probe_forever(weak, def)),
        "alias" | "" => return None,
        other => {
            tracing::warn!(check = def.check_id, kind = other, "this kind is never run here");
            return None;
        }
    };
    Some(task.abort_handle())
}

async fn expire(local: Weak<Local>, def: CheckDef) {
    sleep(def.ttl.get().unwrap_or_default()).await;
    if let Some(local) = local.upgrade() {
        local.set(&def.check_id, "critical", "TTL expired");
    }
}

/// The first run is at a random moment of the interval: this is what delays the four-container
/// layout by seconds.
async fn probe_forever(local: Weak<Local>, def: CheckDef) {
    let interval = def.interval.get().unwrap_or_default();
    let limit = def.timeout.get().unwrap_or_default();
    let limit = if limit.is_zero() { Duration::from_secs(10) } else { limit };
    sleep(random::below(interval)).await;
    loop {
        let outcome = timeout(limit, probe(&def)).await;
        let outcome = outcome.unwrap_or_else(|_| Err("i/o timeout".into()));
        let Some(local) = local.upgrade() else { return };
        match outcome {
            Ok(output) => local.report(&def.check_id, true, &output),
            Err(output) => local.report(&def.check_id, false, &output),
        }
        drop(local);
        sleep(interval).await;
    }
}

async fn probe(def: &CheckDef) -> Result<String, String> {
    if !def.tcp.is_empty() {
        let connected = TcpStream::connect(&def.tcp).await;
        return connected
            .map(|_| format!("TCP connect {}: Success", def.tcp))
            .map_err(|e| format!("dial tcp {}: connect: {e}", def.tcp));
    }
    let method = if def.method.is_empty() { "GET" } else { &def.method };
    let client = super::http::client().map_err(|e| e.to_string())?;
    let method = method.parse().map_err(|_| format!("bad method {method}"))?;
    let mut request = client.request(method, &def.http).body(def.body.clone());
    for (name, value) in def.header.iter().flat_map(|(n, v)| v.iter().map(move |v| (n, v))) {
        request = request.header(name, value);
    }
    let response = request.send().await.map_err(|e| format!("Get \"{}\": {e}", def.http))?;
    let (code, good) = (response.status(), response.status().is_success());
    let body = response.text().await.unwrap_or_default();
    let output = format!("HTTP GET {}: {code} Output: {body}", def.http);
    if good { Ok(output) } else { Err(output) }
}
