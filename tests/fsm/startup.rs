//! T0 to T2, and stops that come before T2.

use crate::crew::What;
use crate::script::{App, Change, Script, ms};
use crate::world::{World, plan};
use taskmesh::supervisor::{Effect, Event, Inbound, OwnChecks, Phase, Plan, Role, Synced};

#[test]
fn a_task_starts_and_is_offered() {
    let world = World::new().until(2000);
    assert_eq!(
        world.story(),
        [
            (0, "started"),
            (0, "> watch task"),
            (5, "> identify"),
            (5, "> start consul"),
            (5, "> read definition"),
            (106, "agent-ready"),
            (106, "> register held []"),
            (116, "registered"),
            (116, "> write bootstrap"),
            (146, "bootstrap-written"),
            (146, "> start envoy"),
            (146, "> start sync"),
            (146, "health-sync-started"),
            (147, "envoy-started"),
            (207, "> pass proxy check"),
            (207, "ready"),
            (207, "> probe app"),
            // Whether the app has an ECS health check is told by a read that began after its port accepted.
            (277, "> read task"),
            (282, "> end hold"),
            (282, "> watch offer"),
            (282, "app-started"),
            (294, "offered"),
        ]
    );
    assert_eq!(world.phase(), Phase::Serving);
}

#[test]
fn with_a_health_check_of_its_own_there_is_no_hold() {
    let own_checks = OwnChecks { native: false, synced: Synced::Named(vec!["app".to_owned()]) };
    let plan = Plan { own_checks, ..plan(Inbound::Http) };
    let world = World::of(plan, Script::default()).until(2000);
    assert_eq!(world.when("> register [app]"), Some(106));
    assert_eq!(world.when("> watch offer"), world.when("ready"));
    assert_eq!((world.when("> probe app"), world.when("> end hold")), (None, None));
}

fn native(synced: &[&str]) -> OwnChecks {
    let synced = synced.iter().map(|&name| name.to_owned()).collect();
    OwnChecks { native: true, synced: Synced::Named(synced) }
}

#[test]
fn native_checks_need_no_hold_and_no_sync() {
    let plan = Plan { own_checks: native(&[]), ..plan(Inbound::Http) };
    let world = World::of(plan, Script::default()).until(2000);
    assert_eq!(world.when("> register []"), Some(106));
    assert_eq!(world.when("> probe app"), None);
}

#[test]
fn native_checks_that_start_as_good_need_the_hold() {
    let own_checks = native(&[]);
    let plan = Plan { own_checks, native_start_passing: true, ..plan(Inbound::Http) };
    let world =
        World::of(plan, Script { app_accepts: Some(3000), ..Script::default() }).until(5000);
    assert_eq!(world.when("> register held []"), Some(106));
    assert!(world.when("> end hold") > Some(3000), "{:?}", world.when("> end hold"));
}

