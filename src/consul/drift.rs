//! How what an agent shows of a service differs from what was registered.
//!
//! Agents fill in defaults, and merge what operators configure on the servers (`proxy-defaults`, `service-defaults`)
//! into what they show; neither is a difference. The rules were read off 1.8.7 and 1.23: what a version does beside
//! them shows as a difference that registering again does not mend, so a caller must not register for ever.

use super::types::{Registration, Weights};
use serde_json::{Map, Value};

/// One thing that is not as registered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// Where in `GET /v1/agent/service/<id>`, for example `Proxy.Upstreams[0].LocalBindPort`.
    pub path: String,
    /// What is there instead, as JSON.
    pub seen: String,
}

/// What of `registered` the agent does not show. `view`: its answer to `GET /v1/agent/service/<id>`. Namespace and
/// partition are part of the question.
pub fn differences(registered: &Registration, view: &Value) -> Vec<Difference> {
    let mut found = Found { path: Vec::new(), list: Vec::new() };
    let intent = serde_json::to_value(registered).unwrap_or_default();
    let view = Place(Some(view));
    found.same("Kind", &intent["Kind"], view.at("Kind"), &[]);
    found.same("Service", &intent["Name"], view.at("Service"), &[]);
    found.same("Port", &intent["Port"], view.at("Port"), &[]);
    found.same("Meta", &intent["Meta"], view.at("Meta"), &[]);
    let overridable = &intent["EnableTagOverride"];
    found.same("EnableTagOverride", overridable, view.at("EnableTagOverride"), &[]);
    if !registered.enable_tag_override {
        found.same("Tags", &intent["Tags"], view.at("Tags"), &[]);
    }
    // Consul's own default.
    let weights = registered.weights.clone().unwrap_or(Weights { passing: 1, warning: 1 });
    let weights = serde_json::to_value(weights).unwrap_or_default();
    found.same("Weights", &weights, view.at("Weights"), &[]);
    if registered.locality.is_some() {
        found.same("Locality", &intent["Locality"], view.at("Locality"), &[]);
    }
    if registered.proxy.is_some() {
        found.inside("Proxy", |found| proxy(found, &intent["Proxy"], view.at("Proxy")));
    }
    found.list
}

fn proxy(found: &mut Found, intent: &Value, view: Place<'_>) {
    for key in ["DestinationServiceName", "DestinationServiceID", "LocalServicePort"] {
        found.same(key, &intent[key], view.at(key), &[]);
    }
    found.holds("Config", &intent["Config"], view.at("Config"));
    mesh_gateway(found, intent, view);
    expose(found, &intent["Expose"], view.at("Expose"));
    found.each("Upstreams", &intent["Upstreams"], view.at("Upstreams"), |found, intent, view| {
        // What an agent shows where we say nothing.
        let filled: [(&str, &[&str]); 7] = [
            ("DestinationType", &["service"]),
            ("DestinationName", &[]),
            ("DestinationNamespace", &["default"]),
            ("DestinationPartition", &["default"]),
            ("DestinationPeer", &[]),
            ("Datacenter", &[]),
            ("LocalBindAddress", &["127.0.0.1"]),
        ];
        for (key, defaults) in filled {
            found.same(key, &intent[key], view.at(key), defaults);
        }
        found.same("LocalBindPort", &intent["LocalBindPort"], view.at("LocalBindPort"), &[]);
        found.holds("Config", &intent["Config"], view.at("Config"));
        mesh_gateway(found, intent, view);
    });
}

/// One that is not set by us may come from the servers.
fn mesh_gateway(found: &mut Found, intent: &Value, view: Place<'_>) {
    if let Some(mode) = intent["MeshGateway"].get("Mode") {
        found.same("MeshGateway.Mode", mode, view.at("MeshGateway").at("Mode"), &[]);
    }
}

/// The same holds for what is exposed.
fn expose(found: &mut Found, intent: &Value, view: Place<'_>) {
    found.inside("Expose", |found| {
        if intent["Checks"] == Value::Bool(true) {
            found.same("Checks", &intent["Checks"], view.at("Checks"), &[]);
        }
        if intent["Paths"].is_array() {
            found.each("Paths", &intent["Paths"], view.at("Paths"), |found, intent, view| {
                for key in ["ListenerPort", "Path", "LocalPathPort"] {
                    found.same(key, &intent[key], view.at(key), &[]);
                }
                found.same("Protocol", &intent["Protocol"], view.at("Protocol"), &["http"]);
            });
        }
    });
}

/// A value of the view, or the place where one could be.
#[derive(Clone, Copy)]
struct Place<'a>(Option<&'a Value>);

impl<'a> Place<'a> {
    fn at(self, key: &str) -> Self {
        Self(self.0.and_then(|value| value.get(key)))
    }

    fn value(self) -> &'a Value {
        self.0.unwrap_or(&Value::Null)
    }
}

struct Found {
    path: Vec<String>,
    list: Vec<Difference>,
}

impl Found {
    fn inside(&mut self, key: &str, look: impl FnOnce(&mut Self)) {
        self.path.push(key.to_owned());
        look(self);
        self.path.pop();
    }

    fn differs(&mut self, key: &str, view: Place<'_>) {
        self.inside(key, |found| {
            let seen = view.value().to_string();
            let path = found.path.join(".").replace(".[", "[");
            found.list.push(Difference { path, seen });
        });
    }

    /// Both are the same, or we say nothing and it is one of the texts that agents fill in.
    fn same(&mut self, key: &str, intent: &Value, view: Place<'_>, filled: &[&str]) {
        let seen = view.value();
        let by_default = is_empty(intent) && seen.as_str().is_some_and(|s| filled.contains(&s));
        if !by_default && !equal(intent, seen) {
            self.differs(key, view);
        }
    }

    /// Each key of ours is there, at any depth: the servers' configuration is merged in beside them.
    fn holds(&mut self, key: &str, intent: &Value, view: Place<'_>) {
        let Some(intent) = intent.as_object() else { return };
        self.inside(key, |found| {
            for (key, value) in intent {
                if value.is_object() {
                    found.holds(key, value, view.at(key));
                } else {
                    found.same(key, value, view.at(key), &[]);
                }
            }
        });
    }

    /// Two lists, one by one.
    fn each(
        &mut self,
        key: &str,
        intent: &Value,
        view: Place<'_>,
        compare: impl Fn(&mut Self, &Value, Place<'_>),
    ) {
        let list = |value: &Value| value.as_array().map_or(0, Vec::len);
        if list(intent) != list(view.value()) {
            return self.differs(key, view);
        }
        self.inside(key, |found| {
            for (i, intent) in intent.as_array().into_iter().flatten().enumerate() {
                let place = Place(view.value().get(i));
                found.inside(&format!("[{i}]"), |found| compare(found, intent, place));
            }
        });
    }
}

/// JSON has one kind of number, Go writes nothing for empty, and keys that are empty on both sides do not matter.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let keys = a.keys().chain(b.keys());
            let get = |map: &Map<String, Value>, key: &str| map.get(key).cloned();
            keys.into_iter().all(|key| {
                equal(&get(a, key).unwrap_or_default(), &get(b, key).unwrap_or_default())
            })
        }
        (a, b) => a == b || (is_empty(a) && is_empty(b)),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(set) => !set,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

#[cfg(test)]
#[path = "drift_tests.rs"]
mod tests;
