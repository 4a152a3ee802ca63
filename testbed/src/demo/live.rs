//! A task's timeline as it happens, from its supervisor's log lines.

use std::time::Duration;

use anyhow::{Result, bail};
use taskmesh::timeline::{Event, Record};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::screen::Paint;
use crate::cluster::{MeshTask, record_of};
use crate::net::{Cursor, Line};
use crate::screen::Screen;

/// A task whose timeline is shown.
pub(super) struct Shown {
    pub(super) task: MeshTask,
    records: watch::Receiver<Vec<(Instant, Record)>>,
    follower: JoinHandle<()>,
}

impl Shown {
    /// Shows the events of `task` from now on, those of the past first.
    pub(super) fn new(task: MeshTask, paint: Paint, screen: Screen) -> Self {
        let (sender, records) = watch::channel(Vec::new());
        let lines = task.ecs.container("taskmesh").map(|supervisor| supervisor.output().cursor());
        let name = task.name().to_owned();
        let follower = tokio::spawn(async move {
            if let Some(lines) = lines {
                follow(lines, &name, paint, screen, &sender).await;
            }
        });
        Self { task, records, follower }
    }

    pub(super) fn name(&self) -> &str {
        self.task.name()
    }

    /// When the supervisor's line about `event` was read.
    pub(super) fn read_at(&self, event: Event) -> Option<Instant> {
        self.records.borrow().iter().find(|(_, record)| record.event == event).map(|(at, _)| *at)
    }

    /// Waits until `event` has happened.
    pub(super) async fn wait(&self, event: Event, limit: Duration) -> Result<()> {
        let mut records = self.records.clone();
        let happened = records.wait_for(|records| records.iter().any(|(_, r)| r.event == event));
        match timeout(limit, happened).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => bail!("{} ended before {}\n{}", self.name(), event.name(), self.why()),
            Err(_) => {
                bail!("{}: no {} within {limit:?}\n{}", self.name(), event.name(), self.why())
            }
        }
    }

    /// Waits until all its events are on the screen.
    pub(super) async fn all_shown(&mut self) {
        // The supervisor has ended, and its output with it; an error would be a panic, shown by its hook.
        _ = timeout(Duration::from_secs(2), &mut self.follower).await.is_ok();
    }

    /// What the supervisor complained about last.
    fn why(&self) -> String {
        self.task.complaints(8)
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

async fn follow(
    mut lines: Cursor<Line>,
    name: &str,
    paint: Paint,
    screen: Screen,
    records: &watch::Sender<Vec<(Instant, Record)>>,
) {
    let mut stop = None;
    while let Some(line) = lines.next().await {
        let Some(record) = record_of(&line.text) else { continue };
        if record.event == Event::StopNoticed {
            stop = Some(record.ms);
        }
        screen.event(name, paint, &record, stop);
        records.send_modify(|records| records.push((line.at, record)));
    }
}
