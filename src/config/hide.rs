//! Hiding what looks like a secret in values that may be anything, before they are printed.
//!
//! A configuration refers to its secrets, but some of it is opaque: a cloud auto-join string
//! (`provider=aws secret_access_key=..`), the headers of a native check, a URL with a password. By name, not by value: a
//! secret that calls itself `x` cannot be known.

use serde_json::Value;

/// What stands in a secret's place.
pub(crate) const HIDDEN: &str = "(hidden)";

/// Parts of names whose values are secrets, in lower case without separators.
const NAMES: [&str; 9] = [
    "accesskey",
    "apikey",
    "authorization",
    "cookie",
    "credential",
    "passw",
    "privatekey",
    "secret",
    "token",
];

fn is_secret(name: &str) -> bool {
    let letters = name.chars().filter(char::is_ascii_alphanumeric);
    let name: String = letters.map(|c| c.to_ascii_lowercase()).collect();
    name == "encrypt" || NAMES.iter().any(|part| name.contains(part))
}

/// The value with every text hidden that stands under a secret's name, or that [`text`] hides. Numbers and booleans
/// stay.
pub(crate) fn value(value: &mut Value) {
    match value {
        Value::String(string) => *string = text(string),
        Value::Array(items) => items.iter_mut().for_each(self::value),
        Value::Object(object) => {
            for (key, inner) in object {
                if is_secret(key) { all_texts(inner) } else { self::value(inner) }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn all_texts(value: &mut Value) {
    match value {
        Value::String(text) if !text.is_empty() => *text = HIDDEN.to_owned(),
        Value::Array(items) => items.iter_mut().for_each(all_texts),
        Value::Object(object) => object.values_mut().for_each(all_texts),
        _ => {}
    }
}

/// The text with what follows `secret_name=` hidden, and the password of `scheme://user:password@host`.
pub(crate) fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(equals) = rest.find('=') {
        let (before, after) = (&rest[..equals], &rest[equals + 1..]);
        let name = before.rsplit(|c: char| !is_of_name(c)).next().unwrap_or_default();
        out.push_str(&rest[..=equals]);
        rest = after;
        if is_secret(name) && !after.is_empty() {
            rest = &after[value_length(after)..];
            out.push_str(HIDDEN);
        }
    }
    out.push_str(rest);
    without_password(&out)
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// Bytes of the value at the text's beginning: to its closing quote, else to what ends a value.
fn value_length(text: &str) -> usize {
    match text.chars().next().filter(|c| matches!(c, '"' | '\'')) {
        Some(quote) => text[1..].find(quote).map_or(text.len(), |end| end + 2),
        None => text.find([' ', '\t', '\n', '&', ';', ',']).unwrap_or(text.len()),
    }
}

fn without_password(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (scheme, after) = rest.split_at(at + 3);
        out.push_str(scheme);
        let authority = &after[..after.find(['/', '?', '#', ' ']).unwrap_or(after.len())];
        rest = after;
        if let Some(end) = authority.rfind('@') {
            out.push_str(HIDDEN);
            rest = &after[end..];
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_in_a_text_are_hidden_and_nothing_else() {
        for (given, shown) in [
            ("10.0.0.10", "10.0.0.10"),
            (
                "provider=aws tag_key=role access_key_id=A secret_access_key=b/c== region=x",
                "provider=aws tag_key=role access_key_id=(hidden) secret_access_key=(hidden) region=x",
            ),
            ("provider=os password=\"a b\" user=c", "provider=os password=(hidden) user=c"),
            ("http://u:p@h:1/a@b?token=x&y=1", "http://(hidden)@h:1/a@b?token=(hidden)&y=1"),
            ("http://127.0.0.1:9090/healthy?a=b", "http://127.0.0.1:9090/healthy?a=b"),
            ("password='", "password=(hidden)"),
            ("token=ü", "token=(hidden)"),
            ("= =", "= ="),
        ] {
            assert_eq!(text(given), shown);
        }
    }

    #[test]
    fn texts_under_a_secrets_name_are_hidden_at_any_depth() {
        let mut document = json!({
            "Header": {"Authorization": ["Bearer x"], "X-Api-Key": ["y"], "Accept": ["*/*"]},
            "encrypt": "k", "encrypt_verify_incoming": true,
            "acl": {"tokens": {"agent": "t"}, "enable_token_persistence": true, "secret_n": 3},
        });
        value(&mut document);
        let expected = json!({
            "Header": {"Authorization": [HIDDEN], "X-Api-Key": [HIDDEN], "Accept": ["*/*"]},
            "encrypt": HIDDEN, "encrypt_verify_incoming": true,
            "acl": {"tokens": {"agent": HIDDEN}, "enable_token_persistence": true, "secret_n": 3},
        });
        assert_eq!(document, expected);
    }
}
