use super::*;
use std::process::Command;

/// What Consul 1.23 printed with a token, its list of statistics' tags cut to one.
fn printed() -> Value {
    serde_json::from_str(include_str!("testdata/bootstrap-1.23.json")).unwrap()
}

fn edited(token: TokenFile) -> Value {
    edit(printed(), &Edit { token, admin_port: 19007 }).unwrap()
}

#[test]
fn the_token_moves_from_the_bootstrap_to_the_watched_file() {
    assert!(printed().to_string().contains("sekrit"), "the fixture must hold a token");
    let out = edited(TokenFile::Watched(Path::new("/run/x/token.json")));
    assert!(!out.to_string().contains("sekrit"), "{out:#}");
    let options = &out["static_resources"]["clusters"][0]["typed_extension_protocol_options"];
    assert_eq!(
        options[HTTP_OPTIONS],
        json!({
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": { "http2_protocol_options": {} },
            "http_filters": [
                {
                    "name": "envoy.filters.http.credential_injector",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.filters.http.credential_injector.v3.CredentialInjector",
                        "overwrite": true,
                        "credential": {
                            "name": "envoy.http.injected_credentials.generic",
                            "typed_config": {
                                "@type": "type.googleapis.com/envoy.extensions.http.injected_credentials.generic.v3.Generic",
                                "header": "x-consul-token",
                                "credential": {
                                    "name": "consul-token",
                                    "sds_config": {
                                        "resource_api_version": "V3",
                                        "path_config_source": { "path": "/run/x/token.json" },
                                    },
                                },
                            },
                        },
                    },
                },
                {
                    "name": "envoy.filters.http.upstream_codec",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec",
                    },
                },
            ],
        })
    );
}

#[test]
fn only_admin_xds_and_the_agents_cluster_change() {
    let mut out = edited(TokenFile::Watched(Path::new("/run/x/token.json")));
    assert_eq!(
        out["admin"]["address"]["socket_address"],
        json!({ "address": "127.0.0.1", "port_value": 19007 })
    );
    assert_eq!(
        out["dynamic_resources"]["ads_config"]["grpc_services"],
        json!({
            "envoy_grpc": {
                "cluster_name": "local_agent",
                "retry_policy": {
                    "retry_back_off": { "base_interval": "0.1s", "max_interval": "1s" },
                },
            },
        })
    );
    let mut before = printed();
    for value in [&mut out, &mut before] {
        value["admin"]["address"] = Value::Null;
        value["dynamic_resources"]["ads_config"]["grpc_services"] = Value::Null;
        value["static_resources"]["clusters"][0]["typed_extension_protocol_options"] = Value::Null;
    }
    assert_eq!(out, before);
}

#[test]
fn without_a_token_none_is_left_and_no_filter_is_set() {
    let out = edited(TokenFile::None);
    assert!(!out.to_string().contains("sekrit"));
    assert!(!out.to_string().contains("http_filters"));
}

#[test]
fn an_old_envoy_keeps_its_token_in_the_bootstrap() {
    let out = edited(TokenFile::Inline);
    let service = &out["dynamic_resources"]["ads_config"]["grpc_services"];
    assert_eq!(service["initial_metadata"][0]["value"], "sekrit");
    assert_eq!(service["envoy_grpc"]["retry_policy"]["retry_back_off"]["max_interval"], "1s");
    assert!(!out.to_string().contains("http_filters"));
}

#[test]
fn the_watched_file_needs_an_envoy_that_has_the_filter() {
    assert!(!reads_token_from_file((1, 33, 14)));
    assert!(reads_token_from_file((1, 34, 0)));
}

#[test]
fn http2_at_the_top_of_the_cluster_moves_into_the_options() {
    let mut old = printed();
    let cluster = old["static_resources"]["clusters"][0].as_object_mut().unwrap();
    cluster.remove("typed_extension_protocol_options");
    cluster.insert("http2_protocol_options".to_owned(), json!({ "max_concurrent_streams": 7 }));
    let file = Path::new("/run/x/token.json");
    let out = edit(old, &Edit { token: TokenFile::Watched(file), admin_port: 1 }).unwrap();
    let cluster = &out["static_resources"]["clusters"][0];
    assert_eq!(cluster.get("http2_protocol_options"), None);
    let options = &cluster["typed_extension_protocol_options"][HTTP_OPTIONS];
    assert_eq!(
        options["explicit_http_config"]["http2_protocol_options"],
        json!({ "max_concurrent_streams": 7 })
    );
    assert_eq!(options["http_filters"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_list_of_one_grpc_service_is_edited_in_place() {
    let mut list = printed();
    let services = &mut list["dynamic_resources"]["ads_config"]["grpc_services"];
    *services = json!([services.take()]);
    let out = edit(list, &Edit { token: TokenFile::None, admin_port: 1 }).unwrap();
    let service = &out["dynamic_resources"]["ads_config"]["grpc_services"][0];
    assert_eq!(service.get("initial_metadata"), None);
    assert!(service["envoy_grpc"].get("retry_policy").is_some());
}

#[test]
fn another_form_is_an_error_that_names_what_is_wrong() {
    let watched = TokenFile::Watched(Path::new("/t.json"));
    let try_edit = |bootstrap| edit(bootstrap, &Edit { token: watched, admin_port: 1 });

    let mut v2 = printed();
    let ads = v2["dynamic_resources"]["ads_config"].as_object_mut().unwrap();
    ads.remove("transport_api_version");
    assert_eq!(try_edit(v2), Err(BootstrapError::NotV3 { found: "V2".to_owned() }));

    let mut renamed = printed();
    renamed["static_resources"]["clusters"][0]["name"] = json!("agent");
    assert_eq!(try_edit(renamed), Err(BootstrapError::Missing("cluster local_agent")));

    let mut two = printed();
    two["dynamic_resources"]["ads_config"]["grpc_services"] = json!([{}, {}]);
    assert_eq!(try_edit(two), Err(BootstrapError::Unexpected("grpc_services")));

    assert_eq!(try_edit(json!([])), Err(BootstrapError::Missing("admin")));
}

/// Envoy itself reads the edited bootstrap and the token file. It needs an Envoy with the upstream filter, named by
/// `ENVOY_BIN`.
#[test]
fn a_real_envoy_accepts_it() {
    let envoy = match testbed::parts::envoy() {
        Ok(envoy) => envoy,
        Err(missing) => return testbed::skip::skip(&missing.to_string()),
    };
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token.json");
    let path = dir.path().join("envoy.json");
    let file = sds_token_file("another").to_string();
    crate::private::write_private(&token, file.as_bytes()).unwrap();
    let validate = |bootstrap: &Value| {
        crate::private::write_private(&path, bootstrap.to_string().as_bytes()).unwrap();
        Command::new(&envoy).args(["--mode", "validate", "-c"]).arg(&path).output().unwrap()
    };

    for token in [TokenFile::Watched(&token), TokenFile::None, TokenFile::Inline] {
        let out = validate(&edited(token));
        assert!(out.status.success(), "{token:?}: {}", String::from_utf8_lossy(&out.stderr));
    }
    // What it would refuse, it does refuse: the test can fail.
    let mut wrong = edited(TokenFile::Watched(&token));
    wrong["dynamic_resources"]["ads_config"]["grpc_services"]["envoy_grpc"]["retries"] = json!({});
    assert!(!validate(&wrong).status.success());
}
