//! The stop: its steps in their order, and how the time is shared out.

use crate::config::{Config, LeaveOrder, left_for_apps, show};
use crate::supervisor::Inbound;
use crate::timeline::Event;
use serde::Serialize;
use std::time::Duration;

/// What a stop does, and in which time.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stop {
    /// `http`, `tcp` or `none`: what ends an inbound connection politely.
    pub inbound: &'static str,
    /// Why, in words.
    pub inbound_note: &'static str,
    /// In their order.
    pub steps: Vec<Step>,
    /// `lifecycle.stopTimeout`: from our own TERM to the KILL of ECS.
    pub stop_timeout: String,
    /// `lifecycle.totalStop`: from `stop-noticed` to our exit, whoever noticed.
    pub total_stop: String,
    /// What the steps, the apps' own end left out, may take together.
    pub needed: String,
    /// What is left of `stopTimeout` for the apps then.
    pub left_for_apps: String,
}

/// One step of a stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// The event that ends it, as the timeline has it; `dwell` has none.
    pub step: String,
    /// How long it may take; absent where only the whole stop's limit holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_most: Option<String>,
    /// What is done.
    pub what: String,
}

pub(super) fn stop(config: &Config) -> Stop {
    let life = &config.lifecycle;
    let (inbound, inbound_note) = match Inbound::of(config) {
        Inbound::Http => ("http", "Envoy ends requests one by one; apps are released after it"),
        Inbound::Tcp => ("tcp", "only an app can end its connections: it is released first"),
        Inbound::None => ("none", "the service takes no requests: there is nothing to drain"),
    };
    let left = left_for_apps(config);
    Stop {
        inbound,
        inbound_note,
        steps: steps(config),
        stop_timeout: show(life.stop_timeout),
        total_stop: show(life.total_stop),
        needed: show(life.stop_timeout.saturating_sub(left)),
        left_for_apps: show(left),
    }
}

fn steps(config: &Config) -> Vec<Step> {
    let life = &config.lifecycle;
    let told = &life.propagation;
    let mut steps = vec![
        step(Event::SyncStopped, None, "health sync and registration fall silent"),
        step(Event::ChecksCritical, None, "service and proxy into maintenance, checks critical"),
    ];
    let first = life.leave == LeaveOrder::First;
    if first {
        let what = "the agent is asked to leave (lifecycle.leave is \"first\")";
        steps.push(step(Event::AgentLeaveBegun, None, what));
    }
    steps.push(step(
        Event::PeersUpdated,
        Some(told.timeout),
        "the servers are asked until they show this instance critical",
    ));
    steps.push(Step {
        step: "dwell".to_owned(),
        at_most: None,
        what: format!(
            "{} for peers' Envoys to hear of it, or {} without the servers' word{}",
            show(told.dwell),
            show(told.dwell_unacked),
            match told.min_delay {
                Duration::ZERO => String::new(),
                least => format!("; at least {} from checks-critical on", show(least)),
            }
        ),
    });
    let drain = |what: &str| step(Event::InboundDrained, Some(life.drain_timeout), what);
    let released = "wrapped apps get the TERM that was held back";
    let released = step(Event::AppsReleased, None, released);
    match Inbound::of(config) {
        Inbound::Http => {
            let what = "Envoy finishes what is in flight and closes kept connections";
            steps.extend([drain(what), released]);
        }
        Inbound::Tcp => {
            let what = "meanwhile Envoy drains: it ends with the apps' last connection";
            steps.extend([released, drain(what)]);
        }
        Inbound::None => steps.push(released),
    }
    let apps = match &life.app_containers {
        Some(names) => format!("the apps end: {}", names.join(", ")),
        None => "the apps end; until then Envoy serves their outgoing requests".to_owned(),
    };
    steps.push(step(Event::AppsStopped, None, apps));
    steps.push(step(Event::EnvoyExited, None, "Envoy gets TERM"));
    let leave = if first {
        "the agent's leave, begun above, ends"
    } else {
        "service and proxy are deregistered, and the agent leaves"
    };
    steps.push(step(Event::AgentLeft, Some(life.leave_reserve), leave));
    steps.push(step(Event::AllExited, None, "every child is reaped; taskmesh exits"));
    let kill = format!(
        "only when time runs out: {} before the end the waits before the leave are cut, \
         {} before it what is left is killed",
        show(life.leave_reserve.saturating_add(life.kill_reserve)),
        show(life.kill_reserve)
    );
    steps.push(step(Event::Deadline, Some(life.kill_reserve), kill));
    steps
}

fn step(event: Event, at_most: Option<Duration>, what: impl Into<String>) -> Step {
    Step { step: event.name().to_owned(), at_most: at_most.map(show), what: what.into() }
}
