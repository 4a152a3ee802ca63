//! Whether the kernel killed a child because memory ran out, as our own cgroup counts it.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Where cgroups are mounted in every container.
const CGROUPS: &str = "/sys/fs/cgroup";
/// One shortage can end several processes, whose ends are told one after the other.
const SAME_SHORTAGE: Duration = Duration::from_secs(1);
/// Version 1 says "no limit" with the largest number of whole pages.
const NO_LIMIT: u64 = 1 << 62;

/// The OOM kills in our own cgroup.
#[derive(Debug)]
pub struct Memory {
    files: Option<Files>,
    seen: Mutex<Seen>,
}

/// The files of one cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Files {
    /// Holds a line `oom_kill N`.
    kills: PathBuf,
    /// Holds the limit in bytes.
    limit: PathBuf,
}

#[derive(Debug, Default)]
struct Seen {
    kills: u64,
    rose_at: Option<Instant>,
}

impl Memory {
    /// Finds the counter and reads it. Where there is none, nothing is ever said to have been killed by it.
    pub fn watch() -> Self {
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self::of(&own, Path::new(CGROUPS))
    }

    /// The same with the content of `/proc/self/cgroup` and the folder in which cgroups are mounted.
    pub fn of(own: &str, mounted: &Path) -> Self {
        let files = candidates(own, mounted).into_iter().find(|files| kills(files).is_some());
        let kills = files.as_ref().and_then(kills).unwrap_or(0);
        Self { files, seen: Mutex::new(Seen { kills, rose_at: None }) }
    }

    /// Reads it again, after a child got a KILL that we did not send: what to say if memory ran out.
    pub fn ran_out(&self) -> Option<String> {
        let files = self.files.as_ref()?;
        let now = kills(files)?;
        // Every change under this lock is an assignment; a panic leaves whole data.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if now > seen.kills {
            *seen = Seen { kills: now, rose_at: Some(Instant::now()) };
        }
        let ours = seen.rose_at.is_some_and(|at| at.elapsed() < SAME_SHORTAGE);
        ours.then(|| match std::fs::read_to_string(&files.limit).ok().as_deref().and_then(limit) {
            Some(bytes) => format!("killed, out of memory (limit {})", size(bytes)),
            // The task has one, which is not ours to read.
            None => "killed, out of memory (no limit of this container's own)".to_owned(),
        })
    }
}

/// Where the counter can be, the likeliest first. In a container with a cgroup namespace of its own, or one that has
/// only its own part mounted, it is at the top, whatever `/proc/self/cgroup` says.
fn candidates(own: &str, mounted: &Path) -> Vec<Files> {
    let mut all = Vec::new();
    for line in own.lines() {
        // `ID:CONTROLLERS:/PATH`; the path may hold colons.
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let path = path.trim_start_matches('/');
        let files = |dir: PathBuf, kills: &str, limit: &str| Files {
            kills: dir.join(kills),
            limit: dir.join(limit),
        };
        let v1 = |dir| files(dir, "memory.oom_control", "memory.limit_in_bytes");
        let v2 = |dir| files(dir, "memory.events", "memory.max");
        if controllers.is_empty() {
            let roots = [mounted.to_owned(), mounted.join("unified")];
            all.extend(roots.into_iter().flat_map(|root| [v2(root.join(path)), v2(root)]));
        } else if controllers.split(',').any(|controller| controller == "memory") {
            let root = mounted.join("memory");
            all.extend([v1(root.join(path)), v1(root)]);
        }
    }
    all
}

fn kills(files: &Files) -> Option<u64> {
    oom_kills(&std::fs::read_to_string(&files.kills).ok()?)
}

/// Of `memory.events` (version 2) and `memory.oom_control` (version 1, Linux 4.13 and later): both have the same line.
fn oom_kills(text: &str) -> Option<u64> {
    let mut words = text.lines().map(str::split_whitespace);
    let mut line = words.find_map(|mut line| (line.next() == Some("oom_kill")).then_some(line))?;
    line.next()?.parse().ok()
}

/// Of `memory.max` (version 2) and `memory.limit_in_bytes` (version 1), in bytes; `None`: no limit.
fn limit(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|bytes| *bytes < NO_LIMIT)
}

/// In MiB, as task definitions have it, where it is a whole number of them.
fn size(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    if bytes >= MIB && bytes.is_multiple_of(MIB) {
        format!("{} MiB", bytes / MIB)
    } else {
        format!("{bytes} bytes")
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
