//! Configuration: what a user writes, checked as a whole before anything starts.
//!
//! | module | what it does |
//! |---|---|
//! | `model` | the structs and their defaults; the JSON schema comes from them |
//! | `controller` | the same for `taskmesh controller` |
//! | `load` | sources -> document -> [`Config`], or every error at once |
//! | `json` | text to a value, keys that stand twice |
//! | `legacy` | a consul-ecs v0.4.3 document in our terms |
//! | `schema_check`, `suggest` | the document against the schema: keys, types, words, durations |
//! | `check` | rules that span values: ports, times, names |
//! | `secret` | a reference to the secret itself, when it is needed |
//! | `pem` | whether a text can be a certificate or a key |
//! | `show` | `taskmesh check-config` and `taskmesh schema` |
//! | `hide` | what looks like a secret, before anything is printed |
//! | `env`, `path`, `error` | what the others share |

mod check;
mod controller;
mod env;
mod error;
pub(crate) mod hide;
mod json;
mod legacy;
mod load;
mod model;
mod path;
mod pem;
mod schema_check;
mod secret;
mod show;
mod suggest;

pub(crate) use check::times::left_for_apps;
pub use controller::*;
pub use env::{Env, ProcessEnv};
pub use error::{ConfigError, ConfigErrors};
pub use load::{Given, Loaded, Sources, VARIABLE, load};
pub use model::*;
pub use pem::{Pem, PemError};
pub use secret::SecretError;
pub(crate) use secret::{SecretItem, trimmed};
pub(crate) use show::show;
pub use show::{cli_check, controller_schema_text, schema_text};
pub(crate) use suggest::nearest;

use schemars::Schema;
use serde_json::Value;
use std::sync::LazyLock;

/// The key by which a document tells an editor its schema. Ours alone: a v0.4.3 document has no such key.
const EDITORS_KEY: &str = "$schema";

/// The JSON schema of [`Config`], generated from the structs once in a process.
pub(crate) fn schema() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| generate().to_value());
    &SCHEMA
}

fn generate() -> Schema {
    with_editors_key(schemars::schema_for!(Config), "taskmesh configuration")
}

/// With a title, and the key by which an editor is told of the schema.
fn with_editors_key(mut schema: Schema, title: &str) -> Schema {
    schema.insert("title".to_owned(), title.into());
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        let description = "Where this schema is, for editors; taskmesh itself ignores it.";
        let editors = serde_json::json!({ "type": "string", "description": description });
        properties.insert(EDITORS_KEY.to_owned(), editors);
    }
    schema
}
