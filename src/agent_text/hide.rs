//! Which parts of an agent's configuration must not be printed.

use super::scan::scan;
use serde_json::Value;

/// What stands in a secret's place.
const HIDDEN: &str = "(hidden)";

/// Whether what stands under this key is a secret, by the key's name: tokens of every kind, `encrypt`, passwords of
/// metrics sinks. A file's name is none.
fn is_secret_key(key: &str) -> bool {
    const PARTS: [&str; 8] = [
        "token",
        "secret",
        "password",
        "passwd",
        "apikey",
        "privatekey",
        "credential",
        "authorization",
    ];
    let plain: String = key.chars().filter(char::is_ascii_alphanumeric).collect();
    let plain = plain.to_ascii_lowercase();
    plain == "encrypt" || PARTS.iter().any(|part| plain.contains(part))
}

/// The same of a key as it stands in a text, where escapes may disguise it; one that cannot be read counts as secret.
fn is_secret_in_text(key: &str) -> bool {
    if !key.contains('\\') {
        return is_secret_key(key);
    }
    serde_json::from_str::<String>(&format!("\"{key}\"")).map_or(true, |key| is_secret_key(&key))
}

/// A value that is no secret by its key: without the secrets that a cloud auto-join string may hold
/// (`provider=azure secret_access_key=..`).
fn hidden(value: &str) -> String {
    if !value.contains("provider=") {
        return value.to_owned();
    }
    let pairs = value.split(' ').map(|pair| match pair.split_once('=') {
        Some((key, secret)) if is_secret_key(key) || key.contains("access_key") => {
            let end = if secret.ends_with('"') { "\"" } else { "" };
            format!("{key}={HIDDEN}{end}")
        }
        _ => pair.to_owned(),
    });
    pairs.collect::<Vec<_>>().join(" ")
}

/// A configuration, or a part of one, without its secrets.
pub(crate) fn hide_in_value(value: &mut Value) {
    hide(value, false);
}

fn hide(value: &mut Value, is_secret: bool) {
    match value {
        Value::String(text) if is_secret => HIDDEN.clone_into(text),
        Value::String(text) => *text = hidden(text),
        Value::Array(items) => items.iter_mut().for_each(|item| hide(item, is_secret)),
        Value::Object(object) => {
            for (key, value) in object {
                hide(value, is_secret || is_secret_key(key));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// HCL or JSON text without its secrets, and without comments, which may hold old ones.
pub(crate) fn hide_in_text(text: &str) -> String {
    let scan = scan(text);
    let mut edits: Vec<_> = scan.comments.into_iter().map(|span| (span, String::new())).collect();
    for value in scan.values.into_iter().filter(|value| value.is_text) {
        if value.path.iter().any(|key| is_secret_in_text(key)) {
            edits.push((value.span, format!("\"{HIDDEN}\"")));
        } else {
            let shown = hidden(&text[value.span.clone()]);
            edits.push((value.span, shown));
        }
    }
    edits.sort_by_key(|(span, _)| span.start);
    let mut out = String::new();
    let mut from = 0;
    for (span, shown) in edits {
        out.push_str(&text[from..span.start]);
        out.push_str(&shown);
        from = span.end;
    }
    out.push_str(&text[from..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_by_the_names_of_their_keys() {
        for key in [
            "encrypt",
            "token",
            "agent_recovery_token",
            "tokens",
            "circonus_api_token",
            "ACL_Token",
            "secret_access_key",
            "auth_password",
            "private_key",
            "Authorization",
            "api_key",
        ] {
            assert!(is_secret_key(key), "{key}");
        }
        for key in ["key_file", "ca_file", "node_id", "encrypt_verify_incoming", "tag_key", "ports"]
        {
            assert!(!is_secret_key(key), "{key}");
        }
    }

    #[test]
    fn a_text_is_shown_without_its_secrets() {
        let hcl = "log_level = \"debug\" # was: \"s3cret\"\nencrypt = \"s3cret\"\n\
                   acl {\n  tokens {\n    agent = \"s3cret\"\n  }\n}\n\
                   telemetry { circonus_api_token = <<EOF\ns3cret\nEOF\n}\n";
        assert_eq!(
            hide_in_text(hcl),
            "log_level = \"debug\" \nencrypt = \"(hidden)\"\nacl {\n  tokens {\n    agent = \"(hidden)\"\n  }\n}\n\
             telemetry { circonus_api_token = \"(hidden)\"\n}\n"
        );
        let json = r#"{"acl":{"tokens":{"agent":"s3cret"}},"encrypt"
            :"s3cret","ports":{"http":1}}"#;
        let shown = hide_in_text(json);
        assert!(!shown.contains("s3cret"), "{shown}");
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(shown["ports"]["http"], 1);
        let disguised = r#"{"tok\u0065n":"s3cret","a":{"\u0065ncrypt":["s3cret"]},"log":"x"}"#;
        let shown = hide_in_text(disguised);
        assert!(!shown.contains("s3cret") && shown.contains("\"log\":\"x\""), "{shown}");
        // Not even when it does not end.
        assert!(!hide_in_text("encrypt = \"s3cret").contains("s3cret"));
        assert!(!hide_in_text("encrypt = <<E\ns3cret").contains("s3cret"));
    }

    #[test]
    fn an_auto_join_string_is_shown_without_its_keys() {
        let join = "provider=aws tag_key=consul access_key_id=AKIA secret_access_key=s3cret region=eu-west-1";
        assert_eq!(
            hidden(join),
            "provider=aws tag_key=consul access_key_id=(hidden) secret_access_key=(hidden) region=eu-west-1"
        );
        let text = format!("retry_join = [\"{join}\", \"provider=x token=s3cret\"]");
        let shown = hide_in_text(&text);
        assert!(!shown.contains("s3cret") && shown.ends_with("token=(hidden)\"]"), "{shown}");
        assert_eq!(hidden("10.0.0.10"), "10.0.0.10");
    }
}
