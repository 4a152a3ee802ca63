//! HTTP/2 with prior knowledge, by h2 itself: a client above it would send a request again, or hide whether one was
//! ever sent.

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{Request, Response};
use h2::RecvStream;
use h2::client::SendRequest;
use tokio::sync::Mutex;

use super::error::{BODY_LIMIT, RequestError, hint, http2};
use super::target::Target;

/// One connection, shared by its streams. It opens at the first request, and again when it is closed or closing.
#[derive(Debug, Clone)]
pub(super) struct Http2 {
    target: Arc<Target>,
    open: Arc<Mutex<Option<SendRequest<Bytes>>>>,
}

impl Http2 {
    pub(super) fn new(target: Target) -> Self {
        Self { target: Arc::new(target), open: Arc::default() }
    }

    /// The body of a good answer.
    pub(super) async fn get(&self) -> Result<Vec<u8>, RequestError> {
        let mut answer = self.send(self.request(), None).await?;
        let mut body = Vec::new();
        while let Some(chunk) = chunk(answer.body_mut()).await? {
            if chunk.len() > BODY_LIMIT - body.len() {
                return Err(RequestError::NotHttp);
            }
            body.extend_from_slice(&chunk);
        }
        match answer.status() {
            status if status.is_success() => Ok(body),
            status => Err(RequestError::Status { status: status.as_u16(), hint: hint(&body) }),
        }
    }

    /// A GET of the target.
    pub(super) fn request(&self) -> Request<()> {
        let mut request = Request::new(());
        *request.uri_mut() = self.target.uri.clone();
        request
    }

    /// Sends a request with its whole body, and waits for the answer's head.
    pub(super) async fn send(
        &self,
        request: Request<()>,
        body: Option<Bytes>,
    ) -> Result<Response<RecvStream>, RequestError> {
        let mut open = self.ready().await?;
        // Nothing is awaited in between, so no GOAWAY is seen after the check.
        let (answer, mut stream) =
            open.send_request(request, body.is_none()).map_err(http2("write"))?;
        if let Some(body) = body {
            // If it fails, the answer tells why.
            _ = stream.send_data(body, true).is_ok();
        }
        answer.await.map_err(http2("head"))
    }

    /// The next request opens a connection; what is under way goes on.
    pub(super) fn retire(&self) {
        // If it is locked, another stream is opening one.
        if let Ok(mut open) = self.open.try_lock() {
            *open = None;
        }
    }

    /// The connection, or a new one if it is known to be closed or closing: to start on that one would be our own
    /// fault.
    async fn ready(&self) -> Result<SendRequest<Bytes>, RequestError> {
        let mut open = self.open.lock().await;
        if let Some(connection) = open.take()
            && let Ok(ready) = connection.ready().await
        {
            return Ok(open.insert(ready).clone());
        }
        let stream = self.target.connect().await?;
        let (requests, connection) = h2::client::handshake(stream).await.map_err(http2("open"))?;
        // It ends with its last stream once it is retired. Its error comes to the streams, too.
        tokio::spawn(async { _ = connection.await.is_ok() });
        Ok(open.insert(requests).clone())
    }
}

/// The body's next part; none at its end.
pub(super) async fn chunk(body: &mut RecvStream) -> Result<Option<Bytes>, RequestError> {
    let Some(chunk) = body.data().await else { return Ok(None) };
    let chunk = chunk.map_err(http2("body"))?;
    body.flow_control().release_capacity(chunk.len()).map_err(http2("body"))?;
    Ok(Some(chunk))
}
