//! The bodies of the agent API: what a registration may hold, checked as strictly as Consul does.
//!
//! Field names and errors as answered by Consul 1.23-dev (Community Edition: `Namespace` and
//! `Partition` are unknown fields there).

mod check;
mod duration;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub(crate) use self::check::CheckDef;
pub(crate) use self::duration::duration;

/// Decodes a request body with the error texts of Consul's decoder.
pub(crate) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    let mut value: Value =
        serde_json::from_slice(body).map_err(|e| format!("Request decode failed: {}", text(&e)))?;
    strip_nulls(&mut value);
    serde_json::from_value(value).map_err(|e| format!("Request decode failed: {}", text(&e)))
}

/// Decodes a registration. The checks in it are named by `CheckID`, never by `ID`.
pub(crate) fn decode_registration(body: &[u8]) -> Result<Registration, String> {
    let value: Value = decode(body)?;
    let many = value["Checks"].as_array().into_iter().flatten();
    many.chain([&value["Check"]]).try_for_each(|check| refuse(check, &["ID", "Token"]))?;
    decode(body)
}

/// Decodes a check that is registered by itself: there it is `ID`, never `CheckID`.
pub(crate) fn decode_check(body: &[u8]) -> Result<CheckDef, String> {
    let value: Value = decode(body)?;
    refuse(&value, &["CheckID", "ProxyHTTP", "ProxyGRPC"])?;
    decode(body)
}

fn refuse(check: &Value, fields: &[&str]) -> Result<(), String> {
    match fields.iter().find(|f| check.get(**f).is_some()) {
        Some(field) => Err(format!("Request decode failed: json: unknown field \"{field}\"")),
        None => Ok(()),
    }
}

/// Go leaves a field alone when the body says `null`; serde would refuse it.
fn strip_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(strip_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(strip_nulls),
        _ => {}
    }
}

