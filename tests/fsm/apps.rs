//! Who is an app, and what their ends mean.

use crate::crew::What;
use crate::script::{App, Script};
use crate::world::{World, plan};
use std::sync::Arc;
use taskmesh::admin::Request;
use taskmesh::ecs::{DefinedContainer, TaskDefinition};
use taskmesh::supervisor::{Event, Inbound, Phase, Plan, Role};

#[test]
fn a_batch_task_ends_with_its_apps() {
    // The second wrapper's app ends on its own too.
    let apps = [App::wrapped("app"), App::wrapped("other")];
    let world =
        World::with_apps(apps).at(3000, What::AppEnds(0, 0)).at(4000, What::AppEnds(1, 1)).finish();
    assert_eq!(
        world.stop(),
        [
            (0, "stop-noticed: apps-finished"),
            (1, "sync-stopped"),
            (6, "checks-critical"),
            // Everything that protects apps is skipped.
            (6, "apps-released"),
            (6, "apps-stopped"),
            (39, "envoy-exited"),
            (4042, "agent-left"),
            (4042, "all-exited"),
            (4042, "> exit 0"),
        ]
    );
    assert_eq!(world.when("stop-noticed: apps-finished"), Some(4000));
}

#[test]
fn a_batch_task_is_no_failure_because_a_child_had_to_be_killed() {
    for (strict_exit, code) in [(false, 0), (true, 4)] {
        let plan = Plan { strict_exit, ..plan(Inbound::None) };
        let script = Script { envoy_exits: None, agent_leaves: None, ..Script::default() };
        let world = World::of(plan, script).at(3000, What::AppEnds(0, 0)).finish();
        assert_eq!(world.count("killed: envoy") + world.count("killed: consul"), 2);
        assert_eq!(world.code(), code);
    }
}

#[test]
fn a_batch_task_that_gave_up_is_still_a_failure() {
    let down = Event::ActorDown { actor: "envoy", why: "a bug".to_owned() };
    let world = World::new().at(3000, What::AppEnds(0, 0)).event(3400, down).finish();
    assert_eq!((world.stop()[0].1, world.code()), ("stop-noticed: apps-finished", 3));
}

#[test]
fn a_migration_that_ends_before_the_app_starts_is_no_end_of_the_task() {
    let migration = App { waits_for_ready: false, starts: 1, ..App::new("migrate") };
    for migration in [migration.clone(), migration.healthy(), App::wrapped("migrate")] {
        // The app starts long after it: dependsOn SUCCESS.
        let app = App { starts: 4000, ..App::new("app") };
        let world = World::with_apps([migration, app]).at(2000, What::AppEnds(0, 0)).until(20_000);
        assert_eq!(
            (world.phase(), world.when("stop-noticed: apps-finished")),
            (Phase::Serving, None)
        );
        assert!(world.when("app-started").is_some());
    }
}

#[test]
fn named_apps_are_the_only_ones_that_count() {
    let app_containers = Some(vec!["job".to_owned()]);
    let plan = Plan { app_containers, ..plan(Inbound::None) };
    let apps = vec![App::new("job"), App::new("metrics")];
    let world = World::of(plan, Script { apps, ..Script::default() })
        .at(3000, What::AppEnds(0, 0))
        .finish();
    assert_eq!(world.stop()[0].1, "stop-noticed: apps-finished");
}

#[test]
fn an_app_that_the_task_does_not_have_is_no_end_of_the_task() {
    let app_containers = Some(vec!["misspelt".to_owned()]);
    let plan = Plan { app_containers, ..plan(Inbound::Http) };
    let world = World::of(plan, Script::default()).until(20_000);
    assert_eq!((world.phase(), world.when("stop-noticed: apps-finished")), (Phase::Serving, None));
    let status = world.machine.status(&world.plan, "", world.now);
    assert!(status.problems.iter().any(|p| p.why.contains("misspelt")), "{:?}", status.problems);
    // The app that is there is protected as if nothing were configured.
    let world = world.ecs_stops(20_000).finish();
    assert!(world.when("peers-updated: confirmed").is_some(), "{:?}", world.stop());
    assert_eq!(world.code(), 0);
}

#[test]
fn a_wrapped_app_that_ecs_restarts_is_no_end_of_the_task() {
    let apps = vec![App { restarts: true, ..App::wrapped("app") }];
    let world = World::of(plan(Inbound::Http), Script { apps, ..Script::default() })
        .at(3000, What::AppEnds(0, 1))
        .until(20_000);
    assert_eq!((world.phase(), world.when("stop-noticed: apps-finished")), (Phase::Serving, None));
}

#[test]
fn one_wrapped_app_of_two_ends_nothing() {
    let world = World::with_apps([App::wrapped("app"), App::wrapped("other")])
        .at(3000, What::AppEnds(0, 1))
        .until(20_000);
    assert_eq!(world.phase(), Phase::Serving);
}

#[test]
fn every_app_is_waited_for_the_slowest_last() {
    let apps = [
        App::wrapped("fast"),
        App::wrapped("slow").ends(Some(3000)),
        App::new("plain").healthy().ends(Some(9000)),
    ];
    let world = World::with_apps(apps).ecs_stops(3000).finish();
    assert_eq!(world.stop()[5], (586, "apps-released"));
    // plain got its TERM at 0; a read in at most 105 ms tells.
    let stopped = world.when("apps-stopped").unwrap() - 3000;
    assert!((9000..=9105).contains(&stopped), "{stopped}");
}

