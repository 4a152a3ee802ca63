//! One closed loop's client. It sends every request once.

use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;

use super::error::RequestError;
use super::http2::Http2;
use super::target::Target;
use super::{Kind, LoadSpec, grpc, http1, tcp};

/// A good answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Who answered; `?` if it does not say.
    pub(crate) from: String,
    /// The app said that it closes the connection after it.
    pub(crate) closed_by_app: bool,
}

/// What keeps connections between requests.
#[derive(Debug)]
pub(crate) struct Client {
    target: Target,
    timeout: Duration,
    keep_alive: bool,
    open: Open,
}

#[derive(Debug)]
enum Open {
    Http1(Option<http1::Connection>),
    Http2(Http2),
    Grpc(Http2),
    Tcp(Option<tcp::Connection>),
}

impl Client {
    /// For a loop that has a connection of its own.
    pub(crate) fn new(spec: &LoadSpec) -> Self {
        let target = spec.target.clone();
        let open = match spec.kind {
            Kind::Http1 => Open::Http1(None),
            Kind::Http2 => Open::Http2(Http2::new(target.clone())),
            Kind::Grpc => Open::Grpc(Http2::new(target.clone())),
            Kind::Tcp => Open::Tcp(None),
        };
        Self { target, timeout: spec.timeout, keep_alive: spec.keep_alive, open }
    }

    /// For a loop that shares this one's connection; none if a connection takes only one request at a time.
    pub(super) fn share(&self) -> Option<Self> {
        let open = match &self.open {
            Open::Http2(connection) => Open::Http2(connection.clone()),
            Open::Grpc(connection) => Open::Grpc(connection.clone()),
            Open::Http1(_) | Open::Tcp(_) => return None,
        };
        let target = self.target.clone();
        Some(Self { target, timeout: self.timeout, keep_alive: self.keep_alive, open })
    }

    /// One request. After a failure that leaves the connection in doubt, the next one opens another.
    pub(crate) async fn request(&mut self) -> Result<Answer, RequestError> {
        let answer = timeout(self.timeout, self.send()).await;
        let answer = answer.unwrap_or(Err(RequestError::Timeout));
        if !self.keep_alive || matches!(answer, Err(RequestError::Timeout)) {
            match &mut self.open {
                Open::Http1(open) => *open = None,
                Open::Http2(open) | Open::Grpc(open) => open.retire(),
                Open::Tcp(open) => *open = None,
            }
        }
        answer
    }

    async fn send(&mut self) -> Result<Answer, RequestError> {
        let target = &self.target;
        let answer = |body: &[u8]| Answer { from: responder(body), closed_by_app: false };
        match &mut self.open {
            Open::Http1(open) => {
                let connection = match open.take() {
                    Some(connection) => connection,
                    None => http1::Connection::open(target).await?,
                };
                let (body, rest) = connection.get(target).await?;
                *open = rest;
                Ok(answer(&body))
            }
            Open::Http2(connection) => Ok(answer(&connection.get().await?)),
            Open::Grpc(connection) => Ok(answer(&grpc::call(connection).await?)),
            Open::Tcp(open) => {
                let connection = match open.take() {
                    Some(connection) => connection,
                    None => tcp::Connection::open(target).await?,
                };
                let (line, rest) = connection.ask().await?;
                *open = rest;
                Ok(Answer { from: line.from, closed_by_app: line.bye })
            }
        }
    }
}

/// Who answered: behind `/call` it is the upstream.
fn responder(body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let from = body.pointer("/upstream/from").or_else(|| body.get("from"));
    from.and_then(Value::as_str).unwrap_or("?").to_owned()
}
