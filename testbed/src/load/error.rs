//! Why a request failed, in words that are few: a report counts failures by them.

use std::io;
use std::net::{IpAddr, SocketAddr};

/// Longest body, message or line that is read.
pub(super) const BODY_LIMIT: usize = 16 * 1024 * 1024;

/// Longest part of a peer's own words that is kept.
const HINT: usize = 100;

/// Why a request failed. The text names no address, port or stream, so that equal causes count together.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// No connection.
    #[error("connect: {0}")]
    Connect(io::ErrorKind),
    /// The connection ended or broke before the answer was whole.
    #[error("{stage}: {kind}")]
    Broken {
        /// What was under way.
        stage: &'static str,
        /// How it broke.
        kind: io::ErrorKind,
    },
    /// An answer, but not a good one.
    #[error("status {status}{}", in_brackets(.hint.as_ref()))]
    Status {
        /// The status.
        status: u16,
        /// The beginning of a text body: Envoy says there what is wrong.
        hint: Option<String>,
    },
    /// Not HTTP.
    #[error("not an HTTP answer")]
    NotHttp,
    /// It took too long.
    #[error("timeout")]
    Timeout,
    /// HTTP/2: the peer says that it did not process the request. It counts as lost all the same.
    #[error("refused, not processed: {frame} {code}")]
    Refused {
        /// What said so: `RST_STREAM`, or a `GOAWAY` that excludes the stream.
        frame: &'static str,
        /// The code in it, such as `NO_ERROR`.
        code: String,
    },
    /// HTTP/2: the peer reset the stream.
    #[error("{stage}: reset, {code}")]
    Reset {
        /// What was under way.
        stage: &'static str,
        /// The code, such as `INTERNAL_ERROR`.
        code: String,
    },
    /// What came is not HTTP/2.
    #[error("{stage}: not HTTP/2, {code}")]
    NotHttp2 {
        /// What was under way.
        stage: &'static str,
        /// What is wrong, as HTTP/2 names it.
        code: String,
    },
    /// gRPC: the call ended with a status other than 0.
    #[error("grpc-status {status}{}", in_brackets(.message.as_ref()))]
    GrpcStatus {
        /// The status.
        status: u32,
        /// The beginning of `grpc-message`.
        message: Option<String>,
    },
    /// gRPC: the answer ended in good order, but without a status.
    #[error("no grpc-status")]
    NoGrpcStatus,
    /// gRPC: not its content type, or not its framing.
    #[error("not a gRPC answer")]
    NotGrpc,
    /// gRPC: the answer ended amid a message.
    #[error("message cut short")]
    MessageCut,
    /// The line protocol: a line that is no answer.
    #[error("cut: not an answer")]
    NotAnAnswer,
}

fn in_brackets(text: Option<&String>) -> String {
    text.map(|text| format!(" ({text})")).unwrap_or_default()
}

/// An I/O error while this was under way.
pub(super) fn broken(stage: &'static str) -> impl Fn(io::Error) -> RequestError {
    move |error| RequestError::Broken { stage, kind: error.kind() }
}

/// An HTTP/2 error while this was under way.
pub(super) fn http2(stage: &'static str) -> impl Fn(h2::Error) -> RequestError {
    move |error| {
        if let Some(io) = error.get_io() {
            return broken(stage)(io.kind().into());
        }
        let Some(reason) = error.reason() else { return RequestError::NotHttp };
        let code = format!("{reason:?}");
        match (error.is_remote(), error.is_go_away(), reason) {
            // h2 hands a peer's GOAWAY only to the streams that it excludes.
            (true, true, _) => RequestError::Refused { frame: "GOAWAY", code },
            (true, false, h2::Reason::REFUSED_STREAM) => {
                RequestError::Refused { frame: "RST_STREAM", code }
            }
            (true, false, _) => RequestError::Reset { stage, code },
            (false, ..) => RequestError::NotHttp2 { stage, code },
        }
    }
}

/// The beginning of what a peer says, with addresses left out; none if it says nothing.
pub(super) fn hint(text: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(text);
    let text: String = text.split_inclusive(char::is_whitespace).map(without_address).collect();
    Some(text.trim().chars().take(HINT).collect()).filter(|hint: &String| !hint.is_empty())
}

/// A word, or `ADDRESS` for its end where that is one: `10.0.0.2:80`, `address:[::1]:80`.
fn without_address(word: &str) -> String {
    let end = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
    let start = end.trim_end_matches(|c: char| c.is_ascii_hexdigit() || ".:[]".contains(c));
    let address = end[start.len()..].trim_start_matches(':');
    match address.parse::<SocketAddr>().is_ok() || address.parse::<IpAddr>().is_ok() {
        true => format!("{}ADDRESS{}", &end[..end.len() - address.len()], &word[end.len()..]),
        false => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_names_no_address() {
        let envoy = "upstream connect error or disconnect/reset before headers. reset reason: \
                     remote connection failure, transport failure reason: delayed connect error";
        assert_eq!(hint(envoy.as_bytes()), Some(envoy[..HINT].to_owned()));
        let with = |text: &str| hint(text.as_bytes()).unwrap_or_default();
        assert_eq!(with("no route to 10.0.0.2:21000, sorry"), "no route to ADDRESS, sorry");
        assert_eq!(with("peer:10.0.0.2:21000"), "peer:ADDRESS");
        assert_eq!(with("at [fd00::7]:80"), "at ADDRESS");
        assert_eq!(with("from 10.0.0.2."), "from ADDRESS.");
        assert_eq!(with("error:111, face"), "error:111, face");
        assert_eq!(hint(b" \n"), None);
    }
}
