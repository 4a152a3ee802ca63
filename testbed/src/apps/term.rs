//! What an app makes of TERM.

use std::future::Future;
use std::io;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

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
    /// Go on as if nothing had happened for `--linger`, then drain: an app with a delay of its own
    Linger,
}

/// What TERM does, and for how long.
#[derive(Debug, Clone, Copy, Args)]
pub struct TermArgs {
    /// What TERM does
    #[arg(long = "term", value_enum, default_value_t)]
    pub on_term: OnTerm,
    /// How long an app that lingers goes on
    #[arg(long, value_parser = humantime::parse_duration, default_value = "2s")]
    pub linger: Duration,
}

impl TermArgs {
    /// Whether to finish what is under way.
    pub(super) fn drains(&self) -> bool {
        matches!(self.on_term, OnTerm::Drain | OnTerm::Linger)
    }
}

/// Installs the handler now; the future ends when TERM (or INT, at once) should end the app.
pub(super) fn asked(args: TermArgs) -> io::Result<impl Future<Output = ()>> {
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        let ended = async {
            loop {
                term.recv().await;
                match args.on_term {
                    OnTerm::Ignore => println!("TERM ignored"),
                    OnTerm::Exit | OnTerm::Drain => return println!("TERM"),
                    OnTerm::Linger => {
                        println!("TERM");
                        return sleep(args.linger).await;
                    }
                }
            }
        };
        tokio::select! {
            () = ended => {}
            _ = interrupt.recv() => {}
        }
    })
}
