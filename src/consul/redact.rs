//! The agent's configuration for people's eyes.

use crate::agent_text::{hide_in_text, hide_in_value};
use serde_json::Value;

/// The same configuration with its secrets hidden, for printing: whatever stands under a key that names one, and the
/// keys to a cloud's API in auto-join strings. Paths of key files stay.
pub fn redacted(mut config: Value) -> Value {
    hide_in_value(&mut config);
    config
}

/// `consul.extraConfig` for printing: HCL or JSON without its secrets and comments. Variables stay names.
pub fn redacted_extra_config(text: &str) -> String {
    hide_in_text(text)
}
