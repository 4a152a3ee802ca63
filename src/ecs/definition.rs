//! The task's own definition, asked of the ECS API: the one place that says which containers are essential.
//!
//! One call, `DescribeTaskDefinition` of the `family:revision` that the metadata names
//! (<https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTaskDefinition.html>), with the task role's
//! credentials. The SDK behind it is the cargo feature `aws`.

#[cfg(feature = "aws")]
#[path = "definition/aws.rs"]
mod api;
#[cfg(not(feature = "aws"))]
#[path = "definition/no_aws.rs"]
mod api;

use super::TaskIdentity;
use crate::config::Env;
use std::time::Duration;

/// A task definition, as far as it matters here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskDefinition {
    /// Its containers, in its order.
    pub containers: Vec<DefinedContainer>,
}

/// A container of a [`TaskDefinition`]. What ECS injects is not among them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DefinedContainer {
    /// Its name.
    pub name: String,
    /// Its end ends the task. ECS takes a container that does not say so for essential.
    pub essential: bool,
    /// ECS checks its health.
    pub health_check: bool,
    /// It is the task's FireLens log router.
    pub routes_logs: bool,
    /// From its stop signal to ECS's KILL, where the definition says so.
    pub stop_timeout: Option<Duration>,
    /// Containers that must have got somewhere before this one starts. They are stopped only after it.
    pub depends_on: Vec<String>,
}

/// `stopTimeout` of a container that has none: ECS's default, which an EC2 instance can change for its containers
/// (`ECS_CONTAINER_STOP_TIMEOUT`).
const DEFAULT_STOP_TIMEOUT: Duration = Duration::from_secs(30);

impl TaskDefinition {
    /// The container of this name.
    pub fn container(&self, name: &str) -> Option<&DefinedContainer> {
        self.containers.iter().find(|container| container.name == name)
    }
}

impl DefinedContainer {
    /// From its stop signal to ECS's KILL: 30 s where the definition does not say.
    pub fn time_to_stop(&self) -> Duration {
        self.stop_timeout.unwrap_or(DEFAULT_STOP_TIMEOUT)
    }
}

/// Why the definition could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionError {
    /// Asking again will not help: no role, no permission, no such definition.
    #[error("{0}")]
    Refused(String),
    /// It may pass: throttling, no connection, a server's fault.
    #[error("{0}")]
    Failing(String),
}

/// Where the environment may have credentials for the ECS API. Nothing here is read for its value: that is the SDK's.
///
/// ECS sets the first one in a task that has a role. The instance's own role (IMDS) is left out: it is not the task's,
/// and where it is blocked, as it should be, finding that out takes seconds.
const CREDENTIALS: [&str; 7] = [
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_PROFILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CONFIG_FILE",
];

/// What the environment has for asking AWS's APIs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AwsAccess {
    credentials: bool,
    region: Option<String>,
}

impl AwsAccess {
    /// For whoever knows the region already.
    #[cfg(feature = "aws")]
    pub(crate) fn in_region(region: &str) -> Self {
        Self { region: Some(region.to_owned()), ..Self::default() }
    }

    /// The region that the environment names.
    pub(crate) fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    /// Looks it up.
    pub fn from_env(env: &dyn Env) -> Self {
        let text = |name: &&str| env.var(name)?.into_string().ok().filter(|text| !text.is_empty());
        Self {
            credentials: CREDENTIALS.iter().any(|name| text(name).is_some()),
            region: ["AWS_REGION", "AWS_DEFAULT_REGION"].iter().find_map(text),
        }
    }
}

/// The question and whom to ask. Holds connections and credentials: drop it once there is an answer.
#[derive(Debug)]
pub struct DefinitionReader {
    name: String,
    api: api::Api,
}

impl DefinitionReader {
    /// Prepares to ask for the definition of `task`. Waits for nothing but files.
    ///
    /// # Errors
    /// [`DefinitionError::Refused`] if it cannot even be asked.
    pub async fn open(access: &AwsAccess, task: &TaskIdentity) -> Result<Self, DefinitionError> {
        let (name, region) = question(access, task, api::AVAILABLE)?;
        Ok(Self { name, api: api::Api::connect(region).await })
    }

    /// Asks, once. Bounded by 5 s; dropping the future ends it.
    ///
    /// # Errors
    /// [`DefinitionError`].
    pub async fn read(&self) -> Result<TaskDefinition, DefinitionError> {
        self.api.describe(&self.name).await
    }
}

/// What to ask for, `family:revision`, and in which region. `built`: with the AWS parts.
fn question(
    access: &AwsAccess,
    task: &TaskIdentity,
    built: bool,
) -> Result<(String, String), DefinitionError> {
    let refused = |why: &str| Err(DefinitionError::Refused(why.to_owned()));
    if !built {
        return refused("this build of taskmesh has no AWS parts (cargo feature `aws`)");
    }
    if !access.credentials {
        return refused("no task role (AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is not set)");
    }
    if task.family.is_empty() || task.revision.is_empty() {
        return refused("the task metadata does not name the task definition");
    }
    let Some(region) = access.region.clone().or_else(|| region_of(&task.task_arn)) else {
        return refused("no AWS_REGION, and none in the task's ARN");
    };
    Ok((format!("{}:{}", task.family, task.revision), region))
}

/// The region of an ARN: its fourth field.
pub(crate) fn region_of(arn: &str) -> Option<String> {
    arn.split(':').nth(3).filter(|region| !region.is_empty()).map(str::to_owned)
}

#[cfg(test)]
#[path = "definition_tests.rs"]
mod tests;
