//! The task definition: the shape of `RegisterTaskDefinition` (AWS API reference), as far as the
//! simulation uses it. Other keys are ignored, as they are ordinary and do nothing here.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::check::DefinitionError;

/// A task definition.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskDefinition {
    /// Name of the definition's series.
    pub family: String,
    /// Number in the series; AWS gives it at registration.
    #[serde(default = "one")]
    pub revision: u32,
    /// Task-level CPU units, as a string ("256").
    pub cpu: Option<String>,
    /// Task-level memory in MiB, as a string ("512").
    pub memory: Option<String>,
    /// The containers, in the order of the definition.
    pub container_definitions: Vec<ContainerDefinition>,
}

/// One container of a [`TaskDefinition`].
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerDefinition {
    /// Unique in the task.
    pub name: String,
    /// Only shown in the metadata.
    #[serde(default)]
    pub image: String,
    /// Goes before `command`.
    #[serde(default)]
    pub entry_point: Vec<String>,
    /// Program and arguments, run on this machine.
    #[serde(default)]
    pub command: Vec<String>,
    /// Its exit stops the task.
    #[serde(default = "yes")]
    pub essential: bool,
    /// Variables.
    #[serde(default)]
    pub environment: Vec<KeyValue>,
    /// Variables whose values come from [`TaskSpec::secrets`](super::TaskSpec::secrets).
    #[serde(default)]
    pub secrets: Vec<Secret>,
    /// What must have happened to other containers before this one starts.
    #[serde(default)]
    pub depends_on: Vec<Dependency>,
    /// Run inside the container.
    pub health_check: Option<HealthCheck>,
    /// Seconds from the stop signal to KILL; 30 if not set. Fractions are the testbed's own.
    pub stop_timeout: Option<f64>,
    /// Seconds from this container's start until those waiting for it give up.
    pub start_timeout: Option<f64>,
    /// CPU units.
    #[serde(default)]
    pub cpu: u32,
    /// Hard limit in MiB; only shown.
    pub memory: Option<u32>,
    /// `uid[:gid]`, in numbers.
    pub user: Option<String>,
    /// The root file system cannot be written to, save for [`TaskSpec::writable`](super::TaskSpec::writable); needs root
    /// and a PID namespace.
    #[serde(default)]
    pub readonly_root_filesystem: bool,
    /// Working directory.
    pub working_directory: Option<String>,
    /// Shown in the metadata.
    #[serde(default)]
    pub docker_labels: BTreeMap<String, String>,
    /// Shown in the metadata.
    pub log_configuration: Option<LogConfiguration>,
    /// Restarts by the platform.
    pub restart_policy: Option<RestartPolicy>,
}

/// An entry of `environment`.
#[derive(Debug, Clone, Deserialize)]
pub struct KeyValue {
    /// Variable.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// An entry of `secrets`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Secret {
    /// Variable.
    pub name: String,
    /// Which secret: an ARN.
    pub value_from: String,
}

/// An entry of `dependsOn`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dependency {
    /// The other container.
    pub container_name: String,
    /// What must be true of it.
    pub condition: Condition,
}

/// When a dependency is fulfilled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Condition {
    /// It runs or has run.
    Start,
    /// It has stopped.
    Complete,
    /// It has stopped with code 0.
    Success,
    /// Its health check passes.
    Healthy,
}

/// `healthCheck`; times in seconds.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// `["CMD", ...]`, `["CMD-SHELL", "..."]` or `["NONE"]`.
    pub command: Vec<String>,
    /// From the end of a probe to the next.
    #[serde(default = "thirty")]
    pub interval: f64,
    /// After which a probe counts as failed.
    #[serde(default = "five")]
    pub timeout: f64,
    /// Failures in a row until UNHEALTHY.
    #[serde(default = "three")]
    pub retries: u32,
    /// Time after the start in which failures do not count.
    #[serde(default)]
    pub start_period: f64,
}

/// `logConfiguration`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogConfiguration {
    /// Name of the driver.
    pub log_driver: String,
    /// Its options.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

/// `restartPolicy`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestartPolicy {
    /// Whether it does anything.
    pub enabled: bool,
    /// Exits that are final.
    #[serde(default)]
    pub ignored_exit_codes: Vec<i32>,
    /// Seconds that it must have run to be restarted.
    #[serde(default = "five_minutes")]
    pub restart_attempt_period: f64,
}

fn one() -> u32 {
    1
}
fn yes() -> bool {
    true
}
fn thirty() -> f64 {
    30.0
}
fn five() -> f64 {
    5.0
}
fn three() -> u32 {
    3
}
fn five_minutes() -> f64 {
    300.0
}

impl TaskDefinition {
    /// Parses and checks a task definition.
    ///
    /// # Errors
    /// What ECS would refuse, or the simulation cannot run.
    pub fn from_json(json: serde_json::Value) -> Result<Self, DefinitionError> {
        let this: Self =
            serde_json::from_value(json).map_err(|e| DefinitionError::Shape(e.to_string()))?;
        this.check()?;
        Ok(this)
    }

    /// The container of that name.
    #[must_use]
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.container_definitions.iter().position(|c| c.name == name)
    }
}

impl ContainerDefinition {
    /// User and group ids; the group is the user's number if not given.
    pub(crate) fn user_ids(&self) -> Option<(u32, u32)> {
        let user = self.user.as_deref()?;
        let (uid, gid) = user.split_once(':').unwrap_or((user, user));
        Some((uid.parse().ok()?, gid.parse().ok()?))
    }

    /// Program and arguments.
    pub(crate) fn argv(&self) -> impl Iterator<Item = &String> {
        self.entry_point.iter().chain(&self.command)
    }

    /// What a probe runs; `None` without a health check.
    pub(crate) fn probe(&self) -> Option<Vec<String>> {
        self.health_check.as_ref()?.probe()
    }
}

impl HealthCheck {
    pub(super) fn is_none(&self) -> bool {
        self.command == ["NONE"]
    }

    pub(super) fn probe(&self) -> Option<Vec<String>> {
        match self.command.split_first()? {
            (kind, rest) if kind == "CMD" && !rest.is_empty() => Some(rest.to_vec()),
            (kind, [script]) if kind == "CMD-SHELL" => {
                Some(vec!["/bin/sh".to_owned(), "-c".to_owned(), script.clone()])
            }
            _ => None,
        }
    }
}
