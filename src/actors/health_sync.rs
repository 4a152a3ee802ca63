//! Writes the containers' ECS health into their TTL checks. What they say and when they are written is decided in
//! `supervisor::health` and `supervisor::health_book`; here is the clock, and the way to the agent.

use super::work;
use crate::consul::{CheckStatus, Client, Error, ServiceIds};
use crate::supervisor::actor::{Reports, report};
use crate::supervisor::health::{Rules, Verdict};
use crate::supervisor::health_book::{Answer, Book, Update};
use crate::supervisor::{Event, Source, TaskSeen};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Updates on their way at once. A slow answer delays no other check until so many are slow; the agent takes 200
/// connections of one client (`http_max_conns_per_client`).
const AT_ONCE: usize = 32;

/// What this actor takes.
#[derive(Debug)]
pub enum Msg {
    /// Who we are.
    Identify(Arc<ServiceIds>),
    /// These containers have a check, registered or about to be, perhaps anew.
    Containers(Vec<String>),
    /// Begin.
    Start,
    /// What the metadata says now.
    Seen(Arc<TaskSeen>),
    /// The metadata cannot be read.
    Blind,
    /// Refresh what is due.
    Refresh,
    /// One write ended.
    Written(Written),
    /// No write any more; tell when the last one is back.
    Hush,
}

/// How one write ended.
#[derive(Debug)]
pub struct Written {
    container: String,
    generation: u32,
    /// `None`: it was not made, because of the hush.
    answer: Option<Answer>,
}

/// See the module's text.
pub struct HealthSync;

/// What it needs.
pub struct Arguments {
    /// The local agent.
    pub consul: Client,
    /// What the configuration says.
    pub rules: Rules,
    /// The instant of exec, from which reads of the metadata count their time.
    pub epoch: Instant,
    /// Where facts go.
    pub reports: Reports,
}

/// What it keeps.
pub struct State {
    consul: Client,
    refresh: Duration,
    reports: Reports,
    epoch: Instant,
    book: Book,
    ids: Option<Arc<ServiceIds>>,
    containers: Vec<String>,
    started: bool,
    on_their_way: usize,
    /// Closed by the hush.
    permits: Arc<Semaphore>,
    told: Option<String>,
}

impl Actor for HealthSync {
    type Msg = Msg;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        _: ActorRef<Msg>,
        args: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        Ok(State {
            consul: args.consul,
            // Twice as often as a refresh is due, for when nothing else wakes us: a read of the metadata that hangs.
            refresh: args.rules.ttl / 6,
            reports: args.reports,
            epoch: args.epoch,
            book: Book::new(args.rules),
            ids: None,
            containers: Vec::new(),
            started: false,
            on_their_way: 0,
            permits: Arc::new(Semaphore::new(AT_ONCE)),
            told: None,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Msg>,
        msg: Msg,
        s: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            Msg::Identify(ids) => {
                s.ids = Some(ids);
                s.track();
            }
            Msg::Containers(containers) => {
                s.containers = containers;
                s.track();
            }
            Msg::Start => {
                if !std::mem::replace(&mut s.started, true) {
                    myself.send_interval(s.refresh, || Msg::Refresh);
                }
            }
            Msg::Seen(seen) => {
                s.book.observe(&seen.task, seen.asked_at);
                s.write(&myself);
                s.tell_trouble();
            }
            Msg::Blind | Msg::Refresh => s.write(&myself),
            Msg::Written(Written { container, generation, answer }) => {
                s.on_their_way -= 1;
                if let Some(answer) = answer {
                    s.take(&myself, &container, generation, answer);
                }
                s.tell_if_quiet();
            }
            Msg::Hush => {
                s.permits.close();
                s.tell_if_quiet();
            }
        }
        Ok(())
    }
}

impl State {
    fn track(&mut self) {
        if let Some(ids) = &self.ids {
            self.book.track(self.containers.iter().map(|name| (name.clone(), ids.check(name))));
        }
    }

    /// Sends what is due, each by itself.
    fn write(&mut self, myself: &ActorRef<Msg>) {
        if !self.started || self.permits.is_closed() {
            return;
        }
        for update in self.book.due(self.epoch.elapsed()) {
            self.on_their_way += 1;
            let job = send(self.consul.clone(), self.ids.clone(), self.permits.clone(), update);
            let myself = myself.clone();
            work::spawn("health_sync", &self.reports, async move {
                super::tell(&myself, Msg::Written(job.await));
            });
        }
    }

    fn take(&mut self, myself: &ActorRef<Msg>, container: &str, generation: u32, answer: Answer) {
        let written = answer == Answer::Written;
        if let Some(lost) = self.book.answered(container, generation, answer) {
            report(&self.reports, Event::RegistrationLost(lost));
        }
        self.tell_trouble();
        // What changed meanwhile goes out at once; what failed waits for the next tick.
        if written {
            self.write(myself);
        }
    }

    fn tell_trouble(&mut self) {
        let why = self.book.trouble();
        if why != self.told {
            self.told.clone_from(&why);
            report(&self.reports, Event::Trouble { source: Source::HealthSync, why });
        }
    }

    fn tell_if_quiet(&self) {
        if self.permits.is_closed() && self.on_their_way == 0 {
            report(&self.reports, Event::Quiet(Source::HealthSync));
        }
    }
}

/// One update, to its end.
async fn send(
    consul: Client,
    ids: Option<Arc<ServiceIds>>,
    permits: Arc<Semaphore>,
    update: Update,
) -> Written {
    let Update { container, check_id, verdict, output, generation } = update;
    let status = match verdict {
        Verdict::Passing => CheckStatus::Passing,
        Verdict::Critical => CheckStatus::Critical,
    };
    let answer = match permits.acquire().await {
        Err(_closed) => None,
        Ok(_permit) => Some(match consul.update_check(&check_id, status, &output).await {
            Ok(()) => Answer::Written,
            Err(e) if e.is_not_found() => Answer::Unknown(e.to_string()),
            Err(e) => Answer::Failed(refusal(&e, ids.as_ref().map_or("", |ids| &ids.name))),
        }),
    };
    Written { container, generation, answer }
}

/// Why an update was refused, with what would help.
fn refusal(error: &Error, service: &str) -> String {
    if error.is_forbidden() {
        format!(
            "the service token must have service:write on {service:?} to update its checks (until the agent has joined, \
             its servers cannot be asked): {error}"
        )
    } else {
        error.to_string()
    }
}

#[cfg(test)]
#[path = "health_sync_tests.rs"]
mod tests;
