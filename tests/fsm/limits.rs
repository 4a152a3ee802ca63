//! How much time a stop has, who says so, and what is cut in which order when it is over.

use crate::crew::What;
use crate::script::{App, Script, ms};
use crate::world::{World, plan};
use std::sync::Arc;
use std::time::Duration;
use taskmesh::admin::Request;
use taskmesh::ecs::{DefinedContainer, TaskDefinition};
use taskmesh::supervisor::{Event, Inbound, PeersView, Phase, Plan};

/// A definition that gives our container so many seconds to stop.
fn defined(stop_timeout: Option<u64>) -> Event {
    let container = |name: &str, stop_timeout: Option<u64>| DefinedContainer {
        name: name.to_owned(),
        essential: true,
        stop_timeout: stop_timeout.map(Duration::from_secs),
        ..DefinedContainer::default()
    };
    let containers = vec![container("taskmesh", stop_timeout), container("app", Some(7))];
    Event::DefinitionRead(Arc::new(TaskDefinition { containers }))
}

/// A wrapped http app that never ends, and what the definition says.
fn endless(plan: Plan, definition: Option<(u64, Event)>) -> World {
    let apps = vec![App::wrapped("app").ends(None)];
    World::of(plan, Script { definition, apps, ..Script::default() })
}

fn cut(world: &World) -> Option<u64> {
    world.when("deadline: apps: app")
}

#[test]
fn the_shorter_one_of_two_stop_timeouts_counts() {
    // Cut 6 s before the end, for killing and for the leave.
    for (ours, given, counts) in [
        (30, Some(14), 14),
        (60, None, 30),
        (30, None, 30),
        (30, Some(30), 30),
        (30, Some(100), 30),
    ] {
        let plan = Plan { stop_timeout: ms(ours * 1000), ..plan(Inbound::Http) };
        let world = endless(plan, Some((1, defined(given)))).until(1000);
        let problems = world.status().problems;
        assert_eq!(problems.len(), usize::from(counts < ours), "{problems:?}");
        assert_eq!(world.count("> warn"), problems.len());
        let world = world.ecs_stops(3000).finish();
        assert_eq!(cut(&world), Some(3000 + 1000 * (counts - 6)), "{ours} {given:?}");
        assert_eq!((world.code(), world.count("> warn")), (4, problems.len()));
    }
}

#[test]
fn a_problem_names_both_numbers_and_what_to_change() {
    let world = endless(plan(Inbound::Http), Some((1, defined(Some(14))))).until(1000);
    let [problem] = &world.status().problems[..] else { panic!() };
    assert_eq!(problem.what, "task definition");
    assert_eq!(
        problem.why,
        "lifecycle.stopTimeout is 30s, but ECS kills this container 14s after its TERM (stopTimeout of taskmesh in \
         the task definition, 30 s where it has none): the shorter one counts. The steps of a stop can take 21s \
         500ms: what does not fit is cut short. Set stopTimeout in the task definition to 30 or more, or \
         lifecycle.stopTimeout to 14s."
    );
    let enough = Plan { stop_timeout: ms(60_000), ..plan(Inbound::Http) };
    let world = endless(enough, Some((1, defined(Some(45))))).until(1000);
    let why = &world.status().problems[0].why;
    assert!(!why.contains("cut short") && why.contains("to 60 or more"), "{why}");
}

#[test]
fn a_definition_that_is_read_in_a_stop_shortens_it_too() {
    let world = endless(plan(Inbound::Http), None).ecs_stops(3000).event(3500, defined(Some(14)));
    assert_eq!(cut(&world.finish()), Some(3000 + 8000));
    let world = endless(plan(Inbound::Http), None).api_stops(3000).event(3500, defined(Some(14)));
    assert_eq!(cut(&world.finish()), Some(3000 + 8000));
    // Before our own TERM no KILL is near: only from then on does it count.
    let world = endless(plan(Inbound::Http), None)
        .at(3000, What::EcsStops)
        .event(3500, defined(Some(14)))
        .event(20_000, Event::Term);
    assert_eq!(cut(&world.finish()), Some(20_000 + 8000));
    // What would have been cut by now is cut now.
    let world = endless(plan(Inbound::Http), None).ecs_stops(3000).event(20_000, defined(Some(14)));
    let world = world.finish();
    assert_eq!(cut(&world), Some(20_000));
    assert!(world.exit.unwrap().0 < ms(20_100), "{:?}", world.stop());
}

