//! Mutual TLS of the mesh: the leaf inline, the peer's SPIFFE name checked.

use envoy_types::pb::envoy::config::core::v3::transport_socket::ConfigType;
use envoy_types::pb::envoy::config::core::v3::{DataSource, TransportSocket, data_source};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, CommonTlsContext, DownstreamTlsContext, SubjectAltNameMatcher,
    TlsCertificate, UpstreamTlsContext, common_tls_context, subject_alt_name_matcher,
};
use envoy_types::pb::envoy::r#type::matcher::v3::{StringMatcher, string_matcher};
use envoy_types::pb::google::protobuf::{Any, BoolValue};
use envoy_types::util::pack_any;

use super::view::{UpstreamView, View};
use crate::mesh::resolved::Protocol;

fn inline(text: &str) -> Option<DataSource> {
    let specifier = Some(data_source::Specifier::InlineString(text.into()));
    Some(DataSource { specifier, ..DataSource::default() })
}

fn common(view: &View, peer: Option<&str>, alpn: &[&str]) -> Option<CommonTlsContext> {
    let exact = |name: &str| SubjectAltNameMatcher {
        san_type: subject_alt_name_matcher::SanType::Uri.into(),
        matcher: Some(StringMatcher {
            match_pattern: Some(string_matcher::MatchPattern::Exact(name.into())),
            ..StringMatcher::default()
        }),
        ..SubjectAltNameMatcher::default()
    };
    let validation = CertificateValidationContext {
        trusted_ca: inline(&view.root.cert_pem),
        match_typed_subject_alt_names: peer.map(exact).into_iter().collect(),
        ..CertificateValidationContext::default()
    };
    Some(CommonTlsContext {
        tls_certificates: vec![TlsCertificate {
            certificate_chain: inline(&view.leaf.cert_pem),
            private_key: inline(&view.leaf.private_key_pem),
            ..TlsCertificate::default()
        }],
        alpn_protocols: alpn.iter().map(|a| (*a).to_owned()).collect(),
        validation_context_type: Some(
            common_tls_context::ValidationContextType::ValidationContext(validation),
        ),
        ..CommonTlsContext::default()
    })
}

fn socket(config: Any) -> Option<TransportSocket> {
    Some(TransportSocket { name: "tls".into(), config_type: Some(ConfigType::TypedConfig(config)) })
}

/// For the public listener: a client certificate is required.
pub(super) fn inbound(view: &View) -> Option<TransportSocket> {
    let alpn: &[&str] = match view.protocol {
        Protocol::Tcp => &[],
        Protocol::Http => &["http/1.1"],
        Protocol::Http2 | Protocol::Grpc => &["h2", "http/1.1"],
    };
    socket(pack_any(DownstreamTlsContext {
        common_tls_context: common(view, None, alpn),
        require_client_certificate: Some(BoolValue { value: true }),
        ..DownstreamTlsContext::default()
    }))
}

/// For an upstream cluster: the other side must be that service.
pub(super) fn outbound(view: &View, upstream: &UpstreamView) -> Option<TransportSocket> {
    socket(pack_any(UpstreamTlsContext {
        common_tls_context: common(view, Some(&upstream.spiffe), &[]),
        sni: upstream.cluster.clone(),
        ..UpstreamTlsContext::default()
    }))
}
