//! The task definitions in `deploy/`, as they stand: their images are built from the `Dockerfile`, each container runs in
//! its image's files as its user, and nothing is changed but the placeholders and what belongs to the user's app.

mod image;
mod site;

use self::site::{Site, filled};
use crate::support::{LONG, call};
use serde_json::{Value, json};
use std::time::Duration;
use testbed::ecs::{EcsTask, Flavour};
use tokio::time::Instant;

/// The user of the image.
const USER: u32 = 65532;

/// In the system's words.
const REFUSED: &str = "read-only file system";

/// The app's own part of a definition: an HTTP server that wants a moment after TERM.
fn app(definition: &mut Value, check: bool) {
    let app = &mut definition["containerDefinitions"][1];
    let server = ["app", "http", "--listen", "0.0.0.0:9090", "--name", "api", "--term", "drain"];
    app["command"] = json!([&["/usr/local/bin/testbed"][..], &server].concat());
    if check {
        app["healthCheck"]["command"] = json!(["CMD", "/usr/local/bin/testbed", "help"]);
    }
}

/// Starts a definition, calls the app through the mesh, stops the task, and looks at what it did.
async fn lives(site: &Site, definition: Value, flavour: Flavour) {
    let task = site.start(&definition, flavour).await;
    site.until_offered(&task).await;
    let web = site.caller().await;
    call(&web).await;

    let supervisor = task.container("taskmesh").expect("taskmesh");
    let processes = supervisor.processes();
    assert_eq!(processes.len(), 3, "supervisor, agent, Envoy: {processes:?}");
    for process in &processes {
        let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid));
        let status = status.expect("status");
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        assert_eq!(field("Uid:").split_whitespace().next(), Some("65532"), "{process:?}");
        assert_eq!(field("CapEff:").trim(), "0000000000000000", "{process:?}");
    }
    let checked = supervisor.exec(&["/usr/local/bin/taskmesh", "healthcheck"]).await.expect("exec");
    assert_eq!(checked.finished().await.code(), 0);

    task.stop();
    let stopped = tokio::time::timeout(LONG, task.wait_stopped()).await;
    let result = stopped.unwrap_or_else(|_| panic!("not stopped: {}", said(&task)));
    for container in &result.containers {
        let end = (container.exit_code, container.killed);
        assert_eq!(end, (Some(0), false), "{}: {}", container.name, said(&task));
    }
    let log = said(&task);
    // As Rust and as Go say it.
    for refused in
        ["(os error 30)", "(os error 13)", "read-only file system", ": permission denied"]
    {
        assert!(!log.contains(refused), "{refused}: {log}");
    }
    site.assert_left_clean();
}

/// What the helper said.
fn said(task: &EcsTask) -> String {
    let lines = task.output("taskmesh");
    lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn the_definition_for_fargate_lives_from_its_image() {
    let Some(site) = Site::new().await else { return };
    let mut definition = filled("task-definition-fargate", &site.values());
    app(&mut definition, false);
    lives(&site, definition, Flavour::Fargate).await;
}

#[tokio::test]
async fn the_definition_for_ec2_lives_from_its_image() {
    let Some(site) = Site::new().await else { return };
    let mut definition = filled("task-definition-ec2", &site.values());
    app(&mut definition, true);
    lives(&site, definition, Flavour::Ec2).await;
}

#[tokio::test]
async fn a_task_that_has_no_volume_to_write_to_says_where() {
    let Some(site) = Site::new().await else { return };
    for (path, words) in [("/tmp", "/tmp/taskmesh-"), ("/consul/data", "/consul/data")] {
        let mut definition = filled("task-definition-fargate", &site.values());
        definition["family"] = json!(format!("no{}", path.replace('/', "-")));
        app(&mut definition, false);
        let points = &mut definition["containerDefinitions"][0]["mountPoints"];
        points.as_array_mut().expect("mounts").retain(|point| point["containerPath"] != path);
        let task = site.start(&definition, Flavour::Fargate).await;
        let began = Instant::now();
        // Without /tmp nothing can begin; an agent is tried again, for a disk may mend.
        while !said(&task)
            .lines()
            .any(|line| line.contains(words) && line.to_lowercase().contains(REFUSED))
        {
            assert!(began.elapsed() < LONG, "{path}: {}", said(&task));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
