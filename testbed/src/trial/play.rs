//! Playing a scenario: the mesh, the load, the stops.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::json;
use taskmesh::timeline::Event;
use tokio::time::{Instant, sleep, timeout};

use super::outcome::{Outcome, Stop};
use super::scenario::{Act, App, Disturbance, LONG_CONNECTIONS, Scenario};
use crate::cluster::{Backend, Cluster, MeshTask, TaskPlan};
use crate::definitions::wrapped;
use crate::ecs::StopOrder;
use crate::load::{Kind, Load, LoadReport, LoadSpec};

/// A step that needs it is broken.
const LIMIT: Duration = Duration::from_secs(60);

/// After the stopped task's Envoy has gone: what comes too late is still counted to this stop.
const AFTER: Duration = Duration::from_millis(500);

/// Long requests are sent so long before the stop: time enough to be under way.
const HEAD_START: Duration = Duration::from_millis(300);

/// How much of everything.
#[derive(Debug, Clone, Copy)]
pub struct Form {
    /// The long form, whose figures count; else the short one of CI.
    pub long: bool,
    /// Connections of the client.
    pub connections: usize,
    /// Between an answer and the connection's next request.
    pub pause: Duration,
    /// Load before each stop.
    pub before: Duration,
}

impl Form {
    /// What CI runs: some seconds a scenario.
    #[must_use]
    pub fn short() -> Self {
        let ms = Duration::from_millis;
        Self { long: false, connections: 8, pause: ms(2), before: ms(500) }
    }

    /// What figures are made of.
    #[must_use]
    pub fn long() -> Self {
        Self { long: true, before: Duration::from_secs(2), ..Self::short() }
    }

    fn rounds(self, scenario: &Scenario) -> usize {
        scenario.rounds[usize::from(self.long)]
    }
}

/// Plays a scenario on a mesh of its own.
///
/// # Errors
/// If a step did not come to its end. What was lost, or wrong, is in the outcome.
pub async fn play(scenario: &Scenario, form: Form, backend: Backend) -> Result<Outcome> {
    let played = async {
        let cluster = Cluster::start(backend).await?;
        let stage = Stage { cluster: &cluster, scenario, form };
        match scenario.act {
            Act::StopOne(disturbance) => stage.stop_one(disturbance).await,
            Act::Rolling => stage.rolling().await,
            Act::Calls => stage.calls().await,
        }
    };
    played.await.with_context(|| format!("scenario {}", scenario.name))
}

/// A task that is stopped, the `number`th that was started.
struct Going {
    task: MeshTask,
    number: usize,
}

/// A stop under load whose Envoy is gone; its agent still leaves.
struct Left {
    going: Going,
    at: Instant,
    during: LoadReport,
    long: Option<LoadReport>,
}

struct Stage<'a> {
    cluster: &'a Cluster,
    scenario: &'a Scenario,
    form: Form,
}

