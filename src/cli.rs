//! The command line: every mode and its arguments, nothing of what they do.
//!
//! Parsing needs no runtime, so `main` can decide `healthcheck` and `app` before it sets one up.

use crate::config::Sources;
use crate::consul::{self, Version};
use crate::consul_ecs::{self, Asked};
use crate::{exit, healthcheck, own_copy, timeline, wrapper};
use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// One helper container that puts an AWS ECS task on a Consul service mesh.
#[derive(Debug, Parser)]
#[command(name = "taskmesh", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub mode: Mode,
}

/// The modes.
#[derive(Debug, Subcommand)]
pub enum Mode {
    /// Put this task on the mesh: run the Consul agent and Envoy, and order start and stop (PID 1 of the container).
    Run(ConfigArgs),
    /// Start an app once the task is on the mesh, and stop it once its peers know.
    App(wrapper::Args),
    /// Exit 0 from the first time that the task is on the mesh, for an ECS healthCheck.
    Healthcheck(healthcheck::Args),
    /// Print what a running supervisor says of itself.
    Status(healthcheck::Args),
    /// Show a timeline file as text, or as a picture.
    Timeline(timeline::render::Args),
    /// Provide the tasks of an ECS cluster with ACL tokens, through AWS Secrets Manager (once per cluster).
    Controller(ControllerArgs),
    /// Check the configuration as `run` would, and start nothing.
    CheckConfig(CheckConfigArgs),
    /// Print the JSON schema of the configuration.
    Schema(SchemaArgs),
    /// Print the version.
    Version,
}

/// Where the configuration is.
#[derive(Debug, Clone, Args)]
pub struct ConfigArgs {
    /// Configuration file, JSON. Default: the environment variable TASKMESH_CONFIG_JSON.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl From<ConfigArgs> for Sources {
    fn from(args: ConfigArgs) -> Self {
        Self { file: args.config }
    }
}

/// Arguments of `schema`.
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// That of the controller's configuration.
    #[arg(long)]
    pub controller: bool,
}

/// Arguments of `controller`.
#[derive(Debug, Args)]
pub struct ControllerArgs {
    /// Configuration file, JSON. Default: the environment variable TASKMESH_CONTROLLER_CONFIG_JSON.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print what would be done, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `check-config`.
#[derive(Debug, Args)]
pub struct CheckConfigArgs {
    /// Where the configuration is.
    #[command(flatten)]
    pub source: ConfigArgs,
    /// Also print the effective configuration, defaults included.
    #[arg(long)]
    pub print: bool,
    /// Print what `run` would do: agent config, registrations, command lines, stop. No secret is shown.
    #[arg(long, conflicts_with = "print")]
    pub explain: bool,
    /// With --explain: one JSON object instead of text.
    #[arg(long, requires = "explain")]
    pub json: bool,
    /// With --explain: for this version of Consul, instead of what `consul version` says.
    #[arg(long, requires = "explain", value_name = "X.Y.Z", value_parser = consul_version)]
    pub consul_version: Option<Version>,
}

fn consul_version(text: &str) -> Result<Version, String> {
    consul::parse_version(&format!("Consul v{text}"))
        .ok_or_else(|| "not a version; write 1.8.7".to_owned())
}

/// The command line asks for nothing to be run: help or version was wanted, or the arguments are wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NothingToRun {
    /// What to print.
    pub text: String,
    /// The process's exit code: 0 for help and version, 64 for wrong arguments.
    pub code: u8,
}

