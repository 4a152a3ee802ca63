//! The machine against its [`Crew`] on a virtual clock. Scenarios are written as what happens from outside, and read
//! as the timeline that comes of it.

use super::agenda::Agenda;
use super::crew::{Crew, Due, What};
use super::script::{App, Change, Script, ms};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;
use taskmesh::admin::{Request, Status};
use taskmesh::config::{Sources, load};
use taskmesh::supervisor::{Effect, Event, Inbound, Machine, Phase, Plan, Role, step};

/// A scenario that is not over by then hangs.
const PATIENCE: u64 = 600_000;

/// A plan with the defaults of a configuration, its TTL checks taken from the containers.
pub(crate) fn plan(inbound: Inbound) -> Plan {
    let text = r#"{"service": {"port": 9090}, "consul": {"retryJoin": ["10.0.0.10"]}}"#;
    let env = BTreeMap::from([("TASKMESH_CONFIG_JSON".to_owned(), text.to_owned())]);
    let config = load(&Sources::default(), &env).unwrap().config;
    Plan { inbound, ..Plan::new(&config, 1) }
}

/// See [`World::on_instant`].
pub(crate) type Look = fn(&Plan, &Machine, Duration, &[Event]);

/// See the module's text.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) crew: Crew,
    pub(crate) machine: Machine,
    pub(crate) now: Duration,
    queue: Agenda<What>,
    /// As tokio has it: a timer ends at a whole millisecond, and goes before whatever else is due then.
    pub(crate) like_tokio: bool,
    timers: Agenda<Event>,
    /// What was recorded, and what was done (these begin with `>`).
    story: Vec<(u64, String)>,
    pub(crate) effects: Vec<(Duration, Effect)>,
    pub(crate) exit: Option<(Duration, u8)>,
    /// When our own TERM was first taken up.
    pub(crate) own_term: Option<Duration>,
    /// What `/ready` says.
    pub(crate) ready: bool,
    /// Called with the machine before and the events of one instant.
    pub(crate) on_instant: Option<Look>,
}

impl World {
    /// A world in which an http service's task with one unwrapped app starts.
    pub(crate) fn new() -> Self {
        Self::of(plan(Inbound::Http), Script::default())
    }

    pub(crate) fn of(plan: Plan, script: Script) -> Self {
        let mut world = Self {
            machine: Machine::new(&plan),
            plan,
            crew: Crew::new(script),
            now: Duration::ZERO,
            queue: Agenda::default(),
            like_tokio: false,
            timers: Agenda::default(),
            story: Vec::new(),
            effects: Vec::new(),
            exit: None,
            own_term: None,
            ready: false,
            on_instant: None,
        };
        world.put(Duration::ZERO, What::Fact(Event::Started, None));
        for due in world.crew.begin() {
            world.put(due.at, due.what);
        }
        world
    }

    /// The same with other apps.
    pub(crate) fn with_apps(apps: impl IntoIterator<Item = App>) -> Self {
        let apps = apps.into_iter().collect();
        Self::of(plan(Inbound::Http), Script { apps, ..Script::default() })
    }

    pub(crate) fn put(&mut self, at: Duration, what: What) {
        self.queue.put(at, what);
    }

    /// Something from outside, at so many ms.
    pub(crate) fn at(mut self, at: u64, what: What) -> Self {
        self.put(ms(at), what);
        self
    }

    pub(crate) fn event(self, at: u64, event: Event) -> Self {
        self.at(at, What::Fact(event, None))
    }

    /// ECS stops the task: apps and we get TERM together.
    pub(crate) fn ecs_stops(self, at: u64) -> Self {
        self.at(at, What::EcsStops).event(at, Event::Term)
    }

    pub(crate) fn api_stops(self, at: u64) -> Self {
        self.event(at, Event::Admin(Request::Stop))
    }

    pub(crate) fn change(self, at: u64, change: Change) -> Self {
        self.at(at, What::Change(change))
    }

    /// Runs up to and with `until` ms.
    pub(crate) fn until(mut self, until: u64) -> Self {
        self.run(ms(until));
        self
    }

