//! The steps of the demo.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use taskmesh::timeline::{Event, Timeline};
use tokio::time::{Instant, Interval, interval_at, sleep, timeout};

use super::files::Folder;
use super::live::Shown;
use super::screen::Paint;
use super::{DemoArgs, Protocol, header, summary, verdict};
use crate::cluster::{Cluster, MeshTask, TaskPlan};
use crate::definitions::wrapped;
use crate::ecs::TaskResult;
use crate::load::{Load, LoadReport, LoadSpec};
use crate::screen::Screen;
use crate::versions::Versions;

/// Far more than a step takes; a demo that needs it is broken.
const LIMIT: Duration = Duration::from_secs(60);

/// Load before the stop and after it.
const BEFORE: Duration = Duration::from_secs(3);
const AFTER: Duration = Duration::from_secs(2);

/// Between a connection's answer and its next request: the machine is to be busy with the mesh, not with us.
const PAUSE: Duration = Duration::from_millis(10);

/// The task that is stopped under load, and the one that goes on.
pub(super) const STOPPED: &str = "api-1";
pub(super) const STAYS: &str = "api-2";
const WEB: &str = "web";

/// How a task ended.
pub(super) struct Ended {
    pub(super) name: String,
    pub(super) timeline: Timeline,
    pub(super) result: TaskResult,
}

/// The requests of the three stretches.
pub(super) struct Traffic {
    pub(super) before: LoadReport,
    pub(super) during: LoadReport,
    pub(super) after: LoadReport,
    /// From the stop's notice to the last answer of the stopped task.
    pub(super) last_answer: Option<Duration>,
}

/// A whole run.
pub(super) struct Outcome {
    pub(super) tasks: Vec<Ended>,
    pub(super) traffic: Traffic,
    /// Instances that the Consul servers still know at the end.
    pub(super) remembered: Vec<String>,
}

/// Plays it all.
///
/// # Errors
/// If a step did not come to its end. What was wrong in a whole run is in the exit code.
pub(super) async fn play(args: &DemoArgs, screen: Screen) -> Result<ExitCode> {
    let folder = Folder::prepare(&args.out)?;
    let versions = Versions::find()?;
    header::show(&versions, args.protocol, screen);

    screen.step("1. A Consul server, outside the tasks");
    let began = Instant::now();
    let cluster = Cluster::start(versions.backend).await?;
    header::show_network(cluster.lan().loopback_reason(), screen);
    screen.dim(&format!("  it leads after {:.0?}", began.elapsed()));

    screen.step("2. Three tasks start at once: T0, T1, T2 (ms since each one's own start)");
    screen.columns();
    let mut tasks = start(&cluster, args, screen).await?;
    let played = serve_and_stop(&cluster, &mut tasks, args, screen).await;
    // Also, and above all, where something went wrong.
    for task in &tasks {
        folder.write_logs(task.name(), &task.task.ecs)?;
    }
    let outcome = match played {
        Ok(outcome) => outcome,
        Err(error) => {
            screen.line("");
            screen.line(&format!("all logs: {}", folder.show("*.log")));
            return Err(error);
        }
    };
    let titled = outcome.tasks.iter().map(|ended| {
        let title = match ended.name.as_str() {
            STOPPED => format!("{STOPPED}, stopped under load"),
            name => name.to_owned(),
        };
        (ended.name.clone(), title, ended.timeline.clone())
    });
    folder.write_timelines(titled.collect())?;
    let problems = verdict::problems(&outcome, args.protocol);
    summary::show(&outcome, &folder, args.protocol, screen);
    screen.line("");
    if problems.is_empty() {
        let Traffic { before, during, after, .. } = &outcome.traffic;
        let count = |of: fn(&LoadReport) -> u64| of(before) + of(during) + of(after);
        screen.good("demo: ok: every task went through T0-T2 and stop T0-T3 in order,");
        screen.good(&format!(
            "  {} requests answered, {} failed",
            count(|report| report.ok),
            count(|report| report.failed)
        ));
        return Ok(ExitCode::SUCCESS);
    }
    for problem in &problems {
        screen.bad(&format!("  wrong: {problem}"));
    }
    screen.bad(&format!("demo: not ok, {} wrong; logs: {}", problems.len(), folder.show("*.log")));
    Ok(ExitCode::FAILURE)
}

/// Starts the tasks and waits until peers can reach each of them.
async fn start(cluster: &Cluster, args: &DemoArgs, screen: Screen) -> Result<Vec<Shown>> {
    let api = |name: &str| TaskPlan::new(name, "api", wrapped("api", &["--term", "drain"]));
    let upstream = ["--upstream", "http://127.0.0.1:{{upstream_port}}", "--term", "drain"];
    let plans = [
        (TaskPlan::new(WEB, "web", wrapped("web", &upstream)).upstream("api"), Paint::Cyan),
        (api(STOPPED), Paint::Magenta),
        (api(STAYS), Paint::Blue),
    ];
    let mut tasks = Vec::new();
    for (plan, paint) in plans {
        let task = cluster.task(plan.protocol(args.protocol.name())).await?;
        tasks.push(Shown::new(task, paint, screen));
    }
    for task in &tasks {
        task.wait(Event::Offered, LIMIT).await?;
    }
    Ok(tasks)
}

