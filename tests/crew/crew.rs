//! Actors and an ECS task as the machine sees them: each effect is answered after a known time, or never.
//!
//! It knows no clock and no queue: whoever drives it (`world` on a virtual clock, `paused` on tokio's) keeps [`Due`]s
//! and delivers them when their time has come.

use super::children::{Proc, killed};
use super::fault::Fault;
use super::mesh::{Job, Mesh};
use super::script::{Change, Script, ms};
use super::task::AppState;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use taskmesh::admin::{Gate, Request};
use taskmesh::process::ChildExit;
use taskmesh::supervisor::{Effect, Ending, Event, Role, Source};

/// Between two reads of the metadata once a stop is noticed.
const CLOSE: u64 = 100;

/// What happens at its time.
#[derive(Debug, Clone)]
pub(crate) enum What {
    /// A fact of `life`, if that child still lives then.
    Fact(Event, Option<(Role, u32)>),
    /// The app's port may have opened or closed.
    Port,
    /// Time to look again: something is over.
    Look,
    /// A child that has hung since then was silent for too long.
    Silent(Role, Duration),
    /// A child ends, unless it already has.
    Ends(Role, u32, ChildExit),
    /// The metadata is asked, and answers.
    Ask(u32),
    Read(u32, Duration),
    /// A container's process begins, ends.
    AppBegins(usize),
    AppEnds(usize, i32),
    /// A container is started again.
    AppReturns(usize),
    /// A wrapper opens its stream again.
    Attaches(usize),
    /// ECS stops the task: every app gets TERM. Ours comes as an event of its own, before or after.
    EcsStops,
    /// A child dies by itself.
    Crash(Role),
    /// The script is another from now on.
    Change(Change),
    /// Something goes wrong that is not over at once.
    Fault(Fault),
    /// Something in the mesh comes to pass.
    Mesh(Job),
}

/// Something to come.
#[derive(Debug, Clone)]
pub(crate) struct Due {
    pub(crate) at: Duration,
    pub(crate) what: What,
}

impl Due {
    pub(crate) fn fact(at: Duration, event: Event) -> Self {
        Self { at, what: What::Fact(event, None) }
    }
}

/// See the module's text.
#[derive(Debug, Clone)]
pub(crate) struct Crew {
    pub(crate) script: Script,
    /// Answers by what is there, and not by the script.
    pub(crate) mesh: Option<Mesh>,
    pub(crate) apps: Vec<AppState>,
    pub(super) agent: Proc,
    pub(super) envoy: Proc,
    pub(crate) desired_stopped: bool,
    closely: bool,
    poll: u32,
    pub(crate) gate: Gate,
    /// When the last write of the registration that is on its way comes back.
    writing_until: Duration,
    /// The app's port is being tried.
    pub(super) probing: bool,
    /// Since when, or from when on, the first app's process accepts; and until when its port is closed all the same.
    pub(super) accepts: Option<Duration>,
    pub(super) port_closed_until: Duration,
    /// The metadata does not answer, or slowly.
    pub(crate) metadata_away_until: Duration,
    pub(crate) metadata_slow: (Duration, u64),
    /// Every death of a child and every spawn that failed.
    pub(crate) deaths: Vec<(Duration, Role)>,
    pub(super) happened: BTreeSet<&'static str>,
    /// Every time that a child was said to be alive and silent.
    pub(crate) unresponsive: Vec<(Duration, Role)>,
    /// The app's port has accepted.
    pub(crate) accepted: bool,
}

impl Crew {
    pub(crate) fn new(script: Script) -> Self {
        Self {
            apps: vec![AppState::default(); script.apps.len()],
            script,
            mesh: None,
            agent: Proc::default(),
            envoy: Proc::default(),
            desired_stopped: false,
            closely: false,
            poll: 0,
            gate: Gate::default(),
            writing_until: Duration::ZERO,
            probing: false,
            accepts: None,
            port_closed_until: Duration::ZERO,
            metadata_away_until: Duration::ZERO,
            metadata_slow: (Duration::ZERO, 0),
            deaths: Vec::new(),
            happened: BTreeSet::new(),
            unresponsive: Vec::new(),
            accepted: false,
        }
    }

