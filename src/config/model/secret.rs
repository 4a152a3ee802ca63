//! References to secrets. A configuration never holds a secret itself, so printing one is safe.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Where a secret comes from. Exactly one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Secret {
    /// An environment variable's value.
    Env(#[schemars(length(min = 1))] String),
    /// A file's content, without the white space around it.
    File(#[schemars(length(min = 1))] PathBuf),
}
