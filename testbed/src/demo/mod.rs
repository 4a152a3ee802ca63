//! `testbed demo`: three simulated ECS tasks on a mesh, from start to stop, live in the terminal.
//!
//! | file | what it knows |
//! |---|---|
//! | `scenario` | the steps: start, load, stop one task under load, stop the rest |
//! | `live` | a task's timeline as it happens, from its supervisor's log lines |
//! | `order` | the order that a timeline must have |
//! | `verdict` | what has to be true of the whole run |
//! | `summary` | the tables at the end |
//! | `header` | what is said at its beginning |
//! | `files` | the pictures, timelines and logs that are left |
//! | `screen` | the timeline's columns and colours |
//!
//! Nothing is left behind however it ends: processes and namespaces belong to the hosts' threads (see
//! [`crate::net`]), so that they end with this process, also when it gets KILL.

mod files;
mod header;
mod live;
pub mod order;
mod scenario;
mod screen;
mod summary;
mod verdict;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::command;
use crate::screen::Screen;
use crate::workspace;

/// `testbed demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Protocol of both services. tcp: Envoy balances connections, and no loss-free stop is promised
    #[arg(long, value_enum, default_value_t)]
    pub protocol: Protocol,
    /// How long to leave the mesh running before the first stop, to look at it by hand, such as 60s
    #[arg(long, value_parser = humantime::parse_duration, default_value = "0s")]
    pub keep: Duration,
    /// Connections of the load client
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub connections: u16,
    /// Where the pictures go
    #[arg(long, default_value_os_t = workspace::results("demo"))]
    pub out: PathBuf,
}

/// What the services speak. The demo's app speaks HTTP/1.1, which fits both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http,
    /// Bytes.
    Tcp,
}

impl Protocol {
    /// As Consul names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Tcp => "tcp",
        }
    }
}

/// Runs the demo. 0: everything was as it has to be; 1: it was not, and the last lines say what;
/// 128 + n: ended by signal n.
#[must_use]
pub fn run(args: &DemoArgs) -> ExitCode {
    let screen = Screen::new();
    command::run("demo", screen, scenario::play(args, screen))
}
