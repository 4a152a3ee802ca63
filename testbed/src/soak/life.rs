//! One task from its start to its end, and what must be true of it all along and afterwards.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use taskmesh::timeline::Event;

use super::dice::Deed;
use crate::cluster::{Cluster, MeshTask, TaskPlan};
use crate::net::{Proc, listeners};
use crate::vitals::{Vitals, zombies};

/// What a supervisor may have more than when it was first looked at, after it was ready. The
/// log queue holds up to 4 MiB while nobody reads, and the runtime up to 4 threads for blocking work.
pub(super) const BOUND: Vitals = Vitals { anon: 4 * 1024, descriptors: 16, threads: 4 };

/// All waits for a task; two busy cores need a tenth.
const LONG: Duration = Duration::from_secs(90);

/// Exit codes that the README names, of a task that could be started.
const DOCUMENTED: [i32; 4] = [0, 1, 3, 4];

/// 128 + KILL: what a killed supervisor's container ends with.
const KILLED: i32 = 137;

/// A task at work.
pub(super) struct Life {
    pub(super) task: MeshTask,
    service: &'static str,
    killed: bool,
    first: Option<Vitals>,
    zombies: BTreeSet<i32>,
    seen: Vec<Proc>,
    pub(super) grown: Vitals,
}

/// What is left of one.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) code: Option<i32>,
    pub(super) grown: Vitals,
    pub(super) wrong: Vec<String>,
}

impl Life {
    /// Starts a task of `service` and waits until peers may call it.
    pub(super) async fn begin(
        cluster: &Cluster,
        service: &'static str,
        plan: TaskPlan,
    ) -> Result<Self> {
        let task = cluster.task(plan).await?;
        task.wait_event(Event::Offered, LONG).await?;
        Ok(Self {
            task,
            service,
            killed: false,
            first: None,
            zombies: BTreeSet::new(),
            seen: Vec::new(),
            grown: Vitals::default(),
        })
    }

    fn supervisor(&self) -> Option<i32> {
        self.task.ecs.container("taskmesh")?.pid()
    }

    /// Looks at it; gives what is wrong.
    pub(super) fn look(&mut self) -> Option<String> {
        let supervisor = self.supervisor()?;
        for name in ["taskmesh", "app"] {
            let now = self.task.ecs.container(name)?.processes();
            self.seen.retain(|old| !now.iter().any(|p| p.pid == old.pid));
            self.seen.extend(now);
        }
        // One that stays over two looks is not about to be reaped.
        let zombies = zombies(supervisor);
        let stayed = zombies.intersection(&self.zombies).next().copied();
        self.zombies = zombies;
        if let Some(pid) = stayed {
            return Some(format!("{}: zombie {pid}", self.task.name()));
        }
        let now = Vitals::of(supervisor)?;
        let first = *self.first.get_or_insert(now);
        self.grown = self.grown.max(now.since(first));
        (!self.grown.fits(BOUND)).then(|| format!("{}: grew by {:?}", self.task.name(), self.grown))
    }

    /// Does it; false: there was nothing to do it to at the moment. What is frozen is gone on with after `pause`.
    pub(super) async fn suffer(&mut self, deed: Deed, pause: Duration) -> bool {
        let pid = |name: &str| self.task.child(name).map(|child| child.pid);
        let send = |pid: Option<i32>, signal| {
            pid.is_some_and(|pid| pid > 1 && kill(Pid::from_raw(pid), signal).is_ok())
        };
        let frozen = match deed {
            Deed::Stop => {
                self.task.ecs.stop();
                return true;
            }
            Deed::KillAgent => return send(pid("consul"), Signal::SIGKILL),
            Deed::KillEnvoy => return send(pid("envoy"), Signal::SIGKILL),
            Deed::KillSupervisor => {
                self.killed = send(self.supervisor(), Signal::SIGKILL);
                return self.killed;
            }
            Deed::FreezeAgent => pid("consul"),
            Deed::FreezeEnvoy => pid("envoy"),
            Deed::FreezeSupervisor => self.supervisor(),
        };
        if !send(frozen, Signal::SIGSTOP) {
            return false;
        }
        tokio::time::sleep(pause).await;
        send(frozen, Signal::SIGCONT)
    }

    /// It is on its way out, by whatever cause.
    pub(super) fn ends(&self) -> bool {
        self.killed || self.task.ecs.is_stopping() || self.supervisor().is_none()
    }

    /// Waits until it is ready and offered again.
    pub(super) async fn recovers(&self, cluster: &Cluster) -> Result<()> {
        let name = self.task.name();
        let id = format!("{}-{}-sidecar-proxy", self.service, self.task.ecs.id());
        let recovered = async {
            loop {
                let ready = self.task.admin("/ready").await.unwrap_or_default();
                let offered = cluster.offered(self.service).await.unwrap_or_default();
                if ready["ready"] == true && offered.contains(&(id.clone(), false)) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let in_time = tokio::time::timeout(LONG, recovered).await;
        in_time.with_context(|| format!("{name} has not recovered\n{}", self.task.complaints(8)))
    }

    /// Waits for its end and looks at what is left.
    pub(super) async fn see_off(self) -> Ended {
        let name = self.task.name();
        let mut wrong = Vec::new();
        let Ok(result) = tokio::time::timeout(LONG, self.task.ecs.wait_stopped()).await else {
            let why = format!("{name} did not stop\n{}", self.task.complaints(8));
            return Ended { code: None, grown: self.grown, wrong: vec![why] };
        };
        let code = result.container("taskmesh").and_then(|container| container.exit_code);
        let expected =
            code.is_some_and(|code| DOCUMENTED.contains(&code) || (code == KILLED && self.killed));
        if !expected {
            wrong.push(format!("{name}: exit code {code:?}\n{}", self.task.complaints(8)));
        }
        // The kernel may need a moment for the last of a namespace.
        let began = tokio::time::Instant::now();
        loop {
            let left = self.left().await;
            if left.is_empty() {
                break;
            }
            if began.elapsed() > Duration::from_secs(10) {
                wrong.push(format!("{name}: left behind: {}", left.join(", ")));
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ended { code, grown: self.grown, wrong }
    }

    /// Its processes and listeners that are still there.
    async fn left(&self) -> Vec<String> {
        let same = |p: &Proc| {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", p.pid)).unwrap_or_default();
            // A number may be another's by now: then its session is another, too.
            stat.contains(&format!("({})", p.comm))
                && stat
                    .rsplit_once(") ")
                    .is_some_and(|(_, rest)| rest.split(' ').nth(3) == Some(&p.session.to_string()))
        };
        let mut left: Vec<String> = self
            .seen
            .iter()
            .filter(|p| same(p))
            .map(|p| format!("process {} ({})", p.pid, p.comm))
            .collect();
        let host = self.task.ecs.host();
        if host.isolated() {
            let open = host.spawn(|| async { listeners("thread-self") }).await.unwrap_or_default();
            // The task metadata are the testbed's own.
            left.extend(open.into_iter().filter(|listener| !listener.ends_with(".2:80")));
        }
        left
    }
}
