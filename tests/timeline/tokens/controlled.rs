//! The whole way: tasks, and the controller that makes their tokens, replaces and deletes them.

use super::*;
use testbed::net::Process;

/// A real Consul, current or 1.8.7, since the controller needs all of its ACLs; on the latter nothing speaks through Envoy.
async fn with_a_controller() -> Option<(Cluster, Moto, bool)> {
    let (backend, requests) = match testbed::parts::consul() {
        Ok(current) => (Ok(Backend::Consul(current)), true),
        Err(_none) => (testbed::parts::consul187().map(Backend::V187), false),
    };
    let (backend, _moto) = match (backend, testbed::parts::moto_server()) {
        (Ok(backend), Ok(moto)) => (backend, moto),
        (Err(missing), _) | (_, Err(missing)) => {
            testbed::skip::skip(&missing.to_string());
            return None;
        }
    };
    // Both tokens are the controller's affair here.
    let (cluster, _) = Cluster::start_with_acls(backend, "unrelated").await.expect("cluster");
    if let Some(why) = cluster.lan().loopback_reason() {
        testbed::skip::skip(&format!("no address of its own for the role's credentials: {why}"));
        return None;
    }
    let moto = Moto::start(cluster.lan().hub()).await.expect("moto");
    moto.create_cluster(REGION, "prod").await.expect("cluster");
    let definition = json!({
        "family": "api", "cpu": "256", "memory": "512",
        "containerDefinitions": [{ "name": "app", "image": "app:1", "memory": 128 }]
    });
    moto.register_task_definition(REGION, &definition).await.expect("definition");
    Some((cluster, moto, requests))
}

async fn controller(cluster: &Cluster, moto: &Moto) -> Process {
    let hub = cluster.lan().hub();
    let config = json!({
        "controller": {
            "cluster": "prod", "interval": "200ms", "auditInterval": "1s", "gracePeriod": "10s"
        },
        "admin": { "listen": "127.0.0.1:0" },
        "consul": { "address": format!("http://{}:8500", hub.ip()), "token": { "env": "TOKEN" } },
    });
    let management = &cluster.security().tokens.as_ref().expect("ACLs").management;
    let spec = Moto::controller(&config, management, moto.url(), &[]).expect("taskmesh");
    hub.spawn_process(spec).await.expect("controller")
}

/// Tokens of `api` at the servers.
async fn tokens_of_api(cluster: &Cluster) -> Vec<String> {
    let tokens = cluster.server_get("/v1/acl/tokens").await.expect("tokens");
    let of_api = tokens.as_array().expect("list").iter().filter(|token| {
        token["Description"].as_str().is_some_and(|text| text.starts_with("Token for api service"))
    });
    of_api.map(|token| token["AccessorID"].as_str().expect("ID").to_owned()).collect()
}

#[tokio::test]
async fn the_first_task_of_a_service_is_served_by_the_controller_and_so_is_a_rotation() {
    let Some((cluster, moto, requests)) = with_a_controller().await else { return };
    // Nobody has made anything yet.
    let task = cluster.task(plan(&cluster, json!({}))).await.expect("task");
    until_held(&task, "secrets", "there is no secret mesh-api").await;
    let tags = [("consul.hashicorp.com/mesh", "true")];
    moto.run_task(REGION, "prod", "api", &tags).await.expect("the same task, as ECS lists it");
    let controller = controller(&cluster, &moto).await;
    task.wait_event(Event::Offered, 2 * LONG).await.expect("offered");
    crate::support::until_offered(&cluster, &task).await;

    let load = match requests {
        false => None,
        true => {
            let agent = moto.secret(REGION, "mesh-consul-client-token").await.expect("moto");
            let agent = agent.expect("a secret")["token"].as_str().expect("token").to_owned();
            let web = caller_with_tokens(&cluster, &agent).await;
            call(&web).await;
            let url = format!("http://127.0.0.1:{}/", web.ports.upstream);
            let load = Load::start(web.ecs.host(), LoadSpec::new(&url).expect("url"));
            load.wait_ok(200).await;
            Some((web, load))
        }
    };
    // Another pair of ids in the secret is all that a person does.
    let before = tokens_of_api(&cluster).await;
    let new = json!({
        "accessor_id": "11111111-0000-4000-8000-000000000001", "token": "11111111-0000-4000-8000-000000000002"
    });
    moto.put_secret(REGION, "mesh-api", &new).await.expect("secret");
    assert!(task.ecs.container("taskmesh").expect("taskmesh").signal(Signal::SIGHUP));
    until_counted(&task, Event::TokenReplaced, 1).await;
    until("the old token is deleted", &task, async || {
        (tokens_of_api(&cluster).await == ["11111111-0000-4000-8000-000000000001"]).then_some(())
    })
    .await;
    assert_eq!(before.len(), 1, "{before:?}");
    if let Some((_web, load)) = load {
        // An agent and an Envoy remember a deleted token for 30 s.
        let began = tokio::time::Instant::now();
        while began.elapsed() < Duration::from_secs(35) {
            load.wait_ok(50).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let report = load.stop().await;
        println!("rotation by the controller: {} answered, {} failed", report.ok, report.failed);
        assert_eq!(report.failed, 0, "{report:#?}");
    }
    crate::support::until_offered(&cluster, &task).await;
    task.ecs.stop();
    let (result, timeline) = task.wait_stopped(LONG).await.expect("stopped");
    Seen(timeline).has_no(Event::RegistrationRepaired);
    assert_eq!(result.container("taskmesh").expect("taskmesh").exit_code, Some(0));
    drop(controller);
}
