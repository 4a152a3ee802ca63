//! `healthSync.containers`: whose health is synced, and when that is known.

use crate::crew::What;
use crate::script::{App, Script, defined, unread};
use crate::world::{World, plan};
use std::collections::BTreeMap;
use taskmesh::config::{Sources, load};
use taskmesh::supervisor::{Event, Inbound, OwnChecks, Phase, Plan, Role, Synced};

/// Two apps that report health; the definition, asked at 5 ms, is answered so many ms later.
fn answered(after: u64, event: Event) -> World {
    with(Script { definition: Some((after, event)), ..Script::default() })
}

fn with(script: Script) -> World {
    let apps = vec![App::new("app").healthy(), App::new("side").healthy()];
    World::of(plan(Inbound::Http), Script { apps, ..script })
}

/// When what was registered.
fn registered(world: &World) -> Vec<(u64, &str)> {
    let mut story = world.story();
    story.retain(|(_, words)| words.starts_with("> register"));
    story
}

fn chosen(world: &World) -> (Vec<String>, String, String) {
    let status = world.status().health_sync;
    (status.containers, status.chosen_by, status.why.unwrap_or_default())
}

#[test]
fn an_answer_before_the_agents_decides_at_once() {
    let world = answered(50, defined(&["app"])).until(3000);
    assert_eq!(registered(&world), [(106, "> register [app]")]);
    // Its checks decide, so nobody looks at the port.
    assert_eq!((world.when("> probe app"), world.when("> watch offer")), (None, Some(207)));
    assert_eq!(chosen(&world), (vec!["app".to_owned()], "task definition".into(), String::new()));
}

#[test]
fn a_container_need_not_be_listed_to_have_its_check() {
    let script = Script { definition: Some((50, defined(&["late"]))), ..Script::default() };
    let world = World::of(plan(Inbound::Http), script).until(3000);
    assert_eq!(registered(&world), [(106, "> register [late]")]);
}

#[test]
fn without_a_health_check_in_the_definition_the_port_alone_decides() {
    let world = answered(50, defined(&[])).until(3000);
    assert_eq!(registered(&world), [(106, "> register held []")]);
    // No younger read of the metadata is needed: the definition has told.
    assert_eq!((world.when("> end hold"), world.when("> read task")), (Some(277), None));
    assert_eq!(world.when("> watch offer"), Some(277));
}

#[test]
fn the_registration_waits_a_little_for_the_answer() {
    let world = answered(700, defined(&["app"])).until(3000);
    assert_eq!(registered(&world), [(705, "> register [app]")]);
    assert_eq!(world.when("agent-ready"), Some(106));
}

#[test]
fn an_answer_that_never_comes_holds_nothing_up_for_long() {
    let world = with(Script { definition: None, ..Script::default() }).until(5000);
    assert_eq!(registered(&world), [(1106, "> register held [app side]")]);
    assert_eq!(world.phase(), Phase::Serving);
    let (containers, by, why) = chosen(&world);
    assert_eq!((containers.join(" "), by), ("app side".to_owned(), "task metadata".to_owned()));
    assert_eq!(why, "the task definition was not read yet");
}

#[test]
fn a_refusal_is_not_waited_for_and_is_told() {
    let world = answered(50, unread("AccessDeniedException", true)).until(5000);
    assert_eq!(registered(&world), [(106, "> register held [app side]")]);
    assert_eq!(chosen(&world).2, "cannot read the task definition: AccessDeniedException");
    // Nothing is wrong with a task that has no such permission.
    assert!(world.status().problems.is_empty(), "{:?}", world.status().problems);
}

#[test]
fn what_may_pass_is_waited_for_a_little_and_then_corrected() {
    let world = answered(50, unread("throttled", false)).event(4000, defined(&["app"]));
    let early = world.clone().until(3000);
    assert_eq!(registered(&early), [(1106, "> register held [app side]")]);
    assert_eq!(chosen(&early).2, "cannot read the task definition yet: throttled");
    let world = world.until(5000);
    assert_eq!(registered(&world)[1..], [(4000, "> register [app]")]);
    assert_eq!(chosen(&world).1, "task definition");
    assert_eq!((world.count("registered"), world.count("registration-repaired")), (1, 0));
}

#[test]
fn a_late_answer_that_names_a_check_ends_the_hold() {
    let script = Script { app_accepts: None, ..Script::default() };
    let world = with(Script { definition: Some((3000, defined(&["app"]))), ..script }).until(5000);
    assert_eq!(
        registered(&world),
        [(1106, "> register held [app side]"), (3005, "> register [app]")]
    );
    assert_eq!((world.count("> end hold"), world.when("> watch offer")), (0, Some(3005)));
}

