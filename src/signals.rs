//! Signals to the supervisor.

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
        loop {
            let name = tokio::select! {
                Some(()) = self.term.recv() => "SIGTERM",
                Some(()) = self.int.recv() => "SIGINT",
                Some(()) = self.quit.recv() => "SIGQUIT",
                Some(()) = self.hup.recv() => {
                    tracing::info!("SIGHUP: nothing can be reloaded; replace the task instead");
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
