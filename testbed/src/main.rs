//! Development only: simulated ECS tasks, their apps.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use testbed::apps::{self, AppArgs};

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
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::App(args) => apps::run(args),
    }
}
