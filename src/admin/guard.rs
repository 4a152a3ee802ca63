//! Which requests are looked at at all. The API has no password, and what protects it is that it is on loopback. A
//! browser on such a machine would undo that: a page whose name its owner points at 127.0.0.1 (DNS rebinding) may read
//! answers, and any page may send a POST. Both show in what browsers always send: `Host` and `Origin`.

use super::routes::MAX_BODY;
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use std::net::IpAddr;

/// Why a request is refused, or nothing; `port` is the listener's.
pub(super) fn refusal(port: u16, request: &Parts) -> Option<(StatusCode, &'static str)> {
    let Some(host) = only(&request.headers, &header::HOST) else {
        return Some((StatusCode::BAD_REQUEST, "there must be one Host header"));
    };
    // `GET http://name/path` names the host a second time.
    let named = request.uri.authority().map(Authority::as_str);
    if !is_ours(port, host) || !named.is_none_or(|named| is_ours(port, named)) {
        let why = "the Host header must name localhost or a loopback address, with the admin port";
        return Some((StatusCode::FORBIDDEN, why));
    }
    if request.headers.contains_key(header::ORIGIN) {
        let origin =
            only(&request.headers, &header::ORIGIN).and_then(|o| o.strip_prefix("http://"));
        if !origin.is_some_and(|origin| is_ours(port, origin)) {
            return Some((StatusCode::FORBIDDEN, "requests of foreign web pages are refused"));
        }
    }
    // Also where nobody reads the body: whoever sends so much mistakes us for something else.
    let length = request.headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: u64| length > MAX_BODY as u64) {
        return Some((StatusCode::PAYLOAD_TOO_LARGE, "the body is over 8 KiB"));
    }
    None
}

/// The header's value, if it is there once and is text.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut all = headers.get_all(name).iter();
    let first = all.next()?;
    all.next().is_none().then_some(first)?.to_str().ok()
}

/// `HOST:PORT` with this port, where HOST is `localhost` or a loopback address.
fn is_ours(port: u16, text: &str) -> bool {
    let Ok(authority) = text.parse::<Authority>() else { return false };
    // Without a port it is HTTP's own.
    if authority.port_u16().unwrap_or(80) != port || text.contains('@') {
        return false;
    }
    let host = authority.host();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || bare.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    const PORT: u16 = 19100;

    fn code(uri: &str, headers: &[(&str, &str)]) -> u16 {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        refusal(PORT, &parts).map_or(200, |(code, _)| code.as_u16())
    }

    #[test]
    fn only_loopback_names_with_our_port_are_hosts() {
        for host in ["127.0.0.1:19100", "localhost:19100", "LocalHost:19100", "[::1]:19100"] {
            assert_eq!(code("/ready", &[("host", host)]), 200, "{host}");
        }
        for host in [
            "evil.example:19100",
            "localhost.evil.example:19100",
            "127.0.0.1.evil.example:19100",
            "127.0.0.1",
            "localhost:80",
            "127.0.0.1:191000",
            "10.0.0.1:19100",
            "0.0.0.0:19100",
            "localhost:19100@evil.example:19100",
            "evil@localhost:19100",
            "localhost:19100/",
            "",
        ] {
            assert_eq!(code("/ready", &[("host", host)]), 403, "{host}");
        }
        assert!(is_ours(80, "localhost") && !is_ours(80, "localhost:19100"));
    }

    #[test]
    fn a_host_is_named_once_and_nowhere_else() {
        assert_eq!(code("/ready", &[]), 400);
        let twice = [("host", "localhost:19100"), ("host", "evil.example:19100")];
        assert_eq!(code("/ready", &twice), 400);
        let host = [("host", "localhost:19100")];
        assert_eq!(code("http://evil.example:19100/ready", &host), 403);
        assert_eq!(code("http://127.0.0.1:19100/ready", &host), 200);
    }

    #[test]
    fn any_origin_but_our_own_is_foreign() {
        let with =
            |origin: &str| code("/v1/stop", &[("host", "localhost:19100"), ("origin", origin)]);
        assert_eq!(with("http://localhost:19100"), 200);
        for origin in
            ["null", "", "http://evil.example", "http://localhost:8080", "https://localhost:19100"]
        {
            assert_eq!(with(origin), 403, "{origin}");
        }
        let host = ("host", "localhost:19100");
        let ours = ("origin", "http://localhost:19100");
        assert_eq!(code("/v1/stop", &[host, ours, ("origin", "http://evil.example")]), 403);
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_a_byte_is_read() {
        let with = |length: &str| {
            code("/v1/stop", &[("host", "localhost:19100"), ("content-length", length)])
        };
        assert_eq!((with("8192"), with("8193")), (200, 413));
    }
}
