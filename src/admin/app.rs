//! One wrapper's stream: what it is told and when ([`Feed`], pure), and when it counts as lost ([`Attached`]).

use super::{Request, Status};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// Body of `POST /v1/apps`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attach {
    /// The container's name, from the wrapper's own metadata.
    pub container: String,
    /// The wrapper's pid, for people.
    pub pid: i32,
    /// The command runs already: `--no-wait`, or the supervisor was replaced under a running app.
    #[serde(default, skip_serializing_if = "is_false")]
    pub started: bool,
}

/// Body of `POST /v1/apps/{container}/exited`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exited {
    /// The command's exit code, 128+n for signal n.
    pub code: i32,
}

/// One line of the stream. A reader looks at what it knows, so that fields can be added.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// Do not start yet: this latch is pending.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<String>,
    /// With `wait`: the last thing that was seen of the latch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// T2 was reached: start the command.
    #[serde(default, skip_serializing_if = "is_false")]
    pub start: bool,
    /// The command may end; one that was not started must not start any more.
    #[serde(default, skip_serializing_if = "is_false")]
    pub release: bool,
    /// With `release`: nobody else sends the TERM, so the wrapper must.
    #[serde(default, skip_serializing_if = "is_false")]
    pub term: bool,
    /// What the task definition gives this container, in ms from its stop signal to ECS's KILL: a stop that is held
    /// back must be passed on well before. Comes with any other word, or alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_timeout_ms: Option<u64>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's `skip_serializing_if` hands a reference
fn is_false(b: &bool) -> bool {
    !*b
}

/// What one wrapper was told, and therefore what comes next.
#[derive(Debug, Default)]
pub(super) struct Feed {
    container: String,
    stop_timeout_ms: Option<u64>,
    waiting_for: Option<(String, Option<String>)>,
    started: bool,
    released: bool,
}

impl Feed {
    /// `started`: the command of `container` runs already, so `start` is not said.
    pub(super) fn new(container: &str, started: bool) -> Self {
        Self { container: container.to_owned(), started, ..Self::default() }
    }

    /// The next line for `status`, `None` if there is nothing new to say.
    pub(super) fn next(&mut self, status: &Status) -> Option<Line> {
        if self.released {
            return None;
        }
        let known = status.stop_timeouts_ms.get(&self.container).copied();
        let news = known.filter(|_| known != self.stop_timeout_ms);
        self.stop_timeout_ms = known.or(self.stop_timeout_ms);
        match self.word(status) {
            Some(line) => Some(Line { stop_timeout_ms: news, ..line }),
            None => news.map(|_| Line { stop_timeout_ms: news, ..Line::default() }),
        }
    }

    fn word(&mut self, status: &Status) -> Option<Line> {
        // Started too late to start: it holds no traffic that could drain, so it is sent home at once.
        if !self.started && (status.gate.release || status.stop.is_some()) {
            self.released = true;
            return Some(Line { release: true, term: true, ..Line::default() });
        }
        if !self.started && status.gate.start {
            self.started = true;
            return Some(Line { start: true, ..Line::default() });
        }
        if self.started && status.gate.release {
            self.released = true;
            return Some(Line { release: true, term: status.gate.term, ..Line::default() });
        }
        if self.started {
            return None;
        }
        let now = match status.pending.first() {
            Some(p) => (p.latch.clone(), p.reason.clone()),
            None => ("the supervisor to say start".to_owned(), None),
        };
        if self.waiting_for.as_ref() == Some(&now) {
            return None;
        }
        let (latch, reason) = now.clone();
        self.waiting_for = Some(now);
        Some(Line { wait: Some(latch), reason, ..Line::default() })
    }
}

/// Who is attached. A container may attach again (its wrapper was restarted in place, or reconnects before the
/// old connection is seen to be dead): only the newest stream of a name may report it lost.
#[derive(Clone, Default)]
pub(super) struct Registry(Arc<Mutex<Streams>>);

#[derive(Default)]
struct Streams {
    next: u64,
    /// Container -> its newest stream that has not told `exited`.
    live: HashMap<String, u64>,
}

impl Registry {
    /// Notes a new stream; the value lives as long as the stream does.
    pub(super) fn attach(&self, container: &str, requests: mpsc::Sender<Request>) -> Attached {
        let mut streams = self.lock();
        streams.next += 1;
        let id = streams.next;
        streams.live.insert(container.to_owned(), id);
        Attached { registry: self.clone(), container: container.to_owned(), id, requests }
    }

    /// The wrapper told its command's end: the end of its stream is no news then.
    pub(super) fn exited(&self, container: &str) {
        self.lock().live.remove(container);
    }

