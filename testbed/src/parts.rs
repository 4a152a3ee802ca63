//! The real programs that tests and the demo run, as `make setup` found or fetched them.
//!
//! Each is looked up in the environment first (`ENVOY_BIN`, ...), then in `.testbed/env`, so that a plain
//! `cargo test` finds the same as `make test`.

use std::path::{Path, PathBuf};

/// A part that is not on this machine; shown as the reason of a skip.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// Nothing names it.
    #[error("no {variable}")]
    NotSet {
        /// The variable that would name it.
        variable: &'static str,
    },
    /// `make setup` could not get it.
    #[error("no {variable}: {why}")]
    NotAvailable {
        /// The variable that would name it.
        variable: &'static str,
        /// What setup said.
        why: String,
    },
    /// It is named, and is not there.
    #[error("{variable}={}: no such file", path.display())]
    Gone {
        /// The variable that names it.
        variable: &'static str,
        /// What it names.
        path: PathBuf,
    },
}

/// The real Envoy.
///
/// # Errors
/// When this machine has none.
pub fn envoy() -> Result<PathBuf, Missing> {
    find("ENVOY_BIN")
}

/// Debian's Consul 1.8.7: real for joining, registration, checks and leaving; its xDS is too old for today's Envoy.
///
/// # Errors
/// When this machine has none.
pub fn consul187() -> Result<PathBuf, Missing> {
    find("CONSUL187_BIN")
}

/// The user's own current Consul (1.16 or later): never fetched.
///
/// # Errors
/// When the user has none.
pub fn consul() -> Result<PathBuf, Missing> {
    find("CONSUL_BIN")
}

/// `moto_server`: AWS's APIs on loopback.
///
/// # Errors
/// When this machine has none.
pub fn moto_server() -> Result<PathBuf, Missing> {
    find("MOTO_SERVER")
}

fn find(variable: &'static str) -> Result<PathBuf, Missing> {
    let own = std::env::var(variable).ok();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.testbed/env");
    pick(variable, own, &std::fs::read_to_string(file).unwrap_or_default())
}

/// `own` is the environment's value, `env` the text of `.testbed/env`.
fn pick(variable: &'static str, own: Option<String>, env: &str) -> Result<PathBuf, Missing> {
    let line = |key: &str| {
        env.lines().find_map(|line| Some(line.strip_prefix(key)?.strip_prefix('=')?.to_owned()))
    };
    match own.filter(|value| !value.is_empty()).or_else(|| line(variable)) {
        Some(value) if Path::new(&value).is_file() => Ok(value.into()),
        Some(value) => Err(Missing::Gone { variable, path: value.into() }),
        None => Err(match line(&format!("{variable}_MISSING")) {
            Some(why) => Missing::NotAvailable { variable, why },
            None => Missing::NotSet { variable },
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENV: &str = "A_BIN=/bin/sh\nB_BIN_MISSING=no Debian\nC_BIN=/not/there\n";

    #[test]
    fn the_environment_wins_over_setup() {
        assert_eq!(pick("A_BIN", Some("/bin/ls".into()), ENV), Ok("/bin/ls".into()));
        assert_eq!(pick("A_BIN", Some(String::new()), ENV), Ok("/bin/sh".into()));
    }

    #[test]
    fn what_is_missing_says_why() {
        let why = |variable| pick(variable, None, ENV).unwrap_err().to_string();
        assert_eq!(why("B_BIN"), "no B_BIN: no Debian");
        assert_eq!(why("C_BIN"), "C_BIN=/not/there: no such file");
        assert_eq!(why("D_BIN"), "no D_BIN");
    }
}
