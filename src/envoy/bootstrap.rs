//! Editing the bootstrap that `consul connect envoy -bootstrap` prints.
//!
//! Consul prints its token into `initial_metadata`, where it can never change: when the token is rotated, the xDS
//! stream dies with the old one. The edited bootstrap has an upstream HTTP filter on the agent's cluster instead
//! ([credential_injector]), which reads the token from a file that is watched for a rename; no secret stays in the
//! bootstrap.
//!
//! [credential_injector]: https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/credential_injector_filter

use serde_json::{Value, json};
use std::path::Path;

/// The cluster that Consul's bootstrap calls its agent.
const AGENT_CLUSTER: &str = "local_agent";
/// Name of the secret, in the bootstrap and in the file.
const SECRET: &str = "consul-token";
const TOKEN_HEADER: &str = "x-consul-token";
const HTTP_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// What to change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edit<'a> {
    /// What to do with the token.
    pub token: TokenFile<'a>,
    /// Loopback port of the admin interface.
    pub admin_port: u16,
}

/// Where Envoy finds the Consul token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TokenFile<'a> {
    /// There is no token; one in the bootstrap is dropped.
    #[default]
    None,
    /// In this file, in the form of [`sds_token_file`], replaced by renaming. The name must end in `.json`.
    Watched(&'a Path),
    /// It stays in the bootstrap, for an Envoy before 1.34, which lacks the filter: no rotation, and the bootstrap is
    /// a secret.
    Inline,
}

/// The first Envoy in which the filter works on a cluster's side and a generic secret's file is watched
/// (<https://www.envoyproxy.io/docs/envoy/latest/version_history/v1.34/v1.34.0>).
const FILTER_SINCE: (u32, u32, u32) = (1, 34, 0);

/// Whether an Envoy of this version (of [`crate::envoy::parse_version`]) can read the token from a file.
pub fn reads_token_from_file(version: (u32, u32, u32)) -> bool {
    version >= FILTER_SINCE
}

/// Why a bootstrap cannot be edited: it is not of the form that Consul 1.10 and later print.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BootstrapError {
    /// Consul before 1.10 speaks the xDS v2 protocol, which Envoy dropped in 1.19.
    #[error("the bootstrap is for xDS {found}, not V3: Consul 1.10 or later is needed")]
    NotV3 {
        /// The version that the bootstrap names.
        found: String,
    },
    /// Something that we must change is not there.
    #[error("the bootstrap has no {0}")]
    Missing(&'static str),
    /// Something is there in another form.
    #[error("the bootstrap's {0} has an unexpected form")]
    Unexpected(&'static str),
}

/// Edits the bootstrap that Consul printed. Nothing but the points above is touched.
///
/// # Errors
/// [`BootstrapError`].
pub fn edit(mut bootstrap: Value, edit: &Edit) -> Result<Value, BootstrapError> {
    set_admin(&mut bootstrap, edit.admin_port)?;
    edit_ads(&mut bootstrap, edit.token == TokenFile::Inline)?;
    if let TokenFile::Watched(path) = edit.token {
        inject_token(agent_cluster(&mut bootstrap)?, path)?;
    }
    Ok(bootstrap)
}

/// Content of the token file: a discovery response that holds one generic secret.
pub fn sds_token_file(token: &str) -> Value {
    json!({
        "resources": [{
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
            "name": SECRET,
            "generic_secret": { "secret": { "inline_string": token } },
        }],
    })
}

fn set_admin(bootstrap: &mut Value, port: u16) -> Result<(), BootstrapError> {
    let admin = bootstrap.get_mut("admin").ok_or(BootstrapError::Missing("admin"))?;
    let admin = admin.as_object_mut().ok_or(BootstrapError::Unexpected("admin"))?;
    let address = json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } });
    admin.insert("address".to_owned(), address);
    Ok(())
}

