//! Worlds made at random: what can be slow, silent, or wrong in them.

use crate::crew::What;
use crate::script::{App, Script, defined, ms, unread};
use crate::world::{World, plan};
use proptest::prelude::*;
use taskmesh::admin::Request;
use taskmesh::config::{LeaveOrder, OnBudgetSpent};
use taskmesh::supervisor::{
    Event, Inbound, Need, OwnChecks, PeersView, Plan, Role, Source, Synced, TimerId,
};

/// Coarse, so that things often happen at the same moment.
fn takes(most: u64) -> impl Strategy<Value = u64> {
    (1..=most / 10).prop_map(|n| n * 10)
}

/// It happens in that time, or, one time in eight, never.
fn perhaps(most: u64) -> impl Strategy<Value = Option<u64>> {
    prop_oneof![7 => takes(most).prop_map(Some), 1 => Just(None)]
}

fn own_checks(native: bool, synced: Synced) -> OwnChecks {
    OwnChecks { native, synced }
}

fn any_plan() -> impl Strategy<Value = Plan> {
    let inbound = prop_oneof![Just(Inbound::Http), Just(Inbound::Tcp), Just(Inbound::None)];
    let checks = prop_oneof![
        2 => Just(own_checks(false, Synced::Auto)),
        1 => Just(own_checks(true, Synced::Named(Vec::new()))),
        1 => any::<bool>().prop_map(|native| own_checks(native, Synced::Named(vec!["a".to_owned()]))),
    ];
    let leave = prop_oneof![Just(LeaveOrder::Last), Just(LeaveOrder::First)];
    let spent = prop_oneof![Just(OnBudgetSpent::Stop), Just(OnBudgetSpent::Keep)];
    let times = (takes(60_000), takes(40_000), takes(60_000), takes(6000), 100..2000_u64);
    let waits = (takes(6000), takes(2000), takes(6000), takes(8000), takes(12_000));
    (inbound, checks, leave, spent, times, waits, 0..4_u32, any::<bool>()).prop_map(
        |(inbound, own_checks, leave, on_budget_spent, times, waits, budget, strict_exit)| {
            let (start, stop, total, leave_reserve, kill_reserve) = times;
            let (propagation, dwell, dwell_unacked, min_delay, drain) = waits;
            let mut plan = Plan {
                own_checks,
                leave,
                on_budget_spent,
                start_timeout: ms(start),
                // As the configuration demands at the least; the parts need not fit.
                stop_timeout: ms(stop.max(2000)),
                total_stop: ms(total.max(2000)),
                leave_reserve: ms(leave_reserve),
                kill_reserve: ms(kill_reserve),
                propagation_timeout: ms(propagation),
                dwell: ms(dwell),
                dwell_unacked: ms(dwell_unacked),
                min_delay: ms(min_delay),
                drain_timeout: ms(drain),
                strict_exit,
                ..plan(inbound)
            };
            plan.restart.budget = budget;
            plan
        },
    )
}

fn any_app(name: &'static str) -> impl Strategy<Value = App> {
    (any::<bool>(), any::<bool>(), any::<bool>(), takes(3000), perhaps(4000)).prop_map(
        move |(wrapped, health, waits_for_ready, starts, ends)| App {
            name,
            wrapped,
            health,
            waits_for_ready,
            restarts: false,
            starts,
            ends,
        },
    )
}

fn any_peers() -> impl Strategy<Value = Option<(u64, PeersView)>> {
    let view = prop_oneof![
        4 => Just(PeersView::Confirmed),
        1 => Just(PeersView::NeverShown),
        1 => Just(PeersView::Unreachable("500".to_owned())),
    ];
    prop_oneof![6 => (takes(800), view).prop_map(Some), 1 => Just(None)]
}

/// Early, late, never; some of the apps, all of them, none.
fn any_definition() -> impl Strategy<Value = Option<(u64, Event)>> {
    let answer = prop_oneof![
        3 => prop_oneof![Just(&[][..]), Just(&["a"][..]), Just(&["a", "b"][..])].prop_map(defined),
        1 => any::<bool>().prop_map(|last| unread("no", last)),
    ];
    prop_oneof![6 => (takes(6000), answer).prop_map(Some), 1 => Just(None)]
}

fn any_script() -> impl Strategy<Value = Script> {
    let apps = prop_oneof![
        Just(Vec::new()),
        any_app("a").prop_map(|a| vec![a]),
        (any_app("a"), any_app("b")).prop_map(|(a, b)| vec![a, b]),
    ];
    // A spawn is answered at once or fails; where it is not answered at all is a scenario of its own.
    let spawn = (takes(50), prop::option::weighted(0.1, (any_role(), any::<bool>())));
    let start = (perhaps(300), perhaps(300), perhaps(900), perhaps(100), perhaps(300));
    let serve = (perhaps(300), perhaps(2000), perhaps(200), takes(600));
    let stop = (perhaps(700), perhaps(2500), perhaps(9000), perhaps(1200));
    let ends = (perhaps(5000), perhaps(4000), 1..20_u64);
    (apps, any_definition(), spawn, start, serve, stop, any_peers(), ends).prop_map(
        |(apps, definition, spawn, start, serve, stop, peers, ends)| Script {
            metadata: Some(serve.3),
            interval: 500,
            definition,
            spawn: Some(spawn.0),
            spawn_fails: spawn.1,
            answers: start.0,
            joins: start.1,
            registers: start.2,
            bootstraps: start.3,
            live: start.4,
            listens: serve.0,
            app_accepts: serve.1,
            offers: serve.2,
            quiet: stop.0,
            withdraws: stop.1,
            withdraw_error: None,
            peers,
            drains: stop.2,
            deregisters: stop.3,
            agent_leaves: ends.0,
            envoy_exits: ends.1,
            dies_on_kill: Some(ends.2),
            apps,
            ..Script::default()
        },
    )
}

