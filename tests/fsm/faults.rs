//! Stops in which something does not do what it should: every wait has an end, and the exit comes in time.

use crate::crew::What;
use crate::script::{App, Script, ms};
use crate::world::{World, plan};
use taskmesh::config::LeaveOrder;
use taskmesh::supervisor::{Event, Inbound, PeersView, Plan, Role, Source, TimerId};

/// A wrapped http app that ECS stops at 3000, and one thing that is wrong.
fn stopped_with(fault: impl FnOnce(&mut Script)) -> World {
    let mut script = Script { apps: vec![App::wrapped("app")], ..Script::default() };
    fault(&mut script);
    World::of(plan(Inbound::Http), script).ecs_stops(3000)
}

#[test]
fn actors_that_do_not_fall_silent_are_waited_for_no_longer_than_500_ms() {
    let world = stopped_with(|s| s.quiet = None).finish();
    assert_eq!(world.stop()[1..3], [(500, "sync-stopped"), (505, "checks-critical")]);
}

#[test]
fn a_burst_without_an_answer_ends_after_2_s() {
    let world = stopped_with(|s| s.withdraws = None).finish();
    assert_eq!(
        world.stop()[2..4],
        [(2001, "checks-critical: the agent did not answer"), (2021, "peers-updated: confirmed")]
    );
}

#[test]
fn a_burst_that_is_refused_says_so_and_goes_on() {
    let world = stopped_with(|s| s.withdraw_error = Some("403 Permission denied")).finish();
    assert_eq!(world.stop()[2], (6, "checks-critical: 403 Permission denied"));
    assert_eq!(world.code(), 0);
}

#[test]
fn each_word_about_the_peers_has_its_dwell() {
    let unreachable = || PeersView::Unreachable("500".to_owned());
    for (peers, words, at, dwell) in [
        (Some((20, PeersView::Confirmed)), "confirmed", 26, 500),
        (Some((20, PeersView::NeverShown)), "never-offered", 26, 5000),
        (Some((20, unreachable())), "servers-unreachable", 5006, 5000),
        (None, "timeout", 5006, 5000),
    ] {
        let world = stopped_with(|s| s.peers = peers.clone()).finish();
        assert_eq!(world.stop()[3], (at, format!("peers-updated: {words}").as_str()));
        assert_eq!(world.when("> drain"), Some(3000 + at + dwell), "{words}");
        assert_eq!(world.code(), 0);
    }
}

#[test]
fn an_instance_that_was_never_offered_needs_no_dwell() {
    // Its port never accepts, so it is held until the end; the servers never showed it.
    let world = stopped_with(|s| {
        s.app_accepts = None;
        s.peers = Some((20, PeersView::NeverShown));
    })
    .finish();
    assert_eq!(world.when("offered"), None);
    assert_eq!(world.stop()[3..5], [(26, "peers-updated: never-offered"), (86, "inbound-drained")]);
}

#[test]
fn an_instance_that_may_just_have_been_offered_has_its_dwell() {
    // Its checks pass at 207 and the agent's word of it comes at 219; the answer that never shows it proves nothing.
    let native = taskmesh::supervisor::OwnChecks {
        native: true,
        synced: taskmesh::supervisor::Synced::Named(Vec::new()),
    };
    let plan = Plan { own_checks: native, ..plan(Inbound::Http) };
    for (stop, dwell) in [(206, 0), (210, 5000)] {
        let apps = vec![App { waits_for_ready: false, starts: 1, ..App::new("app").ends(None) }];
        let peers = Some((20, PeersView::NeverShown));
        let world = World::of(plan.clone(), Script { apps, peers, ..Script::default() });
        let world = world.ecs_stops(stop).finish();
        assert_eq!(world.when("offered"), None);
        let told = world.when("peers-updated: never-offered").unwrap();
        let drained = world.when("> drain").unwrap();
        assert_eq!(drained - told, dwell, "{:?}", world.stop());
    }
}