/// Parses the command line, the program's own name first. Under the name `consul-ecs` it is that of consul-ecs 0.4.3:
/// see [`crate::consul_ecs`].
///
/// # Errors
/// Help or version, for standard output, with code 0; wrong arguments, for standard error, with code 64.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, NothingToRun> {
    let mut args: Vec<OsString> = args.into_iter().collect();
    let name = args.first().and_then(|name| Path::new(name).file_name());
    if name.is_some_and(|name| name == own_copy::CONSUL_ECS) {
        let rest = args.split_off(1);
        match consul_ecs::translate(rest) {
            Ok(Asked::App(ours)) => args.extend(ours),
            Ok(Asked::Print(text)) => return Err(NothingToRun { text, code: exit::OK }),
            Err(text) => return Err(NothingToRun { text, code: exit::USAGE }),
        }
    }
    Cli::try_parse_from(args).map_err(|error| NothingToRun {
        text: error.to_string(),
        // Not clap's own 2: 64 is the same for wrong arguments and a wrong configuration.
        code: if error.use_stderr() { exit::USAGE } else { exit::OK },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;
    use std::time::Duration;

    fn parsed(line: &str) -> Result<Cli, NothingToRun> {
        parse(line.split(' ').map(OsString::from))
    }

    #[test]
    fn help_and_version_exit_0_and_wrong_arguments_64() {
        for (line, code) in [
            ("taskmesh --help", 0),
            ("taskmesh --version", 0),
            ("taskmesh run --help", 0),
            ("taskmesh", 64),
            ("taskmesh fly", 64),
            ("taskmesh run --confg x", 64),
            ("taskmesh app", 64),
            ("taskmesh app --wait-timeout soon -- sleep 1", 64),
            ("taskmesh app --wait-timeout 5s --no-wait -- sleep 1", 64),
            ("taskmesh healthcheck --admin here", 64),
            ("taskmesh timeline a.json --svg --html", 64),
            ("taskmesh check-config --json", 64),
            ("taskmesh check-config --explain --print", 64),
            ("taskmesh check-config --explain --consul-version newest", 64),
        ] {
            let nothing = parsed(line).unwrap_err();
            assert_eq!(nothing.code, code, "{line}: {}", nothing.text);
            assert!(!nothing.text.is_empty(), "{line}");
        }
    }

    #[test]
    fn a_mode_that_is_nearly_right_is_suggested() {
        let nothing = parsed("taskmesh check-confg").unwrap_err();
        assert!(nothing.text.contains("check-config"), "{}", nothing.text);
    }

    #[test]
    fn everything_after_the_two_dashes_is_the_apps_own() {
        let cli =
            parsed("taskmesh app --admin 127.0.0.1:1 --stop-delay-max 3s -- app --admin x --help")
                .unwrap();
        let Mode::App(app) = cli.mode else { panic!("{cli:?}") };
        assert_eq!(app.command, ["app", "--admin", "x", "--help"]);
        assert_eq!(app.admin, SocketAddr::from(([127, 0, 0, 1], 1)));
        assert_eq!(app.stop_delay_max, Duration::from_secs(3));
        assert_eq!((app.wait_timeout, app.no_wait), (None, false));
    }

    #[test]
    fn a_stop_is_held_back_for_at_most_15_seconds_by_default() {
        let cli = parsed("taskmesh app -- app").unwrap();
        let Mode::App(app) = cli.mode else { panic!("{cli:?}") };
        assert_eq!(app.stop_delay_max, Duration::from_secs(15));
    }

    #[test]
    fn under_the_name_of_consul_ecs_its_wrapper_is_ours() {
        let cli = parsed("/consul/consul-ecs app-entrypoint -shutdown-delay 1m30s -- app -x");
        let Mode::App(app) = cli.unwrap().mode else { panic!() };
        assert_eq!(app.stop_delay_min, Duration::from_secs(90));
        assert!(app.start_alone);
        assert_eq!(app.command, ["app", "-x"]);
        for (line, code) in [
            ("consul-ecs version", 0),
            ("consul-ecs help", 0),
            ("/consul/consul-ecs mesh-init", 64),
            ("consul-ecs run", 64),
            ("consul-ecs", 64),
        ] {
            assert_eq!(parsed(line).unwrap_err().code, code, "{line}");
        }
        assert!(parsed("taskmesh app-entrypoint -- app").is_err(), "only under that name");
    }

    #[test]
    fn the_definitions_are_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
