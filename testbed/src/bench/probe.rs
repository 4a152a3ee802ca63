//! `testbed probe -- COMMAND`: what a short command costs. It runs inside the helper's container.
//!
//! The peak is not taken from `getrusage`: what a child had in memory before it became the command counts there, and
//! that is ours.

use std::io;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, ensure};
use clap::Args;
use tokio::time::Instant;

use super::figures::Probe;
use crate::ecs::Container;
use crate::vitals;

/// `testbed probe`.
#[derive(Debug, Args)]
pub struct ProbeArgs {
    /// How often
    #[arg(long, default_value_t = 20)]
    times: usize,
    /// The command
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

/// Runs it; the result is a line of JSON.
#[must_use]
pub fn probe(args: &ProbeArgs) -> ExitCode {
    match measure(args) {
        Ok(probe) => {
            println!("{}", serde_json::json!(probe));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("probe: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(args: &ProbeArgs) -> io::Result<Probe> {
    let mut took = Vec::new();
    for _ in 0..args.times {
        let begun = Instant::now();
        let status = command(args).status()?;
        took.push(begun.elapsed().as_secs_f64() * 1000.0);
        if !status.success() {
            return Err(io::Error::other(status.to_string()));
        }
    }
    took.sort_by(f64::total_cmp);
    // Apart from the times, for it takes a processor to look.
    let mut kib = 0;
    for _ in 0..args.times {
        let mut child = command(args).spawn()?;
        // What it ever had, as long as it can be asked: up to some microseconds before its end.
        while let Some(peak) = vitals::status(child.id().cast_signed(), "VmHWM:") {
            kib = kib.max(peak);
        }
        child.wait()?;
    }
    Ok(Probe { ms: took.get(took.len() / 2).copied().unwrap_or_default(), kib })
}

fn command(args: &ProbeArgs) -> Command {
    let mut command = Command::new(&args.command[0]);
    command.args(&args.command[1..]).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// What the health check costs in a running helper.
pub(super) async fn healthcheck(helper: &Container, testbed: &str) -> Result<Probe> {
    let process = helper.exec(&[testbed, "probe", "--", "{{taskmesh}}", "healthcheck"]).await?;
    let exit = process.finished().await;
    let lines = process.output().snapshot();
    let said = lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n");
    ensure!(exit.code() == 0, "the health check: {said}");
    serde_json::from_str(&said).with_context(|| format!("the health check: {said}"))
}