#[test]
fn a_drain_that_does_not_end_is_ended() {
    let world = stopped_with(|s| s.drains = None).finish();
    assert_eq!(
        world.stop()[4..7],
        [(10_526, "inbound-drained: timeout"), (10_526, "apps-released"), (10_726, "apps-stopped")]
    );
    assert_eq!(world.code(), 0);
}

#[test]
fn a_deregistration_without_an_answer_ends_after_1_s() {
    let world = stopped_with(|s| s.deregisters = None).finish();
    assert_eq!(world.when("> term consul"), Some(3819 + 1000));
}

#[test]
fn an_app_that_never_ends_is_left_at_the_cut() {
    let world = stopped_with(|s| s.apps[0].ends = None).finish();
    // stopTimeout 30 s less 1 s for killing and 5 s for the leave.
    assert_eq!(
        world.stop()[5..],
        [
            (586, "apps-released"),
            (24_000, "deadline: apps: app"),
            (24_033, "envoy-exited"),
            (28_036, "agent-left"),
            (28_036, "all-exited"),
            (28_036, "> exit 4"),
        ]
    );
}

#[test]
fn before_our_own_term_only_total_stop_counts() {
    // ECS gives a Spot task 120 s in all, and TERM may come late in it, or never.
    let mut script = Script { apps: vec![App::new("app").ends(None)], ..Script::default() };
    let world = World::of(plan(Inbound::Http), script.clone()).at(3000, What::EcsStops).finish();
    let noticed = world.when("stop-noticed: task-stopped").unwrap();
    assert_eq!(world.when("deadline: apps: app"), Some(noticed + 104_000));
    // From TERM on stopTimeout counts, and it does not lengthen what is left of totalStop.
    for (term, cut) in [(50_000, 50_000 + 24_000), (100_000, noticed + 104_000)] {
        script.apps[0].ends = None;
        let world = World::of(plan(Inbound::Http), script.clone())
            .at(3000, What::EcsStops)
            .event(term, Event::Term)
            .finish();
        assert_eq!(world.when("deadline: apps: app"), Some(cut));
    }
}

#[test]
fn total_stop_bounds_a_stop_of_our_own_too() {
    let plan = Plan { total_stop: ms(20_000), ..plan(Inbound::Http) };
    let apps = vec![App::wrapped("app").ends(None)];
    let world = World::of(plan, Script { apps, ..Script::default() }).api_stops(3000).finish();
    assert_eq!(world.when("deadline: apps: app"), Some(3000 + 14_000));
}

#[test]
fn an_envoy_that_ignores_term_is_killed_and_the_agent_still_leaves() {
    let world = stopped_with(|s| s.envoy_exits = None).finish();
    assert_eq!(
        world.stop_story()[10..],
        [
            (786, "apps-stopped"),
            (786, "> term envoy"),
            (3786, "killed: envoy"),
            (3786, "> kill envoy"),
            (3788, "envoy-exited: killed by SIGKILL"),
            (3788, "> deregister"),
            (3791, "> term consul"),
            (7791, "agent-left"),
            (7791, "all-exited"),
            (7791, "> exit 4"),
        ]
    );
}

#[test]
fn an_agent_that_ignores_term_is_killed_at_the_deadline() {
    let world = stopped_with(|s| s.agent_leaves = None).finish();
    assert_eq!(
        world.stop_story()[14..],
        [
            (822, "> term consul"),
            (29_000, "deadline: consul to leave"),
            (29_000, "killed: consul"),
            (29_000, "> kill consul"),
            (29_002, "agent-left: killed by SIGKILL"),
            (29_002, "all-exited"),
            (29_002, "> exit 4"),
        ]
    );
}

#[test]
fn what_does_not_die_of_kill_is_left_behind_in_time() {
    let world = stopped_with(|s| {
        s.agent_leaves = None;
        s.dies_on_kill = None;
    })
    .finish();
    // Before ECS's own KILL at 30 s, so that the code and the timeline file are still written.
    assert_eq!(
        world.stop()[9..],
        [
            (29_000, "killed: consul"),
            (29_800, "deadline: left behind: consul"),
            (29_800, "> exit 4")
        ]
    );
    assert_eq!(world.count("all-exited"), 0);
}