impl Stage<'_> {
    async fn stop_one(&self, disturbance: Disturbance) -> Result<Outcome> {
        let stops = self.form.rounds(self.scenario) * self.scenario.orders.len();
        let web = self.web().await?;
        let mut apis = vec![self.api(0).await?, self.api(1).await?];
        self.all_reached(&web, &apis).await?;
        let load = self.load(&web)?;
        self.all_answer(&load, &apis).await;
        let mut ended = Vec::new();
        for stop in 0..stops {
            sleep(self.form.before).await;
            // The oldest: with tcp, whose connections stay where they were opened, it has them all.
            let going = apis.remove(0);
            ended.push(self.stop(going, &load, &web, disturbance).await?);
            if stop + 1 < stops {
                apis.push(self.api(stop + 2).await?);
                self.all_reached(&web, &apis).await?;
            }
        }
        self.outcome(load, ended).await
    }

    /// A deploy: each of four tasks is stopped once its successor is offered.
    async fn rolling(&self) -> Result<Outcome> {
        const TASKS: usize = 4;
        let web = self.web().await?;
        let mut apis = Vec::new();
        for number in 0..TASKS {
            apis.push(self.api(number).await?);
        }
        self.all_reached(&web, &apis).await?;
        let load = self.load(&web)?;
        self.all_answer(&load, &apis).await;
        let mut ended = Vec::new();
        for stop in 0..self.form.rounds(self.scenario) * TASKS {
            sleep(self.form.before).await;
            let next = self.api(TASKS + stop).await?;
            next.task.until(Event::Offered, LIMIT).await?;
            apis.push(next);
            ended.push(self.stop(apis.remove(0), &load, &web, Disturbance::None).await?);
        }
        self.outcome(load, ended).await
    }

    /// Tasks that call others are stopped, one in each order at a time.
    async fn calls(&self) -> Result<Outcome> {
        let mut apis = Vec::new();
        for number in 1..=2 {
            let plan = TaskPlan::new(&format!("api-{number}"), "api", wrapped("api", &[]));
            apis.push(self.cluster.task(plan).await?);
        }
        for api in &apis {
            api.until(Event::Offered, LIMIT).await?;
        }
        let orders = self.scenario.orders.len();
        let mut stops = Vec::new();
        for round in 0..self.form.rounds(self.scenario) {
            let mut callers = Vec::new();
            for index in 0..orders {
                let number = round * orders + index;
                let plan = self
                    .plan(&format!("caller-{}", number + 1), "caller", number)
                    .upstream("api")
                    .config(json!({ "service": { "inbound": false, "port": null } }));
                callers.push(Going { task: self.cluster.task(plan).await?, number });
            }
            for Going { task, .. } in &callers {
                task.until(Event::AppStarted, LIMIT).await?;
                let app = task.ecs.container("app").context("an app")?;
                let called = timeout(LIMIT, app.wait_line("answers")).await;
                called.ok().flatten().with_context(|| format!("{} called nobody", task.name()))?;
            }
            sleep(self.form.before).await;
            let at = Instant::now();
            callers.iter().for_each(|caller| caller.task.ecs.stop());
            for caller in callers {
                let nothing = LoadReport::new(at);
                stops.push(self.end(caller, at, nothing, None).await?);
            }
        }
        let report = LoadReport::new(Instant::now());
        Ok(Outcome { scenario: self.scenario.clone(), report, stops })
    }

    /// The downstream task, through whose Envoy the load goes.
    async fn web(&self) -> Result<MeshTask> {
        let web = TaskPlan::new("web", "web", wrapped("web", &[]));
        let web = self.cluster.task(web.protocol(self.scenario.protocol).upstream("api")).await?;
        web.until(Event::Offered, LIMIT).await?;
        Ok(web)
    }

    /// One of the tasks that are stopped; odd and even ones in the two orders.
    async fn api(&self, number: usize) -> Result<Going> {
        let plan = self.plan(&format!("api-{}", number + 1), "api", number);
        Ok(Going { task: self.cluster.task(plan).await?, number })
    }

    fn order(&self, number: usize) -> StopOrder {
        self.scenario.orders[number % self.scenario.orders.len()]
    }

    fn plan(&self, name: &str, service: &str, number: usize) -> TaskPlan {
        let scenario = self.scenario;
        let order = self.order(number);
        // Where ECS must see a container healthy first, its seconds are not what is tried here.
        let waits = scenario.app == App::Unwrapped || scenario.health_check;
        let scale = if waits { 10.0 } else { 1.0 };
        TaskPlan::new(name, service, scenario.definition())
            .protocol(scenario.protocol)
            .config(scenario.config.clone())
            .platform(move |spec| (spec.stop_order, spec.time_scale) = (order, scale))
    }

    /// Until the downstream Envoy routes to all of them.
    async fn all_reached(&self, web: &MeshTask, apis: &[Going]) -> Result<()> {
        for Going { task, .. } in apis {
            task.until(Event::Offered, LIMIT).await?;
        }
        let routes = timeout(LIMIT, web.until_routes("api", apis.len())).await;
        routes.context("the downstream Envoy never routed to all of them")?
    }

    fn load(&self, web: &MeshTask) -> Result<Load> {
        let streams = match self.scenario.client {
            Kind::Http2 | Kind::Grpc => 4,
            Kind::Http1 | Kind::Tcp => 1,
        };
        let spec = LoadSpec::new(&self.scenario.url(web.ports.upstream))?
            .kind(self.scenario.client)?
            .connections(self.form.connections / streams)
            .streams(streams)
            .pause(self.form.pause);
        Ok(Load::start(web.ecs.host(), spec))
    }

    fn long_load(&self, web: &MeshTask, length: &str) -> Result<Load> {
        let port = web.ports.upstream;
        let url = match self.scenario.client {
            Kind::Grpc => {
                format!("http://127.0.0.1:{port}/testbed.Echo/Stream?messages=11&every=1s")
            }
            _ => format!("http://127.0.0.1:{port}/slow?for={length}"),
        };
        let mut spec =
            LoadSpec::new(&url)?.kind(self.scenario.client)?.connections(LONG_CONNECTIONS);
        spec.timeout = LIMIT;
        Ok(Load::start(web.ecs.host(), spec))
    }

    /// Until each has answered: what is measured begins with a mesh that works.
    async fn all_answer(&self, load: &Load, apis: &[Going]) {
        // A kept tcp connection stays with one instance; then one that answers is what there is.
        let wanted = if self.scenario.protocol == "tcp" { 1 } else { apis.len() };
        let began = Instant::now();
        while load.report().responders.len() < wanted && began.elapsed() < LIMIT {
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// One stop under load, to the end of its Envoy and a little longer. The agent's leave goes on meanwhile.
    async fn stop(
        &self,
        going: Going,
        load: &Load,
        web: &MeshTask,
        disturbance: Disturbance,
    ) -> Result<Left> {
        let long = match disturbance {
            Disturbance::Long(length) => {
                let long = self.long_load(web, length)?;
                sleep(HEAD_START).await;
                Some(long)
            }
            _ => None,
        };
        let task = &going.task;
        let before = load.report();
        let at = Instant::now();
        if let Disturbance::FrozenServers(_) = disturbance {
            self.freeze(Signal::SIGSTOP)?;
        }
        task.ecs.stop();
        let (gone, disturbed, long) = tokio::join!(
            task.until(Event::EnvoyExited, LIMIT),
            self.disturb(disturbance, task),
            async {
                match long {
                    // Sends nothing new; gives the count when what is under way has ended.
                    Some(long) => Some(long.stop().await),
                    None => None,
                }
            }
        );
        disturbed?;
        gone?;
        sleep(AFTER).await;
        let during = load.report().since(&before);
        Ok(Left { going, at, during, long })
    }

    async fn end(
        &self,
        going: Going,
        at: Instant,
        during: LoadReport,
        long: Option<LoadReport>,
    ) -> Result<Stop> {
        Stop::end(&going.task, self.order(going.number), at, during, long, LIMIT).await
    }

    async fn outcome(&self, load: Load, left: Vec<Left>) -> Result<Outcome> {
        let report = load.stop().await;
        let mut stops = Vec::new();
        for Left { going, at, during, long } in left {
            stops.push(self.end(going, at, during, long).await?);
        }
        Ok(Outcome { scenario: self.scenario.clone(), report, stops })
    }

    async fn disturb(&self, disturbance: Disturbance, task: &MeshTask) -> Result<()> {
        match disturbance {
            Disturbance::FrozenServers(time) => {
                sleep(time).await;
                self.freeze(Signal::SIGCONT)
            }
            Disturbance::SecondTerm(after) => {
                sleep(after).await;
                let supervisor = task.ecs.container("taskmesh");
                let told = supervisor.is_some_and(|helper| helper.signal(Signal::SIGTERM));
                ensure!(told, "{} was gone before its second TERM", task.name());
                Ok(())
            }
            Disturbance::None | Disturbance::Long(_) => Ok(()),
        }
    }

    fn freeze(&self, signal: Signal) -> Result<()> {
        ensure!(self.cluster.server().signal(signal), "the server is gone");
        Ok(())
    }
}
