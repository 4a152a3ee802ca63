//! Writes the containers' ECS health into their TTL checks: when it changes, and at a third of the TTL.

use crate::consul::{CheckStatus, Client, ServiceIds};
use crate::ecs::{Container, HealthStatus, Status};
use crate::supervisor::actor::{Reports, report};
use crate::supervisor::{Event, Source, TaskSeen};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// So many refusals in a row of a check that nobody knows mean that it is lost, not merely not there yet.
const LOST_AFTER: u32 = 3;

/// What this actor takes.
#[derive(Debug)]
pub(crate) enum Msg {
    /// Who we are.
    Identify(Arc<ServiceIds>),
    /// These containers have a check.
    Containers(Vec<String>),
    /// Begin.
    Start,
    /// What the metadata says now.
    Seen(Arc<TaskSeen>),
    /// The metadata cannot be read.
    Blind,
    /// Refresh what is due.
    Refresh,
    /// One round of writes ended.
    Written(Round),
    /// No write any more; tell when the last one is back.
    Hush,
}

/// How one round of writes ended.
#[derive(Debug)]
pub(crate) struct Round {
    written: Vec<(String, CheckStatus)>,
    unknown: Vec<String>,
    trouble: Option<String>,
}

/// See the module's text.
pub(crate) struct HealthSync;

/// What it needs.
pub(crate) struct Arguments {
    pub(crate) consul: Client,
    pub(crate) ttl: Duration,
    pub(crate) start_grace: Duration,
    pub(crate) stale_after: Duration,
    pub(crate) reports: Reports,
}

pub(crate) struct State {
    args: Arguments,
    ids: Option<Arc<ServiceIds>>,
    containers: Vec<String>,
    started_at: Option<Instant>,
    seen: Option<(Arc<TaskSeen>, Instant)>,
    written: BTreeMap<String, (CheckStatus, Instant)>,
    refused: BTreeMap<String, u32>,
    writing: bool,
    hushed: bool,
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
            args,
            ids: None,
            containers: Vec::new(),
            started_at: None,
            seen: None,
            written: BTreeMap::new(),
            refused: BTreeMap::new(),
            writing: false,
            hushed: false,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Msg>,
        msg: Msg,
        s: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            Msg::Identify(ids) => s.ids = Some(ids),
            // The agent may have been restarted or the check be new: what was written before counts no more.
            Msg::Containers(containers) => {
                s.containers = containers;
                s.written.clear();
                s.refused.clear();
            }
            Msg::Start => {
                s.started_at = Some(Instant::now());
                myself.send_interval(s.args.ttl / 6, || Msg::Refresh);
            }
            Msg::Seen(seen) => {
                s.seen = Some((seen, Instant::now()));
                s.write(&myself);
            }
            Msg::Blind | Msg::Refresh => s.write(&myself),
            Msg::Written(round) => {
                s.writing = false;
                s.note(round);
                if s.hushed {
                    report(&s.args.reports, Event::Quiet(Source::HealthSync));
                }
            }
            Msg::Hush => {
                s.hushed = true;
                if !s.writing {
                    report(&s.args.reports, Event::Quiet(Source::HealthSync));
                }
            }
        }
        Ok(())
    }
}

impl State {
    /// Begins a round of writes if one is due and none is on its way.
    fn write(&mut self, myself: &ActorRef<Msg>) {
        let (Some(ids), Some(_), false, false) =
            (self.ids.clone(), self.started_at, self.writing, self.hushed)
        else {
            return;
        };
        let due: Vec<_> = self
            .containers
            .iter()
            .map(|c| (c.clone(), self.verdict(c)))
            .filter(|(container, (status, _))| self.is_due(container, *status))
            .collect();
        if due.is_empty() {
            return;
        }
        self.writing = true;
        let consul = self.args.consul.clone();
        let myself = myself.clone();
        tokio::spawn(async move {
            let round = write_round(&consul, &ids, due).await;
            if myself.cast(Msg::Written(round)).is_err() {
                tracing::debug!("health was written after the end");
            }
        });
    }

    fn is_due(&self, container: &str, status: CheckStatus) -> bool {
        self.written
            .get(container)
            .is_none_or(|(last, at)| *last != status || at.elapsed() >= self.args.ttl / 3)
    }

    /// What a container's check should say, and the words for it.
    fn verdict(&self, container: &str) -> (CheckStatus, &'static str) {
        let Some((seen, at)) = &self.seen else {
            return (CheckStatus::Critical, "UNKNOWN");
        };
        // An ECS agent that restarts must not take a host's services down, but for ever is too long.
        if at.elapsed() > self.args.stale_after {
            return (CheckStatus::Critical, "STALE");
        }
        let in_grace = self.started_at.is_some_and(|t| t.elapsed() < self.args.start_grace);
        match seen.task.container(container).and_then(|c| c.health_status()) {
            Some(HealthStatus::Healthy) => (CheckStatus::Passing, "HEALTHY"),
            Some(HealthStatus::Unhealthy) => (CheckStatus::Critical, "UNHEALTHY"),
            Some(HealthStatus::Unknown) if in_grace => (CheckStatus::Passing, "UNKNOWN"),
            Some(HealthStatus::Unknown) => (CheckStatus::Critical, "UNKNOWN"),
            // Not listed, or without a health check: as 0.4.3 has it.
            None => (CheckStatus::Critical, "UNHEALTHY"),
        }
    }

    fn note(&mut self, round: Round) {
        let now = Instant::now();
        for (container, status) in round.written {
            self.refused.remove(&container);
            self.written.insert(container, (status, now));
        }
        for container in round.unknown {
            let refusals = self.refused.entry(container.clone()).or_default();
            *refusals += 1;
            if *refusals == LOST_AFTER {
                let why = format!("the agent does not know the check of {container}");
                report(&self.args.reports, Event::RegistrationLost(why));
            }
        }
        let why = round.trouble.or_else(|| self.unhealthable());
        report(&self.args.reports, Event::Trouble { source: Source::HealthSync, why });
    }

    /// Containers whose check can never pass, in words: told once the task runs as a whole, for until then they may
    /// only not be listed yet.
    fn unhealthable(&self) -> Option<String> {
        let (seen, _) = self.seen.as_ref()?;
        let healthless =
            |name: &&String| seen.task.container(name).and_then(Container::health_status).is_none();
        let names: Vec<_> = self.containers.iter().filter(healthless).map(String::as_str).collect();
        (seen.task.known_status == Status::Running && !names.is_empty()).then(|| {
            format!(
                "no container with a health check is called {}: its check stays critical",
                names.join(" or ")
            )
        })
    }
}

type Due = Vec<(String, (CheckStatus, &'static str))>;

async fn write_round(consul: &Client, ids: &ServiceIds, due: Due) -> Round {
    let mut round = Round { written: Vec::new(), unknown: Vec::new(), trouble: None };
    for (container, (status, words)) in due {
        let id = ids.check(&container);
        // The sentence that 0.4.3 writes: operators search for it.
        let output = format!("ECS health status is \"{words}\" for task \"{id}\"");
        match consul.update_check(&id, status, &output).await {
            Ok(()) => round.written.push((container, status)),
            Err(e) => {
                if e.is_not_found() {
                    round.unknown.push(container);
                }
                round.trouble = Some(e.to_string());
            }
        }
    }
    round
}