#[test]
fn a_start_that_is_never_answered_does_not_keep_us_for_ever() {
    // The actor failed between the order and the pid.
    let script = Script { spawn: None, ..Script::default() };
    let down = Event::ActorDown { actor: "consul_agent", why: "a bug".to_owned() };
    let world = World::of(plan(Inbound::Http), script).event(50, down).finish();
    assert_eq!(world.exit, Some((ms(50 + 29_800), 3)));
}

#[test]
fn an_agent_that_dies_in_the_stop_ends_what_needs_it() {
    // While the sync stops: no burst, no word of the peers, no deregistration.
    let world = stopped_with(|_| ()).at(3000, What::Crash(Role::Agent)).finish();
    assert_eq!(
        world.stop_story(),
        [
            (0, "stop-noticed: term"),
            (0, "> stop sync"),
            (0, "agent-left: exit code 1"),
            (1, "sync-stopped"),
            (1, "peers-updated: servers-unreachable"),
            (5001, "> drain"),
            (5061, "inbound-drained"),
            (5061, "apps-released"),
            (5261, "apps-stopped"),
            (5261, "> term envoy"),
            (5294, "envoy-exited"),
            (5294, "all-exited"),
            (5294, "> exit 0"),
        ]
    );
    // During the burst, while the servers are asked, while Envoy drains, while we deregister.
    for (at, words) in [
        (3003, "peers-updated: servers-unreachable"),
        (3020, "peers-updated: servers-unreachable"),
        (3560, "inbound-drained"),
        (3820, "all-exited"),
    ] {
        let world = stopped_with(|_| ()).at(at, What::Crash(Role::Agent)).finish();
        let story = world.story();
        let left = story.iter().position(|(_, w)| *w == "agent-left: exit code 1").unwrap();
        let next = story[left + 1..].iter().find(|(_, w)| !w.starts_with('>')).unwrap();
        assert_eq!((story[left].0, next.1), (at, words));
        assert_eq!((world.count("> term consul"), world.count("all-exited")), (0, 1));
        assert_eq!(world.code(), 0);
    }
}

#[test]
fn an_agent_that_is_down_when_the_stop_comes_is_not_started_again() {
    let world = stopped_with(|_| ()).at(2999, What::Crash(Role::Agent)).finish();
    assert_eq!(world.count("> start consul"), 1);
    assert_eq!(world.count("agent-left"), 0);
    assert_eq!(world.stop()[2], (1, "peers-updated: servers-unreachable"));
    assert_eq!(world.code(), 0);
}

#[test]
fn an_envoy_that_dies_in_the_stop_is_not_started_again() {
    for at in [2999, 3003, 3560, 3700] {
        let world = stopped_with(|_| ()).at(at, What::Crash(Role::Envoy)).finish();
        assert_eq!(world.count("> start envoy"), 1);
        assert_eq!(world.count("> term envoy"), 0);
        let exits = world.count("envoy-exited: exit code 1");
        assert_eq!(exits, usize::from(at >= 3000));
        // Peers are told all the same, apps are released and waited for.
        assert!(world.when("peers-updated: confirmed").is_some());
        assert!(world.when("apps-stopped").unwrap() > world.when("apps-released").unwrap());
        assert_eq!(world.code(), 0);
    }
}

#[test]
fn a_registration_that_comes_back_after_the_burst_is_withdrawn_again() {
    // The agent is so slow that the write on its way outlasts the 500 ms; the app does not end for a while.
    let apps = vec![App::new("app").ends(Some(5000))];
    let world = World::of(plan(Inbound::Http), Script { apps, ..Script::default() })
        .change(2800, |s| s.registers = Some(2000))
        .event(2900, Event::RegistrationLost("a check is gone".to_owned()))
        .ecs_stops(3000)
        .finish();
    let story = world.stop_story();
    let withdrawn: Vec<_> =
        story.iter().filter(|(_, what)| *what == "> withdraw").map(|(at, _)| *at).collect();
    assert_eq!(withdrawn, [500, 1901], "{story:?}");
    assert_eq!((world.count("checks-critical"), world.code()), (1, 0));
}

