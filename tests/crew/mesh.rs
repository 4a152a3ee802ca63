//! What stands at the agent and at the servers, and what peers see of it.
//!
//! A [`Crew`](super::crew::Crew) that has one answers by it instead of by its script: a write works when there is an
//! agent to take it, is tried again when there is none, and peers see what came of it. So what must hold can be asked
//! of the world, and not of the machine's own facts.
//!
//! | part | how it is here |
//! |---|---|
//! | the writes of `registration` | one queue, each tried until it worked; the hush waits for the one on its way |
//! | health sync | written at once where the agent takes it; refreshed for 5 min, then critical |
//! | the proxy's check | TCP, critical at first, runs at a random moment of its 10 s |
//! | the catalog | follows an agent that has joined; a dead one's node fails after 3 to 10 s; frozen while servers are away |

use super::crew::{Due, What};
use super::dice::Dice;
use super::script::ms;
use super::writes::Write;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use taskmesh::ecs::{HealthStatus, Task};
use taskmesh::supervisor::{Effect, Event, PeersView, Role, Source};

/// Of the proxy's TCP check.
pub(crate) const CHECK_INTERVAL: u64 = 10_000;
/// Until the servers see that a node is gone, at the most.
pub(crate) const NODE_FAILS: u64 = 10_000;
/// As `healthSync.staleAfter`.
const STALE_AFTER: u64 = 300_000;
/// From one look of the watchdog to the next.
const LOOK: u64 = 3000;

/// What comes to pass here at its time.
#[derive(Debug, Clone)]
pub(crate) enum Job {
    /// The call on its way, of this number, comes back.
    WriteEnds(u64),
    /// The proxy's check runs.
    Probe(u64),
    Withdraw,
    AskPeers,
    Deregister,
    /// The servers miss a node.
    NodeFails,
    ServersBack,
    /// The watchdog looks.
    Look,
}

/// Service and proxy as the agent has them.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    pub(crate) maintenance: bool,
    pub(crate) proxy_check: bool,
    /// Containers with a TTL check: it passes.
    pub(crate) ttl: BTreeMap<String, bool>,
}

impl Instance {
    pub(crate) fn passes(&self) -> bool {
        !self.maintenance && self.proxy_check && self.ttl.values().all(|passes| *passes)
    }
}

/// See the module's text.
#[derive(Debug, Clone)]
pub(crate) struct Mesh {
    pub(super) dice: Dice,
    /// Writes need the servers' word until the agent has joined once (ACLs are on).
    pub(crate) acl: bool,
    /// The servers' health answers do not show us (a token without read rights).
    pub(crate) filtered: bool,
    /// How long one call takes.
    pub(crate) call: u64,

    pub(crate) agent_alive: bool,
    pub(crate) agent_answers: bool,
    pub(crate) agent_joined: bool,
    /// It left in order while the servers were away, so that they do not know.
    pub(crate) left_unheard: bool,
    /// The agent was joined with these data.
    pub(super) knew_servers: bool,
    /// Its data go with its next death.
    pub(crate) loses_data: bool,
    pub(crate) silent_until: Duration,
    pub(crate) away_until: Duration,
    pub(crate) envoy_listens: bool,

    pub(crate) local: Option<Instance>,
    /// What was registered, for the watchdog.
    pub(super) intent: bool,
    /// The agent lost it, and nobody has told so far.
    pub(crate) loss_untold: bool,
    /// In the servers' catalog: passing or not.
    pub(crate) catalog: Option<bool>,
    shown: bool,

    pub(super) queue: VecDeque<Write>,
    pub(super) writing: Option<Write>,
    pub(super) calling: bool,
    pub(super) number: u64,
    pub(super) probe: u64,
    pub(super) hushed: bool,
    watching: bool,
    started: bool,
    seen: Option<(BTreeMap<String, bool>, Duration)>,
    wants_to_join: Option<u32>,
}

