//! The mesh on which it is measured, and the programs.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;
use taskmesh::consul::{Version, parse_version};

use crate::cluster::{Backend, Cluster, TaskPlan};

/// See the module's text.
pub(super) struct Site {
    pub(super) cluster: Cluster,
    /// The agent's.
    pub(super) version: Version,
    /// The binary that is measured.
    pub(super) taskmesh: PathBuf,
}

impl Site {
    /// Starts the servers.
    pub(super) async fn start(backend: Backend, taskmesh: &Path) -> Result<Self> {
        let cluster = Cluster::start(backend).await?;
        let said = Command::new(cluster.consul()).arg("version").output()?;
        let version = parse_version(&String::from_utf8_lossy(&said.stdout));
        let version = version.context("no version in what `consul version` says")?;
        Ok(Self { cluster, version, taskmesh: taskmesh.to_owned() })
    }

    /// A task with the taskmesh that is measured.
    pub(super) fn plan(&self, name: &str, service: &str, definition: Value) -> TaskPlan {
        let taskmesh = self.taskmesh.display().to_string();
        TaskPlan::new(name, service, definition).var("taskmesh", taskmesh)
    }
}
