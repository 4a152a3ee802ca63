//! Configuration: what a user writes, checked as a whole before anything starts.
//!
//! | module | what it does |
//! |---|---|
//! | `model` | the structs and their defaults; the JSON schema comes from them |
//! | `load` | sources -> document -> [`Config`], or every error at once |
//! | `json` | text to a value, keys that stand twice |
//! | `legacy` | a consul-ecs v0.4.3 document in our terms |
//! | `schema_check`, `suggest` | the document against the schema: keys, types, words, durations |
//! | `check` | rules that span values: ports, times, names |
//! | `secret` | a reference to the secret itself, when it is needed |
//! | `pem` | whether a text can be a certificate or a key |
//! | `show` | `taskmesh check-config` and `taskmesh schema` |
//! | `env`, `path`, `error` | what the others share |

mod check;
mod env;
mod error;
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

pub use env::{Env, ProcessEnv};
pub use error::{ConfigError, ConfigErrors};
pub use load::{Loaded, Sources, VARIABLE, load};
pub use model::*;
pub use pem::{Pem, PemError};
pub use secret::SecretError;
pub use show::{cli_check, schema_text};
pub(crate) use suggest::nearest;

use schemars::Schema;

/// The JSON schema of [`Config`], generated from the structs.
pub(crate) fn schema() -> Schema {
    schemars::schema_for!(Config)
}
