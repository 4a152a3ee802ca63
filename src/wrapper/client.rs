//! The two ways to ask: one blocking question with a deadline ([`ask`], for the health check and for people),
//! and the same over tokio, with a long-lived stream of lines beside it ([`exchange`], [`Stream`]).

use super::http::{self, Answer, HttpError};
use crate::admin::Line;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

/// More than any answer of ours: a timeline is about 60 KB.
const MAX_BODY: usize = 4 * 1024 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Not connected, or the connection broke.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Whoever answers is not the one we look for.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The connection ended inside the answer.
    #[error("the connection ended before the answer did")]
    CutOff,
    /// The time was up.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The answer does not end.
    #[error("the answer is over 4 MiB")]
    TooLong,
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// `GET path`, blocking, all of it within `limit`.
///
/// # Errors
/// [`AskError`]; an error status is an answer.
pub fn ask(addr: SocketAddr, path: &str, limit: Duration) -> Result<Reply, AskError> {
    let deadline = Instant::now() + limit;
    let left = || match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(AskError::TimedOut(limit)),
        left => Ok(left),
    };
    let late = |e: io::Error| match e.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => AskError::TimedOut(limit),
        _ => AskError::Io(e),
    };
    let mut stream = TcpStream::connect_timeout(&addr, left()?).map_err(late)?;
    stream.set_write_timeout(Some(left()?))?;
    let request = http::request("GET", &addr.to_string(), path, None, false);
    stream.write_all(&request).map_err(late)?;
    let mut reading = Reading::default();
    let mut buffer = [0; 8192];
    loop {
        stream.set_read_timeout(Some(left()?))?;
        let n = stream.read(&mut buffer).map_err(late)?;
        if let Some(reply) = reading.push(&buffer[..n])? {
            return Ok(reply);
        }
    }
}

/// One question over tokio, all of it within `limit`.
///
/// # Errors
/// [`AskError`]; an error status is an answer.
pub async fn exchange(
    addr: SocketAddr,
    method: &str,
    path: &str,
    body: Option<&str>,
    limit: Duration,
) -> Result<Reply, AskError> {
    let asking = async {
        let mut stream = tokio::net::TcpStream::connect(addr).await?;
        let request = http::request(method, &addr.to_string(), path, body, false);
        stream.write_all(&request).await?;
        let mut reading = Reading::default();
        let mut buffer = [0; 8192];
        loop {
            let n = stream.read(&mut buffer).await?;
            if let Some(reply) = reading.push(&buffer[..n])? {
                return Ok(reply);
            }
        }
    };
    tokio::time::timeout(limit, asking).await.unwrap_or(Err(AskError::TimedOut(limit)))
}

/// An answer that is being collected.
#[derive(Default)]
pub struct Reading {
    answer: Answer,
    body: Vec<u8>,
}

impl Reading {
    /// Gives the answer once it is whole. `read` is empty at the connection's end.
    ///
    /// # Errors
    /// [`AskError`]; nothing more can be read then.
    pub fn push(&mut self, read: &[u8]) -> Result<Option<Reply>, AskError> {
        let cut = read.is_empty();
        self.answer.push(read, &mut self.body)?;
        let done = self.answer.ended() || (cut && self.answer.ends_with_connection());
        match self.answer.status() {
            Some(status) if done => {
                Ok(Some(Reply { status, body: std::mem::take(&mut self.body) }))
            }
            _ if cut => Err(AskError::CutOff),
            _ if self.body.len() > MAX_BODY => Err(AskError::TooLong),
            _ => Ok(None),
        }
    }
}

/// Takes the first whole line out of `body`, if there is one; `Some(None)` for what is none of ours.
pub fn take_line(body: &mut Vec<u8>) -> Option<Option<Line>> {
    let end = body.iter().position(|b| *b == b'\n')?;
    let line = serde_json::from_slice(&body[..end]).ok();
    body.drain(..=end);
    Some(line)
}

/// A long-lived answer of JSON lines.
pub struct Stream {
    socket: tokio::net::TcpStream,
    answer: Answer,
    body: Vec<u8>,
}

impl Stream {
    /// `POST path`; the answer's head must come within `limit`, its lines whenever they like.
    ///
    /// # Errors
    /// [`AskError`], or in `Ok(Err(reply))` an answer that is not 200.
    pub async fn open(
        addr: SocketAddr,
        path: &str,
        body: &str,
        limit: Duration,
    ) -> Result<Result<Self, Reply>, AskError> {
        let opening = async {
            let mut socket = tokio::net::TcpStream::connect(addr).await?;
            let request = http::request("POST", &addr.to_string(), path, Some(body), true);
            socket.write_all(&request).await?;
            let mut this = Self { socket, answer: Answer::default(), body: Vec::new() };
            while this.answer.status().is_none() {
                this.read().await?;
            }
            match this.answer.status() {
                Some(200) | None => Ok(Ok(this)),
                Some(status) => {
                    while !this.answer.ended() && this.body.len() < MAX_BODY {
                        this.read().await?;
                    }
                    Ok(Err(Reply { status, body: this.body }))
                }
            }
        };
        tokio::time::timeout(limit, opening).await.unwrap_or(Err(AskError::TimedOut(limit)))
    }

    /// The next line; `None` when the stream has ended or broken, or says what is no line. Cancel safe.
    pub async fn next(&mut self) -> Option<Line> {
        loop {
            if let Some(line) = take_line(&mut self.body) {
                return line;
            }
            if self.answer.ended() || self.body.len() > MAX_BODY || self.read().await.is_err() {
                return None;
            }
        }
    }

    async fn read(&mut self) -> Result<(), AskError> {
        let mut buffer = [0; 1024];
        match self.socket.read(&mut buffer).await? {
            0 => Err(AskError::CutOff),
            n => Ok(self.answer.push(&buffer[..n], &mut self.body)?),
        }
    }
}
