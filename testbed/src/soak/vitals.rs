//! What a supervisor has, read from `/proc`.

use std::collections::BTreeSet;
use std::fs;

use crate::net::children;

/// At one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Vitals {
    /// Anonymous memory, in KiB.
    pub(super) anon: u64,
    /// Open descriptors; 0 where we may not look.
    pub(super) descriptors: u64,
    pub(super) threads: u64,
}

impl Vitals {
    /// `None`: it has just ended.
    pub(super) fn of(pid: i32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse().ok()
        };
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
        Some(Self {
            anon: field("RssAnon:")?,
            descriptors: descriptors as u64,
            threads: field("Threads:")?,
        })
    }

    /// How much more than `before` of each.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            anon: self.anon.saturating_sub(before.anon),
            descriptors: self.descriptors.saturating_sub(before.descriptors),
            threads: self.threads.saturating_sub(before.threads),
        }
    }

    /// The larger of each.
    pub(super) fn max(self, other: Self) -> Self {
        Self {
            anon: self.anon.max(other.anon),
            descriptors: self.descriptors.max(other.descriptors),
            threads: self.threads.max(other.threads),
        }
    }

    /// Each within its bound.
    pub(super) fn fits(self, bound: Self) -> bool {
        self.max(bound) == bound
    }
}

/// Children of a process that have ended and were not reaped.
pub(super) fn zombies(pid: i32) -> BTreeSet<i32> {
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
}
