//! The calls to the agent that the registration actor has made: each knows how to try, how to tell, and when to stop.

use super::process::Beat;
use super::{Identity, peers};
use crate::config::Config;
use crate::consul::{self, CheckStatus, Client};
use crate::envoy::port_open;
use crate::supervisor::actor::{Reports, report};
use crate::supervisor::{Event, Source};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tokio::sync::watch;

/// What the instance's maintenance says while it waits for its app.
const HOLD_REASON: &str = "taskmesh: the app does not accept connections yet";
/// What it says from the stop on.
const STOP_REASON: &str = "taskmesh: the task is stopping";

/// One entry of the queue.
#[derive(Debug, Clone)]
pub(super) enum Write {
    Register { hold: bool, containers: Vec<String> },
    PassProxyCheck,
    EndHold,
}

/// What every call needs.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) hush: watch::Receiver<bool>,
    pub(super) config: Arc<Config>,
    pub(super) consul: Client,
    pub(super) identity: Arc<Identity>,
    pub(super) reports: Reports,
}

impl Desk {
    /// Tries until it worked or the hush came; a call that was begun is always waited for.
    pub(super) async fn write(mut self, write: Write) {
        let mut beat = Beat::new();
        let mut said = String::new();
        loop {
            match self.try_write(&write).await {
                Ok(()) => {
                    self.trouble(None);
                    if let Write::Register { .. } = write {
                        report(&self.reports, Event::Registered);
                    }
                    return;
                }
                Err(e) => {
                    let why = e.to_string();
                    // Before the join a 403 under ACLs means only that, so it is no warning yet.
                    if why != said {
                        tracing::info!(what = ?write, %why, "registration: trying again");
                        said.clone_from(&why);
                    }
                    self.trouble(Some(why));
                }
            }
            tokio::select! {
                () = beat.rest() => {}
                _ = self.hush.wait_for(|hushed| *hushed) => return,
            }
        }
    }

    /// The calls of one write, one after the other. A hush in between ends it: the next call could undo the burst.
    async fn try_write(&self, write: &Write) -> consul::Result<()> {
        let hushed = || *self.hush.borrow();
        let ids = &self.identity.ids;
        let consul = &self.consul;
        match write {
            Write::Register { hold, containers } => {
                let service = consul::service(&self.config, &self.identity.task, containers);
                let proxy = consul::proxy(&self.config, &self.identity.task);
                consul.register(&service, false).await?;
                if hushed() {
                    return Ok(());
                }
                // Maintenance before the proxy: peers are sent to the proxy, so it must not stand without it.
                // Without a hold this clears what an earlier life of this agent's data may have left.
                consul.service_maintenance(&ids.service, *hold, HOLD_REASON).await?;
                if hushed() {
                    return Ok(());
                }
                consul.register(&proxy, false).await?;
                if hushed() {
                    return Ok(());
                }
                consul.service_maintenance(&ids.proxy, *hold, HOLD_REASON).await
            }
            Write::PassProxyCheck => {
                // Registering over an existing check keeps its status, so it has to go first.
                match consul.deregister_check(&ids.listener_check()).await {
                    Err(e) if !e.is_not_found() => return Err(e),
                    _ if hushed() => return Ok(()),
                    _ => {}
                }
                let check = consul::listener_check(ids, self.config.proxy.public_listener_port)
                    .of_service(&ids.proxy, &self.config.service)
                    .started_as(CheckStatus::Passing);
                consul.register_check(&check).await
            }
            Write::EndHold => {
                consul.service_maintenance(&ids.service, false, "").await?;
                if hushed() {
                    return Ok(());
                }
                consul.service_maintenance(&ids.proxy, false, "").await
            }
        }
    }

    /// Tells when the app's own port accepts.
    pub(super) async fn probe_app(self) {
        let Some(port) = self.config.service.port else {
            return report(&self.reports, Event::AppAccepts);
        };
        let mut beat = Beat::new();
        while !port_open(port).await {
            beat.rest().await;
        }
        report(&self.reports, Event::AppAccepts);
    }

    /// Tells when nothing of ours is critical in the agent's view, and learns whether the servers show us at all.
    pub(super) async fn watch_offer(self, shown: Arc<AtomicBool>) {
        let mut beat = Beat::new();
        while !self.is_offered().await {
            beat.rest().await;
        }
        report(&self.reports, Event::Offered);
        peers::learn(&self.consul, &self.identity.ids, &shown).await;
    }

    async fn is_offered(&self) -> bool {
        let ids = &self.identity.ids;
        let Ok(checks) = self.consul.checks().await else {
            return false;
        };
        let mut ours = checks
            .values()
            .filter(|c| c.service_id == ids.service || c.service_id == ids.proxy)
            .peekable();
        ours.peek().is_some() && ours.all(|c| c.status != CheckStatus::Critical)
    }

    /// The burst: everything at once, tried again until it worked. The machine bounds it.
    pub(super) async fn withdraw(self, containers: Vec<String>) {
        let ids = &self.identity.ids;
        let mut beat = Beat::new();
        loop {
            let maintenance =
                async |id: &str| self.consul.service_maintenance(id, true, STOP_REASON).await;
            let checks = containers.iter().map(async |container| {
                // The words of 0.4.3.
                let id = ids.check(container);
                let output = format!("ECS health status is \"critical\" for task \"{id}\"");
                self.consul.update_check(&id, CheckStatus::Critical, &output).await
            });
            let (service, proxy, checks) = tokio::join!(
                maintenance(&ids.service),
                maintenance(&ids.proxy),
                futures_util::future::join_all(checks)
            );
            // Maintenance alone takes the instance out; a check that is gone cannot be passing.
            let failed = [service, proxy]
                .into_iter()
                .chain(checks)
                .filter_map(Result::err)
                .find(|e| !e.is_not_found());
            let Some(e) = failed else {
                return report(&self.reports, Event::Withdrawn(Ok(())));
            };
            if e.is_client_error() {
                return report(&self.reports, Event::Withdrawn(Err(e.to_string())));
            }
            self.trouble(Some(e.to_string()));
            beat.rest().await;
        }
    }

    pub(super) async fn ask_peers(self, shown: Arc<AtomicBool>) {
        peers::ask(&self.consul, &self.identity.ids, &shown, |view| {
            report(&self.reports, Event::Peers(view));
        })
        .await;
    }

    pub(super) async fn deregister(self) {
        let ids = &self.identity.ids;
        let mut result = Ok(());
        for id in [&ids.proxy, &ids.service] {
            match self.consul.deregister(id).await {
                Err(e) if !e.is_not_found() => result = Err(e.to_string()),
                _ => {}
            }
        }
        if let Err(why) = &result {
            tracing::warn!(%why, "could not deregister; the agent's leave takes the node out");
        }
        report(&self.reports, Event::Deregistered(result));
    }

    fn trouble(&self, why: Option<String>) {
        report(&self.reports, Event::Trouble { source: Source::Registration, why });
    }
}
