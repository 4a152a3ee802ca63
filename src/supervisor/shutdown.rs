//! The stop, T0 to T4.

use super::child::{Role, State};
use super::effect::Effect;
use super::ending::Ending;
use super::event::{Event, PeersView, Source, TimerId};
use super::facts::PeersEnd;
use super::fsm::Machine;
use super::phase::Phase;
use super::plan::{DEREGISTER_LIMIT, ENVOY_EXIT_GRACE, HUSH_LIMIT, Inbound, Plan, WITHDRAW_LIMIT};
use crate::config::LeaveOrder;
use crate::timeline;
use std::time::Duration;

/// Who must be quiet before the burst: what they have on its way could make the instance passing after it.
pub(super) const QUIETABLE: [Source; 2] = [Source::HealthSync, Source::Registration];

impl Machine {
    pub(crate) fn next_in_stop(&self, plan: &Plan) -> Option<Phase> {
        let f = &self.facts;
        if f.abandoned && self.phase < Phase::Exited {
            return Some(Phase::Exited);
        }
        let skip = f.nobody_to_protect(plan);
        let over = match self.phase {
            Phase::Hushing => f.quiet.len() == QUIETABLE.len(),
            Phase::Withdrawing => f.withdrawn,
            Phase::Propagating => skip || f.peers.is_some(),
            Phase::Dwelling => skip || f.dwelled,
            // Only the app can end a tcp connection, so for tcp the drain goes on beside the next phase, and after
            // the apps ended Envoy still has their last bytes to deliver.
            Phase::Draining => skip || plan.inbound != Inbound::Http || self.drain_is_over(),
            Phase::AwaitingApps => {
                let tcp_flushed = plan.inbound != Inbound::Tcp || self.drain_is_over();
                f.cut || (self.awaited_apps(plan).is_empty() && tcp_flushed)
            }
            Phase::EndingEnvoy => !self.envoy.may_exist(),
            Phase::Deregistering => f.deregistered,
            Phase::Leaving => !self.agent.may_exist() && !self.envoy.may_exist(),
            _ => false,
        };
        if !over {
            return None;
        }
        Some(match self.phase {
            Phase::Hushing => Phase::Withdrawing,
            Phase::Withdrawing => Phase::Propagating,
            Phase::Propagating => Phase::Dwelling,
            Phase::Dwelling => Phase::Draining,
            Phase::Draining => Phase::AwaitingApps,
            Phase::AwaitingApps => Phase::EndingEnvoy,
            Phase::EndingEnvoy => Phase::Deregistering,
            Phase::Deregistering => Phase::Leaving,
            _ => Phase::Exited,
        })
    }

    /// The apps that Envoy stays for. One that was never started is of use to nobody: then only wrappers are waited
    /// for, which must hear that their app is not to start.
    pub(super) fn awaited_apps(&self, plan: &Plan) -> Vec<String> {
        let mut apps = self.facts.running_apps(plan);
        if *self.envoy.state() == State::Idle {
            apps.retain(|app| self.facts.wrapped.contains_key(app));
        }
        apps
    }

    /// Nothing is in flight, or waiting for it is over, or nothing was ever drained.
    fn drain_is_over(&self) -> bool {
        self.facts.drained || !self.facts.draining || !self.envoy.is_up()
    }

    pub(crate) fn enter_in_stop(&mut self, plan: &Plan, at: Duration, out: &mut Vec<Effect>) {
        match self.phase {
            Phase::Hushing => {
                out.push(Effect::StopSync);
                self.arm(TimerId::Hush, at + HUSH_LIMIT, out);
            }
            Phase::Withdrawing => self.enter_withdrawing(plan, at, out),
            Phase::Propagating => self.enter_propagating(plan, at, out),
            Phase::Dwelling => self.enter_dwelling(plan, at, out),
            Phase::Draining => {
                let inbound = plan.inbound != Inbound::None;
                if inbound && self.envoy.is_up() && !self.facts.nobody_to_protect(plan) {
                    self.facts.draining = true;
                    out.push(Effect::DrainInbound);
                    self.arm(TimerId::Drain, at + plan.drain_timeout, out);
                }
            }
            Phase::AwaitingApps if !self.facts.wrapped.is_empty() => {
                self.record(out, timeline::Event::AppsReleased, None);
            }
            Phase::EndingEnvoy => {
                if self.facts.ready_at.is_some() && self.facts.running_apps(plan).is_empty() {
                    let left = self.facts.apps_left_running(plan);
                    self.record(out, timeline::Event::AppsStopped, left);
                }
                let act = self.envoy.stop();
                self.act_at(Role::Envoy, act, at, out);
                if self.envoy.may_exist() {
                    self.arm(TimerId::EnvoyExit, at + ENVOY_EXIT_GRACE, out);
                }
            }
            Phase::Deregistering => {
                if self.facts.ever_registered && self.agent.is_up() {
                    out.push(Effect::Deregister);
                    self.arm(TimerId::Deregister, at + DEREGISTER_LIMIT, out);
                } else {
                    self.facts.deregistered = true;
                }
            }
            Phase::Leaving => {
                // A leave takes seconds, in which the agent still answers.
                if plan.logs_in {
                    out.push(Effect::LogOut);
                }
                let act = self.agent.stop();
                self.act_at(Role::Agent, act, at, out);
            }
            Phase::Exited => {
                if !self.facts.abandoned {
                    self.record(out, timeline::Event::AllExited, None);
                }
                out.push(Effect::Exit(self.exit_code(plan)));
            }
            _ => {}
        }
    }

