//! The one way this module makes an HTTP client: plain, no proxy, no roots of the machine.

use std::time::Duration;

/// A client for plain HTTP.
pub(crate) fn client() -> reqwest::Result<reqwest::Client> {
    // A second installation fails and changes nothing.
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .connect_timeout(Duration::from_secs(2))
        .build()
}
