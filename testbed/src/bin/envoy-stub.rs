//! A stand-in for the `envoy` executable, for development and tests only: see `testbed::envoy_stub`.

use std::process::ExitCode;

fn main() -> ExitCode {
    testbed::envoy_stub::main()
}
