//! A document against the JSON schema of [`Config`](super::Config): every violation, with its path.
//!
//! serde stops at its first error, so the schema, which is generated from the same structs, is walked instead. Only the
//! keywords that the generator writes are known here; a test holds the schema to them.

mod keywords;

use super::error::Finding;
use super::model::text::{DURATION, SOCKET_ADDRESS};
use super::path::Path;
use super::suggest::nearest;
use keywords::{
    branches, describe_value, format, has_type, join_or, one_key_each, range, type_name, types,
    words,
};
use serde_json::{Map, Value};
use std::net::SocketAddr;

/// Every violation of `schema` in `document`.
pub(super) fn check(schema: &Value, document: &Value) -> Vec<Finding> {
    let mut walk = Walk { root: schema, findings: Vec::new() };
    walk.node(schema, document, &Path::default());
    walk.findings
}

struct Walk<'s> {
    root: &'s Value,
    findings: Vec<Finding>,
}

impl<'s> Walk<'s> {
    fn found(&mut self, path: &Path, message: impl Into<String>) {
        self.findings.push(Finding::new(path.clone(), message));
    }

    fn node(&mut self, schema: &'s Value, value: &Value, path: &Path) {
        let before = self.findings.len();
        if let Some(target) = self.target(schema) {
            self.node(target, value, path);
        }
        if let Some(branches) = branches(schema) {
            self.alternatives(branches, value, path);
        }
        if self.findings.len() > before {
            return;
        }
        if let Some(expected) = self.mismatch(schema, value) {
            return self.found(path, expected);
        }
        match value {
            Value::String(text) => self.text(schema, text, path),
            Value::Array(items) => {
                if schema.get("uniqueItems") == Some(&Value::Bool(true)) {
                    for i in (0..items.len()).filter(|&i| items[..i].contains(&items[i])) {
                        self.found(&path.index(i), "stands twice in this list");
                    }
                }
                let Some(item_schema) = schema.get("items") else { return };
                for (i, item) in items.iter().enumerate() {
                    self.node(item_schema, item, &path.index(i));
                }
            }
            Value::Object(object) => self.object(schema, object, path),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// What a `$ref` points to.
    fn target(&self, schema: &'s Value) -> Option<&'s Value> {
        let pointer = schema.get("$ref")?.as_str()?.strip_prefix('#')?;
        self.root.pointer(pointer)
    }

    /// The schema behind any chain of references.
    fn resolved(&self, schema: &'s Value) -> &'s Value {
        self.target(schema).map_or(schema, |target| self.resolved(target))
    }

    /// What should stand here, if the value's type, its constant or its range is wrong.
    fn mismatch(&self, schema: &'s Value, value: &Value) -> Option<String> {
        let of_type = types(schema).is_none_or(|types| types.iter().any(|t| has_type(t, value)));
        let known = words(schema).is_none_or(|words| words.contains(&value));
        let (least, most) = range(schema);
        let in_range = value.as_i64().is_none_or(|number| {
            least.is_none_or(|least| least <= number) && most.is_none_or(|most| number <= most)
        }) && !(value.as_u64().is_some_and(|number| number > i64::MAX as u64)
            && most.is_some());
        if of_type && known && in_range {
            return None;
        }
        let words_fit = words(schema).is_some();
        Some(format!(
            "must be {}, not {}",
            join_or(self.describe(schema)),
            describe_value(value, words_fit)
        ))
    }

    fn text(&mut self, schema: &'s Value, text: &str, path: &Path) {
        let least = schema.get("minLength").and_then(Value::as_u64).unwrap_or(0);
        if (text.chars().count() as u64) < least {
            self.found(path, "must not be empty");
        }
        match format(schema) {
            Some(DURATION) if humantime::parse_duration(text).is_err() => {
                self.found(
                    path,
                    format!("not a duration: {text:?}; write \"500ms\", \"30s\", \"1m 50s\""),
                );
            }
            Some(SOCKET_ADDRESS) if text.parse::<SocketAddr>().is_err() => {
                self.found(
                    path,
                    format!("not an IP address and port: {text:?}; write \"127.0.0.1:19100\""),
                );
            }
            _ => {}
        }
    }

    fn object(&mut self, schema: &'s Value, object: &Map<String, Value>, path: &Path) {
        let properties = schema.get("properties").and_then(Value::as_object);
        for (key, value) in object {
            let here = path.key(key);
            match (properties.and_then(|p| p.get(key)), schema.get("additionalProperties")) {
                (Some(known), _) => self.node(known, value, &here),
                (None, Some(Value::Bool(false))) => {
                    let known = properties.into_iter().flat_map(|p| p.keys()).map(String::as_str);
                    self.unknown_key(path, key, known.collect());
                }
                (None, Some(others)) => self.node(others, value, &here),
                (None, None) => {}
            }
        }
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        for key in required.filter_map(Value::as_str).filter(|key| !object.contains_key(*key)) {
            // In a closed object the other spelling is an error of its own, with the same hint.
            let open = schema.get("additionalProperties").is_none();
            let other = object.keys().find(|other| open && other.eq_ignore_ascii_case(key));
            let hint = other.map_or(String::new(), |other| format!("; {other:?} is another key"));
            self.found(&path.key(key), format!("required, but missing{hint}"));
        }
    }

    /// `anyOf` and `oneOf`: the errors of the branch that was most likely meant.
    fn alternatives(&mut self, branches: &'s [Value], value: &Value, path: &Path) {
        let tries: Vec<_> =
            branches.iter().map(|branch| self.attempt(branch, value, path)).collect();
        if tries.iter().any(Vec::is_empty) {
            return;
        }
        let branches: Vec<_> = branches.iter().map(|branch| self.resolved(branch)).collect();
        let same_type =
            |branch: &Value| types(branch).is_none_or(|ts| ts.iter().any(|t| has_type(t, value)));
        let mut meant = (0..branches.len()).filter(|i| same_type(branches[*i]));
        match (meant.next(), meant.next()) {
            (Some(only), None) if words(branches[only]).is_none() => {
                self.findings.extend(tries.into_iter().nth(only).into_iter().flatten())
            }
            (Some(_), Some(_)) if one_key_each(&branches).is_some() => {
                self.one_key(&branches, tries, value, path);
            }
            _ => {
                let expected = self.describe_any(&branches);
                let words_fit = branches.iter().any(|branch| words(branch).is_some());
                self.found(
                    path,
                    format!("must be {expected}, not {}", describe_value(value, words_fit)),
                );
            }
        }
    }

    fn attempt(&self, schema: &'s Value, value: &Value, path: &Path) -> Vec<Finding> {
        let mut walk = Walk { root: self.root, findings: Vec::new() };
        walk.node(schema, value, path);
        walk.findings
    }

    /// An enum whose variants are objects with one key: the key says which variant is meant.
    fn one_key(
        &mut self,
        branches: &[&'s Value],
        tries: Vec<Vec<Finding>>,
        value: &Value,
        path: &Path,
    ) {
        let keys = one_key_each(branches).unwrap_or_default();
        let Some(object) = value.as_object() else { return };
        let given: Vec<_> = (0..keys.len()).filter(|i| object.contains_key(keys[*i])).collect();
        if let [only] = given[..] {
            return self.findings.extend(tries.into_iter().nth(only).into_iter().flatten());
        }
        for key in object.keys().filter(|key| !keys.contains(&key.as_str())) {
            self.unknown_key(path, key, keys.clone());
        }
        if given.len() > 1 || object.is_empty() {
            self.found(path, format!("must be {}", self.describe_any(branches)));
        }
    }

    fn unknown_key(&mut self, object: &Path, key: &str, known: Vec<&str>) {
        let meant = nearest(key, known.iter().copied());
        let hint = match meant {
            Some(meant) => format!("; did you mean {meant:?}?"),
            None => match self.section_of(key) {
                Some(section) => format!("; did you mean \"{section}.{key}\"?"),
                None if known.len() <= 4 => {
                    format!(
                        "; known here: {}",
                        join_or(known.iter().map(|key| format!("{key:?}")).collect())
                    )
                }
                None => String::new(),
            },
        };
        let spoils = meant.map(|meant| object.key(meant));
        self.findings.push(Finding {
            path: object.key(key),
            message: format!("unknown key{hint}"),
            spoils,
        });
    }

    /// The only section of the document that has this key.
    fn section_of(&self, key: &str) -> Option<&'s str> {
        let sections = self.root.get("properties")?.as_object()?.iter();
        let mut with_key = sections.filter(|(_, section)| {
            self.resolved(section)
                .get("properties")
                .is_some_and(|properties| properties.get(key).is_some())
        });
        match (with_key.next(), with_key.next()) {
            (Some((section, _)), None) => Some(section),
            _ => None,
        }
    }

    /// What a schema asks for: one or several things, in words.
    fn describe(&self, schema: &'s Value) -> Vec<String> {
        let schema = self.resolved(schema);
        if let Some(words) = words(schema) {
            return words.iter().map(|word| word.to_string()).collect();
        }
        let names =
            types(schema).unwrap_or_default().into_iter().map(|name| match (name, range(schema)) {
                ("integer", (Some(least), Some(most))) => {
                    format!("a whole number from {least} to {most}")
                }
                ("integer", _) => "a whole number".to_owned(),
                ("string", _) if format(schema) == Some(DURATION) => {
                    "a duration such as \"30s\"".to_owned()
                }
                (other, _) => type_name(other).to_owned(),
            });
        names.collect()
    }

    fn describe_any(&self, branches: &[&'s Value]) -> String {
        match one_key_each(branches) {
            Some(keys) if keys.len() > 1 => {
                let keys = keys.iter().map(|key| format!("{key:?}")).collect();
                format!("an object with exactly one key, {}", join_or(keys))
            }
            _ => join_or(branches.iter().flat_map(|branch| self.describe(branch)).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::schema;

    /// Every keyword that stands in a schema, at any depth, property names left out.
    fn keywords(schema: &Value, found: &mut Vec<String>) {
        for (keyword, value) in schema.as_object().into_iter().flatten() {
            found.push(keyword.clone());
            match (keyword.as_str(), value) {
                ("properties" | "$defs", Value::Object(named)) => {
                    named.values().for_each(|s| keywords(s, found))
                }
                ("anyOf" | "oneOf", Value::Array(branches)) => {
                    branches.iter().for_each(|s| keywords(s, found))
                }
                ("items" | "additionalProperties", inner) => keywords(inner, found),
                _ => {}
            }
        }
    }

    #[test]
    fn the_schema_uses_only_keywords_that_are_checked() {
        let mut found = Vec::new();
        keywords(schema(), &mut found);
        found.retain(|keyword| {
            !["$schema", "title", "description", "default"].contains(&keyword.as_str())
        });
        found.sort();
        found.dedup();
        let checked = [
            "$defs",
            "$ref",
            "additionalProperties",
            "anyOf",
            "const",
            "enum",
            "format",
            "items",
            "maximum",
            "minLength",
            "minimum",
            "oneOf",
            "properties",
            "required",
            "type",
        ];
        assert_eq!(found, checked);
    }
}
