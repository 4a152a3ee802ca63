//! Reads the task's metadata, for everybody: one poll tells of a stop, of health and of apps that ended.

use super::work;
use crate::ecs::{LastTask, METADATA_URI_ENV, MetadataClient, MetadataError, Task};
use crate::logging::Said;
use crate::supervisor::actor::{Reports, report};
use crate::supervisor::{Event, TaskSeen};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// While something waits for the apps' end: 10 reads a second, of the 40 that ECS allows.
const CLOSE: Duration = Duration::from_millis(100);
/// First retry, before the metadata was read at all: nothing can begin without it.
const FIRST_RETRY: Duration = Duration::from_millis(20);

/// What this actor takes.
#[derive(Debug)]
pub(crate) enum Msg {
    /// Begin, and go on.
    Watch,
    /// Read once now.
    ReadNow,
    /// Read more often from now on.
    Closely,
}

/// See the module's text.
pub(crate) struct TaskWatch;

/// What it needs.
pub(crate) struct Arguments {
    /// The value of `ECS_CONTAINER_METADATA_URI_V4`; `None` if it is not set.
    pub(crate) uri: Option<String>,
    pub(crate) interval: Duration,
    /// The task's address must be known before it counts as read.
    pub(crate) needs_address: bool,
    pub(crate) epoch: Instant,
    pub(crate) reports: Reports,
}

pub(crate) struct State {
    poll: Option<Poll>,
    now: Arc<Notify>,
    interval: watch::Sender<Duration>,
    task: Option<AbortHandle>,
}

impl Actor for TaskWatch {
    type Msg = Msg;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        _: ActorRef<Msg>,
        args: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let now = Arc::new(Notify::new());
        let (interval, watched) = watch::channel(args.interval);
        let poll = Poll {
            client: args.uri.as_deref().map(MetadataClient::new),
            own_name: String::new(),
            last: LastTask::default(),
            needs_address: args.needs_address,
            epoch: args.epoch,
            reports: args.reports,
            now: now.clone(),
            interval: watched,
        };
        Ok(State { poll: Some(poll), now, interval, task: None })
    }

    async fn handle(
        &self,
        _: ActorRef<Msg>,
        msg: Msg,
        s: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match msg {
            Msg::Watch => {
                if let Some(poll) = s.poll.take() {
                    let reports = poll.reports.clone();
                    s.task = Some(work::spawn("task_watch", &reports, poll.run()));
                }
            }
            Msg::ReadNow => s.now.notify_one(),
            Msg::Closely => {
                s.interval.send_if_modified(|i| {
                    let shorter = *i > CLOSE;
                    *i = CLOSE.min(*i);
                    shorter
                });
                s.now.notify_one();
            }
        }
        Ok(())
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

struct Poll {
    client: Option<MetadataClient>,
    own_name: String,
    last: LastTask,
    needs_address: bool,
    epoch: Instant,
    reports: Reports,
    now: Arc<Notify>,
    interval: watch::Receiver<Duration>,
}

impl Poll {
    async fn run(mut self) {
        let mut said = Said::default();
        let mut retry = FIRST_RETRY;
        let mut read_once = false;
        loop {
            let asked_at = self.epoch.elapsed();
            let interval = *self.interval.borrow_and_update();
            let pause = match self.read().await {
                Ok(task) => {
                    if let Some(lasted) = said.over() {
                        let seconds = lasted.as_secs();
                        tracing::info!(seconds, "task metadata can be read again");
                    }
                    read_once = true;
                    let own_name = self.own_name.clone();
                    let seen = TaskSeen { task, own_name, asked_at };
                    report(&self.reports, Event::TaskSeen(Arc::new(seen)));
                    interval
                }
                Err(why) => {
                    if let Some(repeats) = said.news(&why) {
                        tracing::warn!(%why, repeats, "task metadata cannot be read");
                    }
                    report(&self.reports, Event::TaskUnreadable(why));
                    retry = (retry * 2).min(Duration::from_secs(1));
                    if read_once { interval } else { retry }
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.now.notified() => {}
                changed = self.interval.changed() => {
                    if changed.is_err() {
                        return;
                    }
                }
            }
        }
    }

    async fn read(&mut self) -> Result<Arc<Task>, String> {
        let words = |e: MetadataError| e.to_string();
        let Some(client) = &self.client else {
            return Err(format!("{METADATA_URI_ENV} is not set: is this an ECS task?"));
        };
        let task = if self.own_name.is_empty() {
            // Nothing begins before both are there.
            let both = tokio::try_join!(client.own_container(), client.task_again(&mut self.last));
            let (own, task) = both.map_err(words)?;
            self.own_name = own.name;
            task
        } else {
            client.task_again(&mut self.last).await.map_err(words)?
        };
        match task.identity() {
            None => Err("the metadata does not name the task yet".to_owned()),
            Some(id) if self.needs_address && id.ipv4.is_none() => {
                Err("the metadata has no IPv4 address of the task yet (IPv6 only: set \
                     consul.advertiseAddress)"
                    .to_owned())
            }
            Some(_) => Ok(task),
        }
    }
}
