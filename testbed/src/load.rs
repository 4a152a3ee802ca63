//! A closed-loop load client: each loop sends its next request when it has its answer, so that a slow or broken peer is
//! seen as such and not flooded. With a rate it waits for the request's turn besides.
//!
//! It speaks each kind of protocol itself, for a client library hides what is counted here: it sends a request again
//! when the peer closed the idle connection. Every request is sent once, and fails where it failed.

mod client;
mod error;
pub(crate) mod framing;
pub(crate) mod grpc;
mod http1;
mod http2;
mod report;
mod target;
mod tcp;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep};

use crate::net::{Host, HostTask};
pub(crate) use client::Client;
pub use error::RequestError;
pub use report::{Failure, LoadReport, Slot};
pub use target::BadUrl;
use target::Target;

/// What a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// A GET with HTTP/1.1. A status of 200 to 299 and a whole body are a success.
    #[default]
    Http1,
    /// The same with HTTP/2 in the clear, by prior knowledge.
    Http2,
    /// A server-streaming gRPC call; gRPC's framing, but the messages are JSON. A success is a status of 200, whole
    /// messages and `grpc-status: 0`.
    Grpc,
    /// `ask` and a line of JSON, such as `{"from": "api-1", "n": 3}`. With `"bye": true` in it, the app closes the
    /// connection after it, and the next request opens another; every other end is a failure.
    Tcp,
}

/// What to send. Make one with [`LoadSpec::new`].
#[derive(Debug, Clone)]
pub struct LoadSpec {
    target: Target,
    kind: Kind,
    /// Connections, each with one request under way, or with as many as it has streams.
    pub connections: usize,
    /// Loops that share a connection; 1 at least. Without a meaning for [`Kind::Http1`] and [`Kind::Tcp`].
    pub streams: usize,
    /// Between an answer and the loop's next request.
    pub pause: Duration,
    /// After which a request counts as failed.
    pub timeout: Duration,
    /// Keep connections open between requests, unless the peer closes them.
    pub keep_alive: bool,
    /// From the turn of one request to the turn of the next, over all loops; none if zero. A turn that a slow answer
    /// took is not made up for.
    every: Duration,
}

impl LoadSpec {
    /// Four connections without a pause to an `http://host:port/path`, with [`Kind::Http1`]; or to a
    /// `tcp://host:port`, with [`Kind::Tcp`].
    ///
    /// # Errors
    /// If it is no such URL.
    pub fn new(url: &str) -> Result<Self, BadUrl> {
        let (target, kind) = Target::parse(url)?;
        Ok(Self {
            target,
            kind,
            connections: 4,
            streams: 1,
            pause: Duration::ZERO,
            timeout: Duration::from_secs(5),
            keep_alive: true,
            every: Duration::ZERO,
        })
    }

    /// Sets the kind of the requests.
    ///
    /// # Errors
    /// If the URL is of another form than the kind's.
    pub fn kind(mut self, kind: Kind) -> Result<Self, BadUrl> {
        self.target.fits(kind)?;
        self.kind = kind;
        Ok(self)
    }

    /// Sets the number of connections.
    #[must_use]
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// Sets the number of loops that share a connection.
    #[must_use]
    pub fn streams(mut self, streams: usize) -> Self {
        self.streams = streams;
        self
    }

    /// Sets the pause after each answer.
    #[must_use]
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// At most so many requests a second, over all loops; zero: as many as there can be.
    #[must_use]
    pub fn rate(mut self, a_second: u32) -> Self {
        self.every = Duration::from_secs(1).checked_div(a_second).unwrap_or_default();
        self
    }