impl Mesh {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            dice: Dice(seed),
            acl: false,
            filtered: false,
            call: 5,
            agent_alive: false,
            agent_answers: false,
            agent_joined: false,
            left_unheard: false,
            knew_servers: false,
            loses_data: false,
            silent_until: Duration::ZERO,
            away_until: Duration::ZERO,
            envoy_listens: false,
            local: None,
            intent: false,
            loss_untold: false,
            catalog: None,
            shown: false,
            queue: VecDeque::new(),
            writing: None,
            calling: false,
            number: 0,
            probe: 0,
            hushed: false,
            watching: false,
            started: false,
            seen: None,
            wants_to_join: None,
        }
    }

    pub(super) fn job(&mut self, now: Duration, low: u64, high: u64, job: Job) -> Due {
        Due { at: now + ms(self.dice.within(low, high)), what: What::Mesh(job) }
    }

    pub(crate) fn servers_away(&self, now: Duration) -> bool {
        now < self.away_until
    }

    /// The agent takes a call of ours now.
    pub(crate) fn takes(&self, now: Duration) -> bool {
        let known =
            !self.acl || self.knew_servers || (self.agent_joined && !self.servers_away(now));
        self.agent_alive && self.agent_answers && now >= self.silent_until && known
    }

    /// Begins what an effect asks for; `None` where that is no matter of the mesh.
    pub(crate) fn perform(&mut self, now: Duration, effect: &Effect) -> Option<Vec<Due>> {
        let mut out = Vec::new();
        match effect {
            Effect::Register { hold, covered, containers } => {
                // What waits is out of date, and a try in vain gives way.
                self.queue.clear();
                if !self.calling {
                    self.writing = None;
                }
                let write = Write::Register {
                    hold: *hold,
                    covered: *covered,
                    containers: containers.clone(),
                };
                self.enqueue(now, write, &mut out);
            }
            Effect::PassProxyCheck => self.enqueue(now, Write::PassProxyCheck, &mut out),
            Effect::EndHold => self.enqueue(now, Write::EndHold, &mut out),
            Effect::Cover => self.enqueue(now, Write::Cover, &mut out),
            Effect::Uncover => self.enqueue(now, Write::Uncover, &mut out),
            Effect::WatchOffer => self.watching = true,
            Effect::StartSync => self.started = true,
            Effect::Sync(seen) => self.observe(now, &seen.task),
            Effect::SyncBlind => {}
            Effect::Withdraw => out.push(self.job(now, 1, self.call, Job::Withdraw)),
            Effect::AskPeers => out.push(self.job(now, 1, self.call + 20, Job::AskPeers)),
            Effect::Deregister => out.push(self.job(now, 1, self.call, Job::Deregister)),
            _ => return None,
        }
        Some(out)
    }

    /// `StopSync`: no write any more. Both tell when nothing is on its way.
    pub(crate) fn hush(&mut self, now: Duration, quiet: u64) -> Vec<Due> {
        self.hushed = true;
        self.watching = false;
        self.queue.clear();
        let mut out = vec![Due::fact(now + ms(quiet), Event::Quiet(Source::HealthSync))];
        if !self.calling {
            self.writing = None;
            out.push(Due::fact(now, Event::Quiet(Source::Registration)));
        }
        out
    }

    fn observe(&mut self, now: Duration, task: &Task) {
        let healthy = |c: &taskmesh::ecs::Container| {
            c.known_status == taskmesh::ecs::Status::Running
                && c.health.as_ref().is_some_and(|h| h.status == Some(HealthStatus::Healthy))
        };
        let all = task.containers.iter().map(|c| (c.name.clone(), healthy(c))).collect();
        self.seen = Some((all, now));
    }

    /// Its time has come.
    pub(crate) fn deliver(&mut self, now: Duration, job: Job) -> (Option<Event>, Vec<Due>) {
        let mut out = Vec::new();
        let event = match job {
            Job::WriteEnds(number) if number == self.number => self.write_ends(now, &mut out),
            Job::Probe(probe) if probe == self.probe && self.agent_alive => {
                if let Some(local) = &mut self.local {
                    local.proxy_check = self.envoy_listens;
                }
                None
            }
            Job::WriteEnds(_) | Job::Probe(_) => None,
            Job::Withdraw if self.agent_alive && self.agent_answers && now >= self.silent_until => {
                if let Some(local) = &mut self.local {
                    local.maintenance = true;
                    local.ttl.values_mut().for_each(|passes| *passes = false);
                }
                Some(Event::Withdrawn(Ok(())))
            }
            Job::Withdraw => {
                out.push(self.job(now, 100, 1000, Job::Withdraw));
                None
            }
            Job::AskPeers => self.ask_peers(now, &mut out),
            Job::Deregister if self.takes(now) => {
                self.local = None;
                self.intent = false;
                Some(Event::Deregistered(Ok(())))
            }
            Job::Deregister if now < self.silent_until => None,
            Job::Deregister => Some(Event::Deregistered(Err("refused".to_owned()))),
            Job::NodeFails => {
                let gone = !(self.agent_alive && self.agent_joined);
                if gone && !self.servers_away(now) {
                    self.catalog = self.catalog.map(|_| false);
                }
                None
            }
            Job::ServersBack => {
                self.servers_back(now, &mut out);
                None
            }
            Job::Look => self.look(now, &mut out),
        };
        (event, out)
    }

    fn ask_peers(&mut self, now: Duration, out: &mut Vec<Due>) -> Option<Event> {
        let reachable = self.agent_alive && self.agent_joined && !self.servers_away(now);
        let silent = now < self.silent_until;
        let view = match self.catalog {
            _ if !reachable || silent => {
                out.push(self.job(now, 500, 1500, Job::AskPeers));
                (!silent).then(|| PeersView::Unreachable("500".to_owned()))
            }
            _ if self.filtered => Some(PeersView::NeverShown),
            Some(true) => {
                self.shown = true;
                out.push(self.job(now, 50, 200, Job::AskPeers));
                None
            }
            None if !self.shown => Some(PeersView::NeverShown),
            Some(false) | None => Some(PeersView::Confirmed),
        };
        view.map(Event::Peers)
    }

    fn servers_back(&mut self, now: Duration, out: &mut Vec<Due>) {
        if self.servers_away(now) {
            return;
        }
        out.push(self.job(now, 3000, NODE_FAILS, Job::NodeFails));
        if let Some(life) = self.wants_to_join.take() {
            let at = now + ms(self.dice.within(50, 2000));
            out.push(Due { at, what: What::Fact(Event::AgentJoined, Some((Role::Agent, life))) });
        }
    }

    fn look(&mut self, now: Duration, out: &mut Vec<Due>) -> Option<Event> {
        if self.hushed || !self.intent || self.local.is_some() {
            return None;
        }
        out.push(self.job(now, LOOK / 4, LOOK + 500, Job::Look));
        let told = (self.agent_alive && self.agent_answers && now >= self.silent_until)
            .then(|| Event::RegistrationLost("service web".to_owned()));
        self.loss_untold &= told.is_none();
        told
    }

    // What happens to it.

    pub(crate) fn servers_leave(&mut self, now: Duration, time: u64) -> Vec<Due> {
        self.away_until = self.away_until.max(now + ms(time));
        vec![Due { at: self.away_until, what: What::Mesh(Job::ServersBack) }]
    }

    /// Somebody takes our registration out of the agent.
    pub(crate) fn lose(&mut self, now: Duration) -> Vec<Due> {
        if self.local.take().is_none() {
            return Vec::new();
        }
        self.loss_untold = true;
        vec![self.job(now, 500, LOOK + 500, Job::Look)]
    }

    /// A fact about a child, before the machine gets it. `false`: it is not so yet.
    pub(crate) fn note(&mut self, now: Duration, event: &Event, life: u32) -> (bool, Vec<Due>) {
        match event {
            Event::AgentAnswers => self.agent_answers = true,
            Event::AgentJoined if self.servers_away(now) => {
                self.wants_to_join = Some(life);
                return (false, Vec::new());
            }
            Event::AgentJoined => {
                self.agent_joined = true;
                self.knew_servers = true;
            }
            Event::ListenerOpen => {
                self.envoy_listens = true;
                return (true, self.check_soon(now).into_iter().collect());
            }
            _ => {}
        }
        (true, Vec::new())
    }

    pub(crate) fn agent_starts(&mut self, now: Duration) -> Vec<Due> {
        self.agent_alive = true;
        let Some(local) = &mut self.local else { return Vec::new() };
        local.proxy_check = false;
        local.ttl.values_mut().for_each(|passes| *passes = false);
        self.check_soon(now).into_iter().collect()
    }

    pub(crate) fn child_ends(&mut self, now: Duration, role: Role, left: bool) -> Vec<Due> {
        match role {
            Role::Agent => {
                self.agent_alive = false;
                self.agent_answers = false;
                self.agent_joined = false;
                self.wants_to_join = None;
                if std::mem::take(&mut self.loses_data) {
                    self.local = None;
                    self.knew_servers = false;
                }
                self.left_unheard = left && self.servers_away(now);
                if left && !self.left_unheard {
                    self.catalog = None;
                }
                vec![self.job(now, 3000, NODE_FAILS, Job::NodeFails)]
            }
            Role::Envoy => {
                self.envoy_listens = false;
                self.check_soon(now).into_iter().collect()
            }
        }
    }

    /// What follows at once from what is now: checks are written, the catalog follows, the offer is noticed.
    pub(crate) fn settle(&mut self, now: Duration) -> Vec<Due> {
        let writes = self.started && !self.hushed && self.takes(now);
        if let (Some(local), Some((seen, at))) = (&mut self.local, &self.seen)
            && writes
        {
            let stale = now >= *at + ms(STALE_AFTER);
            for (name, passes) in &mut local.ttl {
                *passes = !stale && seen.get(name).copied().unwrap_or(false);
            }
        }
        if self.agent_alive && self.agent_joined && !self.servers_away(now) {
            self.catalog = self.local.as_ref().map(Instance::passes);
        }
        let passes = self.local.as_ref().is_some_and(Instance::passes);
        if self.watching && passes && self.agent_answers && now >= self.silent_until {
            self.watching = false;
            self.shown |= self.catalog.is_some();
            return vec![Due::fact(now + ms(12), Event::Offered)];
        }
        Vec::new()
    }
}
