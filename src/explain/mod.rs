//! `taskmesh check-config --explain`: what `run` would do with a configuration, told without doing it.
//!
//! | file | what |
//! |---|---|
//! | `inputs` | all the I/O: the secrets' presence, the task's metadata, `consul version` |
//! | `report` | the explanation as one value; its agent config, command lines and IDs come from the functions that `run` calls (pure) |
//! | `calls` | the calls to the agent, in their order, with their bodies (pure) |
//! | `stop` | the steps of a stop and their time (pure) |
//! | `text` | the explanation for people, at 80 columns (pure) |
//!
//! No secret's value gets past `inputs`: what follows is built with a placeholder in its place.

mod calls;
mod inputs;
mod report;
mod stop;
mod text;

pub use calls::Call;
pub use inputs::{Inputs, SecretSeen, TaskSource, VersionSource};
pub use report::{Agent, Commands, Explanation, Program, Registration, TaskNote};
pub use stop::{Step, Stop};

use crate::config::{self, Env, Sources};
use crate::consul::Version;
use crate::exit;

/// What `check-config --explain` was asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wish {
    /// One JSON object instead of text.
    pub json: bool,
    /// Explain for this Consul, and do not run the executable.
    pub consul_version: Option<Version>,
}

/// Checks and explains the configuration: the text to print and the exit code (0, or 64 with every error on a line).
/// Never fails because something is missing on this machine; it says so instead.
pub fn run(sources: &Sources, wish: Wish, env: &dyn Env) -> (String, u8) {
    let loaded = match config::load(sources, env) {
        Ok(loaded) => loaded,
        Err(errors) => return (format!("{errors}\n"), exit::USAGE),
    };
    let inputs = inputs::gather(&loaded.config, wish.consul_version, env);
    let explanation = Explanation::new(&loaded, &inputs);
    let text = if wish.json {
        // Only text keys and plain values: this cannot fail.
        let value = serde_json::to_value(&explanation).unwrap_or_default();
        format!("{value:#}\n")
    } else {
        text::render(&explanation)
    };
    (text, exit::OK)
}
