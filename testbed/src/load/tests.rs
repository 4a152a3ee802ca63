//! What a client makes of servers that misbehave; those that behave are in `tests/apps`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, Response};
use futures_util::future::join_all;
use h2::Reason;
use h2::server::SendResponse;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::framing::frame;
use super::{Client, Kind, LoadSpec};

/// A client of a server, and how many connections that has accepted.
async fn against<F>(
    kind: Kind,
    serve: impl Fn(TcpStream) -> F + Send + 'static,
) -> (Client, Arc<AtomicUsize>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let scheme = if kind == Kind::Tcp { "tcp" } else { "http" };
    let url = format!("{scheme}://{}", listener.local_addr().expect("an address"));
    let spec = LoadSpec::new(&url).and_then(|spec| spec.kind(kind)).expect("a url of the kind");
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = accepted.clone();
    tokio::spawn(async move {
        while let Ok((peer, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(serve(peer));
        }
    });
    (Client::new(&spec), accepted)
}

/// Reads a request, or a part of it, and writes these bytes.
async fn raw(kind: Kind, bytes: &'static [u8]) -> Client {
    let serve = move |mut peer: TcpStream| async move {
        let mut request = [0; 1024];
        assert!(peer.read(&mut request).await.expect("a request") > 0);
        peer.write_all(bytes).await.expect("written");
        peer.shutdown().await.expect("closed");
        // No reset may overtake the answer.
        while peer.read(&mut request).await.is_ok_and(|n| n > 0) {}
    };
    against(kind, serve).await.0
}

type Respond = SendResponse<Bytes>;
/// What a server does, and the reason that it is counted under.
type Case = (fn(Respond), &'static str);

/// An HTTP/2 server that answers each request so.
async fn answering(kind: Kind, answer: fn(Respond)) -> (Client, Arc<AtomicUsize>) {
    against(kind, move |peer| async move {
        let mut connection = h2::server::handshake(peer).await.expect("HTTP/2");
        while let Some(Ok((_, respond))) = connection.accept().await {
            answer(respond);
        }
    })
    .await
}

async fn failure(mut client: Client) -> String {
    client.request().await.expect_err("a failure").to_string()
}

/// Answers with a head, a body and perhaps trailers.
fn whole(mut respond: Respond, head: Response<()>, body: &[u8], trailers: Option<HeaderMap>) {
    let mut stream = respond.send_response(head, false).expect("a head");
    let body = Bytes::copy_from_slice(body);
    stream.send_data(body, trailers.is_none()).expect("a body");
    if let Some(trailers) = trailers {
        stream.send_trailers(trailers).expect("trailers");
    }
}

fn head(status: u16) -> Response<()> {
    Response::builder().status(status).body(()).expect("a head")
}

fn grpc_head() -> Response<()> {
    Response::builder().header("content-type", "application/grpc+proto").body(()).expect("a head")
}

fn status(code: &str, message: &str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", code.parse().expect("a value"));
    trailers.insert("grpc-message", message.parse().expect("a value"));
    trailers
}

/// SETTINGS, and a GOAWAY that says that nothing was processed.
const GOAWAY_AT_ONCE: &[u8] =
    b"\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";

#[tokio::test]
async fn failures_of_http2_are_told_apart() {
    let cases: [Case; 5] = [
        (
            |respond| whole(respond, head(503), b"no healthy upstream", None),
            "status 503 (no healthy upstream)",
        ),
        (|respond| whole(respond, head(404), b"", None), "status 404"),
        (
            |mut respond| respond.send_reset(Reason::REFUSED_STREAM),
            "refused, not processed: RST_STREAM REFUSED_STREAM",
        ),
        (|mut respond| respond.send_reset(Reason::INTERNAL_ERROR), "head: reset, INTERNAL_ERROR"),
        (
            |mut respond| {
                let mut stream = respond.send_response(head(200), false).expect("a head");
                tokio::spawn(async move {
                    // The server would drop the head with the rest if it were not yet sent.
                    sleep(Duration::from_millis(20)).await;
                    stream.send_reset(Reason::CANCEL);
                });
            },
            "body: reset, CANCEL",
        ),
    ];
    for (answer, reason) in cases {
        assert_eq!(failure(answering(Kind::Http2, answer).await.0).await, reason);
    }
    let refused = failure(raw(Kind::Http2, GOAWAY_AT_ONCE).await).await;
    assert_eq!(refused, "refused, not processed: GOAWAY NO_ERROR");
    assert_eq!(failure(raw(Kind::Http2, b"").await).await, "head: broken pipe");
    let http1 = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(failure(raw(Kind::Http2, http1).await).await, "head: not HTTP/2, FRAME_SIZE_ERROR");
}

#[tokio::test]
async fn failures_of_grpc_are_told_apart() {
    let cases: [Case; 6] = [
        (
            |respond| {
                whole(respond, grpc_head(), &frame(b"{}"), Some(status("14", "gone: 10.0.0.2:9")))
            },
            "grpc-status 14 (gone: ADDRESS)",
        ),
        (
            |mut respond| {
                let mut head = grpc_head();
                head.headers_mut().extend(status("8", ""));
                respond.send_response(head, true).expect("a head");
            },
            "grpc-status 8",
        ),
        (|respond| whole(respond, grpc_head(), &frame(b"{}"), None), "no grpc-status"),
        (
            |respond| whole(respond, grpc_head(), &frame(b"{}")[..6], Some(status("0", ""))),
            "message cut short",
        ),
        (
            |respond| whole(respond, head(200), &frame(b"{}"), Some(status("0", ""))),
            "not a gRPC answer",
        ),
        (|respond| whole(respond, head(404), b"no route", None), "status 404 (no route)"),
    ];
    for (answer, reason) in cases {
        assert_eq!(failure(answering(Kind::Grpc, answer).await.0).await, reason);
    }
}

#[tokio::test]
async fn streams_share_a_connection() {
    let answer = |respond| whole(respond, head(200), b"{\"from\": \"api-1\"}", None);
    let (client, accepted) = answering(Kind::Http2, answer).await;
    let mut streams: Vec<_> = (0..5).map(|_| client.share().expect("a stream")).collect();
    let answers = join_all(streams.iter_mut().map(Client::request)).await;
    for answer in answers {
        assert_eq!(answer.expect("an answer").from, "api-1");
    }
    assert_eq!(accepted.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn no_request_starts_on_a_closing_connection() {
    // GOAWAY comes with each answer, as from a server that drains.
    let (mut client, accepted) = against(Kind::Http2, |peer| async move {
        let mut connection = h2::server::handshake(peer).await.expect("HTTP/2");
        while let Some(Ok((_, respond))) = connection.accept().await {
            connection.graceful_shutdown();
            whole(respond, head(200), b"{}", None);
        }
    })
    .await;
    for _ in 0..20 {
        client.request().await.expect("an answer");
    }
    assert_eq!(accepted.load(Ordering::Relaxed), 20);
}

#[tokio::test]
async fn the_line_protocol_tells_a_cut_from_a_bye() {
    for (line, reason) in [
        ("", "cut: unexpected end of file"),
        ("{\"from\": \"api-1\"}", "cut: unexpected end of file"),
        ("{\"error\": \"busy\"}\n", "cut: not an answer"),
        ("HTTP/1.1 400 Bad Request\r\n", "cut: not an answer"),
    ] {
        assert_eq!(failure(raw(Kind::Tcp, line.as_bytes()).await).await, reason, "{line:?}");
    }
    let bye = b"{\"from\": \"api-1\", \"n\": 1, \"bye\": true}\n";
    let answer = raw(Kind::Tcp, bye).await.request().await.expect("an answer");
    assert!(answer.from == "api-1" && answer.closed_by_app);
    // An end without a bye, after an answer: it is the next request that is lost.
    let mut client = raw(Kind::Tcp, b"{\"from\": \"api-1\"}\n").await;
    assert!(!client.request().await.expect("an answer").closed_by_app);
    assert_eq!(failure(client).await, "cut: unexpected end of file");
}
