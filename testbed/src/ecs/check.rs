//! What ECS refuses at registration, and what cannot be run here.

use std::time::Duration;

use super::definition::{Condition, ContainerDefinition, Dependency, TaskDefinition};

/// What ECS would refuse, or the simulation cannot run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionError {
    /// Not the shape of a task definition.
    #[error("not a task definition: {0}")]
    Shape(String),
    /// No containers.
    #[error("a task needs at least one container")]
    Empty,
    /// No container is essential.
    #[error("a task needs at least one essential container")]
    NoEssential,
    /// Two containers share a name.
    #[error("two containers are called {0:?}")]
    Duplicate(String),
    /// Nothing to run.
    #[error("container {0:?} has neither entryPoint nor command: images are not run here")]
    NoCommand(String),
    /// `dependsOn` names nobody.
    #[error("container {from:?} depends on {to:?}, which is not in the task")]
    Unknown {
        /// The dependent.
        from: String,
        /// The name.
        to: String,
    },
    /// The dependencies form a ring.
    #[error("the dependencies of {0:?} lead back to itself")]
    Cycle(String),
    /// COMPLETE or SUCCESS on an essential container: its exit stops the task.
    #[error("container {from:?} waits for the exit of {to:?}, which is essential")]
    EssentialExit {
        /// The dependent.
        from: String,
        /// The dependency.
        to: String,
    },
    /// HEALTHY on a container without a health check.
    #[error("container {from:?} waits for the health of {to:?}, which has no healthCheck")]
    NoHealthCheck {
        /// The dependent.
        from: String,
        /// The dependency.
        to: String,
    },
    /// A health check that is none.
    #[error("the healthCheck of {0:?} must begin with CMD, CMD-SHELL or NONE and have a command")]
    HealthCommand(String),
    /// A `user` by name: there is no image to look it up in.
    #[error("the user of {0:?} must be numbers, uid or uid:gid")]
    User(String),
    /// A negative or absurd number of seconds.
    #[error("container {0:?} has a time that is no time")]
    Time(String),
}

impl TaskDefinition {
    pub(super) fn check(&self) -> Result<(), DefinitionError> {
        let containers = &self.container_definitions;
        if containers.is_empty() {
            return Err(DefinitionError::Empty);
        }
        if !containers.iter().any(|c| c.essential) {
            return Err(DefinitionError::NoEssential);
        }
        for (index, container) in containers.iter().enumerate() {
            if self.index_of(&container.name) != Some(index) {
                return Err(DefinitionError::Duplicate(container.name.clone()));
            }
            container.check()?;
            for dependency in &container.depends_on {
                self.check_dependency(container, dependency)?;
            }
            if self.leads_to(index, index, containers.len()) {
                return Err(DefinitionError::Cycle(container.name.clone()));
            }
        }
        Ok(())
    }

    fn check_dependency(
        &self,
        container: &ContainerDefinition,
        dependency: &Dependency,
    ) -> Result<(), DefinitionError> {
        let (from, to) = (container.name.clone(), dependency.container_name.clone());
        let Some(index) = self.index_of(&to) else {
            return Err(DefinitionError::Unknown { from, to });
        };
        let target = &self.container_definitions[index];
        match dependency.condition {
            Condition::Complete | Condition::Success if target.essential => {
                Err(DefinitionError::EssentialExit { from, to })
            }
            Condition::Healthy if target.probe().is_none() => {
                Err(DefinitionError::NoHealthCheck { from, to })
            }
            _ => Ok(()),
        }
    }

    fn leads_to(&self, from: usize, to: usize, depth: usize) -> bool {
        depth > 0
            && self.container_definitions[from].depends_on.iter().any(|dependency| {
                self.index_of(&dependency.container_name)
                    .is_some_and(|next| next == to || self.leads_to(next, to, depth - 1))
            })
    }
}

impl ContainerDefinition {
    fn check(&self) -> Result<(), DefinitionError> {
        let name = || self.name.clone();
        if self.entry_point.is_empty() && self.command.is_empty() {
            return Err(DefinitionError::NoCommand(name()));
        }
        let health = self.health_check.as_ref();
        if health.is_some_and(|check| check.probe().is_none() && !check.is_none()) {
            return Err(DefinitionError::HealthCommand(name()));
        }
        if self.user.is_some() && self.user_ids().is_none() {
            return Err(DefinitionError::User(name()));
        }
        let times = [self.stop_timeout, self.start_timeout]
            .into_iter()
            .flatten()
            .chain(self.restart_policy.iter().map(|policy| policy.restart_attempt_period))
            .chain(health.into_iter().flat_map(|c| [c.interval, c.timeout, c.start_period]));
        for seconds in times {
            Duration::try_from_secs_f64(seconds).map_err(|_| DefinitionError::Time(name()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parse(containers: Value) -> Result<TaskDefinition, DefinitionError> {
        TaskDefinition::from_json(json!({"family": "web", "containerDefinitions": containers}))
    }

    #[test]
    fn defaults_are_those_of_ecs() {
        let task = parse(json!([{
            "name": "app", "image": "x", "command": ["true"], "portMappings": [],
            "healthCheck": {"command": ["CMD-SHELL", "exit 0"]}
        }]))
        .expect("valid");
        let app = &task.container_definitions[0];
        let check = app.health_check.as_ref().expect("a check");
        assert!(app.essential);
        assert_eq!((check.interval, check.timeout, check.retries), (30.0, 5.0, 3));
        assert_eq!(app.probe().expect("a probe"), ["/bin/sh", "-c", "exit 0"]);
    }

    #[test]
    fn what_ecs_refuses_is_refused() {
        let depends = |condition: &str, essential: bool| {
            parse(json!([
                {"name": "a", "command": ["true"], "essential": essential},
                {"name": "b", "command": ["true"],
                 "dependsOn": [{"containerName": "a", "condition": condition}]}
            ]))
        };
        let pair = || ("b".to_owned(), "a".to_owned());
        let (from, to) = pair();
        assert_eq!(
            depends("HEALTHY", true).err(),
            Some(DefinitionError::NoHealthCheck { from, to })
        );
        let (from, to) = pair();
        assert_eq!(
            depends("SUCCESS", true).err(),
            Some(DefinitionError::EssentialExit { from, to })
        );
        assert!(depends("SUCCESS", false).is_ok());
        assert!(depends("START", true).is_ok());
        assert!(matches!(depends("READY", true), Err(DefinitionError::Shape(_))));
        let ring = parse(json!([
            {"name": "a", "command": ["true"],
             "dependsOn": [{"containerName": "b", "condition": "START"}]},
            {"name": "b", "command": ["true"],
             "dependsOn": [{"containerName": "a", "condition": "START"}]}
        ]));
        assert_eq!(ring.err(), Some(DefinitionError::Cycle("a".to_owned())));
        assert_eq!(parse(json!([])).err(), Some(DefinitionError::Empty));
        let no_command = parse(json!([{"name": "a", "image": "nginx"}]));
        assert_eq!(no_command.err(), Some(DefinitionError::NoCommand("a".to_owned())));
    }
}
