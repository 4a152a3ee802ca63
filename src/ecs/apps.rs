//! Which containers are apps, whose end we wait for, and which of them have a health to sync.

use super::{Container, ContainerKind, Task};
use crate::config::Containers;

/// ECS or the account put this container into the task: nobody's app. Known names: GuardDuty's agent, Service
/// Connect's proxy, ECS's own (`~internal~..`), and the usual names of FireLens log routers.
pub fn injected(name: &str) -> bool {
    const PREFIXES: [&str; 3] = ["aws-guardduty-agent", "ecs-service-connect", "~internal~"];
    const LOG_ROUTERS: [&str; 3] = ["log_router", "log-router", "firelens"];
    PREFIXES.iter().chain(&LOG_ROUTERS).any(|prefix| name.starts_with(prefix))
}

/// A log router under a name of the user's choice: it runs one of the two programs that FireLens knows.
fn routes_logs(container: &Container) -> bool {
    let repository = container.image.rsplit('/').next().unwrap_or_default();
    let name = repository.split([':', '@']).next().unwrap_or_default();
    ["aws-for-fluent-bit", "fluent-bit", "fluentd"].contains(&name)
}

fn may_be_app(container: &Container, own_name: &str) -> bool {
    container.kind == ContainerKind::Normal
        && container.name != own_name
        && !injected(&container.name)
        && !routes_logs(container)
}

/// Names of the containers whose end a stop waits for: `configured` as it stands; else the `wrapped` ones and those of
/// `health_synced`; else every normal container of `task` but our own, the injected ones and log routers (where we log
/// through FireLens, the log router waits for us). Sorted, each once.
///
/// A name need not be listed in `task`: on EC2 a container that was never pulled is not.
pub fn app_containers(
    task: &Task,
    own_name: &str,
    configured: Option<&[String]>,
    wrapped: &[String],
    health_synced: &[String],
) -> Vec<String> {
    let mut names: Vec<String> = match configured {
        // We cannot wait for our own end.
        Some(configured) => configured.iter().filter(|name| *name != own_name).cloned().collect(),
        None => {
            let listed = |name: &&String| {
                name.as_str() != own_name
                    && !injected(name)
                    && !task.container(name).is_some_and(routes_logs)
            };
            wrapped.iter().chain(health_synced).filter(listed).cloned().collect()
        }
    };
    if configured.is_none() && names.is_empty() {
        let apps = task.containers.iter().filter(|container| may_be_app(container, own_name));
        names.extend(apps.map(|container| container.name.clone()));
    }
    names.sort();
    names.dedup();
    names
}

/// Names of the containers whose ECS health is synced: the configured ones, or, for `auto`, those of `task` that
/// report health and may be apps. Sorted, each once.
///
/// With `auto` the list can grow: on EC2 a container that waits for another is not yet listed.
pub fn health_sync_containers(task: &Task, own_name: &str, configured: &Containers) -> Vec<String> {
    let mut names: Vec<String> = match configured {
        Containers::Named(names) => names.clone(),
        Containers::Auto => {
            let reporting = |container: &&Container| {
                container.health.is_some() && may_be_app(container, own_name)
            };
            let reporting = task.containers.iter().filter(reporting);
            reporting.map(|container| container.name.clone()).collect()
        }
    };
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
#[path = "apps_tests.rs"]
mod tests;
