//! What must hold at every moment, asked of the world: the processes, the agent's state and what peers see.

use crate::mesh::NODE_FAILS;
use crate::script::ms;
use crate::shared::checks::CHECK_INTERVAL;
use crate::world::World;
use std::time::Duration;
use taskmesh::supervisor::{Effect, Inbound, Role};
use taskmesh::timeline::Event;

/// An instance whose Envoy is down is passing for no longer than this, the time left out in which the servers are away:
/// until the agent's TCP check runs, or, where the agent dies before it does, until its node fails.
const EXPOSED: u64 = CHECK_INTERVAL + NODE_FAILS + 1000;
/// Where the agent takes calls the cover ends it: the last of so many writes, after a registration that is on its way
/// and the check's that waits behind it.
const WRITES: u64 = 3;
/// A write that was tried in vain before rests so long.
const REST: u64 = 2000;
/// A registration that lands after the burst is taken back by one more, which is a call.
const SLACK: u64 = 50;
/// An open listener's check passes after so long, where the agent takes what is said to it: well before it runs by itself.
const PASSED: u64 = 5000;
/// The longest backoffs: Envoy's is the configuration's.
const AGENT_BACKOFF: Duration = Duration::from_secs(30);
/// Effects within [`STRETCH`].
const BUSY: usize = 400;
const STRETCH: Duration = Duration::from_secs(10);

/// One child's restarts, as seen from outside.
#[derive(Default)]
struct Restarts {
    started: Option<Duration>,
    /// Deaths of short lives in a row.
    streak: u32,
    /// Deaths that it came back from.
    survived: Vec<Duration>,
}

/// See the module's text.
#[derive(Default)]
pub(crate) struct Watch {
    judged: usize,
    agent: Restarts,
    envoy: Restarts,
    /// Since when peers are sent to an instance without an Envoy.
    exposed: Option<Duration>,
    /// When the agent was last seen to take no call, or to have no word with the servers.
    deaf: Option<Duration>,
    /// The burst has ended, and well.
    withdrawn: bool,
    passing_in_stop: Option<Duration>,
    /// Since when the check of an open listener could pass, and does not.
    unpassed: Option<Duration>,
    stop_noticed: Option<Duration>,
    confirmed: bool,
    peers_updated: Option<Duration>,
    cut: bool,
    stretch: usize,
}

impl Watch {
    /// Looks at what one instant has brought.
    pub(crate) fn look(&mut self, world: &World) {
        while let Some((at, effect)) = world.effects.get(self.judged) {
            self.judge(world, *at, effect);
            self.judged += 1;
            self.bounded(world, *at);
        }
        if world.ready {
            assert_eq!(missing(world), None, "/ready says 200");
        }
        self.hangs(world);
        self.exposure(world);
    }

    /// A child that is alive and does not answer is killed as soon as that is told.
    fn hangs(&self, world: &World) {
        let mesh = world.crew.mesh.as_ref().expect("a mesh");
        for role in [Role::Agent, Role::Envoy] {
            let hang = mesh.hang(role, world.now).filter(|_| self.stop_noticed.is_none());
            if let Some(told_by) = hang.and_then(|hang| hang.told_by) {
                let end = told_by + ms(world.crew.script.dies_on_kill.unwrap_or(0));
                assert!(world.now <= end, "{role:?} hangs, and lives: {hang:?}");
            }
        }
    }

    fn bounded(&mut self, world: &World, at: Duration) {
        while world.effects[self.stretch].0 + STRETCH < at {
            self.stretch += 1;
        }
        let effects = self.judged - self.stretch;
        assert!(effects <= BUSY, "{effects} effects within {STRETCH:?}: a busy loop");
    }

