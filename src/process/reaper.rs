//! The one owner of every exit status of this process.
//!
//! The registry is process-wide, because children are: a test binary may run several reapers side by side,
//! and each then takes statuses for all. Statuses of children that are not registered are left alone, until
//! [`Reaper::adopt_orphans`] says that whatever else ends here is ours to reap.

use super::sys::{self, Take, Which};
use super::{ChildExit, Signal};
use nix::sys::signal::{SigSet, kill, killpg};
use nix::unistd::{Pid, getpid};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Children that were spawned and whose status was not yet taken.
struct Registry {
    children: BTreeMap<i32, watch::Sender<Option<ChildExit>>>,
    adopt: bool,
    orphans: u64,
}

static REGISTRY: Mutex<Registry> =
    Mutex::new(Registry { children: BTreeMap::new(), adopt: false, orphans: 0 });

fn lock() -> MutexGuard<'static, Registry> {
    // A panic under this lock leaves a whole registry: every change of it is one insert or one remove.
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A handle to the reaping of children. Proof, for [`spawn`](super::spawn), that somebody reaps.
#[derive(Debug, Clone)]
pub struct Reaper(());

impl Reaper {
    /// Starts a task that takes the status of every registered child as soon as it ends. The task lives as
    /// long as the runtime, which must stay the current-thread one of the main thread.
    ///
    /// # Errors
    /// If no handler for SIGCHLD can be installed.
    pub fn start() -> io::Result<Self> {
        // A mask is inherited across exec; with SIGCHLD in it every child would seem to run for ever.
        let mut child = SigSet::empty();
        child.add(Signal::SIGCHLD);
        child.thread_unblock()?;

        // Before any spawn: from here on, no end of a child goes unnoticed.
        let mut ended = signal(SignalKind::child())?;
        tokio::spawn(async move {
            loop {
                sweep();
                if ended.recv().await.is_none() {
                    break;
                }
            }
        });
        Ok(Self(()))
    }

    /// From now on also reaps children that were never registered: orphans, which the kernel hands to PID 1,
    /// and to us as a child subreaper if we are not PID 1 (`pidMode: task`, `initProcessEnabled`).
    ///
    /// Only for a process in which nothing else starts children.
    ///
    /// # Errors
    /// If we cannot become a child subreaper; orphans then go elsewhere, and are not ours to reap.
    pub fn adopt_orphans(&self) -> io::Result<()> {
        if getpid().as_raw() != 1 {
            nix::sys::prctl::set_child_subreaper(true)?;
        }
        lock().adopt = true;
        sweep();
        Ok(())
    }

    /// How many orphans were reaped so far.
    pub fn orphans_reaped(&self) -> u64 {
        lock().orphans
    }
}

/// Runs `start` and registers the pid that it gives, with no chance for a sweep in between.
pub(super) fn register<T, E>(
    start: impl FnOnce() -> Result<(i32, T), E>,
) -> Result<(i32, T, watch::Receiver<Option<ChildExit>>), E> {
    let mut registry = lock();
    let (pid, value) = start()?;
    let (sender, receiver) = watch::channel(None);
    registry.children.insert(pid, sender);
    Ok((pid, value, receiver))
}

/// Sends a signal to a registered child. False if its status was already taken: then it is gone, and the
/// number may be somebody else's.
pub(super) fn signal_child(pid: i32, signal: Signal) -> bool {
    let registry = lock();
    registry.children.contains_key(&pid) && kill(Pid::from_raw(pid), signal).is_ok()
}

/// The same for the whole group that the child leads.
pub(super) fn signal_group(pid: i32, signal: Signal) -> bool {
    let registry = lock();
    registry.children.contains_key(&pid) && signal_group_unlocked(pid, signal)
}

fn signal_group_unlocked(pgid: i32, signal: Signal) -> bool {
    // kill(2): group 1 would mean everybody we may signal, and 0 our own group.
    pgid > 1 && killpg(Pid::from_raw(pgid), signal).is_ok()
}

/// Takes every status that is there.
fn sweep() {
    let mut lost = Vec::new();
    let mut orphans = Vec::new();
    let mut registry = lock();

    let pids: Vec<i32> = registry.children.keys().copied().collect();
    for pid in pids {
        let exit = match sys::wait(Which::Pid(pid), Take::Peek) {
            Ok(None) => continue,
            Ok(Some((_, exit))) => {
                // While the zombie stands, its number is taken, and the group's with it: what is left of the
                // group can be killed without hitting a stranger.
                signal_group_unlocked(pid, Signal::SIGKILL);
                sys::wait(Which::Pid(pid), Take::Reap).ok();
                exit
            }
            Err(_) => {
                lost.push(pid);
                ChildExit::Lost
            }
        };
        if let Some(sender) = registry.children.remove(&pid) {
            sender.send_replace(Some(exit));
        }
    }

    while registry.adopt {
        match sys::wait(Which::Any, Take::Peek) {
            // One of ours that ended since we looked: its own SIGCHLD is on the way.
            Ok(Some((pid, _))) if registry.children.contains_key(&pid) => break,
            Ok(Some((pid, exit))) => {
                sys::wait(Which::Pid(pid), Take::Reap).ok();
                registry.orphans += 1;
                orphans.push((pid, exit));
            }
            Ok(None) | Err(_) => break,
        }
    }
    drop(registry);

    for pid in lost {
        tracing::error!(pid, "a child's exit status was taken by something else in this process");
    }
    for (pid, exit) in orphans {
        tracing::debug!(pid, %exit, "orphan reaped");
    }
}
