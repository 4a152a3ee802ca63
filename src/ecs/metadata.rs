//! Bodies of the task metadata endpoint v4
//! (<https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4-response.html>).
//!
//! Only what we use. Unknown keys are ignored, and nearly everything may be absent: on EC2 a container that waits for
//! another is not listed at all, on Fargate it may be listed as pulled; the order of containers is random.

use crate::wire::null_as_default;
use serde::Deserialize;

/// `GET <base>/task`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Task {
    /// EC2: normally the short name; Fargate: the cluster's ARN.
    #[serde(deserialize_with = "null_as_default")]
    pub cluster: String,
    /// The task's ARN.
    #[serde(rename = "TaskARN", deserialize_with = "null_as_default")]
    pub task_arn: String,
    /// Family of the task definition.
    #[serde(deserialize_with = "null_as_default")]
    pub family: String,
    /// Revision of the task definition, a number as text.
    #[serde(deserialize_with = "null_as_default")]
    pub revision: String,
    /// Where the task runs, for example `us-west-2d`; absent where ECS does not know.
    #[serde(deserialize_with = "null_as_default")]
    pub availability_zone: String,
    /// What ECS wants: STOPPED as soon as a stop is requested.
    #[serde(deserialize_with = "null_as_default")]
    pub desired_status: Status,
    /// The least of the containers' statuses.
    #[serde(deserialize_with = "null_as_default")]
    pub known_status: Status,
    /// The containers that ECS tells of, in random order.
    #[serde(deserialize_with = "null_as_default")]
    pub containers: Vec<Container>,
}

/// One container of a [`Task`]; also `GET <base>`, our own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Container {
    /// Name in the task definition.
    pub name: String,
    /// Empty before the container is created.
    #[serde(deserialize_with = "null_as_default")]
    pub docker_id: String,
    /// The image, as in the task definition.
    #[serde(deserialize_with = "null_as_default")]
    pub image: String,
    /// What ECS wants.
    #[serde(deserialize_with = "null_as_default")]
    pub desired_status: Status,
    /// What ECS has seen.
    #[serde(deserialize_with = "null_as_default")]
    pub known_status: Status,
    /// Present if the task definition has a health check for it, and only then.
    pub health: Option<Health>,
    /// The task's own containers are normal.
    #[serde(rename = "Type", deserialize_with = "null_as_default")]
    pub kind: ContainerKind,
    /// When it was started, RFC 3339; absent while it was not. New with every run of a restart policy.
    pub started_at: Option<String>,
    /// When it stopped, RFC 3339; absent while it has not.
    pub finished_at: Option<String>,
    /// After its exit only. 143 also for one that never started.
    pub exit_code: Option<i64>,
    /// Present if it has a restart policy, from 0 on. A restart keeps `docker_id`.
    pub restart_count: Option<u32>,
    /// Its network interfaces; containers of an awsvpc task all show the task's.
    #[serde(deserialize_with = "null_as_default")]
    pub networks: Vec<Network>,
}

/// Status of a task or of a container. These are not the names of the ECS API.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs)]
pub enum Status {
    /// Also a key that is absent.
    #[default]
    None,
    ManifestPulled,
    Pulled,
    Created,
    Running,
    ResourcesProvisioned,
    Stopped,
    /// A name that we do not know.
    #[serde(other)]
    Other,
}

/// A container's ECS health. The EC2 agent fills it anew only when the status changes (`SetHealthStatus` in
/// amazon-ecs-agent's `container.go`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Health {
    /// Absent on EC2 while unknown.
    pub status: Option<HealthStatus>,
    /// Since when it has this status, RFC 3339, by the clock of the ECS agent.
    pub status_since: Option<String>,
    /// Exit code of the probe that made it UNHEALTHY (-1: it took too long). Beware: it stays after a recovery.
    pub exit_code: Option<i64>,
    /// Output of the probe that changed the status; at most 1024 bytes, from the app.
    pub output: Option<String>,
}

/// The verdict of a container's health check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs)]
pub enum HealthStatus {
    Healthy,
    Unhealthy,
    /// `UNKNOWN`, and every name that we do not know.
    #[serde(other)]
    Unknown,
}

