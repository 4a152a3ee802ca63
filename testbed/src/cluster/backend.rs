//! Which Consul a cluster runs on, and where the programs are.

use crate::parts::{self, Missing};
use crate::scratch::script;
use anyhow::{Result, bail};
use std::path::{Path, PathBuf};

/// Which Consul.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backend {
    /// The stand-in of [`crate::mesh`]: for development only.
    DevMesh,
    /// A real, current Consul.
    Consul(PathBuf),
    /// Debian's Consul 1.8.7: real, but its xDS is v2, which Envoy dropped in 1.19. So Envoy is [`crate::envoy_stub`],
    /// and the bootstrap that this Consul prints is told to be v3.
    V187(PathBuf),
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
    pub(super) fn programs(&self, dir: &Path) -> Result<Programs> {
        let (server, consul, envoy) = match self {
            Self::DevMesh => {
                let both = beside_us("dev-consul")?;
                (both.clone(), both, parts::envoy()?)
            }
            Self::Consul(path) => (path.clone(), path.clone(), parts::envoy()?),
            Self::V187(path) => (path.clone(), says_v3(path, dir)?, beside_us("envoy-stub")?),
        };
        Ok(Programs {
            server,
            consul,
            envoy,
            taskmesh: beside_us("taskmesh")?,
            testbed: beside_us("testbed")?,
        })
    }

    /// For people.
    pub fn name(&self) -> String {
        match self {
            Self::DevMesh => "the development mesh (not Consul)".to_owned(),
            Self::Consul(path) | Self::V187(path) => format!("the Consul at {}", path.display()),
        }
    }
}

/// A script that is this Consul, save that the bootstrap it prints says that its xDS is v3: taskmesh refuses another.
fn says_v3(consul: &Path, dir: &Path) -> Result<PathBuf> {
    let consul = consul.display();
    Ok(script(
        dir,
        "consul",
        &format!(
            "[ \"$1 $2\" = 'connect envoy' ] || exec {consul} \"$@\"\n\
             bootstrap=$({consul} \"$@\") || exit\n\
             printf '%s\\n' \"$bootstrap\" |\n\
             sed 's/\"ads_config\": {{/&\"transport_api_version\": \"V3\",/'"
        ),
    )?)
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
