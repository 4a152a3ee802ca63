//! The table of faults: a row by each test that brings one about, with what it saw and how long it took.
//!
//! A test has a [`Witness`] that notes when its fault begins, is told, is lifted and is mended. That goes to
//! `target/faults/`, of which `make faults` makes `docs/faults.md`. In any other run the row must stand there already, so
//! that the document says what the tests have seen.

mod record;
mod table;

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Args;

pub use record::{Kind, Witness};

use crate::screen::Screen;
use crate::versions::Versions;

/// `testbed faults`.
#[derive(Debug, Clone, Args)]
pub struct FaultsArgs {
    /// Write docs/faults.md
    #[arg(long)]
    pub publish: bool,
}

/// Shows the rows that tests have left.
#[must_use]
pub fn run(args: &FaultsArgs) -> ExitCode {
    let screen = Screen::new();
    match show(args, &screen) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            screen.bad(&format!("faults: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn show(args: &FaultsArgs, screen: &Screen) -> Result<()> {
    let rows = record::all().context("cannot read what the tests have left")?;
    ensure!(!rows.is_empty(), "no test has left anything: `make faults` runs them");
    for line in table::lines(&rows) {
        screen.line(&line);
    }
    if args.publish {
        let path = record::document();
        let versions = Versions::find()?;
        let (consul, envoy) = (versions.consul_version(), versions.envoy_version());
        let parts = format!("Consul {consul} and Envoy {envoy}");
        std::fs::write(&path, table::markdown(&rows, &parts))
            .with_context(|| format!("cannot write {}", path.display()))?;
        screen.good(&format!("faults: {} rows in docs/faults.md", rows.len()));
    }
    Ok(())
}
