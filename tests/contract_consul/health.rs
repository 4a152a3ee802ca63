//! How an instance is offered to its peers, and withdrawn.

use crate::bench::{Agent, Bench, PROMPT};
use std::time::Duration;
use taskmesh::consul::{
    CheckDefinition, CheckStatus, HealthEntry, HealthQuery, listener_check, maintenance_check_id,
};
use tokio::time::{Instant, sleep};

impl Bench {
    /// The listener's check as taskmesh registers it when the listener is open; its first look at the port, which is
    /// closed here, is put off until after the test.
    pub(crate) fn passing_listener_check(&self) -> CheckDefinition {
        let check = listener_check(&self.ids, self.cfg.proxy.public_listener_port)
            .of_service(&self.ids.proxy, &self.cfg.service)
            .started_as(CheckStatus::Passing);
        CheckDefinition { interval: "1h".to_owned(), ..check }
    }

    /// Registers, and makes the servers offer the proxy.
    async fn offer(&self, agent: &Agent) {
        self.register(agent).await;
        let (check, listener) = (self.ids.check("app"), self.ids.listener_check());
        agent.client.update_check(&check, CheckStatus::Passing, "well").await.expect("update");
        agent.client.deregister_check(&listener).await.expect("deregistration");
        agent.client.register_check(&self.passing_listener_check()).await.expect("check");
        self.until_shown("offered", |entry| entry.is_some_and(|e| !e.is_critical())).await;
    }
}

async fn status(agent: &Agent, check: &str) -> CheckStatus {
    agent.client.checks().await.expect("checks")[check].status
}

pub(crate) async fn ttl_check(mut bench: Bench) {
    let ttl = Duration::from_secs(3);
    bench.cfg.health_sync.ttl = ttl;
    let agent = bench.join().await;
    bench.register(&agent).await;
    let check = bench.ids.check("app");
    let missing = agent.client.update_check("other", CheckStatus::Passing, "").await;
    assert!(missing.as_ref().is_err_and(|e| e.is_not_found()), "{missing:?}");
    assert_eq!(status(&agent, &check).await, CheckStatus::Critical);

    for wanted in [CheckStatus::Warning, CheckStatus::Passing] {
        agent.client.update_check(&check, wanted, "app says so").await.expect("update");
        let found = agent.client.checks().await.expect("checks").remove(&check).expect("is there");
        assert_eq!(found.status, wanted);
        assert!(found.output.contains("app says so"), "{found:?}");
    }
    // An update starts its time again.
    sleep(ttl * 3 / 4).await;
    let updated = Instant::now();
    agent.client.update_check(&check, CheckStatus::Passing, "app says so").await.expect("update");
    sleep(ttl / 2).await;
    assert_eq!(status(&agent, &check).await, CheckStatus::Passing);
    while status(&agent, &check).await == CheckStatus::Passing {
        assert!(updated.elapsed() < 2 * ttl, "does not expire");
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(status(&agent, &check).await, CheckStatus::Critical);
    assert!(updated.elapsed() >= ttl, "expired after {:?}", updated.elapsed());
    // It is a check like another: an update brings it back.
    agent.client.update_check(&check, CheckStatus::Passing, "well").await.expect("update");
    assert_eq!(status(&agent, &check).await, CheckStatus::Passing);
}

pub(crate) async fn offered_at_once(bench: Bench) {
    let agent = bench.join().await;
    let own = &agent.client;
    bench.register(&agent).await;
    let (check, listener) = (bench.ids.check("app"), bench.ids.listener_check());
    own.update_check(&check, CheckStatus::Passing, "well").await.expect("update");
    // The alias follows the service; the port is closed.
    let only_listener = |entry: &HealthEntry| {
        let critical = entry.checks.iter().filter(|check| check.status == CheckStatus::Critical);
        critical.map(|check| check.check_id.as_str()).eq([listener.as_str()])
    };
    bench.until_shown("critical by its listener only", |e| e.is_some_and(&only_listener)).await;

    own.deregister_check(&listener).await.expect("deregistration");
    own.register_check(&bench.passing_listener_check()).await.expect("check");
    let offered = |entry: Option<&HealthEntry>| {
        let has_listener =
            |e: &HealthEntry| e.checks.iter().any(|check| check.check_id == listener);
        entry.is_some_and(|e| !e.is_critical() && has_listener(e))
    };
    let took = bench.until_shown("offered", offered).await;
    assert!(took < PROMPT, "{took:?}");

    // A warning instance is routed to, yet whoever asks for passing ones does not see it.
    own.update_check(&check, CheckStatus::Warning, "so so").await.expect("update");
    let warning = |entry: Option<&HealthEntry>| {
        let any = |e: &HealthEntry| e.checks.iter().any(|c| c.status == CheckStatus::Warning);
        entry.is_some_and(|e| !e.is_critical() && any(e))
    };
    bench.until_shown("warning", warning).await;
    let passing = HealthQuery { consistent: true, passing: true, ..HealthQuery::default() };
    let answer = own.health_connect(&bench.ids.name, passing).await.expect("health_connect");
    assert_eq!(answer.value, []);
}

pub(crate) async fn maintenance_wakes(bench: Bench) {
    let agent = bench.join().await;
    let own = &agent.client;
    bench.offer(&agent).await;
    let name = &bench.ids.name;

    // Asked until nothing changes any more: then the next answer can only come from what is done next.
    let mut query = HealthQuery { consistent: true, ..HealthQuery::default() };
    query.wait = Some(Duration::from_millis(500));
    loop {
        let answer = own.health_connect(name, query).await.expect("health_connect");
        assert!(answer.index > 0 && answer.value.len() == 1, "{answer:#?}");
        let index = answer.next_index(query.index);
        if index == query.index {
            assert!(!answer.value[0].is_critical());
            break;
        }
        query.index = index;
    }

    query.wait = Some(Duration::from_secs(30));
    let changes = async {
        sleep(Duration::from_millis(200)).await;
        let began = Instant::now();
        let (service, proxy) = tokio::join!(
            own.service_maintenance(&bench.ids.service, true, "stopping"),
            own.service_maintenance(&bench.ids.proxy, true, "stopping"),
        );
        service.expect("the service's maintenance");
        proxy.expect("the proxy's maintenance");
        began
    };
    let blocked = async {
        let answer = own.health_connect(name, query).await.expect("health_connect");
        (answer, Instant::now())
    };
    let ((answer, woken), began) = tokio::join!(blocked, changes);
    assert!(woken >= began, "answered before anything changed: {answer:#?}");
    assert!(woken - began < PROMPT, "woke after {:?}", woken - began);
    let ours = answer.value.iter().find(|entry| entry.service.id == bench.ids.proxy);
    assert!(ours.is_some_and(HealthEntry::is_critical), "{answer:#?}");
    assert!(answer.index > query.index);

    let maintenance = maintenance_check_id(&bench.ids.proxy);
    let checks = own.checks().await.expect("checks");
    let found = &checks[&maintenance];
    assert_eq!((found.status, &found.service_id), (CheckStatus::Critical, &bench.ids.proxy));
    let shown = |entry: Option<&HealthEntry>| {
        entry.is_some_and(|e| e.checks.iter().any(|check| check.check_id == maintenance))
    };
    bench.until_shown("in maintenance", shown).await;
    for id in [&bench.ids.service, &bench.ids.proxy] {
        own.service_maintenance(id, false, "").await.expect("end of maintenance");
    }
    bench.until_shown("offered again", |entry| entry.is_some_and(|e| !e.is_critical())).await;
}
