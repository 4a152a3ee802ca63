//! What `consul_agent` and `envoy` share: run a child, tell how it goes, pass signals on.

use super::{Site, work};
use crate::process::{self, Child, ChildSpec, Memory, Reaper, Signal, SpawnError};
use crate::supervisor::actor::{Reports, report};
use crate::supervisor::{Ending, Event, Role, Source};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// One child at a time, and what lives no longer than it does.
pub(crate) struct Runner {
    role: Role,
    reaper: Reaper,
    memory: Arc<Memory>,
    reports: Reports,
    child: Option<Arc<Child>>,
    /// We sent it KILL.
    killed: Arc<AtomicBool>,
    tasks: Vec<AbortHandle>,
}

impl Runner {
    pub(crate) fn new(role: Role, site: &Site, reports: Reports) -> Self {
        Self::with(role, site.reaper.clone(), site.memory.clone(), reports)
    }

    fn with(role: Role, reaper: Reaper, memory: Arc<Memory>, reports: Reports) -> Self {
        let killed = Arc::default();
        Self { role, reaper, memory, reports, child: None, killed, tasks: Vec::new() }
    }

    /// Starts the child; its pid if it runs. What becomes of it is reported as events.
    pub(crate) fn start(&mut self, spec: ChildSpec) -> Option<i32> {
        self.quiet();
        match process::spawn(&self.reaper, spec) {
            Ok(child) => {
                let child = Arc::new(child);
                let pid = child.pid();
                report(&self.reports, Event::ChildStarted { role: self.role, pid });
                self.killed = Arc::default();
                let (memory, killed) = (self.memory.clone(), self.killed.clone());
                let wait = wait(child.clone(), self.role, memory, killed, self.reports.clone());
                work::spawn(self.role.actor(), &self.reports, wait);
                self.child = Some(child);
                Some(pid)
            }
            Err(e) => {
                let fatal =
                    matches!(e, SpawnError::NotFound { .. } | SpawnError::NotExecutable { .. });
                self.failed(e.to_string(), fatal);
                None
            }
        }
    }

    /// What the last child said at its end; of a child that still runs, what it said last.
    pub(crate) fn last_words(&self) -> Vec<String> {
        self.child.as_ref().map(|child| child.last_lines()).unwrap_or_default()
    }

    /// The same of this child, for whoever runs beside it.
    pub(crate) fn listen(&self) -> impl Fn() -> Vec<String> + Send + 'static {
        let child = self.child.clone();
        move || child.as_ref().map(|child| child.last_lines()).unwrap_or_default()
    }

    /// It could not even be tried.
    pub(crate) fn failed(&self, why: String, fatal: bool) {
        tracing::error!(child = self.role.name(), %why, "cannot start");
        let exit = Ending::SpawnFailed { why, fatal };
        report(&self.reports, Event::ChildExited { role: self.role, exit, said: Vec::new() });
    }

    /// Runs beside the child, if there is one; ends with it, with the next start or with [`Runner::quiet`].
    pub(crate) fn beside(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        let exited = self.child.as_ref().map(|child| child.exited());
        let work = async move {
            match exited {
                None => work.await,
                Some(exited) => tokio::select! {
                    () = work => {}
                    _ = exited => {}
                },
            }
        };
        self.tasks.push(work::spawn(self.role.actor(), &self.reports, work));
    }

    /// Ends what runs beside the child.
    pub(crate) fn quiet(&mut self) {
        for task in self.tasks.drain(..) {
            task.abort();
        }
    }

    /// TERM to the child itself: it tells its own children.
    pub(crate) fn term(&self) {
        if let Some(child) = &self.child {
            child.signal(Signal::SIGTERM);
        }
    }

    /// KILL to its whole group.
    pub(crate) fn kill(&self) {
        if let Some(child) = &self.child {
            self.killed.store(true, Relaxed);
            child.signal_group(Signal::SIGKILL);
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.quiet();
        // Only when an actor dies with a child still there; the timeline waits for every child.
        self.kill();
    }
}