#[test]
fn whatever_write_comes_back_after_the_burst_is_withdrawn_again() {
    // The end of a hold or of a cover, which tells nothing but that it is over.
    let late = Event::Quiet(Source::Registration);
    let end = stopped_with(|s| s.quiet = None).event(4000, late.clone()).finish();
    assert_eq!(end.count("> withdraw"), 2, "{:?}", end.stop_story());
    // An agent that was told to leave has not left yet.
    let apps = vec![App::new("app").ends(Some(2000))];
    let script = Script { quiet: None, apps, ..Script::default() };
    let plan = Plan { leave: LeaveOrder::First, ..plan(Inbound::Http) };
    let end = World::of(plan, script).ecs_stops(3000).event(4000, late.clone()).finish();
    assert_eq!(end.count("> withdraw"), 2, "{:?}", end.stop_story());
    // In time it is nothing.
    let end = stopped_with(|s| s.quiet = None).event(3400, late).finish();
    assert_eq!(end.count("> withdraw"), 1, "{:?}", end.stop_story());
}

#[test]
fn what_is_told_twice_counts_once() {
    let twice = |role| {
        let exit = taskmesh::supervisor::Ending::Exit(crate::shared::children::killed());
        Event::ChildExited { role, exit, said: Vec::new() }
    };
    let world = stopped_with(|_| ())
        .event(2000, Event::ChildStarted { role: Role::Envoy, pid: 999 })
        .event(3820, twice(Role::Envoy))
        .event(3000, Event::InboundDrained)
        .event(3000, Event::Withdrawn(Ok(())))
        .event(3000, Event::Deregistered(Ok(())))
        .event(3003, Event::Peers(PeersView::Confirmed))
        .event(3900, Event::Withdrawn(Ok(())))
        .finish();
    assert_eq!(world.stop(), stopped_with(|_| ()).finish().stop());
}

#[test]
fn a_stale_timer_is_ignored() {
    let app = App::wrapped("app").ends(None);
    let script = Script { apps: vec![app], ..Script::default() };
    let mut world = World::of(plan(Inbound::Http), script).at(3000, What::EcsStops).until(4000);
    // The metadata armed them for totalStop; our own TERM then arms them again.
    world.take(Event::Term);
    for id in [TimerId::Cut, TimerId::Deadline, TimerId::End] {
        world.take(Event::Timer { id, generation: 1 });
        world.take(Event::Timer { id, generation: 3 });
    }
    assert_eq!(world.stop().iter().filter(|(_, w)| w.starts_with("deadline")).count(), 0);
    world.take(Event::Timer { id: TimerId::Cut, generation: 2 });
    assert_eq!(world.when("deadline: apps: app"), Some(4000));
}

#[test]
fn with_leave_first_the_deadline_kills_just_the_same() {
    let plan = Plan { leave: LeaveOrder::First, ..plan(Inbound::Http) };
    let apps = vec![App::wrapped("app")];
    let script = Script { agent_leaves: None, apps, ..Script::default() };
    let world = World::of(plan, script).ecs_stops(3000).finish();
    assert_eq!(world.count("> term consul"), 1);
    assert_eq!(world.exit, Some((ms(3000 + 29_002), 4)));
}

#[test]
fn an_agent_that_leaves_servers_it_cannot_reach_has_told_nobody() {
    // Found by the simulation: it exits with 0 all the same, and peers are sent here until the servers are back.
    let plan = Plan { leave: LeaveOrder::First, ..plan(Inbound::Http) };
    let peers = Some((20, PeersView::Unreachable("500".to_owned())));
    let apps = vec![App::wrapped("app")];
    let script = Script { peers, agent_leaves: Some(1000), apps, ..Script::default() };
    let world = World::of(plan, script).ecs_stops(3000).finish();
    let told = world.when("peers-updated: servers-unreachable").expect("their word");
    assert_eq!(Some(told), world.when("agent-left"));
    assert_eq!(world.when("> drain"), Some(told + 5000));
}
