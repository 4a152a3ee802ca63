//! What happens between the controller and what it talks to.

use crate::place::{Place, place, said, until};
use nix::sys::signal::Signal;
use serde_json::json;
use std::time::Duration;
use testbed::gate::Edge;
use testbed::net::Process;

/// Waits until these services are whole, with one token each.
async fn until_all(place: &Place, services: &[String], controller: &Process) {
    for name in services {
        place.until_whole(name, controller).await;
        until(&format!("{name} has one token"), controller, async || {
            place.tokens(&format!("Token for {name} service")).await.len() == 1
        })
        .await;
    }
}

#[tokio::test]
async fn a_controller_that_is_killed_at_each_of_its_writes_leaves_no_orphan() {
    let Some(place) = place(&["prod"]).await else { return };
    let gate = place.gate().await;
    let mut all = Vec::new();
    let mut killed_at = Vec::new();
    for n in 1.. {
        let mut reached = false;
        for edge in [Edge::Before, Edge::After] {
            let services = [1, 2].map(|m| format!("s{n}-{edge:?}-{m}").to_lowercase());
            gate.fleet(|fleet| {
                for name in &services {
                    fleet.run("prod", name);
                }
            });
            let held = gate.hold(n, edge);
            let controller = place.controller_behind(&gate, json!({})).await;
            tokio::select! {
                name = held => {
                    reached = true;
                    killed_at.push(name.expect("a name"));
                    controller.kill();
                    controller.wait().await;
                }
                () = until_all(&place, &services, &controller) => {}
            }
            drop(controller);
            let controller = place.controller_behind(&gate, json!({})).await;
            until_all(&place, &services, &controller).await;
            all.extend(services);
        }
        if !reached {
            break;
        }
    }
    // Two services have three writes each; what two more were about to do is the scenario, too.
    assert!(killed_at.len() >= 12, "{killed_at:?}");
    for call in ["CreateSecret", "PUT acl/policy", "PUT acl/token"] {
        assert!(killed_at.iter().any(|name| name == call), "{call}: {killed_at:?}");
    }
    assert_eq!(place.tokens("Token for s").await.len(), all.len());
    assert_eq!(place.tokens("ECS Consul client Token").await.len(), 1);
    let policies = place.policies().await;
    assert_eq!(policies.keys().filter(|name| name.ends_with("-service")).count(), all.len());
}

#[tokio::test]
async fn writes_whose_answer_is_lost_are_found_done_or_made_again() {
    let Some(place) = place(&["prod"]).await else { return };
    let gate = place.gate().await;
    let controller = place.controller_behind(&gate, json!({})).await;
    let mut all = Vec::new();
    for edge in [Edge::Before, Edge::After] {
        gate.cut(Some((3, edge)));
        let services: Vec<_> = (0..6).map(|n| format!("s{n}-{edge:?}").to_lowercase()).collect();
        gate.fleet(|fleet| services.iter().for_each(|name| drop(fleet.run("prod", name))));
        until_all(&place, &services, &controller).await;
        all.extend(services);
    }
    assert_eq!(place.tokens("Token for s").await.len(), all.len());
}

#[tokio::test]
async fn a_right_that_the_token_lacks_is_named_at_once() {
    let Some(place) = place(&["prod"]).await else { return };
    const TOKEN: &str = "00000000-0000-4000-8000-0000000000aa";
    let policy = json!({ "Name": "reads", "Rules": "acl = \"read\"" });
    place.consul.server_put("/v1/acl/policy", policy).await.expect("policy");
    let token = json!({ "SecretID": TOKEN, "Policies": [{ "Name": "reads" }] });
    place.consul.server_put("/v1/acl/token", token).await.expect("token");
    for (port, ha, words) in [(19101, false, "acl:write"), (19102, true, "session:write")] {
        let options = json!({ "token": TOKEN, "ha": ha, "listen": format!("127.0.0.1:{port}") });
        let controller = place.controller("prod", options).await;
        until(words, &controller, async || {
            let Some(status) = place.status_at(port).await else { return false };
            status["ready"] == false
                && status["problems"].as_array().is_some_and(|problems| {
                    let mut whys = problems.iter().filter_map(|p| p["why"].as_str());
                    whys.any(|why| why.contains("Permission denied") && why.contains(words))
                })
        })
        .await;
    }
}

#[tokio::test]
async fn aws_that_says_too_often_is_asked_less_often_and_every_token_arrives() {
    let Some(place) = place(&["prod"]).await else { return };
    let gate = place.gate().await;
    gate.limit(&["CreateSecret", "UpdateSecret"], 10.0, 5.0);
    gate.limit(&["ListTasks", "DescribeTasks"], 5.0, 2.0);
    let services: Vec<_> = (0..30).map(|n| format!("s{n}")).collect();
    gate.fleet(|fleet| {
        for name in services.iter().cycle().take(300) {
            fleet.run("prod", name);
        }
    });
    let listen = json!({ "listen": "127.0.0.1:19101" });
    let controller = place.controller_behind(&gate, listen).await;
    until_all(&place, &services, &controller).await;
    let (_, metrics) = place.asked("/metrics").await.expect("metrics");
    let told = |call: &str| {
        let line = format!("errors_total{{error=\"{call}: ThrottlingException\"}}");
        metrics.lines().any(|l| l.contains(&line))
    };
    assert!(told("CreateSecret"), "{metrics}");
    assert!(gate.refused() > 0);
    assert!(controller.signal(Signal::SIGTERM));
    controller.wait().await;
    assert!(!said(&controller).contains("panicked"));
}

#[tokio::test]
async fn two_controllers_without_a_lead_converge_to_one_token_for_each_service() {
    let Some(place) = place(&["prod"]).await else { return };
    let gate = place.gate().await;
    // Each sees what the other has not done yet.
    gate.latency(Duration::from_millis(20));
    let services: Vec<_> = (0..20).map(|n| format!("s{n}")).collect();
    gate.fleet(|fleet| services.iter().for_each(|name| drop(fleet.run("prod", name))));
    let one = place.controller_behind(&gate, json!({})).await;
    let two = place.controller_behind(&gate, json!({})).await;
    until_all(&place, &services, &one).await;
    // Both have seen that it is whole, and what was too much is gone.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(place.tokens("Token for s").await.len(), 20, "{}\n{}", said(&one), said(&two));
    let settled = gate.writes();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(gate.writes(), settled, "nobody undoes what the other has done");
}