#[test]
fn a_definition_that_is_read_too_late_leaves_time_to_kill() {
    let plan = Plan { stop_timeout: ms(60_000), ..plan(Inbound::Http) };
    let world = endless(plan, Some((20_000, defined(Some(14))))).api_stops(3000).finish();
    let killed = world.stop_story().split_off(15);
    let expected = [
        (17_005, "> kill consul"),
        (17_007, "envoy-exited: killed by SIGKILL"),
        (17_007, "agent-left: killed by SIGKILL"),
        (17_007, "all-exited"),
        (17_007, "> exit 4"),
    ];
    assert_eq!(killed, expected);
}

#[test]
fn every_wrapper_is_told_what_the_definition_gives_it() {
    let world = endless(plan(Inbound::Http), Some((1, defined(None)))).until(1000);
    let told = world.status().stop_timeouts_ms;
    let told: Vec<_> = told.iter().map(|(name, ms)| (name.as_str(), *ms)).collect();
    assert_eq!(told, [("app", 7000), ("taskmesh", 30_000)]);
    assert!(World::new().until(1000).status().stop_timeouts_ms.is_empty());
}

#[test]
fn whatever_is_not_over_at_the_cut_is_cut_and_named_and_the_apps_go_at_once() {
    let long = Plan {
        propagation_timeout: ms(60_000),
        drain_timeout: ms(60_000),
        dwell_unacked: ms(60_000),
        ..plan(Inbound::Http)
    };
    type Fault = fn(&mut Script);
    let faults: [(Phase, &str, Fault); 4] = [
        (Phase::Propagating, "telling the peers", |s| s.peers = None),
        (Phase::Dwelling, "letting the peers' proxies update", |s| {
            s.peers = Some((20, PeersView::NeverShown));
        }),
        (Phase::Draining, "draining inbound requests", |s| s.drains = None),
        (Phase::AwaitingApps, "apps: app", |s| s.apps[0].ends = None),
    ];
    for (phase, words, fault) in faults {
        let mut script = Script { apps: vec![App::wrapped("app")], ..Script::default() };
        fault(&mut script);
        let world = World::of(long.clone(), script).ecs_stops(3000).until(26_999);
        assert_eq!((world.phase(), world.status().gate.release), (phase, words == "apps: app"));
        let world = world.finish();
        let stop = world.stop();
        let from = stop.iter().position(|(_, w)| w.starts_with("deadline")).unwrap();
        let deadline = format!("deadline: {words}");
        let mut after = vec![(24_000, deadline.as_str()), (24_000, "apps-released")];
        if phase == Phase::AwaitingApps {
            after.pop();
        }
        after.extend([
            (24_033, "envoy-exited"),
            (28_036, "agent-left"),
            (28_036, "all-exited"),
            (28_036, "> exit 4"),
        ]);
        assert_eq!(stop[from..], after, "{stop:?}");
        // Nothing is said to have ended that was cut.
        assert_eq!(
            (world.count("apps-stopped"), world.count("apps-released")),
            (0, 1),
            "{phase:?}"
        );
    }
}

#[test]
fn an_app_that_is_held_when_the_time_is_up_gets_its_term_then() {
    let held = Script { drains: None, apps: vec![App::wrapped("app")], ..Script::default() };
    let plan = Plan { drain_timeout: ms(60_000), ..plan(Inbound::Http) };
    for (world, own) in [
        (World::of(plan.clone(), held.clone()).ecs_stops(3000), false),
        (World::of(plan, held).api_stops(3000), true),
    ] {
        let world = world.until(26_999);
        assert!(!world.status().gate.release);
        let world = world.until(27_000);
        let gate = world.status().gate;
        assert_eq!((gate.release, gate.term), (true, own));
        // It ends 200 ms after its release, while the agent leaves; nobody waits for it, and nobody kills it.
        let world = world.until(27_200);
        assert_eq!(world.status().apps[0].state, "exited");
        assert_eq!(world.finish().count("killed: consul"), 0);
    }
}

#[test]
fn at_the_deadline_envoy_is_killed_before_the_agent() {
    // The cut comes so late that Envoy's own 3 s are not over.
    let plan = Plan { leave_reserve: ms(500), ..plan(Inbound::Http) };
    let apps = vec![App::wrapped("app").ends(None)];
    let script = Script { envoy_exits: None, agent_leaves: None, apps, ..Script::default() };
    let world = World::of(plan, script).ecs_stops(3000).finish();
    assert_eq!(
        world.stop_story()[10..],
        [
            (28_500, "deadline: apps: app"),
            (28_500, "> term envoy"),
            (29_000, "deadline: envoy to exit"),
            (29_000, "killed: envoy"),
            (29_000, "> kill envoy"),
            (29_000, "killed: consul"),
            (29_000, "> kill consul"),
            (29_002, "envoy-exited: killed by SIGKILL"),
            (29_002, "agent-left: killed by SIGKILL"),
            (29_002, "all-exited"),
            (29_002, "> exit 4"),
        ]
    );
}

