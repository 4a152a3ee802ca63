//! The actor around the machine on tokio's paused clock: offsets of the recorded timeline, supervision, the status
//! watch. The crew is the one of `world`, so the times are the same; only here they go through ractor and real timers.

use crate::crew::{Crew, What};
use crate::script::{App, Script, ms};
use crate::shared::paused::Running;
use crate::world::plan;
use taskmesh::supervisor::{Effect, Event, Inbound, Plan};
use taskmesh::timeline::Timeline;

pub(crate) async fn start(plan: Plan, script: Script) -> Running {
    crate::shared::paused::start(plan, Crew::new(script), Vec::new()).await
}

fn words(timeline: &Timeline) -> Vec<(f64, String)> {
    let words = |r: &taskmesh::timeline::Record| match &r.cause {
        Some(cause) => format!("{}: {cause}", r.event.name()),
        None => r.event.name().to_owned(),
    };
    timeline.events.iter().map(|r| (r.ms, words(r))).collect()
}

/// To the millisecond: on the paused clock nothing takes time but what the script says.
fn assert_timeline(timeline: &Timeline, expected: &[(u64, &str)]) {
    let words = words(timeline);
    let names: Vec<_> = words.iter().map(|(_, w)| w.as_str()).collect();
    assert_eq!(names, expected.iter().map(|(_, w)| *w).collect::<Vec<_>>());
    for ((at, what), (due, _)) in words.iter().zip(expected) {
        assert_eq!(*at, *due as f64, "{what}");
    }
}

pub(crate) fn wrapped() -> Script {
    Script { apps: vec![App::wrapped("app")], ..Script::default() }
}

pub(crate) fn term() -> What {
    What::Fact(Event::Term, None)
}

#[tokio::test(start_paused = true)]
async fn start_and_stop_at_the_offsets_that_the_crew_makes() {
    let running = start(plan(Inbound::Http), wrapped()).await;
    running.at(3000, What::EcsStops).at(3000, term());
    let (code, at, timeline) = running.finish().await;
    assert_timeline(
        &timeline,
        &[
            (0, "started"),
            (106, "agent-ready"),
            (116, "registered"),
            (146, "bootstrap-written"),
            (146, "health-sync-started"),
            (147, "envoy-started"),
            (207, "ready"),
            (209, "app-started"),
            (294, "offered"),
            (3000, "stop-noticed: term"),
            (3001, "sync-stopped"),
            (3006, "checks-critical"),
            (3026, "peers-updated: confirmed"),
            (3586, "inbound-drained"),
            (3586, "apps-released"),
            (3786, "apps-stopped"),
            (3819, "envoy-exited"),
            (7822, "agent-left"),
            (7822, "all-exited"),
        ],
    );
    assert_eq!((code, at), (0, ms(7822)));
    assert_eq!(timeline.task, crate::task::ARN);
}

#[tokio::test(start_paused = true)]
async fn the_start_timeout_fires_at_its_time() {
    let script = Script { answers: None, ..wrapped() };
    let (code, at, timeline) = start(plan(Inbound::Http), script).await.finish().await;
    assert_timeline(
        &timeline,
        &[
            (0, "started"),
            (300_000, "stop-noticed: start-timeout"),
            (300_001, "sync-stopped"),
            (300_001, "apps-released"),
            // The wrapper goes within 1 ms; the read that begins with the stop tells it 5 ms later.
            (304_005, "agent-left"),
            (304_005, "all-exited"),
        ],
    );
    assert_eq!((code, at), (1, ms(304_005)));
}

#[tokio::test(start_paused = true)]
async fn the_deadline_kills_in_time_before_ecs_does() {
    let script = Script { agent_leaves: None, ..wrapped() };
    let running = start(plan(Inbound::Http), script).await;
    running.at(3000, What::EcsStops).at(3000, term());
    let (code, at, timeline) = running.finish().await;
    let tail: Vec<_> = words(&timeline).split_off(17);
    assert_eq!(
        tail,
        [
            (32_000.0, "deadline: consul to leave".to_owned()),
            (32_000.0, "killed: consul".to_owned()),
            (32_002.0, "agent-left: killed by SIGKILL".to_owned()),
            (32_002.0, "all-exited".to_owned()),
        ]
    );
    assert_eq!((code, at), (4, ms(32_002)));
}

