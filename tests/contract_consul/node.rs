//! The agent's node: leaving, and coming back.

use crate::bench::{Agent, Bench, PATIENCE, PROMPT};
use nix::sys::signal::Signal;
use serde_json::json;
use std::time::Duration;
use taskmesh::consul::{AgentSecrets, node_name};
use testbed::net::Exit;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// An agent that has found its servers looks through its state once more within this time (`serverUpIntv` in Consul's
/// `agent/ae/ae.go`), then not for a minute. One that is leaving puts itself back into the catalog by it, until the
/// servers' leader looks for such nodes, each minute: why taskmesh deregisters before it leaves.
const LAST_LOOK: Duration = Duration::from_secs(3);

pub(crate) async fn leaves(bench: Bench) {
    // Alone with its server: among agents that died, as other tests leave them, 1.8.7's news of a leave may miss it.
    bench.start_server(json!({})).await;
    let agent = bench.join().await;
    let joined = Instant::now();
    bench.register(&agent).await;
    bench.until_shown("there", |entry| entry.is_some()).await;
    let name = node_name(&bench.cfg, &bench.task);
    assert!(bench.node_in_catalog(&name).await);
    sleep_until(joined + LAST_LOOK + Duration::from_millis(500)).await;

    let told = Instant::now();
    assert!(agent.process.signal(Signal::SIGTERM));
    let exit = timeout(PATIENCE, agent.process.wait()).await.expect("leaves");
    assert_eq!(exit, Exit::Code(0), "{:#?}", agent.lines());
    let took = told.elapsed();
    // It waits until the others have heard of it; past 15 s it gives up and exits with 1.
    assert!(took >= Duration::from_secs(3) && took < Duration::from_secs(15), "{took:?}");
    // Its exit does not wait for the servers' leader to have written it down.
    let exited = Instant::now();
    while bench.node_in_catalog(&name).await {
        assert!(exited.elapsed() < PROMPT, "still there: {:#?}", agent.lines());
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(bench.shown().await, None);
}

impl Bench {
    /// Loses the agent and its data, then starts it again and registers with another port, by which the servers'
    /// view is told from the old one.
    async fn lose_and_start(&mut self, agent: Agent) -> (Agent, u16) {
        agent.process.kill();
        timeout(PATIENCE, agent.process.wait()).await.expect("killed");
        std::fs::remove_dir_all(&self.cfg.consul.data_dir).expect("data folder");
        self.cfg.proxy.public_listener_port += 1;
        let agent = self.start_agent(&AgentSecrets::default()).await;
        agent.joined().await;
        self.register(&agent).await;
        (agent, self.cfg.proxy.public_listener_port)
    }
}

pub(crate) async fn comes_back(mut bench: Bench) {
    let agent = bench.join().await;
    bench.register(&agent).await;
    bench.until_shown("there", |entry| entry.is_some()).await;

    let (agent, second) = bench.lose_and_start(agent).await;
    let took =
        bench.until_shown("back", |entry| entry.is_some_and(|e| e.service.port == second)).await;
    assert!(took < PROMPT, "{took:?}");

    // Another task that claims the name: the agent joins, and none of its registrations reach the servers.
    let ours = bench.task.task_id.clone();
    bench.cfg.consul.node_name = Some(node_name(&bench.cfg, &bench.task));
    bench.task.task_id = "f".repeat(32);
    let ids = bench.ids.clone();
    let (agent, _) = bench.lose_and_start(agent).await;
    let refused = agent.process.output().wait_for(|line| line.text.contains("is reserved by node"));
    timeout(PATIENCE, refused).await.expect("refused, and says so").expect("a line");
    assert_eq!(bench.ids, ids);
    assert_eq!(bench.shown().await.map(|entry| entry.service.port), Some(second));

    bench.task.task_id = ours;
    let (_agent, last) = bench.lose_and_start(agent).await;
    bench.until_shown("back again", |entry| entry.is_some_and(|e| e.service.port == last)).await;
}
