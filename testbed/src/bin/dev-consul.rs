//! A stand-in for the `consul` executable, for development and tests only: see `testbed::mesh`.

use std::process::ExitCode;

fn main() -> ExitCode {
    testbed::mesh::cli::main()
}
