//! Where the project's own files are, on the machine that has built the testbed.

use std::path::{Path, PathBuf};

/// The folder of the whole project.
pub(crate) fn root() -> &'static Path {
    let testbed = Path::new(env!("CARGO_MANIFEST_DIR"));
    testbed.parent().unwrap_or(testbed)
}

/// Where what is published goes.
pub(crate) fn docs() -> PathBuf {
    root().join("docs")
}

/// Where a command's results go unless it is told otherwise.
pub(crate) fn results(of: &str) -> PathBuf {
    root().join("target").join(of)
}
