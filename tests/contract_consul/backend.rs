//! Which Consul a test runs on.

use std::path::PathBuf;
use std::process::Command;
use taskmesh::consul::{Version, parse_version};
use testbed::{cluster, parts};

/// Which Consul.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    /// Debian's 1.8.7.
    V187,
    /// `dev-consul`.
    StandIn,
    /// `CONSUL_BIN`.
    Given,
}

impl Backend {
    /// Its executable.
    ///
    /// # Errors
    /// Why there is none on this machine.
    pub(crate) fn binary(self) -> Result<PathBuf, String> {
        match self {
            Self::V187 => parts::consul187().map_err(|e| e.to_string()),
            Self::StandIn => cluster::beside_us("dev-consul").map_err(|e| e.to_string()),
            Self::Given => parts::consul().map_err(|e| e.to_string()),
        }
    }

    /// The same with all that whole tasks need besides.
    ///
    /// # Errors
    /// What is not on this machine.
    pub(crate) fn cluster(self) -> Result<cluster::Backend, String> {
        let consul = self.binary()?;
        if self != Self::V187 {
            parts::envoy().map_err(|e| e.to_string())?;
        }
        Ok(match self {
            Self::V187 => cluster::Backend::V187(consul),
            Self::StandIn => cluster::Backend::DevMesh,
            Self::Given => cluster::Backend::Consul(consul),
        })
    }
}

/// An executable and what it says of itself.
#[derive(Debug, Clone)]
pub(crate) struct Consul {
    pub(crate) binary: PathBuf,
    pub(crate) version: Version,
}

impl Consul {
    /// Asks the executable for its version, as taskmesh does.
    pub(crate) fn at(binary: PathBuf) -> Self {
        let output = Command::new(&binary).arg("version").output().expect("consul version");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = parse_version(&text).unwrap_or_else(|| panic!("no version in {text:?}"));
        Self { binary, version }
    }

    /// It is the development mesh's.
    pub(crate) fn is_stand_in(&self) -> bool {
        self.binary.file_stem().is_some_and(|name| name == "dev-consul")
    }

    /// Deregistering what is not there is 404; before 1.11.2 (its changelog, "Return 404 when de-registering") it
    /// was 200.
    pub(crate) fn tells_unknown_on_deregister(&self) -> bool {
        self.version >= Version::new(1, 11, 2)
    }

    /// Asking for the proxies of a service that the token may not see is 403; before 1.16.0 (its changelog,
    /// GH-17424) the list was empty.
    pub(crate) fn refuses_anonymous_queries(&self) -> bool {
        self.version >= Version::new(1, 16, 0)
    }

    /// `acl.tokens.initial_management` of a server, until 1.11 `master` (its changelog).
    pub(crate) fn management_key(&self) -> &'static str {
        if self.version >= Version::new(1, 11, 0) { "initial_management" } else { "master" }
    }
}
