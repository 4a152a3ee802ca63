//! How values that JSON has no type for look in the JSON schema: strings with a `format` that `schema_check` knows.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;

/// A duration as humantime reads it: `500ms`, `30s`, `1m 50s`.
pub(in crate::config) struct DurationText;

/// `format` of a [`DurationText`].
pub(in crate::config) const DURATION: &str = "humantime";

/// An IP address and a port: `127.0.0.1:19100`, `[::1]:19100`.
pub(in crate::config) struct SocketAddrText;

/// `format` of a [`SocketAddrText`].
pub(in crate::config) const SOCKET_ADDRESS: &str = "socket-address";

impl JsonSchema for DurationText {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": DURATION})
    }
}

impl JsonSchema for SocketAddrText {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "SocketAddress".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": SOCKET_ADDRESS})
    }
}