fn edit_ads(bootstrap: &mut Value, keep_token: bool) -> Result<(), BootstrapError> {
    let ads = bootstrap
        .pointer_mut("/dynamic_resources/ads_config")
        .ok_or(BootstrapError::Missing("ads_config"))?;
    let version = ads.get("transport_api_version").and_then(Value::as_str).unwrap_or("V2");
    if version != "V3" {
        return Err(BootstrapError::NotV3 { found: version.to_owned() });
    }
    let services = ads.get_mut("grpc_services").ok_or(BootstrapError::Missing("grpc_services"))?;
    // Consul writes an object where the protocol has a list: JSON of protobuf takes both for one element.
    let service = match services {
        Value::Array(list) => match list.as_mut_slice() {
            [one] => one,
            _ => return Err(BootstrapError::Unexpected("grpc_services")),
        },
        one => one,
    };
    let service = service.as_object_mut().ok_or(BootstrapError::Unexpected("grpc_services"))?;
    if !keep_token {
        service.remove("initial_metadata");
    }
    let envoy_grpc = service
        .get_mut("envoy_grpc")
        .and_then(Value::as_object_mut)
        .ok_or(BootstrapError::Missing("envoy_grpc"))?;
    // Envoy's own is 500 ms to 30 s: after a restart of the agent xDS was away for 8-15 s. The service beside it has a
    // field of the same name, which xDS accepts and ignores.
    let back_off = json!({ "base_interval": "0.1s", "max_interval": "1s" });
    envoy_grpc.insert("retry_policy".to_owned(), json!({ "retry_back_off": back_off }));
    Ok(())
}

fn agent_cluster(bootstrap: &mut Value) -> Result<&mut Value, BootstrapError> {
    bootstrap
        .pointer_mut("/static_resources/clusters")
        .and_then(Value::as_array_mut)
        .and_then(|clusters| clusters.iter_mut().find(|cluster| cluster["name"] == AGENT_CLUSTER))
        .ok_or(BootstrapError::Missing("cluster local_agent"))
}

fn inject_token(cluster: &mut Value, file: &Path) -> Result<(), BootstrapError> {
    const WHAT: &str = "cluster local_agent";
    let cluster = cluster.as_object_mut().ok_or(BootstrapError::Unexpected(WHAT))?;
    // Older versions of Consul wrote the option at the top, where it excludes HttpProtocolOptions.
    let http2 = cluster.remove("http2_protocol_options");
    let options = cluster
        .entry("typed_extension_protocol_options")
        .or_insert_with(|| json!({}))
        .as_object_mut()
        .ok_or(BootstrapError::Unexpected(WHAT))?
        .entry(HTTP_OPTIONS)
        .or_insert_with(|| {
            json!({
                "@type": format!("type.googleapis.com/{HTTP_OPTIONS}"),
                "explicit_http_config": {
                    "http2_protocol_options": http2.unwrap_or_else(|| json!({})),
                },
            })
        })
        .as_object_mut()
        .ok_or(BootstrapError::Unexpected(WHAT))?;
    options.insert("http_filters".to_owned(), json!([credential_injector(file), upstream_codec()]));
    Ok(())
}

fn credential_injector(file: &Path) -> Value {
    json!({
        "name": "envoy.filters.http.credential_injector",
        "typed_config": {
            "@type": "type.googleapis.com/\
                envoy.extensions.filters.http.credential_injector.v3.CredentialInjector",
            "overwrite": true,
            "credential": {
                "name": "envoy.http.injected_credentials.generic",
                "typed_config": {
                    "@type": "type.googleapis.com/\
                        envoy.extensions.http.injected_credentials.generic.v3.Generic",
                    "header": TOKEN_HEADER,
                    "credential": {
                        "name": SECRET,
                        "sds_config": {
                            "resource_api_version": "V3",
                            "path_config_source": { "path": file },
                        },
                    },
                },
            },
        },
    })
}

/// Must be the last upstream filter.
fn upstream_codec() -> Value {
    json!({
        "name": "envoy.filters.http.upstream_codec",
        "typed_config": {
            "@type": "type.googleapis.com/\
                envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec",
        },
    })
}

#[cfg(test)]
#[path = "bootstrap_tests.rs"]
mod tests;
