//! Pure: which container may start, and which may get its stop signal.
//!
//! The rules are those of `aws/amazon-ecs-agent` (`dependencygraph/graph.go`, `task_manager.go`).

use std::time::Duration;

use super::definition::{Condition, Dependency, TaskDefinition};
use super::spec::StopOrder;
use super::state::{Health, Status};

/// Exit code of a container that never started because its dependencies became impossible.
pub(super) const NEVER_STARTED: i32 = 143;

/// What the gates need to know of a container.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) known: Status,
    pub(super) exit_code: Option<i32>,
    pub(super) health: Health,
    /// Time since it started; `None` if it never did.
    pub(super) running_for: Option<Duration>,
}

/// Whether a container may start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Gate {
    /// Now.
    Open,
    /// Not yet.
    Shut,
    /// Not any more; why.
    Never(String),
}

/// Whether `container` may start, given what is seen of all.
pub(super) fn start(task: &TaskDefinition, container: usize, seen: &[Seen]) -> Gate {
    let mut answer = Gate::Open;
    for dependency in &task.container_definitions[container].depends_on {
        // Checked at parsing.
        let Some(index) = task.index_of(&dependency.container_name) else { continue };
        let limit = task.container_definitions[index].start_timeout;
        match one(dependency, seen[index], limit) {
            Gate::Open => {}
            Gate::Shut => answer = Gate::Shut,
            never @ Gate::Never(_) => return never,
        }
    }
    answer
}

fn one(dependency: &Dependency, target: Seen, start_timeout: Option<f64>) -> Gate {
    let Dependency { container_name: name, condition } = dependency;
    let stopped = target.known == Status::Stopped;
    if stopped && target.running_for.is_none() {
        return Gate::Never(format!("{name} never started"));
    }
    let fulfilled = match condition {
        Condition::Start => target.known >= Status::Running,
        Condition::Complete => stopped,
        Condition::Success => stopped && target.exit_code == Some(0),
        Condition::Healthy => !stopped && target.health == Health::Healthy,
    };
    if fulfilled {
        return Gate::Open;
    }
    if stopped {
        return Gate::Never(format!("{name} stopped before {condition:?}"));
    }
    let late = target
        .running_for
        .zip(start_timeout)
        .is_some_and(|(age, limit)| limit > 0.0 && age.as_secs_f64() >= limit);
    if late && *condition != Condition::Start {
        return Gate::Never(format!("{name} passed its startTimeout"));
    }
    Gate::Shut
}

/// Whether `container`, which runs in a task that is to stop, may get its signal now.
pub(super) fn stop(
    task: &TaskDefinition,
    container: usize,
    seen: &[Seen],
    order: StopOrder,
) -> bool {
    let name = &task.container_definitions[container].name;
    // Any condition holds it back, and only direct dependents count.
    let needed = || {
        task.container_definitions.iter().zip(seen).any(|(other, seen)| {
            seen.known != Status::Stopped
                && other.depends_on.iter().any(|dependency| dependency.container_name == *name)
        })
    };
    order == StopOrder::AllAtOnce || !needed()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const RUNNING: Seen = Seen {
        known: Status::Running,
        exit_code: None,
        health: Health::Unknown,
        running_for: Some(Duration::from_secs(3)),
    };
    const STOPPED: Seen = Seen { known: Status::Stopped, exit_code: Some(0), ..RUNNING };
    const FAILED: Seen = Seen { exit_code: Some(1), ..STOPPED };
    const HEALTHY: Seen = Seen { health: Health::Healthy, ..RUNNING };
    const WAITING: Seen =
        Seen { known: Status::None, exit_code: None, health: Health::Unknown, running_for: None };
    const NEVER: Seen = Seen { known: Status::Stopped, exit_code: Some(143), ..WAITING };

    fn task(condition: &str) -> TaskDefinition {
        TaskDefinition::from_json(json!({"family": "f", "containerDefinitions": [
            {"name": "dep", "command": ["x"], "essential": false, "startTimeout": 5,
             "healthCheck": {"command": ["CMD", "x"]}},
            {"name": "app", "command": ["x"],
             "dependsOn": [{"containerName": "dep", "condition": condition}]},
        ]}))
        .expect("valid")
    }

    #[test]
    fn each_condition_opens_on_its_own_state() {
        let table = [
            ("START", [("w", WAITING), ("r", RUNNING), ("s", FAILED)], [false, true, true]),
            ("COMPLETE", [("w", WAITING), ("r", RUNNING), ("s", FAILED)], [false, false, true]),
            ("SUCCESS", [("w", WAITING), ("r", RUNNING), ("s", STOPPED)], [false, false, true]),
            ("HEALTHY", [("w", WAITING), ("r", RUNNING), ("h", HEALTHY)], [false, false, true]),
        ];
        for (condition, states, open) in table {
            for ((name, state), open) in states.into_iter().zip(open) {
                let wanted = if open { Gate::Open } else { Gate::Shut };
                let gate = start(&task(condition), 1, &[state, WAITING]);
                assert_eq!(gate, wanted, "{condition} on {name}");
            }
        }
    }

    #[test]
    fn what_can_no_longer_be_fulfilled_is_never() {
        let late = Seen { running_for: Some(Duration::from_secs(5)), ..RUNNING };
        let never = [
            ("SUCCESS", FAILED),
            ("HEALTHY", STOPPED),
            ("START", NEVER),
            ("COMPLETE", NEVER),
            ("HEALTHY", late),
            ("COMPLETE", late),
        ];
        for (condition, state) in never {
            let gate = start(&task(condition), 1, &[state, WAITING]);
            assert!(matches!(gate, Gate::Never(_)), "{condition} on {state:?}: {gate:?}");
        }
    }

    #[test]
    fn a_dependency_is_stopped_after_its_dependents() {
        let task = task("START");
        let ordered = StopOrder::ReverseDependsOn;
        assert!(stop(&task, 1, &[RUNNING, RUNNING], ordered));
        assert!(!stop(&task, 0, &[RUNNING, RUNNING], ordered));
        assert!(stop(&task, 0, &[RUNNING, STOPPED], ordered));
        assert!(stop(&task, 0, &[RUNNING, RUNNING], StopOrder::AllAtOnce));
    }
}
