//! Consul, AWS, a gate before both, and a controller.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use tokio::time::Instant;

use super::table::Quiet;
use crate::cluster::{Backend, Cluster};
use crate::gate::Gate;
use crate::moto::Moto;
use crate::net::Process;
use crate::vitals;

const CLUSTER: &str = "prod";
/// In-region calls of AWS.
const LATENCY: Duration = Duration::from_millis(20);

/// See the module's text.
pub(super) struct Site {
    process: Process,
    gate: Gate,
    began: Instant,
    // They end with it.
    _moto: Moto,
    _consul: Cluster,
}

impl Site {
    /// Starts all of it, with so many tasks of so many services.
    pub(super) async fn start(backend: Backend, tasks: usize, services: usize) -> Result<Self> {
        let (consul, tokens) = Cluster::start_with_acls(backend, "unrelated").await?;
        let hub = consul.lan().hub();
        let moto = Moto::start(hub).await?;
        let gate = Gate::start(hub, moto.url(), &format!("http://{}:8500", hub.ip())).await?;
        gate.latency(LATENCY);
        // As AWS publishes them.
        gate.limit(&["ListTasks", "DescribeTasks"], 20.0, 100.0);
        gate.limit(&["UpdateSecret", "PutSecretValue"], 50.0, 50.0);
        gate.limit(&["CreateSecret"], 50.0, 50.0);
        gate.fleet(|fleet| {
            for n in 0..tasks {
                fleet.run(CLUSTER, &format!("s{}", n % services));
            }
        });
        let config = json!({
            "controller": { "cluster": CLUSTER },
            "admin": { "listen": "127.0.0.1:0" },
            "consul": { "address": gate.consul(), "token": { "env": "TOKEN" } },
            "log": { "level": "warn" },
        });
        let spec = Moto::controller(&config, &tokens.management, gate.aws(), &[])?;
        let began = Instant::now();
        let process = hub.spawn_process(spec).await?;
        Ok(Self { process, gate, began, _moto: moto, _consul: consul })
    }

    /// When the controller was started.
    pub(super) fn began(&self) -> Instant {
        self.began
    }

    /// One more task.
    pub(super) fn run(&self, service: &str) {
        self.gate.fleet(|fleet| drop(fleet.run(CLUSTER, service)));
    }

    /// How many calls there were.
    pub(super) fn calls(&self) -> usize {
        self.gate.count()
    }

    /// When calls of a name were answered, without the first calls of all.
    pub(super) fn answered(&self, name: &str, first: usize) -> Vec<Instant> {
        let calls = self.gate.calls_after(first).into_iter();
        calls.filter(|call| call.name == name).filter_map(|call| call.answered).collect()
    }

    /// When calls of a name came, without the first calls of all.
    pub(super) fn arrived(&self, name: &str, first: usize) -> Vec<Instant> {
        let calls = self.gate.calls_after(first).into_iter();
        calls.filter(|call| call.name == name).map(|call| call.arrived).collect()
    }

    /// A round that had nothing to do; `None` if there was none yet. The round after one that made policies reads them once.
    pub(super) fn quiet_round(&self) -> Option<Quiet> {
        let calls = self.gate.calls_after(0);
        let begins = calls.iter().enumerate().filter(|(_, call)| call.name == "GET acl/policies");
        let begins: Vec<_> = begins.map(|(at, _)| at).collect();
        let mut undescribed = begins.windows(2).filter_map(|window| {
            let round = calls.get(window[0]..window[1])?;
            if round.iter().any(|call| call.name == "DescribeTasks") {
                return None;
            }
            let mut by_name = BTreeMap::new();
            for call in round {
                *by_name.entry(call.name.clone()).or_insert(0_usize) += 1;
            }
            let ends = round.iter().filter_map(|call| call.answered).max()?;
            Some(Quiet { calls: by_name, took: ends - round.first()?.arrived })
        });
        undescribed.nth(1)
    }

    /// The most memory that the controller has had, in KiB.
    pub(super) fn memory_kib(&self) -> Result<u64> {
        vitals::status(self.process.pid(), "VmHWM:").context("the controller has ended")
    }

    /// What the controller said last.
    pub(super) fn last_lines(&self) -> String {
        let lines = self.process.output().snapshot();
        let first = lines.len().saturating_sub(5);
        lines[first..].iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n")
    }
}
