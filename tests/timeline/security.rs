//! What a task shows to others: its listeners, its rights, its secrets.

mod listeners;
mod rights;
mod secrets;

use std::path::{Path, PathBuf};
use testbed::cluster::MeshTask;
use testbed::net::Proc;

/// The processes of a task: the supervisor with its children, and the app with its wrapper.
fn processes(task: &MeshTask) -> Vec<Proc> {
    let of = |name: &str| task.ecs.container(name).map(|c| c.processes()).unwrap_or_default();
    [of("taskmesh"), of("app")].concat()
}

/// A file of `/proc/PID`, with a line for each of its strings; empty for a process that is gone.
fn proc_file(process: &Proc, name: &str) -> String {
    let bytes = std::fs::read(format!("/proc/{}/{name}", process.pid)).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', "\n")
}

/// A process by its short name.
#[track_caller]
fn named<'a>(all: &'a [Proc], name: &str) -> &'a Proc {
    all.iter().find(|p| p.comm.contains(name)).unwrap_or_else(|| panic!("no {name} in {all:?}"))
}

/// Every file and folder below `folder`, which is not among them.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(below(&path));
        }
        found.push(path);
    }
    found
}
