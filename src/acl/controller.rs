//! The controller at work: looks at tasks and at Consul again and again, and has done what the plan says.
//!
//! Two things go on side by side. A round lists policies and tokens, then all tasks page by page; what it finds to be done
//! it puts into a queue. The work takes it from there, some services at a time. So a new service has its token while the
//! rest of ten thousand tasks is still being listed.

mod ground;
mod report;

use super::apply::{End, Outcome, settle};
use super::cloud::PAGE;
use super::ground::Ground;
use super::hands::{RealHands, words};
use super::inventory::{Inventory, Lists, Memory, Site};
use super::leader::Work;
use super::names::Service;
use super::plan::{Next, Rules, Secret, Seen, Subject, Want, next};
use super::roster::Roster;
use super::view::Status;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::time::Instant;

/// So many services at a time.
const SIDE_BY_SIDE: usize = 16;
/// After a failure a service is looked at again after this time, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A service; `None`: the agents of all tasks.
type Key = Option<Service>;

/// What is kept of one service.
#[derive(Debug, Default)]
struct Entry {
    memory: Memory,
    /// What a run left, and how many lists had been begun by its end: older ones do not have it yet.
    after: Option<(u64, Seen)>,
    /// What it waits for or why it failed, since when.
    trouble: Option<(String, Duration)>,
    /// Not before then.
    again_at: Duration,
    pause: Duration,
}

#[derive(Debug, Default)]
struct State {
    roster: Roster,
    inventory: Inventory,
    ground: Ground,
    /// Parts of it that would be made.
    laid: Vec<(String, String)>,
    /// How many lists have been begun.
    lists: u64,
    /// The one that `inventory` is.
    listed: u64,
    entries: BTreeMap<Key, Entry>,
    /// Tokens that no secret names, since when.
    surplus: BTreeMap<String, Duration>,
    busy: BTreeSet<Key>,
    writes: BTreeMap<&'static str, u64>,
    /// How long the last whole round took.
    round: Duration,
    /// Why no round is whole, since when.
    trouble: Option<(String, Duration)>,
}

/// See the module's text.
pub(crate) struct Controller {
    pub(crate) hands: RealHands,
    pub(crate) site: Site,
    pub(crate) rules: Rules,
    pub(crate) interval: Duration,
    pub(crate) audit: Duration,
    pub(crate) dry_run: bool,
    epoch: Instant,
    state: RefCell<State>,
    published: watch::Sender<Arc<Status>>,
}

impl Controller {
    pub(crate) fn new(hands: RealHands, site: Site, rules: Rules) -> Self {
        Self {
            hands,
            site,
            rules,
            interval: Duration::from_secs(2),
            audit: Duration::from_secs(600),
            dry_run: false,
            epoch: Instant::now(),
            state: RefCell::default(),
            published: watch::Sender::default(),
        }
    }