#[test]
fn a_wrapper_that_is_lost_is_waited_for_by_the_metadata() {
    let lost = Event::Admin(Request::AppDetached { container: "app".to_owned() });
    let world = World::with_apps([App::wrapped("app").ends(Some(2000))])
        .event(2500, lost)
        .ecs_stops(3000)
        .finish();
    assert_eq!(world.stop()[6], (2586, "apps-stopped"));
}

#[test]
fn a_wrapper_that_comes_back_goes_on_where_it_was() {
    let app = || "app".to_owned();
    let world = World::with_apps([App::wrapped("app")])
        .event(2500, Event::Admin(Request::AppDetached { container: app() }))
        .until(2600);
    assert_eq!(world.status().apps[0].state, "lost");
    let attached = Event::Admin(Request::AppAttached { container: app(), pid: 7 });
    let world = world.event(2700, attached).until(2800);
    assert_eq!(world.status().apps[0].state, "started");
    let world = world.ecs_stops(3000).finish();
    assert_eq!(world.stop()[5..7], [(586, "apps-released"), (786, "apps-stopped")]);
}

#[test]
fn wrapped_apps_that_still_wait_are_let_go_in_a_stop() {
    // A start timeout: nobody else tells them.
    let script = Script { joins: None, apps: vec![App::wrapped("app")], ..Script::default() };
    let plan = Plan { start_timeout: crate::script::ms(5000), ..plan(Inbound::Http) };
    let world = World::of(plan, script).finish();
    let released = world.when("apps-released").unwrap();
    assert_eq!(world.count("app-started"), 0);
    // The wrapper went within 1 ms, and the next read tells that its container stopped.
    assert!(world.when("> term envoy").unwrap() - released <= 110);
    assert_eq!(world.code(), 1);
}

#[test]
fn app_started_is_written_once_and_for_a_wrapped_app_when_its_command_runs() {
    let world = World::with_apps([App::wrapped("app"), App::wrapped("other")]).until(5000);
    assert_eq!((world.when("app-started"), world.count("app-started")), (Some(209), 1));
    assert!(world.machine.child(Role::Envoy).is_up());
}

/// A definition in which ours depends on these, and these route logs.
fn defined(depends_on: &[&str], routers: &[&str]) -> Option<(u64, Event)> {
    let ours = DefinedContainer {
        name: "taskmesh".to_owned(),
        depends_on: depends_on.iter().map(|&name| name.to_owned()).collect(),
        ..DefinedContainer::default()
    };
    let routers = routers.iter().map(|&name| DefinedContainer {
        name: name.to_owned(),
        routes_logs: true,
        ..DefinedContainer::default()
    });
    let containers = std::iter::once(ours).chain(routers).collect();
    Some((1, Event::DefinitionRead(Arc::new(TaskDefinition { containers }))))
}

#[test]
fn nobody_waits_for_a_container_that_waits_for_us() {
    // ECS stops what we depend on only after us, and a log router is no app whatever its name and image.
    for (definition, words) in [
        (defined(&["late"], &[]), "apps-stopped: not awaited: late"),
        (defined(&[], &["late"]), "apps-stopped"),
    ] {
        let apps = vec![App::new("app").ends(Some(50)), App::new("late").ends(None)];
        let script = Script { definition, apps, ..Script::default() };
        let world = World::of(plan(Inbound::Http), script).ecs_stops(3000).finish();
        assert!(world.when(words).is_some_and(|at| at < 3700), "{:?}", world.stop());
        assert_eq!((world.count("> drain") <= 1, world.code()), (true, 0));
    }
}

#[test]
fn an_app_that_we_depend_on_is_protected_from_its_peers_though_not_awaited() {
    let apps = vec![App::new("app").ends(None)];
    let script = Script { definition: defined(&["app"], &[]), apps, ..Script::default() };
    let world = World::of(plan(Inbound::Http), script).ecs_stops(3000).finish();
    assert_eq!(
        world.stop()[3..6],
        [
            (26, "peers-updated: confirmed"),
            (586, "inbound-drained"),
            (586, "apps-stopped: not awaited: app")
        ]
    );
}

#[test]
fn once_ecs_stops_the_task_too_unwrapped_apps_are_awaited_after_all() {
    // Ours began it; then StopTask comes, so they are told, and still need the mesh.
    let apps = vec![App::new("app").ends(Some(3000))];
    let script = Script { apps, ..Script::default() };
    let world = World::of(plan(Inbound::Http), script.clone())
        .api_stops(3000)
        .at(3100, What::EcsStops)
        .finish();
    assert_eq!(world.stop()[0], (0, "stop-noticed: api"));
    // Its end shows in a read at most 105 ms later.
    assert!(world.when("apps-stopped").is_some_and(|at| (6100..6210).contains(&at)));
    let alone = World::of(plan(Inbound::Http), script).api_stops(3000).finish();
    assert_eq!(alone.when("apps-stopped: not awaited: app"), Some(3586));
}