#[test]
fn which_native_checks_start_as_good() {
    let starts_as_good = |checks: &str| {
        let text = format!(
            r#"{{"service": {{"port": 9090, "checks": {checks}}}, "consul": {{"retryJoin": ["10.0.0.10"]}}}}"#
        );
        let env = std::collections::BTreeMap::from([("TASKMESH_CONFIG_JSON".to_owned(), text)]);
        let config = taskmesh::config::load(&taskmesh::config::Sources::default(), &env);
        Plan::new(&config.unwrap().config, 1).native_start_passing
    };
    for (checks, expected) in [
        ("[]", false),
        (r#"[{"ttl": "10s"}]"#, false),
        (r#"[{"ttl": "10s", "status": "critical"}]"#, false),
        (r#"[{"ttl": "10s", "status": "passing"}]"#, true),
        (r#"[{"ttl": "10s", "status": "warning"}]"#, true),
        (r#"[{"aliasService": "other"}]"#, true),
        (r#"[{"ttl": "10s", "status": "passing"}, {"ttl": "10s"}]"#, false),
    ] {
        assert_eq!(starts_as_good(checks), expected, "{checks}");
    }
}

#[test]
fn native_checks_and_named_containers_go_together() {
    let plan = Plan { own_checks: native(&["app"]), ..plan(Inbound::Http) };
    let world = World::of(plan, Script::default()).until(2000);
    assert_eq!(world.when("> register [app]"), Some(106));
    assert_eq!((world.when("> probe app"), world.when("> read definition")), (None, None));
}

#[test]
fn without_inbound_there_is_no_port_to_wait_for() {
    let world = World::of(plan(Inbound::None), Script::default()).until(2000);
    assert_eq!(world.when("> register []"), Some(106));
    assert_eq!((world.when("> probe app"), world.when("offered")), (None, Some(219)));
}

#[test]
fn a_container_that_reports_health_later_gets_its_check() {
    let script = Script { app_accepts: Some(3000), ..Script::default() };
    let world = World::of(plan(Inbound::Http), script)
        .change(1000, |s| s.apps[0].health = true)
        .until(5000);
    // The read that ends at 1015 shows it; the instance is still held, and its listener has been open for long.
    let story = world.story();
    let late: Vec<_> = story.into_iter().filter(|(at, _)| *at > 1000).collect();
    assert_eq!(
        late,
        [
            (1015, "> register held [app]"),
            (1025, "> pass proxy check"),
            (3207, "> read task"),
            (3212, "> end hold"),
            (3212, "> watch offer"),
            (3224, "offered"),
        ]
    );
}

#[test]
fn no_read_older_than_the_apps_port_ends_the_hold() {
    // Reads take 400 ms: one that began before the port accepted says nothing.
    let script = Script { metadata: Some(400), ..Script::default() };
    let world = World::of(plan(Inbound::Http), script).until(5000);
    let accepted = world.when("> read task").unwrap();
    assert_eq!(world.when("> end hold"), Some(accepted + 400));
}

#[test]
fn ready_waits_for_the_last_latch_whichever_it_is() {
    let slow: [(Change, u64); 3] = [
        (|s| s.joins = Some(900), 906),
        (|s| s.live = Some(900), 1047),
        (|s| s.listens = Some(900), 1047),
    ];
    for (slow, ready) in slow {
        let mut script = Script::default();
        slow(&mut script);
        let world = World::of(plan(Inbound::Http), script).until(2000);
        assert_eq!(world.when("ready"), Some(ready));
    }
}

#[test]
fn without_servers_nothing_is_ready_but_all_the_rest_is_done() {
    let script = Script { joins: None, ..Script::default() };
    let world = World::of(plan(Inbound::Http), script).until(2000);
    let pending: Vec<_> = world.status().pending.into_iter().map(|p| p.latch).collect();
    assert_eq!((world.phase(), pending), (Phase::Proxying, vec!["consul servers".to_owned()]));
}

/// How far a start came when TERM arrives, and what that leaves to do.
#[test]
fn term_during_startup_undoes_just_what_was_done() {
    // The app waits for T2, so ECS never started it.
    let started = |at: u64| World::new().ecs_stops(at).finish();
    type Story = &'static [(u64, &'static str)];
    let cases: [(&str, u64, Story); 5] = [
        (
            "nothing started",
            2,
            &[(0, "> stop sync"), (1, "sync-stopped"), (1, "all-exited"), (1, "> exit 0")],
        ),
        (
            "agent up, not registered",
            50,
            &[
                (0, "> stop sync"),
                (1, "sync-stopped"),
                (1, "> term consul"),
                (4001, "agent-left"),
                (4001, "all-exited"),
                (4001, "> exit 0"),
            ],
        ),
        (
            "registration on its way",
            110,
            &[
                (0, "> stop sync"),
                (7, "sync-stopped"),
                (7, "> withdraw"),
                (12, "checks-critical"),
                (12, "> deregister"),
                (15, "> term consul"),
                (4015, "agent-left"),
                (4015, "all-exited"),
                (4015, "> exit 0"),
            ],
        ),
        (
            "registered, bootstrap being made",
            120,
            &[
                (0, "> stop sync"),
                (1, "sync-stopped"),
                (1, "> withdraw"),
                (6, "checks-critical"),
                (6, "> deregister"),
                (9, "> term consul"),
                (4009, "agent-left"),
                (4009, "all-exited"),
                (4009, "> exit 0"),
            ],
        ),
        (
            "envoy up, listener closed",
            150,
            &[
                (0, "> stop sync"),
                (1, "sync-stopped"),
                (1, "> withdraw"),
                (6, "checks-critical"),
                (6, "> term envoy"),
                (39, "envoy-exited"),
                (39, "> deregister"),
                (42, "> term consul"),
                (4042, "agent-left"),
                (4042, "all-exited"),
                (4042, "> exit 0"),
            ],
        ),
    ];
    for (name, at, expected) in cases {
        let world = started(at);
        assert_eq!(world.stop_story()[0], (0, "stop-noticed: term"), "{name}");
        assert_eq!(&world.stop_story()[1..], expected, "{name}");
        assert!(world.when("ready").is_none(), "{name}");
    }
}

#[test]
fn an_agent_that_may_not_have_heard_its_term_gets_another_one() {
    // It answers at 107, and hears nothing before 300.
    let deaf = Script { deaf: 300, ..Script::default() };
    for at in [50, 120] {
        let world = World::of(plan(Inbound::Http), deaf.clone()).ecs_stops(at).finish();
        let first = world.when("> term consul").unwrap();
        let left = world.when("agent-left").unwrap();
        assert_eq!((world.count("> term consul"), left - first), (2, 6000 + 4000), "{at}");
        assert_eq!((world.count("deadline"), world.code()), (0, 0), "{at}");
    }
    // One that is only slow to leave, and was well before, is not disturbed.
    let slow = Script { agent_leaves: Some(9000), ..Script::default() };
    let world = World::of(plan(Inbound::Http), slow).ecs_stops(2000).finish();
    assert_eq!((world.count("> term consul"), world.code()), (1, 0));
}

#[test]
fn without_an_envoy_no_app_is_waited_for() {
    // It needs no mesh to start, and takes its time to end: once while the agent starts, once while it registers.
    let slow = App { waits_for_ready: false, starts: 1, ..App::new("app") }.ends(None);
    for at in [50, 110] {
        let world = World::with_apps([slow.clone()]).ecs_stops(at).finish();
        assert_eq!((world.count("agent-left"), world.count("> start envoy")), (1, 0));
        assert!(world.exit < Some((ms(at + 5000), 0)), "{:?}", world.story());
        assert_eq!(world.code(), 0);
    }
}

#[test]
fn a_stop_that_overtakes_a_start_tells_the_child_once_it_is_there() {
    for role in [Role::Agent, Role::Envoy] {
        let script = Script { spawn: Some(400), ..Script::default() };
        // The agent is asked for at 5, Envoy at 545.
        let at = if role == Role::Agent { 10 } else { 550 };
        let world = World::of(plan(Inbound::Http), script).ecs_stops(at).finish();
        let term = format!("> term {}", role.name());
        let up = if role == Role::Agent { 405 } else { 945 };
        assert_eq!((world.when(&term), world.count(&term)), (Some(up), 1), "{role:?}");
        assert_eq!(world.code(), 0);
    }
}

#[test]
fn a_task_that_ecs_already_stops_never_starts_anything() {
    let world = World::new().at(0, What::EcsStops).finish();
    assert_eq!(
        world.story(),
        [
            (0, "started"),
            (0, "> watch task"),
            (5, "stop-noticed: task-stopped"),
            (5, "> stop sync"),
            (6, "sync-stopped"),
            (6, "all-exited"),
            (6, "> exit 0"),
        ]
    );
}

#[test]
fn the_start_timeout_is_an_orderly_stop_with_1() {
    let script = Script { joins: None, ..Script::default() };
    let plan = Plan { start_timeout: ms(5000), ..plan(Inbound::Http) };
    let world = World::of(plan, script).finish();
    assert_eq!(
        world.stop(),
        [
            (0, "stop-noticed: start-timeout"),
            (1, "sync-stopped"),
            (6, "checks-critical"),
            // The app that waits for T2 is listed, and a listing does not tell for sure that it never ran.
            (26, "peers-updated: confirmed"),
            (586, "inbound-drained"),
            (619, "envoy-exited"),
            (4622, "agent-left"),
            (4622, "all-exited"),
            (4622, "> exit 1"),
        ]
    );
    assert_eq!(world.when("stop-noticed: start-timeout"), Some(5000));
}

#[test]
fn the_start_timeout_counts_only_until_ready() {
    let plan = Plan { start_timeout: ms(300), ..plan(Inbound::Http) };
    let world = World::of(plan, Script::default()).until(10_000);
    assert_eq!((world.when("ready"), world.phase()), (Some(207), Phase::Serving));
}

#[test]
fn a_binary_that_is_not_there_is_not_tried_again() {
    for (role, at) in [(Role::Agent, 6), (Role::Envoy, 147)] {
        let script = Script { spawn_fails: Some((role, true)), ..Script::default() };
        let world = World::of(plan(Inbound::Http), script).finish();
        let words = format!("child-exited: {0}: {0}: no such file", role.name());
        assert_eq!(world.when(&words), Some(at));
        assert_eq!(world.when("stop-noticed: start-failed"), Some(at));
        assert_eq!(world.count(&format!("> start {}", role.name())), 1);
        assert_eq!(world.count(&format!("> term {}", role.name())), 0);
        assert_eq!(world.code(), 1);
    }
}

#[test]
fn an_agent_that_turns_out_to_be_none_after_a_first_life_is_given_up_and_one_that_served_is_not() {
    let no_consul = |s: &mut Script| s.spawn_fails = Some((Role::Agent, true));
    // It answers at 107.
    let world = World::new().at(50, What::Crash(Role::Agent)).change(51, no_consul).finish();
    assert_eq!(world.when("child-exited: consul: exit code 1"), Some(50));
    assert_eq!((world.count("stop-noticed: start-failed"), world.code()), (1, 1));
    // Its executable is away for a while.
    let world = World::new().at(2000, What::Crash(Role::Agent)).change(2001, no_consul);
    let world = world.change(9000, |s| s.spawn_fails = None).until(60_000);
    assert_eq!((world.phase(), world.count("child-restarted: consul")), (Phase::Serving, 1));
}

#[test]
fn a_registration_that_consul_refuses_ends_the_start_with_its_words() {
    let script = Script { registers: None, ..Script::default() };
    let refused = Event::RegistrationRefused("the service: status 400: bad meta".to_owned());
    let world = World::of(plan(Inbound::Http), script).event(3500, refused).finish();
    assert_eq!(world.when("stop-noticed: start-failed"), Some(3500));
    assert_eq!((world.count("registered"), world.code()), (0, 1));
    // The agent, which knows servers by now, leaves in order.
    assert_eq!((world.count("> term consul"), world.count("> kill consul")), (1, 0));
}

#[test]
fn a_spawn_that_may_work_later_is_tried_again() {
    let script = Script { spawn_fails: Some((Role::Agent, false)), ..Script::default() };
    let world = World::of(plan(Inbound::Http), script).until(900);
    let status = world.machine.status(&world.plan, "", world.now);
    let first = &status.pending[0];
    assert_eq!(first.latch, "consul agent");
    assert_eq!(first.reason.as_deref(), Some("consul: no such file"), "{first:?}");
    let world = world.change(1000, |s| s.spawn_fails = None).until(5000);
    assert!(world.count("> start consul") > 2);
    assert_eq!(world.phase(), Phase::Serving);
}

#[test]
fn an_agent_that_dies_before_it_was_registered_starts_again() {
    let world = World::new().at(50, What::Crash(Role::Agent)).until(2000);
    assert_eq!(world.when("child-exited: consul: exit code 1"), Some(50));
    assert_eq!(world.count("agent-ready"), 1);
    assert_eq!(world.count("registered"), 1);
    assert_eq!(world.phase(), Phase::Serving);
}

#[test]
fn an_agent_that_dies_while_registering_is_asked_again() {
    let world = World::new().at(110, What::Crash(Role::Agent)).until(2000);
    assert_eq!(world.count("> register held []"), 2);
    assert_eq!(world.count("registered"), 1);
    assert_eq!(world.count("registration-repaired"), 0);
    assert_eq!(world.phase(), Phase::Serving);
}

#[test]
fn metadata_that_cannot_be_read_is_waited_for() {
    let script = Script { metadata: None, ..Script::default() };
    let world = World::of(plan(Inbound::Http), script).until(3000);
    assert_eq!((world.phase(), world.count("> start consul")), (Phase::Reading, 0));
    let world = world.change(3000, |s| s.metadata = Some(5)).until(5000);
    assert_eq!(world.phase(), Phase::Serving);
}

#[test]
fn an_app_that_does_not_wait_for_us_is_started_when_we_know_it() {
    let early = App { waits_for_ready: false, starts: 1, ..App::new("app") };
    let world = World::with_apps([early]).until(2000);
    // T2 is the first moment at which the timeline may say so.
    assert_eq!(world.when("app-started"), world.when("ready"));
}

#[test]
fn a_read_that_fails_refreshes_the_sync_and_nothing_else() {
    let mut world = World::new().until(2000);
    let before = world.effects.len();
    world.take(Event::TaskUnreadable("down".to_owned()));
    assert_eq!(world.effects[before..], [(ms(2000), Effect::SyncBlind)]);
}
