//! The ECS API through AWS's SDK, with a client of our own: the SDK's default one brings aws-lc.

use super::{DefinedContainer, DefinitionError, TaskDefinition};
use crate::aws::{self, Kind};
use aws_sdk_ecs::Client;
use aws_sdk_ecs::types;
use std::time::Duration;

/// Whether this build can ask at all.
pub(super) const AVAILABLE: bool = true;

/// With the credentials that the call needs first.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The ECS API of one region.
#[derive(Debug)]
pub(super) struct Api(Client);

impl Api {
    /// With the default chain of credentials and `AWS_ENDPOINT_URL`, as the SDK reads them from the environment.
    pub(super) async fn connect(region: String) -> Self {
        Self(Client::new(&aws::connect(region).await))
    }

    pub(super) async fn describe(&self, name: &str) -> Result<TaskDefinition, DefinitionError> {
        let asked = self.0.describe_task_definition().task_definition(name).send();
        let answer = aws::ask("the ECS API", TIMEOUT, asked).await.map_err(sort)?;
        match answer.task_definition() {
            Some(definition) => Ok(TaskDefinition::from(definition)),
            None => Err(DefinitionError::Failing("the ECS API's answer is empty".to_owned())),
        }
    }
}

/// Whether asking again can help.
fn sort(error: aws::ApiError) -> DefinitionError {
    match error.kind {
        Kind::TooOften | Kind::Passing => DefinitionError::Failing(error.why),
        Kind::NotFound | Kind::Refused => DefinitionError::Refused(error.why),
    }
}

impl From<&types::TaskDefinition> for TaskDefinition {
    fn from(definition: &types::TaskDefinition) -> Self {
        let containers = definition.container_definitions();
        Self { containers: containers.iter().map(DefinedContainer::from).collect() }
    }
}

impl From<&types::ContainerDefinition> for DefinedContainer {
    fn from(container: &types::ContainerDefinition) -> Self {
        Self {
            name: container.name().unwrap_or_default().to_owned(),
            essential: container.essential().unwrap_or(true),
            // `["NONE"]` is Docker's word for none.
            health_check: container
                .health_check()
                .is_some_and(|check| check.command() != ["NONE".to_owned()]),
            routes_logs: container.firelens_configuration().is_some(),
            // Seconds; the API takes no negative ones.
            stop_timeout: container
                .stop_timeout()
                .and_then(|seconds| u64::try_from(seconds).ok())
                .map(Duration::from_secs),
            depends_on: container
                .depends_on()
                .iter()
                .map(|dependency| dependency.container_name().to_owned())
                .collect(),
        }
    }
}

#[cfg(test)]
#[path = "aws_tests.rs"]
mod tests;
