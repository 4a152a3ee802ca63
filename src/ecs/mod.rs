//! ECS: the task metadata endpoint, version 4, which tells what the task and its containers do, and the one thing that
//! it does not tell.
//!
//! | file | what |
//! |---|---|
//! | `metadata` | its bodies, read tolerantly: AWS promises only to add fields |
//! | `client` | reading them, with a deadline and a size limit |
//! | `definition` | the task's definition, through the ECS API: which containers are essential |
//! | `apps` | which containers are apps, and which of them report health (pure) |

mod apps;
mod client;
mod definition;
mod metadata;

pub use apps::{app_containers, injected, reporting_containers, synced_by_definition};
pub use client::{LastTask, METADATA_URI_ENV, MetadataClient, MetadataError};
pub(crate) use definition::region_of;
pub use definition::{
    AwsAccess, DefinedContainer, DefinitionError, DefinitionReader, TaskDefinition,
};
pub use metadata::{
    Container, ContainerKind, Health, HealthStatus, Network, Status, Task, TaskIdentity,
};
