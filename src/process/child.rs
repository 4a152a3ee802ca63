//! Starting a child, and the handle to it.

use super::output::{self, Shared, Stream};
use super::{ChildExit, ChildSpec, Output, Reaper, Signal, SpawnError, limits, reaper, spec, sys};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::unix::pipe;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long after its end a child's last output is waited for. All of it is in the pipes by then; only a
/// process that left the child's group can still hold them open.
const LAST_OUTPUT: Duration = Duration::from_millis(100);

/// A child that was started. Dropping it kills its process group.
#[derive(Debug)]
pub struct Child {
    name: Arc<str>,
    pid: i32,
    started: Instant,
    exit: watch::Receiver<Option<ChildExit>>,
    open: watch::Receiver<usize>,
    pub(super) shared: Arc<Shared>,
}

/// Starts a child in a process group of its own, which dies with us.
///
/// Must run on the thread that runs the runtime: the child dies with the thread that started it. Blocks for the
/// fork and the exec, about a millisecond.
///
/// # Errors
/// See [`SpawnError`]; nothing is left behind then.
pub fn spawn(_reaper: &Reaper, spec: ChildSpec) -> Result<Child, SpawnError> {
    let ChildSpec { name, program, args, env, output, oom_score_adj } = spec;
    let file = spec::find(&name, &program, std::env::var_os("PATH").as_deref())?;
    let refused = |source| SpawnError::from_exec(&name, &file, source);

    let (stdout, stdout_child) = pipe_for_child().map_err(refused)?;
    let (stderr, stderr_child) = pipe_for_child().map_err(refused)?;
    let mut command = Command::new(&file);
    command.args(args).env_clear().envs(env).process_group(0);
    command.stdin(Stdio::null()).stdout(stdout_child).stderr(stderr_child);
    sys::prepare(&mut command);

    let (pid, _, exit) = reaper::register(|| {
        // std reaps a child whose exec failed, and only that one; later it must not wait, and does not: its
        // handle is dropped here, which neither waits nor kills.
        let child = command.spawn()?;
        Ok::<_, io::Error>((child.id().cast_signed(), ()))
    })
    .map_err(refused)?;
    drop(command); // It holds the child's ends of the pipes; with them open there would be no end of file.
    let started = Instant::now();
    if let Some(value) = oom_score_adj {
        limits::set_oom_score_adj(pid, value);
    }

    let name: Arc<str> = name.into();
    let shared = Arc::new(Shared::default());
    let (closing, open) = watch::channel(2);
    for (stream, pipe) in [(Stream::Stdout, stdout), (Stream::Stderr, stderr)] {
        let (shared, closing) = (Arc::clone(&shared), closing.clone());
        match &output {
            Output::Lines(sink) => {
                let (name, sink) = (Arc::clone(&name), Arc::clone(sink));
                tokio::spawn(output::read_lines(name, stream, pipe, shared, sink, closing));
            }
            Output::Capture { max } => {
                tokio::spawn(output::capture(stream, pipe, shared, *max, closing));
            }
        }
    }
    Ok(Child { name, pid, started, exit, open, shared })
}

/// Our end, which never blocks us, and the child's, which is an ordinary pipe.
fn pipe_for_child() -> io::Result<(pipe::Receiver, OwnedFd)> {
    let (ours, childs) = io::pipe()?;
    Ok((pipe::Receiver::from_owned_fd(ours.into())?, childs.into()))
}

impl Child {
    /// The name it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process ID, which is also the ID of its group. For logs: signal it through this handle only.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// When its exec was done.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Sends a signal to the child itself. False if it is gone: after its status was taken nothing is sent.
    pub fn signal(&self, signal: Signal) -> bool {
        reaper::signal_child(self.pid, signal)
    }

    /// Sends a signal to the child's whole group. False if the child is gone (its group then is too).
    pub fn signal_group(&self, signal: Signal) -> bool {
        reaper::signal_group(self.pid, signal)
    }

    /// Waits for its end and for its last output. May be called again, and from several places at once
    /// (see [`exited`](Self::exited)).
    pub async fn wait(&mut self) -> ChildExit {
        self.exited().await
    }

    /// The same as a future of its own, for a task that waits while the handle is elsewhere.
    pub fn exited(&self) -> impl Future<Output = ChildExit> + Send + use<> {
        let (mut exit, mut open) = (self.exit.clone(), self.open.clone());
        async move {
            let exit = match exit.wait_for(Option::is_some).await {
                Ok(exit) => exit.unwrap_or(ChildExit::Lost),
                // The registry keeps the sender until it has sent.
                Err(_) => ChildExit::Lost,
            };
            tokio::time::timeout(LAST_OUTPUT, open.wait_for(|&n| n == 0)).await.ok();
            exit
        }
    }

    /// Its end as a value that can be looked at and watched: `None` while it runs.
    pub fn exit(&self) -> watch::Receiver<Option<ChildExit>> {
        self.exit.clone()
    }

    /// The last 20 lines (512 bytes of each) of both streams, oldest first: why it died. Both, for Consul logs
    /// to its standard output and Envoy to its standard error. Empty for captured output.
    pub fn last_lines(&self) -> Vec<String> {
        self.shared.last_lines()
    }

    /// How many of its lines the sink has refused.
    pub fn lines_dropped(&self) -> u64 {
        self.shared.refused()
    }

    /// Waits until both streams were read to their end, at most `limit`. False if one is still open.
    pub(super) async fn output_complete(&mut self, limit: Duration) -> bool {
        let closed = self.open.wait_for(|&n| n == 0);
        tokio::time::timeout(limit, closed).await.is_ok()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.signal_group(Signal::SIGKILL);
    }
}
