//! `consul.extraConfig`: whatever it is, variables are found as they are replaced, and what is hidden in a JSON
//! document is hidden in its text, too.

use serde_json::Value;
use taskmesh::consul::{
    expand_extra_config, extra_config_file_name, extra_config_variables, redacted,
    redacted_extra_config,
};

/// Takes the bytes for such a text. Gives whether it names a variable, or is JSON.
pub(crate) fn check(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    let names = extra_config_variables(&text);
    // Each is a name, and has to have a value.
    for name in &names {
        assert!(!name.is_empty() && text.contains(name), "{name:?}");
        assert!(name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric()), "{name:?}");
    }
    let missing = expand_extra_config(&text, |_| None);
    assert_eq!(missing.err().unwrap_or_default(), names);
    let expanded = expand_extra_config(&text, |_| Some("")).expect("every one has a value");
    assert!(expanded.len() <= text.len());
    if !text.contains(['$', '`', '\\']) {
        assert_eq!(expanded, text);
    }
    let hidden = redacted_extra_config(&text);
    let json = serde_json::from_str::<Value>(&text).ok().filter(Value::is_object);
    if let Some(value) = &json {
        assert_eq!(extra_config_file_name(&text), "agent-extra.json");
        let hidden: Value = serde_json::from_str(&hidden).expect("still JSON");
        hides(&hidden, &redacted(value.clone()), value);
    }
    json.is_some() || !names.is_empty()
}

/// What `other` hides of the original, `hidden` does, too. It may hide more: it reads the text as it stands, and when in
/// doubt it hides.
fn hides(hidden: &Value, other: &Value, original: &Value) {
    match (hidden, other) {
        (Value::Object(hidden), Value::Object(all)) => {
            assert_eq!(hidden.len(), all.len());
            all.iter().for_each(|(key, other)| hides(&hidden[key], other, &original[key]));
        }
        (Value::Array(hidden), Value::Array(all)) => {
            assert_eq!(hidden.len(), all.len());
            let both = hidden.iter().zip(all).enumerate();
            both.for_each(|(i, (hidden, other))| hides(hidden, other, &original[i]));
        }
        _ => assert!(other == original || hidden == other, "{hidden} for {original}"),
    }
}
