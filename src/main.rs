//! argv -> mode -> exit code.

use std::process::ExitCode;
use taskmesh::cli::{self, Mode};
use taskmesh::config::{self, ProcessEnv};
use taskmesh::explain::{self, Wish};
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
        Mode::Controller(args) => controller(args),
        Mode::CheckConfig(args) => {
            let sources = args.source.into();
            let (text, code) = if args.explain {
                let wish = Wish { json: args.json, consul_version: args.consul_version };
                explain::run(&sources, wish, &ProcessEnv)
            } else {
                config::cli_check(&sources, args.print, &ProcessEnv)
            };
            if code == exit::OK {
                print!("{text}");
            } else {
                eprint!("{text}");
            }
            code
        }
        Mode::Schema(args) => {
            let text = if args.controller {
                config::controller_schema_text()
            } else {
                config::schema_text()
            };
            print!("{text}");
            exit::OK
        }
        Mode::Version => {
            println!("taskmesh {}", env!("CARGO_PKG_VERSION"));
            exit::OK
        }
    })
}

#[cfg(feature = "aws")]
fn controller(args: cli::ControllerArgs) -> u8 {
    taskmesh::acl::run(&config::Sources { file: args.config }, args.dry_run, &ProcessEnv)
}

#[cfg(not(feature = "aws"))]
fn controller(_: cli::ControllerArgs) -> u8 {
    eprintln!("taskmesh: this build has no AWS parts (cargo feature `aws`)");
    exit::COULD_NOT_START
}
