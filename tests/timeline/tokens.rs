//! Tokens that come from Secrets Manager or a file, come late, and are replaced while requests flow.

mod controlled;

use crate::support::{
    LONG, Seen, assert_started, call, problem, serving, until, until_counted, until_held,
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::time::Duration;
use taskmesh::timeline::Event;
use testbed::cluster::{Backend, Cluster, ClusterPlan, MeshTask, TaskPlan, Tokens};
use testbed::definitions::wrapped;
use testbed::faults::{Kind, Witness};
use testbed::load::{Load, LoadSpec};
use testbed::mesh::Token;
use testbed::moto::Moto;

const REGION: &str = "us-east-1";
const NEW_SERVICE: &str = "00000000-0000-4000-8000-0000000000b2";
const NEW_AGENT: &str = "00000000-0000-4000-8000-0000000000a2";

/// A mesh with ACLs, and AWS, which a task reaches with its role; `None` after having said what is missing.
async fn place() -> Option<(Cluster, Tokens, Moto)> {
    let missing = testbed::parts::envoy().err().or(testbed::parts::moto_server().err());
    if let Some(missing) = missing {
        testbed::skip::skip(&missing.to_string());
        return None;
    }
    let backend = Backend::best().expect("CONSUL_BIN");
    let (cluster, tokens) = Cluster::start_with_acls(backend, "api").await.expect("cluster");
    if let Some(why) = cluster.lan().loopback_reason() {
        testbed::skip::skip(&format!("no address of its own for the role's credentials: {why}"));
        return None;
    }
    let moto = Moto::start(cluster.lan().hub()).await.expect("moto");
    Some((cluster, tokens, moto))
}

fn pair(token: &str) -> Value {
    json!({ "accessor_id": "-", "token": token })
}

/// A task of `api` that reads both tokens from Secrets Manager.
fn plan(cluster: &Cluster, more: Value) -> TaskPlan {
    let url = Moto::url_on(cluster.lan().hub());
    let stored = |id: &str| json!({ "secretsManager": { "secretId": id, "jsonKey": "token" } });
    TaskPlan::new("api-1", "api", wrapped("api", &[]))
        .config(json!({ "consul": {
            "acl": {},
            "agentToken": stored("mesh-consul-client-token"),
            "serviceToken": stored("mesh-api"),
            // Whatever is seen sooner is seen because Consul refused the old one, or because of a HUP.
            "tokenInterval": "1h",
        }}))
        .config(more)
        .platform(move |spec| {
            spec.region = REGION.to_owned();
            spec.task_role = true;
            spec.env.insert("AWS_ENDPOINT_URL".to_owned(), url);
        })
}

/// The same tokens are in the secrets.
async fn fill(moto: &Moto, tokens: &Tokens) {
    for (id, token) in [("mesh-consul-client-token", &tokens.agent), ("mesh-api", &tokens.service)]
    {
        moto.create_secret(REGION, id, &pair(token)).await.expect("secret");
    }
}

/// A caller with tokens of its own, from its environment.
async fn caller_with_tokens(cluster: &Cluster, agent: &str) -> MeshTask {
    let web = "00000000-0000-4000-8000-00000000000d";
    cluster.make_token("web", Token::service(web.to_owned(), "web")).await.expect("token");
    let allowed = json!({
        "Kind": "service-intentions", "Name": "api",
        "Sources": [{ "Name": "web", "Action": "allow" }]
    });
    cluster.server_put("/v1/config", allowed).await.expect("intention");
    let agent = agent.to_owned();
    let upstream = ["--upstream", "http://127.0.0.1:{{upstream_port}}"];
    let plan = TaskPlan::new("web-1", "web", wrapped("web", &upstream))
        .upstream("api")
        .config(json!({ "consul": {
            "acl": {}, "agentToken": { "env": "A" }, "serviceToken": { "env": "S" }
        }}))
        .platform(move |spec| {
            spec.env.insert("A".to_owned(), agent);
            spec.env.insert("S".to_owned(), web.to_owned());
        });
    serving(cluster, plan).await
}

#[tokio::test]
async fn a_task_that_starts_before_its_tokens_exist_says_so_and_goes_on_when_they_do() {
    let Some((cluster, tokens, moto)) = place().await else { return };
    // As the 0.4.3 module leaves it, and one that is not even there.
    moto.create_secret(REGION, "mesh-api", &json!({})).await.expect("secret");
    let task = cluster.task(plan(&cluster, json!({}))).await.expect("task");
    task.wait_event(Event::AgentReady, LONG).await.expect("the agent is beside the wait");
    let why = until_held(&task, "secrets", "secret mesh-api has no key token yet").await;
    assert!(
        why.contains("consul.agentToken: there is no secret mesh-consul-client-token"),
        "{why}"
    );
    moto.put_secret(REGION, "mesh-api", &pair(&tokens.service)).await.expect("secret");
    task.wait_event(Event::Registered, LONG).await.expect("registered");
    let id = "mesh-consul-client-token";
    moto.create_secret(REGION, id, &pair(&tokens.agent)).await.expect("secret");
    task.wait_event(Event::Offered, LONG).await.expect("offered");
    assert!(problem(&task, "secrets").await.is_none());
    crate::support::until_offered(&cluster, &task).await;
    let log = task.last_lines(usize::MAX);
    assert!(
        !log.contains(&tokens.service) && !log.contains(&tokens.agent),
        "a token is in the log"
    );
    task.ecs.stop();
    let (result, timeline) = task.wait_stopped(LONG).await.expect("stopped");
    let seen = Seen(timeline);
    assert_started(&seen);
    seen.has_no(Event::TokenReplaced);
    seen.cause(Event::PeersUpdated, "confirmed");
    assert_eq!(result.container("taskmesh").expect("taskmesh").exit_code, Some(0));
}

#[tokio::test]
async fn tokens_are_replaced_under_load_and_no_request_is_lost() {
    let Some((cluster, tokens, moto)) = place().await else { return };
    fill(&moto, &tokens).await;
    let task = serving(&cluster, plan(&cluster, json!({}))).await;
    let web = caller_with_tokens(&cluster, &tokens.agent).await;
    call(&web).await;
    let url = format!("http://127.0.0.1:{}/", web.ports.upstream);
    let load = Load::start(web.ecs.host(), LoadSpec::new(&url).expect("url").connections(4));
    load.wait_ok(200).await;

    cluster.make_token("client-2", Token::agent(NEW_AGENT.to_owned())).await.expect("token");
    let service = Token::service(NEW_SERVICE.to_owned(), "api");
    cluster.make_token("service-2", service).await.expect("token");
    let put = async |id: &str, token: &str| {
        moto.put_secret(REGION, id, &pair(token)).await.expect("secret");
    };
    put("mesh-consul-client-token", NEW_AGENT).await;
    put("mesh-api", NEW_SERVICE).await;
    // Somebody who knows does not wait for the interval.
    assert!(task.ecs.container("taskmesh").expect("taskmesh").signal(Signal::SIGHUP));
    until_counted(&task, Event::TokenReplaced, 2).await;
    load.wait_ok(200).await;

    cluster.delete_token(&tokens.service).await.expect("deleted");
    cluster.delete_token(&tokens.agent).await.expect("deleted");
    // What agent and Envoy remember of a deleted token is over after 30 s.
    let began = tokio::time::Instant::now();
    while began.elapsed() < Duration::from_secs(40) {
        load.wait_ok(50).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let offered = cluster.offered("api").await.expect("server");
    assert!(matches!(&offered[..], [(_, false)]), "{offered:?}");
    let report = load.stop().await;
    println!("rotation under load: {} answered, {} failed", report.ok, report.failed);
    assert_eq!(report.failed, 0, "{report:#?}");
    // Its Envoy still learns of changes, though the token that its stream was begun with is gone.
    let denied = json!({
        "Kind": "service-intentions", "Name": "api",
        "Sources": [{ "Name": "web", "Action": "deny" }]
    });
    cluster.server_put("/v1/config", denied).await.expect("intention");
    until("the change is there", &task, async || {
        let load = Load::start(web.ecs.host(), LoadSpec::new(&url).expect("url").connections(1));
        tokio::time::sleep(Duration::from_millis(100)).await;
        (load.stop().await.failed > 0).then_some(())
    })
    .await;

    // The whole stop is made with the new ones.
    task.ecs.stop();
    let (result, timeline) = task.wait_stopped(LONG).await.expect("stopped");
    let seen = Seen(timeline);
    seen.cause(Event::PeersUpdated, "confirmed");
    seen.has_no(Event::ChildRestarted);
    seen.has_no(Event::RegistrationRepaired);
    assert_eq!(result.container("taskmesh").expect("taskmesh").exit_code, Some(0));
    let log = task.last_lines(usize::MAX);
    for token in [&tokens.service, &tokens.agent, NEW_SERVICE, NEW_AGENT] {
        assert!(!log.contains(token), "a token is in the log");
    }
}

#[tokio::test]
async fn a_token_that_consul_does_not_know_yet_takes_no_others_place() {
    let Some((cluster, tokens, moto)) = place().await else { return };
    fill(&moto, &tokens).await;
    let task = serving(&cluster, plan(&cluster, json!({}))).await;
    // As a controller does it: into the secret first.
    moto.put_secret(REGION, "mesh-api", &pair(NEW_SERVICE)).await.expect("secret");
    assert!(task.ecs.container("taskmesh").expect("taskmesh").signal(Signal::SIGHUP));
    let said = until("named", &task, async || problem(&task, "secrets").await).await;
    assert!(said["why"].as_str().expect("why").contains("does not know the new token"), "{said}");
    assert_eq!(crate::support::count(&task, Event::TokenReplaced).await, 0);
    crate::support::until_offered(&cluster, &task).await;
    let service = Token::service(NEW_SERVICE.to_owned(), "api");
    cluster.make_token("service-2", service).await.expect("token");
    until_counted(&task, Event::TokenReplaced, 1).await;
    assert!(problem(&task, "secrets").await.is_none());
}

#[tokio::test]
async fn no_garbage_in_a_secret_takes_a_tokens_place() {
    let Some((cluster, tokens, moto)) = place().await else { return };
    fill(&moto, &tokens).await;
    let task = serving(&cluster, plan(&cluster, json!({}))).await;
    let token = |token: &str| pair(token).to_string();
    for garbage in [
        "{}".to_owned(),
        "[]".to_owned(),
        "s3cret-garbage".to_owned(),
        r#"{"token": {"token": "x"}}"#.to_owned(),
        token(""),
        token("two\nlines"),
        token("\u{0}\u{7}"),
        token("t\u{f6}ken"),
        token("s3cret-garbage"),
        token(&"x".repeat(60_000)),
    ] {
        moto.put_secret_text(REGION, "mesh-api", &garbage).await.expect("secret");
        assert!(task.ecs.container("taskmesh").expect("taskmesh").signal(Signal::SIGHUP));
        let shown: String = garbage.chars().take(40).collect();
        until(&shown, &task, async || problem(&task, "secrets").await).await;
        let ready = task.admin("/ready").await.expect("ready");
        assert_eq!(ready["ready"], true, "{shown}: {ready}");
        moto.put_secret(REGION, "mesh-api", &pair(&tokens.service)).await.expect("secret");
        until("whole again", &task, async || {
            problem(&task, "secrets").await.is_none().then_some(())
        })
        .await;
    }
    crate::support::until_offered(&cluster, &task).await;
    assert_eq!(crate::support::count(&task, Event::TokenReplaced).await, 0);
    let log = task.last_lines(usize::MAX);
    assert!(!log.contains("s3cret-garbage"), "a secret is in the log: {log}");
}

#[tokio::test]
async fn a_token_that_consul_refuses_is_read_again_at_once() {
    let Some((cluster, tokens, moto)) = place().await else { return };
    fill(&moto, &tokens).await;
    let task = serving(&cluster, plan(&cluster, json!({}))).await;
    let service = Token::service(NEW_SERVICE.to_owned(), "api");
    cluster.make_token("service-2", service).await.expect("token");
    moto.put_secret(REGION, "mesh-api", &pair(NEW_SERVICE)).await.expect("secret");
    // By hand, and before anybody was told. An agent remembers a token for 30 s.
    let mut fault =
        Witness::of(Kind::Servers, "The service token is deleted, another is in its secret");
    cluster.delete_token(&tokens.service).await.expect("deleted");
    let replaced =
        async || (crate::support::count(&task, Event::TokenReplaced).await > 0).then_some(());
    let began = tokio::time::Instant::now();
    while replaced().await.is_none() {
        assert!(began.elapsed() < 2 * LONG, "{}", task.last_lines(40));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    fault.shows("timeline and log: `token-replaced: service`");
    crate::support::until_offered(&cluster, &task).await;
    fault.mended(
        "the secret is read again at the first 403; the agent may remember the old one for 30 s",
    );
}

#[tokio::test]
async fn secrets_manager_that_is_away_is_named_and_waited_for() {
    let Some((cluster, tokens, moto)) = place().await else { return };
    drop(moto);
    let mut fault = Witness::of(Kind::Ecs, "Secrets Manager is away at the start");
    let task = cluster.task(plan(&cluster, json!({}))).await.expect("task");
    until_held(&task, "secrets", "secret mesh-api: cannot ask Secrets Manager").await;
    fault.told("`/ready`: `secrets`, with each secret and why");
    let moto = Moto::start(cluster.lan().hub()).await.expect("moto");
    fill(&moto, &tokens).await;
    fault.lifted();
    task.wait_event(Event::Ready, LONG).await.expect("ready");
    fault.mended("it is asked again, every 30 s at the least, while the agent has long joined");
    task.wait_event(Event::Offered, LONG).await.expect("offered");

    let mut fault = Witness::of(Kind::Ecs, "Secrets Manager is away while the task runs");
    drop(moto);
    assert!(task.ecs.container("taskmesh").expect("taskmesh").signal(Signal::SIGHUP));
    let said = until("named", &task, async || problem(&task, "secrets").await).await;
    assert!(said["why"].as_str().expect("why").contains("cannot ask Secrets Manager"), "{said}");
    fault.told("`/v1/status`: `secrets`, with each secret and why");
    let ready = task.admin("/ready").await.expect("ready");
    assert_eq!(ready["ready"], true, "{ready}");
    crate::support::until_offered(&cluster, &task).await;
    fault.ended("the task serves on with the tokens that it has");
    task.ecs.stop();
    let (result, timeline) = task.wait_stopped(LONG).await.expect("stopped");
    Seen(timeline).cause(Event::PeersUpdated, "confirmed");
    assert_eq!(result.container("taskmesh").expect("taskmesh").exit_code, Some(0));
}

#[tokio::test]
async fn a_token_in_a_file_is_waited_for_and_followed() {
    if let Err(missing) = testbed::parts::envoy() {
        return testbed::skip::skip(&missing.to_string());
    }
    let backend = Backend::best().expect("CONSUL_BIN");
    let (cluster, tokens) = Cluster::start_with_acls(backend, "api").await.expect("cluster");
    let dir = tempfile::tempdir().expect("dir");
    let (agent, service) = (dir.path().join("agent"), dir.path().join("service"));
    std::fs::write(&agent, &tokens.agent).expect("file");
    let plan = TaskPlan::new("api-1", "api", wrapped("api", &[])).config(json!({ "consul": {
        "acl": {}, "agentToken": { "file": agent }, "serviceToken": { "file": service }
    }}));
    let task = cluster.task(plan).await.expect("task");
    until_held(&task, "secrets", "consul.serviceToken: file").await;
    std::fs::write(&service, &tokens.service).expect("file");
    task.wait_event(Event::Offered, LONG).await.expect("offered");
    let new = Token::service(NEW_SERVICE.to_owned(), "api");
    cluster.make_token("service-2", new).await.expect("token");
    std::fs::write(&service, NEW_SERVICE).expect("file");
    until_counted(&task, Event::TokenReplaced, 1).await;
    // A file that is gone for a while is no loss: the token is in memory.
    std::fs::remove_file(&service).expect("file");
    until("named", &task, async || problem(&task, "secrets").await).await;
    let ready = task.admin("/ready").await.expect("ready");
    assert_eq!(ready["ready"], true, "{ready}");
}

/// Where servers sign certificates, as the development mesh does not: a current one for the agent's token alone, 1.8.7 for
/// everybody.
#[tokio::test]
async fn an_agent_that_is_given_its_certificate_by_its_token_waits_for_the_token() {
    let current =
        testbed::parts::consul().and_then(|consul| testbed::parts::envoy().map(|_| consul));
    let backend = match current {
        Ok(consul) => Ok(Backend::Consul(consul)),
        Err(_none) => testbed::parts::consul187().map(Backend::V187),
    };
    let (backend, _moto) = match (backend, testbed::parts::moto_server()) {
        (Ok(backend), Ok(moto)) => (backend, moto),
        (Err(missing), _) | (_, Err(missing)) => {
            return testbed::skip::skip(&missing.to_string());
        }
    };
    let plan = ClusterPlan::new(backend).tls().acl("api");
    let cluster = plan.start().await.expect("cluster");
    if let Some(why) = cluster.lan().loopback_reason() {
        return testbed::skip::skip(&format!("no address of its own for the role's keys: {why}"));
    }
    let moto = Moto::start(cluster.lan().hub()).await.expect("moto");
    let security = cluster.security().clone();
    let (ca, tokens) = (security.ca.expect("CA"), security.tokens.expect("tokens"));
    moto.create_secret(REGION, "mesh-api", &pair(&tokens.service)).await.expect("secret");
    let more = json!({ "consul": { "tls": { "ca": { "file": ca } } } });
    let task = cluster.task(self::plan(&cluster, more)).await.expect("task");
    until_held(&task, "secrets", "there is no secret mesh-consul-client-token").await;
    let id = "mesh-consul-client-token";
    moto.create_secret(REGION, id, &pair(&tokens.agent)).await.expect("secret");
    task.wait_event(Event::Ready, LONG).await.expect("ready");
    let log = task.last_lines(usize::MAX);
    assert!(!log.contains("AutoEncrypt.Sign RPC failed"), "{log}");
}
