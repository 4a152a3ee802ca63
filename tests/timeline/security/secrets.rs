//! Secrets are where they must be, and nowhere else.

use super::rights::assert_private;
use super::{below, named, proc_file, processes};
use crate::support::{LONG, stopped};
use serde_json::{Value, json};
use taskmesh::timeline::Event;
use testbed::cluster::{Backend, Cluster, ClusterPlan, MeshTask, TaskPlan};
use testbed::definitions::wrapped;
use testbed::mesh::Token;

/// What must not be found, by its name.
struct Secrets(Vec<(&'static str, String)>);

impl Secrets {
    /// The names of those that are in `text`.
    fn within(&self, text: &str) -> Vec<&'static str> {
        self.0.iter().filter(|(_, secret)| text.contains(secret)).map(|(name, _)| *name).collect()
    }
}

async fn secured() -> (Cluster, Secrets) {
    let backend = Backend::best().expect("CONSUL_BIN");
    let cluster = ClusterPlan::new(backend).acl("api").gossip_key().start().await.expect("cluster");
    let security = cluster.security().clone();
    let tokens = security.tokens.expect("tokens");
    let extra = "5ec2e7ed-0000-4000-8000-00000000000e".to_owned();
    cluster.make_token("extra", Token::agent(extra.clone())).await.expect("token");
    let secrets = Secrets(vec![
        ("agent token", tokens.agent),
        ("service token", tokens.service),
        ("gossip key", security.gossip_key.expect("gossip key")),
        ("extra token", extra),
    ]);
    (cluster, secrets)
}

/// As ECS gives secrets: to one container, by its environment.
fn plan(secrets: &Secrets) -> TaskPlan {
    let mut definition = wrapped("api", &[]);
    let helper = &mut definition["containerDefinitions"][0];
    let names = ["MESH_AGENT_TOKEN", "MESH_SERVICE_TOKEN", "MESH_GOSSIP_KEY", "MESH_EXTRA_TOKEN"];
    helper["secrets"] = names.map(|name| json!({ "name": name, "valueFrom": name })).into();
    let values: Vec<_> = names
        .into_iter()
        .zip(&secrets.0)
        .map(|(name, (_, secret))| (name.to_owned(), secret.clone()))
        .collect();
    TaskPlan::new("api-1", "api", definition)
        .config(json!({
            "consul": {
                "acl": {},
                "agentToken": { "env": "MESH_AGENT_TOKEN" },
                "serviceToken": { "env": "MESH_SERVICE_TOKEN" },
                "gossipKey": { "env": "MESH_GOSSIP_KEY" },
                "extraConfig": r#"{"acl": {"tokens": {"default": "$MESH_EXTRA_TOKEN"}}}"#,
            },
            "log": { "level": "trace" },
        }))
        .platform(move |spec| spec.secrets.extend(values))
}

/// All that a task has written to its logs.
fn logs(task: &MeshTask) -> String {
    let lines = ["taskmesh", "app"].into_iter().flat_map(|name| task.ecs.output(name));
    lines.map(|line| line.text + "\n").collect()
}

#[tokio::test]
async fn secrets_are_in_the_files_of_those_who_need_them_and_nowhere_else() {
    if let Err(missing) = testbed::parts::envoy() {
        return testbed::skip::skip(&missing.to_string());
    }
    let (cluster, secrets) = secured().await;
    let task = cluster.task(plan(&secrets)).await.expect("task");
    task.wait_event(Event::Offered, LONG).await.expect("offered");

    let all = processes(&task);
    assert!(all.len() >= 5, "supervisor, agent, Envoy, wrapper, app: {all:?}");
    for process in &all {
        let line = proc_file(process, "cmdline");
        assert_eq!(secrets.within(&line), [""; 0], "on a command line: {line}");
        let found = secrets.within(&proc_file(process, "environ"));
        let (supervisor, agent) = (named(&all, "taskmesh").pid, named(&all, "consul").pid);
        if process.pid == supervisor {
            assert_eq!(found.len(), 4, "ECS gave them, or this test looks at nothing");
        } else if process.pid == agent {
            // Its configuration names that variable, so it was meant for it.
            assert!(found.iter().all(|name| *name == "extra token"), "{found:?}");
        } else {
            assert_eq!(found, [""; 0], "in the environment of {process:?}");
        }
    }
    for path in ["/ready", "/v1/status", "/v1/timeline", "/no/such/path"] {
        let answer = task.admin(path).await.unwrap_or(Value::Null);
        assert_eq!(secrets.within(&answer.to_string()), [""; 0], "{path}: {answer}");
    }

    let mut holders = Vec::new();
    for path in below(task.dir()).into_iter().filter(|path| path.is_file()) {
        let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap_or_default()).into_owned();
        let inner = path.strip_prefix(task.dir()).expect("below").display().to_string();
        // The agent keeps the token of each service in its own folder.
        if !secrets.within(&text).is_empty() && !inner.starts_with("consul/") {
            holders.push(inner);
        }
    }
    holders.sort();
    let expected = ["private/agent-extra.json", "private/agent.json", "private/consul-token.json"];
    assert_eq!(holders, expected, "the agent's and Envoy's files");
    assert_private(task.dir());

    task.ecs.stop();
    let (result, seen) = stopped(&task).await;
    assert_eq!(result.container("taskmesh").expect("taskmesh").exit_code, Some(0));
    assert_eq!(secrets.within(&format!("{:?}", seen.lines())), [""; 0]);
    let log = logs(&task);
    assert!(
        log.contains(r#""level":"TRACE""#) || log.contains(r#""level":"DEBUG""#),
        "the level is in effect"
    );
    for (name, secret) in &secrets.0 {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "the {name} is in a log");
    }
}
