//! Actors and an ECS task as the machine sees them: each effect is answered after a known time, or never.
//!
//! It knows no clock and no queue: whoever drives it (`world` on a virtual clock, `paused` on tokio's) keeps [`Due`]s
//! and delivers them when their time has come.

use super::fault::Fault;
use super::mesh::{Job, Mesh};
use super::script::{Change, Script, ms};
use std::sync::Arc;
use std::time::Duration;
use taskmesh::admin::{Gate, Request};
use taskmesh::ecs::{Container, Health, HealthStatus, Status, Task};
use taskmesh::process::{ChildExit, Signal};
use taskmesh::supervisor::{Effect, Ending, Event, Role, Source, TaskSeen};

pub(crate) const ARN: &str =
    "arn:aws:ecs:eu-west-1:123456789012:task/mesh/158d1c8083dd49d6b527399fd6414f5c";
/// Between two reads of the metadata once a stop is noticed.
const CLOSE: u64 = 100;

/// What happens at its time.
#[derive(Debug, Clone)]
pub(crate) enum What {
    /// A fact of `life`, if that child still lives then.
    Fact(Event, Option<(Role, u32)>),
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Process {
    Waits,
    Runs,
    Ended,
}

#[derive(Debug, Clone)]
pub(crate) struct AppState {
    pub(crate) process: Process,
    /// It got its TERM from ECS; a wrapper keeps it until the release.
    told: bool,
    pub(crate) ending: bool,
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Proc {
    pub(crate) life: u32,
    pub(crate) alive: bool,
    /// It is to die so often, so long after each of its starts.
    pub(crate) doomed: (u32, u64),
    /// Until then it cannot be spawned.
    pub(crate) no_spawn_until: Duration,
}

/// See the module's text.
#[derive(Debug, Clone)]
pub(crate) struct Crew {
    pub(crate) script: Script,
    /// Answers by what is there, and not by the script.
    pub(crate) mesh: Option<Mesh>,
    pub(crate) apps: Vec<AppState>,
    agent: Proc,
    envoy: Proc,
    pub(crate) desired_stopped: bool,
    closely: bool,
    poll: u32,
    pub(crate) gate: Gate,
    /// When the last write of the registration that is on its way comes back.
    writing_until: Duration,
    /// The app's port is being tried.
    probing: bool,
    /// The metadata does not answer, or slowly.
    pub(crate) metadata_away_until: Duration,
    pub(crate) metadata_slow: (Duration, u64),
    /// Every death of a child and every spawn that failed.
    pub(crate) deaths: Vec<(Duration, Role)>,
    /// The app's port has accepted.
    pub(crate) accepted: bool,
}

impl Crew {
    pub(crate) fn new(script: Script) -> Self {
        let app = AppState { process: Process::Waits, told: false, ending: false };
        Self {
            apps: vec![app; script.apps.len()],
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
            metadata_away_until: Duration::ZERO,
            metadata_slow: (Duration::ZERO, 0),
            deaths: Vec::new(),
            accepted: false,
        }
    }

    /// What happens without anybody asking.
    pub(crate) fn begin(&self) -> Vec<Due> {
        let mut out = Vec::new();
        for (i, app) in self.script.apps.iter().enumerate() {
            if app.wrapped {
                let attached = Request::AppAttached { container: app.name.to_owned(), pid: 7 };
                out.push(fact(ms(10), Event::Admin(attached)));
            } else if !app.waits_for_ready {
                out.push(Due { at: ms(app.starts), what: What::AppBegins(i) });
            }
        }
        out
    }

    pub(crate) fn proc(&self, role: Role) -> Proc {
        match role {
            Role::Agent => self.agent,
            Role::Envoy => self.envoy,
        }
    }

    pub(crate) fn proc_mut(&mut self, role: Role) -> &mut Proc {
        match role {
            Role::Agent => &mut self.agent,
            Role::Envoy => &mut self.envoy,
        }
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
            time.map(|t| fact(now + ms(t), event)).into_iter().collect::<Vec<_>>()
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
                    Role::Agent => s.agent_leaves,
                    Role::Envoy => s.envoy_exits,
                };
                self.end(now, *role, time, ChildExit::Code(0))
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
                self.probe(now)
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
                    out.push(fact(at, Event::Quiet(Source::Registration)));
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

    /// The app's port accepts a while after its process began.
    fn probe(&mut self, now: Duration) -> Vec<Due> {
        let first = self.apps.first().map(|app| app.process);
        if !self.probing || first == Some(Process::Waits) {
            return Vec::new();
        }
        self.probing = false;
        let accepts = self.script.app_accepts.filter(|_| first.is_some());
        accepts.map(|t| fact(now + ms(t), Event::AppAccepts)).into_iter().collect()
    }

