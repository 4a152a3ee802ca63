//! One task from its start to its end, looked at from outside: in the same way for the floor and for taskmesh.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use taskmesh::config::Propagation;
use taskmesh::timeline::{Event, Timeline};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::figures::{End, Life, Own, Start};
use super::floor::FLOOR;
use super::site::Site;
use crate::cluster::{Cluster, MeshTask, client};
use crate::definitions::wrapped;
use crate::ecs::Container;
use crate::net::{Host, HostGone};
use crate::vitals;

/// Both are instances of it.
pub(super) const SERVICE: &str = "api";
/// taskmesh's container.
pub(super) const HELPER: &str = "taskmesh";
/// All waits.
pub(super) const LIMIT: Duration = Duration::from_secs(90);
/// Between two looks at what costs next to nothing: a port, a process.
const GLANCE: Duration = Duration::from_millis(2);
/// Between two questions to an agent or a server.
const QUESTION: Duration = Duration::from_millis(5);
/// Between the last milestone of the start and the stop.
const REST: Duration = Duration::from_millis(500);

/// A whole life of the floor.
pub(super) async fn floor(site: &Site, name: &str) -> Result<Life> {
    let task = site.cluster.task(super::floor::plan(name, site.version)).await?;
    live(&site.cluster, &task, FLOOR).await
}

/// A whole life of taskmesh with a wrapped app.
pub(super) async fn taskmesh(site: &Site, name: &str) -> Result<Life> {
    let task = site.cluster.task(site.plan(name, SERVICE, wrapped(SERVICE, &[]))).await?;
    live(&site.cluster, &task, HELPER).await
}

async fn live(cluster: &Cluster, task: &MeshTask, helper: &str) -> Result<Life> {
    let seen = timeout(LIMIT, starts(cluster, task)).await;
    let Ok(seen) = seen else {
        bail!("{}: not up within {LIMIT:?}\n{}", task.name(), said(task, helper))
    };
    let [registered, listener, offered, app] = seen?;
    sleep(REST).await;
    let container = task.ecs.container(helper).context("no helper")?;
    let (envoy, agent) = (child(&container, "envoy")?, child(&container, "consul")?);

    let told = Instant::now();
    task.ecs.stop();
    let ends = async {
        tokio::join!(offer(cluster, task, false), gone(envoy), gone(agent), task.ecs.wait_stopped(),)
    };
    let Ok((peers, envoy, left, result)) = timeout(LIMIT, ends).await else {
        bail!("{}: not stopped within {LIMIT:?}\n{}", task.name(), said(task, helper))
    };
    let result = result.container(helper).context("no result")?.clone();
    let began = result.started_at.context("it never started")?;
    let exited = result.finished_at.context("it never ended")?;
    let timeline = match helper {
        HELPER => Some(task.timeline().await?),
        _ => None,
    };
    let drained = timeline.as_ref().and_then(|timeline| {
        let record = timeline.find(Event::InboundDrained)?;
        Some((began + milliseconds(record.ms)).saturating_duration_since(told))
    });
    Ok(Life {
        start: Start {
            registered: registered.saturating_duration_since(began),
            listener: listener.saturating_duration_since(began),
            offered: offered.saturating_duration_since(began),
            app: app.saturating_duration_since(began),
        },
        end: End {
            peers: peers?.saturating_duration_since(told),
            drained,
            envoy: envoy.saturating_duration_since(told),
            // It is seen up to a glance later, and does not outlive the helper.
            left: left.min(exited).saturating_duration_since(told),
            exited: exited.saturating_duration_since(told),
        },
        own: timeline.as_ref().and_then(own),
        events: timeline.map(|timeline| timeline.events).unwrap_or_default(),
    })
}

/// What the helper said last.
fn said(task: &MeshTask, helper: &str) -> String {
    let lines = task.ecs.output(helper);
    let first = lines.len().saturating_sub(15);
    lines[first..].iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n")
}

/// When it was registered, listened, was offered, and when its app accepted.
async fn starts(cluster: &Cluster, task: &MeshTask) -> Result<[Instant; 4]> {
    let host = task.ecs.host();
    let agent = format!("http://127.0.0.1:{}/v1/agent/service/{}", task.ports.http, proxy(task));
    let (registered, listener, offered, app) = tokio::join!(
        host.spawn(move || answers(agent, |_| true)),
        accepts(host, task.ports.public),
        offer(cluster, task, true),
        accepts(host, task.ports.app),
    );
    Ok([registered?, listener?, offered?, app?])
}

/// What it registers, both the floor and taskmesh.
fn proxy(task: &MeshTask) -> String {
    format!("{SERVICE}-{}-sidecar-proxy", task.ecs.id())
}

/// Until the servers offer the task to peers, or do not any more.
async fn offer(cluster: &Cluster, task: &MeshTask, wanted: bool) -> Result<Instant, HostGone> {
    let hub = cluster.lan().hub();
    let url = format!("http://{}:8500/v1/health/connect/{SERVICE}?passing", hub.ip());
    let proxy = proxy(task);
    let offered = move |answer: &Value| {
        let list = answer.as_array().map(Vec::as_slice).unwrap_or_default();
        list.iter().any(|entry| entry["Service"]["ID"] == proxy.as_str()) == wanted
    };
    hub.spawn(move || answers(url, offered)).await
}

/// Until a question is answered with 200, and as wanted.
async fn answers(url: String, wanted: impl Fn(&Value) -> bool) -> Instant {
    let client = client();
    loop {
        if let Ok(answer) = client.get(&url).send().await
            && answer.status() == 200
            && let Ok(answer) = answer.json().await
            && wanted(&answer)
        {
            return Instant::now();
        }
        sleep(QUESTION).await;
    }
}

/// Until somebody accepts on a port of a host.
async fn accepts(host: &Host, port: u16) -> Result<Instant, HostGone> {
    let address = (host.ip(), port);
    host.spawn(move || async move {
        while TcpStream::connect(address).await.is_err() {
            sleep(GLANCE).await;
        }
        Instant::now()
    })
    .await
}

/// The process of a child.
fn child(helper: &Container, name: &str) -> Result<i32> {
    let found = helper.processes().into_iter().find(|process| process.comm.contains(name));
    Ok(found.with_context(|| format!("no {name} runs"))?.pid)
}

/// Until a process has ended.
async fn gone(pid: i32) -> Instant {
    while vitals::runs(pid) {
        sleep(GLANCE).await;
    }
    Instant::now()
}

fn milliseconds(ms: f64) -> Duration {
    Duration::try_from_secs_f64(ms / 1000.0).unwrap_or_default()
}

/// From one event to another of a timeline.
fn between(timeline: &Timeline, from: Event, to: Event) -> Option<Duration> {
    let at = |event| timeline.find(event).map(|record| milliseconds(record.ms));
    Some(at(to)?.saturating_sub(at(from)?))
}

/// What of the stop is neither the agent's leave nor the dwell that peers' Envoys are given.
fn own(timeline: &Timeline) -> Option<Own> {
    let leave = between(timeline, Event::EnvoyExited, Event::AgentLeft)?;
    let dwell = Propagation::default().dwell;
    let whole = between(timeline, Event::StopNoticed, Event::AllExited)?;
    Some(Own { leave, dwell, rest: whole.saturating_sub(leave + dwell) })
}