    /// What happens without anybody asking.
    pub(crate) fn begin(&self) -> Vec<Due> {
        let mut out = Vec::new();
        for (i, app) in self.script.apps.iter().enumerate() {
            if app.wrapped {
                let attached = Request::AppAttached { container: app.name.to_owned(), pid: 7 };
                out.push(Due::fact(ms(10), Event::Admin(attached)));
            } else if !app.waits_for_ready {
                out.push(Due { at: ms(app.starts), what: What::AppBegins(i) });
            }
        }
        out
    }

    /// Begins what an effect asks for.
    pub(crate) fn perform(&mut self, now: Duration, effect: &Effect) -> Vec<Due> {
        if let Some(mesh) = &mut self.mesh
            && let Some(dues) = mesh.perform(now, effect)
        {
            return dues;
        }
        let s = &self.script;
        let after = |time: Option<u64>, event: Event| {
            time.map(|t| Due::fact(now + ms(t), event)).into_iter().collect::<Vec<_>>()
        };
        match effect {
            Effect::WatchTask | Effect::ReadTaskNow => self.ask(now),
            Effect::ReadDefinition(_) => match &s.definition {
                Some((t, event)) => after(Some(*t), event.clone()),
                None => Vec::new(),
            },
            Effect::StartChild(role) => self.start(now, *role),
            Effect::TermChild(role) => {
                let time = match role {
                    Role::Agent if now < self.agent.born_at + ms(s.deaf) => None,
                    Role::Agent => s.agent_leaves,
                    Role::Envoy => s.envoy_exits,
                };
                // One that hangs hears of it when it goes on.
                let from = self.hang(*role, now).map_or(now, |hang| hang.until);
                self.end(from, *role, time, ChildExit::Code(0))
            }
            Effect::KillChild(role) => self.end(now, *role, s.dies_on_kill, killed()),
            Effect::Register { .. } => {
                // Tried until it works, at an agent that lives.
                let life = (Role::Agent, self.agent.life);
                let due = s.registers.map(|t| Due {
                    at: now + ms(t),
                    what: What::Fact(Event::Registered, Some(life)),
                });
                self.writing_until = due.as_ref().map_or(self.writing_until, |d| d.at);
                due.into_iter().collect()
            }
            Effect::ProbeApp if self.mesh.is_some() => {
                self.probing = true;
                vec![Due { at: now, what: What::Port }]
            }
            Effect::ProbeApp => after(s.app_accepts, Event::AppAccepts),
            Effect::WatchOffer => after(s.offers, Event::Offered),
            Effect::WriteBootstrap => after(s.bootstraps, Event::BootstrapWritten),
            Effect::StopSync => {
                self.closely = true;
                let quiet = self.script.quiet;
                if let Some(mesh) = &mut self.mesh {
                    let mut out = mesh.hush(now, quiet.unwrap_or(1));
                    out.extend(self.ask(now));
                    return out;
                }
                let mut out = after(quiet, Event::Quiet(Source::HealthSync));
                // What is on its way is waited for.
                if let Some(quiet) = quiet {
                    let at = (now + ms(quiet)).max(self.writing_until + ms(1));
                    out.push(Due::fact(at, Event::Quiet(Source::Registration)));
                }
                out.extend(self.ask(now));
                out
            }
            Effect::Withdraw => {
                let result = s.withdraw_error.map_or(Ok(()), |e| Err(e.to_owned()));
                after(s.withdraws, Event::Withdrawn(result))
            }
            Effect::AskPeers => match &s.peers {
                Some((t, view)) => after(Some(*t), Event::Peers(view.clone())),
                None => Vec::new(),
            },
            Effect::DrainInbound => after(s.drains, Event::InboundDrained),
            Effect::Deregister => after(s.deregisters, Event::Deregistered(Ok(()))),
            _ => Vec::new(),
        }
    }

    fn ask(&mut self, now: Duration) -> Vec<Due> {
        self.poll += 1;
        vec![Due { at: now, what: What::Ask(self.poll) }]
    }

