//! The same lives through the real supervisor, its executor and tokio's timers, on a paused clock: it must record the
//! same events at the same times for the same causes, and exit alike.
//!
//! Two things are otherwise there, and in [`World::like_tokio`] too: a timer ends at a whole millisecond, and before
//! whatever else is due then.

use crate::case::Case;
use crate::crew::{Due, What};
use crate::fault::Fault;
use crate::life::{self, End, HEALS};
use crate::script::ms;
use crate::shared::paused;
use crate::world::World;
use taskmesh::supervisor::Effect;
use taskmesh::timeline::{Log, Timeline};
use tokio::runtime::Builder;

/// Panics where they differ.
pub(crate) fn live(case: &Case) -> End {
    let mut world = case.world();
    world.like_tokio = true;
    let end = life::run(case, &mut world);
    let fault = |(at, fault): &(u64, Fault)| Due { at: ms(*at), what: What::Fault(fault.clone()) };
    let mut due: Vec<_> = case.faults.iter().map(fault).collect();
    if end.whole {
        let at = case.faults_end() + HEALS + ms(1);
        due.push(Due { at, what: What::Fault(life::LAST) });
    }
    let exit = world.exit.expect("an exit");
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let (code, at, timeline) = runtime.block_on(async {
        let running = paused::start(case.plan.clone(), case.world().crew, due).await;
        running.finish_within(exit.0 + ms(60_000)).await
    });
    let (pure, real) = (words(&recorded(&world)), words(&timeline));
    let same = pure.iter().zip(&real).take_while(|(a, b)| a == b).count();
    assert_eq!(real.get(same), pure.get(same), "record {same}, by the actor and without it");
    assert_eq!((at, code), exit);
    end
}

/// Through a record like the supervisor's, which forgets the oldest repairs.
fn recorded(world: &World) -> Timeline {
    let log = Log::new(String::new());
    for (at, effect) in &world.effects {
        if let Effect::Record { event, cause } = effect {
            log.push(at.as_secs_f64() * 1000.0, *event, cause.clone());
        }
    }
    log.snapshot()
}

fn words(timeline: &Timeline) -> Vec<String> {
    let cause = |cause: &Option<String>| cause.clone().map(|cause| format!(": {cause}"));
    let words = |r: &taskmesh::timeline::Record| {
        format!("{:>9} {}{}", r.ms.round(), r.event.name(), cause(&r.cause).unwrap_or_default())
    };
    timeline.events.iter().map(words).collect()
}
