//! `consul.extraConfig`: what becomes of the text before the agent reads it.

use crate::agent_text::{Piece, pieces};
use std::collections::BTreeSet;

/// The task's address, as consul-ecs 0.4.3's start script named it.
pub const TASK_ADDRESS: &str = "ECS_IPV4";
/// The datacenter's name, as that script had it in its environment.
pub const DATACENTER: &str = "CONSUL_DATACENTER";

/// The variables that the text names, [`TASK_ADDRESS`] and [`DATACENTER`] among them.
pub fn extra_config_variables(text: &str) -> BTreeSet<&str> {
    pieces(text)
        .into_iter()
        .filter_map(|piece| match piece {
            Piece::Variable(name) => Some(name),
            Piece::Text(_) | Piece::Shell(_) => None,
        })
        .collect()
}

/// The text with `$NAME` and `${NAME}` replaced by what `value` gives, and `\$` by a dollar sign. Everything else stays
/// as it is: `$(..)`, go-sockaddr templates, HCL's `${..}` around anything but a name. What is put in is put in as it
/// is, quotes and line breaks too.
///
/// # Errors
/// The variables that have no value. A shell would have put nothing in their place, and the agent would, for one, have
/// bound to every address.
pub fn expand_extra_config<'a>(
    text: &'a str,
    value: impl Fn(&str) -> Option<&'a str>,
) -> Result<String, BTreeSet<&'a str>> {
    let mut out = String::with_capacity(text.len());
    let mut missing = BTreeSet::new();
    for piece in pieces(text) {
        match piece {
            Piece::Text(text) | Piece::Shell(text) => out.push_str(text),
            Piece::Variable(name) => match value(name) {
                Some(value) => out.push_str(value),
                None => drop(missing.insert(name)),
            },
        }
    }
    if missing.is_empty() { Ok(out) } else { Err(missing) }
}

/// Name of the file for `consul.extraConfig`: Consul tells JSON from HCL by the file's name.
pub fn extra_config_file_name(text: &str) -> &'static str {
    if text.trim_start().starts_with('{') { "agent-extra.json" } else { "agent-extra.hcl" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str) -> Result<String, Vec<&str>> {
        let value = |name: &str| match name {
            "ECS_IPV4" => Some("10.0.2.106"),
            "NAME" => Some("na\"me"),
            "EMPTY" => Some(""),
            _ => None,
        };
        expand_extra_config(text, value).map_err(|names| names.into_iter().collect())
    }

    #[test]
    fn variables_are_replaced_and_nothing_else_is() {
        for (text, expected) in [
            ("bind_addr = \"$ECS_IPV4\"", "bind_addr = \"10.0.2.106\""),
            ("{\"a\": \"${ECS_IPV4}:1\"}", "{\"a\": \"10.0.2.106:1\"}"),
            ("$NAME$EMPTY.", "na\"me."),
            (r"\$NAME and \\$ECS_IPV4", r"$NAME and \\10.0.2.106"),
            (
                "bind_addr = \"{{ GetInterfaceIP \\\"eth0\\\" }}\"",
                "bind_addr = \"{{ GetInterfaceIP \\\"eth0\\\" }}\"",
            ),
            (
                "x = \"${var.y}\" $(id) `id` ${NAME:-x} $$",
                "x = \"${var.y}\" $(id) `id` ${NAME:-x} $$",
            ),
        ] {
            assert_eq!(expand(text).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn every_variable_without_a_value_is_named_once() {
        assert_eq!(expand("$B $A ${B} $NAME"), Err(vec!["A", "B"]));
        let names: Vec<_> =
            extra_config_variables(r"$B $A ${B} \$C $(D) ${E:-x}").into_iter().collect();
        assert_eq!(names, ["A", "B"]);
    }

    #[test]
    fn the_language_is_told_by_the_first_character() {
        assert_eq!(extra_config_file_name(" \n{\"a\": 1}"), "agent-extra.json");
        assert_eq!(extra_config_file_name("log_level = \"debug\""), "agent-extra.hcl");
    }
}