    fn judge(&mut self, world: &World, at: Duration, effect: &Effect) {
        match effect {
            Effect::StartChild(role) => {
                assert!(self.stop_noticed.is_none(), "{role:?} is started in a stop");
                self.restart(world, at, *role);
            }
            Effect::KillChild(role) if self.stop_noticed.is_none() => {
                let told = world.crew.unresponsive.last();
                assert_eq!(told, Some(&(at, *role)), "{role:?} is killed, and answers");
            }
            Effect::Record { event, cause } => self.record(world, at, *event, cause.as_deref()),
            Effect::TermChild(Role::Envoy) if !self.cut => {
                let busy = world.crew.wrapped_and_running();
                assert_eq!(busy, Vec::<&str>::new(), "Envoy ends before its apps");
            }
            _ => {}
        }
    }

    fn record(&mut self, world: &World, at: Duration, event: Event, cause: Option<&str>) {
        match event {
            Event::Ready => assert_eq!(missing(world), None, "ready is announced"),
            Event::StopNoticed => {
                self.stop_noticed = Some(at);
                if cause == Some("restart-budget") {
                    self.spent(world);
                }
            }
            Event::ChecksCritical => self.withdrawn = cause.is_none(),
            Event::PeersUpdated => {
                self.peers_updated = Some(at);
                // What is still on its way can bring us back for a moment.
                let settled = !world.crew.mesh.as_ref().expect("a mesh").calling;
                self.confirmed = settled && cause == Some("confirmed");
            }
            Event::AppsReleased if self.confirmed => {
                self.dwelled(world, at);
                let mesh = world.crew.mesh.as_ref().expect("a mesh");
                // An agent that has left before anybody could ask is taken at its word.
                let unasked = !mesh.agent_alive && mesh.left_unheard;
                assert!(
                    unasked || mesh.catalog != Some(true),
                    "apps end while peers are sent here"
                );
            }
            Event::Deadline => self.cut = true,
            _ => {}
        }
    }

    /// Peers' Envoys have had their time, unless there is nobody left to protect.
    fn dwelled(&self, world: &World, at: Duration) {
        let since = self.peers_updated.expect("a word on the peers");
        let busy = !world.crew.wrapped_and_running().is_empty();
        assert!(self.cut || !busy || at - since >= world.plan.dwell, "no dwell since {since:?}");
    }

    /// A restart keeps its distance, and Envoy's its budget.
    fn restart(&mut self, world: &World, at: Duration, role: Role) {
        let restart = &world.plan.restart;
        let (child, longest) = match role {
            Role::Agent => (&mut self.agent, AGENT_BACKOFF),
            Role::Envoy => (&mut self.envoy, restart.backoff.max),
        };
        let death = world.crew.deaths.iter().rev().find(|(_, r)| *r == role).map(|(at, _)| *at);
        if let (Some(started), Some(death)) = (child.started, death) {
            assert!(death >= started, "{role:?} is started twice");
            let up = started + ms(world.crew.script.spawn.unwrap_or(0));
            if death.saturating_sub(up) >= restart.window / 10 {
                child.streak = 0;
            }
            let whole = restart.backoff.min.saturating_mul(1 << child.streak.min(20)).min(longest);
            let pause = at - death;
            assert!(pause >= whole / 2, "{role:?} comes back after {pause:?}: {}", child.streak);
            // tokio's timers end at whole milliseconds.
            assert!(pause <= whole + ms(1), "{role:?} comes back only after {pause:?}");
            child.streak += 1;
            child.survived.push(death);
            if role == Role::Envoy && world.plan.on_budget_spent == SPENT_STOPS {
                let within = |d: &&Duration| death - **d < restart.window;
                let count = child.survived.iter().filter(within).count();
                assert!(count <= restart.budget as usize, "{count} restarts within the window");
            }
        }
        child.started = Some(at);
    }

    /// It gave Envoy up: that was more than the budget, and not the agent's doing.
    fn spent(&self, world: &World) {
        let restart = &world.plan.restart;
        assert_eq!(world.plan.on_budget_spent, SPENT_STOPS);
        let (last, role) = *world.crew.deaths.last().expect("a death");
        assert_eq!(role, Role::Envoy, "the agent is never given up");
        let count = self.envoy.survived.iter().filter(|d| last - **d < restart.window).count();
        assert!(count >= restart.budget as usize, "given up after {count} restarts");
    }