#[test]
fn in_a_time_that_is_too_short_for_anything_the_waits_are_cut_at_once_and_the_rest_is_killed() {
    let plan = Plan { stop_timeout: ms(2000), ..plan(Inbound::Http) };
    let world = endless(plan.clone(), None).ecs_stops(3000).finish();
    assert_eq!(
        world.stop(),
        [
            (0, "stop-noticed: term"),
            (0, "deadline: stopping health sync"),
            (1, "sync-stopped"),
            (6, "checks-critical"),
            (6, "apps-released"),
            (39, "envoy-exited"),
            (1000, "deadline: consul to leave"),
            (1000, "killed: consul"),
            (1002, "agent-left: killed by SIGKILL"),
            (1002, "all-exited"),
            (1002, "> exit 4"),
        ]
    );
    // An agent that does not even take the burst: apps go with the deadline.
    let apps = vec![App::wrapped("app")];
    let world =
        World::of(plan, Script { withdraws: None, apps, ..Script::default() }).ecs_stops(3000);
    let world = world.finish();
    assert_eq!(world.when("deadline: withdrawing"), Some(4000));
    assert_eq!(world.when("apps-released"), Some(4000));
    assert_eq!(world.exit, Some((ms(4002), 4)));
}

#[test]
fn a_second_term_releases_the_apps_whatever_is_not_over() {
    for second in [3003, 3020, 3100, 3550] {
        let world = World::of(
            plan(Inbound::Http),
            Script { apps: vec![App::wrapped("app")], ..Script::default() },
        );
        let world = world.ecs_stops(3000).event(second, Event::Term).finish();
        // The burst is waited for: without it the catalog would send peers to nobody.
        assert_eq!(world.when("apps-released"), Some(second.max(3006)), "{second}");
        assert_eq!((world.count("peers-updated: timeout"), world.code()), (0, 0));
    }
}

#[test]
fn of_several_reasons_the_gravest_is_the_exit_code() {
    // Could not start (1), and the agent had to be killed (4).
    let start = Plan { start_timeout: ms(1000), ..plan(Inbound::Http) };
    let deaf = Script { answers: None, agent_leaves: None, ..Script::default() };
    let world = World::of(start, deaf).finish();
    assert_eq!(world.stop()[0].1, "stop-noticed: start-timeout");
    assert_eq!((world.count("killed: consul"), world.code()), (1, 4));
    // Gave up (3), and the same.
    let down = Event::ActorDown { actor: "registration", why: "a bug".to_owned() };
    let world = World::of(plan(Inbound::Http), Script { agent_leaves: None, ..Script::default() });
    let world = world.event(3000, down).finish();
    assert_eq!((world.count("killed: consul"), world.code()), (1, 3));
}

#[test]
fn an_app_that_comes_in_a_stop_is_waited_for_until_it_has_gone() {
    let late = |request: fn(String) -> Request| Event::Admin(request("late".to_owned()));
    let attached = || late(|container| Request::AppAttached { container, pid: 9 });
    let exited = || late(|container| Request::AppExited { container, code: 143 });
    let apps = || [App::wrapped("app")];
    // Its wrapper is sent home at once; here it takes its time.
    let world = World::with_apps(apps())
        .ecs_stops(3000)
        .event(3100, attached())
        .event(4500, exited())
        .finish();
    assert_eq!((world.when("apps-stopped"), world.code()), (Some(4500), 0));
    // One that does not go is cut like any other.
    let world = World::with_apps(apps()).ecs_stops(3000).event(3100, attached()).finish();
    assert_eq!((world.when("deadline: apps: late"), world.code()), (Some(27_000), 4));
    // Once Envoy is told, nothing is given back.
    let world = World::with_apps(apps()).ecs_stops(3000).event(3800, attached()).finish();
    assert_eq!((world.when("apps-stopped"), world.when("all-exited")), (Some(3786), Some(7822)));
}

#[test]
fn an_app_that_ecs_starts_again_in_a_stop_of_our_own_does_not_keep_us() {
    // A restart policy: the container comes back after our TERM, again and again.
    let app = App { restarts: true, ..App::wrapped("app") };
    let again = || Event::Admin(Request::AppAttached { container: "app".to_owned(), pid: 9 });
    let world = World::with_apps([app]).api_stops(3000).event(3790, again()).finish();
    assert_eq!((world.when("apps-stopped"), world.code()), (Some(3786), 0));
    assert_eq!(world.when("all-exited"), Some(7822));
}
