//! Orderly stops: every cause, every kind of inbound, both orders of the leave.

use crate::crew::What;
use crate::script::{App, Script, ms};
use crate::world::{World, plan};
use taskmesh::admin::Request;
use taskmesh::config::LeaveOrder;
use taskmesh::supervisor::{Event, Inbound, Phase, Plan, Role};

fn wrapped(inbound: Inbound) -> World {
    World::of(plan(inbound), script(App::wrapped("app")))
}

fn script(app: App) -> Script {
    Script { apps: vec![app], ..Script::default() }
}

#[test]
fn http_with_a_wrapped_app_stops_step_by_step() {
    let world = wrapped(Inbound::Http).ecs_stops(3000).finish();
    assert_eq!(
        world.stop_story(),
        [
            (0, "stop-noticed: term"),
            (0, "> stop sync"),
            (1, "sync-stopped"),
            (1, "> withdraw"),
            (6, "checks-critical"),
            (6, "> ask peers"),
            (26, "peers-updated: confirmed"),
            (526, "> drain"),
            (586, "inbound-drained"),
            (586, "apps-released"),
            (786, "apps-stopped"),
            (786, "> term envoy"),
            (819, "envoy-exited"),
            (819, "> deregister"),
            (822, "> term consul"),
            (4822, "agent-left"),
            (4822, "all-exited"),
            (4822, "> exit 0"),
        ]
    );
}

#[test]
fn tcp_releases_its_apps_before_the_drain_because_only_they_can_end_connections() {
    let world = wrapped(Inbound::Tcp).ecs_stops(3000).finish();
    assert_eq!(
        world.stop_story()[6..],
        [
            (26, "peers-updated: confirmed"),
            (526, "> drain"),
            (526, "apps-released"),
            (586, "inbound-drained"),
            (726, "apps-stopped"),
            (726, "> term envoy"),
            (759, "envoy-exited"),
            (759, "> deregister"),
            (762, "> term consul"),
            (4762, "agent-left"),
            (4762, "all-exited"),
            (4762, "> exit 0"),
        ]
    );
}

#[test]
fn tcp_connections_that_nobody_ends_are_waited_for_no_longer_than_the_drain() {
    let script = Script { drains: None, ..script(App::wrapped("app")) };
    let world = World::of(plan(Inbound::Tcp), script).ecs_stops(3000).finish();
    assert_eq!(
        world.stop()[4..],
        [
            (526, "apps-released"),
            (10_526, "inbound-drained: timeout"),
            (10_526, "apps-stopped"),
            (10_559, "envoy-exited"),
            (14_562, "agent-left"),
            (14_562, "all-exited"),
            (14_562, "> exit 0"),
        ]
    );
}

#[test]
fn without_inbound_there_is_nothing_to_drain() {
    let world = wrapped(Inbound::None).ecs_stops(3000).finish();
    assert_eq!(world.count("> drain"), 0);
    assert_eq!(
        world.stop()[3..6],
        [(26, "peers-updated: confirmed"), (526, "apps-released"), (726, "apps-stopped")]
    );
}

#[test]
fn an_unwrapped_app_that_ends_at_once_cuts_all_waiting_short() {
    let world = World::of(plan(Inbound::Http), script(App::new("app").ends(Some(8))))
        .ecs_stops(3000)
        .finish();
    // Nobody is left to protect when the read at 105 says so; nothing is written about waits that were given up.
    assert_eq!(
        world.stop(),
        [
            (0, "stop-noticed: term"),
            (1, "sync-stopped"),
            (6, "checks-critical"),
            (26, "peers-updated: confirmed"),
            (110, "apps-stopped"),
            (143, "envoy-exited"),
            (4146, "agent-left"),
            (4146, "all-exited"),
            (4146, "> exit 0"),
        ]
    );
}

#[test]
fn apps_that_are_gone_before_our_term_leave_nothing_to_wait_for() {
    // dependsOn: ECS stops in reverse order. The read that ends at 3312 is the first to tell, and tells all.
    let world = World::of(plan(Inbound::Http), script(App::new("app").ends(Some(50))))
        .at(3000, What::EcsStops)
        .event(3900, Event::Term)
        .finish();
    assert_eq!(world.stop()[0], (0, "stop-noticed: task-stopped"));
    assert_eq!(world.when("stop-noticed: task-stopped"), Some(3312));
    assert_eq!(
        world.stop_story()[1..],
        [
            (0, "> stop sync"),
            (1, "sync-stopped"),
            (1, "> withdraw"),
            (6, "checks-critical"),
            (6, "apps-stopped"),
            (6, "> term envoy"),
            (39, "envoy-exited"),
            (39, "> deregister"),
            (42, "> term consul"),
            (4042, "agent-left"),
            (4042, "all-exited"),
            (4042, "> exit 0"),
        ]
    );
}

#[test]
fn an_answer_that_nobody_waits_for_any_more_is_not_written_down() {
    // The app ends while the servers are silent; the propagation timer runs out in the middle of the leave.
    let script = Script { peers: None, agent_leaves: Some(8000), ..script(App::new("app")) };
    let world = World::of(plan(Inbound::Http), script).ecs_stops(3000).finish();
    let (left, timer) = (world.when("agent-left").unwrap(), 3006 + 5000);
    assert!(world.when("> term consul").unwrap() < timer && timer < left);
    assert_eq!(world.count("peers-updated: timeout"), 0);
}

