//! Children: their output, their exit, signals, and the end of their whole process tree.

use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::{Gid, Pid, Uid};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::unix::pipe;
use tokio::sync::watch;
use tokio::time::Instant;

use super::log::Log;
use super::root::{Root, RootFs};
use super::sys::{self, Prelude, ReadOnly, Space};
use super::tree;

/// What to run. The child has no standard input, a session of its own, and is killed when the
/// host ends.
#[derive(Debug, Clone, Default)]
pub struct ProcessSpec {
    /// Path, or a name looked up in the child's `PATH`.
    pub program: OsString,
    /// Arguments without the program's own name.
    pub args: Vec<OsString>,
    /// Variables to set.
    pub env: Vec<(OsString, OsString)>,
    /// Start from an empty environment instead of this process's.
    pub clear_env: bool,
    /// Working directory; ours if not set.
    pub dir: Option<PathBuf>,
    /// User and group to become; needs root.
    pub user: Option<(u32, u32)>,
    /// Where its process ids live.
    pub pid_space: PidSpace,
    /// Every file system is read-only for it, save for these folders. Only with [`PidSpace::New`].
    pub read_only_but: Option<Vec<PathBuf>>,
    /// It has a root file system of its own; program and folder are found in there. Only with [`PidSpace::New`].
    pub root: Option<RootFs>,
}

/// Where a child's process ids live. All but [`PidSpace::Outer`] need root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PidSpace {
    /// With ours.
    #[default]
    Outer,
    /// In a new PID namespace, as its PID 1 with its own `/proc`: as in a container, signals that
    /// it does not handle do nothing to it, and its exit ends all that it started.
    New,
    /// In the namespaces of a running process, by its (outer) process id.
    Of(i32),
}

impl ProcessSpec {
    /// A program with arguments and this process's environment.
    pub fn new<S: Into<OsString>>(
        program: impl Into<OsString>,
        args: impl IntoIterator<Item = S>,
    ) -> Self {
        Self {
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }

    /// `sh -c script`.
    #[must_use]
    pub fn shell(script: &str) -> Self {
        Self::new("sh", ["-c", script])
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }
}

/// Which of a child's outputs a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One line of output.
#[derive(Debug, Clone)]
pub struct Line {
    /// When it was read.
    pub at: Instant,
    /// Where it was written.
    pub stream: Stream,
    /// The text without its end of line; bytes that are not UTF-8 are replaced.
    pub text: String,
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal number.
    Signal(i32),
}

impl Exit {
    fn of(status: ExitStatus) -> Self {
        match status.code() {
            Some(code) => Self::Code(code),
            None => Self::Signal(status.signal().unwrap_or_default()),
        }
    }

    /// The code that a container runtime reports: 128 + n for signal n.
    #[must_use]
    pub fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

/// A running or ended child. Its whole process tree is killed when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Process {
    guard: Arc<Guard>,
}

/// Kills on drop; apart from [`Shared`], which the waiting thread holds too.
#[derive(Debug)]
struct Guard(Arc<Shared>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.kill_tree();
    }
}

#[derive(Debug)]
struct Shared {
    pid: Pid,
    /// `None` once it was waited for: from then on its process id may be another's.
    child: Mutex<Option<Child>>,
    exit: watch::Sender<Option<Exit>>,
    output: Log<Line>,
    /// PID 1 of a namespace: its end is its tree's.
    contained: bool,
}

impl Shared {
    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn signal(&self, signal: Signal) -> bool {
        let child = self.child();
        child.is_some() && kill(self.pid, signal).is_ok()
    }

    fn kill_tree(&self) {
        let child = self.child();
        if child.is_none() {
            return;
        }
        if self.contained {
            // It may be a zombie already; then its namespace is gone.
            _ = kill(self.pid, Signal::SIGKILL).is_ok();
        } else {
            tree::kill_all(self.pid);
        }
    }

    /// Blocks until the child has ended; what it leaves behind is killed before it is reaped, for
    /// until then its session's id cannot be anybody else's.
    fn wait(&self) {
        let ended = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        while let Err(nix::Error::EINTR) = waitid(Id::Pid(self.pid), ended) {}
        self.kill_tree();
        let status = self.child().take().map(|mut child| child.wait());
        let exit = match status {
            Some(Ok(status)) => Exit::of(status),
            Some(Err(_)) | None => Exit::Signal(Signal::SIGKILL as i32),
        };
        self.exit.send_replace(Some(exit));
    }
}

