//! The machine: `step` takes one event and gives the next state and what is to be done. No clock, no I/O.
//!
//! Events only update [`Facts`]; [`Machine::next`] decides from the facts whether the phase ends; effects come from
//! entering a phase, from a child's own machine, or from a repair. So the order in which simultaneous events arrive
//! does not matter, and SIGTERM during startup is one more fact.

use super::child::{Act, Child, Role, Verdict};
use super::effect::Effect;
use super::ending::Ending;
use super::event::{Event, Need, Source, TimerId};
use super::facts::{App, Facts, Stop, StopCause};
use super::phase::Phase;
use super::plan::{AGENT_BACKOFF_MAX, AGENT_SETTLES, Plan, TERM_AGAIN};
use crate::admin::Request;
use crate::config::OnBudgetSpent;
use crate::exit;
use crate::timeline;
use std::collections::BTreeMap;
use std::time::Duration;

/// The supervisor's whole state.
#[derive(Debug, Clone)]
pub struct Machine {
    pub(crate) phase: Phase,
    pub(crate) facts: Facts,
    pub(crate) agent: Child,
    pub(crate) envoy: Child,
    generations: BTreeMap<TimerId, u32>,
}

impl Machine {
    /// Before [`Event::Started`].
    pub fn new(plan: &Plan) -> Self {
        Self {
            phase: Phase::Reading,
            facts: Facts { awaited: plan.awaits.clone(), ..Facts::default() },
            agent: Child::new(Role::Agent, plan.seed),
            envoy: Child::new(Role::Envoy, plan.seed.rotate_left(17)),
            generations: BTreeMap::new(),
        }
    }

    /// Where it is.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// What it knows.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// One child.
    pub fn child(&self, role: Role) -> &Child {
        match role {
            Role::Agent => &self.agent,
            Role::Envoy => &self.envoy,
        }
    }

    pub(crate) fn child_mut(&mut self, role: Role) -> &mut Child {
        match role {
            Role::Agent => &mut self.agent,
            Role::Envoy => &mut self.envoy,
        }
    }

    /// What the exit code would be now. Precedence 3, 4, 1, 0.
    pub fn exit_code(&self, plan: &Plan) -> u8 {
        let f = &self.facts;
        // A batch task whose apps ended well is not a failure because Envoy was slow to go.
        let forgiven =
            f.stop.is_some_and(|s| s.cause == StopCause::AppsFinished) && !plan.strict_exit;
        if f.gave_up {
            exit::GAVE_UP
        } else if (f.overran || f.killed_child) && !forgiven {
            exit::KILLED_SOMETHING
        } else if f.could_not_start {
            exit::COULD_NOT_START
        } else {
            exit::OK
        }
    }
}

/// One step. `at` is the time since exec at which `event` was taken up; it never decreases.
pub fn step(plan: &Plan, mut m: Machine, at: Duration, event: Event) -> (Machine, Vec<Effect>) {
    let mut out = Vec::new();
    if m.phase == Phase::Exited {
        return (m, out);
    }
    m.observe(plan, at, event, &mut out);
    while let Some(next) = m.next(plan) {
        debug_assert!(next > m.phase, "{:?} -> {next:?}", m.phase);
        m.phase = next;
        m.enter(plan, at, &mut out);
    }
    m.note_latches(at);
    m.facts.note_exposure();
    (m, out)
}

impl Machine {
    /// Decides from the facts whether this phase is over, and what comes next. Strictly forward.
    fn next(&self, plan: &Plan) -> Option<Phase> {
        if !self.phase.stopping() && self.facts.stop.is_some() {
            return Some(Phase::Hushing);
        }
        if self.phase.stopping() { self.next_in_stop(plan) } else { self.next_in_start(plan) }
    }

    fn enter(&mut self, plan: &Plan, at: Duration, out: &mut Vec<Effect>) {
        if self.phase.stopping() {
            self.enter_in_stop(plan, at, out);
        } else {
            self.enter_in_start(plan, at, out);
        }
    }

