//! Which programs a command runs on, as they say it themselves.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cluster::Backend;
use crate::parts;
use crate::screen::Screen;

/// The programs of a run.
pub(crate) struct Versions {
    pub(crate) backend: Backend,
    /// Version and path.
    pub(crate) consul: String,
    /// Version and path.
    pub(crate) envoy: String,
}

impl Versions {
    /// Finds them and asks for their versions.
    ///
    /// # Errors
    /// Which one is missing or does not run.
    pub(crate) fn find() -> Result<Self> {
        let envoy = parts::envoy().context("no Envoy (`make setup` fetches one)")?;
        let backend = Backend::best()?;
        let envoy_version = version(&envoy, "--version", envoy_version)?;
        let consul = match &backend {
            Backend::DevMesh => "development mesh, a stand-in: its figures are not Consul's".into(),
            Backend::Consul(path) | Backend::V187(path) => {
                named(&version(path, "version", consul_version)?, path)
            }
        };
        Ok(Self { backend, consul, envoy: named(&envoy_version, &envoy) })
    }

    /// The version alone.
    pub(crate) fn consul_version(&self) -> &str {
        self.consul.split(',').next().unwrap_or_default()
    }

    /// The version alone.
    pub(crate) fn envoy_version(&self) -> &str {
        self.envoy.split(',').next().unwrap_or_default()
    }

    /// A line for each.
    pub(crate) fn show(&self, screen: Screen) {
        screen.line(&format!("  Consul   {}", self.consul));
        screen.line(&format!("  Envoy    {}", self.envoy));
    }
}

/// The version of a `consul` executable alone.
///
/// # Errors
/// It does not run.
pub(crate) fn consul_version_of(program: &PathBuf) -> Result<String> {
    version(program, "version", consul_version)
}

/// At most 80 columns with its name before it, where the path is not very long.
fn named(version: &str, path: &Path) -> String {
    format!("{version}, {}", path.display())
}

fn version(path: &PathBuf, argument: &str, find: fn(&str) -> Option<&str>) -> Result<String> {
    let output = Command::new(path).arg(argument).output();
    let output = output.with_context(|| format!("cannot run {}", path.display()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    match find(&said) {
        Some(version) if output.status.success() => Ok(version.to_owned()),
        _ => bail!(
            "{} {argument}: {}: {}",
            path.display(),
            output.status,
            String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or("no version in it")
        ),
    }
}

/// `envoy  version: HASH/1.40.0/Clean/RELEASE/BoringSSL`.
fn envoy_version(said: &str) -> Option<&str> {
    said.split("version: ").nth(1)?.split('/').nth(1)
}

/// `Consul v1.23.0-dev`, then more lines.
fn consul_version(said: &str) -> Option<&str> {
    said.lines().next()?.strip_prefix("Consul v")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_the_programs_say() {
        let envoy = "\n/x/envoy  version: 0e3d/1.40.0/Clean/RELEASE/BoringSSL\n\n";
        assert_eq!(envoy_version(envoy), Some("1.40.0"));
        assert_eq!(consul_version("Consul v1.23.0-dev\nRevision x\n"), Some("1.23.0-dev"));
        assert_eq!(envoy_version("usage"), None);
        assert_eq!(consul_version(""), None);
    }
}
