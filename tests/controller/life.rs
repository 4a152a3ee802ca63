//! From the first task of a service to its last.

use crate::place::{LONG, REGION, place, said, until, writes};
use nix::sys::signal::Signal;
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn a_service_gets_its_token_and_a_second_controller_writes_nothing() {
    let Some(place) = place(&["prod"]).await else { return };
    place.run("prod", "api", &[]).await;
    place.run("prod", "web", &[("consul.hashicorp.com/service-name", "shop")]).await;
    // Not on the mesh.
    place.moto.run_task(REGION, "prod", "web", &[]).await.expect("task");

    let plan = place.dry_run("prod").await;
    for change in [
        "create secret mesh-api",
        "create policy shop-service",
        "create policy mesh-consul-client-policy",
    ] {
        assert!(plan.contains(change), "{change}: {plan}");
    }
    assert!(plan.contains("9 changes would be made"), "{plan}");
    assert!(place.tokens("Token for").await.is_empty(), "nothing is changed by it");

    let listen = json!({ "listen": "127.0.0.1:19101" });
    let controller = place.controller("prod", listen).await;
    place.until_whole("api", &controller).await;
    place.until_whole("shop", &controller).await;
    until("it is ready", &controller, async || {
        place.asked("/ready").await.is_some_and(|(code, _)| code == 200)
    })
    .await;
    let (_, metrics) = place.asked("/metrics").await.expect("metrics");
    for line in ["tasks 3", "services 2", "changes_total{kind=\"create-token\"} 3", "problems 0"] {
        let line = format!("taskmesh_controller_{line}");
        assert!(metrics.lines().any(|l| l == line), "{line}: {metrics}");
    }
    until("the clients' token", &controller, async || {
        place.tokens("ECS Consul client Token").await.len() == 1
    })
    .await;
    assert!(!place.is_whole("web").await);
    // A task that comes later.
    place.run("prod", "web", &[]).await;
    place.until_whole("web", &controller).await;
    assert_eq!(writes(&controller).len(), 12, "{}", said(&controller));
    assert!(controller.signal(Signal::SIGTERM));
    let exit = tokio::time::timeout(LONG, controller.wait()).await.expect("in time");
    assert_eq!(exit.code(), 0);

    // No token is in its log.
    let pair = place.moto.secret(REGION, "mesh-api").await.expect("moto").expect("secret");
    assert!(!said(&controller).contains(pair["token"].as_str().expect("token")));

    let plan = place.dry_run("prod").await;
    assert!(plan.contains("0 changes would be made"), "{plan}");
    let second = place.controller("prod", json!({})).await;
    // Some rounds, and some audits.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(writes(&second), Vec::<String>::new(), "{}", said(&second));
}

#[tokio::test]
async fn a_service_without_tasks_loses_its_token_after_a_while_and_gets_the_same_one_again() {
    let Some(place) = place(&["prod"]).await else { return };
    let task = place.run("prod", "api", &[]).await;
    let controller = place.controller("prod", json!({})).await;
    place.until_whole("api", &controller).await;
    let pair = place.moto.secret(REGION, "mesh-api").await.expect("moto").expect("secret");

    place.moto.stop_task(REGION, "prod", &task).await.expect("stop");
    place.until_gone("api", &controller).await;
    let kept = place.moto.secret(REGION, "mesh-api").await.expect("moto");
    assert_eq!(kept.as_ref(), Some(&pair), "the secret is kept");
    let task = place.run("prod", "api", &[]).await;
    place.until_whole("api", &controller).await;
    let again = place.moto.secret(REGION, "mesh-api").await.expect("moto");
    assert_eq!(again.as_ref(), Some(&pair), "its ids are used again");

    // What an earlier controller has left of a service is found without any task of it.
    drop(controller);
    place.moto.stop_task(REGION, "prod", &task).await.expect("stop");
    assert!(place.is_whole("api").await);
    let controller = place.controller("prod", json!({})).await;
    place.until_gone("api", &controller).await;
}

#[tokio::test]
async fn clusters_and_services_whose_names_contain_each_other_are_left_alone() {
    let Some(place) = place(&["prod", "prod-2"]).await else { return };
    let first = place.run("prod", "api", &[]).await;
    place.run("prod-2", "api-2", &[]).await;
    let one = place.controller("prod", json!({})).await;
    let two = place.controller("prod-2", json!({ "secretNamePrefix": "mesh" })).await;
    place.until_whole("api", &one).await;
    place.until_whole("api-2", &two).await;
    // 0.4.3's controller of `prod` would take the tokens of `prod-2` for its own, without tasks.
    place.moto.stop_task(REGION, "prod", &first).await.expect("stop");
    place.until_gone("api", &one).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(place.is_whole("api-2").await, "{}\n{}", said(&one), said(&two));
    let deleted = writes(&one).into_iter().filter(|w| w.contains("api-2")).collect::<Vec<_>>();
    assert_eq!(deleted, Vec::<String>::new());
}

#[tokio::test]
async fn a_controller_that_is_killed_again_and_again_leaves_no_orphan() {
    let Some(place) = place(&["prod"]).await else { return };
    for n in 0..12 {
        let name = format!("s{n}");
        place.run("prod", "api", &[("consul.hashicorp.com/service-name", &name)]).await;
    }
    // Whatever has been done by then is the scenario.
    for ms in [60, 120, 180, 240, 300, 360, 420, 480] {
        let controller = place.controller("prod", json!({})).await;
        tokio::time::sleep(Duration::from_millis(ms)).await;
        controller.kill();
        controller.wait().await;
    }
    let controller = place.controller("prod", json!({})).await;
    for n in 0..12 {
        place.until_whole(&format!("s{n}"), &controller).await;
    }
    assert_eq!(place.tokens("Token for s").await.len(), 12);
}

#[tokio::test]
async fn a_consul_that_is_away_is_named_and_afterwards_it_goes_on() {
    let Some(mut place) = place(&["prod"]).await else { return };
    let listen = json!({ "listen": "127.0.0.1:19101" });
    let controller = place.controller("prod", listen).await;
    until("it is ready", &controller, async || {
        place.asked("/ready").await.is_some_and(|(code, _)| code == 200)
    })
    .await;
    place.consul.kill_server().await;
    place.run("prod", "api", &[]).await;
    until("it is named", &controller, async || {
        let Some((_, status)) = place.asked("/v1/status").await else { return false };
        let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
        let problem = &status["problems"][0];
        problem["what"] == "rounds" && problem["why"].as_str().is_some_and(|w| w.contains("acl/"))
    })
    .await;
    // Some rounds, of which each fails.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let lines = said(&controller).matches("a round broke off").count();
    assert!((1..=3).contains(&lines), "{}", said(&controller));
    place.consul.restart_server().await.expect("server");
    place.until_whole("api", &controller).await;
}
