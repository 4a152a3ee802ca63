//! Several controllers of one cluster, of which one leads.

use crate::place::{LONG, Place, place, said, until};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::time::Duration;
use testbed::gate::Gate;
use testbed::net::Process;
use tokio::time::Instant;

/// Consul frees the key 20 s after the last renewal; its delay is 1 s more, the rest is for two busy cores.
const AFTER_A_CRASH: Duration = Duration::from_secs(40);

/// So many services the controller works at at once, each with one call at a time.
const SIDE_BY_SIDE: usize = 16;

/// A controller that may lead, behind a gate that counts what it writes.
struct Replica {
    process: Process,
    gate: Gate,
    port: u16,
}

async fn replica(place: &Place, port: u16) -> Replica {
    let gate = place.gate().await;
    let options = json!({ "ha": true, "listen": format!("127.0.0.1:{port}") });
    let process = place.controller_behind(&gate, options).await;
    Replica { process, gate, port }
}

impl Replica {
    async fn until(&self, place: &Place, what: &str, so: impl AsyncFn(&Value) -> bool) {
        until(what, &self.process, async || match place.status_at(self.port).await {
            Some(status) => so(&status).await,
            None => false,
        })
        .await;
    }

    async fn until_leads(&self, place: &Place) {
        self.until(place, "it leads", async |status| status["leader"] == true).await;
    }

    /// Until it follows the other one.
    async fn until_follows(&self, place: &Place, other: &Self) {
        let whom = format!("process {} on ", other.process.pid());
        self.until(place, "it follows", async |status| {
            status["follows"].as_str().is_some_and(|name| name.starts_with(&whom))
        })
        .await;
    }
}

/// One that leads and has made a token, and one that follows it.
async fn pair(place: &Place) -> (Replica, Replica) {
    place.run("prod", "api", &[]).await;
    let first = replica(place, 19101).await;
    place.until_whole("api", &first.process).await;
    let second = replica(place, 19102).await;
    second.until_follows(place, &first).await;
    (first, second)
}

#[tokio::test]
async fn one_of_two_writes_and_a_clean_stop_hands_the_lead_over() {
    let Some(place) = place(&["prod"]).await else { return };
    let (first, second) = pair(&place).await;
    let status = place.status_at(second.port).await.expect("status");
    assert_eq!((&status["ready"], &status["leader"]), (&json!(true), &json!(false)), "{status}");
    place.run("prod", "web", &[]).await;
    place.until_whole("web", &first.process).await;
    assert_eq!(second.gate.writes(), 0, "{}", said(&second.process));

    assert!(first.process.signal(Signal::SIGTERM));
    let exit = tokio::time::timeout(LONG, first.process.wait()).await.expect("in time");
    assert_eq!(exit.code(), 0);
    let ended = Instant::now();
    second.until_leads(&place).await;
    // In fact milliseconds; without a farewell it would be 20 s.
    assert!(ended.elapsed() < Duration::from_secs(10), "{:?}", ended.elapsed());
    place.run("prod", "api-2", &[]).await;
    place.until_whole("api-2", &second.process).await;
    assert_eq!(place.tokens("Token for").await.len(), 3);
}

#[tokio::test]
async fn a_leader_that_is_killed_is_followed() {
    let Some(place) = place(&["prod"]).await else { return };
    let (first, second) = pair(&place).await;
    first.process.kill();
    first.process.wait().await;
    let ended = Instant::now();
    place.run("prod", "web", &[]).await;
    second.until_leads(&place).await;
    assert!(ended.elapsed() < AFTER_A_CRASH, "{:?}", ended.elapsed());
    place.until_whole("web", &second.process).await;
}

#[tokio::test]
async fn a_leader_that_was_frozen_writes_nothing_after_it_thaws() {
    let Some(place) = place(&["prod"]).await else { return };
    let (first, second) = pair(&place).await;
    // It is frozen in the midst of its work, with each of its hands waiting for an answer: so there is no call that was
    // let go and has not left the process yet.
    first.gate.delay("CreateSecret", Duration::from_secs(6));
    let services: Vec<_> = (0..40).map(|n| format!("s{n}")).collect();
    for gate in [&first.gate, &second.gate] {
        gate.fleet(|fleet| {
            drop(fleet.run("prod", "api"));
            services.iter().for_each(|name| drop(fleet.run("prod", name)));
        });
    }
    let waits = async || first.gate.under_way("CreateSecret") == SIDE_BY_SIDE;
    until("each hand waits", &first.process, waits).await;
    // It is told late that it has lost the lead: only its own clock can keep it from writing until then.
    first.gate.keep_answers(Some("GET kv"));
    first.gate.delay("PUT session/renew", Duration::from_millis(1500));
    assert!(first.process.signal(Signal::SIGSTOP));
    let frozen = first.gate.writes();

    second.until_leads(&place).await;
    for name in &services {
        place.until_whole(name, &second.process).await;
    }
    assert!(first.process.signal(Signal::SIGCONT));
    first.until(&place, "it does not lead", async |status| status["leader"] == false).await;
    first.gate.keep_answers(None);
    first.until_follows(&place, &second).await;
    second.gate.fleet(|fleet| drop(fleet.run("prod", "web")));
    place.until_whole("web", &second.process).await;
    assert_eq!(first.gate.writes(), frozen, "{}", said(&first.process));
    assert_eq!(place.tokens("Token for s").await.len(), services.len());
}
