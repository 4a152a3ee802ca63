//! `testbed bench-controller`: how fast the controller is, how much it asks and how much memory it takes, as a table.
//!
//! Consul is real. ECS is a stand-in that lists page by page, Secrets Manager is moto; every call of both and of Consul
//! takes 20 ms, and AWS's own rates are enforced.

mod site;
mod table;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use tokio::time::{Instant, sleep};

use crate::cluster::Backend;
use crate::command;
use crate::screen::Screen;
use crate::versions::consul_version_of;
use crate::workspace;
use site::Site;
use table::Figures;

/// Options of `testbed bench-controller`.
#[derive(Debug, Args)]
pub struct ControllerArgs {
    /// Tasks of the large cluster
    #[arg(long, default_value_t = 10_000)]
    pub tasks: usize,
    /// Services that are new at the same time, in a run each
    #[arg(long, value_delimiter = ',', default_value = "100,1000")]
    pub services: Vec<usize>,
    /// Tasks that come later, one by one
    #[arg(long, default_value_t = 10)]
    pub late: usize,
    /// Write the table as the project's own, into docs/
    #[arg(long)]
    pub publish: bool,
}

const TABLE: &str = "controller.md";
/// Far more than AWS's rates need.
const LIMIT: Duration = Duration::from_secs(180);

/// Runs it. 0: all is within its bounds; 1: not.
#[must_use]
pub fn run(args: &ControllerArgs) -> ExitCode {
    let screen = Screen::new();
    command::run("bench-controller", screen, measure(args, screen))
}

async fn measure(args: &ControllerArgs, screen: Screen) -> Result<ExitCode> {
    let backend = Backend::best()?;
    let (Backend::Consul(program) | Backend::V187(program)) = &backend else {
        bail!("no real Consul: set CONSUL_BIN");
    };
    let mut figures = Figures { consul: consul_version_of(program)?, ..Figures::default() };
    screen.line(&screen.bold("testbed bench-controller: the controller at work"));
    for services in &args.services {
        let site = Site::start(backend.clone(), 2 * services, *services).await?;
        let took = all_tokens(&site, *services).await?;
        screen.line(&format!("  {services} services: {:.1} s", took.as_secs_f64()));
        figures.new_services.push((*services, took));
    }
    large(args, backend.clone(), screen, &mut figures).await?;
    let out = if args.publish { workspace::docs() } else { workspace::root().join("target") };
    let path = out.join(TABLE);
    std::fs::write(&path, figures.markdown())
        .with_context(|| format!("cannot write {}", path.display()))?;
    screen.line("");
    screen.line(&format!("  {}", path.display()));
    let wrong = figures.problems();
    wrong.iter().for_each(|problem| screen.bad(&format!("  {problem}")));
    Ok(if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// From the controller's start to the last token.
async fn all_tokens(site: &Site, services: usize) -> Result<Duration> {
    let began = Instant::now();
    loop {
        let made = site.answered("PUT acl/token", 0);
        // One more is the agents' own.
        if made.len() > services {
            let last = made.iter().max().copied().unwrap_or(began);
            return Ok(last - site.began());
        }
        if began.elapsed() > LIMIT {
            bail!("{} of {services} tokens after {LIMIT:?}: {}", made.len(), site.last_lines());
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Many tasks, of 100 services: quiet rounds, memory, and what comes late.
async fn large(
    args: &ControllerArgs,
    backend: Backend,
    screen: Screen,
    figures: &mut Figures,
) -> Result<()> {
    const SERVICES: usize = 100;
    let site = Site::start(backend, args.tasks, SERVICES).await?;
    all_tokens(&site, SERVICES).await?;
    // The first listing describes each task; a quiet one does not.
    let quiet = loop {
        if let Some(quiet) = site.quiet_round() {
            break quiet;
        }
        if site.began().elapsed() > LIMIT {
            bail!("no quiet round: {}", site.last_lines());
        }
        sleep(Duration::from_millis(200)).await;
    };
    screen.line(&format!("  a quiet round: {:?}, {:.1} s", quiet.calls, quiet.took.as_secs_f64()));
    (figures.tasks, figures.quiet) = (args.tasks, Some(quiet));
    for n in 0..args.late {
        let (since, began) = (site.calls(), Instant::now());
        site.run(&format!("late{n}"));
        let token = loop {
            if let Some(at) = site.answered("PUT acl/token", since).first() {
                break *at;
            }
            if began.elapsed() > LIMIT {
                bail!("no token of a late task: {}", site.last_lines());
            }
            sleep(Duration::from_millis(10)).await;
        };
        // Nobody else is described now: it is asked for right after the page that lists it.
        let listed = site.arrived("DescribeTasks", since).first().copied().unwrap_or(began);
        figures.from_listed.push(token - listed);
        figures.from_start.push(token - began);
        // At another moment of a round each.
        sleep(Duration::from_millis(700)).await;
    }
    figures.memory_kib = site.memory_kib()?;
    screen.line(&format!("  memory: {} KiB", figures.memory_kib));
    Ok(())
}
