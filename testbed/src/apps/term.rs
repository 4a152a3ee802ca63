//! What an app makes of TERM.

use std::future::Future;
use std::io;

use clap::ValueEnum;
use tokio::signal::unix::{SignalKind, signal};

/// What TERM does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum OnTerm {
    /// End at once with 0, whatever is under way
    #[default]
    Exit,
    /// Nothing, and say so
    Ignore,
    /// Take nothing new, finish what is under way, end with 0
    Drain,
}

/// Installs the handler now; the future ends when TERM (or INT) should end the app.
pub(super) fn asked(on_term: OnTerm) -> io::Result<impl Future<Output = ()>> {
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        loop {
            tokio::select! {
                _ = term.recv() => {}
                _ = interrupt.recv() => return,
            }
            match on_term {
                OnTerm::Ignore => println!("TERM ignored"),
                OnTerm::Exit | OnTerm::Drain => {
                    println!("TERM");
                    return;
                }
            }
        }
    })
}
