//! A server-streaming gRPC call.

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::error::{RequestError, hint, http2};
use super::framing::{Messages, frame};
use super::http2::{Http2, chunk};

/// The content type, with or without the message's format behind a `+`.
pub(crate) const CONTENT_TYPE: &str = "application/grpc";
/// The trailer with the call's end.
pub(crate) const STATUS: &str = "grpc-status";
/// The trailer with the words for it.
pub(crate) const MESSAGE: &str = "grpc-message";

/// Calls, reads all messages, and answers the first one; empty if there was none.
pub(super) async fn call(connection: &Http2) -> Result<Vec<u8>, RequestError> {
    let mut request = connection.request();
    *request.method_mut() = Method::POST;
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    let answer = connection.send(request, Some(frame(b"{}").into())).await?;
    let (head, mut body) = answer.into_parts();
    if head.status != StatusCode::OK {
        // The body says why; a part of it is enough.
        let text = chunk(&mut body).await.ok().flatten().unwrap_or_default();
        return Err(RequestError::Status { status: head.status.as_u16(), hint: hint(&text) });
    }
    let kind = head.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if !kind.is_some_and(|kind| kind.starts_with(CONTENT_TYPE.as_bytes())) {
        return Err(RequestError::NotGrpc);
    }
    let mut messages = Messages::default();
    let mut first = None;
    while let Some(part) = chunk(&mut body).await? {
        messages.push(&part);
        while let Some(message) = messages.next()? {
            first.get_or_insert(message);
        }
    }
    // Without messages the head may be all there is.
    let trailers = body.trailers().await.map_err(http2("trailers"))?;
    good_end(trailers.as_ref().unwrap_or(&head.headers))?;
    match messages.is_empty() {
        true => Ok(first.unwrap_or_default()),
        false => Err(RequestError::MessageCut),
    }
}

/// An error unless the call's status is 0.
fn good_end(trailers: &HeaderMap) -> Result<(), RequestError> {
    let status = trailers.get(STATUS).ok_or(RequestError::NoGrpcStatus)?;
    let status = status.to_str().ok().and_then(|status| status.parse().ok());
    match status.ok_or(RequestError::NotGrpc)? {
        0 => Ok(()),
        status => {
            let message = trailers.get(MESSAGE).and_then(|message| hint(message.as_bytes()));
            Err(RequestError::GrpcStatus { status, message })
        }
    }
}
