//! A mesh that allows nothing without a token.

use crate::support::{
    LONG, Seen, assert_started, assert_stopped, problem, serving, until, until_offered, until_ready,
};
use nix::sys::signal::Signal;
use serde_json::json;
use taskmesh::timeline::Event;
use testbed::cluster::{Backend, Cluster, TaskPlan};
use testbed::definitions::wrapped;
use testbed::faults::{Kind, Witness};

#[tokio::test]
async fn the_two_tokens_of_a_task_are_enough_from_t0_to_t3() {
    if let Err(missing) = testbed::parts::envoy() {
        return testbed::skip::skip(&missing.to_string());
    }
    let backend = Backend::best().expect("CONSUL_BIN");
    let (cluster, tokens) = Cluster::start_with_acls(backend, "api").await.expect("cluster");
    let dir = tempfile::tempdir().expect("dir");
    // One from a file, one from the environment: both ways are supported.
    let agent_token = dir.path().join("agent-token");
    std::fs::write(&agent_token, format!("{}\n", tokens.agent)).expect("file");
    let service = tokens.service.clone();
    let plan = TaskPlan::new("api-1", "api", wrapped("api", &[]))
        .config(json!({ "consul": {
            "acl": {},
            "agentToken": { "file": agent_token },
            "serviceToken": { "env": "CONSUL_HTTP_TOKEN" }
        }}))
        .platform(move |spec| {
            spec.env.insert("CONSUL_HTTP_TOKEN".to_owned(), service);
        });
    let task = cluster.task(plan).await.expect("task");
    task.wait_event(Event::Offered, LONG).await.expect("offered");

    // Nobody else in the task can read a token: not on a command line, not in a log, not in a wide file.
    let supervisor = task.ecs.container("taskmesh").expect("taskmesh");
    for process in supervisor.processes() {
        let line = std::fs::read(format!("/proc/{}/cmdline", process.pid)).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        assert!(!line.contains(&tokens.service) && !line.contains(&tokens.agent), "{line}");
    }
    let log = task.last_lines(usize::MAX);
    assert!(!log.contains(&tokens.service) && !log.contains(&tokens.agent));

    task.ecs.stop();
    let (result, timeline) = task.wait_stopped(LONG).await.expect("stopped");
    let seen = Seen(timeline);
    assert_started(&seen);
    assert_stopped(&seen);
    seen.cause(Event::PeersUpdated, "confirmed");
    assert_eq!(result.container("taskmesh").expect("taskmesh").exit_code, Some(0));
}

