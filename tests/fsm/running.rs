//! Repairs of a task that serves: children that die, registrations that are lost.

use crate::crew::What;
use crate::script::{Script, defined, ms};
use crate::world::{World, plan};
use std::time::Duration;
use taskmesh::config::OnBudgetSpent;
use taskmesh::supervisor::{Effect, Event, Inbound, Phase, Plan, Role, Source};
use testbed::faults::{Kind, Witness};

fn since(world: &World, at: u64) -> Vec<(u64, &str)> {
    world.story().into_iter().filter(|(t, _)| *t >= at).collect()
}

#[test]
fn an_envoy_that_dies_is_back_and_its_check_passes_at_once() {
    let world = World::new().at(3000, What::Crash(Role::Envoy)).until(10_000);
    let story = since(&world, 3000);
    // The backoff is jittered between a half and the whole of 100 ms.
    let start = story[2].0;
    assert!((3050..=3100).contains(&start), "{story:?}");
    assert_eq!(
        story,
        [
            // Its check would tell peers of it only at its next run.
            (3000, "> cover"),
            (3000, "child-exited: envoy: exit code 1"),
            (start, "> start envoy"),
            (start + 1, "child-restarted: envoy"),
            (start + 61, "> pass proxy check"),
            (start + 61, "> uncover"),
        ]
    );
    assert_eq!(world.phase(), Phase::Serving);
}

#[test]
fn an_envoy_that_dies_again_before_it_listens_is_covered_once() {
    let world = World::new()
        .change(2999, |s| s.listens = Some(500))
        .at(3000, What::Crash(Role::Envoy))
        .at(3200, What::Crash(Role::Envoy))
        .until(10_000);
    assert_eq!(world.count("child-restarted: envoy"), 2, "{:?}", since(&world, 3000));
    assert_eq!((world.count("> cover"), world.count("> uncover")), (1, 1));
}

#[test]
fn an_envoy_that_dies_before_it_ever_listened_needs_no_cover() {
    let world = World::new().at(180, What::Crash(Role::Envoy)).until(10_000);
    assert_eq!(world.count("child-restarted: envoy"), 1);
    assert_eq!((world.count("> cover"), world.count("> uncover")), (0, 0));
    assert_eq!(world.count("offered"), 1);
}

#[test]
fn an_envoy_that_dies_while_the_app_is_awaited_keeps_the_hold_until_it_listens() {
    // It dies at 1000, the app accepts at 1020 (and is known to have no check): the hold ends with the listener.
    let script = Script { app_accepts: Some(813), ..Script::default() };
    let world = World::of(plan(Inbound::Http), script).at(1000, What::Crash(Role::Envoy));
    let world = world.until(10_000);
    let open = world.when("child-restarted: envoy").unwrap() + 60;
    assert_eq!(world.when("> end hold"), Some(open), "{:?}", world.story());
    assert_eq!((world.count("> cover"), world.count("> uncover")), (0, 0));
    assert_eq!(world.count("offered"), 1);
}

#[test]
fn an_agent_that_comes_back_while_envoy_is_down_is_told_so() {
    let world = World::new()
        .change(2999, |s| s.listens = Some(2000))
        .at(3000, What::Crash(Role::Envoy))
        .at(3000, What::Crash(Role::Agent))
        .until(10_000);
    assert_eq!(world.count("> register covered []"), 1, "{:?}", since(&world, 3000));
    let uncovered = world.when("> uncover").unwrap();
    assert!(uncovered > world.when("> register covered []").unwrap());
    // Both are back: what is registered now is not covered.
    let world = world.event(11_000, Event::RegistrationLost("service".to_owned())).until(12_000);
    assert_eq!(world.story().last().unwrap().1, "> pass proxy check");
    assert_eq!(since(&world, 11_000)[0], (11_000, "> register []"));
}

#[test]
fn a_hold_that_is_over_while_envoy_is_down_leaves_it_covered() {
    // The task definition tells of a health check, so the port does not decide any more; but nobody listens.
    let definition = Some((3000, defined(&["app"])));
    let script = Script { definition, app_accepts: None, ..Script::default() };
    let world = World::of(plan(Inbound::Http), script)
        .change(2999, |s| s.listens = Some(2000))
        .at(3000, What::Crash(Role::Envoy))
        .until(10_000);
    let open = world.when("child-restarted: envoy").unwrap() + 2000;
    assert_eq!(world.when("> register covered [app]"), Some(3005), "{:?}", since(&world, 3000));
    assert_eq!((world.count("> cover"), world.when("> uncover")), (0, Some(open)));
}

