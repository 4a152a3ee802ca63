//! The body of the task metadata endpoint: never a panic, and what is read of it can be used.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use taskmesh::config::{self, Loaded, Sources};
use taskmesh::ecs::{self, Container, ContainerKind, Task};
use taskmesh::explain::TaskSource;

/// Takes the bytes for a task, and for a container. Gives whether they name a task.
pub(crate) fn check(data: &[u8]) -> bool {
    if let Ok(container) = serde_json::from_slice::<Container>(data) {
        verdict(&container);
    }
    let Ok(task) = serde_json::from_slice::<Task>(data) else { return false };
    task.containers.iter().for_each(verdict);
    let own = task.containers.first().map_or("taskmesh", |first| &first.name).to_owned();
    names(&task, &own);
    let Some(identity) = task.identity() else {
        assert_eq!(task.task_id(), "");
        return false;
    };
    assert!(!identity.task_id.is_empty() && !identity.task_id.contains('/'));
    assert!(identity.task_arn.ends_with(&identity.task_id));
    super::payloads(&LEAST, &identity, TaskSource::Metadata(Box::new(task), own));
    true
}

/// What the health sync and the watch on apps read.
fn verdict(container: &Container) {
    assert_eq!(container.health_status().is_some(), container.health.is_some());
    if let Some(status) = container.health_status() {
        assert!(!status.as_str().is_empty());
    }
    assert!(!container.is_stopped() || container.known_status == ecs::Status::Stopped);
    container.has_run();
}

/// Apps and synced containers: of this task, never our own nor ECS's, each once.
fn names(task: &Task, own: &str) {
    let apps = ecs::app_containers(task, own, None, &[], &[], None);
    let synced = ecs::reporting_containers(task, own);
    for names in [&apps, &synced] {
        assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "{names:?}");
        for name in names {
            assert!(name != own && !ecs::injected(name), "{name:?} of {own:?}");
            let container = task.containers.iter().find(|container| {
                container.name == *name && container.kind == ContainerKind::Normal
            });
            assert!(container.is_some(), "{name:?}");
        }
    }
    let wrapped = [own.to_owned(), "elsewhere".to_owned()];
    assert_eq!(ecs::app_containers(task, own, Some(&wrapped), &[], &[], None), ["elsewhere"]);
    task.is_stopping();
}

pub(super) static LEAST: LazyLock<Loaded> = LazyLock::new(|| {
    let text = r#"{"service": {"port": 9090}, "consul": {"retryJoin": ["10.0.0.10"]}}"#;
    let env = BTreeMap::from([(config::VARIABLE.to_owned(), text.to_owned())]);
    config::load(&Sources::default(), &env).expect("the least configuration")
});
