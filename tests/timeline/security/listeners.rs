//! Every listener is on loopback, but those that others must reach.

use crate::support::{cluster, serving};
use std::collections::BTreeSet;
use testbed::cluster::TaskPlan;
use testbed::definitions::wrapped;
use testbed::net::listeners;

#[tokio::test]
async fn a_task_listens_where_it_must_and_nowhere_else() {
    let Some(cluster) = cluster().await else { return };
    if let Some(reason) = cluster.lan().loopback_reason() {
        return testbed::skip::skip(&format!("no network namespaces: {reason}"));
    }
    let task = serving(&cluster, TaskPlan::new("api-1", "api", wrapped("api", &[]))).await;
    let supervisor = task.ecs.container("taskmesh").expect("taskmesh");
    let all = listeners(&supervisor.pid().expect("it runs").to_string());
    let ip = task.ecs.host().ip();
    let must: BTreeSet<String> = [
        // For peers: Envoy's public listener, and the agent's gossip on the task's own address.
        "tcp 0.0.0.0:20000".to_owned(),
        format!("tcp {ip}:8301"),
        // For the task: the admin API, Envoy's, the agent's two.
        "tcp 127.0.0.1:19100".to_owned(),
        "tcp 127.0.0.1:19000".to_owned(),
        "tcp 127.0.0.1:8500".to_owned(),
        "tcp 127.0.0.1:8502".to_owned(),
        // The test's own: the app, and the task metadata.
        "tcp 0.0.0.0:9090".to_owned(),
        "tcp 169.254.170.2:80".to_owned(),
    ]
    .into();
    // A real agent's gossip also has datagrams.
    let may = BTreeSet::from([format!("udp {ip}:8301")]);
    let missing: Vec<_> = must.difference(&all).collect();
    let strange: Vec<_> = all.iter().filter(|a| !must.contains(*a) && !may.contains(*a)).collect();
    assert!(missing.is_empty() && strange.is_empty(), "missing {missing:?}, strange {strange:?}");
}
