//! What came of a scenario, and what of it is wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use serde::Deserialize;
use taskmesh::timeline::Event;
use tokio::time::Instant;

use super::scenario::{App, Promise, Scenario};
use crate::cluster::{MeshTask, record_of};
use crate::ecs::{StopOrder, TaskResult};
use crate::load::LoadReport;

/// A task that was stopped under load, to its very end.
#[derive(Debug)]
pub struct Stop {
    /// Its name, which is also what its app answers with.
    pub task: String,
    /// In which order ECS stopped its containers.
    pub order: StopOrder,
    /// When ECS was asked to stop it.
    pub at: Instant,
    /// What the client counted from then until its Envoy was gone, and a little longer.
    pub during: LoadReport,
    /// The requests of [`Disturbance::Long`](super::scenario::Disturbance::Long).
    pub long: Option<LoadReport>,
    /// From `at` to the end of the helper container.
    pub took: Duration,
    /// When each event of the stop was told of, from `at` on.
    pub events: BTreeMap<Event, Duration>,
    /// How ECS saw it end.
    pub result: TaskResult,
    /// The outgoing requests, where those count.
    pub calls: Option<Calls>,
}

/// What the app `call` says of its calls when it ends.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Calls {
    /// All.
    pub calls: u64,
    /// Those that failed.
    pub failed: u64,
    /// Those after its TERM.
    pub after_term: u64,
    /// Failures by reason.
    pub reasons: BTreeMap<String, u64>,
}

impl Stop {
    /// Waits until the task is over.
    ///
    /// # Errors
    /// If it is not within `limit`.
    pub(super) async fn end(
        task: &MeshTask,
        order: StopOrder,
        at: Instant,
        during: LoadReport,
        long: Option<LoadReport>,
        limit: Duration,
    ) -> Result<Self> {
        let (result, _) = task.wait_stopped(limit).await?;
        let lines = task.ecs.output("taskmesh");
        let mut events = BTreeMap::new();
        for line in lines.iter().filter(|line| line.at >= at) {
            if let Some(record) = record_of(&line.text) {
                events.entry(record.event).or_insert(line.at - at);
            }
        }
        let finished = result.container("taskmesh").and_then(|c| c.finished_at);
        let took = finished.map_or(Duration::ZERO, |end| end.saturating_duration_since(at));
        let app = task.ecs.output("app");
        let calls = app.iter().rev().find_map(|line| serde_json::from_str(&line.text).ok());
        let task = task.name().to_owned();
        Ok(Self { task, order, at, during, long, took, events, result, calls })
    }

    /// Requests to peers, or of the task itself, that failed.
    #[must_use]
    pub fn lost(&self) -> u64 {
        let long = self.long.as_ref().map_or(0, |long| long.failed);
        self.during.failed + long + self.calls.as_ref().map_or(0, |calls| calls.failed)
    }

    /// From ECS's word to the end of what peers and apps notice of the stop: Envoy's exit.
    #[must_use]
    pub fn noticed_for(&self) -> Duration {
        self.events.get(&Event::EnvoyExited).copied().unwrap_or_default()
    }
}

/// A scenario, played.
#[derive(Debug)]
pub struct Outcome {
    /// Which.
    pub scenario: Scenario,
    /// All that the client counted; empty where the stopping tasks are the clients.
    pub report: LoadReport,
    /// The stops, in their order.
    pub stops: Vec<Stop>,
}

impl Outcome {
    /// All requests.
    #[must_use]
    pub fn requests(&self) -> u64 {
        let calls = |stop: &Stop| stop.calls.as_ref().map_or(0, |calls| calls.calls);
        let long = |stop: &Stop| stop.long.as_ref().map_or(0, |long| long.ok + long.failed);
        let more: u64 = self.stops.iter().map(|stop| calls(stop) + long(stop)).sum();
        self.report.ok + self.report.failed + more
    }

    /// Those that failed, also outside the stops.
    #[must_use]
    pub fn failed(&self) -> u64 {
        let in_stops: u64 = self.stops.iter().map(Stop::lost).sum();
        let during: u64 = self.stops.iter().map(|stop| stop.during.failed).sum();
        in_stops - during + self.report.failed
    }

    /// Why requests failed, with counts.
    #[must_use]
    pub fn reasons(&self) -> BTreeMap<String, u64> {
        let mut all = self.report.reasons.clone();
        for stop in &self.stops {
            let long = stop.long.iter().flat_map(|long| &long.reasons);
            let calls = stop.calls.iter().flat_map(|calls| &calls.reasons);
            for (reason, count) in long.chain(calls) {
                *all.entry(reason.clone()).or_default() += count;
            }
        }
        all
    }