#[test]
fn a_late_answer_that_names_none_leaves_it_to_the_port() {
    let script = Script { app_accepts: Some(4000), ..Script::default() };
    let world = with(Script { definition: Some((3000, defined(&[]))), ..script }).until(8000);
    assert_eq!(
        registered(&world),
        [(1106, "> register held [app side]"), (3005, "> register held []")]
    );
    // T2 is at 1207.
    assert_eq!((world.when("> end hold"), world.when("> read task")), (Some(5207), None));
}

#[test]
fn a_late_answer_ends_a_hold_that_only_waited_for_the_metadata() {
    let script = Script { definition: Some((2000, defined(&[]))), ..Script::default() };
    // Since the port accepted at 1277, no read has come back.
    let world = with(script).change(1200, |s| s.metadata = Some(4000)).until(3000);
    assert_eq!((world.when("> read task"), world.when("> end hold")), (Some(1277), Some(2005)));
}

#[test]
fn a_late_answer_adds_what_the_metadata_did_not_show() {
    let script = Script { definition: Some((3000, defined(&["app"]))), ..Script::default() };
    let world = World::of(plan(Inbound::Http), script).until(5000);
    // The hold is over by then.
    assert_eq!(registered(&world), [(1106, "> register held []"), (3005, "> register [app]")]);
    assert_eq!((world.count("> end hold"), world.count("> watch offer")), (1, 1));
}

#[test]
fn an_answer_that_changes_nothing_does_nothing() {
    let world = answered(3000, defined(&["app", "side"])).until(5000);
    assert_eq!(registered(&world), [(1106, "> register held [app side]")]);
}

#[test]
fn an_answer_while_the_agent_is_away_waits_for_it() {
    let world = answered(3000, defined(&["app"])).at(2990, What::Crash(Role::Agent)).until(9000);
    let registered = registered(&world);
    let (again, words) = registered[1];
    assert_eq!((registered.len(), words), (2, "> register [app]"));
    assert!(again > 3005, "{registered:?}");
}

#[test]
fn nothing_is_corrected_in_a_stop() {
    let world = answered(3000, defined(&["app"])).ecs_stops(2990).finish();
    assert_eq!(registered(&world).len(), 1);
    assert_eq!(world.code(), 0);
}

#[test]
fn an_agent_that_dies_while_the_answer_is_waited_for_is_waited_for_too() {
    let world = answered(700, defined(&["app"])).at(300, What::Crash(Role::Agent)).until(5000);
    assert_eq!((world.count("registered"), world.phase()), (1, Phase::Serving));
    assert!(registered(&world)[0].0 >= 705, "{:?}", registered(&world));
}

/// As a configuration with these checks and containers is read.
fn own_checks(checks: &str, containers: &str) -> OwnChecks {
    let text = format!(
        r#"{{"service": {{"port": 9090, "checks": {checks}}}, "consul": {{"retryJoin": ["s"]}},
            "healthSync": {{"containers": {containers}}}}}"#
    );
    let env = BTreeMap::from([("TASKMESH_CONFIG_JSON".to_owned(), text)]);
    Plan::new(&load(&Sources::default(), &env).expect("config").config, 1).own_checks
}

#[test]
fn names_stand_beside_native_checks_and_auto_gives_way_to_them() {
    let native = r#"[{"tcp": "127.0.0.1:9090", "interval": "5s"}]"#;
    let named = |names: &[&str]| Synced::Named(names.iter().map(|&n| n.to_owned()).collect());
    for (checks, containers, native, synced) in [
        ("[]", r#""auto""#, false, Synced::Auto),
        (native, r#""auto""#, true, named(&[])),
        (native, r#"["app"]"#, true, named(&["app"])),
        ("[]", r#"["app"]"#, false, named(&["app"])),
        ("[]", "[]", false, named(&[])),
    ] {
        let wanted = OwnChecks { native, synced };
        assert_eq!(own_checks(checks, containers), wanted, "{checks} {containers}");
    }
}

#[test]
fn what_is_configured_asks_nobody() {
    let named = |names: &[&str]| Synced::Named(names.iter().map(|&n| n.to_owned()).collect());
    for (native, names, by) in [
        (true, &[][..], "native checks"),
        (true, &["app"], "configuration"),
        (false, &["app"], "configuration"),
        (false, &[], "configuration"),
    ] {
        let own_checks = OwnChecks { native, synced: named(names) };
        let plan = Plan { own_checks, ..plan(Inbound::Http) };
        let world = World::of(plan, Script::default()).event(3000, defined(&["x"])).until(5000);
        assert_eq!((world.count("> read definition"), registered(&world).len()), (0, 1));
        assert_eq!(
            chosen(&world),
            (names.iter().map(|&n| n.to_owned()).collect(), by.into(), String::new())
        );
    }
}
