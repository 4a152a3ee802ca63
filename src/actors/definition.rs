//! Reads the task definition once, beside everything else: tries again for a while where that may help, says what came of
//! it, and lets the client, its connections and credentials go.

use super::work;
use crate::ecs::{
    AwsAccess, DefinitionError, DefinitionReader, TaskDefinition, TaskIdentity,
    synced_by_definition,
};
use crate::supervisor::actor::{Reports, report};
use crate::supervisor::{Event, TaskSeen};
use futures_util::FutureExt;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::hash::{BuildHasher, RandomState};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// From the first question to the last one. What is not there after a minute is not on its way: a subnet without a way
/// to the API, most of all.
const PATIENCE: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// What to do about it.
const ADVICE: &str = "name the containers in healthSync.containers, or allow the task role ecs:DescribeTaskDefinition";

/// What this actor takes.
#[derive(Debug)]
pub(crate) enum Msg {
    /// Read the definition of this task.
    Read(Arc<TaskSeen>),
    /// Nobody needs it any more.
    Hush,
}

/// See the module's text.
pub(crate) struct Definition;

/// What it needs.
pub(crate) struct Arguments {
    pub(crate) access: AwsAccess,
    pub(crate) reports: Reports,
}

pub(crate) struct State {
    args: Arguments,
    task: Option<AbortHandle>,
}

impl Actor for Definition {
    type Msg = Msg;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        _: ActorRef<Msg>,
        args: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        Ok(State { args, task: None })
    }

    async fn handle(
        &self,
        _: ActorRef<Msg>,
        msg: Msg,
        s: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            Msg::Read(seen) => {
                if let Some(identity) = seen.task.identity()
                    && s.task.is_none()
                {
                    let reading = Reading {
                        access: s.args.access.clone(),
                        reports: s.args.reports.clone(),
                        identity,
                        own_name: seen.own_name.clone(),
                    };
                    s.task = Some(work::spawn("definition", &s.args.reports, reading.run()));
                }
            }
            Msg::Hush => s.hush(),
        }
        Ok(())
    }
}

impl State {
    fn hush(&self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.hush();
    }
}

struct Reading {
    access: AwsAccess,
    reports: Reports,
    identity: TaskIdentity,
    own_name: String,
}

impl Reading {
    async fn run(self) {
        let access = self.access.clone();
        let identity = self.identity.clone();
        let ask = move || {
            let (access, identity) = (access.clone(), identity.clone());
            // A new client each time: the tries are far apart, and it need not be kept in between.
            async move { DefinitionReader::open(&access, &identity).await?.read().await }
        };
        let failing = |why: &str| {
            let event = Event::DefinitionUnread { why: why.to_owned(), last: false };
            report(&self.reports, event);
        };
        // The SDK is large, and what it cannot tell must not be our end.
        let read = AssertUnwindSafe(until_answered(ask, failing)).catch_unwind().await;
        match read.unwrap_or_else(|_panic| Err("a bug in the AWS client".to_owned())) {
            Ok(definition) => {
                let containers = synced_by_definition(&definition, &self.own_name);
                tracing::info!(
                    definition = format!("{}:{}", self.identity.family, self.identity.revision),
                    containers = containers.join(","),
                    "read the task definition: health is synced of its essential containers with a health check"
                );
                report(&self.reports, Event::DefinitionRead(Arc::new(definition)));
            }
            Err(why) => {
                tracing::warn!(
                    %why,
                    advice = ADVICE,
                    "healthSync.containers is \"auto\" and the task definition cannot be read: health is synced of \
                     every container that reports one, essential or not"
                );
                report(&self.reports, Event::DefinitionUnread { why, last: true });
            }
        }
    }
}

/// Asks until there is an answer, or none to be hoped for, or no patience left. `failing` hears what is not final.
async fn until_answered<A>(
    mut ask: impl FnMut() -> A,
    failing: impl Fn(&str),
) -> Result<TaskDefinition, String>
where
    A: Future<Output = Result<TaskDefinition, DefinitionError>>,
{
    let began = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut said = String::new();
    loop {
        let why = match ask().await {
            Ok(definition) => return Ok(definition),
            Err(DefinitionError::Refused(why)) => return Err(why),
            Err(DefinitionError::Failing(why)) => why,
        };
        let rest = jittered(pause);
        if began.elapsed() + rest > PATIENCE {
            return Err(format!("{why}; not tried any more after {}", seconds(began.elapsed())));
        }
        if why != said {
            tracing::info!(%why, "cannot read the task definition yet: trying again");
            failing(&why);
            said = why;
        }
        tokio::time::sleep(rest).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs())
}

/// Half to all of it: a service whose tasks start together must not ask together again.
fn jittered(pause: Duration) -> Duration {
    let random = RandomState::new().hash_one(0_u8) as f64 / u64::MAX as f64;
    pause.mul_f64(0.5 + 0.5 * random)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};

    fn throttled() -> Result<TaskDefinition, DefinitionError> {
        Err(DefinitionError::Failing("throttled".to_owned()))
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_pass_is_tried_again_and_told_once() {
        let asked = Cell::new(0);
        let told = RefCell::new(Vec::new());
        let answer = until_answered(
            async || {
                asked.set(asked.get() + 1);
                if asked.get() < 5 { throttled() } else { Ok(TaskDefinition::default()) }
            },
            |why| told.borrow_mut().push(why.to_owned()),
        );
        assert_eq!(answer.await, Ok(TaskDefinition::default()));
        assert_eq!((asked.get(), told.into_inner()), (5, vec!["throttled".to_owned()]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_not_asked_again() {
        let asked = Cell::new(0);
        let ask = async || {
            asked.set(asked.get() + 1);
            Err(DefinitionError::Refused("AccessDeniedException".to_owned()))
        };
        let answer = until_answered(ask, |_| panic!("told as if it could pass")).await;
        assert_eq!((answer, asked.get()), (Err("AccessDeniedException".to_owned()), 1));
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends_also_when_each_try_takes_its_time() {
        for takes in [0, 5] {
            let began = Instant::now();
            let asked = Cell::new(0_u32);
            let ask = async || {
                asked.set(asked.get() + 1);
                tokio::time::sleep(Duration::from_secs(takes)).await;
                throttled()
            };
            let why = until_answered(ask, |_| {}).await.unwrap_err();
            assert!(why.starts_with("throttled; not tried any more after "), "{why}");
            let took = began.elapsed();
            assert!(
                took > PATIENCE / 2 && took <= PATIENCE + Duration::from_secs(takes),
                "{took:?}"
            );
            // Backed off, and not given up early.
            assert!((6..=20).contains(&asked.get()), "{}", asked.get());
        }
    }
}
