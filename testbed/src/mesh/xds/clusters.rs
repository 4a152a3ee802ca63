//! Clusters (`local_app` and one for each upstream) and their endpoints.

use std::collections::HashMap;

use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, CommonLbConfig, DiscoveryType, EdsClusterConfig,
};
use envoy_types::pb::envoy::config::cluster::v3::{CircuitBreakers, Cluster, OutlierDetection};
use envoy_types::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::core::v3::{
    Address, AggregatedConfigSource, ApiVersion, ConfigSource, HealthStatus, Http2ProtocolOptions,
    SocketAddress, address,
};
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint,
};
use envoy_types::pb::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::explicit_http_config::ProtocolConfig;
use envoy_types::pb::envoy::extensions::upstreams::http::v3::http_protocol_options::{
    ExplicitHttpConfig, UpstreamProtocolOptions,
};
use envoy_types::pb::envoy::r#type::v3::Percent;
use envoy_types::pb::google::protobuf::{Any, Duration, UInt32Value};
use envoy_types::util::pack_any;

use super::tls;
use super::view::{UpstreamView, View};
use crate::mesh::resolved::Protocol;

const LOCAL_APP: &str = "local_app";

/// An address with a port.
pub(super) fn address(ip: &str, port: u16) -> Option<Address> {
    Some(Address {
        address: Some(address::Address::SocketAddress(SocketAddress {
            address: ip.into(),
            port_specifier: Some(PortSpecifier::PortValue(port.into())),
            ..SocketAddress::default()
        })),
    })
}

/// "Ask the stream that you got this from."
pub(super) fn ads() -> Option<ConfigSource> {
    Some(ConfigSource {
        resource_api_version: ApiVersion::V3.into(),
        config_source_specifier: Some(
            ConfigSourceSpecifier::Ads(AggregatedConfigSource::default()),
        ),
        ..ConfigSource::default()
    })
}

fn http2(protocol: Protocol) -> HashMap<String, Any> {
    if !protocol.is_http2() {
        return HashMap::new();
    }
    let explicit = ExplicitHttpConfig {
        protocol_config: Some(
            ProtocolConfig::Http2ProtocolOptions(Http2ProtocolOptions::default()),
        ),
    };
    let options = HttpProtocolOptions {
        upstream_protocol_options: Some(UpstreamProtocolOptions::ExplicitHttpConfig(explicit)),
        ..HttpProtocolOptions::default()
    };
    let name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    HashMap::from([(name.to_owned(), pack_any(options))])
}

fn endpoint(ip: &str, port: u16, status: HealthStatus, weight: Option<u32>) -> LbEndpoint {
    LbEndpoint {
        health_status: status.into(),
        load_balancing_weight: weight.map(|value| UInt32Value { value }),
        host_identifier: Some(lb_endpoint::HostIdentifier::Endpoint(Endpoint {
            address: address(ip, port),
            ..Endpoint::default()
        })),
        ..LbEndpoint::default()
    }
}

fn assignment(cluster: &str, endpoints: Vec<LbEndpoint>) -> ClusterLoadAssignment {
    ClusterLoadAssignment {
        cluster_name: cluster.into(),
        endpoints: vec![LocalityLbEndpoints {
            lb_endpoints: endpoints,
            ..LocalityLbEndpoints::default()
        }],
        ..ClusterLoadAssignment::default()
    }
}

/// All clusters of a proxy.
pub(super) fn clusters(view: &View) -> Vec<Cluster> {
    let five_seconds = Some(Duration { seconds: 5, nanos: 0 });
    let (ip, port) = &view.local;
    let app = endpoint(ip, *port, HealthStatus::Unknown, None);
    let local_app = Cluster {
        name: LOCAL_APP.into(),
        connect_timeout: five_seconds,
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Static.into())),
        load_assignment: Some(assignment(LOCAL_APP, vec![app])),
        typed_extension_protocol_options: http2(view.protocol),
        ..Cluster::default()
    };
    let upstream = |upstream: &UpstreamView| Cluster {
        name: upstream.cluster.clone(),
        alt_stat_name: upstream.cluster.clone(),
        connect_timeout: five_seconds,
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds.into())),
        eds_cluster_config: Some(EdsClusterConfig {
            eds_config: ads(),
            ..EdsClusterConfig::default()
        }),
        circuit_breakers: Some(CircuitBreakers::default()),
        outlier_detection: Some(OutlierDetection::default()),
        // No panic: with every endpoint critical there is none to route to.
        common_lb_config: Some(CommonLbConfig {
            healthy_panic_threshold: Some(Percent { value: 0.0 }),
            ..CommonLbConfig::default()
        }),
        transport_socket: tls::outbound(view, upstream),
        typed_extension_protocol_options: http2(upstream.protocol),
        ..Cluster::default()
    };
    std::iter::once(local_app).chain(view.upstreams.iter().map(upstream)).collect()
}

/// The endpoints of the upstreams; critical ones stay, marked.
pub(super) fn endpoints(view: &View) -> Vec<ClusterLoadAssignment> {
    let of = |upstream: &UpstreamView| {
        let all = upstream.endpoints.iter().map(|e| {
            let status = if e.healthy { HealthStatus::Healthy } else { HealthStatus::Unhealthy };
            endpoint(&e.address, e.port, status, Some(e.weight))
        });
        assignment(&upstream.cluster, all.collect())
    };
    view.upstreams.iter().map(of).collect()
}
