//! The crew behind the real actor, on tokio's paused clock: what it does goes through ractor and real timers.
//!
//! One task keeps what is due, as `world` does, and lets the supervisor take each fact before the next. Timers are the
//! executor's own; those of an instant go before whatever else is due then.

use super::agenda::Agenda;
use super::crew::{Crew, Due, What};
use super::script::ms;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use taskmesh::admin::Status;
use taskmesh::supervisor::actor::{Arguments, Msg, Outcome, Supervisor};
use taskmesh::supervisor::{Effect, Hands, Plan};
use taskmesh::timeline::{Log, Timeline};
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};

/// A scenario that is not over by then hangs.
const PATIENCE: Duration = Duration::from_secs(3600);

/// The crew, shared by the hands and by whoever keeps what is due.
#[derive(Clone)]
struct Shared {
    crew: Arc<Mutex<Crew>>,
    due: Arc<Mutex<Agenda<What>>>,
    effects: Arc<Mutex<Vec<Effect>>>,
    /// The supervisor took something, or something is due that was not.
    news: Arc<Notify>,
    supervisor: ActorRef<Msg>,
    epoch: Instant,
}

impl Shared {
    fn crew(&self) -> MutexGuard<'_, Crew> {
        self.crew.lock().unwrap()
    }

    fn schedule(&self, dues: Vec<Due>) {
        let mut agenda = self.due.lock().unwrap();
        for due in dues {
            agenda.put(due.at, due.what);
        }
        self.news.notify_one();
    }

    /// Until nobody has anything to do at this moment.
    async fn rest(&self) {
        for _ in 0..4 {
            yield_now().await;
        }
    }

    /// For as long as the supervisor lives.
    async fn drive(self, status: watch::Receiver<Arc<Status>>) {
        loop {
            self.rest().await;
            // The wrappers, and ECS with our health check, go by what is published.
            let gate = status.borrow().gate.clone();
            let now = self.epoch.elapsed();
            let mut dues = self.crew().gate(now, &gate);
            dues.extend(self.crew().settle(now));
            if !dues.is_empty() {
                self.schedule(dues);
            }
            let next = self.due.lock().unwrap().next();
            match next {
                Some(at) if at <= now => {
                    let what = self.due.lock().unwrap().pop().expect("something is due");
                    if !self.deliver(now, what) {
                        return;
                    }
                }
                Some(at) => tokio::select! {
                    () = self.news.notified() => {}
                    () = sleep_until(self.epoch + at) => {}
                },
                None => self.news.notified().await,
            }
        }
    }

    /// `false`: the supervisor is gone, and what comes after the end interests nobody.
    fn deliver(&self, now: Duration, what: What) -> bool {
        let (event, mut more) = self.crew().deliver(now, what);
        more.extend(self.crew().settle(now));
        self.schedule(more);
        event.is_none_or(|event| self.supervisor.cast(Msg::Event(event)).is_ok())
    }
}

impl Hands for Shared {
    fn perform(&mut self, effect: Effect) {
        let dues = self.crew().perform(self.epoch.elapsed(), &effect);
        self.schedule(dues);
        self.effects.lock().unwrap().push(effect);
    }

    /// Asked whenever a status is made, so whenever something was taken.
    fn service_id(&self) -> String {
        self.news.notify_one();
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
    pub(crate) mortal: ActorRef<()>,
    pub(crate) status: watch::Receiver<Arc<Status>>,
    log: Log,
    finished: oneshot::Receiver<Outcome>,
    joined: tokio::task::JoinHandle<()>,
}

/// Starts it, with more that is due than the crew itself brings.
pub(crate) async fn start(plan: Plan, crew: Crew, due: Vec<Due>) -> Running {
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
                let begin = crew.begin();
                let shared = Shared {
                    crew: Arc::new(Mutex::new(crew)),
                    due: Arc::default(),
                    effects: Arc::default(),
                    news: Arc::default(),
                    supervisor,
                    epoch,
                };
                shared.schedule(begin);
                shared.schedule(due);
                let roles = HashMap::from([(mortal.get_id(), "mortal")]);
                assert!(made.send((shared.clone(), mortal)).is_ok());
                let hands: Box<dyn Hands> = Box::new(shared);
                Ok((hands, roles))
            })
        }),
    };
    let (_, joined) = Actor::spawn(None, Supervisor, arguments).await.unwrap();
    let (shared, mortal) = when_made.await.unwrap();
    tokio::spawn(shared.clone().drive(status_seen.clone()));
    Running { shared, mortal, status: status_seen, log, finished: when_finished, joined }
}

impl Running {
    pub(crate) fn at(&self, at: u64, what: What) -> &Self {
        self.shared.schedule(vec![Due { at: ms(at), what }]);
        self
    }

    pub(crate) async fn sleep_until(&self, at: u64) {
        sleep_until(self.shared.epoch + ms(at)).await;
        // What is due at this very moment goes first.
        for _ in 0..5 {
            self.shared.rest().await;
        }
    }

    pub(crate) fn effects(&self) -> Arc<Mutex<Vec<Effect>>> {
        self.shared.effects.clone()
    }

    /// The exit code, when it came, and the record.
    pub(crate) async fn finish(self) -> (u8, Duration, Timeline) {
        self.finish_within(PATIENCE).await
    }

    pub(crate) async fn finish_within(self, patience: Duration) -> (u8, Duration, Timeline) {
        let outcome = tokio::time::timeout(patience, self.finished).await;
        let code = outcome.expect("an exit").expect("a supervisor that lives to its end").code;
        let at = self.shared.epoch.elapsed();
        self.joined.await.unwrap();
        assert!(self.shared.supervisor.cast(Msg::Tick).is_err(), "the supervisor has ended");
        (code, at, self.log.snapshot())
    }
}
