//! One life: faults, then quiet, in which the task must become whole again, then a stop.

use crate::case::Case;
use crate::crew::What;
use crate::fault::Fault;
use crate::script::ms;
use crate::shrink::quietly;
use crate::verdict;
use crate::watch::Watch;
use crate::world::World;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

/// From the last fault's end until the task is whole again. Where it goes: up to 30 s until a dead agent is started
/// again, 5 s until it answers, 10 s until it knows a server, two tries of a write, a read of the metadata.
pub(crate) const HEALS: Duration = Duration::from_secs(90);
/// From the first word of a stop to the exit, whatever the configuration; and what a stop's beginning may wait for.
const PATIENCE: Duration = Duration::from_secs(300);

/// How one ends that is whole again.
pub(crate) const LAST: Fault = Fault::EcsStops { term: Some(1) };

/// What became of a life.
#[derive(Debug, Default, Clone)]
pub(crate) struct End {
    pub(crate) cause: String,
    pub(crate) code: u8,
    /// It became whole again after its faults, or was never anything else.
    pub(crate) whole: bool,
    pub(crate) offered: bool,
    /// The kinds of faults that made themselves felt.
    pub(crate) faults: BTreeSet<&'static str>,
}

/// Panics where a promise is broken.
pub(crate) fn live(case: &Case) -> End {
    run(case, &mut case.world())
}

pub(crate) fn run(case: &Case, world: &mut World) -> End {
    for (at, fault) in &case.faults {
        world.put(ms(*at), What::Fault(fault.clone()));
    }
    let mut watch = Watch::default();
    let end = case.faults_end() + HEALS;
    while world.advance(end) {
        watch.look(world);
    }
    world.now = world.now.max(if world.exit.is_none() { end } else { world.now });
    let whole = world.status().stop.is_none();
    if whole {
        verdict::whole_again(case, world);
        let now = world.now;
        world.put(now + ms(1), What::Fault(LAST));
    }
    let last = world.now + PATIENCE;
    while world.advance(last) {
        watch.look(world);
    }
    verdict::whole(world);
    let cause = world.status().stop.map(|stop| stop.cause).unwrap_or_default();
    let faults = world.crew.all_that_happened();
    End { cause, code: world.code(), whole, offered: world.when("offered").is_some(), faults }
}

/// What happened in it, as far as it came.
pub(crate) fn story(case: &Case) -> String {
    let mut world = case.world();
    // It may break a promise here, as it did before: the story is told up to there.
    let broken = quietly(|| run(case, &mut world)).is_err();
    let mut out = format!("{:?}\n{:?}\n", case.plan, world.crew.script);
    for (at, fault) in &case.faults {
        writeln!(out, "{at:>9} {fault:?}").unwrap();
    }
    out.push_str("---\n");
    for (at, words) in world.story() {
        writeln!(out, "{at:>9} {words}").unwrap();
    }
    let end = if broken { "broken" } else { "well" };
    writeln!(out, "{:>9} {end}, in {:?}", world.now.as_millis(), world.phase()).unwrap();
    write!(out, "{:?}", world.crew.mesh).unwrap();
    out
}
