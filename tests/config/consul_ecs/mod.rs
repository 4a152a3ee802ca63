//! consul-ecs v0.4.3 documents, each with what is registered for it, or why it is refused.
//!
//! The documents are written after v0.4.3's behaviour as it was seen by running it. Whatever it accepts is accepted,
//! whatever it refuses is refused. Deliberately different, because nobody can have such a document at work: ports,
//! weights, durations and names that Consul refuses for ever; two spellings of one key; an object that stands twice.
//! And `proxy: null`, with which v0.4.3 crashes, works.

mod accepted;
mod environment;
mod refused;

use crate::*;
use taskmesh::config::Containers;
use taskmesh::consul;
use taskmesh::ecs::TaskIdentity;

const ARN: &str =
    "arn:aws:ecs:us-west-2:111122223333:task/default/158d1c8083dd49d6b527399fd6414f5c";
const ID: &str = "158d1c8083dd49d6b527399fd6414f5c";

/// A document of the table.
struct Case {
    /// What it shows.
    says: &'static str,
    document: String,
    expected: Expected,
}

enum Expected {
    /// A part of what is registered, `null` for what must not be there; and every warning.
    Registered { service: Value, proxy: Value, warnings: Vec<&'static str> },
    /// Every line of the error, without the document's name.
    Refused(Vec<&'static str>),
}

/// A document with these keys of `service`, beside the port.
fn service(keys: Value) -> Value {
    let mut document = json!({"bootstrapDir": "/consul", "service": {"port": 9090}, "proxy": {}});
    document["service"].as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    document
}

/// A document with one native check.
fn check(check: Value) -> Value {
    service(json!({"checks": [check]}))
}

/// A document with this `proxy`.
fn proxy(proxy: Value) -> Value {
    json!({"bootstrapDir": "/consul", "service": {"port": 9090}, "proxy": proxy})
}

/// A document with one upstream.
fn upstream(keys: Value) -> Value {
    let mut upstream = json!({"destinationName": "db", "localBindPort": 5432});
    upstream.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
    proxy(json!({"upstreams": [upstream]}))
}

fn loaded(document: &str) -> Result<Loaded, ConfigErrors> {
    let ours = json!({"consul": {"retryJoin": ["10.0.0.10"]}}).to_string();
    load(&Sources::default(), &env([(OURS, &ours), (LEGACY, document)]))
}

/// What the agent would get: the service and its proxy.
fn registered(config: &Config) -> (Value, Value) {
    let task = TaskIdentity {
        task_arn: ARN.to_owned(),
        task_id: ID.to_owned(),
        family: "Web_App".to_owned(),
        revision: "26".to_owned(),
        ..TaskIdentity::default()
    };
    let containers = match &config.health_sync.containers {
        Containers::Named(names) => names.clone(),
        Containers::Auto => panic!("0.4.3 never chose containers by itself"),
    };
    let service = serde_json::to_value(consul::service(config, &task, &containers)).unwrap();
    (service, serde_json::to_value(consul::proxy(config, &task)).unwrap())
}

/// Where `actual` is not as expected. Of objects only the expected keys are compared; `null` is a key that is absent.
fn difference(expected: &Value, actual: &Value, path: &str) -> Option<String> {
    match (expected, actual) {
        (Value::Object(expected), Value::Object(actual)) => {
            expected.iter().find_map(|(key, expected)| {
                let actual = actual.get(key).unwrap_or(&Value::Null);
                difference(expected, actual, &format!("{path}.{key}"))
            })
        }
        (Value::Array(expected), Value::Array(actual)) if expected.len() == actual.len() => {
            expected.iter().zip(actual).enumerate().find_map(|(i, (expected, actual))| {
                difference(expected, actual, &format!("{path}[{i}]"))
            })
        }
        _ if expected == actual => None,
        _ => Some(format!("{path}: expected {expected}, got {actual}")),
    }
}

impl Case {
    /// What is wrong, if anything.
    fn judge(&self) -> Option<String> {
        match (&self.expected, loaded(&self.document)) {
            (Expected::Registered { service, proxy, warnings }, Ok(loaded)) => {
                let (sent, sidecar) = registered(&loaded.config);
                let told: Vec<_> =
                    loaded.warnings.iter().map(|w| w.replace(&format!("{LEGACY}: "), "")).collect();
                difference(service, &sent, "service")
                    .or_else(|| difference(proxy, &sidecar, "proxy"))
                    .or_else(|| (told != *warnings).then(|| format!("warnings: {told:#?}")))
            }
            (Expected::Refused(lines), Err(errors)) => {
                let told: Vec<_> = errors
                    .0
                    .iter()
                    .map(|error| error.to_string().replacen(&format!("{LEGACY} "), "", 1))
                    .collect();
                (told != *lines).then(|| format!("errors: {told:#?}"))
            }
            (Expected::Registered { .. }, Err(errors)) => Some(format!("refused:\n{errors}")),
            (Expected::Refused(_), Ok(loaded)) => Some(format!("accepted: {:?}", loaded.config)),
        }
    }
}

#[test]
fn every_document_is_accepted_or_refused_as_it_should_be() {
    let cases: Vec<_> = accepted::cases().into_iter().chain(refused::cases()).collect();
    let mut wrong: Vec<_> = cases
        .iter()
        .filter_map(|case| {
            let why = case.judge()?;
            Some(format!(
                "{}\n{}\n{why}\n",
                case.says,
                case.document.get(..400).unwrap_or(&case.document)
            ))
        })
        .collect();
    let mut names: Vec<_> = cases.iter().map(|case| case.says).collect();
    names.sort_unstable();
    wrong.extend(
        names.windows(2).filter(|two| two[0] == two[1]).map(|two| format!("twice: {two:?}")),
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let accepted =
        cases.iter().filter(|case| matches!(case.expected, Expected::Registered { .. })).count();
    println!("{} documents: {accepted} accepted, {} rejected", cases.len(), cases.len() - accepted);
    assert!(cases.len() >= 90);
}
