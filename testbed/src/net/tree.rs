//! `/proc`: who descends from whom.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// One process as `/proc/<pid>/stat` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proc {
    /// Process id, as this process's `/proc` counts them.
    pub pid: i32,
    /// Parent's process id.
    pub ppid: i32,
    /// Session id; a container's processes share their first process's.
    pub session: i32,
    /// The kernel's name of the program, cut to 15 characters.
    pub comm: String,
    /// Exited, but not yet waited for.
    pub zombie: bool,
}

fn parse(pid: i32, stat: &str) -> Option<Proc> {
    // The name may hold spaces and parentheses, so the fields are counted from its end.
    let (head, tail) = stat.rsplit_once(')')?;
    let comm = head.split_once('(')?.1.to_owned();
    let mut fields = tail.split_whitespace();
    let state = fields.next()?;
    let ppid = fields.next()?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    Some(Proc { pid, ppid, session, comm, zombie: state == "Z" || state == "X" })
}

/// Every process now; one that ends meanwhile is left out.
pub(crate) fn all() -> Vec<Proc> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            parse(pid, &fs::read_to_string(entry.path().join("stat")).ok()?)
        })
        .collect()
}

fn family(root: i32, everyone: &[Proc]) -> Vec<Proc> {
    let mut found: Vec<Proc> = everyone.iter().filter(|p| p.session == root).cloned().collect();
    if let Some(first) = everyone.iter().find(|p| p.pid == root && !found.contains(p)) {
        found.push(first.clone());
    }
    loop {
        let more: Vec<Proc> = everyone
            .iter()
            .filter(|p| found.iter().any(|f| f.pid == p.ppid) && !found.contains(p))
            .cloned()
            .collect();
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}

/// `root`, the members of its session, and all that descends from them; zombies are left out.
#[must_use]
pub fn descendants(root: i32) -> Vec<Proc> {
    let mut found = family(root, &all());
    found.retain(|p| !p.zombie);
    found
}

/// The children of a process, zombies among them.
#[must_use]
pub fn children(pid: i32) -> Vec<Proc> {
    all().into_iter().filter(|p| p.ppid == pid).collect()
}

/// Kills a session's leader, its members and their descendants, again and again until none is
/// seen: a fork may run ahead of one pass.
pub(crate) fn kill_all(root: Pid) {
    if root.as_raw() <= 1 {
        return;
    }
    for _ in 0..20 {
        let alive = descendants(root.as_raw());
        if alive.is_empty() {
            return;
        }
        for process in alive.iter().filter(|p| p.pid > 1) {
            // It may have ended since; then there is nothing to do.
            _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL).is_ok();
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_is_read() {
        let p = parse(7, "7 (a (b) c) S 1 7 5 0 -1").expect("parses");
        assert_eq!((p.ppid, p.session, p.comm.as_str(), p.zombie), (1, 5, "a (b) c", false));
    }

    #[test]
    fn a_family_is_the_session_and_all_descendants() {
        let proc =
            |pid, ppid, session| Proc { pid, ppid, session, comm: String::new(), zombie: false };
        let everyone =
            [proc(10, 1, 10), proc(11, 1, 10), proc(12, 11, 12), proc(13, 1, 13), proc(1, 0, 1)];
        let mut pids: Vec<i32> = family(10, &everyone).iter().map(|p| p.pid).collect();
        pids.sort_unstable();
        assert_eq!(pids, [10, 11, 12]);
    }
}
