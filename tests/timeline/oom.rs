//! A child that the kernel kills because memory ran out.

use crate::support::{
    cluster, code, serving, stopped, until, until_counted, until_offered, until_ready, within,
};
use serde_json::json;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use taskmesh::timeline::Event::*;
use testbed::cluster::TaskPlan;
use testbed::definitions::wrapped;
use testbed::faults::{Kind, Witness};

const MIB: u64 = 1 << 20;

/// A cgroup of the test's own, below the one that the test runs in. Dropping it ends who is in it, and removes it.
struct Cgroup {
    dir: PathBuf,
    usage: &'static str,
    limit: &'static str,
}

impl Cgroup {
    /// # Errors
    /// Why there can be none here.
    fn new(name: &str) -> io::Result<Self> {
        let own = fs::read_to_string("/proc/self/cgroup")?;
        let path = |controllers: &str| {
            let prefix = format!(":{controllers}:/");
            own.lines().find_map(|line| Some(line.split_once(&prefix)?.1.to_owned()))
        };
        let root = Path::new("/sys/fs/cgroup");
        let v1 = path("memory").map(|path| Self {
            dir: root.join("memory").join(path).join(name),
            usage: "memory.usage_in_bytes",
            limit: "memory.limit_in_bytes",
        });
        let v2 = path("").map(|path| Self {
            dir: root.join(path).join(name),
            usage: "memory.current",
            limit: "memory.max",
        });
        let group = v1.or(v2).ok_or_else(|| io::Error::other("no memory cgroup"))?;
        fs::create_dir(&group.dir)?;
        // Dropped, and so removed, where it has no memory controller.
        fs::metadata(group.dir.join(group.limit))?;
        Ok(group)
    }

    fn usage(&self) -> io::Result<u64> {
        let text = fs::read_to_string(self.dir.join(self.usage))?;
        text.trim().parse().map_err(io::Error::other)
    }

    /// In whole MiB, `None` for none.
    fn limit(&self, mib: Option<u64>) -> io::Result<()> {
        let none = if self.limit == "memory.max" { "max" } else { "-1" };
        let bytes = mib.map_or(none.to_owned(), |mib| (mib * MIB).to_string());
        fs::write(self.dir.join(self.limit), bytes)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // The kernel needs a moment until it forgets the last of them.
        for _ in 0..100 {
            let inside = fs::read_to_string(self.dir.join("cgroup.procs")).unwrap_or_default();
            for pid in inside.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0) {
                _ = nix::sys::signal::kill(
                    nix::unistd::Pid::from_raw(pid),
                    nix::sys::signal::Signal::SIGKILL,
                );
            }
            match fs::remove_dir(&self.dir) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                _ => return,
            }
        }
    }
}

#[tokio::test]
async fn a_child_that_dies_of_the_memory_limit_is_named_so_and_comes_back() {
    let Some(cluster) = cluster().await else { return };
    if let Some(reason) = cluster.lan().loopback_reason() {
        return testbed::skip::skip(&format!("no namespaces: {reason}"));
    }
    // Before the task, so that it is dropped after it.
    let group = match Cgroup::new(&format!("taskmesh-test-{}", std::process::id())) {
        Ok(group) => group,
        Err(e) => return testbed::skip::skip(&format!("no cgroup for memory: {e}")),
    };
    let join = format!("echo 0 > {}/cgroup.procs", group.dir.display());
    let mut definition = wrapped("api", &[]);
    let helper = &mut definition["containerDefinitions"][0];
    helper["entryPoint"] = json!(["/bin/sh", "-c"]);
    helper["command"] = json!([format!("{join} && exec {{{{taskmesh}}}} run")]);
    let task = serving(&cluster, TaskPlan::new("api-1", "api", definition)).await;

    // The fault: somebody in the container takes more than there is. It is smaller than the children, by their scores.
    let mut fault = Witness::of(Kind::Machine, "Memory runs out, and the kernel kills a child");
    let mib = group.usage().expect("usage").div_ceil(MIB) + 24;
    group.limit(Some(mib)).expect("limit");
    within(&task, &format!("{join}; head -c 48M /dev/zero | tail -c 48M | wc -c")).await;

    // Seen: in the timeline, in the status and in the log.
    until_counted(&task, ChildExited, 1).await;
    let timeline = task.timeline().await.expect("timeline");
    let exited = timeline.find(ChildExited).expect("exited").cause.clone().expect("a cause");
    let (child, why) = exited.split_once(": ").expect("child and exit");
    assert_eq!(why, format!("killed, out of memory (limit {mib} MiB)"), "{child}");
    fault.told("timeline, log and status: `killed, out of memory (limit N MiB)`");
    let shown = until("status", &task, async || {
        let status = task.admin("/v1/status").await.ok()?;
        let children = status["children"].as_array()?;
        children.iter().find(|shown| shown["name"] == child).cloned()
    })
    .await;
    assert_eq!(shown["lastExit"], why, "{shown:#}");
    let line = task.last_lines(usize::MAX);
    let line = line.lines().find(|line| line.contains(r#""message":"child exited""#));
    assert!(line.is_some_and(|line| line.contains(why)), "{line:?}");

    // Lifted, and whole again.
    group.limit(None).expect("no limit");
    fault.lifted();
    until_counted(&task, ChildRestarted, 1).await;
    until_ready(&task).await;
    until_offered(&cluster, &task).await;
    fault.mended("started again: the agent goes first, then Envoy, never the supervisor");
    task.ecs.stop();
    let (result, _) = stopped(&task).await;
    assert_eq!(code(&result, "taskmesh"), Some(0));
}
