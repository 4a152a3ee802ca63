//! What must hold of every life that came to its exit, whatever happened in it.

use super::script::ms;
use super::world::World;
use std::time::Duration;
use taskmesh::process::ChildExit;
use taskmesh::supervisor::{Effect, Ending, Role};
use taskmesh::timeline;

/// Cause and time of the stop.
pub(crate) fn noticed(world: &World) -> (String, Duration) {
    let stop = world.status().stop.expect("a stop");
    (stop.cause, Duration::from_secs_f64(stop.since_ms / 1000.0))
}

/// `world` itself has seen to it that phases never go back and that nothing follows the exit.
pub(crate) fn check_order(world: &World) {
    let effects: Vec<_> = world.effects.iter().map(|(_, e)| e).collect();
    assert!(matches!(effects.last(), Some(Effect::Exit(_))));
    // Nothing makes the instance passing once the sync was stopped: that is where the burst comes after.
    let stop = effects.iter().position(|e| **e == Effect::StopSync).expect("a stop");
    for effect in &effects[stop..] {
        let forbidden = matches!(
            effect,
            Effect::Register { .. }
                | Effect::PassProxyCheck
                | Effect::EndHold
                | Effect::Uncover
                | Effect::ProbeApp
                | Effect::WatchOffer
                | Effect::StartSync
                | Effect::Sync(_)
                | Effect::SyncBlind
                | Effect::StartChild(_)
                | Effect::WriteBootstrap
        );
        assert!(!forbidden, "{effect:?} in the stop");
    }
    assert_eq!(effects.iter().filter(|e| **e == &Effect::StopSync).count(), 1);
    // Each wait of the stop is begun at most once.
    for once in [Effect::AskPeers, Effect::DrainInbound, Effect::Deregister] {
        assert!(effects.iter().filter(|e| **e == &once).count() <= 1, "{once:?}");
    }
    // The records of the stop come in the order of the timeline, each once.
    use timeline::Event::*;
    let recorded = |wanted| {
        let found: Vec<_> = effects
            .iter()
            .enumerate()
            .filter(|(_, e)| matches!(e, Effect::Record { event, .. } if *event == wanted))
            .map(|(i, _)| i)
            .collect();
        assert!(found.len() <= 1, "{wanted:?} {} times", found.len());
        found.first().copied()
    };
    let order = [
        StopNoticed,
        SyncStopped,
        ChecksCritical,
        PeersUpdated,
        AppsReleased,
        AppsStopped,
        AllExited,
    ];
    let order: Vec<_> = order.into_iter().filter_map(recorded).collect();
    assert!(order.is_sorted(), "{:?}", world.story());
    for child in [EnvoyExited, AgentLeft, AgentLeaveBegun, InboundDrained, AllExited] {
        recorded(child);
    }
}

/// Every started child that the stop finds is asked to stop once, or dies before its turn comes. An agent that had only
/// just started is asked once more if it is still there after 6 s.
pub(crate) fn check_children(world: &World) {
    for role in [Role::Agent, Role::Envoy] {
        let mut terms = Vec::new();
        let mut killed = 0;
        let mut stopping = false;
        for (at, effect) in &world.effects {
            match effect {
                Effect::Record { event: timeline::Event::StopNoticed, .. } => stopping = true,
                Effect::StartChild(r) if *r == role => {
                    assert!(!stopping, "{role:?} was started again in the stop");
                }
                // One that did not answer, so that it comes back.
                Effect::KillChild(r) if *r == role && !stopping => {}
                Effect::TermChild(r) if *r == role => {
                    terms.push(*at);
                    assert_eq!(killed, 0, "{role:?}: TERM after KILL");
                }
                Effect::KillChild(r) if *r == role => killed += 1,
                _ => {}
            }
        }
        let again = role == Role::Agent && terms.len() == 2 && terms[1] - terms[0] == ms(6000);
        assert!(terms.len() <= 1 || again, "{role:?}: TERM at {terms:?}");
        assert!(killed <= 1, "{role:?}: {killed} KILL");
        let child = world.machine.child(role);
        assert!(!child.may_exist(), "{role:?} is left behind");
        let by_itself = child.last_exit().is_some_and(|exit| {
            let ours = Ending::Exit(ChildExit::Code(1));
            *exit == ours || matches!(exit, Ending::SpawnFailed { .. } | Ending::Killed { .. })
        });
        let started = world.effects.iter().any(|(_, e)| *e == Effect::StartChild(role));
        assert!(
            !started || by_itself || !terms.is_empty() || killed > 0,
            "{role:?} was never asked"
        );
        assert_eq!(killed > 0, child.was_killed());
    }
}

/// From what was noticed, and from our own TERM, to the exit.
pub(crate) fn check_budget(world: &World) {
    let (exit, code) = world.exit.expect("an exit");
    let plan = &world.plan;
    let (cause, noticed) = noticed(world);
    assert!(exit <= noticed + plan.total_stop, "totalStop: {exit:?} after {noticed:?}");
    if !["task-stopped", "app-term", "term"].contains(&cause.as_str()) {
        assert!(exit <= noticed + plan.stop_timeout, "stopTimeout: {exit:?} after {noticed:?}");
    }
    if let Some(term) = world.own_term {
        assert!(exit <= term + plan.stop_timeout, "stopTimeout: {exit:?} after TERM at {term:?}");
    }
    let in_stop = |at: &Duration| *at >= noticed;
    let kills = world.effects.iter().filter(|(_, e)| matches!(e, Effect::KillChild(_)));
    let killed = kills.map(|(at, _)| at).any(in_stop);
    match code {
        0 => assert!(!killed || cause == "apps-finished" && !plan.strict_exit),
        4 => assert!(killed || world.count_of(timeline::Event::Deadline) > 0),
        1 => assert!(["start-timeout", "start-failed"].contains(&cause.as_str())),
        3 => {}
        other => panic!("exit code {other}"),
    }
}

impl World {
    pub(crate) fn count_of(&self, wanted: timeline::Event) -> usize {
        let is = |e: &Effect| matches!(e, Effect::Record { event, .. } if *event == wanted);
        self.effects.iter().filter(|(_, e)| is(e)).count()
    }
}