fn text(error: &serde_json::Error) -> String {
    if error.is_eof() {
        return "unexpected EOF".into();
    }
    let message = error.to_string();
    match message.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`')) {
        Some((field, _)) => format!("json: unknown field \"{field}\""),
        None => format!("json: {message}"),
    }
}

/// Weights of an instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(crate) struct Weights {
    #[serde(default = "one")]
    pub(crate) passing: u32,
    #[serde(default = "one")]
    pub(crate) warning: u32,
}

fn one() -> u32 {
    1
}

impl Default for Weights {
    fn default() -> Self {
        Self { passing: 1, warning: 1 }
    }
}

/// Where cross-datacenter traffic goes; this mesh has one datacenter and only keeps it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(crate) struct MeshGateway {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) mode: String,
}

/// One exposed path; kept, not served.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(crate) struct ExposePath {
    pub(crate) listener_port: u16,
    pub(crate) path: String,
    pub(crate) local_path_port: u16,
    pub(crate) protocol: String,
    pub(crate) parsed_from_check: bool,
}

/// Exposed paths of a proxy.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(crate) struct Expose {
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) checks: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) paths: Vec<ExposePath>,
}

/// An upstream of a proxy.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(crate) struct Upstream {
    pub(crate) destination_type: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) destination_namespace: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) destination_partition: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) destination_peer: String,
    pub(crate) destination_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) datacenter: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) local_bind_address: String,
    pub(crate) local_bind_port: u16,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub(crate) config: Map<String, Value>,
    pub(crate) mesh_gateway: MeshGateway,
}

/// The `Proxy` part of a `connect-proxy`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(crate) struct Proxy {
    pub(crate) destination_service_name: String,
    #[serde(rename = "DestinationServiceID", skip_serializing_if = "String::is_empty")]
    pub(crate) destination_service_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) local_service_address: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) local_service_port: u16,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) mode: String,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub(crate) config: Map<String, Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) upstreams: Vec<Upstream>,
    pub(crate) mesh_gateway: MeshGateway,
    pub(crate) expose: Expose,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde asks for it
fn is_zero(port: &u16) -> bool {
    *port == 0
}

/// The body of `PUT /v1/agent/service/register`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub(crate) struct Registration {
    pub(crate) kind: String,
    #[serde(rename = "ID")]
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) tags: Vec<String>,
    pub(crate) meta: BTreeMap<String, String>,
    pub(crate) port: u16,
    pub(crate) address: String,
    pub(crate) tagged_addresses: BTreeMap<String, Value>,
    pub(crate) weights: Option<Weights>,
    pub(crate) enable_tag_override: bool,
    pub(crate) check: Option<CheckDef>,
    pub(crate) checks: Vec<CheckDef>,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) locality: Option<Value>,
}

/// A service as the agent and the catalog hold it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Service {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) kind: String,
    #[serde(rename = "ID")]
    pub(crate) id: String,
    pub(crate) service: String,
    pub(crate) tags: Vec<String>,
    pub(crate) meta: BTreeMap<String, String>,
    pub(crate) port: u16,
    pub(crate) address: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) tagged_addresses: BTreeMap<String, Value>,
    pub(crate) weights: Weights,
    pub(crate) enable_tag_override: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) proxy: Option<Proxy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) locality: Option<Value>,
}

impl Service {
    /// The service a proxy stands for; the service's own name otherwise.
    pub(crate) fn mesh_name(&self) -> &str {
        match &self.proxy {
            Some(proxy) if self.kind == "connect-proxy" => &proxy.destination_service_name,
            _ => &self.service,
        }
    }
}

impl Registration {
    /// Splits a valid body into the service and its checks, IDs filled in.
    pub(crate) fn resolve(mut self) -> Result<(Service, Vec<CheckDef>), String> {
        if self.name.is_empty() {
            return Err("Missing service name".into());
        }
        if self.id.is_empty() {
            self.id.clone_from(&self.name);
        }
        let mut problems = Vec::new();
        match self.kind.as_str() {
            "" | "typical" => {}
            "connect-proxy" => {
                let named =
                    self.proxy.as_ref().is_some_and(|p| !p.destination_service_name.is_empty());
                if self.port == 0 {
                    problems.push("Port or SocketPath must be set for a connect-proxy");
                }
                if !named {
                    problems.push(
                        "Proxy.DestinationServiceName must be non-empty for Connect proxy services",
                    );
                }
            }
            other => return Err(format!("Invalid service: Kind '{other}' is not in this mesh")),
        }
        if !problems.is_empty() {
            let s = if problems.len() == 1 { "" } else { "s" };
            let list: String = problems.iter().map(|p| format!("\t* {p}\n")).collect();
            let n = problems.len();
            return Err(format!("Validation failed: {n} error{s} occurred:\n{list}\n"));
        }
        let checks: Vec<CheckDef> = self.check.take().into_iter().chain(self.checks).collect();
        let many = checks.len() > 1;
        let checks = checks
            .into_iter()
            .enumerate()
            .map(|(n, mut check)| {
                check.validate()?;
                if check.check_id.is_empty() {
                    check.check_id = if many {
                        format!("service:{}:{}", self.id, n + 1)
                    } else {
                        format!("service:{}", self.id)
                    };
                }
                if check.name.is_empty() {
                    check.name = format!("Service '{}' check", self.name);
                }
                check.service_id.clone_from(&self.id);
                Ok(check)
            })
            .collect::<Result<Vec<_>, String>>()?;
        if !self.address.is_empty() {
            for tag in ["lan_ipv4", "wan_ipv4"] {
                self.tagged_addresses
                    .entry(tag.into())
                    .or_insert_with(|| json!({"Address": self.address, "Port": self.port}));
            }
        }
        if let Some(proxy) = &mut self.proxy {
            for upstream in &mut proxy.upstreams {
                if !upstream.destination_peer.is_empty() && !upstream.datacenter.is_empty() {
                    return Err("upstream cannot have both destination peer and datacenter".into());
                }
                if upstream.destination_type.is_empty() {
                    upstream.destination_type = "service".into();
                }
            }
        }
        let service = Service {
            kind: self.kind,
            id: self.id,
            service: self.name,
            tags: self.tags,
            meta: self.meta,
            port: self.port,
            address: self.address,
            tagged_addresses: self.tagged_addresses,
            weights: self.weights.unwrap_or_default(),
            enable_tag_override: self.enable_tag_override,
            proxy: self.proxy,
            locality: self.locality,
        };
        Ok((service, checks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_read_as_in_consul() {
        let error = decode::<Registration>(br#"{"Name":"x","Check":{"Bogus":1}}"#).unwrap_err();
        assert_eq!(error, r#"Request decode failed: json: unknown field "Bogus""#);
        let error = decode::<Registration>(br#"{"Nam"#).unwrap_err();
        assert_eq!(error, "Request decode failed: unexpected EOF");
        let error = decode::<Registration>(br#"{"Name":"x","Namespace":"n"}"#).unwrap_err();
        assert!(error.contains("Namespace"), "{error}");
        let error = decode_registration(br#"{"Name":"x","Checks":[{"ID":"a"}]}"#).unwrap_err();
        assert_eq!(error, r#"Request decode failed: json: unknown field "ID""#);
        let error = decode_check(br#"{"Name":"x","CheckID":"a"}"#).unwrap_err();
        assert_eq!(error, r#"Request decode failed: json: unknown field "CheckID""#);
    }

    #[test]
    fn check_ids_are_numbered_only_when_there_are_several() {
        let ids = |body: &str| -> Vec<String> {
            let registration: Registration = decode(body.as_bytes()).unwrap();
            registration.resolve().unwrap().1.into_iter().map(|c| c.check_id).collect()
        };
        assert_eq!(ids(r#"{"Name":"a","Check":null,"Checks":[{"TTL":"1s"}]}"#), ["service:a"]);
        assert_eq!(
            ids(r#"{"Name":"a","Checks":[{"TTL":"1s"},{"CheckID":"c","TTL":"1s"},{"TTL":"1s"}]}"#),
            ["service:a:1", "c", "service:a:3"]
        );
    }
}
