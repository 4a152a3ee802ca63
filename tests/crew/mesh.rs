//! What stands at the agent and at the servers, and what peers see of it.
//!
//! A [`Crew`](super::crew::Crew) that has one answers by it instead of by its script: a write works when there is an
//! agent to take it, is tried again when there is none, and peers see what came of it. So what must hold can be asked
//! of the world, and not of the machine's own facts.
//!
//! | part | how it is here |
//! |---|---|
//! | the writes of `registration` | one queue, each tried until it worked; the hush waits for the one on its way |
//! | health sync | written at once where the agent takes it; refreshed for 5 min, then critical, as it is after 30 s without a write |
//! | the proxy's check, and the service's own | TCP, runs at a random moment of its 10 s |
//! | the catalog | follows an agent that has joined; a dead one's node fails after 3 to 10 s; frozen while servers are away |

use super::checks::Instance;
use super::crew::{Due, What};
use super::dice::Dice;
use super::failing::{Call, Failing};
use super::hang::Hang;
use super::script::ms;
use super::writes::Write;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use taskmesh::supervisor::{Effect, Event, PeersView, Role, Source};

/// Until the servers see that a node is gone, at the most.
pub(crate) const NODE_FAILS: u64 = 10_000;
/// From one look of the watchdog to the next.
pub(super) const LOOK: u64 = 3000;

/// What comes to pass here at its time.
#[derive(Debug, Clone)]
pub(crate) enum Job {
    /// The call on its way, of this number, comes back.
    WriteEnds(u64),
    /// What was given up, or will be, lands all the same.
    Lands(Write),
    /// The proxy's check runs.
    Probe(u64),
    /// The service's own check runs.
    ProbePort(u64),
    Withdraw,
    AskPeers,
    Deregister,
    /// The servers miss a node.
    NodeFails,
    ServersBack,
    /// The watchdog looks.
    Look,
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
    pub(super) hangs: BTreeMap<Role, Hang>,
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
    pub(crate) calling: bool,
    /// The one on its way will not be answered in time.
    pub(super) late: bool,
    pub(super) number: u64,
    pub(super) failing: BTreeMap<Call, Failing>,
    /// What failed so far.
    pub(crate) failed: BTreeSet<Call>,
    pub(super) refusals: u32,
    pub(super) troubled: bool,
    pub(super) rests_until: Duration,
    pub(super) probe: u64,
    /// The proxy's check was taken out to be put back, and was not.
    pub(super) check_gone: bool,
    pub(super) port_probe: u64,
    /// The service has a check of its own, which says this at first.
    pub(crate) native: Option<bool>,
    /// The app's port accepts.
    pub(super) app_listens: bool,
    /// Since when no health could be written.
    pub(super) unwritten: Option<Duration>,
    pub(super) hushed: bool,
    watching: bool,
    pub(super) started: bool,
    pub(super) seen: Option<(BTreeMap<String, bool>, Duration)>,
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
            hangs: BTreeMap::new(),
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
            late: false,
            number: 0,
            failing: BTreeMap::new(),
            failed: BTreeSet::new(),
            refusals: 0,
            troubled: false,
            rests_until: Duration::ZERO,
            probe: 0,
            check_gone: false,
            port_probe: 0,
            native: None,
            app_listens: false,
            unwritten: None,
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

    /// The agent answers, be it with a refusal.
    pub(crate) fn answers(&self, now: Duration) -> bool {
        self.agent_alive && self.agent_answers && !self.silent(now)
    }

    fn silent(&self, now: Duration) -> bool {
        now < self.silent_until || self.hang(Role::Agent, now).is_some()
    }

    /// The last moment so far at which it was silent, or a write rested that had been tried in vain.
    pub(crate) fn kept_back(&self, now: Duration) -> Duration {
        self.silent_until.max(self.rests_until).min(now).max(self.hung_before(Role::Agent, now))
    }

    /// The servers get to know what stands at the agent.
    pub(crate) fn in_touch(&self, now: Duration) -> bool {
        let well = self.agent_alive && self.hang(Role::Agent, now).is_none();
        well && self.agent_joined && !self.servers_away(now)
    }

    /// The agent takes a write of ours now.
    pub(crate) fn takes(&self, now: Duration) -> bool {
        let known =
            !self.acl || self.knew_servers || (self.agent_joined && !self.servers_away(now));
        self.answers(now) && known
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
                    (self.refusals, self.rests_until) = (0, now);
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
        // Somebody may just have seen it.
        let lost = self.intent && (self.local.is_none() || self.check_gone);
        if lost && self.dice.one_in(2) {
            out.push(Due::fact(now + ms(1), Event::RegistrationLost("too late".to_owned())));
        }
        if !self.calling {
            self.writing = None;
            out.push(Due::fact(now, Event::Quiet(Source::Registration)));
        }
        out
    }

    /// Its time has come.
    pub(crate) fn deliver(&mut self, now: Duration, job: Job) -> (Option<Event>, Vec<Due>) {
        let mut out = Vec::new();
        let event = match job {
            Job::WriteEnds(number) if number == self.number => self.write_ends(now, &mut out),
            Job::Probe(probe) => {
                self.proxy_check_runs(now, probe, &mut out);
                None
            }
            Job::ProbePort(probe) => {
                self.own_check_runs(now, probe, &mut out);
                None
            }
            Job::Lands(write) => {
                if self.takes(now) {
                    self.apply(now, &write, &mut out);
                }
                None
            }
            Job::WriteEnds(_) => None,
            Job::Withdraw => self.withdraw(now, &mut out),
            Job::AskPeers => self.ask_peers(now, &mut out),
            Job::Deregister if self.takes(now) => {
                self.local = None;
                self.intent = false;
                Some(Event::Deregistered(Ok(())))
            }
            Job::Deregister if self.silent(now) => None,
            Job::Deregister => Some(Event::Deregistered(Err("refused".to_owned()))),
            Job::NodeFails => {
                if !self.in_touch(now) && !self.servers_away(now) {
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
        let silent = self.silent(now);
        let view = match self.catalog {
            _ if !self.in_touch(now) || silent => {
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
        if self.hushed || !self.intent || self.local.is_some() && !self.check_gone {
            return None;
        }
        out.push(self.job(now, LOOK / 4, LOOK + 500, Job::Look));
        let told =
            self.answers(now).then(|| Event::RegistrationLost("something is gone".to_owned()));
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
        local.native = local.native.map(|_| false);
        local.ttl.values_mut().for_each(|passes| *passes = false);
        self.check_soon(now).into_iter().chain(self.check_port_soon(now)).collect()
    }

    pub(crate) fn child_ends(&mut self, now: Duration, role: Role, left: bool) -> Vec<Due> {
        if let Some(hang) = self.hangs.get_mut(&role) {
            hang.until = hang.until.min(now);
        }
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
        self.sync(now);
        if self.in_touch(now) {
            self.catalog = self.local.as_ref().map(Instance::passes);
        }
        let passes = self.local.as_ref().is_some_and(Instance::passes);
        if self.watching && passes && self.answers(now) {
            self.watching = false;
            self.shown |= self.catalog.is_some();
            return vec![Due::fact(now + ms(12), Event::Offered)];
        }
        Vec::new()
    }
}