#[test]
fn an_envoy_that_is_down_when_the_stop_comes_is_neither_covered_nor_uncovered_in_it() {
    for at in [2999, 3000, 3003] {
        let world = World::new().at(at, What::Crash(Role::Envoy)).ecs_stops(3000).finish();
        assert_eq!(world.count("> cover"), usize::from(at <= 3000), "{at}");
        assert_eq!((world.count("> uncover"), world.code()), (0, 0));
    }
}

#[test]
fn an_agent_that_dies_is_registered_again() {
    let world = World::new().at(3000, What::Crash(Role::Agent)).until(10_000);
    let story = since(&world, 3000);
    let start = story[1].0;
    assert_eq!(
        story,
        [
            (3000, "child-exited: consul: exit code 1"),
            (start, "> start consul"),
            (start + 1, "child-restarted: consul"),
            (start + 101, "> register []"),
            (start + 111, "registration-repaired: agent restarted"),
            (start + 111, "> pass proxy check"),
        ]
    );
}

/// It has not answered for 15 s.
fn silent(world: &World, role: Role) -> Event {
    let pid = world.machine.child(role).pid().unwrap();
    Event::Unresponsive { role, pid, silent: ms(15_000) }
}

#[test]
fn a_child_that_does_not_answer_is_killed_and_started_again_after_its_exit() {
    for (role, name) in [(Role::Envoy, "envoy"), (Role::Agent, "consul")] {
        // The kernel takes its time: what is started before the exit would find its ports taken.
        let mut world = World::new().change(2999, |s| s.dies_on_kill = Some(700)).until(3000);
        for _told_twice in 0..2 {
            world.take(silent(&world, role));
        }
        let world = world.until(10_000);
        let words = format!(
            "child-exited: {name}: killed by us: it was alive, but had not answered for 15 s"
        );
        assert_eq!(world.count(&format!("> kill {name}")), 1);
        assert_eq!(world.when(&words), Some(3700), "{:?}", since(&world, 3000));
        let start = since(&world, 3000).into_iter().find(|(_, w)| w.starts_with("> start"));
        assert!(start.unwrap().0 >= 3750, "{start:?}");
        assert_eq!(world.count(&format!("child-restarted: {name}")), 1);
        // It is no child that a stop had to kill.
        let world = world.ecs_stops(11_000).finish();
        assert_eq!((world.count(&format!("killed: {name}")), world.code()), (0, 0));
    }
}

#[test]
fn an_envoy_that_cannot_get_its_port_any_more_is_replaced() {
    let world = World::new().until(3000);
    let pid = world.machine.child(Role::Envoy).pid().unwrap();
    let missed = Event::ListenerMissed { pid };
    let world = world.event(3000, missed.clone()).event(8000, missed).until(10_000);
    let words = "child-exited: envoy: killed by us: another process had its public listener's port, and has let go of it";
    assert_eq!(world.count(words), 1, "{:?}", since(&world, 3000));
    // The second word was about the first life.
    assert_eq!((world.count("> kill envoy"), world.count("child-restarted: envoy")), (1, 1));
}

#[test]
fn a_word_about_an_earlier_life_or_in_a_stop_kills_nobody() {
    let mut world = World::new().until(3000);
    let old = silent(&world, Role::Envoy);
    let world2 = world.clone().at(3000, What::Crash(Role::Envoy)).event(4000, old.clone());
    assert_eq!(world2.until(10_000).count("> kill envoy"), 0);
    world = world.ecs_stops(3000).event(3001, old).finish();
    assert_eq!((world.count("> kill envoy"), world.code()), (0, 0));
}

#[test]
fn a_hung_child_that_is_killed_as_the_stop_comes_ends_in_its_words() {
    let mut world = World::new().change(2999, |s| s.dies_on_kill = Some(700)).until(3000);
    world.take(silent(&world, Role::Envoy));
    let world = world.ecs_stops(3001).finish();
    let words = "envoy-exited: killed by us: it was alive, but had not answered for 15 s";
    assert_eq!((world.count(words), world.count("> start envoy"), world.code()), (1, 1, 0));
}

#[test]
fn servers_that_are_away_for_half_an_hour_stop_and_restart_nothing() {
    const HALF_AN_HOUR: u64 = 1_800_000;
    let source = Source::ConsulServers;
    let away = Event::Trouble { source, why: Some("no server answers".to_owned()) };
    let world = World::new().event(3000, away.clone()).event(60_000, away).until(HALF_AN_HOUR);
    assert_eq!(since(&world, 3000), [], "nothing is done about it");
    // Health is still told to the agent, whose TTLs would run out.
    let syncs =
        world.effects.iter().filter(|(at, e)| *at > ms(3000) && matches!(e, Effect::Sync(_)));
    assert!(syncs.count() > 3000);
    let status = world.status();
    let problem = status.problems.iter().find(|p| p.what == "consul servers").unwrap();
    assert_eq!((problem.why.as_str(), problem.since_ms), ("no server answers", 3000.0));
    assert!(status.healthy && status.ready);
    let back = Event::Trouble { source, why: None };
    assert!(world.event(HALF_AN_HOUR, back).until(HALF_AN_HOUR + 1).status().problems.is_empty());
    let mut fault = Witness::of(Kind::Servers, "The servers are away for 30 minutes (simulated)");
    fault.shows("`/v1/status`: `consul servers`, since when");
    fault.ended("no exit, no child is restarted, TTLs are refreshed all the time");
}

