//! The actor around the machine: takes events one by one, runs [`step`], hands the effects on, publishes the status.

use super::child::Role;
use super::ending::Ending;
use super::event::Event;
use super::executor::{Executor, Hands};
use super::fsm::{Machine, step};
use super::plan::Plan;
use crate::admin::Status;
use crate::timeline;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

/// What the supervisor takes.
#[derive(Debug)]
pub enum Msg {
    /// A fact.
    Event(Event),
    /// Time to say what a start waits for.
    Tick,
    /// Time to say what a stop waits for.
    StopTick,
}

impl From<Event> for Msg {
    fn from(event: Event) -> Self {
        Self::Event(event)
    }
}

impl TryFrom<Msg> for Event {
    type Error = ();
    fn try_from(msg: Msg) -> Result<Self, ()> {
        match msg {
            Msg::Event(event) => Ok(event),
            Msg::Tick | Msg::StopTick => Err(()),
        }
    }
}

/// Where facts go. Children get this and nothing else of the supervisor.
pub type Reports = ractor::DerivedActorRef<Event>;

/// Sends a fact. A supervisor that is gone needs none.
pub(crate) fn report(reports: &Reports, event: Event) {
    if reports.send_message(event).is_err() {
        tracing::debug!("a fact after the end");
    }
}

/// The supervisor. Its children are spawned, linked to it, by `make_hands`.
pub struct Supervisor;

/// What it is made of.
pub struct Arguments {
    /// The machine's constants.
    pub plan: Plan,
    /// The instant of exec.
    pub epoch: Instant,
    /// The live timeline.
    pub log: timeline::Log,
    /// Where the status is published.
    pub status: watch::Sender<Arc<Status>>,
    /// Told how it ended, once.
    pub finished: oneshot::Sender<Outcome>,
    /// Makes the hands and names the actors among them.
    pub make_hands: MakeHands,
}

/// How the timeline ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The process's exit code.
    pub code: u8,
    /// What was given up, in words.
    pub why: Option<String>,
}

