//! What is wrong with a configuration: every error at once, each with its place.

use super::path::Path;
use std::fmt::{self, Display, Formatter};

/// One error: where, and one sentence that says what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// A JSON path (`proxy.upstreams[0].localBindPort`), or the name of the source when it could not be read.
    /// Never empty.
    pub path: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl Display for ConfigError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// Every error of a configuration. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl Display for ConfigErrors {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

/// An error while its place is still a path that can be compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Finding {
    pub(super) path: Path,
    pub(super) message: String,
    /// Whose values can no longer be judged, because the user meant them but did not reach them.
    pub(super) spoils: Option<Path>,
}

impl Finding {
    pub(super) fn new(path: Path, message: impl Into<String>) -> Self {
        Self { spoils: Some(path.clone()), path, message: message.into() }
    }
}
