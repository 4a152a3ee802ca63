//! Whole lives of a task on simulated time, by the thousand, each from one seed: its configuration, how long everything
//! takes, and what goes wrong when.
//!
//! ```text
//! SIM_SEED=n cargo test --test simulation     exactly that one, with its whole story, also through the actor
//! SIM_RUNS=n cargo test --test simulation     so many, from SIM_FROM (0) on; `make sim` runs many
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | `../crew` | the crew and its model of agent, servers and peers, shared with `tests/fsm` |
//! | `case` | a life, made from a seed |
//! | `life` | runs one: faults, then quiet, then a stop |
//! | `actor` | the same through the real supervisor, on tokio's paused clock |
//! | `watch` | what must hold at every moment, asked of the world |
//! | `verdict` | what must hold of the whole |
//! | `shrink` | leaves out faults while it still fails |
//!
//! Only monotonic time exists here, as in the machine: a wall clock that jumps can reach neither.

#[path = "../crew/mod.rs"]
mod shared;

mod actor;
mod case;
mod life;
mod shrink;
mod verdict;
mod watch;

use case::Case;
use life::End;
use shared::{crew, dice, failing, fault, mesh, script, task, world};
use shrink::quietly;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}")))
}

/// About 10 s on one busy core with the dev profile.
const RUNS: u64 = 2000;
/// Of the lives that go through the real supervisor too: a life takes far longer there.
const ONE_IN: u64 = 20;

/// Lives one, and panics where a promise is broken.
type Live = fn(&Case) -> End;

/// Every kind of fault, as [`fault::Fault::kind`] has it.
const FAULTS: [&str; 23] = [
    "agent crashes",
    "agent hangs",
    "agent silent",
    "api stop",
    "app ends",
    "app restarts",
    "data lost",
    "ecs stops",
    "envoy crashes",
    "envoy hangs",
    "maintenance fails",
    "metadata away",
    "metadata slow",
    "no spawn",
    "passing the check fails",
    "port closes",
    "registering fails",
    "registration lost",
    "servers away",
    "stream breaks",
    "term",
    "the burst fails",
    "writing health fails",
];

/// What became of the lives, by cause.
#[derive(Default)]
struct Tally {
    causes: BTreeMap<String, u64>,
    whole: u64,
    offered: u64,
    codes: BTreeMap<u8, u64>,
    faults: BTreeMap<&'static str, u64>,
}

impl Tally {
    fn add(&mut self, end: End) {
        *self.causes.entry(end.cause).or_default() += 1;
        *self.codes.entry(end.code).or_default() += 1;
        for fault in end.faults {
            *self.faults.entry(fault).or_default() += 1;
        }
        self.whole += u64::from(end.whole);
        self.offered += u64::from(end.offered);
    }

    /// Every kind of life is among them: promises that nothing puts to the test would always be kept.
    fn check(&self, runs: u64) {
        let causes: Vec<_> = self.causes.keys().map(String::as_str).collect();
        let all = [
            "api",
            "app-term",
            "apps-finished",
            "restart-budget",
            "start-failed",
            "start-timeout",
            "task-stopped",
            "term",
        ];
        assert_eq!(causes, all);
        assert_eq!(self.faults.keys().copied().collect::<Vec<_>>(), FAULTS);
        assert_eq!(self.codes.keys().copied().collect::<Vec<_>>(), [0, 1, 3, 4]);
        assert!(
            self.whole > runs / 5 && self.whole < runs * 4 / 5,
            "{} are whole again",
            self.whole
        );
        assert!(self.offered > runs / 3, "{} are offered", self.offered);
    }
}

#[test]
fn every_life_keeps_the_promises() {
    let Some((runs, tally)) = try_all("every life", 1, life::live) else { return };
    println!("simulation: {:?}", tally.faults);
    println!("simulation: whole {}, offered {}, {:?}", tally.whole, tally.offered, tally.causes);
    if runs >= RUNS {
        tally.check(runs);
    }
}

#[test]
fn the_real_supervisor_lives_the_same_lives() {
    let _told_by_the_other_test = try_all("behind the actor", ONE_IN, actor::live);
}

/// Tries one in so many of the lives, or the one that is named: then `None`.
fn try_all(what: &str, one_in: u64, live: Live) -> Option<(u64, Tally)> {
    if let Some(seed) = number("SIM_SEED") {
        let case = Case::new(seed);
        match quietly(|| live(&case)) {
            Ok(end) => println!("{}\n{what}: {end:?}", life::story(&case)),
            Err(why) => fail(&case, live, &why),
        }
        return None;
    }
    let from = number("SIM_FROM").unwrap_or(0);
    let runs = number("SIM_RUNS").unwrap_or(RUNS) / one_in;
    let (next, tally) = (AtomicU64::new(from), Mutex::new(Tally::default()));
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let begun = tokio::time::Instant::now();
    let find = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= from + runs {
                return None;
            }
            match quietly(|| live(&Case::new(seed))) {
                Ok(end) => tally.lock().unwrap().add(end),
                Err(why) => {
                    // The others stop at their next seed.
                    next.store(from + runs, Ordering::Relaxed);
                    return Some((seed, why));
                }
            }
        }
    };
    let found = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(find)).collect();
        threads.into_iter().filter_map(|t| t.join().unwrap()).min()
    });
    if let Some((seed, why)) = found {
        fail(&Case::new(seed), live, &why);
    }
    let took = begun.elapsed().max(Duration::from_millis(1)).as_secs_f64();
    println!("simulation: {what}: {runs} seeds from {from}, {:.0} seeds/s", runs as f64 / took);
    Some((runs, tally.into_inner().unwrap()))
}

/// The story of the least that still fails.
fn fail(case: &Case, live: Live, why: &str) -> ! {
    let (least, why_least) = shrink::shrink(case, live);
    let seed = case.seed;
    panic!(
        "{}\nseed {seed}: {why}\nwith {} of {} faults: {why_least}\nagain: SIM_SEED={seed} cargo test --test simulation",
        life::story(&least),
        least.faults.len(),
        case.faults.len(),
    );
}
