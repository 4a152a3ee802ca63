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
    /// What was done without being asked for, and is as it should be. One sentence each.
    pub notes: Vec<String>,
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
/// v0.4.3) fills `service`, `proxy` and `healthSync` where ours says nothing. With that document given, the environment
/// of a v0.4.3 task (tokens, CA, gossip key, datacenter) holds wherever ours says nothing.
///
/// # Errors
/// Every error of every source at once, in the order of their paths.
pub fn load(sources: &Sources, env: &dyn Env) -> Result<Loaded, ConfigErrors> {
    let mut report = Report::default();
    let own = given_text(sources, VARIABLE, env, &mut report);
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
        report.fill(&mut document, legacy::translate(theirs, env));
    }
    match report.judge(schema, document) {
        Some(config) if report.is_clean() => {
            Ok(Loaded { config, warnings: report.warnings, notes: report.notes, given })
        }
        _ => Err(report.into_errors()),
    }
}

/// The text of `--config`, else of the variable `name`, with the name by which errors call it.
fn given_text(
    sources: &Sources,
    name: &str,
    env: &dyn Env,
    report: &mut Report,
) -> Option<(String, String)> {
    let Some(file) = &sources.file else {
        return variable(env, name, report).map(|text| (name.to_owned(), text));
    };
    if env.var(name).is_some_and(|text| !text.is_empty()) {
        report.warnings.push(format!("{name} is ignored: --config is given"));
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

/// The text of another kind of document, from `--config` or from a variable of its own, with the name by which errors
/// call it.
///
/// # Errors
/// The file or the variable cannot be read.
pub(super) fn text_of(
    sources: &Sources,
    name: &str,
    env: &dyn Env,
) -> Result<Option<(String, String)>, ConfigErrors> {
    let mut report = Report::default();
    let text = given_text(sources, name, env, &mut report);
    if report.errors.is_empty() { Ok(text) } else { Err(report.into_errors()) }
}

/// What was found so far.
#[derive(Default)]
struct Report {
    /// Sources that could not be read at all.
    errors: Vec<ConfigError>,
    /// Errors in the merged document.
    findings: Vec<Finding>,
    /// The v0.4.3 document: its errors, and which of our paths are its own.
    legacy: Option<Legacy>,
    /// Keys that stand twice in the v0.4.3 document.
    legacy_twice: Vec<json::Twice>,
    warnings: Vec<String>,
    notes: Vec<String>,
}

/// What came from the v0.4.3 document, and the environment beside it.
struct Legacy {
    translated: legacy::Translated,
    /// Our paths that hold what the document says.
    paths: Vec<Path>,
    /// Our paths that hold what a variable says.
    variables: Vec<(Path, &'static str)>,
}

impl Report {
    fn unreadable(&mut self, source: &str, message: String) {
        self.errors.push(ConfigError { path: source.to_owned(), message });
    }

    fn is_clean(&self) -> bool {
        let legacy = self.legacy.as_ref().is_none_or(|legacy| legacy.translated.errors.is_empty());
        self.errors.is_empty() && self.findings.is_empty() && legacy
    }

    fn parse(&mut self, source: &str, text: &str) -> Option<Value> {
        if text.starts_with('\u{feff}') {
            let message = "not JSON: begins with a byte order mark; save it as UTF-8 without one";
            self.unreadable(source, message.to_owned());
            return None;
        }
        match json::parse(text) {
            Ok((document, twice)) if source == legacy::VARIABLE => {
                self.legacy_twice = twice;
                Some(document)
            }
            Ok((document, twice)) => {
                self.findings.extend(twice.into_iter().map(Finding::from));
                Some(document)
            }
            Err(error) => {
                self.unreadable(source, format!("not JSON: {error}"));
                None
            }
        }
    }

    /// Fills the document's gaps with what the v0.4.3 document says; a key in both is an error. Then the gaps that are
    /// left with what 0.4.3 takes from elsewhere.
    fn fill(&mut self, document: &mut Value, mut translated: legacy::Translated) {
        for twice in std::mem::take(&mut self.legacy_twice) {
            if twice.object {
                // There the last one was checked, and a mixture of both was used.
                translated.errors.push(twice.into());
            } else {
                let sentence = "stands twice; the last one counts, as in consul-ecs";
                self.warnings.push(format!("{} {}: {sentence}", legacy::VARIABLE, twice.path));
            }
        }
        self.warnings.append(&mut translated.warnings);
        self.notes.append(&mut translated.notes);
        let sections = std::mem::take(&mut translated.document);
        let presets = std::mem::take(&mut translated.presets);
        let mut legacy = Legacy { translated, paths: Vec::new(), variables: Vec::new() };
        if let Some(document) = document.as_object_mut() {
            // So that a missing `consul.retryJoin` is what is missing.
            document.entry("consul").or_insert_with(|| json!({}));
            for (section, theirs) in sections {
                self.fill_section(document, &section, theirs, &mut legacy.paths);
            }
            for preset in presets {
                if !put(document, preset.path, preset.value) {
                    continue;
                }
                match preset.from {
                    Some(variable) => legacy.variables.push((Path::of(preset.path), variable)),
                    None => legacy.paths.push(Path::of(preset.path)),
                }
            }
        }
        if !legacy.variables.is_empty() {
            let taken = legacy.variables.iter().map(|(path, from)| format!("{path} by {from}"));
            let taken = taken.collect::<Vec<_>>().join(", ");
            self.notes
                .push(format!("taken from the environment, as consul-ecs 0.4.3 does: {taken}"));
        }
        self.legacy = Some(legacy);
    }

    fn fill_section(
        &mut self,
        document: &mut Map<String, Value>,
        section: &str,
        theirs: Value,
        paths: &mut Vec<Path>,
    ) {
        let at = Path::default().key(section);
        let ours = document.entry(section).or_insert_with(|| json!({}));
        // Where ours is no object, the schema says so.
        let (Some(ours), Value::Object(theirs)) = (ours.as_object_mut(), theirs) else { return };
        for (key, value) in theirs {
            let path = at.key(&key);
            if ours.contains_key(&key) {
                let sentence = format!("is set here and in {}; keep one", legacy::VARIABLE);
                self.findings.push(Finding::new(path, sentence));
            } else {
                ours.insert(key, value);
                paths.push(path);
            }
        }
    }

    /// Checks the document as a whole. `None`: it could not even be decoded.
    fn judge(&mut self, schema: &Value, mut document: Value) -> Option<Config> {
        let legacy = self.legacy.as_ref();
        let refused = legacy.map_or(&[][..], |legacy| &legacy.translated.spoiled);
        let found = schema_check::check(schema, &document);
        // What 0.4.3 refuses was left out: that it is missing now is no second error.
        let ours = |finding: &Finding| !refused.iter().any(|path| path.overlaps(&finding.path));
        self.findings.extend(found.into_iter().filter(ours));
        if let Some(document) = document.as_object_mut() {
            // Judged with the rest, but it says nothing to us.
            document.remove(EDITORS_KEY);
        }
        let spoiled = self.findings.iter().filter_map(|finding| finding.spoils.clone());
        let mut spoiled: Vec<Path> = spoiled.chain(refused.iter().cloned()).collect();
        let config = match serde_path_to_error::deserialize(&document) {
            Ok(config) if self.findings.is_empty() => config,
            // The schema had nothing to say: it and the structs disagree.
            Err(error) if self.findings.is_empty() && refused.is_empty() => {
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
        for Finding { path, message, .. } in self.findings {
            let error = match &self.legacy {
                None => ConfigError { path: path.to_string(), message },
                Some(legacy) => legacy.error(&path, message),
            };
            self.errors.push(error);
        }
        if let Some(mut legacy) = self.legacy {
            legacy.translated.errors.sort();
            for Finding { path, message, .. } in std::mem::take(&mut legacy.translated.errors) {
                self.errors.push(legacy.own_error(&path, message));
            }
        }
        ConfigErrors(self.errors)
    }
}

impl Legacy {
    /// An error at one of our paths, named after where its value comes from.
    fn error(&self, path: &Path, mut message: String) -> ConfigError {
        if self.paths.iter().any(|from| path.is_within(from)) {
            return self.own_error(path, message);
        }
        let variable = self.variables.iter().find(|(from, _)| path.is_within(from));
        let place = match variable {
            Some((_, variable)) => format!("{path} (from {variable})"),
            None => path.to_string(),
        };
        if *path == Path::of("consul.retryJoin") && message.starts_with("required") {
            message.push_str(&format!(
                "; {} does not say where the servers are: give this one key by --config FILE or {VARIABLE}",
                legacy::VARIABLE
            ));
        }
        ConfigError { path: place, message }
    }

    fn own_error(&self, path: &Path, message: String) -> ConfigError {
        let path = self.translated.own_path(path);
        ConfigError { path: format!("{} {path}", legacy::VARIABLE), message }
    }
}

/// Puts a value at a path of plain keys, and makes the objects on the way. False, and nothing done, where something
/// stands already, there or on the way.
fn put(document: &mut Map<String, Value>, path: &str, value: Value) -> bool {
    match path.split_once('.') {
        Some((key, rest)) => {
            let inner = document.entry(key).or_insert_with(|| json!({}));
            inner.as_object_mut().is_some_and(|inner| put(inner, rest, value))
        }
        None if document.contains_key(path) => false,
        None => {
            document.insert(path.to_owned(), value);
            true
        }
    }
}

/// Takes out of the document what stands at a path; where it is inside an array, the whole array.
pub(super) fn take_out(document: &mut Value, path: &Path) {
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