    /// Runs to the exit.
    pub(crate) fn finish(mut self) -> Self {
        self.run(ms(PATIENCE));
        assert!(self.exit.is_some(), "no exit; stuck in {:?}", self.machine.phase());
        self
    }

    pub(crate) fn run(&mut self, until: Duration) {
        while self.advance(until) {}
        if self.exit.is_none() {
            self.now = self.now.max(until);
        }
    }

    /// Goes on by one instant, or like tokio by one event, unless nothing is due by `until`, or it is all over.
    pub(crate) fn advance(&mut self, until: Duration) -> bool {
        let timer = self.timers.next().filter(|at| self.queue.next().is_none_or(|due| *at <= due));
        let first = timer.or(self.queue.next()).filter(|at| *at <= until);
        let Some(now) = first.filter(|_| self.exit.is_none()) else { return false };
        // Behind a clock that has leapt ahead everything is late.
        self.now = self.now.max(now);
        if timer.is_some() {
            let timer = self.timers.pop().expect("a timer");
            self.take(timer);
        } else if self.like_tokio {
            let due = self.queue.pop().expect("something is due");
            self.one_by_one(VecDeque::from([due]));
        } else {
            let due = self.queue.pop_instant();
            self.instant(due);
        }
        true
    }

    /// Everything that is due now.
    fn instant(&mut self, due: VecDeque<What>) {
        if self.crew.mesh.is_some() {
            return self.one_by_one(due);
        }
        let mut events = Vec::new();
        for what in due {
            let (event, more) = self.crew.deliver(self.now, what);
            self.schedule(more);
            events.extend(event);
        }
        if let Some(look) = self.on_instant
            && events.len() > 1
        {
            look(&self.plan, &self.machine, self.now, &events);
        }
        for event in events {
            self.take(event);
        }
    }

    /// The same where what peers see is of interest after each of them.
    fn one_by_one(&mut self, due: VecDeque<What>) {
        for what in due {
            let (event, more) = self.crew.deliver(self.now, what);
            self.schedule(more);
            let more = self.crew.settle(self.now);
            self.schedule(more);
            if let Some(event) = event.filter(|_| self.exit.is_none()) {
                self.take(event);
            }
        }
    }

    fn schedule(&mut self, dues: Vec<Due>) {
        for due in dues {
            self.put(due.at, due.what);
        }
    }

    /// One step, and whatever it asks for.
    pub(crate) fn take(&mut self, event: Event) {
        if matches!(event, Event::Term) {
            self.own_term.get_or_insert(self.now);
        }
        let before = self.machine.phase();
        let machine = std::mem::replace(&mut self.machine, Machine::new(&self.plan));
        let (machine, effects) = step(&self.plan, machine, self.now, event);
        self.machine = machine;
        assert!(self.machine.phase() >= before, "{before:?} -> {:?}", self.machine.phase());
        for effect in effects {
            assert!(self.exit.is_none(), "{effect:?} after the exit");
            if let Some(words) = words(&effect) {
                self.story.push((u64::try_from(self.now.as_millis()).unwrap(), words));
            }
            match &effect {
                Effect::Exit(code) => self.exit = Some((self.now, *code)),
                Effect::Arm { id, at, generation } => {
                    let timer = Event::Timer { id: *id, generation: *generation };
                    let at = (*at).max(self.now);
                    if self.like_tokio {
                        self.timers.put(ms(at.as_nanos().div_ceil(1_000_000) as u64), timer);
                    } else {
                        self.put(at, What::Fact(timer, None));
                    }
                }
                effect => {
                    let dues = self.crew.perform(self.now, effect);
                    self.schedule(dues);
                }
            }
            self.effects.push((self.now, effect));
        }
        let status = self.status();
        self.ready = status.ready;
        let dues = self.crew.gate(self.now, &status.gate);
        self.schedule(dues);
        let dues = self.crew.settle(self.now);
        self.schedule(dues);
    }

    pub(crate) fn status(&self) -> Status {
        self.machine.status(&self.plan, "web-158d", self.now)
    }

    pub(crate) fn phase(&self) -> Phase {
        self.machine.phase()
    }

    /// What was recorded and done.
    pub(crate) fn story(&self) -> Vec<(u64, &str)> {
        self.story.iter().map(|(at, words)| (*at, words.as_str())).collect()
    }

