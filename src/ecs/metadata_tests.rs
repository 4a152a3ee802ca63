use super::*;
use serde_json::{Value, json};

fn task(text: Value) -> Task {
    serde_json::from_value(text).unwrap()
}

/// Shaped like an answer of the EC2 agent 1.105 in an awsvpc task.
fn ec2() -> Value {
    json!({
        "Cluster": "default",
        "TaskARN": "arn:aws:ecs:us-west-2:111122223333:task/default/158d1c8083dd49d6b527399fd6414f5c",
        "Family": "web", "Revision": "26", "DesiredStatus": "RUNNING", "KnownStatus": "RUNNING",
        "PullStartedAt": "2026-01-02T00:43:06.202617438Z", "LaunchType": "EC2", "FaultInjectionEnabled": false,
        "Containers": [
            {
                "DockerId": "", "Name": "late", "DockerName": "", "Image": "late:1", "ImageID": "",
                "DesiredStatus": "RUNNING", "KnownStatus": "PULLED", "Limits": { "CPU": 2, "Memory": 0 },
                "Type": "NORMAL",
            },
            {
                "DockerId": "598c", "Name": "~internal~ecs~pause", "Image": "amazon/amazon-ecs-pause:0.1.0",
                "DesiredStatus": "RESOURCES_PROVISIONED", "KnownStatus": "RESOURCES_PROVISIONED", "Type": "CNI_PAUSE",
                "Networks": [{ "NetworkMode": "awsvpc", "IPv4Addresses": ["10.0.2.106"], "AttachmentIndex": 0 }],
            },
            {
                "DockerId": "ea32", "Name": "app", "Image": "app:1", "Labels": { "a": "b" },
                "DesiredStatus": "RUNNING", "KnownStatus": "RUNNING", "StartedAt": "2026-01-02T00:43:07Z",
                "Type": "NORMAL", "RestartCount": 0,
                "Health": { "status": "UNHEALTHY", "statusSince": "2026-01-02T00:43:47.1Z", "exitCode": 1, "output": "no" },
                "Networks": [{ "NetworkMode": "awsvpc", "IPv4Addresses": ["10.0.2.106"] }],
            },
        ],
    })
}

#[test]
fn a_task_on_ec2() {
    let task = task(ec2());
    assert_eq!(task.task_id(), "158d1c8083dd49d6b527399fd6414f5c");
    assert_eq!(task.ipv4(), Some("10.0.2.106"));
    assert!(!task.is_stopping());
    let app = task.container("app").unwrap();
    assert_eq!(app.health_status(), Some(HealthStatus::Unhealthy));
    let health = app.health.as_ref().unwrap();
    assert_eq!(health.status_since.as_deref(), Some("2026-01-02T00:43:47.1Z"));
    assert_eq!((health.exit_code, health.output.as_deref()), (Some(1), Some("no")));
    assert_eq!(app.restart_count, Some(0));
    assert_eq!(app.exit_code, None);
    assert!(app.has_run() && !app.is_stopped());
    let late = task.container("late").unwrap();
    assert_eq!((late.known_status, late.health_status()), (Status::Pulled, None));
    assert!(!late.has_run());
    let pause = task.container("~internal~ecs~pause").unwrap();
    assert_eq!(pause.kind, ContainerKind::Internal);
    assert_eq!(pause.known_status, Status::ResourcesProvisioned);
    assert_eq!(task.container("App"), None);

    let identity = task.identity().unwrap();
    assert_eq!(identity.ipv4.as_deref(), Some("10.0.2.106"));
    assert_eq!((identity.family.as_str(), identity.revision.as_str()), ("web", "26"));
}

#[test]
fn names_that_we_do_not_know_and_nulls_are_taken() {
    let task = task(json!({
        "TaskARN": "t", "DesiredStatus": "FUTURE", "KnownStatus": null, "Containers": [
            { "Name": "a", "Type": "FUTURE", "Health": { "status": "FUTURE" }, "Networks": null, "ExitCode": null },
            { "Name": "b", "Health": {} },
            { "Name": "c", "Health": { "status": "HEALTHY" }, "Networks": [{ "IPv4Addresses": null }] },
            { "Name": "d", "Health": { "status": "UNKNOWN" } },
            { "Name": "e", "Health": { "status": null, "statusSince": null, "exitCode": null, "output": null } },
            { "Name": "f", "Health": null, "FinishedAt": null },
        ],
    }));
    assert_eq!(task.task_id(), "t");
    assert_eq!((task.desired_status, task.known_status), (Status::Other, Status::None));
    assert!(!task.is_stopping());
    let health = |name| task.container(name).unwrap().health_status();
    assert_eq!(health("a"), Some(HealthStatus::Unknown));
    assert_eq!(health("b"), Some(HealthStatus::Unknown));
    assert_eq!(health("c"), Some(HealthStatus::Healthy));
    assert_eq!(health("d"), Some(HealthStatus::Unknown));
    assert_eq!(health("e"), Some(HealthStatus::Unknown));
    assert_eq!(health("f"), None);
    assert_eq!(task.container("a").unwrap().kind, ContainerKind::Internal);
    assert_eq!(task.ipv4(), None);
}

#[test]
fn an_empty_answer_names_no_task() {
    let task = task(json!({ "Containers": null }));
    assert_eq!(task.identity(), None);
    assert_eq!(task.containers, []);
}

#[test]
fn a_stop_shows_first_as_what_ecs_wants() {
    let mut text = ec2();
    text["DesiredStatus"] = json!("STOPPED");
    text["Containers"][2]["DesiredStatus"] = json!("STOPPED");
    let stopping = task(text.clone());
    assert!(stopping.is_stopping());
    assert!(!stopping.container("app").unwrap().is_stopped());
    text["Containers"][2]["KnownStatus"] = json!("STOPPED");
    text["Containers"][2]["ExitCode"] = json!(0);
    text["Containers"][2]["FinishedAt"] = json!("2026-01-02T01:00:00Z");
    let stopped = task(text);
    let app = stopped.container("app").unwrap();
    assert!(app.is_stopped());
    assert_eq!(app.exit_code, Some(0));
    assert_eq!(app.finished_at.as_deref(), Some("2026-01-02T01:00:00Z"));
}

#[test]
fn a_container_between_two_runs_of_its_restart_policy_has_not_stopped() {
    let mut text = ec2();
    text["Containers"][2]["KnownStatus"] = json!("STOPPED");
    assert!(!task(text).container("app").unwrap().is_stopped());
}

#[test]
fn an_exit_code_alone_is_no_run() {
    let never = json!({ "Name": "x", "KnownStatus": "STOPPED", "DesiredStatus": "STOPPED", "ExitCode": 143 });
    let never: Container = serde_json::from_value(never).unwrap();
    assert!(never.is_stopped() && !never.has_run());
}
