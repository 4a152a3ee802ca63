//! Startup, T0 to T2, and the repairs of a running task.

use super::checks::Definition;
use super::child::Role;
use super::effect::Effect;
use super::event::{Event, Need, Source, TaskSeen, TimerId};
use super::facts::StopCause;
use super::fsm::Machine;
use super::phase::Phase;
use super::plan::{DEFINITION_WAIT, Plan};
use crate::ecs::Status;
use crate::timeline;
use std::sync::Arc;
use std::time::Duration;

impl Machine {
    pub(crate) fn on_started(&mut self, plan: &Plan, out: &mut Vec<Effect>) {
        self.record(out, timeline::Event::Started, None);
        self.arm(TimerId::Start, plan.start_timeout, out);
        out.push(Effect::WatchTask);
    }

    pub(crate) fn next_in_start(&self, plan: &Plan) -> Option<Phase> {
        let f = &self.facts;
        let next = match self.phase {
            Phase::Reading if f.seen.is_some() => Phase::Enrolling,
            Phase::Enrolling
                if f.agent_answers
                    && !f.awaited.contains(&Need::ServiceToken)
                    && f.definition_is_settled(plan) =>
            {
                Phase::Registering
            }
            Phase::Registering if f.registered => Phase::Bootstrapping,
            Phase::Bootstrapping if f.bootstrap_written => Phase::Proxying,
            Phase::Proxying if f.held_latches().next().is_none() => Phase::Serving,
            _ => return None,
        };
        Some(next)
    }

    pub(crate) fn enter_in_start(&mut self, plan: &Plan, at: Duration, out: &mut Vec<Effect>) {
        match self.phase {
            Phase::Enrolling => {
                let seen = self.facts.seen.clone();
                out.extend(seen.clone().map(Effect::Identify));
                self.start_agent(out);
                if plan.asks_definition() {
                    // Beside the agent's start, which takes longer.
                    self.facts.definition = Definition::Asked;
                    out.extend(seen.map(Effect::ReadDefinition));
                }
            }
            Phase::Registering => {
                self.facts.held = self.facts.held_until_port_accepts(plan);
                self.register(plan, out);
            }
            Phase::Bootstrapping => out.push(Effect::WriteBootstrap),
            Phase::Proxying => {
                let act = self.envoy.start();
                self.act(Role::Envoy, act, out);
                out.push(Effect::StartSync);
                self.record(out, timeline::Event::HealthSyncStarted, None);
                if let Some(seen) = self.facts.seen.clone() {
                    out.push(Effect::Sync(seen));
                }
            }
            Phase::Serving => {
                self.facts.ready_at = Some(at);
                self.record(out, timeline::Event::Ready, None);
                if self.facts.held {
                    out.push(Effect::ProbeApp);
                } else {
                    out.push(Effect::WatchOffer);
                }
                self.note_app_started(plan, out);
            }
            _ => {}
        }
    }

    pub(crate) fn observe_start(
        &mut self,
        plan: &Plan,
        at: Duration,
        event: Event,
        out: &mut Vec<Effect>,
    ) {
        match event {
            Event::TaskSeen(seen) => self.on_task_seen(plan, at, seen, out),
            Event::TaskUnreadable(why) => {
                self.facts.note_trouble(Source::TaskMetadata, Some(why), at);
                if self.syncing() {
                    out.push(Effect::SyncBlind);
                }
            }
            // A word of an agent that has died since is no fact any more.
            Event::AgentAnswers | Event::AgentJoined if !self.agent.is_up() => {}
            Event::AgentAnswers => {
                let first = self.phase < Phase::Registering;
                if !self.facts.agent_answers && first && self.facts.stop.is_none() {
                    self.record(out, timeline::Event::AgentReady, None);
                }
                if first && !self.facts.agent_answers && !self.facts.definition_is_settled(plan) {
                    self.arm(TimerId::Definition, at + DEFINITION_WAIT, out);
                }
                if !self.facts.agent_answers {
                    self.facts.agent_answers = true;
                    self.facts.agent_answered_at = at;
                }
                if !first && !self.facts.registered && self.facts.stop.is_none() {
                    self.register(plan, out);
                }
            }
            Event::AgentJoined => {
                self.facts.joined = true;
                if !self.facts.awaited.is_empty() && self.facts.stop.is_none() {
                    out.push(Effect::LogIn);
                }
            }
            Event::Registered => self.on_registered(out),
            Event::RegistrationLost(why)
                if self.facts.registered && self.facts.stop.is_none() && self.agent.is_up() =>
            {
                self.facts.registered = false;
                self.facts.repairing = Some(why);
                self.register(plan, out);
            }
            Event::RegistrationRefused(why) => self.on_refused(plan, at, why, out),
            Event::BootstrapWritten => {
                if !self.facts.bootstrap_written && self.facts.stop.is_none() {
                    self.record(out, timeline::Event::BootstrapWritten, None);
                }
                self.facts.bootstrap_written = true;
            }
            Event::EnvoyLive => self.facts.envoy_live = self.envoy.is_up(),
            Event::ListenerOpen if self.envoy.is_up() && !self.facts.listener_open => {
                self.facts.listener_open = true;
                if self.facts.registered && self.facts.stop.is_none() {
                    out.push(Effect::PassProxyCheck);
                }
                self.uncover(out);
                self.end_hold_if_over(plan, out);
            }
            Event::AppAccepts if self.facts.app_accepts_at.is_none() => {
                self.facts.app_accepts_at = Some(at);
                self.end_hold_if_over(plan, out);
                // Whether the app brings an ECS health check of its own is told by a read that is younger.
                if self.facts.held && self.facts.stop.is_none() {
                    out.push(Effect::ReadTaskNow);
                }
            }
            Event::DefinitionRead(_) | Event::DefinitionUnread { .. } => {
                self.on_definition(plan, at, event, out);
            }
            Event::Offered if !self.facts.offered && self.facts.stop.is_none() => {
                self.facts.offered = true;
                self.record(out, timeline::Event::Offered, None);
            }
            _ => {}
        }
    }