#[test]
fn leave_first_begins_at_t0_and_skips_what_finds_no_agent() {
    let plan = Plan { leave: LeaveOrder::First, ..plan(Inbound::Http) };
    let world = World::of(plan, script(App::wrapped("app"))).ecs_stops(3000).finish();
    assert_eq!(
        world.stop_story(),
        [
            (0, "stop-noticed: term"),
            (0, "> stop sync"),
            (1, "sync-stopped"),
            (1, "> withdraw"),
            (1, "agent-leave-begun"),
            (1, "> term consul"),
            (6, "checks-critical"),
            (6, "> ask peers"),
            (26, "peers-updated: confirmed"),
            (526, "> drain"),
            (586, "inbound-drained"),
            (586, "apps-released"),
            (786, "apps-stopped"),
            (786, "> term envoy"),
            (819, "envoy-exited"),
            (4001, "agent-left"),
            (4001, "all-exited"),
            (4001, "> exit 0"),
        ]
    );
}

#[test]
fn leave_first_takes_the_agents_orderly_end_for_the_peers_word() {
    for leaves in [3, 40] {
        // Before the burst came back, or while the servers are asked.
        let plan = Plan { leave: LeaveOrder::First, ..plan(Inbound::Http) };
        let script =
            Script { agent_leaves: Some(leaves), peers: None, ..script(App::wrapped("app")) };
        let world = World::of(plan, script).ecs_stops(3000).finish();
        assert_eq!(world.when("peers-updated: confirmed"), Some(3001 + leaves));
        assert_eq!(world.when("> drain"), Some(3501 + leaves));
    }
}

#[test]
fn every_cause_has_its_name_and_its_exit_code() {
    let stop = Event::Admin(Request::Stop);
    let app_term = Event::Admin(Request::AppTerm { container: "app".to_owned() });
    let down = Event::ActorDown { actor: "registration", why: "a bug".to_owned() };
    for (event, cause, code) in [
        (Event::Term, "term", 0),
        (stop, "api", 0),
        (app_term, "app-term", 0),
        (down, "actor-failed", 3),
    ] {
        // ECS stops the task a little later in any case.
        let world = wrapped(Inbound::Http).event(3000, event).at(3200, What::EcsStops).finish();
        assert_eq!(world.stop()[0], (0, format!("stop-noticed: {cause}").as_str()));
        assert_eq!(world.code(), code, "{cause}");
        assert_eq!(world.stop().iter().filter(|(_, w)| w.starts_with("stop-noticed")).count(), 1);
    }
}

#[test]
fn in_a_stop_of_our_own_wrapped_apps_are_told_and_unwrapped_ones_not_awaited() {
    let world = World::with_apps([App::wrapped("app"), App::new("other").healthy()])
        .api_stops(3000)
        .finish();
    assert_eq!(
        world.stop()[4..],
        [
            (586, "inbound-drained"),
            (586, "apps-released"),
            (786, "apps-stopped: not awaited: other"),
            (819, "envoy-exited"),
            (4822, "agent-left"),
            (4822, "all-exited"),
            (4822, "> exit 0"),
        ]
    );
}

#[test]
fn an_unwrapped_app_still_serves_in_a_stop_of_our_own_so_peers_are_waited_for() {
    let world = World::new().api_stops(3000).finish();
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
fn min_delay_counts_from_the_burst() {
    let plan = Plan { min_delay: ms(3000), ..plan(Inbound::Http) };
    let world = World::of(plan, script(App::wrapped("app"))).ecs_stops(3000).finish();
    assert_eq!(
        world.stop()[2..5],
        [(6, "checks-critical"), (26, "peers-updated: confirmed"), (3066, "inbound-drained")]
    );
}

#[test]
fn min_delay_counts_also_where_no_burst_could_be_sent() {
    let plan = Plan { min_delay: ms(8000), ..plan(Inbound::Http) };
    let world = World::of(plan, script(App::wrapped("app")))
        .at(2999, What::Crash(Role::Agent))
        .ecs_stops(3000)
        .finish();
    assert_eq!(
        world.stop_story()[2..5],
        [(1, "sync-stopped"), (1, "peers-updated: servers-unreachable"), (8001, "> drain")]
    );
}

#[test]
fn a_second_term_means_now() {
    // In every phase of a stop in which something is awaited.
    for (second, phase) in [
        (3003, Phase::Withdrawing),
        (3020, Phase::Propagating),
        (3100, Phase::Dwelling),
        (3550, Phase::Draining),
        (3700, Phase::AwaitingApps),
    ] {
        let app = App::wrapped("app").ends(Some(10_000));
        let world = World::of(plan(Inbound::Http), script(app)).ecs_stops(3000).until(second);
        assert_eq!(world.phase(), phase);
        let world = world.event(second, Event::Term).finish();
        assert_eq!(world.when("deadline: second-term"), Some(second));
        let envoy = world.when("> term envoy").unwrap();
        assert_eq!(envoy, if phase == Phase::Withdrawing { 3006 } else { second });
        // The children are still asked, and not killed; Envoy before the agent.
        assert_eq!(world.when("agent-left"), Some(envoy + 33 + 3 + 4000));
        assert_eq!(world.code(), 0);
    }
}

#[test]
fn a_third_term_adds_nothing() {
    let app = App::wrapped("app").ends(Some(10_000));
    let world = World::of(plan(Inbound::Http), script(app))
        .ecs_stops(3000)
        .event(3700, Event::Term)
        .event(3701, Event::Term)
        .finish();
    assert_eq!(world.count("deadline: second-term"), 1);
}

#[test]
fn our_own_term_after_another_cause_is_the_first_one() {
    let app = App::wrapped("app").ends(Some(1000));
    let world = World::of(plan(Inbound::Http), script(app))
        .api_stops(3000)
        .event(3100, Event::Term)
        .finish();
    assert_eq!(world.count("deadline: second-term"), 0);
    assert_eq!(world.stop()[6], (1586, "apps-stopped"));
}