    /// What was recorded.
    pub(crate) fn timeline(&self) -> Vec<(u64, &str)> {
        let mut story = self.story();
        story.retain(|(_, words)| !words.starts_with('>'));
        story
    }

    /// What was recorded from `stop-noticed` on, in ms since then, and the exit.
    pub(crate) fn stop(&self) -> Vec<(u64, &str)> {
        since_stop(self.timeline(), self.story())
    }

    /// The same with what was done.
    pub(crate) fn stop_story(&self) -> Vec<(u64, &str)> {
        since_stop(self.story(), Vec::new())
    }

    pub(crate) fn code(&self) -> u8 {
        self.exit.expect("an exit").1
    }

    /// When `words` were first recorded or done.
    pub(crate) fn when(&self, words: &str) -> Option<u64> {
        self.story.iter().find(|(_, w)| w == words).map(|(at, _)| *at)
    }

    pub(crate) fn count(&self, words: &str) -> usize {
        self.story.iter().filter(|(_, w)| w == words).count()
    }
}

/// What is to come, and what was.
impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#?}\n{:?}\n{:?}\n", self.plan, self.crew, self.queue)?;
        self.story().iter().try_for_each(|(at, words)| writeln!(f, "{at} {words}"))
    }
}

fn since_stop<'a>(
    mut story: Vec<(u64, &'a str)>,
    whole: Vec<(u64, &'a str)>,
) -> Vec<(u64, &'a str)> {
    story.extend(whole.into_iter().filter(|(_, words)| words.starts_with("> exit")));
    let first = story.iter().position(|(_, words)| words.starts_with("stop-noticed"));
    let first = first.expect("a stop");
    let from = story[first].0;
    story[first..].iter().map(|(at, words)| (at - from, *words)).collect()
}

/// An effect in the story; `None` for what would only be noise there.
fn words(effect: &Effect) -> Option<String> {
    let child = |verb: &str, role: &Role| format!("> {verb} {}", role.name());
    Some(match effect {
        Effect::Record { event, cause: None } => event.name().to_owned(),
        Effect::Record { event, cause: Some(cause) } => format!("{}: {cause}", event.name()),
        Effect::WatchTask => "> watch task".to_owned(),
        Effect::ReadTaskNow => "> read task".to_owned(),
        Effect::Identify(_) => "> identify".to_owned(),
        Effect::ReadDefinition(_) => "> read definition".to_owned(),
        Effect::StartChild(role) => child("start", role),
        Effect::TermChild(role) => child("term", role),
        Effect::KillChild(role) => child("kill", role),
        Effect::Register { hold, covered, containers } => {
            let held = if *hold { " held" } else { "" };
            let covered = if *covered { " covered" } else { "" };
            format!("> register{held}{covered} [{}]", containers.join(" "))
        }
        Effect::LogIn => "> log in".to_owned(),
        Effect::LogOut => "> log out".to_owned(),
        Effect::ReadSecretsNow => "> read secrets".to_owned(),
        Effect::ReplaceToken(need) => format!("> replace {need:?}"),
        Effect::Warn(_) => "> warn".to_owned(),
        Effect::ProbeApp => "> probe app".to_owned(),
        Effect::PassProxyCheck => "> pass proxy check".to_owned(),
        Effect::EndHold => "> end hold".to_owned(),
        Effect::Cover => "> cover".to_owned(),
        Effect::Uncover => "> uncover".to_owned(),
        Effect::WatchOffer => "> watch offer".to_owned(),
        Effect::WriteBootstrap => "> write bootstrap".to_owned(),
        Effect::StartSync => "> start sync".to_owned(),
        Effect::StopSync => "> stop sync".to_owned(),
        Effect::Withdraw => "> withdraw".to_owned(),
        Effect::AskPeers => "> ask peers".to_owned(),
        Effect::DrainInbound => "> drain".to_owned(),
        Effect::Deregister => "> deregister".to_owned(),
        Effect::Exit(code) => format!("> exit {code}"),
        Effect::Sync(_) | Effect::SyncBlind | Effect::Arm { .. } => return None,
    })
}
