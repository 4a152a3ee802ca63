//! `taskmesh app -- CMD`: starts CMD at T2, and holds ECS's TERM back until the peers no longer send.
//!
//! | file | what it knows |
//! |---|---|
//! | `decide` | what to do about each event: pure |
//! | `session` | one run: signals, timers, the child, the end |
//! | `link` | staying connected to the supervisor, and telling it things in order |
//! | `child` | starting, signalling and reaping CMD |
//! | `say` | lines for people on a stderr that may be blocked |
//! | `client`, `http` | the little HTTP/1.1 that this and `healthcheck`, `status` need |
//!
//! It runs in the app's container, beside the app's memory limit, so it is small: no TLS, no HTTP library, one
//! thread.

mod child;
pub mod client;
mod decide;
mod http;
mod link;
mod say;
mod session;

use crate::admin::{DEFAULT_ADDR, parse_addr};
use crate::exit;
use nix::sys::signal::Signal;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::time::Duration;

/// Arguments of `taskmesh app`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The supervisor's admin address
    #[arg(long, value_name = "ADDR", env = "TASKMESH_ADMIN", default_value = DEFAULT_ADDR, value_parser = parse_addr)]
    pub admin: SocketAddr,
    /// Give up waiting for the mesh after this time: exit code 75, or 69 if there never was a supervisor
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub wait_timeout: Option<Duration>,
    /// Start the command at once; only its stop is coordinated
    #[arg(long, conflicts_with = "wait_timeout")]
    pub no_wait: bool,
    /// Start the command at once if there is no supervisor (nobody listens at its address)
    #[arg(long, conflicts_with = "no_wait")]
    pub start_alone: bool,
    /// How long a TERM is held back at least, also when the peers know earlier; raises --stop-delay-max
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration)]
    pub stop_delay_min: Duration,
    /// How long a TERM is held back at most
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = humantime::parse_duration)]
    pub stop_delay_max: Duration,
    /// The image's STOPSIGNAL if it is not TERM: held back like TERM, and sent when the mesh stops the app
    #[arg(long, value_name = "SIGNAL", default_value = "TERM", value_parser = parse_signal)]
    pub stop_signal: Signal,
    /// This container's name, where the task metadata endpoint cannot be asked
    #[arg(long, value_name = "NAME")]
    pub container: Option<String>,
    /// The command and its arguments
    #[arg(
        value_name = "CMD",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub command: Vec<OsString>,
}

/// Runs the wrapper to its end and returns its exit code.
pub fn run(args: &Args) -> u8 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    match runtime {
        Ok(runtime) => runtime.block_on(session::run(args)),
        Err(e) => {
            say::line(&format!("cannot start: {e}"));
            exit::COULD_NOT_START
        }
    }
}

fn parse_signal(text: &str) -> Result<Signal, String> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let signal = format!("SIG{name}").parse().ok();
    signal
        .filter(|s| child::FORWARDED.contains(s))
        .ok_or_else(|| format!("`{text}` is not a signal that can be held back"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn parse(words: &[&str]) -> Result<Args, clap::Error> {
        Cli::try_parse_from([&["app"], words].concat()).map(|c| c.args)
    }

    #[test]
    fn arguments_up_to_the_command_are_ours() {
        let args = parse(&["--no-wait", "--stop-signal", "sigquit", "--", "nginx", "-g", "--x"]);
        let args = args.unwrap();
        assert!(args.no_wait);
        assert_eq!(args.stop_signal, Signal::SIGQUIT);
        assert_eq!(args.stop_delay_max, Duration::from_secs(15));
        assert_eq!(args.command, ["nginx", "-g", "--x"]);
        assert_eq!(parse(&["env", "--no-wait"]).unwrap().command, ["env", "--no-wait"]);
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for words in
            [vec![], vec!["--stop-signal", "KILL", "x"], vec!["--wait-timeout", "soon", "x"]]
        {
            assert!(parse(&words).is_err(), "{words:?}");
        }
    }
}
