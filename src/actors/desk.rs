//! The calls to the agent that the registration actor has made: each knows how to try, how to tell, and when to stop.

use super::process::{Beat, jittered};
use super::{Identity, peers, surplus};
use crate::config::Config;
use crate::consul::{self, CheckStatus, Client, Registration, Version};
use crate::envoy::port_open;
use crate::logging::Said;
use crate::supervisor::actor::{Reports, report};
use crate::supervisor::refusal::{Call, Failed, Verdict, judge};
use crate::supervisor::{Event, Source};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::watch;

/// What the instance's maintenance says while it waits for its app.
const HOLD_REASON: &str = "taskmesh: the app does not accept connections yet";
/// What the proxy's says while Envoy is down.
const COVER_REASON: &str = "taskmesh: Envoy is down";
/// What it says from the stop on.
const STOP_REASON: &str = "taskmesh: the task is stopping";

/// One entry of the queue.
#[derive(Debug, Clone)]
pub(super) enum Write {
    Register { hold: bool, covered: bool, containers: Vec<String> },
    PassProxyCheck,
    EndHold,
    Cover,
    Uncover,
}

/// What stands at the agent since the last registration.
#[derive(Debug, Default)]
pub(super) struct Registered {
    pub(super) service: Registration,
    pub(super) proxy: Registration,
}

/// What every call needs.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) hush: watch::Receiver<bool>,
    /// Counts the registrations that were asked for: one that is tried in vain gives way to the next.
    pub(super) asked: watch::Receiver<u64>,
    pub(super) config: Arc<Config>,
    pub(super) consul: Client,
    pub(super) consul_version: Arc<OnceLock<Version>>,
    pub(super) identity: Arc<Identity>,
    pub(super) reports: Reports,
    pub(super) registered: Arc<watch::Sender<Option<Arc<Registered>>>>,
}

/// A call that failed, and which.
struct Failure {
    call: Call,
    error: consul::Error,
}

/// For [`Result::map_err`].
fn of(call: Call) -> impl Fn(consul::Error) -> Failure {
    move |error| Failure { call, error }
}

impl Desk {
    /// Tries until it worked, something newer is to be written, or the hush came; a call that was begun is always
    /// waited for.
    pub(super) async fn write(mut self, write: Write) {
        let mut beat = Beat::patient();
        let mut said = Said::default();
        let mut refusals = 0;
        // Whether the agent knew a leader before the last call: of interest from the first 403 on.
        let mut joined = None;
        loop {
            let Err(Failure { call, error }) = self.try_write(&write).await else {
                self.trouble(None);
                if let Write::Register { .. } = write {
                    report(&self.reports, Event::Registered);
                }
                return;
            };
            let judged_before = joined;
            if error.is_forbidden() {
                joined = Some(matches!(self.consul.leader().await, Ok(Some(_))));
            }
            let pause = match (error.is_forbidden(), judged_before) {
                // What it means can only be told from the next one.
                (true, None) => Some(Duration::ZERO),
                (_, joined) => {
                    let joined = joined.unwrap_or(false);
                    let failed = Failed { call, error: &error, joined, refusals };
                    let verdict = self.tell(&failed, &mut said);
                    refusals = if verdict.is_refusal() { refusals + 1 } else { 0 };
                    verdict.pause()
                }
            };
            let rest = async {
                match pause {
                    Some(pause) => tokio::time::sleep(jittered(pause)).await,
                    None => beat.rest().await,
                }
            };
            tokio::select! {
                biased;
                _ = self.hush.wait_for(|hushed| *hushed) => return,
                _ = self.asked.changed() => return,
                () = rest => {}
            }
        }
    }

    /// Judges a try that failed, and says so.
    fn tell(&self, failed: &Failed<'_>, said: &mut Said) -> Verdict {
        let (verdict, why) = judge(failed, &self.identity.ids);
        if let Some(repeats) = said.news(&why) {
            if verdict.needs_help() {
                tracing::warn!(%why, repeats, "registration: trying again");
            } else {
                tracing::info!(%why, repeats, "registration: trying again");
            }
        }
        if verdict == Verdict::Refused {
            report(&self.reports, Event::RegistrationRefused(why));
        } else {
            self.trouble(Some(why));
        }
        verdict
    }

