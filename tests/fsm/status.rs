//! What is published: latches, `ready`, `healthy`, the gate of wrapped apps.

use crate::crew::What;
use crate::script::{App, Script};
use crate::world::{World, plan};
use taskmesh::admin::Gate;
use taskmesh::supervisor::{Event, Inbound, Role, Source};

fn pending(world: &World) -> Vec<(String, f64)> {
    world.status().pending.into_iter().map(|p| (p.latch, p.since_ms)).collect()
}

#[test]
fn latches_are_released_one_after_the_other() {
    let all = [
        "task metadata",
        "consul agent",
        "registration",
        "envoy bootstrap",
        "envoy live",
        "envoy listeners",
        "consul servers",
    ];
    // The servers' latch is last in the list, but released at 156.
    for (at, left) in [
        (0, &all[..]),
        (5, &all[1..]),
        (106, &all[2..]),
        (116, &all[3..]),
        (146, &all[4..]),
        (156, &all[4..6]),
        (187, &all[5..6]),
        (207, &[]),
    ] {
        let world = World::new().until(at);
        let names: Vec<_> = world.status().pending.into_iter().map(|p| p.latch).collect();
        assert_eq!(names, left, "at {at}");
        assert_eq!(world.status().ready, left.is_empty());
        assert_eq!(world.status().healthy, left.is_empty());
    }
}

#[test]
fn a_latch_that_falls_back_is_held_since_then_and_health_stays() {
    let world = World::new().at(3000, What::Crash(Role::Envoy)).until(3010);
    assert_eq!(
        pending(&world),
        [("envoy live".to_owned(), 3000.0), ("envoy listeners".to_owned(), 3000.0)]
    );
    let status = world.status();
    assert_eq!((status.ready, status.healthy, status.gate.start), (false, true, true));
    let envoy = &status.children[1];
    assert_eq!((envoy.name.as_str(), envoy.state.as_str()), ("envoy", "backing-off"));
    assert_eq!((envoy.pid, envoy.restarts), (None, 1));
    assert_eq!(envoy.last_exit.as_deref(), Some("exit code 1"));
    let world = world.until(4000);
    assert!(world.status().ready);
}

#[test]
fn a_latch_has_the_reason_and_the_problem_its_own_since() {
    let why = |w: &str| Event::Trouble { source: Source::ConsulAgent, why: Some(w.to_owned()) };
    let script = Script { joins: None, ..Script::default() };
    let world = World::of(plan(Inbound::Http), script)
        .event(300, why("no server answers"))
        .event(400, why("still none"))
        .until(1000);
    let status = world.status();
    assert_eq!(status.pending[0].reason.as_deref(), Some("still none"));
    assert_eq!(
        (status.problems[0].what.as_str(), status.problems[0].since_ms),
        ("consul agent", 300.0)
    );
    let none = Event::Trouble { source: Source::ConsulAgent, why: None };
    let world = world.event(1100, none).until(1200);
    assert!(world.status().problems.is_empty());
}

#[test]
fn while_stopping_it_is_healthy_but_not_ready() {
    // An UNHEALTHY essential container makes ECS stop the whole task at once.
    for at in [3000, 3003, 3100, 3560, 3700, 4000, 7000] {
        let status = World::with_apps([App::wrapped("app")]).ecs_stops(3000).until(at).status();
        assert_eq!((status.ready, status.healthy), (false, true), "at {at}");
    }
}

#[test]
fn it_is_unhealthy_before_t2_and_from_giving_up_on() {
    assert!(!World::new().until(200).status().healthy);
    let down = Event::ActorDown { actor: "envoy", why: "a bug".to_owned() };
    let world = World::new().event(3000, down).until(3000);
    assert!(!world.status().healthy);
    // A stop that is asked for is no giving up.
    assert!(World::new().api_stops(3000).until(3100).status().healthy);
}

#[test]
fn the_gate_starts_at_t2_and_releases_after_the_drain() {
    let gate = |start, release, term| Gate { start, release, term };
    let world = |at| World::with_apps([App::wrapped("app")]).ecs_stops(3000).until(at);
    for (at, expected) in [
        (206, gate(false, false, false)),
        (207, gate(true, false, false)),
        (3585, gate(true, false, false)),
        (3586, gate(true, true, false)),
        (7000, gate(true, true, false)),
    ] {
        assert_eq!(world(at).status().gate, expected, "at {at}");
    }
    // Nobody but us tells the apps in a stop of our own.
    let world = World::with_apps([App::wrapped("app")]).api_stops(3000).until(3586);
    assert_eq!(world.status().gate, gate(true, true, true));
}

#[test]
fn a_wrapped_app_is_shown_as_what_it_is() {
    let world = |at| World::with_apps([App::wrapped("app")]).ecs_stops(3000).until(at);
    for (at, state, code) in [
        (100, "waiting", None),
        (300, "started", None),
        (3600, "released", None),
        (3800, "exited", Some(0)),
    ] {
        let app = world(at).status().apps.remove(0);
        assert_eq!((app.state.as_str(), app.exit_code), (state, code), "at {at}");
    }
}

#[test]
fn a_stop_says_what_it_waits_for_and_for_how_long_still() {
    let app = App::wrapped("app").ends(Some(5000));
    let world = |at| World::with_apps([app.clone()]).ecs_stops(3000).until(at);
    for (at, awaiting) in [
        (3003, "withdrawing"),
        (3010, "telling the peers"),
        (3100, "letting the peers' proxies update"),
        (3560, "draining inbound requests"),
        (4000, "apps: app"),
        (8600, "envoy to exit"),
        (9000, "consul to leave"),
    ] {
        let stop = world(at).status().stop.unwrap();
        assert_eq!((stop.cause.as_str(), stop.since_ms), ("term", 3000.0));
        assert_eq!(stop.awaiting, awaiting, "at {at}");
        // Until what is left is killed: stopTimeout less killReserve.
        let left = stop.seconds_left.unwrap();
        assert!((left - (32_000 - at) as f64 / 1000.0).abs() < 1e-9, "{left} at {at}");
    }
}

#[test]
fn tcp_that_still_drains_after_the_apps_says_so() {
    let script = Script { drains: None, apps: vec![App::wrapped("app")], ..Script::default() };
    let world = World::of(plan(Inbound::Tcp), script).ecs_stops(3000).until(5000);
    assert_eq!(world.status().stop.unwrap().awaiting, "inbound connections");
}

#[test]
fn an_instance_that_is_ready_and_not_offered_says_what_it_waits_for() {
    let script = Script { app_accepts: Some(5000), ..Script::default() };
    let problem = |world: &World| {
        let status = world.status();
        assert!(status.ready, "{status:?}");
        status.problems.into_iter().find(|p| p.what == "not offered to peers")
    };
    let world = World::of(plan(Inbound::Http), script).until(4000);
    let waiting = problem(&world).expect("a problem");
    assert_eq!(waiting.why, "the app's port does not accept connections yet");
    assert!(waiting.since_ms < 1000.0, "{waiting:?}");
    let world = world.until(7000);
    assert_eq!(problem(&world), None);
}
