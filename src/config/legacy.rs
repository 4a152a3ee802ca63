//! What a consul-ecs v0.4.3 user has in `CONSUL_ECS_CONFIG_JSON` and beside it in the environment, in our terms.
//!
//! | module | what it does |
//! |---|---|
//! | `schema` | what 0.4.3 takes; what it refuses, we refuse |
//! | `spelling` | keys of open objects as 0.4.3 reads them: unknown ones ignored, case does not count |
//! | `environment` | tokens, certificates and names that 0.4.3's containers got as variables |
//!
//! Here the document's oddities are levelled: `null` and empty text for every optional field, port 0 for a task without
//! inbound, a missing list of containers for no health sync. What follows is judged by our own schema and rules.

mod environment;
mod schema;
mod spelling;

use super::env::Env;
use super::error::Finding;
use super::load::take_out;
use super::path::Path;
use super::schema_check;
use serde_json::{Map, Value, json};

/// The environment variable that v0.4.3's Terraform module sets.
pub(super) const VARIABLE: &str = "CONSUL_ECS_CONFIG_JSON";

/// Our path, and v0.4.3's own where that differs.
const RENAMED: [(&str, &str); 1] = [("healthSync.containers", "healthSyncContainers")];

/// A v0.4.3 document as a part of our own.
#[derive(Debug, Default)]
pub(super) struct Translated {
    /// `service`, `proxy` and `healthSync`, as far as the document has them. Ours may not say the same things.
    pub(super) document: Map<String, Value>,
    /// What holds where our own document says nothing.
    pub(super) presets: Vec<Preset>,
    /// What 0.4.3 refuses, at its own paths.
    pub(super) errors: Vec<Finding>,
    /// Our paths whose values are not the user's, because of the errors.
    pub(super) spoiled: Vec<Path>,
    pub(super) warnings: Vec<String>,
    /// What was done, and is as it should be.
    pub(super) notes: Vec<String>,
    /// Keys in another spelling: v0.4.3's path for it, and the user's.
    renamed: Vec<(Path, Path)>,
}

/// A value for a key, where our own document does not have it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Preset {
    /// Our path, with dots.
    pub(super) path: &'static str,
    pub(super) value: Value,
    /// The environment variable that it comes from; else the document.
    pub(super) from: Option<&'static str>,
}

/// Translates a document, and the environment beside it.
pub(super) fn translate(mut document: Value, env: &dyn Env) -> Translated {
    let schema = schema::schema();
    let levelled = spelling::level(&schema, &mut document);
    let mut errors = levelled.errors;
    errors.extend(schema_check::check(&schema, &document));
    let mut out = Translated { renamed: levelled.renamed, ..Translated::default() };
    levelled.warnings.iter().for_each(|sentence| out.warn(sentence));
    levelled.misspelt.iter().for_each(|path| take_out(&mut document, path));
    for error in &errors {
        take_out(&mut document, &error.path);
        out.spoiled.extend(error.spoils.as_ref().map(ours));
    }
    out.errors = errors;
    let mut document = match document {
        Value::Object(document) => document,
        _ => Map::new(),
    };
    if let Some(Value::String(dir)) = document.remove("bootstrapDir") {
        out.bootstrap_dir(&dir);
    }
    let containers = document.remove("healthSyncContainers").unwrap_or(Value::Null);
    if containers.as_array().is_some_and(|names| !names.is_empty()) {
        out.document.insert("healthSync".to_owned(), json!({"containers": containers}));
    } else {
        // Not our own default: in 0.4.3 no list means no sync, for Terraform had looked for the containers.
        out.preset("healthSync.containers", json!([]));
    }
    if let Some(value) = document.remove("service") {
        out.document.insert("service".to_owned(), service(level(value)));
    }
    // 0.4.3 registers the service and then crashes if there is no proxy. Here that is a proxy without settings.
    if let Some(value @ Value::Object(_)) = document.remove("proxy") {
        out.document.insert("proxy".to_owned(), proxy(level(value)));
    }
    out.presets.extend(environment::presets(env));
    out.warnings.extend(environment::ignored(env));
    out
}

impl Translated {
    fn warn(&mut self, sentence: &str) {
        self.warnings.push(format!("{VARIABLE}: {sentence}"));
    }

    fn preset(&mut self, path: &'static str, value: Value) {
        self.presets.push(Preset { path, value, from: None });
    }

    /// 0.4.3 shared two files there: Envoy's bootstrap, which is ours alone now, and its own binary, to which the apps'
    /// entry points lead.
    fn bootstrap_dir(&mut self, dir: &str) {
        self.preset("lifecycle.consulEcsDir", json!(dir));
        self.preset("lifecycle.appBinDir", json!(dir));
        self.notes.push(format!(
            "{VARIABLE}: bootstrapDir {dir:?} gets our binary, as `consul-ecs` and as `taskmesh`, for the entry points \
             of the apps; Envoy's bootstrap is not there any more"
        ));
    }

    /// The path in the v0.4.3 document, as the user wrote it, of a path in ours.
    pub(super) fn own_path(&self, path: &Path) -> Path {
        let theirs = RENAMED.iter().fold(path.clone(), |path, (ours, theirs)| {
            path.moved(&Path::of(ours), &Path::of(theirs))
        });
        self.renamed.iter().fold(theirs, |path, (plain, written)| path.moved(plain, written))
    }
}

