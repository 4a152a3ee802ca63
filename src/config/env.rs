//! The environment as a value, so that tests pass a map and nothing ever changes the process's own.

use std::collections::BTreeMap;
use std::ffi::OsString;

/// Where environment variables are read from.
pub trait Env {
    /// The value of a variable; `None` if it is not set.
    fn var(&self, name: &str) -> Option<OsString>;
}

/// The environment of this process.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessEnv;

impl Env for ProcessEnv {
    fn var(&self, name: &str) -> Option<OsString> {
        std::env::var_os(name)
    }
}

impl Env for BTreeMap<String, String> {
    fn var(&self, name: &str) -> Option<OsString> {
        self.get(name).map(OsString::from)
    }
}