    fn observe(&mut self, plan: &Plan, at: Duration, event: Event, out: &mut Vec<Effect>) {
        match event {
            Event::Started => self.on_started(plan, out),
            Event::Term => self.on_term(plan, at, out),
            Event::Admin(request) => self.on_admin(plan, at, request, out),
            Event::ChildStarted { role, pid } => self.on_child_started(role, pid, at, out),
            Event::ChildExited { role, exit, said } => {
                self.on_child_exited(plan, role, exit, &said, at, out);
            }
            Event::Unresponsive { role, pid, silent } => {
                let seconds = silent.as_secs_f64().round();
                let why = format!("it was alive, but had not answered for {seconds} s");
                self.on_useless(role, pid, &why, out);
            }
            Event::ListenerMissed { pid } => {
                let why = "another process had its public listener's port, and has let go of it";
                self.on_useless(Role::Envoy, pid, why, out);
            }
            Event::SecretRead(need) => self.on_secret(plan, need, out),
            Event::AgentTokenReplaced => {
                if self.facts.replacing.remove(&Need::AgentToken) {
                    self.record(out, timeline::Event::TokenReplaced, Some("agent".to_owned()));
                }
            }
            Event::Hangup => out.push(Effect::ReadSecretsNow),
            Event::Trouble { source, why } => self.facts.note_trouble(source, why, at),
            Event::ActorDown { actor, why } => {
                self.facts.gave_up = true;
                self.facts.last_words = Some(format!("actor {actor} failed: {why}"));
                self.notice_stop(plan, at, StopCause::ActorFailed, out);
            }
            Event::Timer { id, generation } => {
                if self.generations.get(&id) == Some(&generation) {
                    self.on_timer(plan, at, id, out);
                }
            }
            Event::Quiet(_)
            | Event::Withdrawn(_)
            | Event::Peers(_)
            | Event::InboundDrained
            | Event::Deregistered(_) => self.observe_stop(event, out),
            _ => self.observe_start(plan, at, event, out),
        }
    }

    /// Writes a stop down. Only the first one counts as the cause; that ECS stops the task counts also after another.
    pub(crate) fn notice_stop(
        &mut self,
        plan: &Plan,
        at: Duration,
        cause: StopCause,
        out: &mut Vec<Effect>,
    ) {
        self.facts.ecs_stops |= !cause.is_our_own();
        if self.facts.stop.is_some() {
            return;
        }
        self.facts.stop = Some(Stop { cause, at });
        self.record(out, timeline::Event::StopNoticed, Some(cause.name().to_owned()));
        self.limit_stop(plan, at, at + plan.total_stop, out);
        if cause.is_our_own() {
            self.limit_stop(plan, at, at + self.facts.stop_timeout(plan), out);
        }
    }

    fn on_term(&mut self, plan: &Plan, at: Duration, out: &mut Vec<Effect>) {
        if self.facts.own_term.is_some() {
            if !self.facts.cut {
                self.facts.cut = true;
                self.record(out, timeline::Event::Deadline, Some("second-term".to_owned()));
            }
            return;
        }
        self.facts.own_term = Some(at);
        self.notice_stop(plan, at, StopCause::Term, out);
        self.limit_stop(plan, at, at + self.facts.stop_timeout(plan), out);
    }

    fn on_admin(&mut self, plan: &Plan, at: Duration, request: Request, out: &mut Vec<Effect>) {
        match request {
            Request::Stop => self.notice_stop(plan, at, StopCause::Api, out),
            Request::AppTerm { .. } => self.notice_stop(plan, at, StopCause::AppTerm, out),
            Request::AppAttached { container, .. } => {
                // A wrapper that comes back after its stream broke goes on where it was.
                let app = match self.facts.wrapped.get(&container) {
                    Some(App::Lost { started: true } | App::Started) => App::Started,
                    _ => App::Attached,
                };
                self.facts.wrapped.insert(container, app);
            }
            Request::AppStarted { container } => {
                self.facts.wrapped.insert(container, App::Started);
                self.note_app_started(plan, out);
            }
            Request::AppDetached { container } => {
                if let Some(app) = self.facts.wrapped.get_mut(&container)
                    && !matches!(app, App::Exited(_))
                {
                    *app = App::Lost { started: matches!(app, App::Started) };
                }
            }
            Request::AppExited { container, code } => {
                self.facts.wrapped.insert(container, App::Exited(code));
                self.note_finished(plan, at, out);
            }
        }
    }

    fn on_child_started(&mut self, role: Role, pid: i32, at: Duration, out: &mut Vec<Effect>) {
        let child = self.child_mut(role);
        let again = child.restarts() > 0;
        let was_up = child.is_up();
        let act = child.started(pid, at);
        let up = child.is_up() && !was_up;
        if up && again {
            self.record(out, timeline::Event::ChildRestarted, Some(role.name().to_owned()));
        } else if up && role == Role::Envoy {
            self.record(out, timeline::Event::EnvoyStarted, None);
        }
        self.act_at(role, act, at, out);
    }

