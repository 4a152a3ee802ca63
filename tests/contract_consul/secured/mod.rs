//! The whole supervisor where everything is secured at once: TLS with certificates from the servers (auto_encrypt), a
//! gossip key, ACLs that deny, with the policies of consul-ecs 0.4.3; servers and agents with their ordinary gossip
//! timings. Each step prints what was seen and how long it took (`--nocapture`).
//!
//! Beside 1.8.7 a stub stands in for Envoy, see [`testbed::cluster::Backend::V187`]; the stand-in for Consul has no TLS.

mod entry;
mod life;
mod view;

pub(crate) use entry::{late_token, strangers};
pub(crate) use life::life;

use crate::backend::Backend;
use serde_json::json;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;
use testbed::cluster::{Cluster, ClusterPlan, MeshTask, TaskPlan};
use testbed::definitions::wrapped;
use testbed::skip::skip;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

/// Long enough for two busy cores; a step that needs it is broken.
const PATIENCE: Duration = Duration::from_secs(60);
const GLANCE: Duration = Duration::from_millis(50);
/// The service that the cluster's service token is for.
const SERVICE: &str = "api";

/// The clusters that the tests of one backend share while at least one of them runs.
static SHARED: [Mutex<Weak<Cluster>>; 3] = [const { Mutex::const_new(Weak::new()) }; 3];

async fn cluster(backend: Backend) -> Option<Arc<Cluster>> {
    let on = match backend.cluster() {
        Ok(on) => on,
        Err(why) => {
            skip(&why);
            return None;
        }
    };
    let mut slot = SHARED[backend as usize].lock().await;
    if let Some(cluster) = slot.upgrade() {
        return Some(cluster);
    }
    let mut plan = ClusterPlan::new(on).gossip_key().acl(SERVICE);
    if backend != Backend::StandIn {
        plan = plan.tls();
    }
    let cluster = Arc::new(plan.start().await.expect("cluster"));
    *slot = Arc::downgrade(&cluster);
    Some(cluster)
}

/// Prints the steps of one scenario.
struct Steps {
    title: String,
    began: Instant,
}

impl Steps {
    fn new(backend: Backend, name: &str) -> Self {
        Self { title: format!("secured, {backend:?}, {name}"), began: Instant::now() }
    }

    /// The step that began with the last one is done; gives how long it took.
    fn done(&mut self, step: &str, seen: impl std::fmt::Display) -> Duration {
        let took = self.began.elapsed();
        println!("{:<28} {step:<22} {:>6.2} s  {seen}", self.title, took.as_secs_f64());
        self.began = Instant::now();
        took
    }
}

/// Asks until the answer is as wanted: `wanted` gives `None` as long as it is not.
#[track_caller]
fn until<T, A>(
    what: &str,
    task: &MeshTask,
    mut ask: impl AsyncFnMut() -> A,
    wanted: impl Fn(&A) -> Option<T>,
) -> impl Future<Output = T>
where
    A: std::fmt::Debug,
{
    let caller = std::panic::Location::caller();
    async move {
        let began = Instant::now();
        loop {
            let answer = ask().await;
            if let Some(found) = wanted(&answer) {
                return found;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "{caller}: not {what}: {answer:#?}\n{}",
                task.last_lines(40)
            );
            sleep(GLANCE).await;
        }
    }
}

/// A task with all that the cluster asks for, as 0.4.3's task definitions give it; its app is healthy while
/// `dir/healthy` is there.
fn plan(cluster: &Cluster, name: &str, service: &str, dir: &Path) -> TaskPlan {
    let mut definition = wrapped(service, &[]);
    definition["containerDefinitions"][1]["healthCheck"] = json!({
        "command": ["CMD", "/usr/bin/test", "-e", dir.join("healthy")],
        "interval": 5, "timeout": 2, "retries": 2
    });
    let security = cluster.security().clone();
    let mut config = json!({
        "consul": {
            "dataDir": dir.join("consul-data"),
            "gossipKey": { "env": "CONSUL_GOSSIP_ENCRYPTION_KEY" },
            "acl": {},
            "agentToken": { "env": "AGENT_TOKEN" },
            "serviceToken": { "env": "CONSUL_HTTP_TOKEN" },
        },
        "healthSync": { "containers": ["app"] },
        // Time to lose the data before the next agent reads it.
        "restart": { "backoff": { "min": "1s" } },
    });
    if security.ca.is_some() {
        // PEM text under a name that Consul's own tools read as a path: it must not reach them.
        config["consul"]["tls"] = json!({ "ca": { "env": "CONSUL_CACERT" } });
    }
    TaskPlan::new(name, service, definition).config(config).platform(move |spec| {
        spec.time_scale = 20.0;
        // In a service ECS would stop the task as soon as it is unhealthy.
        spec.service = None;
        let tokens = security.tokens.expect("ACLs");
        let mut set = |name: &str, value: String| spec.env.insert(name.to_owned(), value);
        set("AGENT_TOKEN", tokens.agent);
        set("CONSUL_HTTP_TOKEN", tokens.service);
        set("CONSUL_GOSSIP_ENCRYPTION_KEY", security.gossip_key.expect("gossip key"));
        if let Some(ca) = security.ca {
            set("CONSUL_CACERT", std::fs::read_to_string(ca).expect("CA"));
        }
    })
}
