//! Many tasks. Times are not tested here: `make bench-controller` measures them.

use crate::place::{place, until};
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn a_service_does_not_wait_for_the_rest_and_a_quiet_sweep_is_the_pages_alone() {
    let Some(place) = place(&["prod"]).await else { return };
    let gate = place.gate().await;
    gate.latency(Duration::from_millis(20));
    gate.fleet(|fleet| {
        for n in 0..1200 {
            fleet.run("prod", &format!("s{}", n % 60));
        }
    });
    let controller = place.controller_behind(&gate, json!({ "auditInterval": "10m" })).await;
    until("all have a token", &controller, async || place.tokens("Token for s").await.len() == 60)
        .await;
    let calls = gate.calls_after(0);
    let at = |name: &'static str| {
        calls.iter().filter(move |call| call.name == name).map(|call| call.arrived)
    };
    // A policy comes two writes after the page that names its service.
    let first = at("PUT acl/token").min().expect("a token");
    let last = at("DescribeTasks").max().expect("a page");
    assert!(first < last, "the first token comes while tasks are still being listed");
    assert_eq!(at("DescribeTasks").count(), 12, "each task is described once");

    // A later sweep: the first ones still read the policies that were made.
    let since = gate.count();
    let rounds = || {
        let calls = gate.calls_after(since);
        let begins = calls.iter().enumerate().filter(|(_, call)| call.name == "GET acl/policies");
        let begins: Vec<_> = begins.map(|(at, _)| at).collect();
        (calls, begins)
    };
    until("some sweeps", &controller, async || rounds().1.len() >= 5).await;
    let (calls, begins) = rounds();
    let mut sweep: Vec<_> =
        calls[begins[3]..begins[4]].iter().map(|call| call.name.as_str()).collect();
    sweep.sort_unstable();
    let mut expected = vec!["GET acl/policies", "GET acl/tokens"];
    expected.extend(["ListTasks"; 12]);
    assert_eq!(sweep, expected);
}
