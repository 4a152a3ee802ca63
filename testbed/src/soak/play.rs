//! The run.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::SoakArgs;
use super::dice::{Deed, Dice};
use super::life::{Ended, Life};
use crate::cluster::{Backend, Cluster, TaskPlan, client};
use crate::definitions::wrapped;
use crate::vitals::Vitals;

/// Between two deeds, in milliseconds.
const BETWEEN: (u64, u64) = (300, 1500);
/// How long something is frozen, in milliseconds.
const FROZEN: (u64, u64) = (100, 1500);
/// A network has no more addresses than this, and a task's is not used again.
const ADDRESSES: u32 = 240;

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// By which it can be repeated.
    pub seed: u64,
    /// How long it took, with start and end.
    pub took: Duration,
    pub(super) started: u32,
    pub(super) deeds: BTreeMap<Deed, u32>,
    /// How often the supervisors ended with which code.
    pub(super) codes: BTreeMap<i32, u32>,
    pub(super) recovered: u32,
    pub(super) grown: Vitals,
    pub(super) answered: u64,
    pub(super) failed: u64,
    /// What must not be; empty if all was well.
    pub wrong: Vec<String>,
}

impl Outcome {
    /// How many tasks ended, and how many deeds were done.
    #[must_use]
    pub fn counts(&self) -> (u32, u32) {
        (self.codes.values().sum(), self.deeds.values().sum())
    }

    fn ended(&mut self, ended: Ended) {
        if let Some(code) = ended.code {
            *self.codes.entry(code).or_default() += 1;
        }
        self.grown = self.grown.max(ended.grown);
        self.wrong.extend(ended.wrong);
    }
}

/// Plays it; every deed is said.
///
/// # Errors
/// If the mesh cannot be had, or a task does not start.
pub async fn play(args: &SoakArgs, say: impl Fn(&str)) -> Result<Outcome> {
    let began = Instant::now();
    let seed = args.seed.unwrap_or_else(random_seed);
    say(&format!("seed {seed}: `testbed soak --seed {seed}` makes the same choices again"));
    let cluster = Cluster::start(Backend::best()?).await?;
    let upstream = ["--upstream", "http://127.0.0.1:{{upstream_port}}"];
    let web = TaskPlan::new("web", "web", wrapped("web", &upstream)).upstream("api");
    let web = Life::begin(&cluster, "web", web).await?;
    let (host, port) = (web.task.ecs.host().ip(), web.task.ports.app);
    let url = format!("http://{host}:{port}/call");
    let load = Load::default();
    let mut play = Play {
        cluster: &cluster,
        tasks: usize::from(args.tasks),
        dice: Dice::new(seed),
        web: Some(web),
        lives: Vec::new(),
        ending: JoinSet::new(),
        outcome: Outcome { seed, ..Outcome::default() },
        say: &say,
    };
    tokio::select! {
        () = load.put(&cluster, &url) => {}
        played = play.all(args.length) => played?,
    }
    let mut outcome = play.outcome;
    (outcome.answered, outcome.failed) = (load.answered.get(), load.failed.get());
    outcome.took = began.elapsed();
    Ok(outcome)
}

fn random_seed() -> u64 {
    u64::from(jiff::Timestamp::now().subsec_nanosecond().unsigned_abs())
}

/// A little load through the mesh: one client whose requests `web` passes on to `api`. Killing loses requests, so they
/// are counted and no more.
#[derive(Default)]
struct Load {
    answered: Cell<u64>,
    failed: Cell<u64>,
}

impl Load {
    /// For ever.
    async fn put(&self, cluster: &Cluster, url: &str) {
        let client = client();
        loop {
            let (client, url) = (client.clone(), url.to_owned());
            let asked = cluster.lan().hub().spawn(move || async move {
                let answer = client.get(url).send().await;
                answer.is_ok_and(|answer| answer.status().is_success())
            });
            let count = if asked.await.unwrap_or(false) { &self.answered } else { &self.failed };
            count.set(count.get() + 1);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

struct Play<'a, S: Fn(&str)> {
    cluster: &'a Cluster,
    tasks: usize,
    dice: Dice,
    /// Nothing bad happens to it: it lives the longest, so what grows would show here.
    web: Option<Life>,
    lives: Vec<Life>,
    ending: JoinSet<Ended>,
    outcome: Outcome,
    say: &'a S,
}

impl<S: Fn(&str)> Play<'_, S> {
    async fn all(&mut self, length: Duration) -> Result<()> {
        let until = Instant::now() + length;
        while Instant::now() < until && self.outcome.wrong.is_empty() {
            self.fill().await?;
            if !self.lives.is_empty() {
                self.deed().await;
            }
            self.look();
            // The pace of the scenario: nothing is waited for here.
            tokio::time::sleep(self.dice.pause(BETWEEN.0, BETWEEN.1)).await;
        }
        // It must have come through; so from here on it is one of the others.
        self.lives.extend(self.web.take());
        self.recover().await;
        for life in self.lives.drain(..) {
            life.task.ecs.stop();
            self.ending.spawn(life.see_off());
        }
        while let Some(ended) = self.ending.join_next().await {
            self.outcome.ended(ended.context("a task's end was not seen")?);
        }
        Ok(())
    }

    /// As many tasks as there are to be.
    async fn fill(&mut self) -> Result<()> {
        while self.lives.len() < self.tasks && self.outcome.started < ADDRESSES {
            self.outcome.started += 1;
            let name = format!("api-{}", self.outcome.started);
            let plan = TaskPlan::new(&name, "api", wrapped("api", &[]));
            self.lives.push(Life::begin(self.cluster, "api", plan).await?);
        }
        Ok(())
    }

    async fn deed(&mut self) {
        let deed = self.dice.deed();
        let n = self.dice.below(self.lives.len());
        let pause = self.dice.pause(FROZEN.0, FROZEN.1);
        let life = &mut self.lives[n];
        let name = life.task.name().to_owned();
        if life.suffer(deed, pause).await {
            *self.outcome.deeds.entry(deed).or_default() += 1;
            (self.say)(&format!("  {:<18} {name}", deed.name()));
        }
    }

    /// Looks at all, and sees off those that end.
    fn look(&mut self) {
        self.outcome.wrong.extend(self.web.as_mut().and_then(Life::look));
        for mut life in std::mem::take(&mut self.lives) {
            self.outcome.wrong.extend(life.look());
            if life.ends() {
                self.ending.spawn(life.see_off());
            } else {
                self.lives.push(life);
            }
        }
        while let Some(ended) = self.ending.try_join_next() {
            match ended {
                Ok(ended) => self.outcome.ended(ended),
                Err(error) => self.outcome.wrong.push(error.to_string()),
            }
        }
    }

    /// What still lives must recover. What ends by itself meanwhile is judged by its exit code.
    async fn recover(&mut self) {
        for life in std::mem::take(&mut self.lives) {
            match life.recovers(self.cluster).await {
                Ok(()) => self.outcome.recovered += 1,
                Err(_) if life.ends() => {}
                Err(error) => self.outcome.wrong.push(format!("{error:#}")),
            }
            self.lives.push(life);
        }
        self.look();
    }
}
