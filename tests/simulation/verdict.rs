//! What must hold of the whole of a life.

use crate::case::Case;
use crate::script::ms;
use crate::shared::promises::{check_budget, check_children, check_order};
use crate::task::Process;
use crate::watch::missing;
use crate::world::World;
use std::time::Duration;
use taskmesh::ecs::DefinedContainer;
use taskmesh::supervisor::{Event, Inbound, Synced};

/// Every fault is over for long enough, and nobody has asked for a stop.
pub(crate) fn whole_again(case: &Case, world: &World) {
    assert_eq!(
        missing(world),
        None,
        "not whole again {:?} after the last fault",
        crate::life::HEALS
    );
    let status = world.status();
    assert!(world.ready, "/ready: {:?}", status.pending);
    let refused = status.problems.iter().find(|problem| problem.what == "registration");
    assert_eq!(refused, None, "a write that worked is still told as failing");
    let mesh = world.crew.mesh.as_ref().expect("a mesh");
    let local = mesh.local.as_ref().expect("registered");
    // Peers may be sent here where the app is well, as far as anybody looks.
    let app = |name: &str| {
        let apps = world.crew.script.apps.iter().zip(&world.crew.apps);
        apps.into_iter()
            .any(|(app, state)| app.name == name && app.health && state.process == Process::Runs)
    };
    let port = case.plan.inbound == Inbound::None || world.crew.accepted || told_by_checks(world);
    let native = local.native.is_none() || world.crew.port_accepts(world.now);
    let well = port && native && local.ttl.keys().all(|name| app(name));
    if well {
        assert_eq!(mesh.catalog, Some(true), "not offered again: {local:?}");
        assert!(world.when("offered").is_some(), "`offered` was never recorded");
    }
}

/// Checks say more than the app's port, for sure: reported health alone does not count where the definition that could
/// say more cannot be read.
fn told_by_checks(world: &World) -> bool {
    let checks = &world.plan.own_checks;
    let named = match &checks.synced {
        Synced::Named(names) => !names.is_empty(),
        Synced::Auto => false,
    };
    let read = match &world.crew.script.definition {
        Some((t, Event::DefinitionRead(definition))) => {
            let ours =
                |c: &&DefinedContainer| c.essential && c.health_check && c.name != "taskmesh";
            ms(*t) + Duration::from_secs(2) < world.now
                && definition.containers.iter().any(|c| ours(&c))
        }
        _ => false,
    };
    checks.native || named || checks.synced == Synced::Auto && read
}

/// It has ended.
pub(crate) fn whole(world: &World) {
    assert!(world.exit.is_some(), "no exit; stuck in {:?}", world.phase());
    check_order(world);
    check_children(world);
    check_budget(world);
}
