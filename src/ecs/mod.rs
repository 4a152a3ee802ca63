//! The ECS task metadata endpoint, version 4: what the task and its containers do, as ECS sees it.
//!
//! | file | what |
//! |---|---|
//! | `metadata` | its bodies, read tolerantly: AWS promises only to add fields |
//! | `client` | reading them, with a deadline and a size limit |
//! | `apps` | which containers are apps, and which of them report health (pure) |

mod apps;
mod client;
mod metadata;

pub use apps::{app_containers, health_sync_containers, injected};
pub use client::{METADATA_URI_ENV, MetadataClient, MetadataError};
pub use metadata::{
    Container, ContainerKind, Health, HealthStatus, Network, Status, Task, TaskIdentity,
};