/// Our path of a path in the v0.4.3 document.
fn ours(path: &Path) -> Path {
    RENAMED
        .iter()
        .fold(path.clone(), |path, (ours, theirs)| path.moved(&Path::of(theirs), &Path::of(ours)))
}

/// `null` and empty text mean "not given" for every optional field of a v0.4.3 document (Go's `omitempty`), but not in
/// what is passed through: opaque `config`, metadata, headers, lists of texts.
fn level(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let kept = object.into_iter().filter(|(_, value)| !value.is_null() && value != "");
            let levelled = kept.map(|(key, value)| match key.as_str() {
                "config" | "meta" => (key, value),
                "header" => (key, without_null_lists(value)),
                _ => (key, level(value)),
            });
            Value::Object(levelled.collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(level).collect()),
        other => other,
    }
}

fn without_null_lists(mut header: Value) -> Value {
    if let Some(header) = header.as_object_mut() {
        header.retain(|_, values| !values.is_null());
    }
    header
}

fn service(mut service: Value) -> Value {
    let Some(object) = service.as_object_mut() else { return service };
    // 0.4.3 writes 0 for a task that only calls others, and then leaves the port out.
    if object.get("port") == Some(&json!(0)) {
        object.remove("port");
        object.insert("inbound".to_owned(), json!(false));
    }
    let checks = object.get_mut("checks").and_then(Value::as_array_mut);
    for check in checks.into_iter().flatten() {
        for key in ["successBeforePassing", "failuresBeforeCritical"] {
            // To Consul they are thresholds: less than 0 is as good as 0.
            if let Some(count) = check.get_mut(key)
                && count.as_i64().is_some_and(|count| count < 0)
            {
                *count = json!(0);
            }
        }
    }
    service
}

fn proxy(mut proxy: Value) -> Value {
    let Some(object) = proxy.as_object_mut() else { return proxy };
    if let Some(config) = object.get_mut("config").and_then(Value::as_object_mut) {
        // The one key of it that we look at too. Consul reads a number as text, and null as not given.
        match config.get_mut("protocol") {
            Some(Value::Null) => drop(config.remove("protocol")),
            Some(protocol @ Value::Number(_)) => *protocol = json!(protocol.to_string()),
            _ => {}
        }
    }
    if object.get("publicListenerPort") == Some(&json!(0)) {
        object.remove("publicListenerPort");
    }
    let paths = proxy.pointer_mut("/expose/paths").and_then(Value::as_array_mut);
    for path in paths.into_iter().flatten() {
        // As Consul does.
        if let Some(Value::String(protocol)) = path.get_mut("protocol") {
            protocol.make_ascii_lowercase();
        }
    }
    proxy
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn translated(document: Value) -> Translated {
        translate(document, &BTreeMap::new())
    }

    fn document(document: Value) -> Value {
        Value::Object(translated(document).document)
    }

    #[test]
    fn null_and_empty_text_mean_not_given_but_not_in_what_is_passed_through() {
        let out = translated(json!({
            "service": {"name": null, "port": 1, "namespace": "", "tags": [""], "meta": {"a": ""}},
            "proxy": {"upstreams": [{
                "destinationName": "db", "localBindPort": 1, "datacenter": "",
                "config": {"a": null, "b": ""}
            }]},
            "healthSyncContainers": null,
            "bootstrapDir": "/consul"
        }));
        assert_eq!(out.errors, []);
        assert_eq!(
            Value::Object(out.document),
            json!({
                "service": {"port": 1, "tags": [""], "meta": {"a": ""}},
                "proxy": {"upstreams": [
                    {"destinationName": "db", "localBindPort": 1, "config": {"a": null, "b": ""}}
                ]}
            })
        );
    }

    #[test]
    fn port_0_is_a_service_that_only_calls_others() {
        assert_eq!(
            document(json!({"service": {"name": "batch", "port": 0}, "bootstrapDir": "/consul"})),
            json!({"service": {"name": "batch", "inbound": false}})
        );
    }

    #[test]
    fn what_is_refused_is_left_out_and_named_in_our_terms() {
        let out = translated(json!({
            "service": {"port": "80", "name": "api"}, "healthSyncContainers": [1], "bootstrapDir": "/consul"
        }));
        assert_eq!(out.errors.len(), 2, "{:?}", out.errors);
        let spoiled: Vec<_> = out.spoiled.iter().map(ToString::to_string).collect();
        assert_eq!(spoiled, ["healthSync.containers[0]", "service.port"]);
        assert_eq!(Value::Object(out.document), json!({"service": {"name": "api"}}));
    }

    #[test]
    fn an_error_in_a_translated_key_names_the_users_own_key() {
        let out = translated(json!({"service": {"port": 1, "NAME": "a"}, "bootstrapDir": "/c"}));
        let own = |path: Path| out.own_path(&path).to_string();
        assert_eq!(own(Path::of("healthSync.containers").index(3)), "healthSyncContainers[3]");
        assert_eq!(own(Path::of("service.name")), "service.NAME");
        assert_eq!(own(Path::of("service.port")), "service.port");
    }
}
