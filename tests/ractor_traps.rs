//! What our design relies on in ractor 0.16.5, or guards against; each was read in its source, and here it is run.
//!
//! If one of these fails after an upgrade, read the comment above it before changing the test: it says which part
//! of the supervisor leans on the behaviour.

use ractor::rpc::CallResult;
use ractor::{
    Actor, ActorCell, ActorProcessingErr, ActorRef, RactorErr, RpcReplyPort, SupervisionEvent,
};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// A test that waits longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// What happened, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn push(&self, what: impl Into<String>) {
        self.0.lock().expect("log").push(what.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().expect("log"))
    }

    async fn holds(&self, what: &str) {
        let seen = async {
            while !self.0.lock().expect("log").iter().any(|line| line == what) {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, seen).await.expect(what);
    }
}

enum Say {
    /// Waits inside the handler until the gate lets one through.
    Slow,
    Note(u32),
    Ask(RpcReplyPort<u32>),
    /// Tells the parent, then stops itself.
    TellAndStop(ActorRef<Say>),
    Panic,
}

/// Logs what it handles, and what its children do.
struct Scribe {
    log: Log,
    gate: Arc<Semaphore>,
}

/// Ours to see dropped.
struct State(Option<(Log, mpsc::Receiver<()>)>);

impl Drop for State {
    fn drop(&mut self) {
        if let Some((log, released)) = &self.0 {
            // Holds the old state alive until the supervisor has heard of its actor's end, or gives up.
            released.recv_timeout(Duration::from_secs(5)).ok();
            log.push("state dropped");
        }
    }
}

impl Actor for Scribe {
    type Msg = Say;
    type State = State;
    type Arguments = State;

    async fn pre_start(&self, _: ActorRef<Say>, state: State) -> Result<State, ActorProcessingErr> {
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Say>,
        message: Say,
        _: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Say::Slow => {
                self.log.push("slow begun");
                self.gate.acquire().await?.forget();
                self.log.push("slow done");
            }
            Say::Note(n) => self.log.push(format!("note {n}")),
            Say::Ask(port) => port.send(42)?,
            Say::TellAndStop(parent) => {
                parent.cast(Say::Note(7))?;
                myself.stop(None);
            }
            Say::Panic => panic!("as the test asks"),
        }
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<Say>, _: &mut State) -> Result<(), ActorProcessingErr> {
        self.log.push("post_stop");
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<Say>,
        event: SupervisionEvent,
        _: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorTerminated(_, state, reason) => {
                let with = if state.is_some() { "with" } else { "without" };
                self.log.push(format!("terminated {with} state, {reason:?}"));
            }
            SupervisionEvent::ActorFailed(_, error) => self.log.push(format!("failed: {error}")),
            _ => {}
        }
        Ok(())
    }
}

/// An actor, its log, and the gate of its slow message.
async fn scribe(supervisor: Option<ActorCell>) -> (ActorRef<Say>, Log, Arc<Semaphore>) {
    let (log, gate) = (Log::default(), Arc::new(Semaphore::new(0)));
    let actor = Scribe { log: log.clone(), gate: Arc::clone(&gate) };
    let spawned = match supervisor {
        Some(supervisor) => Actor::spawn_linked(None, actor, State(None), supervisor).await,
        None => Actor::spawn(None, actor, State(None)).await,
    };
    (spawned.expect("spawn").0, log, gate)
}

async fn ended(actor: &ActorRef<Say>) {
    actor.wait(Some(PATIENCE)).await.expect("the actor ends");
}

/// Trap 3: supervision comes before messages, so a child's last words are heard after its death.
///
/// Why we care: the supervisor's step takes facts in any order, and an actor that has something to say lives
/// until the supervisor stops it. If an actor reported `Exited` and ended, we would act on `ActorDown` first and
/// take an orderly exit for a bug.
#[tokio::test]
async fn a_child_that_speaks_and_stops_is_heard_after_its_death() {
    let (parent, log, gate) = scribe(None).await;
    let (child, _, _) = scribe(Some(parent.get_cell())).await;
    parent.cast(Say::Slow).expect("cast");
    log.holds("slow begun").await;
    child.cast(Say::TellAndStop(parent.clone())).expect("cast");
    ended(&child).await;
    // Both are in the parent's ports now; the message went in first.
    gate.add_permits(1);
    log.holds("note 7").await;
    assert_eq!(log.take(), ["slow begun", "slow done", "terminated with state, None", "note 7"]);
}

