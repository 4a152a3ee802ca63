//! What consul-ecs v0.4.3 takes, as a JSON schema in the keywords that `schema_check` knows.
//!
//! Objects with `additionalProperties: false` are closed there too; the others are open, and unknown keys in them are
//! ignored. `null` is allowed where 0.4.3 allows it. Three things are narrower than there, because the wider value never
//! worked: ports and weights have a range (0.4.3 sent any number to Consul, which refused it, for ever), a container's
//! and an upstream's name is not empty, and `expose` has types (0.4.3's schema did not look at it, its decoder did).

use serde_json::{Value, json};

/// The schema of a v0.4.3 document.
pub(super) fn schema() -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["service", "bootstrapDir"],
        "properties": {
            "bootstrapDir": {"type": "string", "minLength": 1},
            "healthSyncContainers": {
                "type": ["array", "null"],
                "uniqueItems": true,
                "items": {"type": "string", "minLength": 1}
            },
            "service": service(),
            "proxy": proxy()
        }
    })
}

fn service() -> Value {
    json!({
        "type": "object",
        "required": ["port"],
        "properties": {
            "name": text(),
            "tags": {"type": ["array", "null"], "uniqueItems": true, "items": {"type": "string"}},
            "port": number("integer", 0, 65535),
            "enableTagOverride": flag(),
            "meta": {"type": ["object", "null"], "additionalProperties": {"type": "string"}},
            "weights": {
                "type": ["object", "null"],
                "additionalProperties": false,
                "required": ["passing", "warning"],
                "properties": {
                    "passing": number("integer", 1, 65535),
                    "warning": number("integer", 0, 65535)
                }
            },
            "checks": {"type": ["array", "null"], "items": check()},
            "namespace": text(),
            "partition": text()
        }
    })
}

fn check() -> Value {
    let count = number(["integer", "null"], i32::MIN.into(), i32::MAX.into());
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "checkId": text(),
            "name": {"type": "string"},
            "args": texts(),
            "interval": text(),
            "timeout": text(),
            "ttl": text(),
            "http": text(),
            "header": {"type": ["object", "null"], "additionalProperties": texts()},
            "method": text(),
            "body": text(),
            "tcp": text(),
            "status": {"enum": ["passing", "warning", "critical", "maintenance", null]},
            "notes": text(),
            "tlsServerName": text(),
            "tlsSkipVerify": flag(),
            "grpc": text(),
            "grpcUseTls": flag(),
            "h2ping": text(),
            "h2pingUseTls": flag(),
            "aliasNode": text(),
            "aliasService": text(),
            "successBeforePassing": count,
            "failuresBeforeCritical": count
        }
    })
}

fn proxy() -> Value {
    let path = json!({
        "type": "object",
        "properties": {
            "listenerPort": number("integer", 1, 65535),
            "path": {"type": "string"},
            "localPathPort": number("integer", 1, 65535),
            "protocol": text()
        }
    });
    let upstream = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["destinationName", "localBindPort"],
        "properties": {
            "destinationType": {"enum": ["service", "prepared_query", null]},
            "destinationNamespace": text(),
            "destinationPartition": text(),
            "destinationName": {"type": "string", "minLength": 1},
            "datacenter": text(),
            "localBindAddress": text(),
            "localBindPort": number("integer", 1, 65535),
            "config": opaque(),
            "meshGateway": mesh_gateway()
        }
    });
    json!({
        "type": ["object", "null"],
        "properties": {
            "config": opaque(),
            "publicListenerPort": number(["integer", "null"], 0, 65535),
            "upstreams": {"type": ["array", "null"], "items": upstream},
            "meshGateway": mesh_gateway(),
            "expose": {
                "type": ["object", "null"],
                "properties": {
                    "checks": flag(),
                    "paths": {"type": ["array", "null"], "items": path}
                }
            }
        }
    })
}

fn mesh_gateway() -> Value {
    json!({
        "type": ["object", "null"],
        "required": ["mode"],
        "properties": {"mode": {"enum": ["none", "local", "remote"]}}
    })
}

fn text() -> Value {
    json!({"type": ["string", "null"]})
}

fn texts() -> Value {
    json!({"type": ["array", "null"], "items": {"type": "string"}})
}

fn flag() -> Value {
    json!({"type": ["boolean", "null"]})
}

/// Passed through to Consul untouched.
fn opaque() -> Value {
    json!({"type": ["object", "null"]})
}

fn number(types: impl serde::Serialize, least: i64, most: i64) -> Value {
    json!({"type": types, "minimum": least, "maximum": most})
}