    /// Beside the wait for tokens: it joins without.
    fn start_agent(&mut self, out: &mut Vec<Effect>) {
        if !self.facts.awaited.contains(&Need::AgentStart) {
            let act = self.agent.start();
            self.act(Role::Agent, act, out);
        }
    }

    /// The first one releases what waits for it; another one goes to all who were given the old one.
    pub(crate) fn on_secret(&mut self, plan: &Plan, need: Need, out: &mut Vec<Effect>) {
        let first = self.facts.awaited.remove(&need);
        match need {
            Need::AgentStart if first && self.facts.stop.is_none() => {
                if self.phase == Phase::Enrolling {
                    self.start_agent(out);
                }
            }
            Need::AgentStart => {}
            Need::AgentToken => {
                if !first {
                    self.facts.replacing.insert(need);
                }
                // One that is not started yet finds it in its configuration.
                if self.agent.may_exist() {
                    out.push(Effect::ReplaceToken(need));
                }
            }
            // A stop writes with the new one by itself, and registers nothing any more.
            Need::ServiceToken if first || self.facts.stop.is_some() => {}
            Need::ServiceToken => {
                self.facts.replacing.insert(need);
                if self.facts.bootstrap_written {
                    out.push(Effect::ReplaceToken(need));
                }
                // What was registered with the old one is lost with it.
                if self.phase >= Phase::Registering && self.agent.is_up() {
                    self.register(plan, out);
                }
            }
        }
    }

    /// Health updates may be written.
    fn syncing(&self) -> bool {
        self.facts.stop.is_none() && (Phase::Proxying..=Phase::Serving).contains(&self.phase)
    }

    pub(crate) fn register(&mut self, plan: &Plan, out: &mut Vec<Effect>) {
        self.facts.synced = self.facts.wanted_sync(plan);
        let containers = self.facts.synced.clone();
        let (hold, covered) = (self.facts.held, self.facts.covered);
        out.push(Effect::Register { hold, covered, containers });
    }

    fn on_registered(&mut self, out: &mut Vec<Effect>) {
        let anew = !self.facts.registered;
        self.facts.registered = self.agent.is_up();
        if self.facts.stop.is_some() {
            // It landed in the agent all the same, so it has to be taken out again.
            self.facts.ever_registered = true;
            return;
        }
        if !self.facts.ever_registered {
            self.facts.ever_registered = true;
            self.record(out, timeline::Event::Registered, None);
        } else if anew {
            let why = self.facts.repairing.take();
            self.record(out, timeline::Event::RegistrationRepaired, why);
        }
        if self.facts.replacing.remove(&Need::ServiceToken) {
            self.record(out, timeline::Event::TokenReplaced, Some("service".to_owned()));
        }
        // A check that is new is critical, whatever its container is.
        if self.syncing()
            && let Some(seen) = self.facts.seen.clone()
        {
            out.push(Effect::Sync(seen));
        }
        // Also when only a check came along: a registration sweeps out the writes that wait behind it.
        if self.facts.listener_open {
            out.push(Effect::PassProxyCheck);
        }
    }

    /// A wrong registration can be mended only in the configuration, so waiting for the time to run out would hide the
    /// reason. But a task that was registered before is not stopped for it: its apps serve, and its peers know it.
    fn on_refused(&mut self, plan: &Plan, at: Duration, why: String, out: &mut Vec<Effect>) {
        self.facts.note_trouble(Source::Registration, Some(why.clone()), at);
        if self.facts.ever_registered || self.facts.stop.is_some() {
            return;
        }
        self.facts.could_not_start = true;
        self.facts.last_words = Some(why);
        self.notice_stop(plan, at, StopCause::StartFailed, out);
    }

    fn on_task_seen(
        &mut self,
        plan: &Plan,
        at: Duration,
        seen: Arc<TaskSeen>,
        out: &mut Vec<Effect>,
    ) {
        self.facts.task_was_running |= seen.task.known_status == Status::Running;
        let stopping = seen.task.is_stopping();
        self.facts.seen = Some(seen.clone());
        let misnamed = self.facts.misnamed_apps(plan);
        self.facts.note_trouble(Source::TaskMetadata, misnamed, at);
        if stopping {
            self.notice_stop(plan, at, StopCause::TaskStopped, out);
        }
        self.note_finished(plan, at, out);
        if self.facts.stop.is_some() {
            return;
        }
        self.correct_checks(plan, out);
        if self.syncing() {
            out.push(Effect::Sync(seen));
        }
        self.end_hold_if_over(plan, out);
        self.note_app_started(plan, out);
    }

    /// Records `app-started`, once, when the first app runs after T2.
    pub(crate) fn note_app_started(&mut self, plan: &Plan, out: &mut Vec<Effect>) {
        let f = &self.facts;
        if !f.app_started && f.ready_at.is_some() && f.stop.is_none() && f.any_app_runs(plan) {
            self.facts.app_started = true;
            self.record(out, timeline::Event::AppStarted, None);
        }
    }

    /// All apps ran and have ended: a batch task is done.
    pub(crate) fn note_finished(&mut self, plan: &Plan, at: Duration, out: &mut Vec<Effect>) {
        if self.facts.stop.is_none() && self.facts.apps_finished(plan) {
            self.notice_stop(plan, at, StopCause::AppsFinished, out);
        }
    }
}