/// Trap 4, `stop`: the running handler finishes, what is queued is dropped, callers are told, a second stop is
/// ignored.
///
/// Why we care: the stop sequence is ordinary messages, and an actor is stopped only after it has reported that
/// it is done. "Do this, then stop" as two messages would lose the first; and a second stop cannot be used to
/// wait for the first one's end.
#[tokio::test]
async fn stop_finishes_the_handler_and_drops_the_queue() {
    let (parent, parents_log, _) = scribe(None).await;
    let (actor, log, gate) = scribe(Some(parent.get_cell())).await;
    actor.cast(Say::Slow).expect("cast");
    log.holds("slow begun").await;
    actor.cast(Say::Note(1)).expect("queued");
    let asking = actor.clone();
    let asked = tokio::spawn(async move { asking.call(Say::Ask, Some(PATIENCE)).await });
    tokio::task::yield_now().await;

    actor.stop(Some("first".to_owned()));
    actor.stop(Some("second".to_owned()));
    let second = actor.stop_and_wait(None, Some(PATIENCE)).await;
    assert!(matches!(second, Err(RactorErr::Messaging(_))), "{second:?}");
    assert_eq!(log.take(), ["slow begun"], "that was at once: the handler still runs");

    gate.add_permits(1);
    ended(&actor).await;
    assert_eq!(log.take(), ["slow done", "post_stop"]);
    let answer = asked.await.expect("task").expect("the question was queued");
    assert!(matches!(answer, CallResult::SenderError), "{answer:?}");
    parents_log.holds("terminated with state, Some(\"first\")").await;
    assert_eq!(parents_log.take().len(), 1);
}

/// Trap 4, `drain`: the queue is finished, but nothing new gets in, from the moment of the call.
///
/// Why we care: a stop of several steps needs the actor's own later messages (timers, answers of spawned
/// tasks), which drain would refuse. So we never drain.
#[tokio::test]
async fn drain_finishes_the_queue_and_refuses_what_is_new() {
    let (actor, log, gate) = scribe(None).await;
    actor.cast(Say::Slow).expect("cast");
    log.holds("slow begun").await;
    actor.cast(Say::Note(1)).expect("cast");
    actor.drain().expect("drain");
    assert!(actor.cast(Say::Note(2)).is_err(), "refused while the actor still works");
    gate.add_permits(1);
    ended(&actor).await;
    assert_eq!(log.take(), ["slow begun", "slow done", "note 1", "post_stop"]);
}

/// Trap 4, `kill`: the handler is dropped at its await; it is reported as a termination, not as a failure.
///
/// Why we care: a killed actor runs no cleanup, so what must not leak (a child's process group) is held by
/// values whose `Drop` cleans up; and only the executor may kill.
#[tokio::test]
async fn kill_cancels_the_handler_and_looks_like_a_termination() {
    let (parent, parents_log, _) = scribe(None).await;
    let (actor, log, gate) = scribe(Some(parent.get_cell())).await;
    actor.cast(Say::Slow).expect("cast");
    log.holds("slow begun").await;
    actor.kill();
    ended(&actor).await;
    gate.add_permits(1);
    parents_log.holds("terminated with state, Some(\"killed\")").await;
    assert_eq!(log.take(), ["slow begun"], "neither the rest of the handler nor post_stop ran");
    assert_eq!(parents_log.take().len(), 1);
}

/// Trap 11: `ActorFailed` can arrive while the failed actor's state still lives.
///
/// Why we care: "actor down" never means "resource gone". A child process that the state owned may still run and
/// hold its ports; it is gone when the reaper says so.
#[tokio::test]
async fn a_failure_is_heard_while_the_old_state_still_lives() {
    let (parent, log, gate) = scribe(None).await;
    let (heard, released) = mpsc::channel();
    let (cell, childs_log) = (parent.get_cell(), log.clone());
    // A thread and a runtime of its own, so that the state's drop can wait for what the supervisor does.
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("runtime").block_on(async {
            let actor = Scribe { log: childs_log.clone(), gate };
            let state = State(Some((childs_log, released)));
            let (child, task) = Actor::spawn_linked(None, actor, state, cell).await.expect("spawn");
            child.cast(Say::Panic).expect("cast");
            timeout(PATIENCE, task)
                .await
                .expect("the actor ends")
                .expect("its task does not panic");
        });
    });
    log.holds("failed: as the test asks").await;
    let before = log.take();
    heard.send(()).expect("the state, which has the receiver, still lives");
    thread.join().expect("thread");
    assert_eq!(before, ["failed: as the test asks"]);
    assert_eq!(log.take(), ["state dropped"]);
}
