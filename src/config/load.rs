//! From sources to a checked configuration, or to every error that is in them.

use super::check;
use super::env::Env;
use super::error::{ConfigError, ConfigErrors, Finding};
use super::legacy;
use super::model::Config;
use super::path::Path;
use super::{EDITORS_KEY, json, schema, schema_check};
use serde_json::{Map, Value, json};
use serde_path_to_error::Segment;
use std::path::PathBuf;

/// The environment variable that holds our own configuration.
pub const VARIABLE: &str = "TASKMESH_CONFIG_JSON";

/// Where the user says the configuration is.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// `--config FILE`; wins over [`VARIABLE`].
    pub file: Option<PathBuf>,
}

/// A configuration that may be started.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The configuration, with its defaults.
    pub config: Config,
    /// What was accepted, but is probably not what the user wants. One sentence each.
    pub warnings: Vec<String>,
    /// Which source gave which values; what none gave is a default.
    pub given: Vec<Given>,
}

/// What one source gave.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Given {
    /// The file, or the environment variable.
    pub source: String,
    /// Paths in that source's own terms, two levels deep (`consul.retryJoin`), sorted.
    pub keys: Vec<String>,
}

impl Given {
    fn new(source: &str, document: &Value) -> Self {
        let mut keys = Vec::new();
        for (section, value) in document.as_object().into_iter().flatten() {
            let at = Path::default().key(section);
            match value.as_object().filter(|inner| !inner.is_empty()) {
                Some(inner) => {
                    let given = inner.iter().filter(|(_, value)| !value.is_null());
                    keys.extend(given.map(|(key, _)| at.key(key).to_string()));
                }
                None if value.is_null() || section == EDITORS_KEY => {}
                None => keys.push(at.to_string()),
            }
        }
        Self { source: source.to_owned(), keys }
    }
}

/// Reads and checks the configuration: `--config`, else `TASKMESH_CONFIG_JSON`; `CONSUL_ECS_CONFIG_JSON` (consul-ecs
/// v0.4.3) fills `service`, `proxy` and `healthSync` where ours says nothing.
///
/// # Errors
/// Every error of every source at once, in the order of their paths.
pub fn load(sources: &Sources, env: &dyn Env) -> Result<Loaded, ConfigErrors> {
    let mut report = Report::default();
    let own = own_text(sources, env, &mut report);
    let theirs = variable(env, legacy::VARIABLE, &mut report);
    if own.is_none() && theirs.is_none() && report.errors.is_empty() {
        report.unreadable(
            "configuration",
            format!("none is given: use --config FILE, or set {VARIABLE}"),
        );
    }
    let mut given = Vec::new();
    let mut parse = |name: &str, text: &str| {
        let document = report.parse(name, text)?;
        given.push(Given::new(name, &document));
        Some(document)
    };
    let own = own.and_then(|(name, text)| parse(&name, &text));
    let theirs = theirs.and_then(|text| parse(legacy::VARIABLE, &text));
    if !report.errors.is_empty() {
        return Err(report.into_errors());
    }
    let schema = schema();
    let mut document = own.unwrap_or_else(|| json!({}));
    if let Some(theirs) = theirs {
        let translated = legacy::translate(theirs, |section| keys_of(schema, section));
        report.fill(&mut document, translated);
    }
    match report.judge(schema, document) {
        Some(config) if report.is_clean() => {
            Ok(Loaded { config, warnings: report.warnings, given })
        }
        _ => Err(report.into_errors()),
    }
}

/// The text of our own document, with the name by which errors call it.
fn own_text(sources: &Sources, env: &dyn Env, report: &mut Report) -> Option<(String, String)> {
    let Some(file) = &sources.file else {
        return variable(env, VARIABLE, report).map(|text| (VARIABLE.to_owned(), text));
    };
    if env.var(VARIABLE).is_some_and(|text| !text.is_empty()) {
        report.warnings.push(format!("{VARIABLE} is ignored: --config is given"));
    }
    match std::fs::read_to_string(file) {
        Ok(text) => Some((file.display().to_string(), text)),
        Err(error) => {
            report.unreadable(&file.display().to_string(), error.to_string());
            None
        }
    }
}

/// A variable that holds something. Empty counts as not set: task definitions cannot leave a variable out by condition.
fn variable(env: &dyn Env, name: &str, report: &mut Report) -> Option<String> {
    match env.var(name)?.into_string() {
        Ok(text) => (!text.trim().is_empty()).then_some(text),
        Err(_) => {
            report.unreadable(name, "is not UTF-8".to_owned());
            None
        }
    }
}

/// Our keys of a section, from the schema.
fn keys_of(schema: &Value, section: &str) -> Vec<String> {
    let definition = schema["properties"][section]["$ref"]
        .as_str()
        .and_then(|pointer| pointer.strip_prefix('#'));
    let properties =
        definition.and_then(|pointer| schema.pointer(pointer)?.get("properties")?.as_object());
    properties.into_iter().flat_map(Map::keys).cloned().collect()
}

/// What was found so far.
#[derive(Default)]
struct Report {
    /// Sources that could not be read at all.
    errors: Vec<ConfigError>,
    /// Errors in the merged document.
    findings: Vec<Finding>,
    /// Errors in the v0.4.3 document that has no counterpart in ours.
    legacy_findings: Vec<Finding>,
    /// The paths that came from the v0.4.3 document.
    from_legacy: Vec<Path>,
    warnings: Vec<String>,
}