    /// Its time has come: what the machine gets to know of it, and what follows.
    pub(crate) fn deliver(&mut self, now: Duration, what: What) -> (Option<Event>, Vec<Due>) {
        let (event, more) = self.happen(now, what);
        match &event {
            Some(Event::ChildExited { role, .. }) => self.deaths.push((now, *role)),
            Some(Event::AppAccepts) => self.accepted = true,
            Some(Event::AgentAnswers) => self.agent.answered = true,
            Some(Event::EnvoyLive) => self.envoy.answered = true,
            Some(Event::Unresponsive { role, pid, .. }) if *pid == self.proc(*role).pid(*role) => {
                self.unresponsive.push((now, *role));
            }
            _ => {}
        }
        (event, more)
    }

    pub(crate) fn happen(&mut self, now: Duration, what: What) -> (Option<Event>, Vec<Due>) {
        match what {
            What::Fact(event, life) => {
                // Its pid is known before it says anything.
                let says = life.filter(|_| !matches!(event, Event::ChildStarted { .. }));
                if let Some(hang) = says.and_then(|(role, _)| self.hang(role, now)) {
                    return (None, vec![Due { at: hang.until, what: What::Fact(event, life) }]);
                }
                let lives = life.is_none_or(|(role, life)| {
                    self.proc(role).alive && self.proc(role).life == life
                });
                let (mut so, mut more) = (lives, Vec::new());
                if let (true, Some(mesh), Some((_, life))) = (lives, &mut self.mesh, life) {
                    (so, more) = mesh.note(now, &event, life);
                }
                (so.then_some(event), more)
            }
            What::Port => self.port_may_change(now),
            What::Silent(role, since) => (self.silent(now, role, since), Vec::new()),
            What::Ends(role, life, exit) => {
                let proc = self.proc_mut(role);
                if !proc.alive || proc.life != life {
                    return (None, Vec::new());
                }
                proc.alive = false;
                let late = self.last_word(now, role);
                let left = exit.success();
                let more = self.mesh.as_mut().map(|mesh| mesh.child_ends(now, role, left));
                let said = vec!["the last line".to_owned()];
                let event = Event::ChildExited { role, exit: Ending::Exit(exit), said };
                (Some(event), more.into_iter().flatten().chain(late).collect())
            }
            What::Crash(role) => {
                let life = self.proc(role).life;
                self.happen(now, What::Ends(role, life, ChildExit::Code(1)))
            }
            What::Ask(poll) if poll == self.poll => {
                let at = now + self.read_takes(now);
                (None, vec![Due { at, what: What::Read(poll, now) }])
            }
            What::Read(poll, asked_at) if poll == self.poll => {
                let pause = if self.closely { CLOSE } else { self.script.interval };
                let next = Due { at: now + ms(pause), what: What::Ask(poll) };
                let away = now < self.metadata_away_until;
                let event = if self.script.metadata.is_some() && !away {
                    Event::TaskSeen(Arc::new(self.seen(asked_at)))
                } else {
                    Event::TaskUnreadable("metadata: connection refused".to_owned())
                };
                (Some(event), vec![next])
            }
            // A newer read is under way.
            What::Ask(_) | What::Read(..) | What::Look => (None, Vec::new()),
            What::AppBegins(i) => self.app_begins(now, i),
            What::AppEnds(i, code) => self.app_ends(now, i, code),
            What::AppReturns(i) => self.app_returns(now, i),
            What::Attaches(i) => self.attaches(now, i),
            What::EcsStops => (None, self.ecs_stops(now)),
            What::Change(change) => {
                change(&mut self.script);
                (None, Vec::new())
            }
            What::Fault(fault) => self.fault(now, fault),
            What::Mesh(job) => match &mut self.mesh {
                Some(mesh) => mesh.deliver(now, job),
                None => (None, Vec::new()),
            },
        }
    }

    /// What follows at once from what is now.
    pub(crate) fn settle(&mut self, now: Duration) -> Vec<Due> {
        self.mesh.as_mut().map(|mesh| mesh.settle(now)).unwrap_or_default()
    }
}