/// Makes the [`Hands`] once the supervisor exists; gives their actors by ID, for supervision.
pub type MakeHands = Box<
    dyn FnOnce(
            ActorRef<Msg>,
        ) -> futures_util::future::BoxFuture<
            'static,
            Result<(Box<dyn Hands>, HashMap<ActorId, &'static str>), ractor::SpawnErr>,
        > + Send,
>;

/// The mutable part.
pub struct State {
    plan: Plan,
    machine: Machine,
    executor: Executor,
    status: watch::Sender<Arc<Status>>,
    roles: HashMap<ActorId, &'static str>,
    finished: Option<oneshot::Sender<Outcome>>,
    /// Lines about the stop that were timed.
    stop_lines: u32,
}

/// How often a wait is spoken of in the log.
const TICK: Duration = Duration::from_secs(5);

impl Actor for Supervisor {
    type Msg = Msg;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Msg>,
        args: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let (hands, roles) = (args.make_hands)(myself).await?;
        let machine = Machine::new(&args.plan);
        Ok(State {
            executor: Executor::new(args.epoch, args.log, hands),
            machine,
            plan: args.plan,
            status: args.status,
            roles,
            finished: Some(args.finished),
            stop_lines: 0,
        })
    }

    async fn post_start(
        &self,
        myself: ActorRef<Msg>,
        s: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        s.advance(&myself, Event::Started);
        myself.send_after(TICK, || Msg::Tick);
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<Msg>,
        msg: Msg,
        s: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            Msg::Event(event) => s.advance(&myself, event),
            // A stop has lines of its own, which count from when it was noticed.
            Msg::Tick if s.machine.facts().stop.is_some() => {}
            Msg::Tick => {
                s.say_what_is_awaited();
                myself.send_after(TICK, || Msg::Tick);
            }
            // After the exit code nothing is said any more.
            Msg::StopTick if s.finished.is_none() => {}
            Msg::StopTick => {
                s.say_stop_goes_on();
                s.time_stop_line(&myself);
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Msg>,
        event: SupervisionEvent,
        s: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let (who, why) = match event {
            SupervisionEvent::ActorFailed(who, err) => (who, err.to_string()),
            SupervisionEvent::ActorTerminated(who, _, why) => {
                (who, why.unwrap_or_else(|| "it ended".to_owned()))
            }
            _ => return Ok(()),
        };
        if let Some(actor) = s.roles.remove(&who.get_id()) {
            tracing::error!(actor, why, "actor failed");
            s.advance(&myself, Event::ActorDown { actor, why });
            // Nobody starts that child any more. One that ran is killed with its actor, and whoever waits for it tells.
            let of_it = |role: &Role| role.actor() == actor && s.machine.child(*role).is_starting();
            if let Some(role) = [Role::Agent, Role::Envoy].into_iter().find(of_it) {
                let exit = Ending::SpawnFailed { why: "its actor failed".to_owned(), fatal: false };
                s.advance(&myself, Event::ChildExited { role, exit, said: Vec::new() });
            }
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        myself: ActorRef<Msg>,
        _: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        // ractor kills the children of an actor that ends, without their post_stop, unless they are waited for.
        myself.stop_children_and_wait(None, Some(Duration::from_secs(1))).await;
        Ok(())
    }
}

impl State {
    fn advance(&mut self, myself: &ActorRef<Msg>, event: Event) {
        tracing::debug!(?event, "event");
        if let Event::TaskSeen(seen) = &event
            && self.machine.facts().seen.is_none()
        {
            self.executor.log.set_task(&seen.task.task_arn);
        }
        let at = self.executor.now();
        let machine = std::mem::replace(&mut self.machine, Machine::new(&self.plan));
        let (machine, effects) = step(&self.plan, machine, at, event);
        self.machine = machine;
        let exit = self.executor.run(myself, effects);
        self.publish();
        if let Some(code) = exit {
            let why = self.machine.facts().last_words().map(str::to_owned);
            if let Some(finished) = self.finished.take()
                && finished.send(Outcome { code, why }).is_err()
            {
                tracing::debug!("nobody waits for the exit code");
            }
            myself.stop(None);
        } else if self.stop_lines == 0 {
            self.time_stop_line(myself);
        }
    }

    /// Sees to it that the stop is spoken of 5 s after it was noticed, 10 s after it, and so on.
    fn time_stop_line(&mut self, myself: &ActorRef<Msg>) {
        let Some(stop) = self.machine.facts().stop else { return };
        self.stop_lines += 1;
        let due = stop.at + TICK * self.stop_lines;
        myself.send_after(due.saturating_sub(self.executor.now()), || Msg::StopTick);
    }

    fn publish(&self) {
        let status =
            self.machine.status(&self.plan, &self.executor.service_id(), self.executor.now());
        self.status.send_if_modified(|old| {
            let changed = **old != status;
            if changed {
                *old = Arc::new(status);
            }
            changed
        });
    }

    fn say_stop_goes_on(&self) {
        let at = self.executor.now();
        let status = self.machine.status(&self.plan, &self.executor.service_id(), at);
        let Some(stop) = status.stop else { return };
        let tenths = |seconds: f64| (seconds * 10.0).round() / 10.0;
        tracing::info!(
            awaiting = %stop.awaiting,
            seconds = tenths(at.as_secs_f64() - stop.since_ms / 1000.0),
            seconds_left = stop.seconds_left.map(tenths),
            cause = %stop.cause,
            not_awaited = self.machine.not_awaited(&self.plan),
            "stopping"
        );
    }

    fn say_what_is_awaited(&self) {
        let at = self.executor.now();
        let status = self.machine.status(&self.plan, &self.executor.service_id(), at);
        if let Some(first) = status.pending.first() {
            let seconds = (at.as_secs_f64() - first.since_ms / 1000.0).round();
            tracing::warn!(
                latch = %first.latch,
                seconds,
                reason = first.reason.as_deref(),
                others = status.pending.len() - 1,
                "not ready: waiting"
            );
        } else if let Some((why, since)) = self.machine.facts().not_offered() {
            // An app may take its time, so this can go on for as long as the task lives: then a line a minute is enough.
            let seconds = at.saturating_sub(since).as_secs();
            if seconds < 60 || seconds % 60 < TICK.as_secs() {
                tracing::info!(why, seconds, "not offered to peers yet: waiting");
            }
        }
    }
}
