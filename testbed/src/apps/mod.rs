//! Small programs that tests and the demo run as the apps of simulated tasks.

mod call;
mod grpc;
mod http;
mod tcp;
mod term;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};

pub use term::{OnTerm, TermArgs};

/// `testbed app ...`.
#[derive(Debug, Args)]
pub struct AppArgs {
    #[command(subcommand)]
    app: App,
}

/// The programs.
#[derive(Debug, Subcommand)]
enum App {
    /// A server for HTTP/1.1 and, by prior knowledge, HTTP/2: `GET /` says who answered, as does `/healthy`; `/call`
    /// asks the upstream, `/slow` takes the time in `?for=`. `POST /testbed.Echo/Stream?messages=3&every=10ms` is a
    /// gRPC call (its messages are JSON)
    Http(HttpArgs),
    /// A server that answers each line `ask` with a line of JSON that says who answered
    Tcp(TcpArgs),
    /// Calls an upstream without a break until TERM and for `--linger` more, and says what became of the calls
    Call(CallArgs),
    /// Runs for a while
    Sleep {
        /// How long; for ever if not given
        #[arg(long = "for", value_parser = humantime::parse_duration)]
        time: Option<Duration>,
        #[command(flatten)]
        term: TermArgs,
    },
    /// Exits with a code after a while
    Exit {
        /// The code
        #[arg(long, default_value_t = 0)]
        code: u8,
        /// The while
        #[arg(long, value_parser = humantime::parse_duration, default_value = "0s")]
        after: Duration,
    },
}

/// `testbed app http`.
#[derive(Debug, Clone, Args)]
pub struct HttpArgs {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:9090")]
    pub listen: SocketAddr,
    /// Who answers
    #[arg(long)]
    pub name: String,
    /// How long every answer takes
    #[arg(long, value_parser = humantime::parse_duration, default_value = "0ms")]
    pub delay: Duration,
    /// How long to wait before listening
    #[arg(long, value_parser = humantime::parse_duration, default_value = "0ms")]
    pub listen_after: Duration,
    /// What TERM does
    #[command(flatten)]
    pub term: TermArgs,
    /// Where `/call` asks, such as http://127.0.0.1:5432
    #[arg(long)]
    pub upstream: Option<String>,
}

/// `testbed app tcp`.
#[derive(Debug, Clone, Args)]
pub struct TcpArgs {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:9090")]
    pub listen: SocketAddr,
    /// Who answers
    #[arg(long)]
    pub name: String,
    /// How long every answer takes
    #[arg(long, value_parser = humantime::parse_duration, default_value = "0ms")]
    pub delay: Duration,
    /// What TERM does
    #[command(flatten)]
    pub term: TermArgs,
}

/// `testbed app call`.
#[derive(Debug, Clone, Args)]
pub struct CallArgs {
    /// What to call, with HTTP/1.1, such as http://127.0.0.1:5432
    #[arg(long)]
    pub upstream: String,
    /// Between an answer and the next call
    #[arg(long, value_parser = humantime::parse_duration, default_value = "0ms")]
    pub pause: Duration,
    /// How long it goes on after TERM
    #[arg(long, value_parser = humantime::parse_duration, default_value = "2s")]
    pub linger: Duration,
}

/// Runs one of the programs to its end.
#[must_use]
pub fn run(args: AppArgs) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = runtime.and_then(|runtime| {
        runtime.block_on(async {
            match args.app {
                App::Http(args) => http::serve(args).await,
                App::Tcp(args) => tcp::serve(args).await,
                App::Call(args) => call::run(args).await,
                App::Sleep { time, term } => sleep(time, term).await,
                App::Exit { code, after } => {
                    tokio::time::sleep(after).await;
                    Ok(ExitCode::from(code))
                }
            }
        })
    });
    ended.unwrap_or_else(|error| {
        eprintln!("{error}");
        ExitCode::FAILURE
    })
}

/// Waits so long; not at all if it is zero, where tokio's timer would take its millisecond.
async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}

async fn sleep(time: Option<Duration>, term: TermArgs) -> std::io::Result<ExitCode> {
    let asked = term::asked(term)?;
    let over = async {
        match time {
            Some(time) => tokio::time::sleep(time).await,
            None => std::future::pending().await,
        }
    };
    println!("up");
    tokio::select! {
        () = asked => {}
        () = over => {}
    }
    Ok(ExitCode::SUCCESS)
}