#[tokio::test(start_paused = true)]
async fn a_timer_that_is_armed_again_fires_once_at_its_new_time() {
    // The metadata's stop arms totalStop; our own TERM then counts stopTimeout.
    let script = Script { apps: vec![App::wrapped("app").ends(None)], ..Script::default() };
    let running = start(plan(Inbound::Http), script).await;
    running.at(3000, What::EcsStops).at(20_000, term());
    let (code, _, timeline) = running.finish().await;
    let deadlines: Vec<_> =
        words(&timeline).into_iter().filter(|(_, w)| w.starts_with("deadline")).collect();
    assert_eq!(deadlines, [(44_000.0, "deadline: apps: app".to_owned())]);
    assert_eq!(code, 4);
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_panics_leads_to_an_orderly_stop_with_3() {
    let running = start(plan(Inbound::Http), wrapped()).await;
    running.sleep_until(3000).await;
    running.mortal.cast(()).unwrap();
    let (code, at, timeline) = running.finish().await;
    let tail: Vec<_> = words(&timeline).split_off(9);
    let names: Vec<_> = tail.iter().map(|(_, w)| w.as_str()).collect();
    assert_eq!(
        names,
        [
            "stop-noticed: actor-failed",
            "sync-stopped",
            "checks-critical",
            "peers-updated: confirmed",
            "inbound-drained",
            "apps-released",
            "apps-stopped",
            "envoy-exited",
            "agent-left",
            "all-exited",
        ]
    );
    assert_eq!(tail[0].0, 3000.0);
    assert_eq!((code, at), (3, ms(7822)));
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_just_ends_is_a_failure_too() {
    let running = start(plan(Inbound::Http), wrapped()).await;
    running.sleep_until(3000).await;
    running.mortal.stop(None);
    let (code, _, timeline) = running.finish().await;
    assert!(words(&timeline).iter().any(|(_, w)| w == "stop-noticed: actor-failed"));
    assert_eq!(code, 3);
}

#[tokio::test(start_paused = true)]
async fn the_status_is_published_as_it_changes() {
    let running = start(plan(Inbound::Http), wrapped()).await;
    let status = running.status.clone();
    let seen = || status.borrow().clone();
    running.sleep_until(100).await;
    assert_eq!((seen().ready, seen().healthy), (false, false));
    assert_eq!(seen().pending[0].latch, "consul agent");
    running.sleep_until(207).await;
    assert_eq!((seen().ready, seen().healthy, seen().gate.start), (true, true, true));
    assert_eq!((seen().task.as_str(), seen().service_id.as_str()), (crate::task::ARN, "web-158d"));
    running.at(3000, What::EcsStops).at(3000, term());
    running.sleep_until(3100).await;
    assert_eq!((seen().ready, seen().healthy, seen().gate.release), (false, true, false));
    assert_eq!(seen().stop.as_ref().unwrap().cause, "term");
    running.sleep_until(3586).await;
    assert!(seen().gate.release);
    let (code, ..) = running.finish().await;
    assert_eq!((code, seen().phase.as_str()), (0, "exited"));
}

#[tokio::test(start_paused = true)]
async fn hands_get_no_records_timers_or_exits() {
    let running = start(plan(Inbound::Http), wrapped()).await;
    running.at(3000, What::EcsStops).at(3000, term());
    let effects = running.effects();
    running.finish().await;
    let effects = effects.lock().unwrap();
    let ours = |e: &&Effect| {
        matches!(e, Effect::Record { .. } | Effect::Warn(_) | Effect::Arm { .. } | Effect::Exit(_))
    };
    assert_eq!(effects.iter().find(ours), None);
    assert_eq!(effects.first(), Some(&Effect::WatchTask));
}
