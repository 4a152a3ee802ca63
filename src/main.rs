//! argv -> mode -> exit code.

use std::process::ExitCode;
use taskmesh::cli::{self, Mode};
use taskmesh::config::{self, ProcessEnv};
use taskmesh::{app, exit, healthcheck, timeline, wrapper};

fn main() -> ExitCode {
    let cli = match cli::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(nothing) => {
            if nothing.code == exit::OK {
                print!("{}", nothing.text);
            } else {
                eprint!("{}", nothing.text);
            }
            return ExitCode::from(nothing.code);
        }
    };
    ExitCode::from(match cli.mode {
        Mode::Run(args) => app::run(&args.into(), &ProcessEnv),
        Mode::App(args) => wrapper::run(&args),
        Mode::Healthcheck(args) => healthcheck::run(&args),
        Mode::Status(args) => healthcheck::status(&args),
        Mode::Timeline(args) => timeline::render::cli(&args),
        Mode::CheckConfig(args) => {
            let (text, code) = config::cli_check(&args.source.into(), args.print, &ProcessEnv);
            if code == exit::OK {
                print!("{text}");
            } else {
                eprint!("{text}");
            }
            code
        }
        Mode::Schema => {
            print!("{}", config::schema_text());
            exit::OK
        }
        Mode::Version => {
            println!("taskmesh {}", env!("CARGO_PKG_VERSION"));
            exit::OK
        }
    })
}
