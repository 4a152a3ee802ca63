//! `testbed bench`: taskmesh beside the floor, a bash script that does the least possible; from the same start to the
//! same end, in turns, on the same machine; and what a supervisor takes meanwhile.
//!
//! | file | what it knows |
//! |---|---|
//! | `site` | the mesh and the programs |
//! | `floor` | the task that the script runs in; `floor.sh` is the script |
//! | `life` | one task from start to end, from outside |
//! | `steady` | a supervisor's memory and work, idle and under load |
//! | `probe` | what the health check costs |
//! | `figures` | what was measured, and the goals |
//! | `machine` | where |
//! | `table` | rows for the terminal and for Markdown |
//! | `picture` | the same to look at |
//!
//! Goals are shown beside the figures. No test asserts a time.

mod figures;
mod floor;
mod life;
mod machine;
mod picture;
mod probe;
mod site;
mod steady;
mod table;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::cluster::{Backend, beside_us};
use crate::command;
use crate::screen::Screen;
use crate::versions::{Versions, consul_version_of};
use crate::workspace;
use figures::Mesh;
pub use probe::{ProbeArgs, probe};
use site::Site;
use steady::Periods;

/// `testbed bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Lives of the floor and of taskmesh, in turns
    #[arg(long, default_value_t = 6)]
    pub rounds: usize,
    /// One round, and periods of two seconds: to see that it works
    #[arg(long)]
    pub short: bool,
    /// The taskmesh to measure [default: the one beside this program]
    #[arg(long, value_name = "PATH", overrides_with = "taskmesh")]
    pub taskmesh: Option<PathBuf>,
    /// Synced containers, and as many upstreams, of the tasks whose supervisors are looked at
    #[arg(long, value_delimiter = ',', default_value = "1,20,200")]
    pub sizes: Vec<usize>,
    /// How long a supervisor is looked at, idle and under load, in seconds
    #[arg(long, default_value_t = 60)]
    pub period: u64,
    /// Only on the Consul that CONSUL_BIN names, or only on the development mesh
    #[arg(long, value_enum)]
    pub only: Option<Only>,
    /// Where the table and the picture go
    #[arg(long, default_value_os_t = workspace::results("bench"))]
    pub out: PathBuf,
    /// Write them as the project's own, into docs/: only of a release build
    #[arg(long, conflicts_with_all = ["short", "out", "only"])]
    pub publish: bool,
}

/// On which Consul alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Only {
    /// The development mesh
    Mesh,
    /// The Consul of CONSUL_BIN
    Consul,
}

const TABLE: &str = "bench.md";
const PICTURE: &str = "bench.svg";

/// Runs it. 0: all was measured, however it is; 1: something could not be.
#[must_use]
pub fn run(args: &BenchArgs) -> ExitCode {
    let screen = Screen::new();
    command::run("bench", screen, async {
        measure(args, screen).await?;
        Ok(ExitCode::SUCCESS)
    })
}

/// All that a run found.
struct Report {
    machine: machine::Machine,
    envoy: String,
    /// The binary's size in bytes, and whether it is a debug build.
    size: u64,
    debug: bool,
    period: Duration,
    meshes: Vec<Mesh>,
}

async fn measure(args: &BenchArgs, screen: Screen) -> Result<Report> {
    let taskmesh = match &args.taskmesh {
        Some(path) => path.canonicalize().with_context(|| format!("no {}", path.display()))?,
        None => beside_us("taskmesh")?,
    };
    let debug = taskmesh.parent().is_some_and(|dir| dir.ends_with("debug"));
    if args.publish && debug {
        bail!("figures are published only of a release build: `make bench` makes one");
    }
    let versions = Versions::find()?;
    let backends = match (args.only, versions.backend) {
        (Some(Only::Mesh), _) | (None, Backend::DevMesh) => vec![Backend::DevMesh],
        (Some(Only::Consul), Backend::DevMesh) => bail!("no CONSUL_BIN"),
        (Some(Only::Consul), real) => vec![real],
        (None, real) => vec![real, Backend::DevMesh],
    };
    let seconds = if args.short { 2 } else { args.period.max(1) };
    let period = Duration::from_secs(seconds);
    let mut report = Report {
        machine: machine::Machine::this(),
        envoy: versions.envoy.split(',').next().unwrap_or_default().to_owned(),
        size: fs::metadata(&taskmesh)?.len(),
        debug,
        period,
        meshes: Vec::new(),
    };
    screen.line(&screen.bold("testbed bench: taskmesh beside a bash script"));
    screen.line("");
    table::about(&report).iter().for_each(|line| screen.line(&format!("  {line}")));
    for backend in backends {
        let mesh = on(args, backend, &taskmesh, period, screen).await?;
        report.meshes.push(mesh);
    }
    let out = if args.publish { workspace::docs() } else { args.out.clone() };
    write(&out, &report)?;
    screen.line("");
    screen.line(&format!("  {}", out.join(TABLE).display()));
    screen.line(&format!("  {}", out.join(PICTURE).display()));
    Ok(report)
}

/// All on one Consul.
async fn on(
    args: &BenchArgs,
    backend: Backend,
    taskmesh: &Path,
    period: Duration,
    screen: Screen,
) -> Result<Mesh> {
    let mut mesh = Mesh {
        name: match &backend {
            Backend::DevMesh => "the development mesh".to_owned(),
            Backend::Consul(path) | Backend::V187(path) => {
                format!("Consul {}", consul_version_of(path)?)
            }
        },
        real: backend != Backend::DevMesh,
        ..Mesh::default()
    };
    let site = Site::start(backend, taskmesh).await?;
    screen.step(&format!("On {}", mesh.name));
    screen.line("");
    screen.dim(table::ROUND_HEAD);
    let rounds = if args.short { 1 } else { args.rounds.max(1) };
    for round in 1..=rounds {
        let life = life::floor(&site, &format!("floor-{round}")).await?;
        screen.line(&table::round(round, "floor", &life));
        mesh.floor.push(life);
        let life = life::taskmesh(&site, &format!("mesh-{round}")).await?;
        screen.line(&table::round(round, "taskmesh", &life));
        mesh.taskmesh.push(life);
    }
    screen.line("");
    table::times(&mesh).iter().for_each(|line| screen.line(line));
    screen.line("");
    screen.dim(table::STEADY_HEAD);
    let settle = if args.short { Duration::from_secs(1) } else { Duration::from_secs(10) };
    let periods = Periods { settle, period };
    let told = |steady: &_| screen.line(&table::steady(steady));
    (mesh.steady, mesh.probe) = steady::measure(&site, &args.sizes, periods, told).await?;
    screen.dim(&table::goals());
    screen.line(&table::probed(&mesh.probe));
    Ok(mesh)
}

fn write(out: &Path, report: &Report) -> Result<()> {
    let put = |name: &str, text: &str| {
        let path = out.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    put(TABLE, &table::markdown(report, PICTURE))?;
    put(PICTURE, &picture::svg(report))
}
