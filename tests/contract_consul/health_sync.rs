//! taskmesh's health sync against a real agent and its servers.

use crate::bench::{Agent, Bench, PATIENCE};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use taskmesh::actors::health_sync::{Arguments, HealthSync, Msg};
use taskmesh::consul::{node_name, proxy, service};
use taskmesh::supervisor::TaskSeen;
use taskmesh::supervisor::actor::Msg as Report;
use taskmesh::supervisor::health::Rules;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// The least that the configuration takes.
const TTL: Duration = Duration::from_secs(3);
/// How long nothing may be written: the agent compares all it has with the servers' view once a minute.
const QUIET: Duration = Duration::from_secs(60);
/// The stand-in has no such minute.
const QUIET_STAND_IN: Duration = Duration::from_secs(5);

/// In the supervisor's place.
struct Nobody;

impl Actor for Nobody {
    type Msg = Report;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Report>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }
}

/// A read of the metadata. The probes print something else each time.
fn read(app: &str, number: u32, asked_at: Duration) -> Msg {
    let health = |status| {
        json!({ "status": status, "statusSince": "2026-01-02T00:43:47Z", "exitCode": 1,
            "output": format!("probe {number}") })
    };
    let task = json!({ "KnownStatus": "RUNNING", "Containers": [
        { "Name": "app", "KnownStatus": "RUNNING", "DockerId": "a", "Health": health(app) },
        { "Name": "side", "KnownStatus": "RUNNING", "DockerId": "b", "Health": health("UNHEALTHY") },
    ] });
    let task = Arc::new(serde_json::from_value(task).expect("task"));
    Msg::Seen(Arc::new(TaskSeen { task, own_name: "taskmesh".to_owned(), asked_at }))
}

impl Bench {
    /// The servers' view of the task's checks, by ID.
    async fn checks_at_the_servers(&self) -> BTreeMap<String, Value> {
        let node = node_name(&self.cfg, &self.task);
        let checks = self.server_get(&format!("/v1/health/node/{node}")).await;
        let checks = checks.as_array().expect("array").iter();
        checks.map(|c| (c["CheckID"].as_str().expect("ID").to_owned(), c.clone())).collect()
    }

    /// Waits until the servers show a container's check with this status; gives its output.
    async fn until_check_is(&self, container: &str, status: &str, agent: &Agent) -> String {
        let began = Instant::now();
        loop {
            let checks = self.checks_at_the_servers().await;
            let found = checks.get(&self.ids.check(container));
            if let Some(check) = found.filter(|check| check["Status"] == status) {
                return check["Output"].as_str().expect("text").to_owned();
            }
            assert!(began.elapsed() < PATIENCE, "not {status}: {checks:#?}, {:#?}", agent.lines());
            sleep(Duration::from_millis(50)).await;
        }
    }
}

pub(crate) async fn quiet_and_safe(mut bench: Bench) {
    bench.cfg.health_sync.ttl = TTL;
    // Native checks stand beside the synced ones.
    let native =
        json!([{ "checkId": "native", "name": "native", "ttl": "1h", "status": "passing" }]);
    bench.cfg.service.checks = serde_json::from_value(native).expect("checks");
    let agent = bench.join().await;
    let containers = ["app", "side", "absent"].map(str::to_owned);
    let registration = service(&bench.cfg, &bench.task, &containers);
    agent.client.register(&registration, false).await.expect("the service's registration");
    let registration = proxy(&bench.cfg, &bench.task);
    agent.client.register(&registration, false).await.expect("the proxy's registration");

    let (nobody, _) = Actor::spawn(None, Nobody, ()).await.expect("actor");
    let stale_after = Duration::from_secs(300);
    let rules = Rules { ttl: TTL, start_grace: Duration::ZERO, stale_after };
    let consul = agent.client.clone();
    let epoch = Instant::now();
    let arguments = Arguments { consul, rules, epoch, reports: nobody.get_derived() };
    let (sync, _) = Actor::spawn(None, HealthSync, arguments).await.expect("actor");
    for msg in [
        Msg::Identify(Arc::new(bench.ids.clone())),
        Msg::Containers(containers.to_vec()),
        Msg::Start,
    ] {
        sync.cast(msg).expect("alive");
    }
    let (app, status) = watch::channel("UNKNOWN");
    let feeding = {
        let sync = sync.clone();
        tokio::spawn(async move {
            for number in 0.. {
                if sync.cast(read(*status.borrow(), number, epoch.elapsed())).is_err() {
                    return;
                }
                sleep(Duration::from_millis(200)).await;
            }
        })
    };
    let absent = bench.until_check_is("absent", "critical", &agent).await;
    // A new check is critical before anybody has said why.
    if !absent.is_empty() {
        assert!(absent.contains("is not in the task's metadata"), "{absent}");
    }
    app.send_replace("HEALTHY");
    let output = bench.until_check_is("app", "passing", &agent).await;
    let id = bench.ids.check("app");
    let words = format!("ECS health status is \"HEALTHY\" for task \"{id}\": container app is");
    assert!(output.starts_with(&words), "{output}");

    a_minute_without_a_write(&bench, &agent).await;

    // It is not that nothing is ever written.
    let before = bench.checks_at_the_servers().await[&id]["ModifyIndex"].clone();
    app.send_replace("UNHEALTHY");
    let output = bench.until_check_is("app", "critical", &agent).await;
    assert!(
        output.contains("UNHEALTHY since 2026-01-02T00:43:47Z; probe: exit code 1"),
        "{output}"
    );
    assert_ne!(bench.checks_at_the_servers().await[&id]["ModifyIndex"], before);
    app.send_replace("HEALTHY");
    bench.until_check_is("app", "passing", &agent).await;

    // The agent outlives the sync here: the TTL ends what it said last.
    sync.kill();
    let killed = Instant::now();
    feeding.abort();
    let output = bench.until_check_is("app", "critical", &agent).await;
    assert!(killed.elapsed() > TTL / 3, "critical {:?} after the end", killed.elapsed());
    assert!(output.contains("TTL expired"), "{output}");
}

async fn a_minute_without_a_write(bench: &Bench, agent: &Agent) {
    let synced = ["app", "side", "absent"].map(|container| bench.ids.check(container));
    let at_the_agent = async || {
        let checks = agent.client.checks().await.expect("checks");
        synced.clone().map(|id| (checks[&id].status, checks[&id].output.clone()))
    };
    let indexes = async || {
        let checks = bench.checks_at_the_servers().await.into_iter();
        checks.map(|(id, check)| (id, check["ModifyIndex"].clone())).collect::<Vec<_>>()
    };
    // What was written before may still be on its way to the servers.
    let began = Instant::now();
    let mut written = indexes().await;
    loop {
        sleep(Duration::from_secs(2)).await;
        let now = indexes().await;
        if now == written {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "it never ends: {now:?}");
        written = now;
    }
    // The native one, the listener's, the alias and the node's besides.
    assert_eq!(written.len(), 3 + 4, "{written:?}");
    let said = at_the_agent().await;
    let quiet = if bench.consul.is_stand_in() { QUIET_STAND_IN } else { QUIET };
    let began = Instant::now();
    while began.elapsed() < quiet {
        // An output that differs is written too, only minutes later.
        assert_eq!(at_the_agent().await, said);
        assert_eq!(indexes().await, written, "{:?} into the quiet minute", began.elapsed());
        sleep(Duration::from_millis(500)).await;
    }
}
