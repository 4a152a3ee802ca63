//! Development only: simulated ECS tasks, their apps and the demo.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use testbed::apps::{self, AppArgs};
use testbed::bench::{self, BenchArgs, ProbeArgs};
use testbed::bench_controller::{self, ControllerArgs};
use testbed::demo::{self, DemoArgs};
use testbed::faults::{self, FaultsArgs};
use testbed::soak::{self, SoakArgs};
use testbed::trial::{self, LoadArgs};

/// Development only: never in the image.
#[derive(Debug, Parser)]
#[command(name = "testbed")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a small program, as the app of a task
    App(AppArgs),
    /// The supervisor's speed and size beside a bash script's, as a table and a picture
    Bench(BenchArgs),
    /// The controller's speed, calls and memory, as a table
    BenchController(ControllerArgs),
    /// Three simulated ECS tasks on a mesh, from start to stop, live
    Demo(DemoArgs),
    /// What the tests of faults have seen, as a table
    Faults(FaultsArgs),
    /// Tasks are stopped under load, and every request that fails is counted
    Load(LoadArgs),
    /// Run a command some times, and say how long it takes and how much memory
    #[command(hide = true)]
    Probe(ProbeArgs),
    /// Tasks to which bad things happen at random, for as long as wanted
    Soak(SoakArgs),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::App(args) => apps::run(args),
        Command::Bench(args) => bench::run(&args),
        Command::BenchController(args) => bench_controller::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Faults(args) => faults::run(&args),
        Command::Load(args) => trial::run(&args),
        Command::Probe(args) => bench::probe(&args),
        Command::Soak(args) => soak::run(&args),
    }
}
