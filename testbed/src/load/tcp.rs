//! The line protocol of `testbed app tcp`: `ask`, and a line of JSON for an answer.

use std::io;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::error::{RequestError, broken};
use super::target::Target;

/// Longest answer.
const LINE_LIMIT: u64 = 64 * 1024;

/// An answer.
#[derive(Debug, Deserialize)]
pub(super) struct Line {
    /// Who answered.
    pub(super) from: String,
    /// The app closes the connection after it.
    #[serde(default)]
    pub(super) bye: bool,
}

#[derive(Debug)]
pub(super) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub(super) async fn open(target: &Target) -> Result<Self, RequestError> {
        Ok(Self { stream: BufReader::new(target.connect().await?) })
    }

    /// One request. The connection comes back unless the app closes it.
    pub(super) async fn ask(mut self) -> Result<(Line, Option<Self>), RequestError> {
        self.stream.get_mut().write_all(b"ask\n").await.map_err(broken("cut"))?;
        let mut line = String::new();
        let mut limited = (&mut self.stream).take(LINE_LIMIT);
        limited.read_line(&mut line).await.map_err(broken("cut"))?;
        if !line.ends_with('\n') {
            return Err(broken("cut")(io::ErrorKind::UnexpectedEof.into()));
        }
        let line: Line = serde_json::from_str(&line).map_err(|_| RequestError::NotAnAnswer)?;
        let rest = (!line.bye).then_some(self);
        Ok((line, rest))
    }
}
