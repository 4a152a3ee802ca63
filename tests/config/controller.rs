//! The files in `config/controller/`.

use crate::*;
use taskmesh::config::{ControllerConfig, controller_schema_text, load_controller};

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/controller")
}

#[test]
fn the_full_example_is_accepted_shows_every_key_and_has_the_defaults() {
    let file = folder().join("full.json");
    let full = load_controller(&Sources { file: Some(file.clone()) }, &env([])).unwrap();
    assert!(full.warnings.is_empty());
    let defaults = ControllerConfig::default();
    assert_eq!((full.config.controller, full.config.admin), (defaults.controller, defaults.admin));
    let text = std::fs::read_to_string(file).unwrap();
    let schema: Value = serde_json::from_str(&controller_schema_text()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    assert!(validator.is_valid(&serde_json::from_str(&text).unwrap()));
    let definitions = schema["$defs"].as_object().unwrap().values().chain([&schema]);
    for key in definitions.filter_map(|d| d["properties"].as_object()).flat_map(|p| p.keys()) {
        assert!(text.contains(&format!("{key:?}:")), "{key}");
    }
}

#[test]
fn the_published_schema_of_the_controller_is_the_generated_one() {
    let file = folder().join("schema.json");
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&file, controller_schema_text()).unwrap();
    }
    let published = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        published == controller_schema_text(),
        "config/controller/schema.json is out of date: UPDATE_SCHEMA=1 cargo test --test config"
    );
}
