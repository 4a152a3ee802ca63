//! The files in `config/`.

use crate::*;

#[test]
fn every_example_is_accepted_without_a_warning() {
    for file in examples().into_iter().filter(|file| !is_legacy(file)) {
        // The migration is a pair: what a v0.4.3 task has, and what is added to it.
        let mut beside = env([]);
        if file.ends_with("migration.json") {
            let legacy = examples().into_iter().find(|file| is_legacy(file)).unwrap();
            beside.insert(LEGACY.to_owned(), std::fs::read_to_string(legacy).unwrap());
        }
        let loaded = load(&Sources { file: Some(file.clone()) }, &beside)
            .unwrap_or_else(|e| panic!("{file:?}: {e}"));
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
    let read = |name: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
        std::fs::read_to_string(folder.join(name)).unwrap()
    };
    // A login takes the place of the tokens, so it has an example of its own.
    let full = read("full.json") + &read("login/task.json");
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

/// Every schema of a property, with its path.
fn properties(schema: &Value) -> Vec<(String, Value)> {
    let definitions = schema["$defs"].as_object().unwrap().iter();
    let definitions = definitions.map(|(name, schema)| (name.as_str(), schema));
    definitions
        .chain([("", schema)])
        .flat_map(|(name, schema)| {
            let required: Vec<String> =
                serde_json::from_value(schema["required"].clone()).unwrap_or_default();
            let all = schema["properties"].as_object().cloned().unwrap_or_default();
            all.into_iter().map(move |(key, mut property)| {
                property["required"] = json!(required.contains(&key));
                (format!("{name}.{key}"), property)
            })
        })
        .collect()
}

#[test]
fn an_editor_finds_words_for_every_property_and_every_default() {
    let schema: Value = serde_json::from_str(&schema_text()).unwrap();
    let all = properties(&schema);
    assert!(all.len() > 100, "{}", all.len());
    for (path, property) in all {
        let description = property["description"].as_str().unwrap_or_default();
        assert!(description.len() > 3, "{path}: {property}");
        let has_default = property.get("default").is_some();
        if path != ".$schema" {
            assert_ne!(property["required"] == true, has_default, "{path}: {property}");
        }
    }
    assert_eq!(schema["title"], "taskmesh configuration");
    assert_eq!(schema.get("$id"), None, "it would point to where nothing is published");
}

#[test]
fn an_editor_finds_the_words_of_every_choice() {
    let schema: Value = serde_json::from_str(&schema_text()).unwrap();
    let words = |name: &str| -> Vec<String> {
        let choice = &schema["$defs"][name];
        let described = choice["oneOf"].as_array().into_iter().flatten();
        let mut words: Vec<_> = described.map(|one| one["const"].clone()).collect();
        words.extend(choice["enum"].as_array().into_iter().flatten().cloned());
        words.iter().map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(words("LogLevel"), ["error", "warn", "info", "debug", "trace"]);
    assert_eq!(words("LogFormat"), ["json", "text"]);
    assert_eq!(words("LeaveOrder"), ["last", "first"]);
    assert_eq!(words("OnBudgetSpent"), ["stop", "keep"]);
    assert_eq!(words("AclDownPolicy"), ["allow", "deny", "extend-cache", "async-cache"]);
    assert_eq!(words("MeshGatewayMode"), ["none", "local", "remote"]);
    assert_eq!(words("DestinationType"), ["service", "prepared_query"]);
    for (path, property) in properties(&schema) {
        if let Some(target) = property["$ref"].as_str() {
            let target = schema.pointer(target.trim_start_matches('#'));
            assert!(target.is_some(), "{path}: {property}");
        }
    }
}

#[test]
fn every_example_of_ours_tells_an_editor_its_schema() {
    for file in examples().into_iter().filter(|file| !is_legacy(file)) {
        let document: Value =
            serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        let schema = document["$schema"].as_str().unwrap_or_else(|| panic!("{file:?}"));
        assert_eq!(file.parent().unwrap().join(schema).file_name().unwrap(), "schema.json");
        assert!(file.parent().unwrap().join(schema).exists(), "{file:?}");
    }
}

#[test]
fn the_editors_key_is_taken_at_the_top_and_says_nothing() {
    let plain = load_value(&minimal()).unwrap();
    let with_key = load_value(&minimal_with("/$schema", json!("./schema.json"))).unwrap();
    assert_eq!(plain, with_key);
    for (pointer, value, line) in [
        ("/$schema", json!(1), "$schema: must be a string, not 1"),
        ("/service/$schema", json!("x"), "service.$schema: unknown key; did you mean \"$schema\"?"),
    ] {
        let lines = errors_of(&minimal_with(pointer, value));
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with(line.split(';').next().unwrap()), "{lines:?}");
    }
    let ours = json!({"consul": {"retryJoin": ["10.0.0.10"]}});
    let theirs = json!({"$schema": "x", "service": {"port": 80}});
    assert!(with_legacy(&ours, &theirs).is_err());
}