    fn start(&mut self, now: Duration, role: Role) -> Vec<Due> {
        let s = &self.script;
        let Some(spawn) = s.spawn.map(ms) else { return Vec::new() };
        let no_spawn = (now < self.proc(role).no_spawn_until).then_some((role, false));
        if let Some((failing, fatal)) = s.spawn_fails.or(no_spawn)
            && failing == role
        {
            let exit = Ending::SpawnFailed { why: format!("{}: no such file", role.name()), fatal };
            return vec![fact(now + spawn, Event::ChildExited { role, exit, said: Vec::new() })];
        }
        let times = match role {
            Role::Agent => [(s.answers, Event::AgentAnswers), (s.joins, Event::AgentJoined)],
            Role::Envoy => [(s.live, Event::EnvoyLive), (s.listens, Event::ListenerOpen)],
        };
        let proc = self.proc_mut(role);
        proc.life += 1;
        proc.alive = true;
        let life = Some((role, proc.life));
        let pid = 100 * (1 + role as i32) + i32::try_from(proc.life).unwrap();
        let (left, after) = &mut proc.doomed;
        let dies = (*left > 0).then_some(*after);
        *left = left.saturating_sub(1);
        // Scripted worlds may have the news of a start after that of the end; a process that lives is told of first.
        let born = Event::ChildStarted { role, pid };
        let born_of = life.filter(|_| self.mesh.is_some());
        let mut out = vec![Due { at: now + spawn, what: What::Fact(born, born_of) }];
        if let Some(mesh) = &mut self.mesh
            && role == Role::Agent
        {
            out.extend(mesh.agent_starts(now));
        }
        out.extend(self.end(now + spawn, role, dies, ChildExit::Code(1)));
        for (time, event) in times {
            if let Some(time) = time {
                out.push(Due { at: now + spawn + ms(time), what: What::Fact(event, life) });
            }
        }
        out
    }

    fn end(&mut self, now: Duration, role: Role, time: Option<u64>, exit: ChildExit) -> Vec<Due> {
        let life = self.proc(role).life;
        time.map(|t| Due { at: now + ms(t), what: What::Ends(role, life, exit) })
            .into_iter()
            .collect()
    }

    /// Its time has come: what the machine gets to know of it, and what follows.
    pub(crate) fn deliver(&mut self, now: Duration, what: What) -> (Option<Event>, Vec<Due>) {
        let (event, more) = self.happen(now, what);
        match &event {
            Some(Event::ChildExited { role, .. }) => self.deaths.push((now, *role)),
            Some(Event::AppAccepts) => self.accepted = true,
            _ => {}
        }
        (event, more)
    }

