//! Compares what we registered with the agent's view, and tells when something of it is gone: deregistered by mistake,
//! a check deleted, the agent's data lost. Only reads the local agent; nothing is written while all is there.

use crate::config::Config;
use crate::consul::{Client, ServiceIds};
use crate::supervisor::Event;
use crate::supervisor::actor::{Reports, report};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Two such looks and a registration stay well below the 10 s in which a lost instance must be back.
const INTERVAL: Duration = Duration::from_secs(3);
/// A loss must be seen twice: a registration that is on its way looks like one.
const SECOND_LOOK: Duration = Duration::from_millis(500);

/// Looks for as long as it is let. `containers`: those with a TTL check.
pub(super) async fn watch(
    consul: Client,
    config: Arc<Config>,
    ids: Arc<ServiceIds>,
    containers: watch::Receiver<Vec<String>>,
    reports: Reports,
) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        if missing(&consul, &config, &ids, &containers).await.is_none() {
            continue;
        }
        tokio::time::sleep(SECOND_LOOK).await;
        if let Some(what) = missing(&consul, &config, &ids, &containers).await {
            tracing::warn!(missing = %what, "the agent lost our registration");
            report(&reports, Event::RegistrationLost(what));
        }
    }
}

/// The first thing that should be there and is not. An agent that does not answer tells nothing.
async fn missing(
    consul: &Client,
    config: &Config,
    ids: &ServiceIds,
    containers: &watch::Receiver<Vec<String>>,
) -> Option<String> {
    for id in [&ids.service, &ids.proxy] {
        if let Ok(None) = consul.service(id).await {
            return Some(format!("service {id}"));
        }
    }
    let checks = consul.checks().await.ok()?;
    let synced: Vec<_> = containers.borrow().iter().map(|c| ids.check(c)).collect();
    // Native checks have IDs of the agent's own making unless the user names them.
    let native = config.service.checks.iter().filter_map(|check| check.check_id.clone());
    [ids.listener_check(), ids.alias_check()]
        .into_iter()
        .chain(synced)
        .chain(native.filter(|id| !id.is_empty()))
        .find(|id| !checks.contains_key(id))
        .map(|id| format!("check {id}"))
}