    fn exposure(&mut self, world: &World) {
        let (now, mesh) = (world.now, world.crew.mesh.as_ref().expect("a mesh"));
        if !mesh.takes(now) || !mesh.agent_joined || mesh.hinders(now) {
            self.deaf = Some(now);
        } else if let Some(deaf) = &mut self.deaf {
            // Silence ends between two looks.
            *deaf = (*deaf).max(mesh.kept_back(now));
        }
        let offered = mesh.catalog == Some(true);
        let serves = mesh.envoy_listens && mesh.hang(Role::Envoy, now).is_none();
        let takes_requests = world.plan.inbound != Inbound::None;
        let wrong = offered && takes_requests && !serves && !mesh.servers_away(now);
        self.exposed = wrong.then(|| self.exposed.unwrap_or(now));
        if let Some(since) = self.exposed {
            // Nobody can know of one that hangs before it is killed, and `hangs` sees to that.
            let since = since.max(mesh.hung_before(Role::Envoy, now));
            let heard = self.deaf.map_or(since, |deaf| since.max(deaf + ms(REST)));
            // A stop has its burst instead, where that works.
            let told = self.stop_noticed.is_none() || self.withdrawn;
            let end = since + ms(EXPOSED);
            let end = if told { end.min(heard + ms(WRITES * mesh.call + SLACK)) } else { end };
            assert!(now <= end, "offered without an Envoy since {since:?}, deaf {:?}", self.deaf);
        }
        let local = mesh.local.as_ref();
        let checks = &world.plan.own_checks;
        let told_by_native = checks.native && !world.plan.native_start_passing;
        if offered && takes_requests && !told_by_native {
            let told_by_checks = local.is_some_and(|local| !local.ttl.is_empty());
            let known = local.is_some() && !mesh.servers_away(now) && mesh.agent_joined;
            assert!(!known || told_by_checks || world.crew.accepted, "offered before its app");
        }
        let could = local.is_some_and(|local| !local.proxy_check) && mesh.envoy_listens;
        let late = could && mesh.takes(now) && !mesh.hinders(now) && self.stop_noticed.is_none();
        self.unpassed = late.then(|| self.unpassed.unwrap_or(now));
        if let Some(since) = self.unpassed {
            assert!(now - since <= ms(PASSED), "not passing since {since:?}, with a listener");
        }
        // What is on its way may land, and is taken back then.
        let settled = !mesh.calling && !mesh.burst_fails(now);
        let passes = settled && self.withdrawn && local.is_some_and(|local| local.passes());
        self.passing_in_stop = passes.then(|| self.passing_in_stop.unwrap_or(now));
        if let Some(since) = self.passing_in_stop {
            assert!(now - since <= ms(mesh.call + SLACK), "passing in the stop since {since:?}");
        }
    }
}

const SPENT_STOPS: taskmesh::config::OnBudgetSpent = taskmesh::config::OnBudgetSpent::Stop;

/// What a task that is ready must have, and this one has not.
pub(crate) fn missing(world: &World) -> Option<&'static str> {
    let mesh = world.crew.mesh.as_ref().expect("a mesh");
    [
        (mesh.agent_alive, "an agent"),
        (mesh.agent_answers, "an agent that answers"),
        (mesh.agent_joined, "an agent that has joined"),
        // One that somebody took out is noticed at the watchdog's next look.
        (mesh.local.is_some() || mesh.loss_untold, "a registration"),
        (world.crew.proc(Role::Envoy).alive, "an Envoy"),
        (mesh.envoy_listens, "an open listener"),
    ]
    .into_iter()
    .find_map(|(there, what)| (!there).then_some(what))
}