    pub(crate) fn happen(&mut self, now: Duration, what: What) -> (Option<Event>, Vec<Due>) {
        match what {
            What::Fact(event, life) => {
                let lives = life.is_none_or(|(role, life)| {
                    self.proc(role).alive && self.proc(role).life == life
                });
                let (mut so, mut more) = (lives, Vec::new());
                if let (true, Some(mesh), Some((_, life))) = (lives, &mut self.mesh, life) {
                    (so, more) = mesh.note(now, &event, life);
                }
                (so.then_some(event), more)
            }
            What::Ends(role, life, exit) => {
                let proc = self.proc_mut(role);
                if !proc.alive || proc.life != life {
                    return (None, Vec::new());
                }
                proc.alive = false;
                let left = exit.success();
                let more = self.mesh.as_mut().map(|mesh| mesh.child_ends(now, role, left));
                let said = vec!["the last line".to_owned()];
                let event = Event::ChildExited { role, exit: Ending::Exit(exit), said };
                (Some(event), more.unwrap_or_default())
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
            What::Ask(_) | What::Read(..) => (None, Vec::new()),
            What::AppBegins(i) => self.app_begins(now, i),
            What::AppEnds(i, code) => self.app_ends(i, code),
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

    fn read_takes(&self, now: Duration) -> Duration {
        let (until, slow) = self.metadata_slow;
        let slow = if now < until { slow } else { 0 };
        ms(self.script.metadata.unwrap_or(1) + slow)
    }

    fn app_begins(&mut self, now: Duration, i: usize) -> (Option<Event>, Vec<Due>) {
        if self.apps[i].process != Process::Waits || self.desired_stopped {
            return (None, Vec::new());
        }
        self.apps[i].process = Process::Runs;
        let app = &self.script.apps[i];
        let started = Request::AppStarted { container: app.name.to_owned() };
        let mut more = if self.gate.release { self.tell(now, i) } else { Vec::new() };
        more.extend(self.probe(now));
        (self.script.apps[i].wrapped.then_some(Event::Admin(started)), more)
    }

    pub(crate) fn app_ends(&mut self, i: usize, code: i32) -> (Option<Event>, Vec<Due>) {
        let app = &mut self.apps[i];
        if app.process == Process::Ended {
            return (None, Vec::new());
        }
        let ran = app.process == Process::Runs;
        app.process = Process::Ended;
        let container = self.script.apps[i].name.to_owned();
        let event = match (self.script.apps[i].wrapped, ran) {
            (false, _) => None,
            (true, true) => Some(Event::Admin(Request::AppExited { container, code })),
            (true, false) => Some(Event::Admin(Request::AppDetached { container })),
        };
        (event, Vec::new())
    }

    /// Apps that Envoy must stay for.
    pub(crate) fn wrapped_and_running(&self) -> Vec<&'static str> {
        let apps = self.script.apps.iter().zip(&self.apps);
        let runs = apps.filter(|(app, s)| app.wrapped && s.process == Process::Runs);
        runs.map(|(app, _)| app.name).collect()
    }

    /// TERM to an app's own process.
    fn tell(&mut self, now: Duration, i: usize) -> Vec<Due> {
        let app = &mut self.apps[i];
        if app.ending || app.process == Process::Ended {
            return Vec::new();
        }
        app.ending = true;
        let time = if app.process == Process::Runs { self.script.apps[i].ends } else { Some(1) };
        time.map(|t| Due { at: now + ms(t), what: What::AppEnds(i, 0) }).into_iter().collect()
    }

    fn ecs_stops(&mut self, now: Duration) -> Vec<Due> {
        self.desired_stopped = true;
        let mut out = Vec::new();
        for i in 0..self.apps.len() {
            self.apps[i].told = true;
            let app = self.script.apps[i].clone();
            let runs = self.apps[i].process == Process::Runs;
            if self.apps[i].process != Process::Ended && app.wrapped {
                let container = app.name.to_owned();
                out.push(fact(now + ms(1), Event::Admin(Request::AppTerm { container })));
            }
            if !app.wrapped || !runs || self.gate.release {
                out.extend(self.tell(now, i));
            }
        }
        out
    }

    /// What the wrappers, and ECS by our health check, do about what is published.
    pub(crate) fn gate(&mut self, now: Duration, gate: &Gate) -> Vec<Due> {
        let old = std::mem::replace(&mut self.gate, gate.clone());
        let mut out = Vec::new();
        for i in 0..self.apps.len() {
            let app = self.script.apps[i].clone();
            if gate.start && !old.start && app.waits_for_ready {
                out.push(Due { at: now + ms(app.starts), what: What::AppBegins(i) });
            }
            let waits = self.apps[i].process == Process::Waits && !gate.start;
            let released = gate.release && !old.release && app.wrapped;
            if released && (gate.term || self.apps[i].told || waits) {
                out.extend(self.tell(now, i));
            }
        }
        out
    }

    fn seen(&self, asked_at: Duration) -> TaskSeen {
        let desired = if self.desired_stopped { Status::Stopped } else { Status::Running };
        let mut task = Task {
            task_arn: ARN.to_owned(),
            family: "web".to_owned(),
            desired_status: desired,
            known_status: Status::Running,
            containers: vec![container("taskmesh", desired, Status::Running)],
            ..Task::default()
        };
        for (app, state) in self.script.apps.iter().zip(&self.apps) {
            let known = match state.process {
                Process::Waits if !app.wrapped => Status::Created,
                Process::Waits | Process::Runs => Status::Running,
                Process::Ended if app.restarts && !self.desired_stopped => Status::Running,
                Process::Ended => Status::Stopped,
            };
            if known == Status::Created {
                task.known_status = Status::Created;
            }
            let mut c = container(app.name, desired, known);
            c.restart_count = app.restarts.then_some(0);
            c.health = app
                .health
                .then(|| Health { status: Some(HealthStatus::Healthy), ..Health::default() });
            task.containers.push(c);
        }
        TaskSeen { task, own_name: "taskmesh".to_owned(), asked_at }
    }
}

fn container(name: &str, desired: Status, known: Status) -> Container {
    Container {
        name: name.to_owned(),
        desired_status: desired,
        known_status: known,
        ..Container::default()
    }
}

fn fact(at: Duration, event: Event) -> Due {
    Due { at, what: What::Fact(event, None) }
}

pub(crate) fn killed() -> ChildExit {
    ChildExit::Signal { signal: Signal::SIGKILL as i32, core: false }
}
