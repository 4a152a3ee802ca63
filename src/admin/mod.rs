//! The loopback HTTP API: `/ready`, `/v1/status`, `/v1/timeline`, `POST /v1/stop`, and the app wrapper's protocol.
//!
//! The server knows nothing of the timeline: it reads a [`Status`] that the supervisor publishes and hands
//! [`Request`]s on.
//!
//! | file | what it knows |
//! |---|---|
//! | `status` | what the supervisor publishes |
//! | `view` | what a reader gets: the same with durations |
//! | `app` | one wrapper's stream: what it is told, and when it counts as lost |
//! | `guard` | which requests are looked at at all |
//! | `routes` | paths, bodies, answers |
//! | `server` | the socket: limits and timeouts |
//! | `addr` | where the API is found |

mod addr;
mod app;
mod guard;
mod routes;
mod server;
mod status;
mod view;

pub use addr::{DEFAULT_ADDR, parse_addr};
pub use app::{Attach, Exited, Line};
#[cfg(feature = "aws")]
pub(crate) use server::serve_router;
pub use server::{bind, serve};
pub use status::*;
pub use view::{PendingView, ProblemView, ReadyView, StatusView, StopView};

use crate::timeline;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// What a caller of the API asks of the supervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// `POST /v1/stop`.
    Stop,
    /// A wrapper opened its stream.
    AppAttached {
        /// The container's name, from the wrapper's own metadata.
        container: String,
        /// The wrapper's pid, for people.
        pid: i32,
    },
    /// A wrapper's stream ended without `exited`: it was killed, or the connection broke.
    AppDetached {
        /// The container's name.
        container: String,
    },
    /// The wrapper started its command.
    AppStarted {
        /// The container's name.
        container: String,
    },
    /// The wrapper got TERM: a stop cause.
    AppTerm {
        /// The container's name.
        container: String,
    },
    /// The wrapped command ended.
    AppExited {
        /// The container's name.
        container: String,
        /// Its exit code, 128+n for signal n.
        code: i32,
    },
}

/// What the server serves from.
#[derive(Clone)]
pub struct Source {
    /// Published by the supervisor.
    pub status: watch::Receiver<Arc<Status>>,
    /// The live timeline.
    pub timeline: timeline::Log,
    /// When the supervisor was started, to tell for how long something is pending.
    pub epoch: tokio::time::Instant,
    /// Bounded: a full queue is answered 503.
    pub requests: mpsc::Sender<Request>,
}
