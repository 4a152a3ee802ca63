//! What a user writes: the examples are right, and whatever is wrong is named, all at once.

mod agent;
mod check_config;
mod consul_ecs;
mod controller;
mod definitions;
mod deploy;
mod errors;
mod examples;
mod legacy;
mod login;
mod properties;
mod rules;
mod sources;
mod versions;

use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use taskmesh::config::{Config, ConfigErrors, Loaded, Sources, cli_check, load, schema_text};

const OURS: &str = "TASKMESH_CONFIG_JSON";
const LEGACY: &str = "CONSUL_ECS_CONFIG_JSON";

fn env<const N: usize>(variables: [(&str, &str); N]) -> BTreeMap<String, String> {
    variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn load_text(text: &str) -> Result<Loaded, ConfigErrors> {
    load(&Sources::default(), &env([(OURS, text)]))
}

fn load_value(document: &Value) -> Result<Loaded, ConfigErrors> {
    load_text(&document.to_string())
}

fn with_legacy(ours: &Value, legacy: &Value) -> Result<Loaded, ConfigErrors> {
    load(&Sources::default(), &env([(OURS, &ours.to_string()), (LEGACY, &legacy.to_string())]))
}

fn minimal() -> Value {
    json!({"service": {"port": 9090}, "consul": {"retryJoin": ["10.0.0.10"]}})
}

/// The minimal document with one value put at a JSON pointer, the objects on the way made.
fn minimal_with(pointer: &str, value: Value) -> Value {
    let mut document = minimal();
    let mut at = &mut document;
    for key in pointer.split('/').skip(1) {
        at = at.as_object_mut().unwrap().entry(key).or_insert_with(|| json!({}));
    }
    *at = value;
    document
}

fn lines(errors: &ConfigErrors) -> Vec<String> {
    errors.to_string().lines().map(str::to_owned).collect()
}

fn errors_of(document: &Value) -> Vec<String> {
    match load_value(document) {
        Ok(loaded) => panic!("accepted: {loaded:?}"),
        Err(errors) => lines(&errors),
    }
}

fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        files.filter(|file| file.is_file() && !file.ends_with("schema.json")).collect();
    files.sort();
    assert!(files.len() >= 5, "{files:?}");
    files
}

fn is_legacy(file: &Path) -> bool {
    file.file_name().unwrap().to_str().unwrap().starts_with("consul-ecs-")
}
