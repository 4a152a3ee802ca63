//! A proxy's settings after central configuration: which protocol it and its upstreams speak.

use super::catalog::Snapshot;
use super::model::Proxy;

/// What travels through a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Opaque bytes, the default.
    Tcp,
    /// HTTP/1.1.
    Http,
    /// HTTP/2.
    Http2,
    /// HTTP/2 with gRPC on top.
    Grpc,
}

impl Protocol {
    /// From a config value; anything unknown is tcp, as in Consul.
    pub(crate) fn of(text: Option<&str>) -> Self {
        match text {
            Some("http") => Self::Http,
            Some("http2") => Self::Http2,
            Some("grpc") => Self::Grpc,
            _ => Self::Tcp,
        }
    }

    pub(crate) fn is_http(self) -> bool {
        self != Self::Tcp
    }

    pub(crate) fn is_http2(self) -> bool {
        matches!(self, Self::Http2 | Self::Grpc)
    }
}

/// Fills in `protocol` where the registration left it to the service's defaults.
pub(crate) fn resolve(proxy: &Proxy, snapshot: &Snapshot) -> Proxy {
    let mut proxy = proxy.clone();
    if let Some(protocol) = snapshot.protocol(&proxy.destination_service_name) {
        proxy.config.entry("protocol").or_insert_with(|| protocol.into());
    }
    for upstream in &mut proxy.upstreams {
        if let Some(protocol) = snapshot.protocol(&upstream.destination_name) {
            upstream.config.entry("protocol").or_insert_with(|| protocol.into());
        }
    }
    proxy
}