async fn wait(
    child: Arc<Child>,
    role: Role,
    memory: Arc<Memory>,
    killed: Arc<AtomicBool>,
    reports: Reports,
) {
    let pid = child.pid();
    let exit = child.exited().await;
    let by_another = exit.by_signal(Signal::SIGKILL) && !killed.load(Relaxed);
    let exit = match by_another.then(|| memory.ran_out()).flatten() {
        Some(why) => Ending::Killed { exit, why },
        None => Ending::Exit(exit),
    };
    let said = child.last_lines();
    tracing::info!(child = role.name(), pid, %exit, last = exit.telling(&said), "child exited");
    report(&reports, Event::ChildExited { role, exit, said });
}

/// So long a reason stands without being told again.
const SAID_FOR: Duration = Duration::from_secs(1);

/// A delay that is a fortieth of what was waited before, from 4 to 250 ms, and differs by up to a quarter from one to the
/// next, so that tasks which lost the same thing do not ask for it in step: the beat of every wait for something that is
/// about to come up. So it is seen 1 % late, for some 100 questions while it comes up within 0.5 s.
pub(crate) struct Beat {
    waited: Duration,
    /// Which part of what was waited.
    part: u32,
    least: Duration,
    longest: Duration,
}

impl Beat {
    pub(crate) fn new() -> Self {
        let ms = Duration::from_millis;
        Self { waited: Duration::ZERO, part: 40, least: ms(4), longest: ms(250) }
    }

    /// A twentieth, from 8 ms to 2 s, for what costs others something: an agent without servers logs two lines for each
    /// question that it needs one for.
    pub(crate) fn patient() -> Self {
        let (least, longest) = (Duration::from_millis(8), Duration::from_secs(2));
        Self { part: 20, least, longest, ..Self::new() }
    }

    pub(crate) async fn rest(&mut self) {
        let delay = (self.waited / self.part).clamp(self.least, self.longest);
        self.waited += delay;
        tokio::time::sleep(jittered(delay)).await;
    }
}

/// Tells what a wait is for, when it is another reason, and once a second, since others may have told something else
/// meanwhile: the same one is found a hundred times while a child comes up.
pub(crate) struct Reason<'a> {
    reports: &'a Reports,
    source: Source,
    told: Option<(Option<String>, Instant)>,
}

impl<'a> Reason<'a> {
    pub(crate) fn of(source: Source, reports: &'a Reports) -> Self {
        Self { reports, source, told: None }
    }

    /// `None`: there is no reason any more.
    pub(crate) fn is(&mut self, why: Option<String>) {
        let said = self.told.as_ref();
        if !said.is_some_and(|(told, at)| *told == why && at.elapsed() < SAID_FOR) {
            self.told = Some((why.clone(), Instant::now()));
            report(self.reports, Event::Trouble { source: self.source, why });
        }
    }
}

/// Up to a quarter less.
pub(super) fn jittered(delay: Duration) -> Duration {
    delay.mul_f64(1.0 - 0.25 * chance())
}

