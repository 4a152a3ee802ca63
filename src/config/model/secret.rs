//! References to secrets. A configuration never holds a secret itself, so printing one is safe.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// Where a secret comes from. Exactly one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Secret {
    /// An environment variable's value. It cannot change while the task runs.
    Env(#[schemars(length(min = 1))] String),
    /// A file's content, without the white space around it.
    File(#[schemars(length(min = 1))] PathBuf),
    /// A secret in AWS Secrets Manager, read with the task role's credentials.
    SecretsManager(StoredSecret),
}

/// A secret in AWS Secrets Manager.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StoredSecret {
    /// Its name, or its ARN, which also tells the region. Else the region is AWS_REGION, or that of the task.
    #[schemars(length(min = 1))]
    pub secret_id: String,
    /// The secret is a JSON object, and this key of it is meant, for example `token` in what a controller writes. Without
    /// it the whole text is meant.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub json_key: Option<String>,
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env {name}"),
            Self::File(file) => write!(f, "file {}", file.display()),
            Self::SecretsManager(stored) => write!(f, "{stored}"),
        }
    }
}

impl fmt::Display for StoredSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.json_key {
            Some(key) => write!(f, "secret {}, key {key}", self.secret_id),
            None => write!(f, "secret {}", self.secret_id),
        }
    }
}
