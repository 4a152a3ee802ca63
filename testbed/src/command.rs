//! What the long-running commands share: a runtime, and an end also by a signal.

use std::process::ExitCode;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use tokio::signal::unix::{SignalKind, signal};

use crate::screen::Screen;

/// Runs a command to its end, or to the first signal: then everything is dropped, which ends all processes. An error is
/// shown, and 128 + n is the exit code after signal n.
pub(crate) fn run(
    name: &str,
    screen: Screen,
    work: impl Future<Output = Result<ExitCode>>,
) -> ExitCode {
    let ended = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime")
        .and_then(|runtime| runtime.block_on(until_signal(name, screen, work)));
    ended.unwrap_or_else(|error| {
        screen.line("");
        screen.bad(&format!("{name}: {error:#}"));
        ExitCode::FAILURE
    })
}

async fn until_signal(
    name: &str,
    screen: Screen,
    work: impl Future<Output = Result<ExitCode>>,
) -> Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let signal = tokio::select! {
        ended = work => return ended,
        _ = interrupt.recv() => Signal::SIGINT,
        _ = terminate.recv() => Signal::SIGTERM,
        _ = hangup.recv() => Signal::SIGHUP,
    };
    screen.line("");
    screen.bad(&format!("{name}: {signal}: every process was ended, nothing is left"));
    // All signals in use are below 128.
    Ok(ExitCode::from(128 + signal as u8))
}