    /// The calls of one write, one after the other. A hush in between ends it: the next call could undo the burst.
    async fn try_write(&self, write: &Write) -> Result<(), Failure> {
        let hushed = || *self.hush.borrow();
        let ids = &self.identity.ids;
        let consul = &self.consul;
        let maintain = async |call, id, on, reason| {
            consul.service_maintenance(id, on, reason).await.map_err(of(call))
        };
        match write {
            Write::Register { hold, covered, containers } => {
                let task = &self.identity.task;
                let here = || consul::locality(task, *self.consul_version.get()?);
                let mut new = Registered {
                    service: consul::service(&self.config, task, containers).located(here()),
                    proxy: consul::proxy(&self.config, task).located(here()),
                };
                match consul.register(&new.service, false).await {
                    // An agent before 1.16 refuses a field that it does not know.
                    Err(e)
                        if matches!(e.refusal(), Some((400, _)))
                            && new.service.locality.is_some() =>
                    {
                        (new.service, new.proxy) =
                            (new.service.located(None), new.proxy.located(None));
                        consul.register(&new.service, false).await
                    }
                    done => done,
                }
                .map_err(of(Call::Service))?;
                if hushed() {
                    return Ok(());
                }
                // Maintenance before the proxy: peers are sent to the proxy, so it must not stand without it.
                // Without a hold this clears what an earlier life of this agent's data may have left.
                maintain(Call::ServiceMaintenance, &ids.service, *hold, HOLD_REASON).await?;
                if hushed() {
                    return Ok(());
                }
                let native = &self.config.service.checks;
                let (proxy, surplus) = tokio::join!(
                    consul.register(&new.proxy, false),
                    surplus::remove(consul, native, ids, containers),
                );
                proxy.map_err(of(Call::Proxy))?;
                surplus.map_err(of(Call::Service))?;
                if hushed() {
                    return Ok(());
                }
                let reason = if *hold { HOLD_REASON } else { COVER_REASON };
                maintain(Call::ProxyMaintenance, &ids.proxy, *hold || *covered, reason).await?;
                self.registered.send_replace(Some(Arc::new(new)));
                Ok(())
            }
            Write::PassProxyCheck => {
                // Registering over an existing check keeps its status, so it has to go first.
                let id = ids.listener_check();
                match consul.deregister_check(&id).await {
                    Err(e) if !e.is_not_found() => self.or_is_so(e, &id, None).await?,
                    _ => {}
                }
                if hushed() {
                    return Ok(());
                }
                let check = consul::listener_check(ids, self.config.proxy.public_listener_port)
                    .of_service(&ids.proxy, &self.config.service)
                    .started_as(CheckStatus::Passing);
                match consul.register_check(&check).await {
                    Err(e) => self.or_is_so(e, &id, Some(CheckStatus::Passing)).await,
                    Ok(()) => Ok(()),
                }
            }
            Write::EndHold => {
                maintain(Call::ServiceMaintenance, &ids.service, false, "").await?;
                if hushed() {
                    return Ok(());
                }
                maintain(Call::ProxyMaintenance, &ids.proxy, false, "").await
            }
            Write::Cover => maintain(Call::ProxyMaintenance, &ids.proxy, true, COVER_REASON).await,
            Write::Uncover => maintain(Call::ProxyMaintenance, &ids.proxy, false, "").await,
        }
    }

    /// An agent that cannot write to its data folder has made a change of a check, and says 500 all the same. To try
    /// again would take the check out and put it in for ever, at the servers too: so what counts is what it shows.
    async fn or_is_so(
        &self,
        error: consul::Error,
        check: &str,
        wanted: Option<CheckStatus>,
    ) -> Result<(), Failure> {
        let shown = async || {
            let checks = self.consul.checks().await.ok()?;
            Some(checks.get(check).map(|check| check.status))
        };
        if error.is_server_error() && shown().await == Some(wanted) {
            tracing::warn!(%error, "the agent has made the change, and cannot keep it");
            return Ok(());
        }
        Err(of(Call::ListenerCheck)(error))
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
            let failed = [service, proxy].into_iter().chain(checks).filter_map(Result::err);
            let failed: Vec<_> = failed.filter(|e| !e.is_not_found()).collect();
            // A refusal of one call is no reason to give up on another that may still work.
            let may_pass = failed.iter().find(|e| !e.is_client_error());
            match (may_pass, failed.first()) {
                (Some(e), _) => self.trouble(Some(e.to_string())),
                (None, refused) => {
                    let result = refused.map_or(Ok(()), |e| Err(e.to_string()));
                    return report(&self.reports, Event::Withdrawn(result));
                }
            }
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
