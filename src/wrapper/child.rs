//! CMD as our child: own process group, the same stdio, default signal dispositions. As PID 1 of the container we
//! also reap what it orphans.

use crate::exit;
use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Signals that are passed on to CMD (TERM and the stop signal: held back first).
pub(super) const FORWARDED: [Signal; 10] = [
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
    Signal::SIGCONT,
    Signal::SIGWINCH,
    Signal::SIGPWR,
];

/// A running command.
#[derive(Debug)]
pub(super) struct Child(Pid);

impl Child {
    /// Starts `command`. A caught signal is back at its default in the child (execve(2)), and std unblocks
    /// all of them and restores SIGPIPE.
    ///
    /// # Errors
    /// The exit code a shell would give, and why.
    pub(super) fn spawn(command: &[OsString]) -> Result<Self, (u8, String)> {
        let (program, args) = command
            .split_first()
            .ok_or_else(|| (exit::USAGE, "there is no command to run".to_owned()))?;
        match Command::new(program).args(args).process_group(0).spawn() {
            // A pid fits its type. The handle is dropped on purpose: `reap` waits for it.
            Ok(child) => Ok(Self(Pid::from_raw(child.id().cast_signed()))),
            Err(e) => {
                let code = match e.kind() {
                    io::ErrorKind::NotFound => exit::NOT_FOUND,
                    _ => exit::NOT_EXECUTABLE,
                };
                Err((code, format!("{}: {e}", program.display())))
            }
        }
    }

    /// Sends `signal` to the command's whole group. One that is gone already is no error.
    pub(super) fn signal(&self, signal: Signal) {
        killpg(self.0, signal).ok();
    }

    /// Reaps everything that has ended; the command's exit code if it was among them.
    pub(super) fn reap(&self) -> Option<u8> {
        let mut code = None;
        loop {
            let (pid, this) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                // An exit status is 0..=255 and a signal below 65.
                Ok(WaitStatus::Exited(pid, status)) => (pid, status as u8),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, 128 + signal as u8),
                Err(Errno::EINTR) => continue,
                _ => return code,
            };
            if pid == self.0 {
                code = Some(this);
            }
        }
    }
}

/// Reaps orphans before there is a command: as PID 1 of a container we may get some from `docker exec`.
pub(super) fn reap_orphans() {
    while let Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) =
        waitpid(None, Some(WaitPidFlag::WNOHANG))
    {}
}
