//! The files in `config/`.

use crate::*;

#[test]
fn every_example_is_accepted_without_a_warning() {
    for file in examples() {
        let loaded = if is_legacy(&file) {
            let ours = json!({"consul": {"retryJoin": ["10.0.0.10"]}});
            let legacy = std::fs::read_to_string(&file).unwrap();
            let mut loaded = with_legacy(&ours, &serde_json::from_str(&legacy).unwrap()).unwrap();
            loaded.warnings.retain(|warning| !warning.contains("bootstrapDir"));
            loaded
        } else {
            load(&Sources { file: Some(file.clone()) }, &env([]))
                .unwrap_or_else(|e| panic!("{file:?}: {e}"))
        };
        assert_eq!(loaded.warnings, [""; 0], "{file:?}");
    }
}

#[test]
fn every_example_of_ours_satisfies_the_published_schema() {
    let schema = serde_json::from_str(&schema_text()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for file in examples().into_iter().filter(|file| !is_legacy(file)) {
        let document = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        let errors: Vec<_> = validator.iter_errors(&document).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{file:?}: {errors:?}");
    }
}

#[test]
fn the_published_schema_is_the_generated_one() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/schema.json");
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&file, schema_text()).unwrap();
    }
    let published = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        published == schema_text(),
        "config/schema.json is out of date: UPDATE_SCHEMA=1 cargo test --test config"
    );
}

#[test]
fn the_full_example_shows_every_key() {
    let full =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/full.json"))
            .unwrap();
    let schema: Value = serde_json::from_str(&schema_text()).unwrap();
    let mut missing = Vec::new();
    let definitions = schema["$defs"].as_object().unwrap().values().chain([&schema]);
    for key in definitions.filter_map(|d| d["properties"].as_object()).flat_map(|p| p.keys()) {
        if !full.contains(&format!("{key:?}:")) {
            missing.push(key);
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_defaults_of_the_full_example_are_the_defaults() {
    let full = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/full.json");
    let full = load(&Sources { file: Some(full) }, &env([])).unwrap().config;
    let least = load_value(&minimal()).unwrap().config;
    let lifecycle = taskmesh::config::Lifecycle { app_containers: None, ..full.lifecycle };
    assert_eq!(
        (lifecycle, full.health_sync, full.envoy, full.restart, full.admin, full.log),
        (least.lifecycle, least.health_sync, least.envoy, least.restart, least.admin, least.log)
    );
}
