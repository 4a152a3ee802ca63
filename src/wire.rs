//! What the three loopback protocols share: one HTTP exchange with a deadline and a size limit, failures sorted by
//! what a caller can do about them, and tolerance for Go's `null` lists.

use serde::{Deserialize, Deserializer};
use std::error::Error;
use std::path::Path;
use std::time::Duration;

/// Longest piece of a foreign body that goes into one of our errors, in characters.
const EXCERPT: usize = 512;

/// Why an exchange gave no reply.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Refused, reset, closed in the middle: nobody there, or no longer.
    Unreachable(String),
    /// The whole exchange took longer than it may.
    Timeout,
    /// The body is longer than the limit.
    TooLarge,
}

/// A whole reply.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The beginning of the body, for an error message.
    pub(crate) fn excerpt(&self) -> String {
        String::from_utf8_lossy(&self.body).trim().chars().take(EXCERPT).collect()
    }
}

/// A client for plain HTTP to this task's own network: no proxy, no redirects, no certificate store.
pub(crate) fn client() -> reqwest::Client {
    build(builder())
}

/// A client for servers over TLS, or without it: `ca` is the authority in PEM, else the machine's own count.
///
/// # Errors
/// `ca` is no certificate.
pub(crate) fn client_of_servers(ca: Option<&[u8]>) -> Result<reqwest::Client, reqwest::Error> {
    let _already = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .pool_idle_timeout(Duration::from_secs(30));
    match ca {
        None => builder.build(),
        Some(pem) => builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(pem)?).build(),
    }
}

/// The same over a unix socket, whatever host a URL names. The socket need not be there yet.
pub(crate) fn client_over(socket: &Path) -> reqwest::Client {
    build(builder().unix_socket(socket))
}

fn builder() -> reqwest::ClientBuilder {
    // A second installation is refused; the first one stands, which is all we need.
    let _already = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        // Else the machine's roots are loaded, and an image without any fails even for plain http.
        .tls_certs_only([])
        .redirect(reqwest::redirect::Policy::none())
        // Less than the 5 s after which the ECS agent closes an idle connection.
        .pool_idle_timeout(Duration::from_secs(4))
}

fn build(builder: reqwest::ClientBuilder) -> reqwest::Client {
    builder
        .build()
        .expect("a client without proxy, roots and DNS settings has nothing that can fail")
}

/// Sends `request` and reads the whole reply, of at most `limit` bytes, within `timeout`.
pub(crate) async fn exchange(
    request: reqwest::RequestBuilder,
    timeout: Duration,
    limit: usize,
) -> Result<Reply, Failure> {
    match tokio::time::timeout(timeout, read(request, limit)).await {
        Ok(result) => result,
        Err(_elapsed) => Err(Failure::Timeout),
    }
}

async fn read(request: reqwest::RequestBuilder, limit: usize) -> Result<Reply, Failure> {
    let mut response = request.send().await.map_err(unreachable)?;
    let status = response.status().as_u16();
    let headers = std::mem::take(response.headers_mut());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if body.len() + chunk.len() > limit {
            return Err(Failure::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Reply { status, headers, body })
}

/// The URL is left out, for it can hold IDs that the caller names better.
fn unreachable(error: reqwest::Error) -> Failure {
    Failure::Unreachable(causes(&error.without_url()))
}

/// An error with all that is behind it: the outermost one only says "error sending request", or "dispatch failure".
pub(crate) fn causes(error: &dyn Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !said.contains(&words) {
            said.push_str(": ");
            said.push_str(&words);
        }
        cause = inner.source();
    }
    said
}

/// Go writes an empty list or map as `null`.
pub(crate) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use axum::Router;

    /// A fake on a loopback port of its own; gives its base URL. It ends with the test's runtime.
    pub(crate) async fn serve(router: Router) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}")
    }

    /// A base URL on which nobody listens.
    pub(crate) async fn nobody() -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    }

    async fn get(url: String, timeout: Duration, limit: usize) -> Result<Reply, Failure> {
        exchange(client().get(url), timeout, limit).await
    }

    #[tokio::test]
    async fn a_refused_connection_is_unreachable_and_says_why() {
        let result = get(nobody().await, Duration::from_secs(5), 10).await;
        let Err(Failure::Unreachable(why)) = result else { panic!("{result:?}") };
        assert!(why.contains("refused"), "{why}");
        assert!(!why.contains("http://"), "{why}");
    }

    #[tokio::test]
    async fn a_body_at_the_limit_passes_and_one_more_byte_does_not() {
        let router = Router::new().fallback(async || "0123456789");
        let base = serve(router).await;
        assert_eq!(get(base.clone(), Duration::from_secs(5), 10).await.unwrap().body.len(), 10);
        let longer = get(base, Duration::from_secs(5), 9).await;
        assert!(matches!(longer, Err(Failure::TooLarge)), "{longer:?}");
    }

    #[tokio::test]
    async fn a_reply_that_never_comes_is_a_timeout() {
        let router = Router::new().fallback(async || std::future::pending::<String>().await);
        let result = get(serve(router).await, Duration::from_millis(50), 10).await;
        assert!(matches!(result, Err(Failure::Timeout)), "{result:?}");
    }

    #[test]
    fn an_excerpt_is_cut_by_characters() {
        let body = "é".repeat(600).into_bytes();
        let reply = Reply { status: 500, headers: Default::default(), body };
        assert_eq!(reply.excerpt().chars().count(), EXCERPT);
    }
}
