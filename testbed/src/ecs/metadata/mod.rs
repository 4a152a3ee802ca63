//! The task metadata endpoint, version 4, and the task role's credentials beside it.
//!
//! | file | what it knows |
//! |---|---|
//! | `body` | the JSON, in both flavours |
//! | `routes` | paths and their answers, also the errors |
//! | `throttle` | the token bucket |
//! | `server` | sockets, and what faults do to an answer |

mod body;
mod routes;
mod server;
mod throttle;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

pub(super) use server::listen;

use crate::net::Log;

/// Something wrong with the endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// 404 with the agent's text, as after it lost its state.
    NotFound,
    /// 429 with the agent's text.
    TooManyRequests,
    /// 500 with the agent's text.
    ServerError,
    /// 200 with an HTML body.
    NotJson,
    /// The right answer after this long.
    Slow(Duration),
    /// No answer at all; the connection stays open.
    Hang,
    /// The head and half of the body, then the connection ends.
    Truncated,
    /// The connection ends without an answer.
    Reset,
    /// Nobody listens, and open connections end: the agent restarts.
    Refused,
    /// The right answer with this many bytes of unknown keys.
    Huge(usize),
    /// The right answer with so many more containers, which run and are healthy, each with 4 KiB of labels.
    Crowd(usize),
    /// The same with labels as short as most tasks have them: half a KiB.
    Company(usize),
    /// The right answer with keys that nobody knows yet, here and in every container.
    UnknownKeys,
}

/// A request that the endpoint got.
#[derive(Debug, Clone)]
pub struct Request {
    /// When it was read.
    pub at: Instant,
    /// Its path.
    pub path: String,
    /// The status of the answer; `None` if there was none.
    pub status: Option<u16>,
}

/// Handle of a task's metadata endpoint.
#[derive(Debug, Clone)]
pub struct Metadata {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    queue: Mutex<VecDeque<Fault>>,
    lasting: Mutex<Option<Fault>>,
    refused: watch::Sender<bool>,
    requests: Log<Request>,
    base: String,
}

impl Metadata {
    pub(super) fn new(base: String) -> Self {
        Self {
            inner: Arc::new(Inner {
                queue: Mutex::default(),
                lasting: Mutex::default(),
                refused: watch::Sender::new(false),
                requests: Log::default(),
                base,
            }),
        }
    }

    /// `http://` and authority, as the containers see it.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.inner.base
    }

    /// Every answer is wrong in this way until [`Metadata::clear`].
    pub fn set(&self, fault: Fault) {
        self.inner.refused.send_replace(fault == Fault::Refused);
        *lock(&self.inner.lasting) = Some(fault);
    }

    /// The next answers, one each, are wrong in these ways, before any lasting fault.
    /// [`Fault::Refused`] here ends one connection, as [`Fault::Reset`].
    pub fn next(&self, faults: impl IntoIterator<Item = Fault>) {
        lock(&self.inner.queue).extend(faults);
    }

    /// Ends all faults.
    pub fn clear(&self) {
        lock(&self.inner.queue).clear();
        *lock(&self.inner.lasting) = None;
        self.inner.refused.send_replace(false);
    }

    /// The requests so far and to come, also those answered wrongly.
    #[must_use]
    pub fn requests(&self) -> &Log<Request> {
        &self.inner.requests
    }

    fn fault(&self) -> Option<Fault> {
        let next = lock(&self.inner.queue).pop_front();
        next.or_else(|| lock(&self.inner.lasting).clone())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
