//! Which Consul a cluster runs on, and where the programs are.

use crate::parts::{self, Missing};
use anyhow::{Result, bail};
use std::path::PathBuf;

/// Which Consul.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backend {
    /// The stand-in of [`crate::mesh`]: for development only.
    DevMesh,
    /// A real, current Consul.
    Consul(PathBuf),
}

/// The programs that a cluster runs.
#[derive(Debug)]
pub(super) struct Programs {
    /// The server's.
    pub(super) server: PathBuf,
    /// The agents'.
    pub(super) consul: PathBuf,
    pub(super) envoy: PathBuf,
    pub(super) taskmesh: PathBuf,
    pub(super) testbed: PathBuf,
}

impl Backend {
    /// `CONSUL_BIN` if it is given, else the development mesh.
    ///
    /// # Errors
    /// If `CONSUL_BIN` names what is not there: then the user wants it, and must not get another.
    pub fn best() -> Result<Self, Missing> {
        match parts::consul() {
            Ok(path) => Ok(Self::Consul(path)),
            Err(Missing::NotSet { .. } | Missing::NotAvailable { .. }) => Ok(Self::DevMesh),
            Err(gone) => Err(gone),
        }
    }

    /// The programs of a cluster.
    pub(super) fn programs(&self) -> Result<Programs> {
        let consul = match self {
            Self::DevMesh => beside_us("dev-consul")?,
            Self::Consul(path) => path.clone(),
        };
        Ok(Programs {
            server: consul.clone(),
            consul,
            envoy: parts::envoy()?,
            taskmesh: beside_us("taskmesh")?,
            testbed: beside_us("testbed")?,
        })
    }

    /// For people.
    pub fn name(&self) -> String {
        match self {
            Self::DevMesh => "the development mesh (not Consul)".to_owned(),
            Self::Consul(path) => format!("the Consul at {}", path.display()),
        }
    }
}

/// The path of a binary of this workspace, built into the folder of the running program.
///
/// # Errors
/// If it is not there: `cargo build --workspace` makes it.
pub fn beside_us(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let dirs = own.ancestors().skip(1).take(2);
    for dir in dirs {
        let path = dir.join(name);
        if path.is_file() {
            return Ok(path);
        }
    }
    bail!("{name} is not built: run `cargo build --workspace`")
}
