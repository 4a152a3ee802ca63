//! The admin server as a supervisor would run it, with the test in the supervisor's place.

#![allow(dead_code, unreachable_pub)] // each test file is a crate and uses its own part

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use taskmesh::admin::{self, Gate, Pending, Request, Source, Status};
use taskmesh::timeline::Log;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// Longer than anything here takes on a busy machine.
pub const LONG: Duration = Duration::from_secs(20);

pub struct Supervisor {
    pub addr: SocketAddr,
    pub status: watch::Sender<Arc<Status>>,
    pub requests: mpsc::Receiver<Request>,
    pub timeline: Log,
    server: JoinHandle<()>,
}

impl Supervisor {
    /// On a free loopback port, with room for `queue` requests.
    pub async fn start(queue: usize) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), queue).await
    }

    pub async fn start_at(addr: SocketAddr, queue: usize) -> Self {
        // A child that is just being executed may hold its copy of the old listener for a moment more.
        let began = Instant::now();
        let listener = loop {
            match admin::bind(addr).await {
                Err(e) if e.kind() == ErrorKind::AddrInUse && began.elapsed() < LONG => {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                bound => break bound.unwrap(),
            }
        };
        let addr = listener.local_addr().unwrap();
        let (status, status_rx) = watch::channel(Arc::new(waiting_for("agent joined")));
        let (requests_tx, requests) = mpsc::channel(queue);
        let timeline = Log::new("2026-11-22T10:00:00.000000000Z".into());
        let source = Source {
            status: status_rx,
            timeline: timeline.clone(),
            epoch: Instant::now(),
            requests: requests_tx,
        };
        let server = tokio::spawn(admin::serve(listener, source));
        Self { addr, status, requests, timeline, server }
    }

    pub fn publish(&self, status: Status) {
        self.status.send_replace(Arc::new(status));
    }

    /// The next request; fails the test if there is none.
    pub async fn next(&mut self) -> Request {
        timeout(LONG, self.requests.recv()).await.expect("no request came").expect("server gone")
    }

    /// Waits for an attach and says which container.
    pub async fn attached(&mut self) -> String {
        match self.next().await {
            Request::AppAttached { container, .. } => container,
            other => panic!("expected an attach, got {other:?}"),
        }
    }

    /// Every socket closes, as when the supervisor is killed.
    pub async fn kill(self) -> SocketAddr {
        self.server.abort();
        self.server.await.ok();
        self.addr
    }
}

pub fn waiting_for(latch: &str) -> Status {
    Status {
        phase: "starting".into(),
        pending: vec![Pending { latch: latch.into(), since_ms: 0.0, reason: None }],
        ..Status::default()
    }
}

pub fn running() -> Status {
    Status {
        phase: "running".into(),
        ready: true,
        healthy: true,
        gate: Gate { start: true, release: false, term: false },
        ..Status::default()
    }
}

pub fn released(term: bool) -> Status {
    Status { gate: Gate { start: true, release: true, term }, ..running() }
}
