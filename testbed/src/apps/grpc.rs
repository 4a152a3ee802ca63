//! A server-streaming gRPC method; its messages are JSON.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use futures_util::stream;
use http_body_util::StreamBody;
use hyper::body::Frame;
use serde::Deserialize;
use serde_json::json;

use super::http::{Server, duration};
use super::pause;
use crate::load::framing::{Messages, frame};
use crate::load::grpc::{CONTENT_TYPE, MESSAGE, STATUS};

/// What the query asks for.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    /// How many messages.
    messages: u32,
    /// Between two of them.
    #[serde(deserialize_with = "duration::deserialize")]
    every: Duration,
}

impl Default for Wanted {
    fn default() -> Self {
        Self { messages: 1, every: Duration::ZERO }
    }
}

/// Answers `messages` times who answers, `every` so often, then `grpc-status: 0`.
pub(super) async fn stream(
    State(server): State<Arc<Server>>,
    Query(wanted): Query<Wanted>,
    request: Bytes,
) -> Response {
    if !is_one_message(&request) {
        // INVALID_ARGUMENT, and nothing but a head.
        let mut answer = response(Body::empty());
        answer.headers_mut().insert(STATUS, HeaderValue::from_static("3"));
        answer.headers_mut().insert(MESSAGE, HeaderValue::from_static("not one message"));
        return answer;
    }
    let message = Bytes::from(frame(server.answer(json!({})).await.0.to_string().as_bytes()));
    let Wanted { messages, every } = wanted;
    let frames = stream::unfold(0, move |sent: u32| {
        let message = message.clone();
        async move {
            if sent > messages {
                return None;
            }
            let frame = match sent == messages {
                true => Frame::trailers(HeaderMap::from_iter([(
                    header::HeaderName::from_static(STATUS),
                    HeaderValue::from_static("0"),
                )])),
                false => {
                    if sent > 0 {
                        pause(every).await;
                    }
                    Frame::data(message)
                }
            };
            Some((Ok::<_, Infallible>(frame), sent + 1))
        }
    });
    response(Body::new(StreamBody::new(frames)))
}

fn is_one_message(request: &[u8]) -> bool {
    let mut messages = Messages::default();
    messages.push(request);
    matches!(messages.next(), Ok(Some(_))) && messages.is_empty()
}

fn response(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    response
}
