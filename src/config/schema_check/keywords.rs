//! What the keywords of a JSON schema say, and how values and types are called in a message.

use serde_json::Value;

pub(super) fn format(schema: &Value) -> Option<&str> {
    schema.get("format")?.as_str()
}

/// The least and the greatest whole number that a schema allows.
pub(super) fn range(schema: &Value) -> (Option<i64>, Option<i64>) {
    let bound = |name: &str| schema.get(name).and_then(Value::as_i64);
    // The generator writes no maximum for u32, only its name.
    let is_u32 = format(schema) == Some("uint32");
    (bound("minimum"), bound("maximum").or(is_u32.then_some(i64::from(u32::MAX))))
}

pub(super) fn branches(schema: &Value) -> Option<&[Value]> {
    let list = schema.get("anyOf").or_else(|| schema.get("oneOf"))?;
    list.as_array().map(Vec::as_slice)
}

/// The one required key of each branch, if every branch has exactly one.
pub(super) fn one_key_each<'s>(branches: &[&'s Value]) -> Option<Vec<&'s str>> {
    branches
        .iter()
        .map(|branch| match branch.get("required")?.as_array()?.as_slice() {
            [key] => key.as_str(),
            _ => None,
        })
        .collect()
}

pub(super) fn types(schema: &Value) -> Option<Vec<&str>> {
    match schema.get("type")? {
        Value::String(one) => Some(vec![one]),
        Value::Array(several) => Some(several.iter().filter_map(Value::as_str).collect()),
        _ => None,
    }
}

/// The constants that a schema allows.
pub(super) fn words(schema: &Value) -> Option<Vec<&Value>> {
    match (schema.get("const"), schema.get("enum")) {
        (Some(only), _) => Some(vec![only]),
        (None, Some(several)) => Some(several.as_array()?.iter().collect()),
        (None, None) => None,
    }
}

pub(super) fn has_type(name: &str, value: &Value) -> bool {
    match name {
        // JSON Schema also takes 80.0 for an integer; serde does not, so neither do we.
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        name => name == json_type(value),
    }
}

fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

pub(super) fn type_name(json_type: &str) -> &'static str {
    match json_type {
        "null" => "null",
        "boolean" => "true or false",
        "number" => "a number",
        "string" => "a string",
        "array" => "a list",
        "object" => "an object",
        _ => "something else",
    }
}

/// A value in an error message. Its text is shown only where a word of a fixed list is expected: anything else may be
/// a secret that was put where its reference belongs.
pub(super) fn describe_value(value: &Value, words_fit: bool) -> String {
    match value {
        Value::String(text) if words_fit && text.len() <= 40 => format!("{text:?}"),
        Value::Number(number) => number.to_string(),
        Value::Bool(_) => "a boolean".to_owned(),
        value => type_name(json_type(value)).to_owned(),
    }
}

pub(super) fn join_or(mut words: Vec<String>) -> String {
    match words.pop() {
        Some(last) if words.is_empty() => last,
        Some(last) => format!("{} or {last}", words.join(", ")),
        None => String::new(),
    }
}