impl Process {
    /// Starts a child of the calling thread, inside that thread's namespaces. Needs a tokio
    /// runtime, which reads the output.
    ///
    /// # Errors
    /// The system's error from fork or exec (`NotFound`: no such program).
    pub(crate) fn spawn_here(spec: &ProcessSpec) -> io::Result<Self> {
        let mut command = Command::new(&spec.program);
        command.args(&spec.args).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if spec.clear_env {
            command.env_clear();
        }
        command.envs(spec.env.iter().map(|(name, value)| (name, value)));
        let dir = match &spec.dir {
            Some(dir) => Some(CString::new(dir.as_os_str().as_bytes())?),
            None => None,
        };
        let space = match spec.pid_space {
            PidSpace::Outer => Space::Outer,
            PidSpace::New => Space::New,
            PidSpace::Of(pid) => Space::Of(Pid::from_raw(pid)),
        };
        let user = spec.user.map(|(uid, gid)| (Uid::from_raw(uid), Gid::from_raw(gid)));
        let read_only = spec.read_only_but.as_deref().map(ReadOnly::but).transpose()?;
        let root = spec.root.as_ref().map(Root::of).transpose()?;
        let mut child = sys::spawn(command, Prelude { space, user, dir, read_only, root })?;

        let output = Log::default();
        let stdout = child.stdout.take().map(|pipe| (OwnedFd::from(pipe), Stream::Stdout));
        let stderr = child.stderr.take().map(|pipe| (OwnedFd::from(pipe), Stream::Stderr));
        let shared = Arc::new(Shared {
            pid: Pid::from_raw(child.id().cast_signed()),
            child: Mutex::new(Some(child)),
            exit: watch::Sender::new(None),
            output: output.clone(),
            contained: spec.pid_space == PidSpace::New,
        });
        let process = Self { guard: Arc::new(Guard(shared.clone())) };
        let readers: Vec<_> = [stdout, stderr]
            .into_iter()
            .flatten()
            .map(|(fd, stream)| Ok((pipe::Receiver::from_owned_fd(fd)?, stream)))
            .collect::<io::Result<_>>()?;
        tokio::spawn(async move {
            let all = readers.into_iter().map(|(pipe, stream)| read(pipe, stream, &output));
            futures_util::future::join_all(all).await;
            output.close();
        });
        // A thread, not a poll: the moment of the exit is what tests measure.
        std::thread::Builder::new()
            .name(format!("wait-{}", shared.pid))
            .stack_size(256 * 1024)
            .spawn(move || shared.wait())?;
        Ok(process)
    }

    /// Process id as the outer `/proc` counts it.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.guard.0.pid.as_raw()
    }

    /// How it ended, if it has.
    #[must_use]
    pub fn exit(&self) -> Option<Exit> {
        *self.guard.0.exit.borrow()
    }

    /// Waits for the exit. The output may still hold lines on their way: see
    /// [`Process::finished`].
    pub async fn wait(&self) -> Exit {
        let mut exit = self.guard.0.exit.subscribe();
        let ended = exit.wait_for(Option::is_some).await.ok().and_then(|exit| *exit);
        // The sender lives in `self`, so the channel cannot have closed without a value.
        ended.unwrap_or(Exit::Signal(Signal::SIGKILL as i32))
    }

    /// Waits for the exit and for the last line, for at most a second: a descendant that left the
    /// session may keep the pipe open.
    pub async fn finished(&self) -> Exit {
        let exit = self.wait().await;
        let drained = tokio::time::timeout(Duration::from_secs(1), self.output().closed());
        _ = drained.await.is_ok();
        exit
    }

    /// Signals the process itself, not its group. False: it has ended already.
    #[must_use = "false means that there was nobody to signal"]
    pub fn signal(&self, signal: Signal) -> bool {
        self.guard.0.signal(signal)
    }

    /// Kills the process and all that it started.
    pub fn kill(&self) {
        self.guard.0.kill_tree();
    }

    /// Its output so far and to come.
    #[must_use]
    pub fn output(&self) -> &Log<Line> {
        &self.guard.0.output
    }
}

async fn read(pipe: pipe::Receiver, stream: Stream, output: &Log<Line>) {
    let mut reader = BufReader::new(pipe);
    let mut bytes = Vec::new();
    while let Ok(1..) = reader.read_until(b'\n', &mut bytes).await {
        let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let text = String::from_utf8_lossy(line).into_owned();
        output.push(Line { at: Instant::now(), stream, text });
        bytes.clear();
    }
}
