//! Whatever is written: no panic, every error with a place.

use crate::*;
use std::sync::LazyLock;

static SCHEMA: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(&schema_text()).unwrap());
static VALIDATOR: LazyLock<jsonschema::Validator> =
    LazyLock::new(|| jsonschema::validator_for(&SCHEMA).unwrap());

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        prop_oneof!["9{1,25}(ns|ms|s|m|h|y)", "[0-9]{1,3}(ms|s|m)"].prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(known_key(), inner, 0..5)
                .prop_map(|object| Value::Object(object.into_iter().collect())),
        ]
    })
}

/// A key that occurs somewhere in the schema, or any other.
fn known_key() -> impl Strategy<Value = String> {
    let definitions = SCHEMA["$defs"].as_object().unwrap().values().chain([&*SCHEMA]);
    let keys: Vec<_> = definitions
        .filter_map(|d| d["properties"].as_object())
        .flat_map(|p| p.keys().cloned())
        .collect();
    prop_oneof![4 => prop::sample::select(keys), 1 => ".{0,8}"]
}

/// The full example with one value somewhere replaced: nearly right documents reach more code than random ones.
fn nearly_right() -> impl Strategy<Value = Value> {
    let full = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/full.json");
    let full: Value = serde_json::from_str(&std::fs::read_to_string(full).unwrap()).unwrap();
    let mut pointers = Vec::new();
    collect_pointers(&full, String::new(), &mut pointers);
    (prop::sample::select(pointers), any_json()).prop_map(move |(pointer, value)| {
        let mut document = full.clone();
        *document.pointer_mut(&pointer).unwrap() = value;
        document
    })
}

/// A v0.4.3 document with one value somewhere replaced.
fn nearly_right_legacy() -> impl Strategy<Value = Value> {
    let legacy = json!({
        "bootstrapDir": "/consul",
        "healthSyncContainers": ["a", "b"],
        "service": {
            "name": "api", "tags": ["a"], "port": 1, "meta": {"a": "b"}, "weights": {"passing": 1, "warning": 1},
            "checks": [{"name": "n", "http": "x", "interval": "1s", "header": {"A": ["b"]}, "status": "passing"}]
        },
        "proxy": {
            "config": {"protocol": "http"}, "publicListenerPort": 2, "meshGateway": {"mode": "none"},
            "upstreams": [{"destinationName": "a", "localBindPort": 3, "config": {"a": 1}, "datacenter": "x"}],
            "expose": {"checks": true, "paths": [{"listenerPort": 4, "path": "/", "localPathPort": 5}]}
        }
    });
    let mut pointers = Vec::new();
    collect_pointers(&legacy, String::new(), &mut pointers);
    (prop::sample::select(pointers), any_json()).prop_map(move |(pointer, value)| {
        let mut document = legacy.clone();
        *document.pointer_mut(&pointer).unwrap() = value;
        document
    })
}

fn collect_pointers(value: &Value, at: String, out: &mut Vec<String>) {
    let children: Vec<_> = match value {
        Value::Object(object) => object.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(items) => {
            items.iter().enumerate().map(|(i, item)| (i.to_string(), item)).collect()
        }
        _ => Vec::new(),
    };
    for (key, child) in children {
        collect_pointers(child, format!("{at}/{key}"), out);
    }
    out.push(at);
}

fn judged(result: Result<Loaded, ConfigErrors>) -> Result<Option<Config>, TestCaseError> {
    match result {
        Ok(loaded) => Ok(Some(loaded.config)),
        Err(errors) => {
            prop_assert!(!errors.0.is_empty());
            for error in &errors.0 {
                prop_assert!(!error.path.is_empty() && !error.message.is_empty(), "{error:?}");
            }
            Ok(None)
        }
    }
}

proptest! {
    #[test]
    fn no_json_panics_and_every_error_has_a_path(document in any_json()) {
        judged(load_value(&document))?;
    }

    #[test]
    fn no_v0_4_3_document_panics(document in any_json()) {
        judged(with_legacy(&json!({"consul": {"retryJoin": ["a"]}}), &document))?;
    }

    #[test]
    fn a_nearly_right_v0_4_3_document_is_told_in_its_own_terms(document in nearly_right_legacy()) {
        match with_legacy(&json!({"consul": {"retryJoin": ["a"]}}), &document) {
            Ok(loaded) => {
                let printed = serde_json::to_value(&loaded.config).unwrap();
                prop_assert!(VALIDATOR.is_valid(&printed), "{}", printed);
                // Whoever has moved can write it down in our own terms.
                prop_assert_eq!(load_value(&printed).unwrap().config, loaded.config);
            }
            Err(errors) => for error in &errors.0 {
                // Only ports of ours, which are defaults, may clash with theirs.
                let ours = ["consul.", "envoy.", "admin."].iter().any(|p| error.path.starts_with(p));
                prop_assert!(error.path.starts_with(LEGACY) || ours, "{}: {}", document, error);
            }
        }
    }

    #[test]
    fn no_text_panics(text in ".{0,80}") {
        judged(load_text(&text))?;
    }

    #[test]
    fn what_is_accepted_satisfies_the_schema_and_survives_being_printed(document in nearly_right()) {
        if let Some(config) = judged(load_value(&document))? {
            prop_assert!(VALIDATOR.is_valid(&document), "{document}");
            let printed = serde_json::to_value(&config).unwrap();
            prop_assert_eq!(load_value(&printed).unwrap().config, config);
        }
    }

    #[test]
    fn every_duration_that_is_written_is_read_back(milliseconds in 3_000u64..86_400_000) {
        let duration = std::time::Duration::from_millis(milliseconds);
        let text = humantime_text(duration);
        let loaded = load_value(&minimal_with("/healthSync/ttl", json!(text))).unwrap();
        prop_assert_eq!(loaded.config.health_sync.ttl, duration);
    }
}

fn humantime_text(duration: std::time::Duration) -> String {
    let config = taskmesh::config::HealthSync { ttl: duration, ..Default::default() };
    serde_json::to_value(config).unwrap()["ttl"].as_str().unwrap().to_owned()
}
