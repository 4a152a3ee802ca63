//! `testbed soak`: a small mesh to which bad things happen at random, for as long as wanted.
//!
//! Tasks are started and stopped; agents, Envoys and supervisors are killed and frozen, under a little load. By a printed
//! seed the same things happen in the same order, though never at quite the same moments.
//!
//! | file | what it knows |
//! |---|---|
//! | `dice` | the seed's numbers, and what they mean |
//! | `life` | one task from its start to its end, and what must be true of it |
//! | `play` | the run |
//! | `table` | what is shown at the end |

mod dice;
mod life;
mod play;
mod table;

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::command;
use crate::screen::Screen;

pub use play::{Outcome, play};

/// `testbed soak`.
#[derive(Debug, Clone, Args)]
pub struct SoakArgs {
    /// How long bad things go on happening; what lives then must still recover
    #[arg(long = "for", value_parser = humantime::parse_duration, default_value = "10m")]
    pub length: Duration,
    /// Repeats the choices of an earlier run; random if not given
    #[arg(long)]
    pub seed: Option<u64>,
    /// Tasks at the same time
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=8))]
    pub tasks: u16,
}

/// Runs it. 0: all was as it has to be; 1: it was not, and the last lines say what; 128 + n: ended by signal n.
#[must_use]
pub fn run(args: &SoakArgs) -> ExitCode {
    let screen = Screen::new();
    command::run("soak", screen, async {
        let outcome = play(args, |line| screen.line(line)).await?;
        screen.step("Soak");
        for line in table::lines(&outcome) {
            screen.line(&line);
        }
        for wrong in &outcome.wrong {
            screen.bad(&format!("  {wrong}"));
        }
        if outcome.wrong.is_empty() {
            screen.good("  nothing was wrong");
            Ok(ExitCode::SUCCESS)
        } else {
            Ok(ExitCode::FAILURE)
        }
    })
}
