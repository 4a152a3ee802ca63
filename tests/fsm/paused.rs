//! The actor around the machine on tokio's paused clock: offsets of the recorded timeline, supervision, the status
//! watch. The crew is the one of `world`, so the times are the same; only here they go through ractor and real timers.

use crate::crew::{Crew, Due, What};
use crate::script::{App, Script, ms};
use crate::world::plan;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use taskmesh::admin::Status;
use taskmesh::supervisor::actor::{Arguments, Msg, Outcome, Supervisor};
use taskmesh::supervisor::{Effect, Event, Hands, Inbound, Plan};
use taskmesh::timeline::{Log, Timeline};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until};

/// The crew, shared by the hands and by what is due.
#[derive(Clone)]
struct Shared {
    crew: Arc<Mutex<Crew>>,
    effects: Arc<Mutex<Vec<Effect>>>,
    supervisor: ActorRef<Msg>,
    epoch: Instant,
}

impl Shared {
    fn crew(&self) -> MutexGuard<'_, Crew> {
        self.crew.lock().unwrap()
    }

    fn schedule(&self, dues: Vec<Due>) {
        for due in dues {
            let this = self.clone();
            tokio::spawn(async move {
                sleep_until(this.epoch + due.at).await;
                let (event, more) = this.crew().deliver(due.at, due.what);
                if let Some(event) = event {
                    // The supervisor may be gone: what comes after the end interests nobody.
                    drop(this.supervisor.cast(Msg::Event(event)));
                }
                this.schedule(more);
            });
        }
    }
}

impl Hands for Shared {
    fn perform(&mut self, effect: Effect) {
        let dues = self.crew().perform(self.epoch.elapsed(), &effect);
        self.schedule(dues);
        self.effects.lock().unwrap().push(effect);
    }

    fn service_id(&self) -> String {
        "web-158d".to_owned()
    }
}

/// An actor that dies of the first message it gets.
struct Mortal;

impl Actor for Mortal {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(&self, _: ActorRef<()>, (): (), (): &mut ()) -> Result<(), ActorProcessingErr> {
        panic!("a bug")
    }
}

/// A supervisor at work.
pub(crate) struct Running {
    shared: Shared,
    mortal: ActorRef<()>,
    status: watch::Receiver<Arc<Status>>,
    log: Log,
    finished: oneshot::Receiver<Outcome>,
    joined: tokio::task::JoinHandle<()>,
}

pub(crate) async fn start(plan: Plan, script: Script) -> Running {
    let epoch = Instant::now();
    let log = Log::new("2026-11-22T00:00:00.000000000Z".to_owned());
    let (status, status_seen) = watch::channel(Arc::default());
    let (finished, when_finished) = oneshot::channel();
    let (made, when_made) = oneshot::channel();
    let arguments = Arguments {
        plan,
        epoch,
        log: log.clone(),
        status,
        finished,
        make_hands: Box::new(move |supervisor| {
            Box::pin(async move {
                let up = supervisor.get_cell();
                let (mortal, _) = Actor::spawn_linked(None, Mortal, (), up).await?;
                let shared = Shared {
                    crew: Arc::new(Mutex::new(Crew::new(script))),
                    effects: Arc::default(),
                    supervisor,
                    epoch,
                };
                shared.schedule(shared.crew().begin());
                let roles = HashMap::from([(mortal.get_id(), "mortal")]);
                assert!(made.send((shared.clone(), mortal)).is_ok());
                let hands: Box<dyn Hands> = Box::new(shared);
                Ok((hands, roles))
            })
        }),
    };
    let (_, joined) = Actor::spawn(None, Supervisor, arguments).await.unwrap();
    let (shared, mortal) = when_made.await.unwrap();
    let mut wrappers = status_seen.clone();
    let gates = shared.clone();
    // The wrappers, and ECS with our health check, go by what is published.
    tokio::spawn(async move {
        while wrappers.changed().await.is_ok() {
            let gate = wrappers.borrow_and_update().gate.clone();
            let dues = gates.crew().gate(gates.epoch.elapsed(), &gate);
            gates.schedule(dues);
        }
    });
    Running { shared, mortal, status: status_seen, log, finished: when_finished, joined }
}

impl Running {
    pub(crate) fn at(&self, at: u64, what: What) -> &Self {
        self.shared.schedule(vec![Due { at: ms(at), what }]);
        self
    }

    async fn sleep_until(&self, at: u64) {
        sleep_until(self.shared.epoch + ms(at)).await;
        // What is due at this very moment goes first.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    /// The exit code, when it came, and the record.
    pub(crate) async fn finish(self) -> (u8, Duration, Timeline) {
        let outcome = tokio::time::timeout(ms(3_600_000), self.finished).await.unwrap().unwrap();
        let code = outcome.code;
        let at = self.shared.epoch.elapsed();
        self.joined.await.unwrap();
        assert!(self.shared.supervisor.cast(Msg::Tick).is_err(), "the supervisor has ended");
        (code, at, self.log.snapshot())
    }
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
    let effects = running.shared.effects.clone();
    running.finish().await;
    let effects = effects.lock().unwrap();
    let ours = |e: &&Effect| {
        matches!(e, Effect::Record { .. } | Effect::Warn(_) | Effect::Arm { .. } | Effect::Exit(_))
    };
    assert_eq!(effects.iter().find(ours), None);
    assert_eq!(effects.first(), Some(&Effect::WatchTask));
}