fn any_role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Agent), Just(Role::Envoy)]
}

fn any_need() -> impl Strategy<Value = Need> {
    prop_oneof![Just(Need::AgentStart), Just(Need::AgentToken), Just(Need::ServiceToken)]
}

/// Secrets that come late, or never.
fn any_secrets() -> impl Strategy<Value = Vec<(Need, Option<u64>)>> {
    prop_oneof![
        3 => Just(Vec::new()),
        1 => prop::collection::vec((any_need(), perhaps(3000)), 1..4),
    ]
}

/// What can happen from outside at any time.
fn any_happening() -> impl Strategy<Value = What> {
    let fact = |event| Just(What::Fact(event, None));
    prop_oneof![
        4 => any_role().prop_map(What::Crash),
        2 => fact(Event::Term),
        2 => Just(What::EcsStops),
        1 => fact(Event::Admin(Request::Stop)),
        2 => (0..1_usize, 0..2_i32).prop_map(|(i, code)| What::AppEnds(i, code)),
        1 => fact(Event::RegistrationLost("lost".to_owned())),
        1 => fact(Event::RegistrationRefused("refused".to_owned())),
        1 => fact(Event::TaskUnreadable("down".to_owned())),
        1 => fact(Event::ActorDown { actor: "envoy", why: "a bug".to_owned() }),
        1 => Just(What::Change(|s| s.metadata = None)),
        2 => any_need().prop_map(|need| What::Fact(Event::SecretRead(need), None)),
        1 => fact(Event::AgentTokenReplaced),
        1 => fact(Event::Hangup),
    ]
}

/// What no sound actor says, or not then.
fn any_garbage() -> impl Strategy<Value = Event> {
    let app = || "a".to_owned();
    let id = prop_oneof![
        Just(TimerId::Start),
        Just(TimerId::Definition),
        any_role().prop_map(TimerId::Restart),
        Just(TimerId::Hush),
        Just(TimerId::Withdraw),
        Just(TimerId::Peers),
        Just(TimerId::Dwell),
        Just(TimerId::Drain),
        Just(TimerId::TermAgain),
        Just(TimerId::EnvoyExit),
        Just(TimerId::Deregister),
        Just(TimerId::Cut),
        Just(TimerId::Deadline),
        Just(TimerId::End),
    ];
    prop_oneof![
        4 => (id, 50..60_u32).prop_map(|(id, generation)| Event::Timer { id, generation }),
        1 => any_role().prop_map(|role| Event::ChildStarted { role, pid: 999 }),
        1 => any_role().prop_map(|role| Event::Unresponsive { role, pid: 998, silent: ms(15_000) }),
        1 => Just(Event::ListenerMissed { pid: 998 }),
        1 => Just(defined(&["b"])),
        1 => Just(unread("what", true)),
        1 => Just(Event::AgentAnswers),
        1 => Just(Event::AgentJoined),
        1 => Just(Event::Registered),
        1 => Just(Event::BootstrapWritten),
        1 => Just(Event::EnvoyLive),
        1 => Just(Event::ListenerOpen),
        1 => Just(Event::AppAccepts),
        1 => Just(Event::Offered),
        1 => Just(Event::Quiet(Source::HealthSync)),
        1 => Just(Event::Quiet(Source::Envoy)),
        1 => Just(Event::Withdrawn(Err("what".to_owned()))),
        1 => Just(Event::Peers(PeersView::Confirmed)),
        1 => Just(Event::InboundDrained),
        1 => Just(Event::Deregistered(Ok(()))),
        1 => Just(Event::Admin(Request::AppDetached { container: app() })),
        1 => Just(Event::Admin(Request::AppAttached { container: app(), pid: 1 })),
    ]
}

/// A world that is told to end by `TERM` at 20 s at the latest.
pub(crate) fn any_world() -> impl Strategy<Value = World> {
    let happenings = prop::collection::vec((takes(15_000), any_happening()), 0..6);
    let parts = (any_plan(), any_script(), any_secrets(), happenings);
    parts.prop_map(|(mut plan, script, secrets, happenings)| {
        plan.awaits = secrets.iter().map(|(need, _)| *need).collect();
        let mut world = World::of(plan, script).at(20_000, What::EcsStops);
        for (need, at) in secrets {
            if let Some(at) = at {
                world.put(ms(at), What::Fact(Event::SecretRead(need), None));
            }
        }
        for (at, what) in happenings {
            let known = !matches!(what, What::AppEnds(i, _) if i >= world.crew.script.apps.len());
            if known {
                world.put(ms(at), what);
            }
        }
        world.event(20_010, Event::Term)
    })
}

/// The same, with events that make no sense.
pub(crate) fn any_mad_world() -> impl Strategy<Value = World> {
    let garbage = prop::collection::vec((takes(25_000), any_garbage()), 1..10);
    (any_world(), garbage).prop_map(|(mut world, garbage)| {
        for (at, event) in garbage {
            world.put(ms(at), What::Fact(event, None));
        }
        world
    })
}