    /// What is wrong, in words. Empty: it went as promised.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut found: Vec<String> =
            self.stops.iter().flat_map(|stop| self.problems_of(stop)).collect();
        let outside =
            self.report.failed - self.stops.iter().map(|stop| stop.during.failed).sum::<u64>();
        if outside > 0 {
            found.push(format!("{outside} requests failed outside the stops"));
        }
        if self.stops.is_empty() {
            found.push("nothing was stopped".to_owned());
        }
        if !found.is_empty() && self.failed() > 0 {
            let reasons = self.reasons();
            let list = reasons.iter().map(|(reason, n)| format!("{n} x {reason}"));
            found.push(format!("failures: {}", list.collect::<Vec<_>>().join(", ")));
        }
        found
    }

    fn problems_of(&self, stop: &Stop) -> Vec<String> {
        let mut found = self.order_of(stop);
        for container in &stop.result.containers {
            if container.killed {
                found.push(format!("{} was killed by ECS", container.name));
            }
            let wanted = if container.name == "taskmesh" { self.scenario.exit } else { 0 };
            if container.exit_code != Some(wanted) {
                let code = container.exit_code.map_or("none".to_owned(), |code| code.to_string());
                found.push(format!("exit code of {}: {code}, not {wanted}", container.name));
            }
        }
        found.extend(self.broken_promise(stop));
        match &stop.calls {
            Some(calls) if calls.after_term == 0 => found.push("no call after TERM".to_owned()),
            Some(_) => {}
            None if !self.report.responders.contains_key(&stop.task) => {
                found.push("it answered no request".to_owned());
            }
            None => {}
        }
        let long = stop.long.as_ref();
        if long.is_some_and(|long| long.failed == 0 && !long.responders.contains_key(&stop.task)) {
            found.push("no long request was under way in it".to_owned());
        }
        if long.is_some_and(|long| long.ok == 0) {
            found.push("long requests failed also where nothing was stopped".to_owned());
        }
        let name = format!("{} ({:?})", stop.task, stop.order);
        found.into_iter().map(|what| format!("{name}: {what}")).collect()
    }

    /// The events that every stop has here, in their order.
    fn order_of(&self, stop: &Stop) -> Vec<String> {
        use Event::*;
        let mut order = vec![StopNoticed, SyncStopped, ChecksCritical];
        let waits = self.scenario.app == App::Wrapped && !self.scenario.cut_short();
        if waits {
            order.push(PeersUpdated);
            if self.scenario.protocol != "tcp" && stop.calls.is_none() {
                order.push(InboundDrained);
            }
            order.extend([AppsReleased, AppsStopped]);
        }
        order.push(EnvoyExited);
        let agent = if self.scenario.leaves_first() { vec![] } else { vec![AgentLeft] };
        order.extend(agent);
        order.push(AllExited);
        let mut found = Vec::new();
        let mut last = Duration::ZERO;
        for event in &order {
            match stop.events.get(event) {
                None => found.push(format!("no {}", event.name())),
                Some(at) if *at < last => found.push(format!("{} too early", event.name())),
                Some(at) => last = *at,
            }
        }
        let cut = stop.events.contains_key(&Deadline);
        if cut != self.scenario.cut_short() {
            found.push(if cut { "deadline" } else { "no deadline" }.to_owned());
        }
        if stop.events.contains_key(&Killed) {
            found.push("killed".to_owned());
        }
        found
    }

    fn broken_promise(&self, stop: &Stop) -> Vec<String> {
        let lost = stop.lost();
        match self.scenario.promise {
            Promise::NoneLost if lost > 0 => vec![format!("{lost} requests failed")],
            Promise::NoneLost => vec![],
            Promise::AtMost { lost: most, .. } if lost > most => {
                vec![format!("{lost} requests failed, {most} are unavoidable")]
            }
            Promise::AtMost { .. } => vec![],
            Promise::Bounded { window, .. } => {
                let critical = stop.events.get(&Event::ChecksCritical).copied().unwrap_or_default();
                let from = stop.at;
                let until = from + critical + window;
                let late =
                    stop.during.failures.iter().filter(|f| f.at < from || f.at > until).count();
                let unseen = stop.during.failed as usize > stop.during.failures.len();
                let mut found = Vec::new();
                if late > 0 {
                    found.push(format!("{late} requests failed when peers had long heard of it"));
                }
                if unseen {
                    found.push("too many failures to look at each".to_owned());
                }
                found
            }
        }
    }
}