#[tokio::test]
async fn a_token_without_the_right_is_named_and_waited_for() {
    if let Err(missing) = testbed::parts::envoy() {
        return testbed::skip::skip(&missing.to_string());
    }
    let backend = Backend::best().expect("CONSUL_BIN");
    // The token is for another service.
    let (cluster, tokens) = Cluster::start_with_acls(backend, "other").await.expect("cluster");
    let plan = TaskPlan::new("api-1", "api", wrapped("api", &[]))
        .config(json!({ "consul": {
            "acl": {},
            "agentToken": { "env": "AGENT_TOKEN" },
            "serviceToken": { "env": "CONSUL_HTTP_TOKEN" }
        }}))
        .platform(move |spec| {
            spec.env.insert("CONSUL_HTTP_TOKEN".to_owned(), tokens.service);
            spec.env.insert("AGENT_TOKEN".to_owned(), tokens.agent);
        });
    let mut fault = Witness::of(Kind::Servers, "The service token lacks the right");
    let task = cluster.task(plan).await.expect("task");
    task.wait_event(Event::AgentReady, LONG).await.expect("agent ready");
    let began = tokio::time::Instant::now();
    loop {
        let ready = task.admin("/ready").await.expect("ready");
        let first = &ready["pending"][0];
        let reason = first["reason"].as_str().unwrap_or_default();
        let joined = ready["pending"]
            .as_array()
            .is_some_and(|latches| latches.iter().all(|l| l["latch"] != "consul servers"));
        if joined && first["latch"] == "registration" && reason.contains("status 403") {
            if reason.contains("the token needs service:write on \"api\"") {
                break;
            }
            // Only asked before the join.
            assert!(reason.contains("waiting for the agent to join"), "{reason}");
        }
        assert!(began.elapsed() < LONG, "{ready}\n{}", task.last_lines(20));
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    fault.told("`/ready`: `the token needs service:write on \"api\"`");
    fault.ended("it is waited for, up to `startTimeout`");
    task.ecs.stop();
    let (result, timeline) = task.wait_stopped(LONG).await.expect("stopped");
    Seen(timeline).has_no(Event::Registered);
    assert_eq!(result.container("taskmesh").expect("taskmesh").exit_code, Some(0));
}

#[tokio::test]
async fn a_token_that_nobody_knows_yet_is_told_from_one_without_the_right() {
    if let Err(missing) = testbed::parts::envoy() {
        return testbed::skip::skip(&missing.to_string());
    }
    let backend = Backend::best().expect("CONSUL_BIN");
    let (cluster, tokens) = Cluster::start_with_acls(backend, "api").await.expect("cluster");
    let late = "00000000-0000-4000-8000-00000000000c";
    let plan = TaskPlan::new("api-1", "api", wrapped("api", &[]))
        .config(json!({ "consul": {
            "acl": {},
            "agentToken": { "env": "AGENT_TOKEN" },
            "serviceToken": { "env": "CONSUL_HTTP_TOKEN" }
        }}))
        .platform(move |spec| {
            spec.env.insert("CONSUL_HTTP_TOKEN".to_owned(), late.to_owned());
            spec.env.insert("AGENT_TOKEN".to_owned(), tokens.agent);
        });
    let task = cluster.task(plan).await.expect("task");
    let mut fault = Witness::of(Kind::Servers, "Consul does not know the service token yet");
    let began = tokio::time::Instant::now();
    loop {
        let ready = task.admin("/ready").await.unwrap_or_default();
        let pending = ready["pending"].as_array().cloned().unwrap_or_default();
        let reason = |latch: &str| {
            let held = pending.iter().find(|held| held["latch"] == latch);
            held.and_then(|held| held["reason"].as_str()).unwrap_or_default().to_owned()
        };
        // Whatever the agent says before it has joined is no verdict on the token.
        let why = reason("registration");
        assert!(!why.contains("the token needs"), "{why}");
        if why.contains("Consul does not know the token") {
            break;
        }
        assert!(began.elapsed() < LONG, "{ready}\n{}", task.last_lines(20));
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    fault.told("`/ready`: `Consul does not know the token`");
    let body = json!({ "SecretID": late, "Policies": [{ "Name": "service" }] });
    cluster.server_put("/v1/acl/token", body).await.expect("token");
    fault.lifted();
    // An agent may keep in mind for a while that there was none.
    task.wait_event(Event::Registered, 2 * LONG).await.expect("registered");
    fault.mended("it is tried again; the agent may remember for 30 s that there was none");
    let lines = task.last_lines(usize::MAX);
    let said = lines.lines().filter(|line| line.contains("does not know the token")).count();
    assert!(said <= 5, "said {said} times:\n{lines}");
    assert!(!lines.contains(late), "a token is in the log");
}

#[tokio::test]
async fn an_old_envoy_gets_the_token_in_its_bootstrap_and_a_current_one_in_a_file() {
    let envoy = match testbed::parts::envoy() {
        Ok(envoy) => envoy,
        Err(missing) => return testbed::skip::skip(&missing.to_string()),
    };
    let backend = Backend::best().expect("CONSUL_BIN");
    let (cluster, tokens) = Cluster::start_with_acls(backend, "api").await.expect("cluster");
    let dir = tempfile::tempdir().expect("dir");
    // It is the same Envoy; it only says that it is older.
    let says = "echo 'envoy  version: 0/1.33.0/Clean/RELEASE/BoringSSL'";
    let body = format!("[ \"$1\" = --version ] && {says} && exit\nexec {} \"$@\"", envoy.display());
    let old = crate::start::script(dir.path(), "old-envoy", &body);
    for (name, binary, inline) in [("old", old, true), ("current", envoy, false)] {
        let token = tokens.clone();
        let plan = TaskPlan::new(name, "api", wrapped("api", &[]))
            .config(json!({
                "consul": {
                    "acl": {},
                    "agentToken": { "env": "AGENT_TOKEN" },
                    "serviceToken": { "env": "CONSUL_HTTP_TOKEN" }
                },
                "envoy": { "binary": binary, "configDir": dir.path().join(name) }
            }))
            .platform(move |spec| {
                spec.env.insert("CONSUL_HTTP_TOKEN".to_owned(), token.service);
                spec.env.insert("AGENT_TOKEN".to_owned(), token.agent);
            });
        let task = cluster.task(plan).await.expect("task");
        // Whichever way: Envoy gets its listeners, so the token reached the agent.
        task.wait_event(Event::Ready, LONG).await.expect("ready");
        let read = |file: &str| std::fs::read_to_string(dir.path().join(name).join(file));
        let bootstrap = read("envoy-bootstrap.json").expect("bootstrap");
        assert_eq!(bootstrap.contains(&tokens.service), inline, "{name}");
        assert_eq!(read("consul-token.json").is_ok(), !inline, "{name}");
    }
}

/// With ACLs an agent asks its servers who a token is; 1.8.7 answers hardly anything while they hang.
#[tokio::test]
async fn on_consul_1_8_7_an_agent_whose_servers_hang_is_not_taken_for_dead() {
    let consul = match testbed::parts::consul187() {
        Ok(consul) => consul,
        Err(missing) => return testbed::skip::skip(&missing.to_string()),
    };
    let backend = Backend::V187(consul);
    let (cluster, tokens) = Cluster::start_with_acls(backend, "api").await.expect("cluster");
    let plan = TaskPlan::new("api-1", "api", wrapped("api", &[]))
        .config(json!({
            "consul": {
                "acl": {},
                "agentToken": { "env": "AGENT_TOKEN" },
                "serviceToken": { "env": "CONSUL_HTTP_TOKEN" },
                // It forgets at once what it knew of tokens.
                "extraConfig": "acl { token_ttl = \"1s\" policy_ttl = \"1s\" role_ttl = \"1s\" }"
            },
            "restart": { "unresponsiveAfter": "2s" }
        }))
        .platform(move |spec| {
            spec.env.insert("CONSUL_HTTP_TOKEN".to_owned(), tokens.service);
            spec.env.insert("AGENT_TOKEN".to_owned(), tokens.agent);
        });
    let task = serving(&cluster, plan).await;
    let agent = task.child("consul").expect("an agent").pid;
    let mut fault =
        Witness::of(Kind::Servers, "The servers hang, and the agent's ACL cache is over");
    assert!(cluster.server().signal(Signal::SIGSTOP));
    let said = until("named", &task, async || problem(&task, "consul servers").await).await;
    assert!(said["why"].as_str().expect("why").contains("no server answers"), "{said:#}");
    fault.told("`/v1/status`: `consul servers: no server answers`");
    // By now it was silent on much for several times as long as a child may be.
    let lasted = said["forSeconds"].as_f64().expect("seconds") + 10.0;
    until("it lasts", &task, async || {
        (problem(&task, "consul servers").await?["forSeconds"].as_f64()? > lasted).then_some(())
    })
    .await;
    // Over, and whole again.
    assert!(cluster.server().signal(Signal::SIGCONT));
    fault.lifted();
    until("over", &task, async || problem(&task, "consul servers").await.is_none().then_some(()))
        .await;
    until_ready(&task).await;
    until_offered(&cluster, &task).await;
    fault.mended("by itself: the agent is not taken for dead (limit 2 s here)");
    assert_eq!(task.child("consul").expect("an agent").pid, agent);
    let seen = Seen(task.timeline().await.expect("timeline"));
    // Only the first one, which was started with keys that it did not know.
    assert_eq!(seen.0.events.iter().filter(|e| e.event == Event::ChildExited).count(), 1);
    task.ecs.stop();
    let (result, _) = task.wait_stopped(LONG).await.expect("stopped");
    assert_eq!(result.container("taskmesh").expect("taskmesh").exit_code, Some(0));
}