#[test]
fn a_clock_that_leaps_ahead_stops_and_restarts_nothing() {
    // A host that was suspended for an hour: all that was due is done and told at once, as it goes on.
    const HOUR: u64 = 3_600_000;
    let mut world = World::new().until(3000);
    world.now = ms(HOUR);
    let world = world.until(HOUR + 60_000);
    assert_eq!(since(&world, 3000), []);
    let status = world.status();
    assert!(status.ready && status.healthy && status.problems.is_empty(), "{status:?}");
    let synced = |(at, e): &&(Duration, Effect)| *at > ms(HOUR) && matches!(e, Effect::Sync(_));
    assert!(world.effects.iter().filter(synced).count() > 100, "TTLs are refreshed again");
    // In a stop it cuts what waits, and no more.
    let mut world = World::new().ecs_stops(3000).until(3010);
    world.now = ms(HOUR);
    let world = world.until(HOUR + 60_000);
    assert!([0, 4].contains(&world.code()), "{:?}", world.stop());
    let mut fault = Witness::of(Kind::Machine, "The clock leaps ahead by an hour (simulated)");
    fault.shows("nothing: all that was late is done at once");
    fault.ended("no exit, no child is restarted; the wall clock decides nothing");
}

#[test]
fn why_a_child_is_down_is_told_with_its_last_line() {
    let world = World::new().at(3000, What::Crash(Role::Envoy)).until(3001);
    let pending = world.status().pending;
    let envoy = pending.iter().find(|p| p.latch == "envoy live").unwrap();
    assert_eq!(envoy.reason.as_deref(), Some("exit code 1; it last printed: the last line"));
}

#[test]
fn a_lost_registration_is_repaired() {
    let lost = Event::RegistrationLost("the agent does not know web".to_owned());
    let world = World::new().event(3000, lost).until(10_000);
    assert_eq!(
        since(&world, 3000),
        [
            (3000, "> register []"),
            (3010, "registration-repaired: the agent does not know web"),
            (3010, "> pass proxy check"),
        ]
    );
}

#[test]
fn a_loss_that_is_told_twice_or_of_a_dead_agent_is_repaired_once() {
    let lost = || Event::RegistrationLost("lost".to_owned());
    let world = World::new().event(3000, lost()).event(3005, lost()).until(10_000);
    assert_eq!(since(&world, 3000).iter().filter(|(_, w)| w.starts_with("> register")).count(), 1);
    let world = World::new().at(3000, What::Crash(Role::Agent)).event(3001, lost()).until(10_000);
    assert_eq!(since(&world, 3000).iter().filter(|(_, w)| w.starts_with("> register")).count(), 1);
}

#[test]
fn a_repair_that_is_refused_never_stops_the_task() {
    let world = World::new()
        .change(2999, |s| s.registers = None)
        .event(3000, Event::RegistrationLost("service web".to_owned()))
        .event(7000, Event::RegistrationRefused("status 400: no".to_owned()))
        .event(37_000, Event::RegistrationRefused("status 400: no".to_owned()))
        .until(100_000);
    assert_eq!((world.count("stop-noticed"), world.exit), (0, None));
    let status = world.status();
    let held: Vec<_> = status.pending.iter().map(|p| (&p.latch[..], p.reason.as_deref())).collect();
    assert_eq!(held, [("registration", Some("status 400: no"))]);
    assert!(status.healthy && !status.ready);
    let problem = status.problems.iter().find(|p| p.what == "registration").unwrap();
    assert_eq!((problem.why.as_str(), problem.since_ms), ("status 400: no", 7000.0));
    // Once it works again, it is a repair like any other.
    let world = world.event(100_001, Event::Registered).until(100_010);
    assert_eq!(world.when("registration-repaired: service web"), Some(100_001));
}

#[test]
fn a_held_instance_is_registered_as_held_again() {
    let script = Script { app_accepts: Some(5000), ..Script::default() };
    let world =
        World::of(plan(Inbound::Http), script).at(1000, What::Crash(Role::Agent)).until(10_000);
    let again = since(&world, 1000).into_iter().find(|(_, w)| w.starts_with("> register"));
    assert_eq!(again.unwrap().1, "> register held []");
    assert_eq!((world.when("> end hold"), world.count("offered")), (Some(5212), 1));
}

