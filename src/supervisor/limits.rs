//! The limits of a stop: what is cut when, and the words for what it waits for.

use super::child::{Child, Role};
use super::effect::Effect;
use super::event::{PeersView, Source, TimerId};
use super::facts::{Facts, PeersEnd};
use super::fsm::Machine;
use super::phase::Phase;
use super::plan::Plan;
use super::shutdown::QUIETABLE;
use crate::timeline;
use std::collections::BTreeMap;
use std::time::Duration;

impl Facts {
    /// From our TERM to ECS's KILL: `lifecycle.stopTimeout`, or what the task definition gives us where that is less.
    pub(crate) fn stop_timeout(&self, plan: &Plan) -> Duration {
        self.defined_stop_timeout().map_or(plan.stop_timeout, |given| given.min(plan.stop_timeout))
    }

    /// What the task definition gives our own container.
    fn defined_stop_timeout(&self) -> Option<Duration> {
        let ours = self.defined.as_ref()?.container(self.own_name())?;
        Some(ours.time_to_stop())
    }

    /// The same for every container, in ms: wrappers must pass a stop on before it is over.
    pub(crate) fn stop_timeouts_ms(&self) -> BTreeMap<String, u64> {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let defined = self.defined.iter().flat_map(|definition| &definition.containers);
        defined.map(|c| (c.name.clone(), ms(c.time_to_stop()))).collect()
    }
}

impl Machine {
    pub(crate) fn on_stop_timer(&mut self, plan: &Plan, id: TimerId, out: &mut Vec<Effect>) {
        match id {
            TimerId::Hush => self.facts.quiet.extend(QUIETABLE),
            TimerId::Withdraw => {
                self.end_withdrawal(Some("the agent did not answer".to_owned()), out);
            }
            TimerId::Peers => {
                let end = match self.facts.peers_last {
                    Some(PeersView::Unreachable(_)) => PeersEnd::ServersUnreachable,
                    _ => PeersEnd::Timeout,
                };
                self.end_propagation(end, out);
            }
            TimerId::Dwell => self.facts.dwelled = true,
            TimerId::Drain => self.end_drain(Some("timeout"), out),
            TimerId::TermAgain => {
                let act = self.agent.stop_again();
                self.act(Role::Agent, act, out);
            }
            TimerId::EnvoyExit => self.kill(Role::Envoy, out),
            TimerId::Deregister => self.facts.deregistered = true,
            TimerId::Cut => {
                if self.phase < Phase::EndingEnvoy && !self.facts.cut {
                    self.facts.cut = true;
                    self.facts.overran = true;
                    let what = self.awaiting(plan);
                    self.record(out, timeline::Event::Deadline, Some(what));
                }
            }
            TimerId::Deadline => {
                self.facts.cut = true;
                self.facts.overran = true;
                let what = self.awaiting(plan);
                self.record(out, timeline::Event::Deadline, Some(what));
                self.kill(Role::Envoy, out);
                self.kill(Role::Agent, out);
                self.facts.quiet.extend(QUIETABLE);
                self.facts.withdrawn = true;
                self.facts.deregistered = true;
            }
            TimerId::End => {
                self.facts.abandoned = true;
                let left: Vec<_> = [&self.agent, &self.envoy]
                    .into_iter()
                    .filter(|child| child.may_exist())
                    .map(|child| child.role().name())
                    .collect();
                let what = format!("left behind: {}", left.join(", "));
                self.record(out, timeline::Event::Deadline, Some(what));
            }
            TimerId::Start | TimerId::Definition | TimerId::Restart(_) => {}
        }
    }

    fn kill(&mut self, role: Role, out: &mut Vec<Effect>) {
        let (act, first) = self.child_mut(role).kill();
        if first {
            self.facts.killed_child = true;
            self.record(out, timeline::Event::Killed, Some(role.name().to_owned()));
        }
        self.act(role, act, out);
    }

