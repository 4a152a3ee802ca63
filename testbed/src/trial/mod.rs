//! `testbed load`: tasks are stopped under load, in every way that matters, and every request that fails is counted.
//!
//! | file | what it knows |
//! |---|---|
//! | `scenario` | what is tried, and what is promised of it |
//! | `play` | the mesh, the load, the stops |
//! | `outcome` | what came of it, and what of that is wrong |
//! | `table` | rows for the terminal and for Markdown |
//! | `picture` | request rates and failures around the stops |
//!
//! Tests run the same scenarios in their short form. Figures are worth something only on a real Consul: the development
//! mesh copies its times, and guards against regressions.

mod outcome;
mod picture;
mod play;
mod scenario;
mod table;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::cluster::Backend;
use crate::command;
use crate::screen::Screen;
use crate::versions::Versions;
use crate::workspace;

pub use outcome::{Calls, Outcome, Stop};
pub use play::{Form, play};
pub use scenario::{Act, App, Disturbance, Promise, Scenario, all, named};

/// `testbed load`.
#[derive(Debug, Args)]
pub struct LoadArgs {
    /// Which scenarios; all if none is named
    pub scenarios: Vec<String>,
    /// The short form that CI runs
    #[arg(long)]
    pub short: bool,
    /// List the scenarios
    #[arg(long)]
    pub list: bool,
    /// Where the table and the picture go
    #[arg(long, default_value_os_t = workspace::results("load"))]
    pub out: PathBuf,
    /// Write them as the project's own, into docs/: only of all scenarios, and on a real Consul
    #[arg(long, conflicts_with_all = ["short", "scenarios", "out"])]
    pub publish: bool,
}

const TABLE: &str = "load.md";
const PICTURE: &str = "load.svg";

/// Runs the scenarios. 0: all went as promised; 1: not, and the last lines say what; 128 + n: ended by signal n.
#[must_use]
pub fn run(args: &LoadArgs) -> ExitCode {
    let screen = Screen::new();
    command::run("load", screen, play_all(args, screen))
}

async fn play_all(args: &LoadArgs, screen: Screen) -> Result<ExitCode> {
    let scenarios = named(&args.scenarios).map_err(anyhow::Error::msg)?;
    if args.list {
        for scenario in &scenarios {
            screen.line(&format!("  {:<17} {}", scenario.name, scenario.about));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let versions = Versions::find()?;
    if args.publish && versions.backend == Backend::DevMesh {
        bail!("figures are published only from a real Consul: set CONSUL_BIN");
    }
    let form = if args.short { Form::short() } else { Form::long() };
    screen.line(&screen.bold("taskmesh load: tasks are stopped under load"));
    screen.line("");
    versions.show(screen);
    screen.line("");
    screen.dim(&table::head());
    let mut outcomes = Vec::new();
    for scenario in &scenarios {
        let outcome = play(scenario, form, versions.backend.clone()).await?;
        let row = table::row(&outcome);
        match outcome.problems().is_empty() {
            true => screen.line(&row),
            false => screen.bad(&row),
        }
        outcomes.push(outcome);
    }
    screen.line("");
    table::LEGEND.iter().for_each(|line| screen.dim(&format!("  {line}")));
    let out = if args.publish { workspace::docs() } else { args.out.clone() };
    write(&out, &outcomes, &versions)?;
    screen.line("");
    screen.line(&format!("  {}", out.join(TABLE).display()));
    screen.line(&format!("  {}", out.join(PICTURE).display()));
    Ok(verdict(&outcomes, screen))
}

fn write(out: &Path, outcomes: &[Outcome], versions: &Versions) -> Result<()> {
    let put = |name: &str, text: &str| {
        let path = out.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let parts = format!(
        "Made on Consul {} and Envoy {}, {} cores, simulated ECS tasks, each with its own Consul agent and Envoy.",
        versions.consul_version(),
        versions.envoy_version(),
        std::thread::available_parallelism().map_or(0, usize::from),
    );
    put(TABLE, &table::markdown(outcomes, &parts, PICTURE))?;
    put(PICTURE, &picture::svg(outcomes))
}

/// The last lines.
fn verdict(outcomes: &[Outcome], screen: Screen) -> ExitCode {
    screen.line("");
    let wrong: Vec<_> = outcomes.iter().filter(|outcome| !outcome.problems().is_empty()).collect();
    for outcome in &wrong {
        for problem in outcome.problems() {
            screen.bad(&format!("  {}: {problem}", outcome.scenario.name));
        }
    }
    if !wrong.is_empty() {
        screen.bad(&format!("load: {} of {} scenarios went wrong", wrong.len(), outcomes.len()));
        return ExitCode::FAILURE;
    }
    let count = |promised: bool| {
        let these = outcomes.iter().filter(|o| o.scenario.promise.why().is_none() == promised);
        these
            .fold((0, 0, 0), |(n, all, failed), o| (n + 1, all + o.requests(), failed + o.failed()))
    };
    if let (1.., requests, _) = count(true) {
        screen.good(&format!("load: ok: 0 of {requests} requests lost where none may be"));
    }
    if let (1.., requests, failed) = count(false) {
        screen.good(&format!("load: ok: {failed} of {requests} lost where that cannot be helped"));
    }
    ExitCode::SUCCESS
}
