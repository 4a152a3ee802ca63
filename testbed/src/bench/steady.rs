//! What a supervisor takes while nothing happens to it, and while its task has much to do.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use taskmesh::timeline::Event;
use tokio::time::{sleep, timeout};

use super::figures::{Probe, Steady};
use super::life::{HELPER, LIMIT};
use super::probe::healthcheck;
use super::site::Site;
use crate::cluster::{MeshTask, beside_us};
use crate::definitions::wrapped;
use crate::ecs::Fault;
use crate::load::{Load, LoadSpec};
use crate::vitals::{Memory, Vitals, Work};

/// What is asked of a task's app, through two Envoys.
const RATE: u32 = 1000;
const CONNECTIONS: usize = 16;

/// How long.
#[derive(Debug, Clone, Copy)]
pub(super) struct Periods {
    /// From the start to the first look.
    pub(super) settle: Duration,
    /// From the first look to the last.
    pub(super) period: Duration,
}

/// Tasks of these sizes, idle all at the same time, then under load one after the other; and the health check.
pub(super) async fn measure(
    site: &Site,
    sizes: &[usize],
    periods: Periods,
    mut told: impl FnMut(&Steady),
) -> Result<(Vec<Steady>, Probe)> {
    let mut tasks = Vec::new();
    for size in sizes {
        tasks.push((*size, start(site, *size).await?));
    }
    sleep(periods.settle).await;
    let mut all = Vec::new();
    let looks = tasks.iter().map(|(size, task)| look(task, *size, periods.period));
    for steady in futures_util::future::try_join_all(looks).await? {
        told(&steady);
        all.push(steady);
    }
    let (_, first) = tasks.first().context("no sizes")?;
    let helper = first.ecs.container(HELPER).context("no helper")?;
    let testbed = beside_us("testbed")?.display().to_string();
    let probe = healthcheck(&helper, &testbed).await?;
    for (size, task) in &tasks {
        let steady = loaded(site, task, *size, periods).await?;
        told(&steady);
        all.push(steady);
    }
    Ok((all, probe))
}

fn service(size: usize) -> String {
    format!("size-{size}")
}

/// A task with so many synced containers and so many upstreams.
async fn start(site: &Site, size: usize) -> Result<MeshTask> {
    let upstreams: Vec<_> = (0..size)
        .map(|n| json!({ "destinationName": format!("db-{n}"), "localBindPort": 22000 + n }))
        .collect();
    let name = service(size);
    let plan = site
        .plan(&name, &name, wrapped(&name, &[]))
        .config(json!({
            // The others are only in the metadata, and never stop.
            "lifecycle": { "appContainers": ["app"] },
            "proxy": { "upstreams": upstreams },
        }))
        // Time to tell the metadata.
        .platform(|spec| spec.pull_time = Duration::from_millis(300));
    let task = site.cluster.task(plan).await?;
    task.ecs.metadata().set(Fault::Company(size));
    task.until(Event::Offered, LIMIT).await?;
    Ok(task)
}

async fn look(task: &MeshTask, size: usize, period: Duration) -> Result<Steady> {
    let pid = task.ecs.container(HELPER).and_then(|helper| helper.pid());
    let pid = pid.context("the supervisor has ended")?;
    let ended = || format!("{}: the supervisor has ended", task.name());
    let before = Work::of(pid).with_context(ended)?;
    sleep(period).await;
    let work = Work::of(pid).with_context(ended)?.since(before);
    let vitals = Vitals::of(pid).with_context(ended)?;
    let memory = Memory::of(pid).with_context(ended)?;
    Ok(Steady {
        size,
        load: None,
        rss: memory.rss,
        pss: memory.pss,
        anon: memory.anon,
        peak: memory.peak,
        threads: vitals.threads,
        descriptors: vitals.descriptors,
        wakeups: work.wakeups as f64 / period.as_secs_f64(),
        cpu: 100.0 * work.cpu.as_secs_f64() / period.as_secs_f64(),
    })
}

/// The same while a peer calls the task's app.
async fn loaded(site: &Site, task: &MeshTask, size: usize, periods: Periods) -> Result<Steady> {
    let (name, upstream) = (format!("web-{size}"), service(size));
    let plan = site.plan(&name, &name, wrapped(&name, &[])).upstream(&upstream);
    let web = site.cluster.task(plan).await?;
    web.until(Event::Offered, LIMIT).await?;
    let routes = timeout(LIMIT, web.until_routes(&upstream, 1)).await;
    routes.context("the caller's Envoy never routed to it")??;
    let spec = LoadSpec::new(&format!("http://127.0.0.1:{}/", web.ports.upstream))?;
    let load = Load::start(web.ecs.host(), spec.connections(CONNECTIONS).rate(RATE));
    // Connections are opened.
    sleep(periods.settle / 4).await;
    let before = load.report();
    let mut steady = look(task, size, periods.period).await?;
    let during = load.report().since(&before);
    load.stop().await;
    steady.load = Some(during.ok as f64 / periods.period.as_secs_f64());
    Ok(steady)
}
