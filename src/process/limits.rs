//! What a child gets besides its program: open files, OOM score, environment.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::ffi::OsString;
use std::io;

/// What [`raise_nofile`] found and left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NofileLimits {
    /// The soft limit before.
    pub before: u64,
    /// The soft limit now: the hard limit.
    pub now: u64,
}

/// Raises this process's soft limit of open files to the hard one; children inherit it.
///
/// Envoy needs a file descriptor for each connection, and the usual soft limit is 1024.
///
/// # Errors
/// The system call's.
pub fn raise_nofile() -> io::Result<NofileLimits> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(NofileLimits { before: soft, now: hard })
}

/// Sees to it that no core of ours is ever written, for it would hold every secret; nor can a process of the same user
/// look into our memory (ptrace, `/proc/PID/mem`, `/proc/PID/environ`). Children inherit the limit, and write none either;
/// whether a process may be looked into is decided anew by exec.
///
/// # Errors
/// The system calls'.
pub fn forbid_core_dumps() -> io::Result<()> {
    // Not 0: where cores go to a program (`core_pattern` with a pipe), the kernel does not heed a limit, but for that of 1
    // byte, with which it starts none (core(5), fs/coredump.c). A file is not begun with either.
    let (_, hard) = getrlimit(Resource::RLIMIT_CORE)?;
    let limit = hard.min(1);
    setrlimit(Resource::RLIMIT_CORE, limit, limit)?;
    nix::sys::prctl::set_dumpable(false)?;
    Ok(())
}

/// Those variables of our own environment that are named in `keep`, and set; in the order of `keep`.
///
/// A child gets only what is meant for it: the Consul CLI, for one, reads `CONSUL_CACERT` as a path and
/// `CONSUL_HTTP_TOKEN` as a token.
pub fn filtered_env(keep: &[&str]) -> Vec<(OsString, OsString)> {
    keep.iter().filter_map(|&key| Some((key.into(), std::env::var_os(key)?))).collect()
}

/// Tells the kernel whom to kill first when memory runs out. Best effort: a hardened container may refuse.
pub(super) fn set_oom_score_adj(pid: i32, value: i32) {
    if let Err(error) = std::fs::write(format!("/proc/{pid}/oom_score_adj"), value.to_string()) {
        tracing::debug!(pid, value, %error, "oom_score_adj not set");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn soft_limit_becomes_the_hard_one_and_stays_there() {
        let first = raise_nofile().expect("raise");
        assert!(first.before <= first.now);
        assert_eq!(raise_nofile().expect("again").before, first.now);
    }

    #[test]
    fn only_named_variables_that_are_set_are_kept() {
        let kept = filtered_env(&["PATH", "TASKMESH_SURELY_NOT_SET"]);
        assert_eq!(kept, [("PATH".into(), std::env::var_os("PATH").expect("tests have a PATH"))]);
    }
}
