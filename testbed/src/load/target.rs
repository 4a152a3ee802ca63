//! Where requests go.

use std::io;

use axum::http::Uri;
use tokio::net::TcpStream;

use super::Kind;
use super::error::RequestError;

/// Not a URL of the kind's form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{url:?} is not of the form {form}")]
pub struct BadUrl {
    url: String,
    form: &'static str,
}

/// A parsed URL.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// `host:port`.
    pub(super) authority: String,
    /// With the query. Without a meaning for the line protocol.
    pub(super) path: String,
    /// All of it.
    pub(super) uri: Uri,
}

impl Target {
    /// What a URL says, with the kind that its scheme stands for at first.
    pub(super) fn parse(url: &str) -> Result<(Self, Kind), BadUrl> {
        let form = "http://host:port/path or tcp://host:port";
        let bad = || BadUrl { url: url.to_owned(), form };
        let (kind, rest) = match (url.strip_prefix("http://"), url.strip_prefix("tcp://")) {
            (Some(rest), _) => (Kind::Http1, rest),
            (_, Some(rest)) if !rest.contains('/') => (Kind::Tcp, rest),
            _ => return Err(bad()),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (_, port) = authority.rsplit_once(':').ok_or_else(bad)?;
        port.parse::<u16>().map_err(|_| bad())?;
        let uri = url.parse().map_err(|_| bad())?;
        Ok((Self { authority: authority.to_owned(), path: format!("/{path}"), uri }, kind))
    }

    /// An error unless its scheme is the kind's.
    pub(super) fn fits(&self, kind: Kind) -> Result<(), BadUrl> {
        let (scheme, form) = match kind {
            Kind::Http1 | Kind::Http2 | Kind::Grpc => ("http", "http://host:port/path"),
            Kind::Tcp => ("tcp", "tcp://host:port"),
        };
        match self.uri.scheme_str() == Some(scheme) {
            true => Ok(()),
            false => Err(BadUrl { url: self.uri.to_string(), form }),
        }
    }

    /// A new connection.
    pub(super) async fn connect(&self) -> Result<TcpStream, RequestError> {
        let failed = |error: io::Error| RequestError::Connect(error.kind());
        let stream = TcpStream::connect(&self.authority).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        Ok(stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_needs_a_port() {
        assert!(Target::parse("http://10.0.0.1:9090").is_ok());
        assert!(Target::parse("tcp://10.0.0.1:9090").is_ok());
        for bad in ["http://10.0.0.1/x", "https://10.0.0.1:443/", "tcp://a:1/x", "http://a b:1/"] {
            assert!(Target::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_kind_needs_its_scheme() {
        let (http, kind) = Target::parse("http://127.0.0.1:1/x?y=z").expect("a target");
        assert_eq!((kind, http.path.as_str()), (Kind::Http1, "/x?y=z"));
        assert!(http.fits(Kind::Http2).is_ok() && http.fits(Kind::Grpc).is_ok());
        let error = http.fits(Kind::Tcp).expect_err("no").to_string();
        assert!(error.ends_with("is not of the form tcp://host:port"), "{error}");
        let (tcp, kind) = Target::parse("tcp://127.0.0.1:1").expect("a target");
        assert!(kind == Kind::Tcp && tcp.fits(Kind::Tcp).is_ok() && tcp.fits(Kind::Http1).is_err());
    }
}
