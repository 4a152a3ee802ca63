//! What Consul refuses as wrong is said in its words, and not tried for ever.

use crate::support::{LONG, Seen, cluster};
use serde_json::json;
use taskmesh::timeline::Event;
use testbed::cluster::TaskPlan;
use testbed::definitions::wrapped;
use testbed::faults::{Kind, Witness};

#[tokio::test]
async fn a_registration_that_consul_refuses_ends_the_start_with_consuls_words() {
    let Some(cluster) = cluster().await else { return };
    for (name, title, config, body, words) in [
        (
            "api-1",
            "Consul refuses the service's registration",
            json!({ "service": { "checks": [{ "name": "neither this nor that" }] } }),
            "registration of the service \"api\"",
            "TTL must be > 0",
        ),
        (
            "api-2",
            "Consul refuses the proxy's registration",
            json!({ "proxy": { "upstreams": [
                { "destinationName": "db", "localBindPort": 5432, "destinationPeer": "p", "datacenter": "d" }
            ] } }),
            "registration of the proxy \"api-sidecar-proxy\"",
            "both destination peer and datacenter",
        ),
    ] {
        let plan = TaskPlan::new(name, "api", wrapped("api", &[])).config(config);
        let mut fault = Witness::of(Kind::Registration, title);
        let task = cluster.task(plan).await.expect("task");
        let (result, timeline) = task.wait_stopped(LONG).await.expect("stopped");
        assert_eq!(result.container("taskmesh").expect("taskmesh").exit_code, Some(1), "{name}");
        let seen = Seen(timeline);
        seen.cause(Event::StopNoticed, "start-failed");
        seen.in_order(&[Event::AgentReady, Event::StopNoticed, Event::AgentLeft, Event::AllExited]);
        seen.has_no(Event::Registered);
        let lines = task.last_lines(usize::MAX);
        let last = lines.lines().rfind(|line| line.contains("gave up")).unwrap_or_default();
        let plain = last.replace('\\', "");
        assert!(plain.contains(body) && plain.contains(words), "{name}: {last}\n{lines}");
        fault.told("exit code 1; the last log line has Consul's own words");
        fault.ended("it does not at a start; a task that was registered is never stopped for it");
        // Tried a few times, said no more often than that.
        let said = lines.lines().filter(|line| line.contains("trying again")).count();
        assert!((1..=4).contains(&said), "{lines}");
    }
}
