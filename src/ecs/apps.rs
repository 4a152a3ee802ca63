//! Which containers are apps, whose end we wait for, and which of them have a health to sync.

use super::{Container, ContainerKind, DefinedContainer, Task, TaskDefinition};

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
///
/// A log router is told by its name or its image, and by `definition` where that was read.
pub fn app_containers(
    task: &Task,
    own_name: &str,
    configured: Option<&[String]>,
    wrapped: &[String],
    health_synced: &[String],
    definition: Option<&TaskDefinition>,
) -> Vec<String> {
    let routes_logs = |name: &str| {
        task.container(name).is_some_and(routes_logs)
            || definition.and_then(|d| d.container(name)).is_some_and(|c| c.routes_logs)
    };
    let mut names: Vec<String> = match configured {
        // We cannot wait for our own end.
        Some(configured) => configured.iter().filter(|name| *name != own_name).cloned().collect(),
        None => {
            let listed =
                |name: &&String| name.as_str() != own_name && !injected(name) && !routes_logs(name);
            wrapped.iter().chain(health_synced).filter(listed).cloned().collect()
        }
    };
    if configured.is_none() && names.is_empty() {
        let apps = task.containers.iter().filter(|container| may_be_app(container, own_name));
        let apps = apps.filter(|container| !routes_logs(&container.name));
        names.extend(apps.map(|container| container.name.clone()));
    }
    sorted(names)
}

/// With `healthSync.containers: "auto"`, names of the containers whose ECS health is synced: those that are essential
/// and have an ECS health check, but our own, injected ones and the log router. Sorted.
pub fn synced_by_definition(definition: &TaskDefinition, own_name: &str) -> Vec<String> {
    let wanted = |container: &&DefinedContainer| {
        container.essential
            && container.health_check
            && container.name != own_name
            && !injected(&container.name)
            && !container.routes_logs
    };
    let wanted = definition.containers.iter().filter(wanted);
    sorted(wanted.map(|container| container.name.clone()).collect())
}

/// The same where the definition cannot be read: those of `task` that report health and may be apps, essential or not.
/// Sorted.
///
/// The list can grow: on EC2 a container that waits for another is not yet listed.
pub fn reporting_containers(task: &Task, own_name: &str) -> Vec<String> {
    let reporting =
        |container: &&Container| container.health.is_some() && may_be_app(container, own_name);
    let reporting = task.containers.iter().filter(reporting);
    sorted(reporting.map(|container| container.name.clone()).collect())
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
#[path = "apps_tests.rs"]
mod tests;
