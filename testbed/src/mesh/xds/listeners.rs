//! Listeners: the public one, and one for each upstream; and the route tables of the latter.

use envoy_types::pb::envoy::config::core::v3::{Http2ProtocolOptions, TrafficDirection};
use envoy_types::pb::envoy::config::listener::v3::filter::ConfigType;
use envoy_types::pb::envoy::config::listener::v3::{Filter, FilterChain, Listener};
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{
    Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost,
};
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::{
    ForwardClientCertDetails, RouteSpecifier, SetCurrentClientCertDetails, UpgradeConfig,
};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter, Rds, http_filter,
};
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::{
    TcpProxy, tcp_proxy::ClusterSpecifier as TcpCluster,
};
use envoy_types::pb::google::protobuf::{Any, BoolValue};
use envoy_types::util::pack_any;

use super::clusters::{address, ads};
use super::view::{UpstreamView, View};
use super::{rbac, tls};

const PUBLIC: &str = "public_listener";

fn filter(name: &str, config: Any) -> Filter {
    Filter { name: name.into(), config_type: Some(ConfigType::TypedConfig(config)) }
}

fn http_filter(name: &str, config: Any) -> HttpFilter {
    HttpFilter {
        name: name.into(),
        config_type: Some(http_filter::ConfigType::TypedConfig(config)),
        ..HttpFilter::default()
    }
}

/// Everything to one cluster.
fn table(name: &str, host: &str, cluster: &str) -> RouteConfiguration {
    let route = Route {
        r#match: Some(RouteMatch {
            path_specifier: Some(PathSpecifier::Prefix("/".into())),
            ..RouteMatch::default()
        }),
        action: Some(Action::Route(RouteAction {
            cluster_specifier: Some(ClusterSpecifier::Cluster(cluster.into())),
            ..RouteAction::default()
        })),
        ..Route::default()
    };
    RouteConfiguration {
        name: name.into(),
        virtual_hosts: vec![VirtualHost {
            name: host.into(),
            domains: vec!["*".into()],
            routes: vec![route],
            ..VirtualHost::default()
        }],
        ..RouteConfiguration::default()
    }
}

fn upgrades() -> Vec<UpgradeConfig> {
    vec![UpgradeConfig { upgrade_type: "websocket".into(), ..UpgradeConfig::default() }]
}

fn router() -> HttpFilter {
    http_filter("envoy.filters.http.router", pack_any(Router::default()))
}

fn hcm(manager: HttpConnectionManager) -> Filter {
    filter("envoy.filters.network.http_connection_manager", pack_any(manager))
}

fn tcp_proxy(stat_prefix: &str, cluster: &str) -> Filter {
    let proxy = TcpProxy {
        stat_prefix: stat_prefix.into(),
        cluster_specifier: Some(TcpCluster::Cluster(cluster.into())),
        ..TcpProxy::default()
    };
    filter("envoy.filters.network.tcp_proxy", pack_any(proxy))
}

fn public(view: &View) -> Listener {
    let filters = if view.protocol.is_http() {
        let rules = http_filter("envoy.filters.http.rbac", pack_any(rbac::http(view)));
        vec![hcm(HttpConnectionManager {
            stat_prefix: PUBLIC.into(),
            route_specifier: Some(RouteSpecifier::RouteConfig(table(PUBLIC, PUBLIC, "local_app"))),
            http_filters: vec![rules, router()],
            http2_protocol_options: view.protocol.is_http2().then(Http2ProtocolOptions::default),
            forward_client_cert_details: ForwardClientCertDetails::AppendForward.into(),
            set_current_client_cert_details: Some(SetCurrentClientCertDetails {
                subject: Some(BoolValue { value: true }),
                cert: true,
                chain: true,
                dns: true,
                uri: true,
                ..SetCurrentClientCertDetails::default()
            }),
            upgrade_configs: upgrades(),
            normalize_path: Some(BoolValue { value: true }),
            ..HttpConnectionManager::default()
        })]
    } else {
        let rules = filter("envoy.filters.network.rbac", pack_any(rbac::network(view)));
        vec![rules, tcp_proxy(PUBLIC, "local_app")]
    };
    Listener {
        name: format!("{PUBLIC}:{}:{}", view.bind, view.service.port),
        address: address(&view.bind, view.service.port),
        traffic_direction: TrafficDirection::Inbound.into(),
        filter_chains: vec![FilterChain {
            filters,
            transport_socket: tls::inbound(view),
            ..FilterChain::default()
        }],
        ..Listener::default()
    }
}

fn upstream_table(view: &View, upstream: &UpstreamView) -> RouteConfiguration {
    let name = &upstream.upstream.destination_name;
    let host = format!("{name}.default.default.{}", view.datacenter);
    table(name, &host, &upstream.cluster)
}

fn outbound(view: &View, upstream: &UpstreamView) -> Listener {
    let settings = &upstream.upstream;
    let name = &settings.destination_name;
    let stats = format!("upstream.{name}.default.default.{}", view.datacenter);
    let specifier = if upstream.rds {
        RouteSpecifier::Rds(Rds { config_source: ads(), route_config_name: name.clone() })
    } else {
        RouteSpecifier::RouteConfig(upstream_table(view, upstream))
    };
    let filter = if upstream.protocol.is_http() {
        hcm(HttpConnectionManager {
            stat_prefix: stats,
            route_specifier: Some(specifier),
            http_filters: vec![router()],
            upgrade_configs: upgrades(),
            ..HttpConnectionManager::default()
        })
    } else {
        tcp_proxy(&stats, &upstream.cluster)
    };
    let bind = match settings.local_bind_address.as_str() {
        "" => "127.0.0.1",
        bind => bind,
    };
    Listener {
        name: format!("{name}:{bind}:{}", settings.local_bind_port),
        address: address(bind, settings.local_bind_port),
        traffic_direction: TrafficDirection::Outbound.into(),
        filter_chains: vec![FilterChain { filters: vec![filter], ..FilterChain::default() }],
        ..Listener::default()
    }
}

/// All listeners of a proxy.
pub(super) fn listeners(view: &View) -> Vec<Listener> {
    let upstreams = view.upstreams.iter().map(|u| outbound(view, u));
    std::iter::once(public(view)).chain(upstreams).collect()
}

/// The route tables that are fetched apart.
pub(super) fn route_tables(view: &View) -> Vec<RouteConfiguration> {
    let apart = view.upstreams.iter().filter(|u| u.rds && u.protocol.is_http());
    apart.map(|u| upstream_table(view, u)).collect()
}