impl HealthStatus {
    /// The wire name.
    pub fn as_str(self) -> &'static str {
        match self {
            HealthStatus::Healthy => "HEALTHY",
            HealthStatus::Unhealthy => "UNHEALTHY",
            HealthStatus::Unknown => "UNKNOWN",
        }
    }
}

/// What a container is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ContainerKind {
    /// From the task definition, or injected under a name of its own.
    #[default]
    Normal,
    /// ECS's own: pause containers, volumes, managed daemons.
    #[serde(other)]
    Internal,
}

/// A network interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Network {
    /// IPv4 addresses; absent in an IPv6-only subnet.
    #[serde(rename = "IPv4Addresses", deserialize_with = "null_as_default")]
    pub ipv4_addresses: Vec<String>,
    /// IPv6 addresses.
    #[serde(rename = "IPv6Addresses", deserialize_with = "null_as_default")]
    pub ipv6_addresses: Vec<String>,
}

/// What names a task: fixed for its life.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskIdentity {
    /// The task's ARN.
    pub task_arn: String,
    /// The last part of the ARN.
    pub task_id: String,
    /// Family of the task definition.
    pub family: String,
    /// Revision of the task definition.
    pub revision: String,
    /// The cluster as the metadata has it.
    pub cluster: String,
    /// The task's first IPv4 address.
    pub ipv4: Option<String>,
    /// The availability zone, empty if ECS does not tell it.
    pub availability_zone: String,
}

impl TaskIdentity {
    /// The region: the fourth part of the task's ARN (`arn:aws:ecs:REGION:ACCOUNT:task/..`), empty if that is none.
    pub fn region(&self) -> &str {
        match self.task_arn.split(':').collect::<Vec<_>>()[..] {
            ["arn", _, "ecs", region, ..] => region,
            _ => "",
        }
    }
}

impl Task {
    /// The last part of the task's ARN.
    pub fn task_id(&self) -> &str {
        self.task_arn.rsplit('/').next().unwrap_or_default()
    }

    /// The first IPv4 address of the task: all containers of an awsvpc task show the same; one that is only pulled
    /// shows none.
    pub fn ipv4(&self) -> Option<&str> {
        let mut networks = self.containers.iter().flat_map(|container| &container.networks);
        networks.find_map(|network| network.ipv4_addresses.first()).map(String::as_str)
    }

    /// The container of this name.
    pub fn container(&self, name: &str) -> Option<&Container> {
        self.containers.iter().find(|container| container.name == name)
    }

    /// ECS has begun to stop the task, or has seen it stopped.
    pub fn is_stopping(&self) -> bool {
        self.desired_status == Status::Stopped || self.known_status == Status::Stopped
    }

    /// What names the task. `None` while the metadata is not yet filled in.
    pub fn identity(&self) -> Option<TaskIdentity> {
        if self.task_id().is_empty() {
            return None;
        }
        Some(TaskIdentity {
            task_arn: self.task_arn.clone(),
            task_id: self.task_id().to_owned(),
            family: self.family.clone(),
            revision: self.revision.clone(),
            cluster: self.cluster.clone(),
            ipv4: self.ipv4().map(str::to_owned),
            availability_zone: self.availability_zone.clone(),
        })
    }
}

impl Container {
    /// It has stopped for good. One that is only known as stopped may be started again by its restart policy.
    pub fn is_stopped(&self) -> bool {
        self.desired_status == Status::Stopped && self.known_status == Status::Stopped
    }

    /// It was started at least once. An exit code proves nothing: ECS gives 143 to one that never ran.
    pub fn has_run(&self) -> bool {
        self.started_at.is_some() || self.known_status == Status::Running
    }

    /// The verdict of its health check: `None` if it has no health check.
    pub fn health_status(&self) -> Option<HealthStatus> {
        self.health.as_ref().map(|health| health.status.unwrap_or(HealthStatus::Unknown))
    }
}

#[cfg(test)]
#[path = "metadata_tests.rs"]
mod tests;
