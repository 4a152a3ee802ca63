//! What a child does between fork and exec, and which namespaces it is forked into.
//!
//! The only module of the testbed with `unsafe`: `pre_exec` runs in the forked child of a process
//! with many threads, so its closure may only make async-signal-safe calls and must not allocate.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Pid, Uid, chdir, setgid, setgroups, setsid, setuid};

use super::root::Root;

/// Where the child's process ids live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Space {
    /// With ours.
    #[default]
    Outer,
    /// In a new PID namespace, as its PID 1, with a `/proc` of its own.
    New,
    /// In the namespaces of this process (as `docker exec` does).
    Of(Pid),
}

/// What the child does to itself before it becomes the program.
#[derive(Debug, Default)]
pub(super) struct Prelude {
    pub(super) space: Space,
    pub(super) user: Option<(Uid, Gid)>,
    pub(super) dir: Option<CString>,
    /// Only in [`Space::New`].
    pub(super) read_only: Option<ReadOnly>,
    /// Only in [`Space::New`], and then in place of `read_only`.
    pub(super) root: Option<Root>,
}

/// Which file systems become read-only, gathered before the fork.
#[derive(Debug)]
pub(super) struct ReadOnly {
    mounts: Vec<CString>,
    but: Vec<CString>,
}

impl ReadOnly {
    /// All but these folders.
    ///
    /// # Errors
    /// If the list of mounts cannot be read.
    pub(super) fn but(folders: &[PathBuf]) -> io::Result<Self> {
        let list = std::fs::read_to_string("/proc/self/mountinfo")?;
        // The fifth field; one with a space in it is written with an escape, and left out.
        let points = list.lines().filter_map(|line| line.split(' ').nth(4));
        let mounts = points.filter(|point| !point.contains('\\')).map(CString::new);
        let but = folders.iter().map(|folder| CString::new(folder.as_os_str().as_bytes()));
        Ok(Self { mounts: mounts.collect::<Result<_, _>>()?, but: but.collect::<Result<_, _>>()? })
    }

    /// In the child, in a mount namespace of its own.
    fn apply(&self) -> nix::Result<()> {
        let nothing = None::<&CStr>;
        for folder in &self.but {
            // A mount of its own keeps its mode when what is around it changes.
            mount(Some(folder.as_c_str()), folder.as_c_str(), nothing, MsFlags::MS_BIND, nothing)?;
        }
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
        for point in &self.mounts {
            let done = mount(nothing, point.as_c_str(), nothing, flags, nothing);
            // Another mount may hide this one; the root is what counts.
            if point.as_bytes() == b"/" {
                done?;
            }
        }
        Ok(())
    }
}

/// Spawns `command` in its own session, killed when the calling thread ends.
///
/// # Errors
/// The system's error from fork, the namespaces or exec (`NotFound`: no such program).
pub(super) fn spawn(mut command: Command, prelude: Prelude) -> io::Result<Child> {
    let Prelude { space, user, dir, read_only, root } = prelude;
    let mount_ns = match space {
        Space::Of(pid) => Some(File::open(format!("/proc/{pid}/ns/mnt"))?),
        Space::Outer | Space::New => None,
    };
    let prepare = move || -> io::Result<()> {
        setsid()?;
        if let Some(ns) = &mount_ns {
            setns(ns.as_fd(), CloneFlags::CLONE_NEWNS)?;
        }
        if space == Space::New {
            unshare(CloneFlags::CLONE_NEWNS)?;
            let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            mount(None::<&str>, "/", None::<&str>, private, None::<&str>)?;
            if let Some(read_only) = &read_only {
                read_only.apply()?;
            }
            if let Some(root) = &root {
                root.enter()?;
            }
            mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), None::<&str>)?;
            if let Some(root) = &root {
                root.close()?;
            }
        }
        if let Some(dir) = &dir {
            chdir(dir.as_c_str())?;
        }
        if let Some((uid, gid)) = user {
            setgroups(&[])?;
            setgid(gid)?;
            setuid(uid)?;
        }
        // Last: a change of user clears it.
        set_pdeathsig(Signal::SIGKILL)?;
        Ok(())
    };
    // SAFETY: the closure only makes system calls (nix copies short paths to the stack and builds
    // errors from errno), takes no lock and does not allocate; what it captured was made before
    // the fork.
    unsafe { command.pre_exec(prepare) };
    in_pid_space(space, || command.spawn())
}

/// Runs `fork` with this thread's children going to `space`.
fn in_pid_space(space: Space, fork: impl FnOnce() -> io::Result<Child>) -> io::Result<Child> {
    let new = match space {
        Space::Outer => return fork(),
        Space::New => None,
        Space::Of(pid) => Some(File::open(format!("/proc/{pid}/ns/pid"))?),
    };
    let own = File::open("/proc/thread-self/ns/pid")?;
    match &new {
        Some(ns) => setns(ns, CloneFlags::CLONE_NEWPID)?,
        None => unshare(CloneFlags::CLONE_NEWPID)?,
    }
    let child = fork();
    // Without this the thread could fork only into the one namespace, and start no threads.
    setns(&own, CloneFlags::CLONE_NEWPID)?;
    child
}