    /// What it says of itself, as it changes.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<Status>> {
        self.published.subscribe()
    }

    fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// Goes on for ever; dropping the future ends it between two calls.
    pub(crate) async fn run(&self) {
        let (queue, work) = unbounded_channel();
        let rounds = async {
            let mut said = crate::logging::Said::default();
            loop {
                let began = self.now();
                let round = self.round(&queue).await;
                {
                    let mut state = self.state.borrow_mut();
                    match &round {
                        Ok(()) => (state.trouble, state.round) = (None, self.now() - began),
                        Err(why) => {
                            let since = state.trouble.as_ref().map_or(began, |(_, since)| *since);
                            state.trouble = Some((why.clone(), since));
                        }
                    }
                }
                self.publish();
                match round {
                    Ok(()) => {
                        if let Some(lasted) = said.over() {
                            tracing::info!(seconds = lasted.as_secs(), "rounds are whole again");
                        }
                    }
                    Err(why) => {
                        if let Some(repeats) = said.news(&why) {
                            tracing::warn!(%why, repeats, "a round broke off");
                        }
                    }
                }
                tokio::time::sleep(self.interval).await;
            }
        };
        tokio::join!(rounds, self.work(work));
    }

    /// One round whose work is done before it ends: the writes that it made, or would have made.
    ///
    /// # Errors
    /// Why the lists could not be had.
    pub(crate) async fn once(&self) -> Result<Vec<(String, String)>, String> {
        let (queue, work) = unbounded_channel();
        self.round(&queue).await?;
        drop(queue);
        let writes = self.work(work).await;
        let mut all = std::mem::take(&mut self.state.borrow_mut().laid);
        all.extend(writes);
        Ok(all)
    }

    async fn round(&self, queue: &UnboundedSender<Key>) -> Result<(), String> {
        let there = self.has_partition().await?;
        if there {
            self.list().await?;
        }
        self.commons(there).await?;
        self.offer(queue, None, Want::Present);
        let swept = self.sweep(queue).await;
        let now = self.now();
        let mut state = self.state.borrow_mut();
        match swept {
            Ok(()) => state.roster.end_of_sweep(now),
            Err(why) => {
                state.roster.sweep_failed();
                return Err(why);
            }
        }
        let remains = state.inventory.services();
        state.roster.note_remains(remains, now);
        let wants: Vec<_> = state.roster.wants(now).map(|(s, want)| (s.clone(), want)).collect();
        drop(state);
        for (service, want) in wants {
            self.offer(queue, Some(service), want);
        }
        Ok(())
    }

    /// Policies and tokens, as they are now.
    async fn list(&self) -> Result<(), String> {
        let lists = {
            let mut state = self.state.borrow_mut();
            state.lists += 1;
            state.lists
        };
        let consul = &self.hands.consul;
        let (policies, tokens) = tokio::join!(consul.acl_policies(), consul.acl_tokens());
        let lists_of = |e: crate::consul::Error| format!("Consul: {}", words(&e));
        let found =
            Lists { policies: policies.map_err(lists_of)?, tokens: tokens.map_err(lists_of)? };
        let there: BTreeSet<String> = found.tokens.iter().map(|t| t.accessor.clone()).collect();
        let mut state = self.state.borrow_mut();
        state.surplus.retain(|accessor, _| there.contains(accessor));
        state.inventory = Inventory::new(&self.site, found);
        state.listed = lists;
        Ok(())
    }

    /// All pages of the tasks. A service that is new by one of them is in the queue before the next is asked for.
    async fn sweep(&self, queue: &UnboundedSender<Key>) -> Result<(), String> {
        let cluster = self.site.cluster.text();
        let mut page = None;
        loop {
            let (mut arns, next) = self.hands.tasks(cluster, page).await.map_err(|e| e.0)?;
            arns.retain(|arn| self.site.cluster.has(arn));
            let unknown = self.state.borrow_mut().roster.page(arns);
            for some in unknown.chunks(PAGE) {
                let tasks = self.hands.describe(cluster, some).await.map_err(|e| e.0)?;
                for (arn, task) in tasks {
                    let partition = self.site.partition.as_deref();
                    let told = self.state.borrow_mut().roster.described(&arn, &task, partition);
                    match told {
                        Ok(Some(service)) => self.offer(queue, Some(service), Want::Present),
                        Ok(None) | Err(None) => {}
                        Err(Some(why)) => tracing::warn!(%why, "a task is left out"),
                    }
                }
            }
            page = next;
            if page.is_none() {
                return Ok(());
            }
        }
    }

    /// Puts a service into the queue if there is something to do about it.
    fn offer(&self, queue: &UnboundedSender<Key>, key: Key, want: Want) {
        let now = self.now();
        let (subject, seen) = self.look(&key, now);
        let mut state = self.state.borrow_mut();
        let waits = state.entries.get(&key).is_some_and(|entry| entry.again_at > now);
        if waits || state.busy.contains(&key) {
            return;
        }
        match (next(&subject, want, &seen, self.rules).0, &key) {
            (Next::Do(_) | Next::Stuck(_), _) => {
                state.busy.insert(key.clone());
                // Nobody takes it any more: the controller ends.
                let _ended = queue.send(key);
            }
            (Next::Settled, Some(service)) => {
                let empty = seen.policy.is_none() && seen.tokens.is_empty();
                if matches!(want, Want::Gone(_)) && empty {
                    state.roster.forget(service);
                    state.entries.remove(&key);
                }
            }
            (Next::Settled, None) => {}
        }
    }

    /// What is wanted of a service, and what there is of it.
    fn look(&self, key: &Key, now: Duration) -> (Subject, Seen) {
        let subject = match key {
            Some(service) => self.site.service(service),
            None => self.site.clients(),
        };
        let mut state = self.state.borrow_mut();
        let State { inventory, listed, entries, surplus, .. } = &mut *state;
        let entry = entries.entry(key.clone()).or_default();
        if now >= entry.memory.read_at + self.audit {
            entry.memory.secret = Secret::Unread;
            entry.memory.tokens.clear();
        }
        let mut seen = match &entry.after {
            Some((lists, seen)) if *lists >= *listed => {
                let mut seen = seen.clone();
                seen.secret = entry.memory.secret.clone();
                seen
            }
            _ => inventory.seen(&self.site, &subject, key.as_ref(), &entry.memory),
        };
        if let Secret::Holds(pair) = &seen.secret {
            for (accessor, token) in &mut seen.tokens {
                if *accessor == pair.accessor {
                    surplus.remove(accessor);
                } else {
                    let since = *surplus.entry(accessor.clone()).or_insert(now);
                    token.surplus_for = now.saturating_sub(since);
                }
            }
        }
        (subject, seen)
    }

    /// Takes services from the queue until it is closed; gives the writes that were made.
    async fn work(&self, mut queue: UnboundedReceiver<Key>) -> Vec<(String, String)> {
        let mut running = FuturesUnordered::new();
        let mut writes = Vec::new();
        let mut open = true;
        while open || !running.is_empty() {
            tokio::select! {
                key = queue.recv(), if open && running.len() < SIDE_BY_SIDE => match key {
                    Some(key) => running.push(self.one(key)),
                    None => open = false,
                },
                Some(done) = running.next() => {
                    // Not after each of a thousand: it is made of all of them.
                    if running.is_empty() {
                        self.publish();
                    }
                    // Only a single round is asked for them.
                    if self.dry_run {
                        writes.extend(done);
                    }
                }
            }
        }
        writes
    }

    async fn one(&self, key: Key) -> Vec<(String, String)> {
        let began = self.now();
        let (subject, seen) = self.look(&key, began);
        let want = match &key {
            None => Some(Want::Present),
            Some(service) => self.state.borrow().roster.want(service, began),
        };
        let ground = match (&key, want) {
            (Some(service), Some(Want::Present)) => self.namespace(service).await,
            _ => Ok(()),
        };
        let nothing = |end, seen| Outcome { writes: Vec::new(), drift: Vec::new(), end, seen };
        let outcome = match want {
            _ if let Err(why) = ground => nothing(End::Failed(why), seen),
            Some(want) => settle(&self.hands, &subject, want, seen, self.rules, self.dry_run).await,
            None => nothing(End::Settled, seen),
        };
        self.keep(&key, &subject, &outcome, began);
        outcome.writes.iter().map(|step| (subject.about.clone(), step.words(&subject))).collect()
    }

    /// Remembers and tells what came of it.
    fn keep(&self, key: &Key, subject: &Subject, outcome: &Outcome, began: Duration) {
        let now = self.now();
        // A dry run prints them.
        for step in outcome.writes.iter().filter(|_| !self.dry_run) {
            tracing::info!(service = subject.about, "{}", step.words(subject));
        }
        for drift in &outcome.drift {
            tracing::warn!(service = subject.about, %drift, "left as it is");
        }
        let mut state = self.state.borrow_mut();
        for step in &outcome.writes {
            *state.writes.entry(step.name()).or_default() += 1;
        }
        let hash = state.inventory.hash(&subject.policy).map(str::to_owned);
        let lists = state.lists;
        state.busy.remove(key);
        let entry = state.entries.entry(key.clone()).or_default();
        entry.memory.keep(&outcome.seen, hash.as_deref(), began);
        entry.after = Some((lists, outcome.seen.clone()));
        let trouble = match &outcome.end {
            End::Settled => None,
            // What was seen was old: it is looked at again with the next lists.
            End::Changed => {
                entry.after = None;
                entry.memory = Memory::default();
                None
            }
            End::Stuck(why) => Some(why.clone()),
            End::Failed(failure) => Some(failure.to_string()),
        };
        match trouble {
            None => (entry.trouble, entry.pause) = (None, Duration::ZERO),
            Some(why) => {
                if entry.trouble.as_ref().is_none_or(|(told, _)| *told != why) {
                    tracing::warn!(service = subject.about, %why, "cannot go on");
                }
                let since = entry.trouble.as_ref().map_or(now, |(_, since)| *since);
                entry.trouble = Some((why, since));
                entry.pause = (entry.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
                entry.again_at = now + entry.pause;
                // It may be somebody else who mends it.
                entry.after = None;
                entry.memory = Memory::default();
            }
        }
    }
}

impl Work for Controller {
    async fn lead(&self) {
        self.run().await;
    }

    fn forget(&self) {
        let mut state = self.state.borrow_mut();
        // What is counted goes on.
        let (writes, lists) = (std::mem::take(&mut state.writes), state.lists);
        *state = State { writes, lists, ..State::default() };
    }

    fn told(&self) {
        self.publish();
    }
}
