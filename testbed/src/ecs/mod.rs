//! A simulated ECS task: the parts of AWS that the containers of a task can see, on one
//! [`Host`](crate::net::Host).
//!
//! The input is an ordinary task definition, except that a container's `entryPoint` and `command`
//! are run on this machine and its `image` only shows in the metadata, unless [`TaskSpec::roots`] has the image's files.
//! What is reproduced, and
//! where it comes from: AWS's documentation, the published source of `aws/amazon-ecs-agent` (EC2)
//! and Docker's health check (`moby/moby` `daemon/health.go`). Where Fargate is not documented the
//! simulation follows the agent.
//!
//! | file | what it knows |
//! |---|---|
//! | `definition`, `check` | the task definition: its shape, and what ECS refuses |
//! | `spec` | what else a task needs: flavour, order of stopping, time scale |
//! | `state` | the task's and containers' states, and what they tell to watchers |
//! | `gates` | pure: which container may start, which may get its signal |
//! | `health` | pure: Docker's rules for a health check |
//! | `register` | what else ECS says at registration |
//! | `engine` | the loop that starts, watches and stops containers |
//! | `container` | one container's process, environment and probes |
//! | `metadata` | the task metadata endpoint, throttling and faults |
//! | `task` | the handle that tests hold |

mod check;
mod container;
mod definition;
mod engine;
mod gates;
mod health;
mod ids;
mod metadata;
mod register;
mod spec;
mod state;
mod task;

pub use check::DefinitionError;
pub use definition::{
    Condition, ContainerDefinition, Dependency, HealthCheck, RestartPolicy, TaskDefinition,
};
pub use metadata::{Fault, Metadata, Request};
pub use register::refusals;
pub use spec::{Flavour, StopOrder, TaskSpec};
pub use state::{ContainerEvent, Health, Status, TaskEvent, What};
pub use task::{Container, ContainerResult, EcsTask, StartError, TaskResult};
