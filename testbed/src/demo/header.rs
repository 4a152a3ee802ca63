//! Which programs the demo runs on.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::Protocol;
use super::screen::Screen;
use crate::cluster::Backend;
use crate::parts;

/// The programs of a run.
pub(super) struct Parts {
    pub(super) backend: Backend,
    consul: String,
    envoy: String,
}

impl Parts {
    /// Finds them and asks for their versions.
    ///
    /// # Errors
    /// Which one is missing or does not run.
    pub(super) fn find() -> Result<Self> {
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

    pub(super) fn show(&self, protocol: Protocol, screen: Screen) {
        let title = "taskmesh demo: three ECS tasks on a service mesh, from start to stop";
        screen.line(&screen.bold(title));
        screen.line("");
        for (name, value) in [
            ("Consul", self.consul.as_str()),
            ("Envoy", &self.envoy),
            ("tasks", "simulated; each runs a real `taskmesh run`, agent, Envoy and app"),
        ] {
            screen.line(&format!("  {name:<9}{value}"));
        }
        let mtls = match protocol {
            Protocol::Http => "= mTLS =>",
            Protocol::Tcp => "= mTLS, tcp =>",
        };
        screen.line("");
        screen
            .line(&format!("  load -> [ web app -> Envoy ] {mtls} [ Envoy -> app ]  api-1, api-2"));
    }

    /// Why there is one network namespace for all tasks, if there is.
    pub(super) fn show_network(reason: Option<&str>, screen: Screen) {
        match reason {
            None => screen.dim("  every task has a network namespace of its own, as with awsvpc"),
            Some(reason) => screen.dim(&format!(
                "  all tasks share the loopback interface, each with its own ports: {reason}"
            )),
        }
    }
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
