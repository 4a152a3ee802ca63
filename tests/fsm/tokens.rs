//! Secrets that come later, and tokens that are replaced.

use crate::script::{Script, ms};
use crate::world::{World, plan};
use std::collections::BTreeSet;
use taskmesh::supervisor::{Effect, Event, Inbound, Need, Phase, Plan, Source};

/// A start at which these are not there yet.
fn without(needs: &[Need]) -> World {
    let awaits: BTreeSet<_> = needs.iter().copied().collect();
    World::of(Plan { awaits, ..plan(Inbound::Http) }, Script::default())
}

fn count(world: &World, effect: &Effect) -> usize {
    world.effects.iter().filter(|(_, done)| done == effect).count()
}

fn registrations(world: &World) -> usize {
    let register = |effect: &Effect| matches!(effect, Effect::Register { .. });
    world.effects.iter().filter(|(_, effect)| register(effect)).count()
}

/// The latches that `/ready` shows.
fn pending(world: &World) -> Vec<(String, Option<String>)> {
    let status = world.machine.status(&world.plan, "", world.now);
    status.pending.into_iter().map(|held| (held.latch, held.reason)).collect()
}

#[test]
fn the_agent_starts_beside_the_wait_for_tokens_and_the_rest_waits() {
    let why = "consul.serviceToken: secret mesh-api has no key token yet".to_owned();
    let trouble = Event::Trouble { source: Source::Secrets, why: Some(why.clone()) };
    let world = without(&[Need::ServiceToken, Need::AgentToken]).event(20, trouble).until(5_000);
    assert!(world.when("agent-ready").is_some());
    assert_eq!(world.machine.phase(), Phase::Enrolling);
    assert!(pending(&world).contains(&("secrets".to_owned(), Some(why))), "{:?}", pending(&world));
    assert_eq!(registrations(&world), 0);

    let mut world = world.event(6_000, Event::SecretRead(Need::ServiceToken));
    world.run(ms(9_000));
    assert_eq!(world.when("registered").map(|at| at > 6_000), Some(true));
    assert_eq!(world.when("ready"), None, "an agent without its token tells the servers nothing");
    let mut world = world.event(9_500, Event::SecretRead(Need::AgentToken));
    world.run(ms(10_000));
    assert_eq!(world.when("ready"), Some(9_500));
    assert_eq!(count(&world, &Effect::ReplaceToken(Need::AgentToken)), 1, "it runs already");
    assert_eq!(world.count("token-replaced"), 0, "they are the first");
}

#[test]
fn without_gossip_key_and_certificates_no_agent_is_started() {
    let world = without(&[Need::AgentStart]).until(3_000);
    assert_eq!(world.when("> start consul"), None);
    let mut world = world.event(3_100, Event::SecretRead(Need::AgentStart));
    world.run(ms(10_000));
    assert_eq!(world.when("> start consul"), Some(3_100));
    assert!(world.when("ready").is_some());
}

#[test]
fn a_term_while_a_secret_is_awaited_ends_well_and_at_once() {
    for need in [Need::AgentStart, Need::ServiceToken, Need::AgentToken] {
        let world = without(&[need]).ecs_stops(2_000).finish();
        let (at, code) = world.exit.expect("an exit");
        assert_eq!(code, 0, "{need:?}");
        assert!(at < ms(8_000), "{need:?}: {at:?}");
        // What comes too late changes nothing.
        let late = without(&[need]).ecs_stops(2_000).event(2_001, Event::SecretRead(need));
        assert_eq!(late.finish().exit.expect("an exit").1, 0);
    }
}

#[test]
fn a_start_that_waits_for_a_secret_too_long_fails() {
    let world = without(&[Need::ServiceToken]).finish();
    assert_eq!(world.exit.expect("an exit").1, 1);
    assert!(world.when("stop-noticed: start-timeout").is_some());
}

#[test]
fn another_service_token_is_registered_with_and_given_to_envoy_once() {
    let mut world = World::new().until(10_000);
    assert_eq!(world.count("ready"), 1);
    let before = registrations(&world);
    world = world.event(10_100, Event::SecretRead(Need::ServiceToken));
    world.run(ms(20_000));
    assert_eq!(registrations(&world), before + 1);
    assert_eq!(count(&world, &Effect::ReplaceToken(Need::ServiceToken)), 1);
    assert_eq!(world.count("token-replaced: service"), 1);
    assert_eq!(world.count("registration-repaired"), 0, "nothing was lost");
    assert!(world.ready, "it serves all the time");
}

#[test]
fn another_agent_token_is_told_to_the_agent_and_registers_nothing() {
    let mut world = World::new().until(10_000);
    let before = registrations(&world);
    world = world
        .event(10_100, Event::SecretRead(Need::AgentToken))
        .event(10_200, Event::AgentTokenReplaced);
    world.run(ms(20_000));
    assert_eq!(registrations(&world), before);
    assert_eq!(count(&world, &Effect::ReplaceToken(Need::AgentToken)), 1);
    assert_eq!(world.when("token-replaced: agent"), Some(10_200));
}

#[test]
fn from_the_stop_on_another_token_registers_nothing() {
    let stopping = World::new().ecs_stops(10_000).until(10_050);
    let before = registrations(&stopping);
    let world = stopping.event(10_060, Event::SecretRead(Need::ServiceToken)).finish();
    assert_eq!(registrations(&world), before);
    assert_eq!(count(&world, &Effect::ReplaceToken(Need::ServiceToken)), 0);
    assert_eq!(world.exit.expect("an exit").1, 0);
}

#[test]
fn a_hangup_reads_secrets_and_stops_nothing() {
    let world = World::new().event(10_000, Event::Hangup).until(20_000);
    assert_eq!(count(&world, &Effect::ReadSecretsNow), 1);
    assert_eq!(world.when("stop-noticed"), None);
}

#[test]
fn a_login_waits_for_the_join_and_a_log_out_for_the_end() {
    let logs_in = Plan {
        awaits: [Need::ServiceToken, Need::AgentToken].into(),
        logs_in: true,
        ..plan(Inbound::Http)
    };
    let world = World::of(logs_in, Script::default()).until(3_000);
    assert_eq!(count(&world, &Effect::LogIn), 1);
    assert_eq!(world.machine.phase(), Phase::Enrolling);
    let world = world
        .event(3_000, Event::SecretRead(Need::AgentToken))
        .event(3_100, Event::SecretRead(Need::ServiceToken))
        .ecs_stops(20_000)
        .finish();
    assert!(world.when("ready").is_some());
    assert_eq!(count(&world, &Effect::LogOut), 1);
    // What is taken out of the catalog is taken out with the tokens.
    assert!(world.when("> deregister") < world.when("> log out"));
    assert!(world.when("> log out") < world.when("agent-left"));
    // A task without a login has nothing to end.
    let world = World::new().ecs_stops(20_000).finish();
    assert_eq!((count(&world, &Effect::LogIn), count(&world, &Effect::LogOut)), (0, 0));
}
