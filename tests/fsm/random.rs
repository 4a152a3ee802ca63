//! Slow or silent actors, crashes, stops at any moment, events that make no sense: whatever the world, the machine keeps the
//! promises of its design.

use crate::any::{any_mad_world, any_world};
use crate::shared::promises::{check_budget, check_children, check_order, noticed};
use proptest::prelude::*;
use std::time::Duration;
use taskmesh::admin::Request;
use taskmesh::supervisor::{Event, Machine, Phase, Plan, TimerId, step};

/// What takes a fact back, or closes a wait that another fact of the same moment would have ended otherwise: there the
/// order matters by its nature.
fn races(event: &Event) -> bool {
    matches!(
        event,
        Event::ChildExited { .. }
            | Event::Timer { id: TimerId::Start | TimerId::Hush, .. }
            | Event::RegistrationLost(_)
            | Event::RegistrationRefused(_)
            | Event::TaskSeen(_)
            | Event::Admin(_)
    )
}

/// Takes the events of one instant in every order and compares where that leads.
fn compare_orders(plan: &Plan, machine: &Machine, now: Duration, events: &[Event]) {
    if events.len() > 5 {
        return;
    }
    let stops = |e: &Event| matches!(e, Event::Term | Event::Admin(Request::Stop));
    let only_facts = !events.iter().any(races);
    // Whatever races in a startup, a stop at the same moment ends it.
    if !only_facts && (machine.phase().stopping() || !events.iter().any(stops)) {
        return;
    }
    let mut order: Vec<usize> = (0..events.len()).collect();
    let mut first: Option<(Phase, String)> = None;
    permutations(&mut order, 0, &mut |order| {
        let mut m = machine.clone();
        for i in order {
            m = step(plan, m, now, events[*i].clone()).0;
        }
        let end = (m.phase(), format!("{order:?}"));
        match &first {
            None => first = Some(end),
            Some(first) => assert_eq!(first.0, end.0, "{events:?} as {} and {}", first.1, end.1),
        }
    });
}

fn permutations(order: &mut Vec<usize>, from: usize, look: &mut impl FnMut(&[usize])) {
    if from == order.len() {
        look(order);
        return;
    }
    for i in from..order.len() {
        order.swap(from, i);
        permutations(order, from + 1, look);
        order.swap(from, i);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_world_ends_in_order_and_in_time(world in any_world()) {
        let world = world.finish();
        check_order(&world);
        check_children(&world);
        check_budget(&world);
    }

    #[test]
    fn a_world_with_events_that_make_no_sense_ends_too(world in any_mad_world()) {
        let world = world.finish();
        check_order(&world);
        check_children(&world);
        let (exit, _) = world.exit.unwrap();
        prop_assert!(exit <= noticed(&world).1 + world.plan.total_stop);
    }

    #[test]
    fn the_order_of_one_moments_facts_does_not_matter(world in any_world()) {
        let mut world = world;
        world.on_instant = Some(compare_orders);
        world.finish();
    }

    #[test]
    fn what_does_not_die_of_kill_does_not_keep_us(world in any_world()) {
        let mut world = world;
        world.crew.script.dies_on_kill = None;
        let world = world.finish();
        let (exit, _) = world.exit.unwrap();
        prop_assert!(exit <= noticed(&world).1 + world.plan.total_stop);
    }
}