    /// The task definition was read: where ECS gives us less time than the configuration thinks, ECS is right.
    pub(crate) fn compare_stop_timeouts(
        &mut self,
        plan: &Plan,
        at: Duration,
        out: &mut Vec<Effect>,
    ) {
        let Some(given) = self.facts.defined_stop_timeout() else { return };
        if given >= plan.stop_timeout {
            return;
        }
        let why = too_short(plan, given, self.facts.own_name());
        out.push(Effect::Warn(why.clone()));
        self.facts.note_trouble(Source::TaskDefinition, Some(why), at);
        // A stop may be under way already.
        let own = self.facts.stop.filter(|stop| stop.cause.is_our_own()).map(|stop| stop.at);
        for from in [own, self.facts.own_term].into_iter().flatten() {
            self.limit_stop(plan, at, from + given, out);
        }
    }

    /// Bounds the stop: everything before the leave is cut at `end` less both reserves, what is left is killed at
    /// `end` less the kill reserve, and what does not even die of that is left behind a little before `end`. A later
    /// `end` than the one in force changes nothing. One that is over already leaves time to kill: whoever was to end
    /// us by then has not.
    pub(crate) fn limit_stop(
        &mut self,
        plan: &Plan,
        at: Duration,
        end: Duration,
        out: &mut Vec<Effect>,
    ) {
        let end = end.max(at + plan.kill_reserve);
        let deadline = end.saturating_sub(plan.kill_reserve);
        if self.facts.deadline.is_some_and(|d| d <= deadline) {
            return;
        }
        self.facts.deadline = Some(deadline);
        self.arm(TimerId::Deadline, deadline, out);
        self.arm(TimerId::End, end.saturating_sub(plan.kill_reserve / 5), out);
        self.arm(TimerId::Cut, deadline.saturating_sub(plan.leave_reserve), out);
    }

    /// What the stop waits for now, in words.
    pub fn awaiting(&self, plan: &Plan) -> String {
        let child = |child: &Child, verb| match child.was_killed() {
            true => format!("{}, which was killed", child.role().name()),
            false => format!("{} to {verb}", child.role().name()),
        };
        match self.phase {
            Phase::AwaitingApps => match self.awaited_apps(plan) {
                apps if apps.is_empty() => "inbound connections".to_owned(),
                apps => format!("apps: {}", apps.join(", ")),
            },
            Phase::Leaving if self.agent.may_exist() => child(&self.agent, "leave"),
            Phase::EndingEnvoy | Phase::Leaving => child(&self.envoy, "exit"),
            phase => phase.name().to_owned(),
        }
    }

    /// While apps are awaited: what else runs in the task, and is not. Log routers wait for us, what AWS injects ends
    /// last, and in a stop of our own nobody but our exit ends an unwrapped app.
    pub(crate) fn not_awaited(&self, plan: &Plan) -> Option<String> {
        let others = self.facts.running_others(&self.awaited_apps(plan));
        (self.phase == Phase::AwaitingApps && !others.is_empty()).then(|| others.join(", "))
    }
}

/// What is wrong where the definition gives our container less time than the configuration thinks, and what to do.
fn too_short(plan: &Plan, given: Duration, own_name: &str) -> String {
    let show = humantime::format_duration;
    let needed = plan.steps_of_a_stop();
    let cut = if given < needed {
        format!(" The steps of a stop can take {}: what does not fit is cut short.", show(needed))
    } else {
        String::new()
    };
    format!(
        "lifecycle.stopTimeout is {}, but ECS kills this container {} after its TERM (stopTimeout of {own_name} in \
         the task definition, 30 s where it has none): the shorter one counts.{cut} Set stopTimeout in the task \
         definition to {} or more, or lifecycle.stopTimeout to {}.",
        show(plan.stop_timeout),
        show(given),
        plan.stop_timeout.as_secs_f64().ceil(),
        show(given),
    )
}
