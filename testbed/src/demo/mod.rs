//! `testbed demo`: three simulated ECS tasks on a mesh, from start to stop, live in the terminal.
//!
//! | file | what it knows |
//! |---|---|
//! | `scenario` | the steps: start, load, stop one task under load, stop the rest |
//! | `live` | a task's timeline as it happens, from its supervisor's log lines |
//! | `order` | the order that a timeline must have |
//! | `verdict` | what has to be true of the whole run |
//! | `summary` | the tables at the end |
//! | `header` | which programs are used |
//! | `files` | the pictures, timelines and logs that are left |
//! | `screen` | columns and colours |
//!
//! Nothing is left behind however it ends: processes and namespaces belong to the hosts' threads (see
//! [`crate::net`]), so that they end with this process, also when it gets KILL.

mod files;
mod header;
mod live;
pub mod order;
mod scenario;
mod screen;
mod summary;
mod verdict;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use nix::sys::signal::Signal;
use tokio::signal::unix::{SignalKind, signal};

use screen::Screen;

/// `testbed demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Protocol of both services. tcp: Envoy balances connections, and no loss-free stop is promised
    #[arg(long, value_enum, default_value_t)]
    pub protocol: Protocol,
    /// How long to leave the mesh running before the first stop, to look at it by hand, such as 60s
    #[arg(long, value_parser = humantime::parse_duration, default_value = "0s")]
    pub keep: Duration,
    /// Connections of the load client
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub connections: u16,
    /// Where the pictures go
    #[arg(long, default_value_os_t = files::default_folder())]
    pub out: PathBuf,
}

/// What the services speak. The demo's app speaks HTTP/1.1, which fits both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http,
    /// Bytes.
    Tcp,
}

impl Protocol {
    /// As Consul names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Tcp => "tcp",
        }
    }
}

/// Runs the demo. 0: everything was as it has to be; 1: it was not, and the last lines say what;
/// 128 + n: ended by signal n.
#[must_use]
pub fn run(args: &DemoArgs) -> ExitCode {
    let screen = Screen::new();
    let ended = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime")
        .and_then(|runtime| runtime.block_on(until_signal(args, screen)));
    match ended {
        Ok(code) => code,
        Err(error) => {
            screen.line("");
            screen.bad(&format!("demo: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// The scenario, or the first signal: then everything is dropped, which ends all processes.
async fn until_signal(args: &DemoArgs, screen: Screen) -> Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let signal = tokio::select! {
        ended = scenario::play(args, screen) => return ended,
        _ = interrupt.recv() => Signal::SIGINT,
        _ = terminate.recv() => Signal::SIGTERM,
        _ = hangup.recv() => Signal::SIGHUP,
    };
    screen.line("");
    screen.bad(&format!("demo: {signal}: every process was ended, nothing is left"));
    // All signals in use are below 128.
    Ok(ExitCode::from(128 + signal as u8))
}