    /// The clients of one connection.
    fn clients(&self) -> Vec<Client> {
        let first = Client::new(self);
        let mut all: Vec<_> = (1..self.streams).map_while(|_| first.share()).collect();
        all.push(first);
        all
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Run,
    Pause,
    Stop,
}

#[derive(Debug)]
struct Shared {
    spec: LoadSpec,
    mode: watch::Sender<Mode>,
    report: Mutex<LoadReport>,
    under_way: AtomicUsize,
}

impl Shared {
    fn report(&self) -> MutexGuard<'_, LoadReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running load. Dropping it stops it.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    task: HostTask<()>,
}

impl Load {
    /// Starts it on a host.
    #[must_use]
    pub fn start(host: &Host, spec: LoadSpec) -> Self {
        let report = Mutex::new(LoadReport::new(Instant::now()));
        let mode = watch::Sender::new(Mode::Run);
        let shared = Arc::new(Shared { spec, mode, report, under_way: AtomicUsize::new(0) });
        let worker = shared.clone();
        let task = host.spawn(move || async move {
            let clients: Vec<_> =
                (0..worker.spec.connections).flat_map(|_| worker.spec.clients()).collect();
            let turns = Turns::new(worker.spec.every, clients.len());
            let all = clients.into_iter().zip(turns).map(|(client, turns)| {
                let worker = &worker;
                async move { closed_loop(worker, client, turns).await }
            });
            futures_util::future::join_all(all).await;
        });
        Self { shared, task }
    }

    /// Sends nothing new until [`Load::resume`].
    pub fn pause(&self) {
        self.shared.mode.send_replace(Mode::Pause);
    }

    /// Goes on after [`Load::pause`].
    pub fn resume(&self) {
        self.shared.mode.send_replace(Mode::Run);
    }

    /// Requests that have begun and not ended.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.shared.under_way.load(Ordering::Relaxed)
    }

    /// The count so far; it ends now.
    #[must_use]
    pub fn report(&self) -> LoadReport {
        let mut report = self.shared.report().clone();
        report.end();
        report
    }

    /// Waits until this many requests more have succeeded.
    pub async fn wait_ok(&self, more: u64) {
        let goal = self.shared.report().ok + more;
        while self.shared.report().ok < goal {
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Lets the requests under way end, and answers the final count.
    pub async fn stop(mut self) -> LoadReport {
        self.shared.mode.send_replace(Mode::Stop);
        // An error means that the host has ended, and the load with it.
        _ = (&mut self.task).await.is_ok();
        self.shared.report().end();
        self.report()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.mode.send_replace(Mode::Stop);
        self.task.abort();
    }
}

/// When a loop's turns are.
struct Turns(Option<Interval>);

impl Turns {
    /// Those of each loop, one after the other.
    fn new(every: Duration, loops: usize) -> impl Iterator<Item = Self> {
        let whole = every * u32::try_from(loops).unwrap_or(u32::MAX);
        let begun = Instant::now();
        (0..u32::MAX).map(move |number| {
            Self((!whole.is_zero()).then(|| {
                let mut turns = interval_at(begun + every * number, whole);
                turns.set_missed_tick_behavior(MissedTickBehavior::Skip);
                turns
            }))
        })
    }

    async fn next(&mut self) {
        if let Some(turns) = &mut self.0 {
            turns.tick().await;
        }
    }
}

async fn closed_loop(shared: &Shared, mut client: Client, mut turns: Turns) {
    let spec = &shared.spec;
    let mut mode = shared.mode.subscribe();
    loop {
        turns.next().await;
        // The sender lives in `shared`.
        _ = mode.wait_for(|mode| *mode != Mode::Pause).await.is_ok();
        if *mode.borrow() == Mode::Stop {
            return;
        }
        let begun = Instant::now();
        shared.under_way.fetch_add(1, Ordering::Relaxed);
        let answer = client.request().await;
        shared.under_way.fetch_sub(1, Ordering::Relaxed);
        match answer {
            Ok(answer) => {
                let mut report = shared.report();
                report.success(&answer.from, begun, Instant::now());
                report.closed_by_app += u64::from(answer.closed_by_app);
            }
            Err(error) => {
                shared.report().failure(&error, Instant::now());
                // A refused connection is answered at once: do not spin on it.
                sleep(Duration::from_millis(5)).await;
            }
        }
        if !spec.pause.is_zero() {
            sleep(spec.pause).await;
        }
    }
}
