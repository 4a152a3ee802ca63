//! A task needs no rights: any user, no capability, a root file system that is read-only, no core dumps.

use super::{below, named, proc_file, processes};
use crate::support::{assert_ended, assert_started, assert_stopped, cluster, serving, stopped};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use testbed::cluster::TaskPlan;
use testbed::definitions::wrapped;

/// As in the image.
const USER: u32 = 65532;

#[tokio::test]
async fn a_task_runs_as_nobody_with_no_capability_on_a_read_only_root() {
    let Some(cluster) = cluster().await else { return };
    if let Some(reason) = cluster.lan().loopback_reason() {
        return testbed::skip::skip(&format!("no namespaces: {reason}"));
    }
    // Another user cannot run what is in somebody's private folder.
    let envoy = testbed::parts::envoy().expect("envoy");
    if let Some(closed) = closed_to_others(&[cluster.consul(), &envoy]) {
        return testbed::skip::skip(&format!("{closed} is closed to other users"));
    }
    let plan = TaskPlan::new("api-1", "api", wrapped("api", &[])).confined(USER);
    let task = serving(&cluster, plan).await;

    let all = processes(&task);
    assert!(all.len() >= 5, "supervisor, agent, Envoy, wrapper, app: {all:?}");
    for process in &all {
        let status = proc_file(process, "status");
        let field = |name: &str| {
            let line = status.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_default();
            line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        let who = &process.comm;
        for ids in ["Uid:", "Gid:"] {
            assert_eq!(field(ids), vec![USER.to_string(); 4], "{who}: {status}");
        }
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
            assert_eq!(field(set), ["0000000000000000"], "{who}: {status}");
        }
    }
    for name in ["taskmesh", "consul", "envoy"] {
        let limits = proc_file(named(&all, name), "limits");
        let core = limits.lines().find(|l| l.starts_with("Max core file size")).expect("a limit");
        let core: Vec<_> = core["Max core file size".len()..].split_whitespace().collect();
        // 1 byte is none, see `forbid_core_dumps`; 0 where the machine allows none anyway.
        assert!(core[..2] == ["1", "1"] || core[..2] == ["0", "0"], "{name}: {core:?}");
    }
    // A process that may not be looked into belongs to root in /proc.
    let owner = |name: &str| {
        std::fs::metadata(format!("/proc/{}/environ", named(&all, name).pid)).expect("proc").uid()
    };
    assert_eq!((owner("taskmesh"), owner("envoy")), (0, USER));

    let supervisor = task.ecs.container("taskmesh").expect("taskmesh");
    for (script, refusal) in [
        ("cat /proc/1/environ", "Permission denied"),
        ("echo x > /tmp/taskmesh-must-not-be", "Read-only file system"),
        ("echo x > /dev/shm/taskmesh-must-not-be", "Read-only file system"),
    ] {
        let tried = supervisor.exec(&["/bin/sh", "-c", script]).await.expect("exec");
        let exit = tried.finished().await;
        let said: Vec<_> = tried.output().snapshot().into_iter().map(|line| line.text).collect();
        assert_ne!(exit.code(), 0, "{script}: {said:?}");
        assert!(said.iter().any(|line| line.contains(refusal)), "{script}: {said:?}");
    }

    let folder = task.dir().to_owned();
    task.ecs.stop();
    let (result, seen) = stopped(&task).await;
    assert_started(&seen);
    assert_stopped(&seen);
    assert_ended(&result, &[("taskmesh", 0), ("app", 0)], &seen);
    assert_private(&folder);
}

/// All that is in a task's folder is ours, and nobody else can read it.
#[track_caller]
pub(crate) fn assert_private(folder: &Path) {
    let mode = |path: &Path| std::fs::metadata(path).map_or(0, |meta| meta.mode() & 0o7777);
    let all = below(folder);
    assert!(all.len() >= 5, "agent config, bootstrap, timeline, two folders: {all:?}");
    for path in all {
        let inner = path.strip_prefix(folder).expect("below");
        if inner.components().count() == 1 && path.is_dir() {
            assert_eq!(mode(&path), 0o700, "{}", path.display());
        } else if path.is_file() && !inner.starts_with("consul") {
            // What is in the agent's data folder is the agent's; the folder keeps others out.
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
    }
}

/// The first folder above one of these programs that others may not go through.
fn closed_to_others(programs: &[&Path]) -> Option<String> {
    let programs = programs.iter().filter_map(|path| path.canonicalize().ok());
    let folders: Vec<_> =
        programs.flat_map(|p| p.ancestors().map(Path::to_owned).collect::<Vec<_>>()).collect();
    let open = |path: &Path| std::fs::metadata(path).is_ok_and(|meta| meta.mode() & 0o001 != 0);
    folders.iter().find(|path| !open(path)).map(|path| path.display().to_string())
}
