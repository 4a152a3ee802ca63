//! `connect envoy -bootstrap`: an Envoy bootstrap in the shape that Consul 1.23 prints.

use serde_json::{Value, json};

use super::cli::Reach;
use super::flags::Flags;

/// Flags with a value.
pub(crate) const VALUES: &[&str] = &[
    "proxy-id",
    "grpc-addr",
    "admin-bind",
    "admin-access-log-path",
    "envoy-version",
    "envoy-binary",
    "namespace",
    "partition",
    "node-name",
];

fn host_port(text: &str) -> Result<(String, u16), String> {
    let text = text.trim_start_matches("http://");
    let bad = || format!("'{text}' is not an address with a port");
    let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
    let host = if host == "localhost" { "127.0.0.1" } else { host };
    Ok((host.to_owned(), port.parse().map_err(|_| bad())?))
}

fn socket((host, port): &(String, u16)) -> Value {
    json!({"socket_address": {"address": host, "port_value": port}})
}

/// Asks the agent for the proxy and prints its bootstrap.
pub(crate) async fn print(reach: &Reach, flags: &Flags) -> Result<String, String> {
    let id = flags.get("proxy-id").filter(|id| !id.is_empty());
    let id = id.ok_or("No proxy ID specified. One of -proxy-id, -sidecar-for is required")?;
    for key in ["namespace", "partition"] {
        if flags.get(key).is_some_and(|v| !v.is_empty() && v != "default") {
            return Err(format!("-{key}: a Consul Enterprise feature"));
        }
    }
    let answer = reach.call(reqwest::Method::GET, &format!("/v1/agent/service/{id}")).await;
    let answer = answer.map_err(|e| format!("Error looking up proxy info for {id}: {e}"))?;
    let proxy: Value = serde_json::from_str(&answer).map_err(|e| e.to_string())?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if proxy["Kind"] != "connect-proxy" {
        return Err(format!("{id} is not a connect-proxy"));
    }
    let cluster = text(&proxy["Proxy"]["DestinationServiceName"]);
    let grpc = match flags.get("grpc-addr").map(|a| (a, a.strip_prefix("unix://"))) {
        Some((_, Some(path))) => json!({"pipe": {"path": path}}),
        Some((address, None)) => socket(&host_port(address)?),
        None => {
            eprintln!("Defaulting to grpc port = 8502");
            socket(&("127.0.0.1".into(), 8502))
        }
    };
    let admin = host_port(flags.get("admin-bind").unwrap_or("localhost:19000"))?;
    let log = flags.get("admin-access-log-path").unwrap_or("/dev/null");
    let ads = json!({"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"});
    let tag = |name: &str, value: &str| json!({"tag_name": name, "fixed_value": value});
    let options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let typed = format!("type.googleapis.com/{options}");
    let bootstrap = json!({
        "admin": {
            "access_log": [{
                "name": "envoy.access_loggers.file",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                    "path": log,
                },
            }],
            "address": socket(&admin),
        },
        "node": {
            "cluster": cluster, "id": id,
            "metadata": {"namespace": "default", "partition": "default"},
        },
        "layered_runtime": {"layers": [{
            "name": "base", "static_layer": {"re2.max_program_size.error_level": 1_048_576},
        }]},
        "static_resources": {"clusters": [{
            "name": "local_agent", "ignore_health_on_host_removal": false,
            "connect_timeout": "1s", "type": "STATIC",
            "typed_extension_protocol_options": {options: {
                "@type": typed,
                "explicit_http_config": {"http2_protocol_options": {}},
            }},
            "loadAssignment": {"clusterName": "local_agent", "endpoints": [{
                "lbEndpoints": [{"endpoint": {"address": grpc}}],
            }]},
        }]},
        "stats_config": {
            "stats_tags": [
                tag("local_cluster", &cluster),
                tag("consul.source.service", &cluster),
                tag("consul.source.namespace", "default"),
                tag("consul.source.partition", "default"),
                tag("consul.source.datacenter", &text(&proxy["Datacenter"])),
            ],
            "use_all_default_tags": true,
        },
        "dynamic_resources": {
            "lds_config": ads, "cds_config": ads,
            "ads_config": {
                "api_type": "DELTA_GRPC", "transport_api_version": "V3",
                "grpc_services": {
                    "initial_metadata": [{"key": "x-consul-token", "value": reach.token}],
                    "envoy_grpc": {"cluster_name": "local_agent"},
                },
            },
        },
    });
    serde_json::to_string_pretty(&bootstrap).map_err(|e| e.to_string())
}