    fn enter_withdrawing(&mut self, plan: &Plan, at: Duration, out: &mut Vec<Effect>) {
        self.record(out, timeline::Event::SyncStopped, None);
        if self.facts.ever_registered && self.agent.is_up() {
            out.push(Effect::Withdraw);
            self.arm(TimerId::Withdraw, at + WITHDRAW_LIMIT, out);
        } else {
            self.facts.withdrawn = true;
        }
        if plan.leave == LeaveOrder::First {
            // After the burst was sent: the seed has the leave begin at T0, and a leaving agent still takes the
            // burst.
            let act = self.agent.stop();
            if self.agent.may_exist() {
                self.record(out, timeline::Event::AgentLeaveBegun, None);
            }
            self.act_at(Role::Agent, act, at, out);
        }
    }

    fn enter_propagating(&mut self, plan: &Plan, at: Duration, out: &mut Vec<Effect>) {
        self.facts.withdrawn_at = at;
        if self.facts.nobody_to_protect(plan) {
            return;
        }
        if self.agent.may_exist() {
            out.push(Effect::AskPeers);
            self.arm(TimerId::Peers, at + plan.propagation_timeout, out);
        } else {
            self.end_propagation(peers_without_agent(self.agent.last_exit()), out);
        }
    }

    fn enter_dwelling(&mut self, plan: &Plan, at: Duration, out: &mut Vec<Effect>) {
        let f = &self.facts;
        let dwell = match f.peers {
            Some(PeersEnd::Confirmed) => plan.dwell,
            // By our own record nobody was ever sent here.
            Some(PeersEnd::NeverOffered) if !f.exposed => Duration::ZERO,
            _ => plan.dwell_unacked,
        };
        let until = (at + dwell).max(f.withdrawn_at + plan.min_delay);
        if !f.nobody_to_protect(plan) {
            self.arm(TimerId::Dwell, until, out);
        }
    }

    pub(super) fn end_propagation(&mut self, end: PeersEnd, out: &mut Vec<Effect>) {
        // The phase can be over without an answer (the apps ended): then neither an answer nor the timer counts.
        if self.phase == Phase::Propagating && self.facts.peers.is_none() {
            self.facts.peers = Some(end);
            self.record(out, timeline::Event::PeersUpdated, Some(end.name().to_owned()));
        }
    }

    pub(super) fn end_withdrawal(&mut self, trouble: Option<String>, out: &mut Vec<Effect>) {
        if self.phase == Phase::Withdrawing && !self.facts.withdrawn {
            self.facts.withdrawn = true;
            self.record(out, timeline::Event::ChecksCritical, trouble);
        }
    }

    pub(super) fn end_drain(&mut self, cause: Option<&str>, out: &mut Vec<Effect>) {
        if !self.facts.drained && self.phase >= Phase::Draining && self.phase < Phase::EndingEnvoy {
            self.facts.drained = true;
            self.record(out, timeline::Event::InboundDrained, cause.map(str::to_owned));
        }
    }

    pub(crate) fn observe_stop(&mut self, event: Event, out: &mut Vec<Effect>) {
        if self.facts.stop.is_none() {
            return;
        }
        match event {
            Event::Quiet(source) if QUIETABLE.contains(&source) => {
                self.facts.quiet.insert(source);
                // Not waited for any longer, and it came back only now: it may have undone the burst, for registering
                // and the end of a hold or a cover all end maintenance. A leaving agent still takes another.
                let late = (Phase::Withdrawing..Phase::Deregistering).contains(&self.phase);
                if source == Source::Registration && late && self.agent.may_exist() {
                    out.push(Effect::Withdraw);
                }
            }
            Event::Withdrawn(result) => self.end_withdrawal(result.err(), out),
            Event::Peers(view) => {
                match view {
                    PeersView::Confirmed => self.end_propagation(PeersEnd::Confirmed, out),
                    PeersView::NeverShown => self.end_propagation(PeersEnd::NeverOffered, out),
                    PeersView::Unreachable(_) => {}
                }
                self.facts.peers_last = Some(view);
            }
            Event::InboundDrained => self.end_drain(None, out),
            Event::Deregistered(_) => {
                self.facts.deregistered |= self.phase == Phase::Deregistering;
            }
            _ => {}
        }
    }

    pub(crate) fn on_child_ended_in_stop(
        &mut self,
        role: Role,
        exit: &Ending,
        out: &mut Vec<Effect>,
    ) {
        let cause = (!exit.is_success()).then(|| exit.to_string());
        let event = match role {
            Role::Envoy => timeline::Event::EnvoyExited,
            Role::Agent => timeline::Event::AgentLeft,
        };
        if !matches!(exit, Ending::SpawnFailed { .. }) {
            self.record(out, event, cause);
        }
        if role == Role::Agent {
            // What needed the agent cannot be done any more.
            self.facts.withdrawn = true;
            self.facts.deregistered = true;
            let end = match self.facts.peers_last {
                // It left servers that it could not reach: nobody has taken its node out.
                Some(PeersView::Unreachable(_)) => PeersEnd::ServersUnreachable,
                _ => peers_without_agent(Some(exit)),
            };
            self.end_propagation(end, out);
        }
    }
}

/// What peers know when there is no agent to ask through. One that left in order took the node out of the catalog with
/// it.
fn peers_without_agent(last_exit: Option<&Ending>) -> PeersEnd {
    if last_exit.is_some_and(Ending::is_success) {
        PeersEnd::Confirmed
    } else {
        PeersEnd::ServersUnreachable
    }
}
