//! What a process has and does, read from `/proc`: the one reader of it for the soak, the benchmarks and the tests.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::net::children;

/// A number of `/proc/PID/status`, such as `VmHWM:`, in KiB where it is memory. `None`: the process has just ended.
#[must_use]
pub fn status(pid: i32, name: &str) -> Option<u64> {
    field(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, name)
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Whether it runs; one that has ended and was not reaped does not.
#[must_use]
pub fn runs(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name may hold spaces and parentheses.
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.trim_start().chars().next());
    state.is_some_and(|state| state != 'Z' && state != 'X')
}

/// At one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Vitals {
    /// Anonymous memory, in KiB.
    pub anon: u64,
    /// Open descriptors; 0 where we may not look.
    pub descriptors: u64,
    /// Threads.
    pub threads: u64,
}

impl Vitals {
    /// `None`: it has just ended.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
        Some(Self {
            anon: field(&status, "RssAnon:")?,
            descriptors: descriptors as u64,
            threads: field(&status, "Threads:")?,
        })
    }

    /// How much more than `before` of each.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            anon: self.anon.saturating_sub(before.anon),
            descriptors: self.descriptors.saturating_sub(before.descriptors),
            threads: self.threads.saturating_sub(before.threads),
        }
    }

    /// The larger of each.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            anon: self.anon.max(other.anon),
            descriptors: self.descriptors.max(other.descriptors),
            threads: self.threads.max(other.threads),
        }
    }

    /// Each within its bound.
    #[must_use]
    pub fn fits(self, bound: Self) -> bool {
        self.max(bound) == bound
    }
}

/// Memory at one moment, in KiB.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// Resident.
    pub rss: u64,
    /// Resident, a page that n processes share counted as 1/n. `None` where we may not look.
    pub pss: Option<u64>,
    /// Anonymous: what is neither the program itself nor any other file.
    pub anon: u64,
    /// The most that was ever resident.
    pub peak: u64,
}

impl Memory {
    /// `None`: it has just ended.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        // Only with the right to trace it, which root has.
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        // The kernel counts `VmRSS` in portions and may be behind; the other one walks the pages.
        let walked = |name: &str, counted: &str| field(&rollup, name).or(field(&status, counted));
        Some(Self {
            rss: walked("Rss:", "VmRSS:")?,
            pss: field(&rollup, "Pss:"),
            anon: walked("Anonymous:", "RssAnon:")?,
            peak: field(&status, "VmHWM:")?,
        })
    }
}

/// What a process has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Times that one of its threads got a processor: it woke up, or had to wait for its turn.
    pub wakeups: u64,
    /// Time on a processor.
    pub cpu: Duration,
}

impl Work {
    /// Of the threads that it has now. `None`: it has just ended.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        let mut work = Self::default();
        for thread in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
            // A thread may end meanwhile.
            work.add(&thread.path()).unwrap_or_default();
        }
        Some(work)
    }

    fn add(&mut self, thread: &Path) -> Option<()> {
        let status = fs::read_to_string(thread.join("status")).ok()?;
        // Nanoseconds on a processor, nanoseconds in a queue for one, turns.
        let schedstat = fs::read_to_string(thread.join("schedstat")).ok()?;
        self.wakeups += field(&status, "voluntary_ctxt_switches:")?;
        self.wakeups += field(&status, "nonvoluntary_ctxt_switches:")?;
        self.cpu += Duration::from_nanos(schedstat.split_whitespace().next()?.parse().ok()?);
        Some(())
    }

    /// What it has done since `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            wakeups: self.wakeups.saturating_sub(before.wakeups),
            cpu: self.cpu.saturating_sub(before.cpu),
        }
    }
}

/// Children of a process that have ended and were not reaped.
pub(crate) fn zombies(pid: i32) -> BTreeSet<i32> {
    children(pid).into_iter().filter(|child| child.zombie).map(|child| child.pid).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_vitals_can_be_read_and_compared() {
        let own = Vitals::of(std::process::id().cast_signed()).expect("we live");
        assert!(own.anon > 0 && own.descriptors > 2 && own.threads > 0, "{own:?}");
        let more = Vitals { anon: own.anon + 5, threads: own.threads - 1, ..own };
        assert_eq!(more.since(own), Vitals { anon: 5, descriptors: 0, threads: 0 });
        assert!(own.fits(own) && !more.fits(own));
        assert_eq!(Vitals::of(i32::MAX), None);
    }

    #[test]
    fn our_own_memory_and_work_can_be_read() {
        let own = std::process::id().cast_signed();
        let memory = Memory::of(own).expect("we live");
        assert!(0 < memory.anon && memory.anon < memory.rss, "{memory:?}");
        assert!(memory.pss.is_some_and(|pss| 0 < pss && pss <= memory.rss), "{memory:?}");
        assert_eq!(status(own, "VmHWM:").map(|kib| kib > 0), Some(true));
        let before = Work::of(own).expect("we live");
        std::thread::sleep(Duration::from_millis(5));
        let did = Work::of(own).expect("we live").since(before);
        assert!(did.wakeups > 0, "{did:?}");
        assert!(runs(own) && !runs(i32::MAX));
        assert_eq!((Memory::of(i32::MAX), Work::of(i32::MAX)), (None, None));
    }
}
