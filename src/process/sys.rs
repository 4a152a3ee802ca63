//! The system calls that safe Rust has no form for. The only module with `unsafe`.
#![allow(unsafe_code)]

use super::ChildExit;
use nix::libc;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getpid, getppid};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Which children [`wait`] looks at.
#[derive(Debug, Clone, Copy)]
pub(super) enum Which {
    /// Every child, in the kernel's order.
    Any,
    /// This one.
    Pid(i32),
}

/// Whether [`wait`] leaves the status where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Take {
    /// Only look: the zombie keeps its pid, so the pid can still be signalled safely.
    Peek,
    /// Take the status: the pid is free from now on.
    Reap,
}

/// A child that has ended, if there is one; never blocks. `ECHILD` is an error, as the kernel has it.
///
/// Not `nix::sys::wait::waitid`: that fails with `EINVAL` for a child that a real-time signal ended.
pub(super) fn wait(which: Which, take: Take) -> io::Result<Option<(i32, ChildExit)>> {
    let (kind, id) = match which {
        Which::Any => (libc::P_ALL, 0),
        Which::Pid(pid) => (libc::P_PID, libc::id_t::try_from(pid).unwrap_or(0)),
    };
    let mut flags = libc::WEXITED | libc::WNOHANG;
    if take == Take::Peek {
        flags |= libc::WNOWAIT;
    }
    // SAFETY: siginfo_t is plain data for which all zeroes is a valid value; zero is also what waitid(2) asks
    // for, to tell "nothing has ended" (si_pid stays 0) from an answer.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: `info` lives across the call and is the only thing the kernel writes to.
        if unsafe { libc::waitid(kind, id, &mut info, flags) } == 0 {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    // SAFETY: waitid filled the SIGCHLD part of the union, or left it zeroed.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    if pid == 0 {
        return Ok(None);
    }
    let exit = match info.si_code {
        libc::CLD_EXITED => ChildExit::Code(status),
        code => ChildExit::Signal { signal: status, core: code == libc::CLD_DUMPED },
    };
    Ok(Some((pid, exit)))
}

/// Has the child, between fork and exec: die with us, start with every signal at its default, and keep no file
/// but its three streams.
///
/// The process group is `Command::process_group`'s work and the empty signal mask std's own.
pub(super) fn prepare(command: &mut Command) {
    let parent = getpid();
    // SAFETY: the closure runs in the forked child and only makes async-signal-safe system calls: prctl,
    // getppid, signal, close_range. It allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(move || in_child(parent));
    }
}

fn in_child(parent: Pid) -> io::Result<()> {
    // Lost again if the program is setuid or has file capabilities (prctl(2)); then only the end of the
    // container takes it down, which as PID 1 we are.
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    if getppid() != parent {
        // We died between the fork and the prctl: nobody would send that signal any more.
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    // exec resets handlers, but what is ignored stays ignored: a child of a `nohup`ed or shell-backgrounded
    // supervisor would not hear HUP or INT. KILL, STOP and libc's own two refuse, which is all right.
    for signal in 1..=64 {
        // SAFETY: SIG_DFL is a valid disposition, and signal(2) is async-signal-safe.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // std opens everything close-on-exec; what our own parent left open for us is not. The number 4 is
    // CLOSE_RANGE_CLOEXEC of linux/close_range.h: close at exec, so that std's own error pipe works until then.
    // Best effort: kernels before 5.11 and strict seccomp profiles do not have it.
    // SAFETY: close_range(2) touches no memory.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 4) };
    Ok(())
}