/// From 0 to 1, another one each time.
pub(super) fn chance() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    // Its keys are random in each thread, and others each time.
    let random = RandomState::new().hash_one(());
    f64::from(random as u32) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Output;
    use crate::supervisor::actor::Msg;
    use ractor::{Actor, ActorProcessingErr, ActorRef};
    use tokio::sync::{mpsc, oneshot};

    /// Takes reports, and hands on how children end.
    struct Ear;

    impl Actor for Ear {
        type Msg = Msg;
        type State = mpsc::UnboundedSender<String>;
        type Arguments = mpsc::UnboundedSender<String>;

        async fn pre_start(
            &self,
            _: ActorRef<Msg>,
            ends: Self::State,
        ) -> Result<Self::State, ActorProcessingErr> {
            Ok(ends)
        }

        async fn handle(
            &self,
            _: ActorRef<Msg>,
            msg: Msg,
            ends: &mut Self::State,
        ) -> Result<(), ActorProcessingErr> {
            if let Msg::Event(Event::ChildExited { exit, .. }) = msg {
                let _gone_with_the_test = ends.send(exit.to_string());
            }
            Ok(())
        }
    }

    async fn runner() -> Runner {
        runner_in(Memory::of("", "/".as_ref()), mpsc::unbounded_channel().0).await
    }

    async fn runner_in(memory: Memory, ends: mpsc::UnboundedSender<String>) -> Runner {
        let (supervisor, _) = Actor::spawn(None, Ear, ends).await.unwrap();
        let reaper = Reaper::start().unwrap();
        Runner::with(Role::Envoy, reaper, Arc::new(memory), supervisor.get_derived())
    }

    fn sleeping() -> ChildSpec {
        ChildSpec {
            name: "sleep".to_owned(),
            program: "sleep".into(),
            args: vec!["100".into()],
            env: Vec::new(),
            output: Output::Capture { max: 0 },
            oom_score_adj: None,
        }
    }

    /// Work that never ends by itself; the receiver fails when it is over.
    fn endless() -> (impl Future<Output = ()> + Send + 'static, oneshot::Receiver<()>) {
        let (held, over) = oneshot::channel::<()>();
        let work = async move {
            let _held = held;
            std::future::pending::<()>().await;
        };
        (work, over)
    }

    #[tokio::test]
    async fn what_runs_beside_a_child_ends_with_it() {
        let mut runner = runner().await;
        assert!(runner.start(sleeping()).is_some());
        let (work, mut over) = endless();
        runner.beside(work);
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(matches!(over.try_recv(), Err(oneshot::error::TryRecvError::Empty)));
        runner.kill();
        tokio::time::timeout(Duration::from_secs(10), over).await.expect("it goes on").unwrap_err();
    }

    #[tokio::test]
    async fn what_runs_before_a_child_ends_when_it_is_told_to() {
        let mut runner = runner().await;
        let (work, over) = endless();
        runner.beside(work);
        runner.quiet();
        tokio::time::timeout(Duration::from_secs(10), over).await.expect("it goes on").unwrap_err();
    }

    #[tokio::test]
    async fn a_kill_that_is_not_ours_is_put_down_to_the_memory_that_ran_out() {
        let cgroup = tempfile::tempdir().unwrap();
        let counted = |kills: u32| {
            std::fs::write(cgroup.path().join("memory.events"), format!("oom_kill {kills}\n"))
                .unwrap();
        };
        counted(0);
        std::fs::write(cgroup.path().join("memory.max"), "536870912\n").unwrap();
        let (ends, mut ended) = mpsc::unbounded_channel();
        let mut runner = runner_in(Memory::of("0::/", cgroup.path()), ends).await;
        let mut next = async || {
            tokio::time::timeout(Duration::from_secs(10), ended.recv()).await.unwrap().unwrap()
        };
        let by_another = |runner: &Runner, signal| {
            assert!(runner.child.as_ref().unwrap().signal(signal));
        };

        runner.start(sleeping()).unwrap();
        by_another(&runner, Signal::SIGKILL);
        assert_eq!(next().await, "killed by SIGKILL", "the counter did not rise");

        runner.start(sleeping()).unwrap();
        counted(1);
        runner.kill();
        assert_eq!(next().await, "killed by SIGKILL", "that was ours");

        runner.start(sleeping()).unwrap();
        by_another(&runner, Signal::SIGTERM);
        assert_eq!(next().await, "killed by SIGTERM", "memory is not short of a TERM");

        runner.start(sleeping()).unwrap();
        by_another(&runner, Signal::SIGKILL);
        assert_eq!(next().await, "killed, out of memory (limit 512 MiB)");
    }
}
