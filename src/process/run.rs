//! Short-lived children: start, wait with a limit, give back what they printed.

use super::{ChildExit, ChildSpec, Output, Reaper, Signal, SpawnError, spawn};
use std::time::Duration;

/// Kept of each stream if the spec does not say: many times a bootstrap's size.
const DEFAULT_CAPTURE: usize = 1024 * 1024;
/// How long after the end (or the KILL) a status or an end of file is waited for.
const AFTERMATH: Duration = Duration::from_secs(1);

/// What a child that ran to its end left.
#[derive(Debug, Clone)]
pub struct CapturedOutput {
    /// How it ended.
    pub exit: ChildExit,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
    /// There was more than was kept, or something else still holds a stream open.
    pub truncated: bool,
}

/// Why there is no [`CapturedOutput`].
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It could not be started.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// It took too long, and was killed.
    #[error("{name}: not done after {limit:?}, killed; stderr: {stderr:?}")]
    TimedOut {
        /// The child.
        name: String,
        /// The limit that it passed.
        limit: Duration,
        /// What it had printed to standard error until then.
        stderr: String,
    },
}

/// Starts a child and waits for its end. Its output is captured: with the limit of `spec.output` if that is
/// [`Output::Capture`], else 1 MiB of each stream. An exit code other than 0 is no error here.
///
/// # Errors
/// If it cannot be started, or has not ended after `limit`; its group is killed then. Dropping the future kills
/// it too.
pub async fn run_to_end(
    reaper: &Reaper,
    mut spec: ChildSpec,
    limit: Duration,
) -> Result<CapturedOutput, RunError> {
    if !matches!(spec.output, Output::Capture { .. }) {
        spec.output = Output::Capture { max: DEFAULT_CAPTURE };
    }
    let mut child = spawn(reaper, spec)?;
    let ended = tokio::time::timeout(limit, child.wait()).await;
    let Ok(exit) = ended else {
        child.signal_group(Signal::SIGKILL);
        tokio::time::timeout(AFTERMATH, child.wait()).await.ok();
        let [_, stderr] = child.shared.take_captured();
        return Err(RunError::TimedOut {
            name: child.name().to_owned(),
            limit,
            stderr: String::from_utf8_lossy(&stderr.bytes).into_owned(),
        });
    };
    let complete = child.output_complete(AFTERMATH).await;
    let [stdout, stderr] = child.shared.take_captured();
    Ok(CapturedOutput {
        exit,
        truncated: stdout.truncated || stderr.truncated || !complete,
        stdout: stdout.bytes,
        stderr: stderr.bytes,
    })
}
