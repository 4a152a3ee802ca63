//! The one way this module makes an HTTP client: plain, no proxy, no roots of the machine.

use std::path::Path;
use std::time::Duration;

/// A client for plain HTTP.
pub(crate) fn client() -> reqwest::Result<reqwest::Client> {
    builder().build()
}

/// The same over a unix socket.
pub(crate) fn client_over(socket: &Path) -> reqwest::Result<reqwest::Client> {
    builder().unix_socket(socket).build()
}

fn builder() -> reqwest::ClientBuilder {
    // A second installation fails and changes nothing.
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder().no_proxy().tls_certs_only([]).connect_timeout(Duration::from_secs(2))
}
