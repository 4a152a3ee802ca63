//! What a consul-ecs v0.4.3 user has in `CONSUL_ECS_CONFIG_JSON`, in our terms.
//!
//! The basic mapping; the document's own oddities (open objects, `null` for every optional field, port 0 for a task
//! without inbound) are levelled here, and everything else is judged by our schema.

use super::error::Finding;
use super::path::Path;
use serde_json::{Map, Value, json};

/// The environment variable that v0.4.3's Terraform module sets.
pub(super) const VARIABLE: &str = "CONSUL_ECS_CONFIG_JSON";

/// Our key, and v0.4.3's own path for it where that differs.
const RENAMED: [(&str, &str); 1] = [("healthSync.containers", "healthSyncContainers")];

/// A v0.4.3 document as a part of our own.
#[derive(Debug, Default)]
pub(super) struct Translated {
    /// `service`, `proxy` and `healthSync`, as far as the document has them.
    pub(super) document: Map<String, Value>,
    pub(super) errors: Vec<Finding>,
    pub(super) warnings: Vec<String>,
}

/// Translates a document. `known` are our keys of a section: v0.4.3 ignores unknown ones in `service` and `proxy`.
pub(super) fn translate(document: Value, known: impl Fn(&str) -> Vec<String>) -> Translated {
    let mut out = Translated::default();
    let mut document = match without_nulls(document) {
        Value::Object(document) => document,
        _ => {
            out.errors.push(Finding::new(Path::default(), "must be an object"));
            return out;
        }
    };
    if document.remove("bootstrapDir").is_some() {
        out.warn(
            "bootstrapDir is ignored: there is no shared volume, Envoy runs in this container",
        );
    }
    if let Some(containers) = document.remove("healthSyncContainers") {
        out.document.insert("healthSync".to_owned(), json!({ "containers": containers }));
    }
    for section in ["service", "proxy"] {
        let Some(mut value) = document.remove(section) else { continue };
        if let Some(object) = value.as_object_mut() {
            let known = known(section);
            object.retain(|key, _| {
                let keep = known.iter().any(|k| k == key);
                if !keep {
                    out.warn(&format!(
                        "{section}.{key} is ignored, as consul-ecs ignored it: unknown key"
                    ));
                }
                keep
            });
            // 0.4.3 writes 0 for a task that only calls others, and then leaves the port out.
            if section == "service" && object.get("port") == Some(&json!(0)) {
                object.remove("port");
                object.insert("inbound".to_owned(), json!(false));
            }
        }
        out.document.insert(section.to_owned(), value);
    }
    for key in document.keys() {
        out.errors.push(Finding::new(Path::default().key(key), "unknown key"));
    }
    out
}

impl Translated {
    fn warn(&mut self, sentence: &str) {
        self.warnings.push(format!("{VARIABLE}: {sentence}"));
    }
}

/// The path in the v0.4.3 document of a path in ours.
pub(super) fn own_path(path: &Path) -> Path {
    RENAMED
        .iter()
        .fold(path.clone(), |path, (ours, theirs)| path.moved(&Path::of(ours), &Path::of(theirs)))
}

/// `null` means "not given" everywhere in a v0.4.3 document, except inside the opaque `config` objects.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let kept = object.into_iter().filter(|(_, value)| !value.is_null());
            let levelled = kept.map(|(key, value)| match key.as_str() {
                "config" => (key, value),
                _ => (key, without_nulls(value)),
            });
            Value::Object(levelled.collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(document: Value) -> Translated {
        translate(document, |_| vec!["name".to_owned(), "port".to_owned(), "upstreams".to_owned()])
    }

    #[test]
    fn null_means_not_given_but_not_inside_opaque_config() {
        let out = translated(json!({
            "service": {"name": null, "port": 1},
            "proxy": {"upstreams": [{"datacenter": null, "config": {"a": null}}]},
            "healthSyncContainers": null,
        }));
        assert_eq!(
            Value::Object(out.document),
            json!({"service": {"port": 1}, "proxy": {"upstreams": [{"config": {"a": null}}]}})
        );
    }

    #[test]
    fn a_proxy_of_null_is_no_proxy() {
        assert_eq!(Value::Object(translated(json!({"proxy": null})).document), json!({}));
    }

    #[test]
    fn port_0_is_a_service_that_only_calls_others() {
        let out = translated(json!({"service": {"name": "batch", "port": 0}}));
        assert_eq!(
            Value::Object(out.document),
            json!({"service": {"name": "batch", "inbound": false}})
        );
    }

    #[test]
    fn what_consul_ecs_ignored_is_a_warning_and_what_it_refused_an_error() {
        let out = translated(
            json!({"service": {"port": 1, "extra": 2}, "bootstrapDir": "/consul", "gateway": {}}),
        );
        assert_eq!(out.warnings.len(), 2, "{:?}", out.warnings);
        assert_eq!(out.errors.len(), 1);
        assert_eq!(out.errors[0].path.to_string(), "gateway");
    }

    #[test]
    fn an_error_in_a_translated_key_names_the_users_own_key() {
        let path = Path::of("healthSync.containers").index(3);
        assert_eq!(own_path(&path).to_string(), "healthSyncContainers[3]");
    }
}