    fn lock(&self) -> MutexGuard<'_, Streams> {
        // A panic under this lock leaves a whole map: every update is one insert or one remove.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Held by a wrapper's stream; its drop, without `exited`, is [`Request::AppDetached`].
pub(super) struct Attached {
    registry: Registry,
    container: String,
    id: u64,
    requests: mpsc::Sender<Request>,
}

impl Drop for Attached {
    fn drop(&mut self) {
        {
            let mut streams = self.registry.lock();
            if streams.live.get(&self.container) != Some(&self.id) {
                return;
            }
            streams.live.remove(&self.container);
        }
        let lost = Request::AppDetached { container: std::mem::take(&mut self.container) };
        // Losing this message would make the stop wait for a dead app until its deadline, so a full queue is
        // waited for; a closed one has nobody left who could care.
        if let Err(mpsc::error::TrySendError::Full(lost)) = self.requests.try_send(lost)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let requests = self.requests.clone();
            runtime.spawn(async move { requests.send(lost).await });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::{Gate, Pending, StopStatus};

    fn waiting(latch: &str) -> Status {
        Status {
            pending: vec![Pending { latch: latch.into(), since_ms: 0.0, reason: None }],
            ..Status::default()
        }
    }

    fn gate(start: bool, release: bool, term: bool) -> Status {
        Status { gate: Gate { start, release, term }, ..Status::default() }
    }

    fn json(feed: &mut Feed, status: &Status) -> String {
        feed.next(status).map_or_else(String::new, |l| serde_json::to_string(&l).unwrap())
    }

    #[test]
    fn waits_starts_and_is_released_in_order_each_said_once() {
        let mut feed = Feed::default();
        assert_eq!(json(&mut feed, &waiting("agent joined")), r#"{"wait":"agent joined"}"#);
        assert_eq!(json(&mut feed, &waiting("agent joined")), "");
        assert_eq!(json(&mut feed, &waiting("envoy listeners")), r#"{"wait":"envoy listeners"}"#);
        assert_eq!(json(&mut feed, &gate(true, false, false)), r#"{"start":true}"#);
        assert_eq!(json(&mut feed, &waiting("envoy listeners")), "", "never waits again");
        assert_eq!(json(&mut feed, &gate(true, true, false)), r#"{"release":true}"#);
        assert_eq!(json(&mut feed, &gate(true, true, true)), "");
    }

    #[test]
    fn a_changed_reason_is_news() {
        let mut feed = Feed::default();
        let mut status = waiting("agent joined");
        assert!(feed.next(&status).is_some());
        status.pending[0].reason = Some("no known servers".into());
        let want = r#"{"wait":"agent joined","reason":"no known servers"}"#;
        assert_eq!(json(&mut feed, &status), want);
    }

    #[test]
    fn a_stop_before_the_start_sends_the_wrapper_home() {
        let stop = StopStatus {
            cause: "api".into(),
            since_ms: 0.0,
            awaiting: String::new(),
            seconds_left: None,
        };
        for status in [
            Status { stop: Some(stop.clone()), ..gate(false, false, false) },
            Status { stop: Some(stop), ..gate(true, false, false) },
            gate(true, true, false),
        ] {
            let mut feed = Feed::default();
            assert_eq!(json(&mut feed, &status), r#"{"release":true,"term":true}"#);
            assert_eq!(json(&mut feed, &status), "");
        }
    }

    #[test]
    fn a_running_app_that_attaches_again_waits_for_its_release() {
        let mut feed = Feed::new("app", true);
        assert_eq!(json(&mut feed, &waiting("agent joined")), "");
        assert_eq!(json(&mut feed, &gate(true, false, false)), "");
        let want = r#"{"release":true,"term":true}"#;
        assert_eq!(json(&mut feed, &gate(true, true, true)), want);
    }

    #[test]
    fn the_stop_timeout_comes_with_the_next_word_or_alone_and_once() {
        let defined = |status: Status| {
            let of = |name: &str, ms| (name.to_owned(), ms);
            let stop_timeouts_ms = [of("app", 8000), of("other", 1)].into();
            Status { stop_timeouts_ms, ..status }
        };
        let mut feed = Feed::new("app", false);
        let want = r#"{"wait":"consul agent","stopTimeoutMs":8000}"#;
        assert_eq!(json(&mut feed, &defined(waiting("consul agent"))), want);
        assert_eq!(json(&mut feed, &defined(gate(true, false, false))), r#"{"start":true}"#);
        let mut late = Feed::new("app", true);
        assert_eq!(json(&mut late, &gate(true, false, false)), "");
        let alone = r#"{"stopTimeoutMs":8000}"#;
        assert_eq!(json(&mut late, &defined(gate(true, false, false))), alone);
        assert_eq!(json(&mut late, &defined(gate(true, false, false))), "");
        assert_eq!(json(&mut late, &defined(gate(true, true, false))), r#"{"release":true}"#);
        let mut unknown = Feed::new("third", true);
        assert_eq!(json(&mut unknown, &defined(gate(true, false, false))), "");
    }

    #[tokio::test]
    async fn only_the_newest_stream_of_a_name_reports_it_lost_even_to_a_full_queue() {
        let (tx, mut rx) = mpsc::channel(1);
        let registry = Registry::default();
        let old = registry.attach("app", tx.clone());
        let new = registry.attach("app", tx.clone());
        drop(old);
        assert!(rx.try_recv().is_err());
        tx.try_send(Request::Stop).unwrap();
        drop(new);
        assert_eq!(rx.recv().await, Some(Request::Stop));
        assert_eq!(rx.recv().await, Some(Request::AppDetached { container: "app".into() }));
        let ended = registry.attach("app", tx.clone());
        registry.exited("app");
        drop(ended);
        tokio::task::yield_now().await;
        assert!(rx.try_recv().is_err());
    }
}