/// From the first request to the end of the last task.
async fn serve_and_stop(
    cluster: &Cluster,
    tasks: &mut Vec<Shown>,
    args: &DemoArgs,
    screen: Screen,
) -> Result<Outcome> {
    let [web, stopped, _] = tasks.as_mut_slice() else { bail!("three tasks were started") };
    let url = url(&web.task);
    screen.step("3. Requests through the mesh: load client -> web -> api-1, api-2");
    if args.protocol == Protocol::Tcp {
        until_web_knows_both(&web.task).await?;
    }
    let spec = LoadSpec::new(&url)?.connections(args.connections.into()).pause(PAUSE);
    let load = Load::start(cluster.lan().hub(), spec);
    until_both_answer(&load, screen).await?;
    if !args.keep.is_zero() {
        load.pause();
        keep(args.keep, [&*web, &*stopped], screen).await;
        load.resume();
    }
    let first = load.report();
    let mut meter = Meter::new(first.clone(), screen);
    meter.run(&load, sleep(BEFORE)).await;
    let before = load.report();

    screen.step(&format!("4. {STOPPED} is stopped under load (ECS StopTask)"));
    screen.columns();
    stopped.task.ecs.stop();
    let ended = meter.run(&load, end(stopped)).await?;
    let during = load.report();
    meter.run(&load, sleep(AFTER)).await;
    let after = load.stop().await;
    let noticed = stopped.read_at(Event::StopNoticed);
    let last = after.seen.get(STOPPED).map(|(_, last)| *last);
    let traffic = Traffic {
        last_answer: noticed.zip(last).map(|(n, last)| last.saturating_duration_since(n)),
        after: after.since(&during),
        during: during.since(&before),
        before: before.since(&first),
    };

    screen.step("5. The load has ended; web and api-2 are stopped");
    screen.columns();
    let mut all = Vec::new();
    for task in &*tasks {
        // A second time does nothing.
        task.task.ecs.stop();
    }
    let mut ended = Some(ended);
    for task in tasks {
        match ended.take_if(|ended| ended.name == task.name()) {
            Some(ended) => all.push(ended),
            None => all.push(end(task).await?),
        }
    }
    let mut remembered = Vec::new();
    for service in ["web", "api"] {
        remembered.extend(cluster.offered(service).await?.into_iter().map(|(id, _)| id));
    }
    Ok(Outcome { tasks: all, traffic, remembered })
}

/// The last task's end.
async fn end(task: &mut Shown) -> Result<Ended> {
    let (result, timeline) = task.task.wait_stopped(LIMIT).await?;
    task.all_shown().await;
    Ok(Ended { name: task.name().to_owned(), timeline, result })
}

fn url(web: &MeshTask) -> String {
    format!("http://{}:{}/call", web.ecs.host().ip(), web.ports.app)
}

/// After that the load shows whether they are reached; updates take 0.2 s.
const KNOWS_BOTH_LIMIT: Duration = Duration::from_secs(5);

/// Offered is what the servers know; web's Envoy hears of it a moment later. With protocol tcp it matters: a kept
/// connection stays with the instance that it was opened to.
async fn until_web_knows_both(web: &MeshTask) -> Result<()> {
    match timeout(KNOWS_BOTH_LIMIT, web.until_routes("api", 2)).await {
        Ok(known) => known,
        Err(_) => Ok(()),
    }
}

/// What failed until both have answered is told, and not counted as lost.
async fn until_both_answer(load: &Load, screen: Screen) -> Result<()> {
    let began = Instant::now();
    loop {
        let report = load.report();
        let missing: Vec<_> =
            [STOPPED, STAYS].into_iter().filter(|n| !report.responders.contains_key(*n)).collect();
        if missing.is_empty() {
            let early = match report.failed {
                0 => String::new(),
                n => format!(", {n} requests came too early"),
            };
            let ms = began.elapsed().as_millis();
            screen.dim(&format!("  both api tasks answer after {ms} ms{early}"));
            return Ok(());
        }
        if began.elapsed() > LIMIT {
            bail!("{} never answered; the load client: {report}", missing.join(" and "));
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// Leaves the mesh alone for a while, and says how to look at it.
async fn keep(time: Duration, tasks: [&Shown; 2], screen: Screen) {
    screen.line(&format!("  the mesh is yours for {time:?} (Ctrl-C ends it), for example"));
    for task in tasks {
        let Some(pid) = task.task.ecs.container("taskmesh").and_then(|c| c.pid()) else { continue };
        let enter = match task.task.ecs.host().isolated() {
            true => format!("nsenter -t {pid} -n "),
            false => String::new(),
        };
        let admin = task.task.ports.admin;
        screen.line(&format!(
            "  {:<6} {enter}curl -s http://127.0.0.1:{admin}/v1/status",
            task.name()
        ));
    }
    sleep(time).await;
}

/// Says once a second where the requests go.
struct Meter {
    tick: Interval,
    last: LoadReport,
    screen: Screen,
}

impl Meter {
    fn new(last: LoadReport, screen: Screen) -> Self {
        let second = Duration::from_secs(1);
        Self { tick: interval_at(Instant::now() + second, second), last, screen }
    }

    async fn run<T>(&mut self, load: &Load, until: impl Future<Output = T>) -> T {
        let mut until = std::pin::pin!(until);
        loop {
            tokio::select! {
                biased;
                done = &mut until => return done,
                _ = self.tick.tick() => self.say(load.report()),
            }
        }
    }

    fn say(&mut self, now: LoadReport) {
        let part = now.since(&self.last);
        let count = |name: &str| part.responders.get(name).copied().unwrap_or(0);
        self.screen.dim(&format!(
            "load    {:>4.0} requests/s      {STOPPED} {:>4}   {STAYS} {:>4}   failed {:>3}",
            part.rate(),
            count(STOPPED),
            count(STAYS),
            part.failed
        ));
        self.last = now;
    }
}
