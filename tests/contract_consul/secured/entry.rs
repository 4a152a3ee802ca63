//! Who is let in: nobody without the key, the authority and a token that the servers know.

use super::{PATIENCE, SERVICE, Steps, cluster, plan, until};
use crate::backend::Backend;
use serde_json::{Value, json};
use taskmesh::timeline::Event;
use testbed::mesh::Token;
use testbed::seen::{Seen, assert_stopped};

/// Who has not the key, or another authority, is not let in; and the supervisor says what it waits for.
pub(crate) async fn strangers(backend: Backend) {
    let mut steps = Steps::new(backend, "strangers");
    let Some(cluster) = cluster(backend).await else { return };
    steps.done("cluster", cluster.backend().name());
    let dir = tempfile::tempdir().expect("dir");
    // The agent's own words.
    let no_key = match backend {
        Backend::StandIn => "the gossip keys differ",
        _ => "encryption is not configured",
    };
    let mut cases = vec![("no-key", json!({ "gossipKey": null }), no_key, "consul servers")];
    let other_ca = dir.path().join("other-ca.pem");
    if cluster.security().ca.is_some() {
        let key = rcgen::KeyPair::generate().expect("key");
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("certificate").pem();
        std::fs::write(&other_ca, pem).expect("file");
        let tls = json!({ "tls": { "ca": { "file": other_ca, "env": null } } });
        cases.push(("other-ca", tls, "certificate signed by unknown authority", "consul agent"));
    }
    let mut tasks = Vec::new();
    for (name, change, said, latch) in cases {
        let folder = dir.path().join(name);
        std::fs::create_dir(&folder).expect("dir");
        let plan = plan(&cluster, name, SERVICE, &folder).config(json!({ "consul": change }));
        tasks.push((name, cluster.task(plan).await.expect("task"), said, latch));
    }
    for (name, task, said, latch) in &tasks {
        let lines = async || task.last_lines(usize::MAX);
        // Refused more than once: it is not just slow.
        let refused = |lines: &String| (lines.matches(said).count() >= 2).then_some(());
        until("refused", task, lines, refused).await;
        let ready = async || task.admin("/ready").await.unwrap_or_default();
        let waits = |ready: &Value| {
            let pending = ready["pending"].as_array()?;
            pending.iter().find(|pending| pending["latch"] == *latch).cloned()
        };
        let pending = until("pending", task, ready, waits).await;
        let members = cluster.server_get("/v1/agent/members").await.expect("members");
        assert!(!members.to_string().contains(task.ecs.id()), "{members:#}");
        let nodes = cluster.server_get("/v1/catalog/nodes").await.expect("nodes");
        assert!(!nodes.to_string().contains(task.ecs.id()), "{nodes:#}");
        steps.done(name, pending);
        task.ecs.stop();
    }
    for (name, task, ..) in &tasks {
        let (result, timeline) = task.wait_stopped(PATIENCE).await.expect("stopped");
        let seen = Seen(timeline);
        seen.has_no(Event::Registered);
        seen.in_order(&[Event::StopNoticed, Event::AgentLeft, Event::AllExited]);
        assert_eq!(result.container("taskmesh").expect("taskmesh").exit_code, Some(0));
        steps.done(&format!("{name}: stop"), "exit code 0");
    }
}

/// The service's token is not made yet: 0.4.3's controller needs up to 10 s for a new service.
pub(crate) async fn late_token(backend: Backend) {
    const LATE: &str = "late";
    const TOKEN: &str = "00000000-0000-4000-8000-00000000001a";
    let mut steps = Steps::new(backend, "late token");
    let Some(cluster) = cluster(backend).await else { return };
    steps.done("cluster", cluster.backend().name());
    let dir = tempfile::tempdir().expect("dir");
    std::fs::write(dir.path().join("healthy"), "").expect("file");
    let token = dir.path().join("token");
    std::fs::write(&token, TOKEN).expect("file");
    let plan = plan(&cluster, "late", LATE, dir.path()).config(json!({ "consul": {
        "serviceToken": { "file": token, "env": null },
        // An agent believes for this long that a token is unknown; 30 s if not told otherwise.
        "extraConfig": r#"{ "acl": { "token_ttl": "2s" } }"#,
    }}));
    let task = cluster.task(plan).await.expect("task");
    let ready = async || task.admin("/ready").await.unwrap_or_default();
    let refused = |ready: &Value| {
        let pending = ready["pending"].as_array()?;
        let waits = |latch: &str| pending.iter().find(|pending| pending["latch"] == latch);
        let registration = waits("registration")?["reason"].as_str()?;
        // Before the join a 403 says nothing of the token.
        let known = waits("consul servers").is_none() && registration.contains("403");
        known.then(|| registration.to_owned())
    };
    let reason = until("refused", &task, ready, refused).await;
    Seen(task.timeline().await.expect("timeline")).has_no(Event::Registered);
    steps.done("refused", reason);
    cluster.make_token("late", Token::service(TOKEN, LATE)).await.expect("token");
    task.wait_event(Event::Registered, PATIENCE).await.expect("registered");
    steps.done("token made", "registered by itself");
    task.wait_event(Event::Offered, PATIENCE).await.expect("offered");
    let offered = async || cluster.offered(LATE).await.expect("server");
    until("offered", &task, offered, |found| found.iter().any(|(_, bad)| !bad).then_some(())).await;
    steps.done("offered", "by the servers");
    task.ecs.stop();
    let (result, timeline) = task.wait_stopped(PATIENCE).await.expect("stopped");
    assert_stopped(&Seen(timeline));
    assert_eq!(result.container("taskmesh").expect("taskmesh").exit_code, Some(0));
    steps.done("stop", "exit code 0");
}
