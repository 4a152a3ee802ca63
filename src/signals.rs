//! Signals to the supervisor.
//!
//! | signal | what it does |
//! |---|---|
//! | TERM, INT, QUIT | an orderly stop; a second one of them means "now" |
//! | HUP | nothing: it is said once that nothing can be reloaded |
//! | PIPE | ignored, as in every Rust program: a write tells |

use crate::supervisor::Event;
use crate::supervisor::actor::Msg;
use ractor::ActorRef;
use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that we know what to do with.
pub struct Signals {
    term: Signal,
    int: Signal,
    quit: Signal,
    hup: Signal,
}

impl Signals {
    /// Installs the handlers.
    ///
    /// # Errors
    /// What the system says.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hup: signal(SignalKind::hangup())?,
        })
    }

    /// Turns signals into facts until the supervisor is gone.
    pub async fn forward(mut self, supervisor: ActorRef<Msg>) {
        let mut told = false;
        loop {
            let name = tokio::select! {
                Some(()) = self.term.recv() => "SIGTERM",
                Some(()) = self.int.recv() => "SIGINT",
                Some(()) = self.quit.recv() => "SIGQUIT",
                Some(()) = self.hup.recv() => {
                    // Once: who sends one every minute, as log rotation does, learns nothing by the second line.
                    if !std::mem::replace(&mut told, true) {
                        tracing::info!("SIGHUP: nothing can be reloaded; replace the task instead");
                    }
                    continue;
                }
                else => return,
            };
            tracing::info!(signal = name, "signal");
            if supervisor.cast(Msg::Event(Event::Term)).is_err() {
                return;
            }
        }
    }
}