    fn on_child_exited(
        &mut self,
        plan: &Plan,
        role: Role,
        exit: Ending,
        said: &[String],
        at: Duration,
        out: &mut Vec<Effect>,
    ) {
        if !self.child(role).may_exist() {
            // Told twice. It must not count as another death, nor be written down again.
            return;
        }
        let exit = self.child_mut(role).explain(exit);
        let words = format!("{}: {exit}", role.name());
        match role {
            Role::Agent => {
                self.facts.agent_answers = false;
                self.facts.joined = false;
                // It knew of servers; the next one has to find out anew.
                self.facts.note_trouble(Source::ConsulServers, None, at);
                self.facts.registered = false;
            }
            Role::Envoy => {
                self.cover(out);
                self.facts.envoy_live = false;
                self.facts.listener_open = false;
            }
        }
        if self.facts.stop.is_some() {
            // Nothing is started again in a stop.
            self.child_mut(role).stop();
        }
        let budget = (role == Role::Envoy && plan.on_budget_spent == OnBudgetSpent::Stop)
            .then_some(plan.restart.budget);
        let longest = match role {
            Role::Agent => AGENT_BACKOFF_MAX,
            Role::Envoy => plan.restart.backoff.max,
        };
        let served = match role {
            Role::Agent => Phase::Registering,
            Role::Envoy => Phase::Serving,
        };
        let (proven, bounds) = (self.phase >= served, (budget, longest));
        let (verdict, act) =
            self.child_mut(role).exited(at, exit.clone(), &plan.restart, bounds, proven);
        match verdict {
            Verdict::Stopped => self.on_child_ended_in_stop(role, &exit, out),
            Verdict::Restarting => {
                if role == Role::Agent && self.facts.ever_registered {
                    self.facts.repairing = Some("agent restarted".to_owned());
                }
                // Until its next life says more.
                let source = match role {
                    Role::Agent => Source::ConsulAgent,
                    Role::Envoy => Source::Envoy,
                };
                let why = match exit.telling(said) {
                    Some(line) => format!("{exit}; it last printed: {line}"),
                    None => exit.to_string(),
                };
                self.facts.note_trouble(source, Some(why), at);
                self.record(out, timeline::Event::ChildExited, Some(words));
            }
            Verdict::BudgetSpent => {
                self.record(out, timeline::Event::ChildExited, Some(words));
                self.facts.gave_up = true;
                self.facts.last_words = Some(self.child(role).obituary(&plan.restart, said));
                self.notice_stop(plan, at, StopCause::RestartBudget, out);
            }
            Verdict::CannotStart => {
                self.record(out, timeline::Event::ChildExited, Some(words));
                self.facts.could_not_start = true;
                self.facts.last_words = Some(exit.to_string());
                self.notice_stop(plan, at, StopCause::StartFailed, out);
            }
        }
        self.act(role, act, out);
    }

    /// A stop has limits of its own, and ends such a child in its turn.
    fn on_useless(&mut self, role: Role, pid: i32, why: &str, out: &mut Vec<Effect>) {
        if self.facts.stop.is_some() {
            return;
        }
        let act = self.child_mut(role).condemn(pid, format!("killed by us: {why}"));
        self.act(role, act, out);
    }

    fn on_timer(&mut self, plan: &Plan, at: Duration, id: TimerId, out: &mut Vec<Effect>) {
        match id {
            TimerId::Start => {
                if self.facts.ready_at.is_none() && self.facts.stop.is_none() {
                    self.facts.could_not_start = true;
                    self.notice_stop(plan, at, StopCause::StartTimeout, out);
                }
            }
            TimerId::Definition => self.facts.definition_waited = true,
            TimerId::Restart(role) => {
                let act =
                    if self.facts.stop.is_none() { self.child_mut(role).start() } else { None };
                self.act(role, act, out);
            }
            _ => self.on_stop_timer(plan, id, out),
        }
    }

    /// Turns what a child's own machine wants into effects.
    pub(crate) fn act(&mut self, role: Role, act: Option<Act>, out: &mut Vec<Effect>) {
        match act {
            None => {}
            Some(Act::Start) => out.push(Effect::StartChild(role)),
            Some(Act::Term) => out.push(Effect::TermChild(role)),
            Some(Act::Kill) => out.push(Effect::KillChild(role)),
            Some(Act::StartAt(at)) => self.arm(TimerId::Restart(role), at, out),
        }
    }

    /// The same for what may be a first TERM: an agent that may not hear it gets another one.
    pub(crate) fn act_at(
        &mut self,
        role: Role,
        act: Option<Act>,
        at: Duration,
        out: &mut Vec<Effect>,
    ) {
        let f = &self.facts;
        let settled = f.agent_answers && at >= f.agent_answered_at + AGENT_SETTLES;
        if (role, act) == (Role::Agent, Some(Act::Term)) && !settled {
            self.arm(TimerId::TermAgain, at + TERM_AGAIN, out);
        }
        self.act(role, act, out);
    }

    /// Arms a timer; what was armed under the same ID is stale from now on.
    pub(crate) fn arm(&mut self, id: TimerId, at: Duration, out: &mut Vec<Effect>) {
        let generation = self.generations.entry(id).or_default();
        *generation += 1;
        out.push(Effect::Arm { id, at, generation: *generation });
    }

    pub(crate) fn record(
        &self,
        out: &mut Vec<Effect>,
        event: timeline::Event,
        cause: Option<String>,
    ) {
        out.push(Effect::Record { event, cause });
    }

    /// Keeps, for each held latch, since when it is held.
    fn note_latches(&mut self, at: Duration) {
        let held: Vec<_> = self.facts.held_latches().collect();
        self.facts.latches.retain(|latch, _| held.contains(latch));
        for latch in held {
            self.facts.latches.entry(latch).or_insert(at);
        }
    }
}
