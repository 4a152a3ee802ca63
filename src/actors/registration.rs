//! Keeps the service and its proxy registered at the agent: registers, offers, withdraws, deregisters.
//!
//! Writes go through one queue, so that none overtakes another. `Hush` lets the one on its way come back and drops the
//! rest: after that nothing of ours can make the instance passing.

use super::desk::{Desk, Registered, Write};
use super::{Identity, watchdog, work};
use crate::config::Config;
use crate::consul::{Client, Version};
use crate::supervisor::actor::{Reports, report};
use crate::supervisor::{Event, Source};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// What this actor takes.
#[derive(Debug)]
pub(crate) enum Msg {
    Identify(Arc<Identity>),
    Register {
        hold: bool,
        covered: bool,
        containers: Vec<String>,
    },
    PassProxyCheck,
    EndHold,
    Cover,
    Uncover,
    ProbeApp,
    WatchOffer,
    Hush,
    Withdraw,
    AskPeers,
    Deregister,
    /// The write at the head of the queue is done.
    Written,
}

/// See the module's text.
pub(crate) struct RegistrationActor;

/// What it needs.
pub(crate) struct Arguments {
    pub(crate) config: Arc<Config>,
    pub(crate) consul: Client,
    pub(crate) consul_version: Arc<OnceLock<Version>>,
    /// From one look of the watchdog to the next, at the most.
    pub(crate) look_every: Duration,
    pub(crate) reports: Reports,
}

pub(crate) struct State {
    desk: Option<Desk>,
    args: Arguments,
    queue: VecDeque<Write>,
    writing: bool,
    hush: watch::Sender<bool>,
    /// Counts the registrations that were asked for.
    asked: watch::Sender<u64>,
    registered: Arc<watch::Sender<Option<Arc<Registered>>>>,
    /// Containers with a TTL check.
    containers: Vec<String>,
    guarded: bool,
    watches: Vec<AbortHandle>,
    asking: Option<AbortHandle>,
    /// The servers have shown our proxy to us.
    shown: Arc<AtomicBool>,
}

impl Actor for RegistrationActor {
    type Msg = Msg;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        _: ActorRef<Msg>,
        args: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        Ok(State {
            desk: None,
            args,
            queue: VecDeque::new(),
            writing: false,
            hush: watch::channel(false).0,
            asked: watch::channel(0).0,
            registered: Arc::new(watch::channel(None).0),
            containers: Vec::new(),
            guarded: false,
            watches: Vec::new(),
            asking: None,
            shown: Arc::new(AtomicBool::new(false)),
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Msg>,
        msg: Msg,
        s: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            Msg::Identify(identity) => {
                s.desk = Some(Desk {
                    hush: s.hush.subscribe(),
                    asked: s.asked.subscribe(),
                    config: s.args.config.clone(),
                    consul: s.args.consul.clone(),
                    consul_version: s.args.consul_version.clone(),
                    identity,
                    reports: s.args.reports.clone(),
                    registered: s.registered.clone(),
                });
            }
            Msg::Register { hold, covered, containers } => {
                s.containers.clone_from(&containers);
                // A registration that waits is out of date; what follows it is asked for again afterwards.
                s.queue.clear();
                s.asked.send_modify(|asked| *asked += 1);
                s.enqueue(&myself, Write::Register { hold, covered, containers });
            }
            Msg::PassProxyCheck => s.enqueue(&myself, Write::PassProxyCheck),
            Msg::EndHold => s.enqueue(&myself, Write::EndHold),
            Msg::Cover => s.enqueue(&myself, Write::Cover),
            Msg::Uncover => s.enqueue(&myself, Write::Uncover),
            Msg::ProbeApp => s.watch(|desk| desk.probe_app()),
            Msg::WatchOffer => {
                let shown = s.shown.clone();
                s.watch(|desk| desk.watch_offer(shown));
            }
            Msg::Written => {
                s.writing = false;
                if *s.hush.borrow() {
                    report(&s.args.reports, Event::Quiet(Source::Registration));
                } else {
                    s.guard();
                    s.write_next(&myself);
                }
            }
            Msg::Hush => s.hush(),
            Msg::Withdraw => {
                let containers = s.containers.clone();
                s.run(|desk| desk.withdraw(containers));
            }
            Msg::AskPeers => {
                let shown = s.shown.clone();
                s.asking = s.run(|desk| desk.ask_peers(shown));
            }
            Msg::Deregister => {
                if let Some(asking) = s.asking.take() {
                    asking.abort();
                }
                s.run(Desk::deregister);
            }
        }
        Ok(())
    }
}

impl State {
    fn enqueue(&mut self, myself: &ActorRef<Msg>, write: Write) {
        if !*self.hush.borrow() {
            self.queue.push_back(write);
            self.write_next(myself);
        }
    }

    fn write_next(&mut self, myself: &ActorRef<Msg>) {
        if self.writing {
            return;
        }
        let (Some(mut desk), Some(write)) = (self.desk.clone(), self.queue.pop_front()) else {
            return;
        };
        desk.asked.mark_unchanged();
        self.writing = true;
        let myself = myself.clone();
        work::spawn("registration", &self.args.reports, async move {
            desk.write(write).await;
            super::tell(&myself, Msg::Written);
        });
    }

    /// From the first write on, what was registered is watched over.
    fn guard(&mut self) {
        if !std::mem::replace(&mut self.guarded, true) {
            let registered = self.registered.subscribe();
            let every = self.args.look_every;
            self.watch(|desk| watchdog::watch(desk.consul, registered, desk.reports, every));
        }
    }

    fn hush(&mut self) {
        self.queue.clear();
        for watch in self.watches.drain(..) {
            watch.abort();
        }
        let first = !self.hush.send_replace(true);
        if first && !self.writing {
            report(&self.args.reports, Event::Quiet(Source::Registration));
        }
    }

    /// Runs something that only looks, until the hush.
    fn watch<F: Future<Output = ()> + Send + 'static>(&mut self, look: impl FnOnce(Desk) -> F) {
        if !*self.hush.borrow()
            && let Some(task) = self.run(look)
        {
            self.watches.push(task);
        }
    }

    fn run<F: Future<Output = ()> + Send + 'static>(
        &self,
        job: impl FnOnce(Desk) -> F,
    ) -> Option<AbortHandle> {
        let desk = self.desk.clone()?;
        Some(work::spawn("registration", &self.args.reports, job(desk)))
    }
}

impl Drop for State {
    fn drop(&mut self) {
        for task in self.watches.drain(..).chain(self.asking.take()) {
            task.abort();
        }
    }
}

#[cfg(test)]
#[path = "registration_tests.rs"]
mod tests;