impl Report {
    fn unreadable(&mut self, source: &str, message: String) {
        self.errors.push(ConfigError { path: source.to_owned(), message });
    }

    fn is_clean(&self) -> bool {
        self.errors.is_empty() && self.findings.is_empty() && self.legacy_findings.is_empty()
    }

    fn parse(&mut self, source: &str, text: &str) -> Option<Value> {
        match json::parse(text) {
            Ok((document, twice)) if source == legacy::VARIABLE => {
                self.legacy_findings.extend(twice);
                Some(document)
            }
            Ok((document, twice)) => {
                self.findings.extend(twice);
                Some(document)
            }
            Err(error) => {
                self.unreadable(source, format!("not JSON: {error}"));
                None
            }
        }
    }

    /// Fills the document's gaps with what the v0.4.3 document says; a key in both is an error.
    fn fill(&mut self, document: &mut Value, translated: legacy::Translated) {
        self.legacy_findings.extend(translated.errors);
        self.warnings.extend(translated.warnings);
        let Some(document) = document.as_object_mut() else { return };
        for (section, theirs) in translated.document {
            let at = Path::default().key(&section);
            let ours = document.entry(&section).or_insert_with(|| json!({}));
            match (ours.as_object_mut(), theirs) {
                (Some(ours), Value::Object(theirs)) => {
                    for (key, value) in theirs {
                        let path = at.key(&key);
                        if ours.contains_key(&key) {
                            let sentence =
                                format!("is set here and in {}; keep one", legacy::VARIABLE);
                            self.findings.push(Finding::new(path, sentence));
                        } else {
                            ours.insert(key, value);
                            self.from_legacy.push(path);
                        }
                    }
                }
                (_, theirs) if !theirs.is_object() => {
                    *ours = theirs;
                    self.from_legacy.push(at);
                }
                // Ours is no object: the schema says so.
                _ => {}
            }
        }
    }

    /// Checks the document as a whole. `None`: it could not even be decoded.
    fn judge(&mut self, schema: &Value, mut document: Value) -> Option<Config> {
        self.findings.extend(schema_check::check(schema, &document));
        if let Some(document) = document.as_object_mut() {
            // Judged with the rest, but it says nothing to us.
            document.remove(EDITORS_KEY);
        }
        let mut spoiled: Vec<Path> =
            self.findings.iter().filter_map(|finding| finding.spoils.clone()).collect();
        let config = match serde_path_to_error::deserialize(&document) {
            Ok(config) if self.findings.is_empty() => config,
            // The schema had nothing to say: it and the structs disagree.
            Err(error) if self.findings.is_empty() => {
                let path = error.path().to_string();
                self.unreadable(&path, error.into_inner().to_string());
                return None;
            }
            _ => {
                self.findings.iter().for_each(|finding| take_out(&mut document, &finding.path));
                salvage(document, &mut spoiled)?
            }
        };
        let rules = check::check(&config, &spoiled);
        self.findings.extend(rules.errors);
        self.warnings.extend(rules.warnings);
        Some(config)
    }

    fn into_errors(mut self) -> ConfigErrors {
        self.findings.sort();
        self.findings.dedup_by(|a, b| a.path == b.path && a.message == b.message);
        self.legacy_findings.sort();
        for Finding { path, message, .. } in self.findings {
            let legacy = self.from_legacy.iter().any(|from| path.is_within(from));
            let path = if legacy { own_path_of_legacy(&path) } else { path.to_string() };
            self.errors.push(ConfigError { path, message });
        }
        for Finding { path, message, .. } in self.legacy_findings {
            self.errors.push(ConfigError { path: own_path_of_legacy(&path), message });
        }
        ConfigErrors(self.errors)
    }
}

fn own_path_of_legacy(path: &Path) -> String {
    format!("{} {}", legacy::VARIABLE, legacy::own_path(path))
}

/// Takes out of the document what stands at a path; where it is inside an array, the whole array.
fn take_out(document: &mut Value, path: &Path) {
    let keys: Vec<&str> = path.keys_before_array().collect();
    let Some((last, parents)) = keys.split_last() else {
        *document = json!({});
        return;
    };
    let parent = parents.iter().try_fold(document, |value, key| value.get_mut(key));
    if let Some(object) = parent.and_then(Value::as_object_mut) {
        object.remove(*last);
    }
}

/// What can be decoded of a document with errors, so that the rules on values still find theirs. `spoiled` gets what is
/// not the user's any more.
fn salvage(mut document: Value, spoiled: &mut Vec<Path>) -> Option<Config> {
    // Each round takes at least one key out; a document that needs more rounds has errors enough to show.
    for _ in 0..64 {
        let root = document.as_object_mut()?;
        root.entry("service").or_insert_with(|| json!({}));
        if let Some(consul) = root.entry("consul").or_insert_with(|| json!({})).as_object_mut() {
            consul.entry("retryJoin").or_insert_with(|| json!([]));
        }
        let error = match serde_path_to_error::deserialize(&document) {
            Ok(config) => return Some(config),
            Err(error) => error,
        };
        let path = error.path().iter().fold(Path::default(), |path, segment| match segment {
            Segment::Seq { index } => path.index(*index),
            Segment::Map { key } => path.key(key),
            Segment::Enum { .. } | Segment::Unknown => path,
        });
        take_out(&mut document, &path);
        spoiled.push(path);
    }
    None
}
