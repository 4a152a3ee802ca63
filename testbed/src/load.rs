//! A closed-loop HTTP/1.1 load client: each connection sends its next request when it has its
//! answer, so that a slow or broken peer is seen as such and not flooded.
//!
//! The HTTP is by hand, for a client library hides what is counted here: it sends a request again
//! when the peer closed the idle connection.

mod http1;
mod report;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::net::{Host, HostTask};
pub use http1::{BadUrl, RequestError};
use http1::{Connection, Target};
pub use report::{Failure, LoadReport, Slot};

/// What to send. Make one with [`LoadSpec::new`].
#[derive(Debug, Clone)]
pub struct LoadSpec {
    target: Target,
    /// Connections, each with one request under way.
    pub connections: usize,
    /// Between an answer and the connection's next request.
    pub pause: Duration,
    /// After which a request counts as failed.
    pub timeout: Duration,
    /// Keep connections open between requests, unless the peer says `Connection: close`.
    pub keep_alive: bool,
}

impl LoadSpec {
    /// Four connections without a pause to an `http://host:port/path`.
    ///
    /// # Errors
    /// If it is no such URL.
    pub fn new(url: &str) -> Result<Self, BadUrl> {
        Ok(Self {
            target: Target::parse(url)?,
            connections: 4,
            pause: Duration::ZERO,
            timeout: Duration::from_secs(5),
            keep_alive: true,
        })
    }

    /// Sets the number of connections.
    #[must_use]
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// Sets the pause after each answer.
    #[must_use]
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
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
        let shared = Arc::new(Shared { spec, mode: watch::Sender::new(Mode::Run), report });
        let worker = shared.clone();
        let task = host.spawn(move || async move {
            let all = (0..worker.spec.connections).map(|_| connection(&worker));
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

    /// The count so far; it ends now.
    #[must_use]
    pub fn report(&self) -> LoadReport {
        let mut report = self.shared.report().clone();
        report.end();
        report
    }

    /// Waits until this many requests more have succeeded.
    pub async fn wait_ok(&self, more: u64) {
        let goal = self.report().ok + more;
        while self.report().ok < goal {
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

async fn connection(shared: &Shared) {
    let spec = &shared.spec;
    let mut mode = shared.mode.subscribe();
    let mut open: Option<Connection> = None;
    loop {
        // The sender lives in `shared`.
        _ = mode.wait_for(|mode| *mode != Mode::Pause).await.is_ok();
        if *mode.borrow() == Mode::Stop {
            return;
        }
        let begun = Instant::now();
        let answer = timeout(spec.timeout, request(spec, open.take())).await;
        match answer.unwrap_or(Err(RequestError::Timeout)) {
            Ok((body, connection)) => {
                shared.report().success(&responder(&body), begun, Instant::now());
                open = connection.filter(|_| spec.keep_alive);
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

async fn request(
    spec: &LoadSpec,
    open: Option<Connection>,
) -> Result<(Vec<u8>, Option<Connection>), RequestError> {
    let connection = match open {
        Some(connection) => connection,
        None => Connection::open(&spec.target).await?,
    };
    connection.get(&spec.target).await
}

/// Who answered: behind `/call` it is the upstream.
fn responder(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let from = body.pointer("/upstream/from").or_else(|| body.get("from"));
    from.and_then(Value::as_str).unwrap_or("?").to_owned()
}