#[test]
fn a_last_word_that_arrives_behind_the_exit_is_no_fact() {
    // The probe and the wait are two tasks: either may be heard first.
    let world = World::new()
        .at(3000, What::Crash(Role::Agent))
        .event(3001, Event::AgentAnswers)
        .event(3001, Event::AgentJoined)
        .at(3000, What::Crash(Role::Envoy))
        .event(3001, Event::EnvoyLive)
        .event(3001, Event::ListenerOpen)
        .until(3002);
    let held: Vec<_> = world.status().pending.into_iter().map(|p| p.latch).collect();
    let down = ["consul agent", "registration", "envoy live", "envoy listeners", "consul servers"];
    assert_eq!(held, down);
    assert_eq!(since(&world, 3001), []);
}

/// Envoy dies as soon as it runs.
fn crash_loop(plan: Plan, until: u64) -> World {
    let mut world = World::of(plan, Script::default()).until(3000);
    while world.exit.is_none() && world.now < ms(until) {
        let now = world.now;
        if world.machine.child(Role::Envoy).is_up() && !world.phase().stopping() {
            world.put(now, What::Crash(Role::Envoy));
        }
        world.run(now + ms(1));
    }
    world
}

#[test]
fn a_spent_budget_is_an_orderly_stop_with_3() {
    let world = crash_loop(plan(Inbound::Http), 200_000);
    // Ten restarts are tolerated; the eleventh death is one too many.
    assert_eq!(world.count("child-exited: envoy: exit code 1"), 11);
    assert_eq!(world.count("child-restarted: envoy"), 10);
    assert_eq!(
        world.machine.facts().last_words(),
        Some(
            "envoy died 11 times within 10m, and restart.budget is 10: exit code 1; it last printed: the last line"
        )
    );
    assert_eq!(
        world.stop(),
        [
            (0, "stop-noticed: restart-budget"),
            (1, "sync-stopped"),
            (6, "checks-critical"),
            (26, "peers-updated: confirmed"),
            // No Envoy: nothing to drain. The unwrapped app is ended by our exit.
            (526, "apps-stopped: not awaited: app"),
            (4529, "agent-left"),
            (4529, "all-exited"),
            (4529, "> exit 3"),
        ]
    );
}

#[test]
fn with_keep_the_budget_never_ends_the_task() {
    let plan = Plan { on_budget_spent: OnBudgetSpent::Keep, ..plan(Inbound::Http) };
    let world = crash_loop(plan, 200_000);
    assert!(world.count("child-restarted: envoy") > 15);
    assert_eq!((world.phase(), world.exit), (Phase::Serving, None));
}

#[test]
fn the_agents_deaths_never_end_the_task() {
    let mut world = World::new().until(3000);
    while world.exit.is_none() && world.now < ms(600_000) {
        let now = world.now;
        if world.machine.child(Role::Agent).is_up() {
            world.put(now, What::Crash(Role::Agent));
        }
        world.run(now + ms(1));
    }
    let starts: Vec<_> =
        world.effects.iter().filter(|(_, e)| *e == Effect::StartChild(Role::Agent)).collect();
    assert!(starts.len() > 15, "{}", starts.len());
    let longest = starts.windows(2).map(|w| w[1].0 - w[0].0).max().unwrap();
    assert!((ms(15_000)..=ms(30_010)).contains(&longest), "{longest:?}");
    assert_eq!((world.phase(), world.exit), (Phase::Serving, None));
}

#[test]
fn a_budget_counts_deaths_within_the_window_only() {
    let mut world = World::new().until(3000);
    // A death every 65 s: ten of them never lie within one window of ten minutes.
    for n in 1..=60 {
        world.put(ms(n * 65_000), What::Crash(Role::Envoy));
    }
    let world = world.until(61 * 65_000);
    assert_eq!(world.count("child-restarted: envoy"), 60);
    // And each came back quickly: an Envoy that ran for a tenth of the window is no crash loop.
    let starts: Vec<_> =
        world.story().into_iter().filter(|(_, w)| w.ends_with("> start envoy")).collect();
    assert!(starts[1..].iter().all(|(at, _)| at % 65_000 <= 100), "{starts:?}");
}

#[test]
fn metadata_that_is_lost_keeps_the_sync_alive() {
    let world = World::new().change(3000, |s| s.metadata = None).until(5000);
    let blind = world.effects.iter().filter(|(_, e)| *e == Effect::SyncBlind).count();
    assert!((3..=4).contains(&blind), "{blind}");
    assert_eq!(world.phase(), Phase::Serving);
}
